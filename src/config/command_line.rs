use super::SyntaxError;

/// Splits a command into words as a shell would, without a shell: quotes and backslashes are understood.
///
/// `'…'` is literal; in `"…"` a backslash makes `"` and `\` literal, as it does any character outside quotes.
///
/// # Errors
/// A quote that is not closed; no word at all; and whatever only a shell could act on (`&& | > < $ ~ ; & *` and the
/// backtick, unless quoted): it would reach the program as an odd argument, without anybody noticing.
pub fn split_command(text: &str) -> Result<Vec<String>, SyntaxError> {
    let mut words = Vec::new();
    // `None` between words: a word can be empty, as in `""`.
    let mut word: Option<String> = None;
    let mut quote: Option<(usize, char)> = None;
    let mut characters = text.char_indices().peekable();
    while let Some((index, character)) = characters.next() {
        let place = index..index + character.len_utf8();
        match (quote, character) {
            (_, '\0') => {
                return Err(SyntaxError::new(
                    place,
                    "an argument cannot contain a NUL character",
                    "remove it",
                ));
            }
            (Some((_, open)), _) if character == open => quote = None,
            (Some((_, '"')), '$' | '`') => {
                let problem = format!("`{character}` means something to a shell only, and there is none");
                return Err(SyntaxError::new(place, problem, cure("put it in single quotes")));
            }
            (Some((_, '"')), '\\') if matches!(characters.peek(), Some((_, '"' | '\\' | '$' | '`'))) => {
                word.get_or_insert_default().extend(characters.next().map(|(_, escaped)| escaped));
            }
            (Some(_), _) => word.get_or_insert_default().push(character),
            (None, '\'' | '"') => {
                quote = Some((index, character));
                word.get_or_insert_default();
            }
            (None, '\\') => match characters.next() {
                Some((_, escaped)) => word.get_or_insert_default().push(escaped),
                None => {
                    return Err(SyntaxError::new(
                        place,
                        "nothing follows the backslash",
                        "write `\\\\` for one",
                    ));
                }
            },
            (None, '&' | '|' | '>' | '<' | '$' | '~' | ';' | '*' | '`') => {
                let double = matches!(characters.peek(), Some((_, next)) if *next == character);
                let operator = if double && matches!(character, '&' | '|' | '>' | '<') {
                    &text[index..index + 2]
                } else {
                    &text[place.clone()]
                };
                let problem = format!("`{operator}` means something to a shell only, and there is none");
                return Err(SyntaxError::new(index..index + operator.len(), problem, cure("quote it")));
            }
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(character),
        }
    }
    if let Some((index, quote)) = quote {
        let problem = format!("the quote {quote} is not closed");
        return Err(SyntaxError::new(index..index + 1, problem, format!("add {quote} where it ends")));
    }
    words.extend(word);
    match words.first() {
        None => Err(SyntaxError::whole(text, "the command is empty", "name a program")),
        Some(program) if program.is_empty() => {
            Err(SyntaxError::whole(text, "the first word of the command is empty", "name a program"))
        }
        Some(program) if is_assignment(program) => {
            let start = text.len() - text.trim_start().len();
            let span = start..(start + program.len()).min(text.len());
            let span = if text.get(span.clone()) == Some(program) { span } else { 0..text.len() };
            let problem = format!("`{program}` sets a variable for a shell only, and there is none");
            Err(SyntaxError::new(
                span,
                problem,
                "move it to `environment`, or write [\"env\", \"NAME=value\", …]",
            ))
        }
        Some(_) => Ok(words),
    }
}

fn cure(if_literal: &str) -> String {
    format!("{if_literal} if it is meant literally, or write command = [\"sh\", \"-c\", \"exec …\"]")
}

/// Whether the word is `NAME=value`.
fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_and_quotes_understood() {
        for (text, words) in [
            ("myproject api --port 8000", &["myproject", "api", "--port", "8000"][..]),
            ("  a\t b\n c ", &["a", "b", "c"]),
            (r#"say 'two words' "and "'more'"#, &["say", "two words", "and more"]),
            (r#"a "" ''"#, &["a", "", ""]),
            (r#"a "x \"y\" \\ \n" b\ c \$HOME"#, &["a", r#"x "y" \ \n"#, "b c", "$HOME"]),
            (r"a '$HOME' '*' '\'", &["a", "$HOME", "*", r"\"]),
            ("a x=1 größe", &["a", "x=1", "größe"]),
            (r#"a "~" "a&b;c|d" "\$x""#, &["a", "~", "a&b;c|d", "$x"]),
        ] {
            assert_eq!(split_command(text).unwrap(), words, "{text}");
        }
    }

    #[test]
    fn what_only_a_shell_understands_is_refused() {
        for (text, operator) in [
            ("a && b", "&&"),
            ("a || b", "||"),
            ("a | b", "|"),
            ("a > b", ">"),
            ("a >> b", ">>"),
            ("a < b", "<"),
            ("a $HOME", "$"),
            ("a \"$HOME\"", "$"),
            ("a ~/b", "~"),
            ("a; b", ";"),
            ("a &", "&"),
            ("a *.txt", "*"),
            ("a `b`", "`"),
            ("a \"`b`\"", "`"),
        ] {
            let error = split_command(text).unwrap_err();
            assert_eq!(&text[error.span.clone()], operator, "{text}");
            assert_eq!(
                error.problem,
                format!("`{operator}` means something to a shell only, and there is none")
            );
            assert!(
                error
                    .cure
                    .ends_with("if it is meant literally, or write command = [\"sh\", \"-c\", \"exec …\"]")
            );
        }
    }

    #[test]
    fn a_command_that_cannot_be_split_is_refused() {
        for (text, rendering) in [
            ("", "the command is empty; name a program\n  \n  ^"),
            ("  ", "the command is empty; name a program\n    \n  ^^"),
            ("'' x", "the first word of the command is empty; name a program\n  '' x\n  ^^^^"),
            ("a 'b", "the quote ' is not closed; add ' where it ends\n  a 'b\n    ^"),
            ("é \"b", "the quote \" is not closed; add \" where it ends\n  é \"b\n    ^"),
            ("a \\", "nothing follows the backslash; write `\\\\` for one\n  a \\\n    ^"),
            ("a \0", "an argument cannot contain a NUL character; remove it\n  a  \n    ^"),
            (
                " A=1 b",
                "`A=1` sets a variable for a shell only, and there is none; \
                 move it to `environment`, or write [\"env\", \"NAME=value\", …]\n   A=1 b\n   ^^^",
            ),
        ] {
            assert_eq!(split_command(text).unwrap_err().render(text), rendering, "{text:?}");
        }
    }
}
