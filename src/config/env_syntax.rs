use super::config_error::Position;

/// Names and values of variables.
pub(crate) type Variables = Vec<(String, String)>;

/// Something wrong in a file of variables: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VariableError {
    pub(crate) position: Position,
    pub(crate) problem: String,
    pub(crate) cure: String,
}

/// Reads the lines of an `.env` file: everything that could be read, and every error.
///
/// ```text
/// # A comment. Empty lines, and spaces around `=`, do not count; `export` may stand in front.
/// PLAIN = two words, 100 % "as they are"   # a blank and `#` begin a comment
/// LITERAL='$5 and a \, over
/// several lines'
/// QUOTED="$LITERAL, ${PLAIN} and ${PORT:-8000}, a tab \t and a newline \n"
/// ```
///
/// `$NAME` is what a line above said, else what `known` says: curfew's own environment. One that is nowhere is an error:
/// a password with a `$` in it would otherwise be cut without a word. Packages at hand do that, and read `$DB_HOST` as
/// `$DB` and `_HOST`.
pub(crate) fn parse_variables(
    text: &str,
    known: &dyn Fn(&str) -> Option<String>,
) -> (Variables, Vec<VariableError>) {
    let mut parser = Parser { text, at: 0, known, variables: Vec::new() };
    let mut errors = Vec::new();
    loop {
        parser.skip(char::is_whitespace);
        match parser.peek() {
            None => break,
            Some('#') => parser.skip(|character| character != '\n'),
            Some(_) => match parser.variable() {
                Ok(variable) => parser.variables.push(variable),
                Err(fault) => {
                    errors.push(VariableError {
                        position: position(text, fault.at),
                        problem: fault.problem,
                        cure: fault.cure.to_owned(),
                    });
                    if fault.rest == Rest::IsPartOfIt {
                        break;
                    }
                    parser.skip(|character| character != '\n');
                }
            },
        }
    }
    (parser.variables, errors)
}

struct Parser<'a> {
    text: &'a str,
    /// The byte that comes next.
    at: usize,
    known: &'a dyn Fn(&str) -> Option<String>,
    variables: Variables,
}

/// An error on the way: the byte where it is.
struct Fault {
    at: usize,
    problem: String,
    cure: &'static str,
    rest: Rest,
}

/// What becomes of the lines below an error.
#[derive(PartialEq, Eq)]
enum Rest {
    /// They are lines of their own.
    IsFine,
    /// To the parser they are inside of what is not closed.
    IsPartOfIt,
}

const NAME_CURE: &str = "write NAME=value";

impl<'a> Parser<'a> {
    fn variable(&mut self) -> Result<(String, String), Fault> {
        let start = self.at;
        let mut name = self.name(is_in_name);
        let behind = self.at;
        self.skip(is_blank);
        if name == "export" && self.at > behind && self.peek() != Some('=') {
            name = self.name(is_in_name);
            self.skip(is_blank);
        }
        if name.is_empty() {
            let cure = "write NAME=value; a name begins with a letter or `_`";
            return Err(self.fault(start, "no name of a variable begins here", cure));
        }
        if self.peek() != Some('=') {
            return Err(self.fault(start, format!("there is no `=` behind {name}"), NAME_CURE));
        }
        self.next();
        let may_be_comment = self.at;
        self.skip(is_blank);
        let value = match self.peek() {
            Some('\'') => self.literal()?,
            Some('"') => self.quoted()?,
            Some('#') if self.at > may_be_comment => String::new(),
            _ => self.plain()?,
        };
        Ok((name.to_owned(), value))
    }

