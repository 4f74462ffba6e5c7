use super::SyntaxError;

/// The largest number of a user or a group: the one above stands for "no change" in system calls.
const NUMBER_MAX: u32 = u32::MAX - 1;

/// Reads the name or the number of a user or a group. Whether there is one is seen when it is used.
///
/// # Errors
/// What no entry of `/etc/passwd` could be called; a number that is none's.
pub(crate) fn parse_account(text: &str) -> Result<String, SyntaxError> {
    let is_odd = |character: char| {
        character.is_control() || character.is_whitespace() || matches!(character, ':' | ',' | '/')
    };
    if text.is_empty() {
        return Err(SyntaxError::whole(text, "the name is empty", "write a name or a number"));
    }
    if let Some((offset, character)) = text.char_indices().find(|(_, character)| is_odd(*character)) {
        let span = offset..offset + character.len_utf8();
        let problem = format!("a name cannot contain {character:?}");
        return Err(SyntaxError::new(span, problem, "write one name or number"));
    }
    if text.starts_with(['-', '+']) {
        return Err(SyntaxError::new(0..1, "a name cannot begin so", "write a name or a number"));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit())
        && !text.parse().is_ok_and(|number: u32| number <= NUMBER_MAX)
    {
        let problem = format!("`{text}` is nobody's number");
        return Err(SyntaxError::whole(text, problem, format!("write 0 to {NUMBER_MAX}")));
    }
    Ok(text.to_owned())
}

/// Reads `USER` or `USER:GROUP`.
///
/// # Errors
/// As [`parse_account`], for each of them.
pub(crate) fn parse_user_and_group(text: &str) -> Result<(String, Option<String>), SyntaxError> {
    match text.split_once(':') {
        None => Ok((parse_account(text)?, None)),
        Some((user, group)) => {
            let group = parse_account(group).map_err(|error| error.shifted(user.len() + 1));
            Ok((parse_account(user)?, Some(group?)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read() {
        for text in [
            "nobody",
            "www-data",
            "systemd-network",
            "j.doe",
            "Corp\\jane",
            "0",
            "4294967294",
            "größe",
            "_apt",
        ] {
            assert_eq!(parse_account(text).unwrap(), text);
        }
        assert_eq!(parse_user_and_group("api").unwrap(), ("api".into(), None));
        assert_eq!(parse_user_and_group("1000:1001").unwrap(), ("1000".into(), Some("1001".into())));
    }

    #[test]
    fn what_nobody_is_called_is_refused_at_its_place() {
        for (text, rendering) in [
            ("", "the name is empty; write a name or a number\n  \n  ^"),
            ("a b", "a name cannot contain ' '; write one name or number\n  a b\n   ^"),
            ("a:b", "a name cannot contain ':'; write one name or number\n  a:b\n   ^"),
            ("-1", "a name cannot begin so; write a name or a number\n  -1\n  ^"),
            (
                "4294967295",
                "`4294967295` is nobody's number; write 0 to 4294967294\n  4294967295\n  ^^^^^^^^^^",
            ),
        ] {
            assert_eq!(parse_account(text).unwrap_err().render(text), rendering);
        }
        for (text, rendering) in [
            ("api:", "the name is empty; write a name or a number\n  api:\n      ^"),
            (":api", "the name is empty; write a name or a number\n  :api\n  ^"),
            ("a:b:c", "a name cannot contain ':'; write one name or number\n  a:b:c\n     ^"),
        ] {
            assert_eq!(parse_user_and_group(text).unwrap_err().render(text), rendering);
        }
    }
}
