use std::ops::Range;
use std::time::Duration;

use super::SyntaxError;

/// The longest duration that is taken seriously: 30 days. Beyond it stands a slip, such as `10M`, which is ten months.
pub const LONGEST_DURATION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Reads a duration as people write it: `10s`, `1m 30s`, `500ms`. Zero is `0s`.
///
/// # Errors
/// No unit, an unknown unit, or more than [`LONGEST_DURATION`].
///
/// Source: the grammar is that of the humantime package.
pub fn parse_duration(text: &str) -> Result<Duration, SyntaxError> {
    let duration = humantime::parse_duration(text).map_err(|error| explain(text, error))?;
    if duration <= LONGEST_DURATION {
        return Ok(duration);
    }
    let cure = match text.trim().strip_suffix('M') {
        Some(number) => format!("`M` means months, write `{number}m` for minutes"),
        None => "write `30days` or less".to_owned(),
    };
    Err(SyntaxError::new(trimmed(text), format!("`{}` is absurdly long", text.trim()), cure))
}

/// Reads a duration that must not be zero.
///
/// # Errors
/// As [`parse_duration`], and zero.
pub fn parse_positive_duration(text: &str) -> Result<Duration, SyntaxError> {
    match parse_duration(text)? {
        Duration::ZERO => Err(SyntaxError::new(trimmed(text), "the duration is zero", "write `1s` or more")),
        duration => Ok(duration),
    }
}

/// A duration as [`parse_duration`] reads it back: `1m 30s`.
pub(crate) fn format_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn explain(text: &str, error: humantime::DurationError) -> SyntaxError {
    use humantime::DurationError::{Empty, InvalidCharacter, NumberExpected, NumberOverflow, UnknownUnit};
    const UNITS: &str = "the units are ms, s, m, h, d";
    let whole = text.trim();
    match error {
        Empty => SyntaxError::whole(text, "no duration is given", "write one such as `10s`"),
        NumberOverflow => SyntaxError::new(
            trimmed(text),
            format!("`{whole}` is too long or too fine to be a duration"),
            "write between `1ms` and `30days`",
        ),
        UnknownUnit { start, end, unit, .. } => {
            let number = number_before(text, start);
            let digits = text[number.clone()].trim();
            let span = number.start..end.max(number.end);
            if unit.is_empty() {
                return SyntaxError::new(
                    number,
                    format!("`{digits}` has no unit"),
                    format!("write `{digits}s`"),
                );
            }
            let lower = unit.to_ascii_lowercase();
            let unit_meant = if is_unit(&lower) { &lower } else { "s" };
            SyntaxError::new(
                span,
                format!("unknown unit `{unit}`"),
                format!("write `{digits}{unit_meant}`; {UNITS}"),
            )
        }
        InvalidCharacter(offset) | NumberExpected(offset) => {
            let span = word_around(text, offset);
            let word = &text[span.clone()];
            let rest = whole.trim_start_matches('-');
            if whole.starts_with('-') && humantime::parse_duration(rest).is_ok() {
                return SyntaxError::new(span, format!("`{whole}` is negative"), format!("write `{rest}`"));
            }
            SyntaxError::new(
                span,
                format!("`{word}` is no duration"),
                format!("write one such as `10s`; {UNITS}"),
            )
        }
    }
}

fn is_unit(unit: &str) -> bool {
    humantime::parse_duration(&format!("1{unit}")).is_ok()
}

/// Where the text is, without the space around it.
fn trimmed(text: &str) -> Range<usize> {
    let start = text.len() - text.trim_start().len();
    start..start + text.trim().len()
}

/// The number that ends at byte `end`, where its unit begins or is missing.
fn number_before(text: &str, end: usize) -> Range<usize> {
    let before = &text[..end];
    let is_number =
        |character: char| character.is_ascii_digit() || character == '.' || character.is_whitespace();
    let number = &before[before.trim_end_matches(is_number).len()..];
    let start = end - number.trim_start().len();
    start..start + number.trim().len()
}

/// The word around byte `offset`.
fn word_around(text: &str, offset: usize) -> Range<usize> {
    let start = text[..offset]
        .rfind(char::is_whitespace)
        .map_or(0, |space| space + text[space..].chars().next().map_or(1, char::len_utf8));
    let end = text[offset..].find(char::is_whitespace).map_or(text.len(), |space| offset + space);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, milliseconds) in [
            ("10s", 10_000),
            ("1m 30s", 90_000),
            ("500ms", 500),
            (" 1.5s ", 1500),
            ("0s", 0),
            ("2h", 7_200_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text:?}");
        }
        assert_eq!(parse_duration("30days"), Ok(LONGEST_DURATION));
    }

    #[test]
    fn a_duration_is_read_back_as_it_is_printed() {
        for nanoseconds in [1, 1_000_001, 90_000_000_000, 86_400_000_000_123, 30 * 86_400_000_000_000] {
            let duration = Duration::from_nanos(nanoseconds);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }

    #[test]
    fn every_mistake_is_underlined_and_has_a_cure() {
        for (text, rendering) in [
            ("10", "`10` has no unit; write `10s`\n  10\n  ^^"),
            ("1.5", "`1.5` has no unit; write `1.5s`\n  1.5\n  ^^^"),
            ("1m 30", "`30` has no unit; write `30s`\n  1m 30\n     ^^"),
            ("10x", "unknown unit `x`; write `10s`; the units are ms, s, m, h, d\n  10x\n  ^^^"),
            ("1m 10 x", "unknown unit `x`; write `10s`; the units are ms, s, m, h, d\n  1m 10 x\n     ^^^^"),
            ("10S", "unknown unit `S`; write `10s`; the units are ms, s, m, h, d\n  10S\n  ^^^"),
            ("", "no duration is given; write one such as `10s`\n  \n  ^"),
            ("-5s", "`-5s` is negative; write `5s`\n  -5s\n  ^^^"),
            (
                "1m soon",
                "`soon` is no duration; write one such as `10s`; the units are ms, s, m, h, d\n  1m soon\n     ^^^^",
            ),
            (
                "ä 5s",
                "`ä` is no duration; write one such as `10s`; the units are ms, s, m, h, d\n  ä 5s\n  ^",
            ),
            (
                "5s/2",
                "`5s/2` is no duration; write one such as `10s`; the units are ms, s, m, h, d\n  5s/2\n  ^^^^",
            ),
            ("10M", "`10M` is absurdly long; `M` means months, write `10m` for minutes\n  10M\n  ^^^"),
            (" 1y", "`1y` is absurdly long; write `30days` or less\n   1y\n   ^^"),
            (
                "99999999999999999999s",
                "`99999999999999999999s` is too long or too fine to be a duration; \
                 write between `1ms` and `30days`\n  99999999999999999999s\n  ^^^^^^^^^^^^^^^^^^^^^",
            ),
        ] {
            assert_eq!(parse_duration(text).unwrap_err().render(text), rendering, "{text:?}");
        }
    }

    #[test]
    fn zero_is_refused_where_it_makes_no_sense() {
        assert_eq!(
            parse_positive_duration("0ms").unwrap_err().to_string(),
            "the duration is zero; write `1s` or more"
        );
        assert_eq!(parse_positive_duration("1ms"), Ok(Duration::from_millis(1)));
    }
}