    /// To the end of the line, or to a comment.
    fn plain(&mut self) -> Result<String, Fault> {
        const ESCAPED: [char; 6] = ['$', '\\', '#', '\'', '"', ' '];
        let mut value = String::new();
        // What is escaped is no blank at the end.
        let mut length = 0;
        while let Some(character) = self.peek().filter(|character| *character != '\n') {
            match character {
                '#' if value.ends_with(is_blank) && value.len() > length => break,
                '$' => {
                    self.substitute(&mut value)?;
                    length = value.len();
                    continue;
                }
                '\\' if self.peek_second().is_some_and(|second| ESCAPED.contains(&second)) => {
                    self.next();
                    value.extend(self.next());
                    length = value.len();
                    continue;
                }
                '\0' => return Err(self.nul()),
                _ => {}
            }
            self.next();
            value.push(character);
            if !character.is_whitespace() {
                length = value.len();
            }
        }
        value.truncate(length);
        self.skip(|character| character != '\n');
        Ok(value)
    }

    /// `'…'`: as it is.
    fn literal(&mut self) -> Result<String, Fault> {
        let open = self.at;
        self.next();
        let mut value = String::new();
        loop {
            match self.peek() {
                None => return Err(self.unclosed(open, '\'')),
                Some('\0') => return Err(self.nul()),
                Some('\'') => break,
                Some(character) => value.push(character),
            }
            self.next();
        }
        self.next();
        self.behind_quote()?;
        Ok(value)
    }

    /// `"…"`: with backslashes and variables.
    fn quoted(&mut self) -> Result<String, Fault> {
        let open = self.at;
        self.next();
        let mut value = String::new();
        loop {
            match self.peek() {
                None => return Err(self.unclosed(open, '"')),
                Some('\0') => return Err(self.nul()),
                Some('"') => break,
                Some('$') => {
                    self.substitute(&mut value)?;
                    continue;
                }
                Some('\\') => {
                    value.push(match self.peek_second() {
                        Some('n') => '\n',
                        Some('r') => '\r',
                        Some('t') => '\t',
                        Some(character @ ('"' | '\\' | '$' | '\'')) => character,
                        _ => {
                            let cure = "write `\\\\` for a backslash, or put the value in single quotes";
                            return Err(self.fault(self.at, "this backslash means nothing here", cure));
                        }
                    });
                    self.next();
                }
                Some(character) => value.push(character),
            }
            self.next();
        }
        self.next();
        self.behind_quote()?;
        Ok(value)
    }

    fn behind_quote(&mut self) -> Result<(), Fault> {
        self.skip(|character| character != '\n' && character.is_whitespace());
        match self.peek() {
            None | Some('\n') => Ok(()),
            Some('#') => {
                self.skip(|character| character != '\n');
                Ok(())
            }
            Some(_) => {
                Err(self.fault(self.at, "the value goes on behind its quotes", "put all of it into them"))
            }
        }
    }

    /// `$NAME`, `${NAME}` or `${NAME:-DEFAULT}`. Any other dollar sign is one.
    fn substitute(&mut self, value: &mut String) -> Result<(), Fault> {
        let start = self.at;
        self.next();
        let is_braced = self.peek() == Some('{');
        if is_braced {
            self.next();
        }
        let name = self.name(|character| character.is_ascii_alphanumeric() || character == '_');
        let mut default = None;
        if is_braced {
            let rest = &self.text[self.at..];
            let end = rest.find(['}', '\n']).filter(|end| rest[*end..].starts_with('}'));
            let inside = end.map(|end| &rest[..end]);
            default = inside.and_then(|inside| inside.strip_prefix(":-"));
            match inside {
                Some(inside) if !name.is_empty() && (inside.is_empty() || default.is_some()) => {
                    self.at += inside.len() + 1;
                }
                _ => {
                    let cure = "write ${NAME} or ${NAME:-default}, or `\\$` for a dollar sign";
                    return Err(self.fault(start, "this is no variable", cure));
                }
            }
        } else if name.is_empty() {
            value.push('$');
            return Ok(());
        }
        let set =
            self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let set = set.or_else(|| (self.known)(name)).filter(|set| default.is_none() || !set.is_empty());
        match set.as_deref().or(default) {
            Some(set) => value.push_str(set),
            None => {
                let cure = "set it above, write ${NAME:-} if it may be missing, or `\\$` for a dollar sign";
                return Err(self.fault(start, format!("{name} is not set"), cure));
            }
        }
        Ok(())
    }

