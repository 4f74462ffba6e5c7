use std::time::Duration;

/// Reads a time span as systemd prints it: `1min 30s`, `500ms`, `1.500000s`, `infinity`. Infinity is [`Duration::MAX`].
///
/// Source: systemd.time(7).
pub fn parse_time_span(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text == "infinity" {
        return Some(Duration::MAX);
    }
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut words = text.split_whitespace().peekable();
    words.peek()?;
    words.try_fold(Duration::ZERO, |sum, word| sum.checked_add(parse_part(word)?))
}

/// The length of each unit in microseconds, as systemd counts them: a year has 365.25 days.
const UNITS: [(&str, u64); 9] = [
    ("us", 1),
    ("ms", 1000),
    ("s", SECOND),
    ("min", 60 * SECOND),
    ("h", 3600 * SECOND),
    ("d", 86_400 * SECOND),
    ("w", 604_800 * SECOND),
    ("month", 2_629_800 * SECOND),
    ("y", 31_557_600 * SECOND),
];
const SECOND: u64 = 1_000_000;

fn parse_part(word: &str) -> Option<Duration> {
    let unit_at = word.find(|character: char| character.is_ascii_alphabetic() || character == 'μ')?;
    let (number, unit) = word.split_at(unit_at);
    let unit = if unit == "μs" { "us" } else { unit };
    let (_, length) = UNITS.into_iter().find(|(known, _)| *known == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(length)?;
    let part =
        u128::from(fraction.parse::<u64>().ok()?) * u128::from(length) / 10_u128.pow(fraction.len() as u32);
    Some(Duration::from_micros(whole.checked_add(part as u64)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_systemd_prints_them() {
        let milliseconds = Duration::from_millis;
        for (text, span) in [
            ("1min 30s", milliseconds(90_000)),
            ("5s", milliseconds(5000)),
            ("500ms", milliseconds(500)),
            ("1.500000s", milliseconds(1500)),
            ("1min 30.500000s", milliseconds(90_500)),
            ("1.005ms", Duration::from_micros(1005)),
            ("7us", Duration::from_micros(7)),
            ("7μs", Duration::from_micros(7)),
            ("1y 2month 3w 1.005ms", Duration::from_micros(38_631_600_001_005)),
            ("1d 2h", milliseconds(26 * 3_600_000)),
            ("0", Duration::ZERO),
            ("infinity", Duration::MAX),
            (" 90s ", milliseconds(90_000)),
        ] {
            assert_eq!(parse_time_span(text), Some(span), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_none() {
        for text in [
            "",
            " ",
            "s",
            "5",
            "5 s",
            "-5s",
            "5parsecs",
            ".5s",
            "5.s",
            "1.2.3s",
            "99999999999999999999s",
            "9999999999y",
            "[not set]",
        ] {
            assert_eq!(parse_time_span(text), None, "{text}");
        }
    }
}
