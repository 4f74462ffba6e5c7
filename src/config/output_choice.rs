use std::path::PathBuf;

use super::SyntaxError;
use crate::nearest::nearest;

/// Where a service's standard output and standard error lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputChoice {
    /// Where curfew's own do, untouched.
    Inherit,
    /// There too, each line behind the service's name.
    Prefix,
    /// There too, each line as an object of JSON.
    Json,
    /// To the journal, under the service's own name.
    Journal,
    /// Nowhere.
    Null,
    /// To this file.
    File(PathBuf),
}

/// The words for those that are one.
const WORDS: [(&str, OutputChoice); 5] = [
    ("inherit", OutputChoice::Inherit),
    ("prefix", OutputChoice::Prefix),
    ("json", OutputChoice::Json),
    ("journal", OutputChoice::Journal),
    ("null", OutputChoice::Null),
];
/// How a file is named on the command line.
const FILE: &str = "file=";

/// Reads one of the words, as a file and the command line write it.
///
/// # Errors
/// It is another word. What looks like a path is probably meant to be one.
pub(crate) fn parse_output_word(text: &str) -> Result<OutputChoice, SyntaxError> {
    parse_word(text, "{ file = \"", "\" }")
}

/// Reads a word, or `file=PATH`, as the command line writes it.
///
/// # Errors
/// It is another word, or the path is empty.
pub(crate) fn parse_output(text: &str) -> Result<OutputChoice, SyntaxError> {
    match text.strip_prefix(FILE) {
        None => parse_word(text, FILE, ""),
        Some("") => Err(SyntaxError::new(
            FILE.len()..FILE.len(),
            "the path is empty",
            "name a file, such as file=/var/log/api.log",
        )),
        Some(path) => Ok(OutputChoice::File(PathBuf::from(path))),
    }
}

fn parse_word(text: &str, before: &str, after: &str) -> Result<OutputChoice, SyntaxError> {
    if let Some((_, choice)) = WORDS.iter().find(|(word, _)| *word == text) {
        return Ok(choice.clone());
    }
    let words = || WORDS.iter().map(|(word, _)| *word);
    let cure = if text.contains(['/', '.']) {
        format!("for a file write {before}{text}{after}")
    } else if let Some(nearest) = nearest(text, words()) {
        format!("did you mean `{nearest}`?")
    } else {
        let words: Vec<&str> = words().collect();
        format!("write one of {}, or {before}PATH{after}", words.join(", "))
    };
    Err(SyntaxError::whole(text, format!("unknown value `{text}`"), cure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_files_are_told_apart() {
        assert_eq!(parse_output("json"), Ok(OutputChoice::Json));
        assert_eq!(parse_output("file=a/b.log"), Ok(OutputChoice::File("a/b.log".into())));
        assert_eq!(parse_output_word("null"), Ok(OutputChoice::Null));
        // In a file it is a table.
        assert!(parse_output_word("file=a/b.log").is_err());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_cure() {
        for (text, cure) in [
            ("prefixed", "did you mean `prefix`?"),
            ("/var/log/x.log", "for a file write file=/var/log/x.log"),
            ("syslog", "write one of inherit, prefix, json, journal, null, or file=PATH"),
            ("file=", "name a file, such as file=/var/log/api.log"),
        ] {
            assert_eq!(parse_output(text).unwrap_err().cure, cure);
        }
        let error = parse_output_word("./x.log").unwrap_err();
        assert_eq!(error.cure, "for a file write { file = \"./x.log\" }");
    }
}