    /// The name that stands here; empty if none does.
    fn name(&mut self, is_in_name: fn(char) -> bool) -> &'a str {
        let start = self.at;
        if self.peek().is_some_and(|first| first.is_ascii_alphabetic() || first == '_') {
            self.skip(is_in_name);
        }
        &self.text[start..self.at]
    }

    fn skip(&mut self, is_skipped: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&is_skipped) {
            self.next();
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn peek_second(&self) -> Option<char> {
        self.text[self.at..].chars().nth(1)
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn fault(&self, at: usize, problem: impl Into<String>, cure: &'static str) -> Fault {
        Fault { at, problem: problem.into(), cure, rest: Rest::IsFine }
    }

    fn unclosed(&self, open: usize, quote: char) -> Fault {
        let problem = format!("the quote {quote} is not closed");
        Fault { at: open, problem, cure: "close it where the value ends", rest: Rest::IsPartOfIt }
    }

    fn nul(&self) -> Fault {
        self.fault(self.at, "a variable cannot contain a NUL character", "remove it")
    }
}

/// Names as programs and other readers of such files take them.
fn is_in_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-')
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

fn position(text: &str, at: usize) -> Position {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Position {
        line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str) -> Option<String> {
        [("OWN", "of curfew"), ("EMPTY", ""), ("A", "of curfew")]
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    }

    #[track_caller]
    fn read(text: &str) -> Vec<(String, String)> {
        let (variables, errors) = parse_variables(text, &known);
        assert_eq!(errors, [], "{text:?}");
        variables
    }

    fn errors(text: &str) -> Vec<String> {
        let (_, errors) = parse_variables(text, &known);
        let show = |VariableError { position, problem, cure }: &VariableError| {
            format!("{}:{}: {problem}; {cure}", position.line, position.column)
        };
        errors.iter().map(show).collect()
    }

    #[test]
    fn a_line_is_a_name_and_a_value() {
        for (text, name, value) in [
            ("A=1", "A", "1"),
            ("A=", "A", ""),
            ("A =  two words \t", "A", "two words"),
            ("  export A=1\r\n", "A", "1"),
            ("export=1", "export", "1"),
            ("export  =1", "export", "1"),
            ("a.b-c_1=x=y", "a.b-c_1", "x=y"),
            ("A=größe", "A", "größe"),
            ("A=a#b", "A", "a#b"),
            ("A=#fff", "A", "#fff"),
            ("A= # nothing", "A", ""),
            ("A=a # b # c", "A", "a"),
            ("A=a \\# b", "A", "a # b"),
            ("A={\"key\": [1, 'two']}", "A", "{\"key\": [1, 'two']}"),
            ("A=-Xmx1g -Dx=\"y z\"", "A", "-Xmx1g -Dx=\"y z\""),
            ("A=a\\ ", "A", "a "),
            ("A=C:\\dir", "A", "C:\\dir"),
            ("A=a\\\\b\\$OWN", "A", "a\\b$OWN"),
            ("A=`x`", "A", "`x`"),
        ] {
            assert_eq!(read(text), [(name.to_owned(), value.to_owned())], "{text:?}");
        }
    }

    #[test]
    fn single_quotes_take_everything_as_it_is() {
        for (text, value) in [
            ("A='$OWN \\n \"x\" # y'", "$OWN \\n \"x\" # y"),
            ("A='one\ntwo'  # three", "one\ntwo"),
            ("A=''", ""),
        ] {
            assert_eq!(read(text), [("A".to_owned(), value.to_owned())], "{text:?}");
        }
    }

    #[test]
    fn double_quotes_know_backslashes_and_variables() {
        for (text, value) in [
            (r#"A="a\n\t\r\"\\\$OWN\'""#, "a\n\t\r\"\\$OWN'"),
            ("A=\"one\ntwo # no comment\"\t# a comment", "one\ntwo # no comment"),
            ("A=\"$OWN\"", "of curfew"),
            ("A=\"<$OWN>\"", "<of curfew>"),
            ("A=\" ${OWN} \"", " of curfew "),
        ] {
            assert_eq!(read(text), [("A".to_owned(), value.to_owned())], "{text:?}");
        }
    }

    #[test]
    fn a_variable_is_what_a_line_above_said_or_what_curfew_has() {
        let text = "DB=x\nDB_HOST=h\nB=$DB_HOST/$DB\nC=${A}\nA=1\nD=$A\nA=2\nE=${A}${EMPTY}!\nF=$OWN  \n\
                    G=${NONE:-a b}${EMPTY:-c}${OWN:-d}\nH=${NONE:-}";
        let values: Vec<String> = read(text).into_iter().map(|(_, value)| value).collect();
        assert_eq!(
            values,
            ["x", "h", "h/x", "of curfew", "1", "1", "2", "2!", "of curfew", "a bcof curfew", ""]
        );
    }

    #[test]
    fn a_dollar_sign_before_no_name_is_one() {
        for text in ["5$", "$", "a$ b", "$1", "$(x)", "$%", "$$"] {
            assert_eq!(read(&format!("A={text}"))[0].1, text);
            assert_eq!(read(&format!("A=\"{text}\""))[0].1, text);
        }
    }

    #[test]
    fn comments_and_empty_lines_do_not_count() {
        assert_eq!(read("\n  # A=1\n\t\n#\nA=1 #2\n\n#B=2\n   \n"), [("A".to_owned(), "1".to_owned())]);
        assert_eq!(read(""), []);
    }

    #[test]
    fn what_is_no_variable_is_told_at_its_place_and_the_rest_is_read() {
        let set = "set it above, write ${NAME:-} if it may be missing, or `\\$` for a dollar sign";
        let braces = "write ${NAME} or ${NAME:-default}, or `\\$` for a dollar sign";
        let no_name =
            "no name of a variable begins here; write NAME=value; a name begins with a letter or `_`";
        for (text, error) in [
            ("x y", "1:1: there is no `=` behind x; write NAME=value".to_owned()),
            ("export A", "1:1: there is no `=` behind A; write NAME=value".to_owned()),
            ("A: 1", "1:1: there is no `=` behind A; write NAME=value".to_owned()),
            ("=1", format!("1:1: {no_name}")),
            ("B=1\n 1A=1", format!("2:2: {no_name}")),
            ("A=\"x\"y", "1:6: the value goes on behind its quotes; put all of it into them".to_owned()),
            ("A='it''s'", "1:7: the value goes on behind its quotes; put all of it into them".to_owned()),
            (
                "A=\"größe \\d\"",
                "1:10: this backslash means nothing here; write `\\\\` for a backslash, or put the value in single quotes"
                    .to_owned(),
            ),
            ("A=pa$word", format!("1:5: word is not set; {set}")),
            ("A=\"${NONE}\"", format!("1:4: NONE is not set; {set}")),
            ("A=${OWN", format!("1:3: this is no variable; {braces}")),
            ("A=${1}", format!("1:3: this is no variable; {braces}")),
            ("A=${OWN?x}", format!("1:3: this is no variable; {braces}")),
            ("A=${OWN\nB=}", format!("1:3: this is no variable; {braces}")),
            ("A=a\0b", "1:4: a variable cannot contain a NUL character; remove it".to_owned()),
            ("A='a\0b'", "1:5: a variable cannot contain a NUL character; remove it".to_owned()),
        ] {
            assert_eq!(errors(text)[..1], [error], "{text:?}");
        }
        let (variables, errors) = parse_variables("A\nB=1\n=\nC=2", &known);
        assert_eq!((variables.len(), errors.len()), (2, 2));
    }

    #[test]
    fn what_is_not_closed_is_one_error() {
        for (text, error) in [
            ("A=1\nB=\"x\nC=2\nD\n", "2:3: the quote \" is not closed; close it where the value ends"),
            ("A='x\nB='y'", "2:4: the value goes on behind its quotes; put all of it into them"),
            ("A='x", "1:3: the quote ' is not closed; close it where the value ends"),
        ] {
            assert_eq!(errors(text), [error], "{text:?}");
        }
    }
}
