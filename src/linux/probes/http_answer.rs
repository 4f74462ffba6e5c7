/// What a server answers, as far as it is read.
///
/// The first line says what we want to know. The rest is read all the same, within bounds: who hangs up in the middle of an
/// answer makes the server write of broken pipes into its log, at every probe.
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
        let room = ANSWER_MAX - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let is_over = bytes.is_empty() || bytes.len() >= room;
        match self.conclude(is_over) {
            Some(result) => Reading::Over(result),
            None => Reading::More,
        }
    }

    /// What the answer comes to; `None`: that is not known yet. `is_over`: no more will be read.
    fn conclude(&self, is_over: bool) -> Option<Result<(), String>> {
        let mut rest = &self.bytes[..];
        loop {
            if rest.is_empty() {
                return is_over.then(|| Err("the connection was closed without an answer".to_owned()));
            }
            let line_end = rest.iter().position(|byte| *byte == b'\n');
            let line = &rest[..line_end.unwrap_or(rest.len())];
            let status = parse_status(line);
            let (Some(status), Some(_)) = (status, line_end) else {
                let is_hopeless = is_over || line_end.is_some() || !can_begin_status(line);
                return is_hopeless.then(|| Err(format!("this is no HTTP: {}", plain(line))));
            };
            let Some((head, body)) = split_head(rest) else {
                return is_over.then(|| self.judge(status, line, &[]));
            };
            // What comes before the answer itself: `100 Continue`, `103 Early Hints`.
            if matches!(status, 100 | 102..=199) {
                rest = body;
                continue;
            }
            let (text, is_whole) = read_body(status, head, body);
            return (is_whole || is_over).then(|| self.judge(status, line, &text));
        }
    }

    fn judge(&self, status: u16, line: &[u8], text: &[u8]) -> Result<(), String> {
        let is_success = match self.wanted {
            Some(wanted) => status == wanted,
            None => (200..400).contains(&status),
        };
        if is_success {
            return Ok(());
        }
        let words = line.iter().position(|byte| *byte == b' ').map_or(line, |blank| &line[blank..]);
        let (words, text) = (plain(words), plain(text));
        let separator = if text.is_empty() { "" } else { ": " };
        Err(format!("HTTP {words}{separator}{text}"))
    }
}

/// The status in `HTTP/1.1 200 OK`.
fn parse_status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/")?;
    let mut words = rest.trim_ascii_end().split(|byte| *byte == b' ').skip(1);
    match *words.next()? {
        [hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some(
            [hundreds, tens, ones].into_iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')),
        ),
        _ => None,
    }
}

/// Whether this may be the beginning of a first line.
fn can_begin_status(line: &[u8]) -> bool {
    let name = b"HTTP/";
    line.starts_with(name) || name.starts_with(line)
}

/// The head, and what comes after its empty line; `None`: that has not come.
fn split_head(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut start = 0;
    loop {
        let end = start + bytes[start..].iter().position(|byte| *byte == b'\n')?;
        if bytes[start..end].trim_ascii().is_empty() {
            return Some((&bytes[..start], &bytes[end + 1..]));
        }
        start = end + 1;
    }
}

/// The text of an answer as far as it came, and whether that is all of it.
fn read_body(status: u16, head: &[u8], body: &[u8]) -> (Vec<u8>, bool) {
    if matches!(status, 204 | 304) {
        return (Vec::new(), true);
    }
    let has_word = |value: &[u8], word: &str| {
        value.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    if header(head, "transfer-encoding").is_some_and(|value| has_word(value, "chunked")) {
        return read_chunks(body);
    }
    if let Some(value) = header(head, "content-length") {
        let length = std::str::from_utf8(value).ok().and_then(|value| value.parse::<usize>().ok());
        let length = length.unwrap_or(0);
        return (body[..body.len().min(length)].to_vec(), body.len() >= length);
    }
    // Nobody says how long it is: the end of the connection is its end, if that is announced. If it is not, there are
    // servers that wait for ours.
    let is_announced = header(head, "connection").is_some_and(|value| has_word(value, "close"));
    (body.to_vec(), !is_announced)
}

/// The value of a header.
fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
    })
}

