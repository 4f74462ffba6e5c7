use super::SyntaxError;
use crate::nearest::proposal;

/// Reads one of a few words.
pub(crate) fn parse_choice<T: Copy>(text: &str, choices: &[(&'static str, T)]) -> Result<T, SyntaxError> {
    choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice).ok_or_else(|| {
        let words = choices.iter().map(|(word, _)| *word);
        SyntaxError::whole(text, format!("unknown value `{text}`"), proposal(text, words))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_as_it_is_written_and_no_other() {
        let choices = [("human", 1), ("json", 2)];
        assert_eq!(parse_choice("json", &choices), Ok(2));
        assert_eq!(
            parse_choice("JSON", &choices).unwrap_err().to_string(),
            "unknown value `JSON`; did you mean `json`?"
        );
        assert_eq!(parse_choice("xml", &choices).unwrap_err().cure, "write one of human, json");
    }
}
