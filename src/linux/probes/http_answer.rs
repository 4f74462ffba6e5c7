/// What a server answers, as far as it is read: the first line says what we want to know.
#[derive(Debug)]
pub(super) struct HttpAnswer {
    wanted: Option<u16>,
    bytes: Vec<u8>,
}

/// How far the reading came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// More is needed.
    More,
    /// The answer is known.
    Over(Result<(), String>),
}

/// No more of an answer is read.
const ANSWER_MAX: usize = 8 * 1024;
/// How much of the text of a failure is told.
const TEXT_MAX: usize = 80;

impl HttpAnswer {
    /// `wanted` is the status that is success; `None`: 200 to 399.
    pub(super) const fn new(wanted: Option<u16>) -> Self {
        Self { wanted, bytes: Vec::new() }
    }

    /// Takes in what came; nothing is the end of the connection.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Reading {
        self.bytes.extend_from_slice(bytes);
        let is_over = bytes.is_empty() || self.bytes.len() >= ANSWER_MAX;
        let Some(line_end) = self.bytes.iter().position(|byte| *byte == b'\n') else {
            return match (is_over, self.bytes.is_empty()) {
                (false, _)
                    if b"HTTP/".starts_with(&self.bytes[..self.bytes.len().min(5)])
                        || self.bytes.starts_with(b"HTTP/") =>
                {
                    Reading::More
                }
                (true, true) => Reading::Over(Err("the connection was closed without an answer".to_owned())),
                _ => Reading::Over(Err(format!("this is no HTTP: {}", plain(&self.bytes)))),
            };
        };
        let line = String::from_utf8_lossy(&self.bytes[..line_end]).trim_end().to_owned();
        let Some(status) = parse_status(&line) else {
            return Reading::Over(Err(format!("this is no HTTP: {}", plain(&self.bytes[..line_end]))));
        };
        let is_success = match self.wanted {
            Some(wanted) => status == wanted,
            None => (200..400).contains(&status),
        };
        if is_success {
            return Reading::Over(Ok(()));
        }
        // The text of a failure may say more: what of it has come with the head is told.
        let head_end = self.bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        match head_end {
            None if !is_over => Reading::More,
            head_end => {
                let text = head_end.map(|end| plain(&self.bytes[end + 4..])).unwrap_or_default();
                let line = line.split_once(' ').map_or(line.as_str(), |(_, rest)| rest);
                let separator = if text.is_empty() { "" } else { ": " };
                Reading::Over(Err(format!("HTTP {}{separator}{text}", plain(line.as_bytes()))))
            }
        }
    }
}

/// The status in `HTTP/1.1 200 OK`.
fn parse_status(line: &str) -> Option<u16> {
    let (version, rest) = line.split_once(' ')?;
    let status = rest.split(' ').next()?;
    (version.starts_with("HTTP/") && status.len() == 3).then(|| status.parse().ok())?
}

/// The beginning of it, in characters that can be shown in a log.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    shown.take(TEXT_MAX).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(wanted: Option<u16>, parts: &[&[u8]]) -> Reading {
        let mut answer = HttpAnswer::new(wanted);
        let mut last = Reading::More;
        for part in parts {
            assert_eq!(last, Reading::More);
            last = answer.take(part);
        }
        last
    }

    fn failure(text: &str) -> Reading {
        Reading::Over(Err(text.to_owned()))
    }

    #[test]
    fn the_first_line_says_whether_all_is_well() {
        for status in ["200 OK", "204", "301 Moved"] {
            let line = format!("HTTP/1.1 {status}\r\n");
            assert_eq!(answer(None, &[line.as_bytes()]), Reading::Over(Ok(())), "{status}");
        }
        assert_eq!(answer(Some(503), &[b"HTTP/1.1 503 Nope\r\n"]), Reading::Over(Ok(())));
        assert_eq!(answer(None, &[b"HT", b"TP/1.0 20", b"0 OK\r\n"]), Reading::Over(Ok(())));
    }

    #[test]
    fn a_failure_is_told_with_the_beginning_of_its_text() {
        let head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\n";
        assert_eq!(answer(None, &[head]), failure("HTTP 503 Service Unavailable"));
        let whole = [&head[..], b"no\x1b[31m database\n"].concat();
        assert_eq!(answer(None, &[&whole]), failure("HTTP 503 Service Unavailable: no [31m database"));
        assert_eq!(answer(Some(204), &[b"HTTP/1.1 200 OK\r\n\r\n"]), failure("HTTP 200 OK"));
        assert_eq!(answer(None, &[b"HTTP/1.1 500\r\nX: ", b""]), failure("HTTP 500"));
    }

    #[test]
    fn what_is_no_http_or_has_no_end_is_told() {
        assert_eq!(answer(None, &[b"SSH-2.0-OpenSSH\r\n"]), failure("this is no HTTP: SSH-2.0-OpenSSH"));
        assert_eq!(answer(None, &[b"SSH"]), failure("this is no HTTP: SSH"));
        assert_eq!(answer(None, &[b""]), failure("the connection was closed without an answer"));
        assert_eq!(answer(None, &[b"HTTP/1.1 OK\n"]), failure("this is no HTTP: HTTP/1.1 OK"));
        let endless = [&b"HTTP/"[..], &[b'x'; ANSWER_MAX]].concat();
        assert!(matches!(answer(None, &[&endless]), Reading::Over(Err(_))));
    }
}