/// The text in chunks, and whether the last one is there. What is no chunk ends it.
///
/// Source: RFC 9112, section 7.1.
fn read_chunks(mut body: &[u8]) -> (Vec<u8>, bool) {
    let mut text = Vec::new();
    loop {
        let Some(line_end) = body.iter().position(|byte| *byte == b'\n') else { return (text, false) };
        let size = body[..line_end].split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        body = &body[line_end + 1..];
        let Some(size) = size else { return (text, true) };
        if size == 0 {
            // More headers may follow, and an empty line does.
            return (text, split_head(body).is_some());
        }
        let here = size.min(body.len());
        text.extend_from_slice(&body[..here]);
        body = &body[here..];
        if body.len() < b"\r\n".len() {
            return (text, false);
        }
        body = body.strip_prefix(b"\r").unwrap_or(body);
        body = body.strip_prefix(b"\n").unwrap_or(body);
    }
}

/// The beginning of it, in characters that can be shown in a log.
pub(super) fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = text.trim().chars().map(|character| if is_printable(character) { character } else { ' ' });
    shown.take(TEXT_MAX).collect::<String>().trim().to_owned()
}

/// Whether it neither commands a terminal nor turns the direction of what follows.
fn is_printable(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
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

    fn success() -> Reading {
        Reading::Over(Ok(()))
    }

    fn failure(text: &str) -> Reading {
        Reading::Over(Err(text.to_owned()))
    }

    #[test]
    fn the_first_line_says_whether_all_is_well() {
        for status in ["200 OK", "204", "301 Moved", "399 \u{1b}"] {
            assert_eq!(
                answer(None, &[format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()]),
                success(),
                "{status}"
            );
        }
        assert_eq!(answer(Some(503), &[b"HTTP/1.1 503 Nope\r\n\r\n"]), success());
        assert_eq!(answer(None, &[b"HT", b"TP/1.0 20", b"0 OK\r\n", b"\r\n"]), success());
        assert_eq!(answer(None, &[b"HTTP/1.1 200 OK\nX: y\n\n"]), success());
        assert_eq!(answer(None, &[b"HTTP/1.1 200 OK\r\nX: y", b""]), success());
        for status in ["400", "404", "500"] {
            let line = format!("HTTP/1.1 {status}\r\n\r\n");
            assert_eq!(answer(None, &[line.as_bytes()]), failure(&format!("HTTP {status}")));
        }
    }

    #[test]
    fn the_answer_is_read_to_its_end_so_that_the_server_can_finish_it() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 4\r\n\r\n";
        assert_eq!(answer(None, &[head]), Reading::More);
        assert_eq!(answer(None, &[head, b"all"]), Reading::More);
        assert_eq!(answer(None, &[head, b"all", b"."]), success());
        assert_eq!(answer(None, &[head, b"al", b""]), success(), "the status counts, not the text");
        let head = b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n";
        assert_eq!(answer(None, &[head, b"all"]), Reading::More);
        assert_eq!(answer(None, &[head, b"all", b""]), success());
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(answer(None, &[head, b"3\r\nall\r\n", b"0\r\n"]), Reading::More);
        assert_eq!(answer(None, &[head, b"3\r\nall\r\n", b"0\r\n", b"\r\n"]), success());
        assert_eq!(answer(None, &[head, b"3\r\nall\r\n0\r\nX: y\r\n", b"\r\n"]), success());
        // Without an end to wait for there is none.
        assert_eq!(answer(None, &[b"HTTP/1.1 200 OK\r\n\r\n"]), success());
        assert_eq!(answer(None, &[b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n"]), success());
    }

    #[test]
    fn what_comes_before_the_answer_is_no_answer() {
        let hints = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        assert_eq!(answer(None, &[hints]), Reading::More);
        assert_eq!(answer(None, &[hints, hints, b"HTTP/1.1 200 OK\r\n\r\n"]), success());
        assert_eq!(answer(None, &[hints, b""]), failure("the connection was closed without an answer"));
        let switching = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
        assert_eq!(answer(None, &[switching]), failure("HTTP 101 Switching Protocols"));
    }

    #[test]
    fn a_failure_is_told_with_the_beginning_of_its_text() {
        let head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\n";
        assert_eq!(answer(None, &[head]), failure("HTTP 503 Service Unavailable"));
        let whole = [&head[..], "no\x1b[31m data\u{202e}base\n".as_bytes()].concat();
        assert_eq!(answer(None, &[&whole]), failure("HTTP 503 Service Unavailable: no [31m data base"));
        let head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 11\r\n\r\n";
        let whole = failure("HTTP 503 Service Unavailable: no database");
        assert_eq!(answer(None, &[head, b"no ", b"database and more"]), whole, "in a packet of its own");
        let head = b"HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
        let whole = failure("HTTP 503 Service Unavailable: no database");
        assert_eq!(answer(None, &[head, b"3;x=y\r\nno \r\n", b"8\r\ndatabase\r\n0\r\n\r\n"]), whole);
        assert_eq!(answer(None, &[head, b"b\r\nno database", b""]), whole);
        assert_eq!(answer(Some(204), &[b"HTTP/1.1 200 OK\r\n\r\n"]), failure("HTTP 200 OK"));
        assert_eq!(answer(None, &[b"HTTP/1.1 500\r\nX: ", b""]), failure("HTTP 500"));
        let long = format!("HTTP/1.1 500\r\n\r\n{}", "é".repeat(200));
        assert_eq!(answer(None, &[long.as_bytes()]), failure(&format!("HTTP 500: {}", "é".repeat(TEXT_MAX))));
    }

    #[test]
    fn what_is_no_http_or_has_no_end_is_told() {
        assert_eq!(answer(None, &[b"SSH-2.0-OpenSSH\r\n"]), failure("this is no HTTP: SSH-2.0-OpenSSH"));
        assert_eq!(answer(None, &[b"SSH"]), failure("this is no HTTP: SSH"));
        assert_eq!(answer(None, &[b""]), failure("the connection was closed without an answer"));
        assert_eq!(answer(None, &[b"HTTP/1.1 OK\n"]), failure("this is no HTTP: HTTP/1.1 OK"));
        assert_eq!(answer(None, &[b"HTTP/1.1 200", b""]), failure("this is no HTTP: HTTP/1.1 200"));
        for status in ["2000", "20", "abc", "-20", "000"] {
            let line = format!("HTTP/1.1 {status}\r\n");
            assert!(matches!(answer(None, &[line.as_bytes()]), Reading::Over(Err(_))), "{status}");
        }
        let endless = [&b"HTTP/"[..], &[b'x'; ANSWER_MAX]].concat();
        assert!(matches!(answer(None, &[&endless]), Reading::Over(Err(_))));
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
        assert_eq!(answer(None, &[head, &[b'x'; ANSWER_MAX - 200]]), Reading::More);
        assert_eq!(answer(None, &[head, &[b'x'; ANSWER_MAX - 200], &[b'x'; 200]]), success());
    }

    #[test]
    fn it_does_not_matter_in_which_pieces_it_comes_and_the_end_always_ends_it() {
        for whole in [
            &b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\ntext"[..],
            b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nte\r\n2\r\nxt\r\n0\r\n\r\n",
            b"HTTP/1.1 503 No\nConnection: close\n\ntext",
        ] {
            for middle in 1..whole.len() {
                let mut answer = HttpAnswer::new(None);
                let (first, second) = whole.split_at(middle);
                assert_eq!(answer.take(first), Reading::More, "{middle}");
                let last = match answer.take(second) {
                    Reading::More => answer.take(b""),
                    over => over,
                };
                assert_eq!(last, failure("HTTP 503 No: text"), "{middle}");
                let mut answer = HttpAnswer::new(None);
                answer.take(first);
                assert_ne!(answer.take(b""), Reading::More, "{middle}");
            }
        }
    }

    /// Numbers that look random, the same ones every time.
    fn scrambled(seed: u64) -> impl FnMut() -> usize {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 16) as usize
        }
    }

    #[test]
    fn nonsense_harms_nobody() {
        let words: [&[u8]; 16] = [
            b"HTTP/1.1 ",
            b"200",
            b"503 No",
            b"103 Hints",
            b"\r\n",
            b"\n",
            b"\r",
            b":",
            b" ",
            b"Content-Length: ",
            b"18446744073709551616",
            b"Transfer-Encoding: chunked\r\n",
            b"ffffffffffffffff\r\n",
            b"0\r\n",
            b"\xff\xfe",
            b"7\r\n",
        ];
        for seed in 0..20_000 {
            let mut next = scrambled(seed);
            let mut answer = HttpAnswer::new(None);
            let is_over = (0..next() % 40).any(|_| answer.take(words[next() % words.len()]) != Reading::More);
            assert!(is_over || answer.take(b"") != Reading::More, "{seed}");
        }
    }
}
