use std::fmt;
use std::ops::Range;

/// What is wrong with a piece of text, where in it, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The bytes of the text that are wrong. Empty: something is missing there.
    pub span: Range<usize>,
    /// What is wrong: a lower-case fragment.
    pub problem: String,
    /// What to write instead.
    pub cure: String,
    /// What else is wrong with the text.
    pub also: Vec<Self>,
}

impl SyntaxError {
    /// An error at these bytes of the text.
    pub fn new(span: Range<usize>, problem: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { span, problem: problem.into(), cure: cure.into(), also: Vec::new() }
    }

    /// An error of the whole text.
    pub fn whole(text: &str, problem: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(0..text.len(), problem, cure)
    }

    /// All of these as one, the first in the text first; `None`: there are none.
    pub(crate) fn all(errors: Vec<Self>) -> Option<Self> {
        let mut all = Vec::new();
        for mut error in errors {
            all.append(&mut error.also);
            all.push(error);
        }
        all.sort_by_key(|error| error.span.start);
        let mut all = all.into_iter();
        let first = all.next()?;
        Some(Self { also: all.collect(), ..first })
    }

    /// It, and what else is wrong.
    pub(crate) fn each(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.also)
    }

    /// The same error in a longer text, in which the wrong one begins at byte `offset`.
    #[must_use]
    pub fn shifted(self, offset: usize) -> Self {
        let also = self.also.into_iter().map(|error| error.shifted(offset)).collect();
        Self { span: self.span.start + offset..self.span.end + offset, also, ..self }
    }

    /// The text, and below it a line with carets under the exact place; both indented by two.
    pub fn excerpt(&self, text: &str) -> String {
        // A control character would break the line, or worse, do what it says to the terminal.
        let shown: String =
            text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
        let width_of = |part: Option<&str>| -> usize { part.unwrap_or_default().chars().map(columns).sum() };
        let indent = width_of(text.get(..self.span.start));
        let carets = width_of(text.get(self.span.clone())).max(1);
        format!("  {shown}\n  {}{}", " ".repeat(indent), "^".repeat(carets))
    }

    /// Each error, the text and the place in it: three lines.
    pub fn render(&self, text: &str) -> String {
        let each: Vec<_> = self.each().map(|error| format!("{error}\n{}", error.excerpt(text))).collect();
        each.join("\n")
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}; {}", self.problem, self.cure)
    }
}

/// How many columns of a terminal a character takes: nearly always one. The ranges are the large ones of Unicode's
/// East Asian Width, and the marks that join the character before them.
fn columns(character: char) -> usize {
    match character as u32 {
        0x0300..=0x036F | 0x200B..=0x200F | 0x20D0..=0x20FF | 0xFE00..=0xFE0F => 0,
        0x1100..=0x115F
        | 0x2E80..=0xA4CF
        | 0xAC00..=0xD7A3
        | 0xF900..=0xFAFF
        | 0xFE30..=0xFE6F
        | 0xFF01..=0xFF60
        | 0xFFE0..=0xFFE6
        | 0x1F300..=0x1F64F
        | 0x1F680..=0x1F6FF
        | 0x1F900..=0x1F9FF
        | 0x20000..=0x3FFFD => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn underlined(text: &str, wrong: &str) -> String {
        let start = text.find(wrong).unwrap();
        SyntaxError::new(start..start + wrong.len(), "wrong", "right").excerpt(text)
    }

    #[test]
    fn the_carets_stand_under_the_wrong_part() {
        assert_eq!(underlined("TERM 10x", "10x"), "  TERM 10x\n       ^^^");
    }

    #[test]
    fn characters_of_several_bytes_or_columns_move_no_caret() {
        assert_eq!(underlined("äöü 10x", "10x"), "  äöü 10x\n      ^^^");
        assert_eq!(underlined("終了 10x", "10x"), "  終了 10x\n       ^^^");
        assert_eq!(underlined("e\u{301} 10x", "10x"), "  e\u{301} 10x\n    ^^^");
        assert_eq!(underlined("TERM 終", "終"), "  TERM 終\n       ^^");
    }

    #[test]
    fn a_missing_part_gets_one_caret() {
        assert_eq!(SyntaxError::new(4..4, "", "").excerpt("TERM"), "  TERM\n      ^");
    }

    #[test]
    fn control_characters_are_not_shown() {
        assert_eq!(underlined("TERM\n\u{1b}[2J x", "x"), "  TERM  [2J x\n            ^");
    }

    #[test]
    fn an_error_moves_with_its_text() {
        let error = SyntaxError::whole("10x", "wrong", "right").shifted(5);
        assert_eq!(error.render("TERM 10x"), "wrong; right\n  TERM 10x\n       ^^^");
    }
}
