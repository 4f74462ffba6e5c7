use std::io::Write;

use super::label::Label;
use super::line_buffer::Line;
use super::sink::Stream;

/// What is put around each line of a service.
#[derive(Clone, Debug)]
pub(crate) enum Dress {
    /// Nothing: whole lines as they are.
    Plain {
        /// Whether a last line without an end gets one: others write to the same file.
        ends_last_line: bool,
    },
    /// The service's name before it.
    Prefix {
        /// Before a line.
        first: Vec<u8>,
        /// Before the further pieces of a line that was cut.
        further: Vec<u8>,
    },
    /// An object of JSON around it.
    Json {
        /// What stands between the time and the line.
        middle: Vec<u8>,
    },
}

impl Dress {
    /// A name before each line, coloured for a terminal.
    pub(crate) fn prefix(label: &Label, is_coloured: bool) -> Self {
        Self::Prefix { first: label.before('|', is_coloured), further: label.before('+', is_coloured) }
    }

    /// JSON lines of this service and stream. The name needs no escapes.
    pub(crate) fn json(service: &str, stream: Stream) -> Self {
        let stream = stream.name();
        Self::Json {
            middle: format!("\",\"service\":\"{service}\",\"stream\":\"{stream}\",\"line\":").into_bytes(),
        }
    }

    /// Puts the dressed line behind what is in `batch` already. `time` is that of the line, for JSON.
    pub(crate) fn put(&self, line: Line, time: &str, batch: &mut Vec<u8>) {
        match self {
            Self::Plain { .. } => {
                batch.extend_from_slice(line.bytes);
                if line.is_cut {
                    return;
                }
            }
            Self::Prefix { first, further } => {
                batch.extend_from_slice(if line.continues { further } else { first });
                batch.extend_from_slice(line.bytes);
            }
            Self::Json { middle } => {
                batch.extend_from_slice(b"{\"time\":\"");
                batch.extend_from_slice(time.as_bytes());
                batch.extend_from_slice(middle);
                put_string(line.bytes, batch);
                batch.extend_from_slice(if line.is_cut { b",\"partial\":true}" } else { b"}" });
            }
        }
        batch.push(b'\n');
    }

    /// Whether lines need the time of day.
    pub(crate) const fn wants_time(&self) -> bool {
        matches!(self, Self::Json { .. })
    }
}

/// Puts the bytes as a string of JSON; what is no UTF-8 becomes U+FFFD.
fn put_string(bytes: &[u8], batch: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(bytes);
    // Nearly every line needs no escape, and looking for one is much faster than writing character by character.
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        batch.push(b'"');
        batch.extend_from_slice(text.as_bytes());
        batch.push(b'"');
        return;
    }
    let written = serde_json::to_writer(batch.by_ref(), &*text);
    debug_assert!(written.is_ok(), "writing into memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::super::label::Palette;
    use super::*;

    fn put(dress: &Dress, bytes: &[u8], continues: bool, is_cut: bool) -> String {
        let mut batch = b"before\n".to_vec();
        dress.put(Line { bytes, continues, is_cut }, "2026-01-02T03:04:05.678Z", &mut batch);
        String::from_utf8(batch).unwrap().strip_prefix("before\n").unwrap().to_owned()
    }

    #[test]
    fn a_prefix_is_the_name_and_a_bar() {
        let dress = Dress::prefix(&Palette::new(["api", "dashboard"]).label("api", 0), false);
        assert_eq!(put(&dress, b"hello", false, false), "api       | hello\n");
        assert_eq!(put(&dress, b"", false, false), "api       | \n");
        assert_eq!(put(&dress, b"a", false, true), "api       | a\n");
        assert_eq!(put(&dress, b"b", true, false), "api       + b\n");
    }

    #[test]
    fn a_json_line_is_one_object_whatever_bytes_are_on_the_line() {
        let dress = Dress::json("api", Stream::Error);
        assert_eq!(
            put(&dress, b"hello", false, false),
            "{\"time\":\"2026-01-02T03:04:05.678Z\",\"service\":\"api\",\"stream\":\"stderr\",\"line\":\"hello\"}\n"
        );
        for (bytes, line) in [
            (&b"say \"hi\"\\\t\x1b[0m\0\r"[..], "say \"hi\"\\\t\u{1b}[0m\0\r"),
            (b"\xff\xfe caf\xc3\xa9", "\u{fffd}\u{fffd} café"),
            (b"", ""),
        ] {
            let text = put(&dress, bytes, false, false);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["line"], line);
            assert_eq!(text.matches('\n').count(), 1);
        }
        let cut: serde_json::Value = serde_json::from_str(&put(&dress, b"a", false, true)).unwrap();
        assert_eq!(cut["partial"], true);
    }

    #[test]
    fn a_plain_line_is_as_it_was_and_a_cut_one_has_no_end() {
        let dress = Dress::Plain { ends_last_line: true };
        assert_eq!(put(&dress, b"a", false, false), "a\n");
        assert_eq!(put(&dress, b"a", false, true), "a");
    }
}
