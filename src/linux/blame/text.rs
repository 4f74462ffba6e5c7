//! Text that a process chose itself, or that is longer than anybody wants to read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// Reads no more than this much of a file.
pub(super) fn read_bounded(path: impl AsRef<Path>, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Bytes as text of at most `limit` characters, whatever they are.
pub(super) fn decode(bytes: &[u8], limit: usize) -> String {
    // A character is four bytes at most: a long text is not decoded whole only to be cut.
    let start = &bytes[..bytes.len().min(limit.saturating_mul(4) + 4)];
    shorten(&String::from_utf8_lossy(start), limit)
}

/// At most `limit` characters; what is left out is in the middle, for the end of a path says most.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    let length = text.chars().count();
    if length <= limit {
        return text.to_owned();
    }
    let kept = limit.saturating_sub(1);
    let head = kept / 3;
    let tail = kept - head;
    text.chars().take(head).chain(['…']).chain(text.chars().skip(length - tail)).collect()
}

/// Whole milliseconds, for JSON.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A duration as it is said: `12 s`, `9.8 s`, `750 ms`.
pub(super) fn in_words(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    if milliseconds < 1000 {
        return format!("{milliseconds} ms");
    }
    let tenths = milliseconds / 100;
    if tenths >= 100 || tenths.is_multiple_of(10) {
        format!("{} s", tenths / 10)
    } else {
        format!("{}.{} s", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_loses_its_middle() {
        assert_eq!(shorten("abcdefghij", 10), "abcdefghij");
        assert_eq!(shorten("abcdefghijk", 10), "abc…fghijk");
        assert_eq!(shorten("äöüß", 3), "…üß");
        assert_eq!(shorten("abc", 0), "…");
    }

    #[test]
    fn bytes_that_are_no_text_are_text_all_the_same() {
        assert_eq!(decode(b"a\xffb", 10), "a\u{fffd}b");
        assert_eq!(decode(&[b'x'; 100_000], 5).chars().count(), 5);
        assert_eq!(decode(b"", 5), "");
    }

    #[test]
    fn durations_are_said_shortly() {
        for (milliseconds, words) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1 s"),
            (9_840, "9.8 s"),
            (10_020, "10 s"),
            (12_300, "12 s"),
        ] {
            let duration = Duration::new(milliseconds / 1000, (milliseconds % 1000) as u32 * 1_000_000);
            assert_eq!(in_words(duration), words);
        }
    }
}
