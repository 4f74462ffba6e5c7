use super::SyntaxError;

/// The longest name, in bytes: names become parts of file names and log identifiers.
const LONGEST_NAME: usize = 63;

/// Reads the name of a service, or of the whole system: `[a-z0-9][a-z0-9_-]{0,62}`.
///
/// # Errors
/// Any other name, with the nearest one that would do.
pub fn parse_name(text: &str) -> Result<String, SyntaxError> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    let problem =
        if text.is_empty() { "the name is empty".to_owned() } else { format!("`{text}` is no valid name") };
    let rules = "use a to z, 0 to 9, `-` and `_`, at most 63 characters, no `-` or `_` first";
    let cure = match sanitize(text) {
        Some(name) => format!("{rules}: `{name}`"),
        None => rules.to_owned(),
    };
    Err(SyntaxError::whole(text, problem, cure))
}

/// A valid name that is like `text`, if anything of it is left.
pub(crate) fn sanitize(text: &str) -> Option<String> {
    let plain = text.chars().map(|character| match character.to_ascii_lowercase() {
        character @ ('a'..='z' | '0'..='9' | '-' | '_') => character,
        _ => '-',
    });
    let name: String = plain.skip_while(|first| !first.is_ascii_alphanumeric()).take(LONGEST_NAME).collect();
    let name = name.trim_end_matches('-');
    is_name(name).then(|| name.to_owned())
}

fn is_name(text: &str) -> bool {
    let is_inner =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    text.len() <= LONGEST_NAME
        && text.bytes().all(is_inner)
        && !text.starts_with(['-', '_'])
        && !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_the_manual_says() {
        for text in ["a", "0", "api-2_b", &"x".repeat(63)] {
            assert_eq!(parse_name(text).as_deref(), Ok(text));
        }
        for text in ["", "-a", "_a", "A", "a.b", "a b", "ä", "a/b", &"x".repeat(64)] {
            assert!(parse_name(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_wrong_name_comes_with_one_that_would_do() {
        let rules = "use a to z, 0 to 9, `-` and `_`, at most 63 characters, no `-` or `_` first";
        assert_eq!(
            parse_name("My App").unwrap_err().to_string(),
            format!("`My App` is no valid name; {rules}: `my-app`")
        );
        assert_eq!(parse_name("").unwrap_err().to_string(), format!("the name is empty; {rules}"));
    }

    #[test]
    fn any_file_name_becomes_a_name() {
        assert_eq!(sanitize("python3.11").as_deref(), Some("python3-11"));
        assert_eq!(sanitize("_Worker (x)").as_deref(), Some("worker--x"));
        assert_eq!(sanitize(&"y".repeat(99)), Some("y".repeat(63)));
        assert_eq!(sanitize("終了"), None);
    }
}
