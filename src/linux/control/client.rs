use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use crate::protocol::{WatchLevel, WatchedLine, lagged_line};
use crate::supervisor::{Sender, defaults};

/// A connection to the control socket, and what is under way on it. Nothing here waits.
#[derive(Debug)]
pub(super) struct Client {
    stream: OwnedFd,
    pub(super) peer: Sender,
    /// What came and was not taken yet.
    input: Vec<u8>,
    /// Where the first line in it ends.
    line_end: Option<usize>,
    /// What is to be sent.
    output: Vec<u8>,
    /// It has sent a request that makes sense.
    pub(super) has_asked: bool,
    /// When it last did something, in the order of all that clients do.
    pub(super) active: u64,
    watch: Option<Watch>,
    /// How many of its requests wait for something to happen.
    pub(super) waits: u32,
    /// It will send nothing more.
    has_ended: bool,
    /// It is let go when all is sent.
    is_dismissed: bool,
    /// It is gone, or can be sent nothing.
    is_broken: bool,
    /// What the loop waits for on it.
    pub(super) interest: Interest,
}

/// What the loop waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Interest {
    pub(super) read: bool,
    pub(super) write: bool,
}

/// How dearly the connection is held on to when there are too many: the first ones go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// It has asked for nothing that makes sense.
    Nothing,
    /// It has its answers.
    Idle,
    /// It does not read what it has asked for.
    Stuck,
    /// It waits or watches.
    Lasting,
}

#[derive(Debug)]
struct Watch {
    level: WatchLevel,
    /// How many events it has missed.
    missed: u64,
}

/// The next line of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextLine {
    /// A whole line, without its end.
    Line(Vec<u8>),
    /// It is longer than any may be.
    TooLong,
    /// The client has ended in the middle of it.
    Broken,
    /// It has not come yet.
    None,
}

impl Client {
    pub(super) const fn new(stream: OwnedFd, peer: Sender, active: u64) -> Self {
        Self {
            stream,
            peer,
            input: Vec::new(),
            line_end: None,
            output: Vec::new(),
            has_asked: false,
            active,
            watch: None,
            waits: 0,
            has_ended: false,
            is_dismissed: false,
            is_broken: false,
            interest: Interest { read: true, write: false },
        }
    }

    /// Takes in what has come.
    pub(super) fn read(&mut self) {
        // The loop was woken by it, and wants nothing of it: it is gone for good.
        if self.interest == Interest::default() && !self.has_line() {
            self.is_broken = true;
        }
        let mut buffer = [0; 4096];
        while self.reads() {
            match recv(self.stream.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => self.has_ended = true,
                Ok(count) => {
                    let new = &buffer[..count];
                    self.line_end =
                        new.iter().position(|byte| *byte == b'\n').map(|at| self.input.len() + at);
                    self.input.extend_from_slice(new);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                // ECONNRESET and its like.
                Err(_) => self.is_broken = true,
            }
        }
    }

    /// Whether more may come: one request is enough at a time, and none as long as an answer is not read.
    fn reads(&self) -> bool {
        !self.has_ended
            && !self.is_over()
            && self.output.is_empty()
            && self.input.len() <= defaults::CONTROL_REQUEST
            && self.line_end.is_none()
    }

    const fn is_over(&self) -> bool {
        self.is_dismissed || self.is_broken
    }

    /// Whether there is something to take.
    pub(super) fn has_line(&self) -> bool {
        let is_whole = self.line_end.is_some() || self.input.len() > defaults::CONTROL_REQUEST;
        !self.is_over() && self.output.is_empty() && (is_whole || self.has_ended && !self.input.is_empty())
    }

    /// Takes the next line.
    pub(super) fn next_line(&mut self) -> NextLine {
        if !self.has_line() {
            return NextLine::None;
        }
        match self.line_end {
            Some(length) if length <= defaults::CONTROL_REQUEST => {
                let mut line: Vec<u8> = self.input.drain(..=length).collect();
                line.pop();
                self.line_end = self.input.iter().position(|byte| *byte == b'\n');
                NextLine::Line(line)
            }
            None if self.input.len() <= defaults::CONTROL_REQUEST => NextLine::Broken,
            Some(_) | None => NextLine::TooLong,
        }
    }

    /// Has this sent.
    pub(super) fn say(&mut self, line: &[u8]) {
        if !self.is_over() {
            self.output.extend_from_slice(line);
        }
    }

    /// Sends what is still to be sent, and lets go.
    pub(super) fn dismiss(&mut self) {
        self.is_dismissed = true;
        self.input = Vec::new();
        self.watch = None;
    }

    pub(super) fn watch(&mut self, level: WatchLevel) {
        self.watch = Some(Watch { level, missed: 0 });
    }

    /// What it wants to hear of.
    pub(super) fn watched_level(&self) -> Option<WatchLevel> {
        self.watch.as_ref().map(|watch| watch.level)
    }

    /// Hands an event on, if it wants it and has room.
    pub(super) fn publish(&mut self, event: &WatchedLine, time: impl Fn() -> String) {
        let Some(watch) = &mut self.watch else { return };
        if event.level > watch.level {
            return;
        }
        if self.output.len() + event.line.len() > defaults::CONTROL_WATCH_BUFFER {
            watch.missed += 1;
            return;
        }
        self.tell_missed(time);
        self.say(&event.line);
    }

    fn tell_missed(&mut self, time: impl Fn() -> String) {
        let Some(watch) = &mut self.watch else { return };
        let missed = std::mem::take(&mut watch.missed);
        if missed > 0 {
            self.say(&lagged_line(&time(), missed));
        }
    }

    /// Sends as much as there is room for.
    pub(super) fn flush(&mut self, time: impl Fn() -> String) {
        let mut sent = 0;
        while sent < self.output.len() {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match send(self.stream.as_raw_fd(), &self.output[sent..], flags) {
                Ok(count) => sent += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                // EPIPE, ECONNRESET: it is gone.
                Err(_) => {
                    self.is_broken = true;
                    break;
                }
            }
        }
        self.output.drain(..sent);
        if self.output.is_empty() {
            // A long answer is not kept in mind.
            self.output = Vec::new();
            if sent > 0 {
                self.tell_missed(time);
            }
        }
    }

    /// What the loop should wait for.
    pub(super) fn wanted(&self) -> Interest {
        Interest { read: self.reads(), write: !self.output.is_empty() && !self.is_broken }
    }

    /// Whether there is nothing more to do for it.
    pub(super) fn is_done(&self) -> bool {
        let lasts = self.watch.is_some() || self.waits > 0;
        let has_all = self.output.is_empty();
        self.is_broken
            || has_all && self.is_dismissed
            || has_all && self.has_ended && self.input.is_empty() && !lasts
    }

    pub(super) fn worth(&self) -> Worth {
        let lasts = self.watch.is_some() || self.waits > 0;
        match (self.has_asked, self.output.is_empty()) {
            (false, _) => Worth::Nothing,
            (true, false) => Worth::Stuck,
            (true, true) if lasts => Worth::Lasting,
            (true, true) => Worth::Idle,
        }
    }

    /// Whether it waits or watches.
    pub(super) const fn lasts(&self) -> bool {
        self.watch.is_some() || self.waits > 0
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn connected() -> (Client, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        (Client::new(ours.into(), Sender::Unknown, 0), theirs)
    }

    fn time() -> String {
        "now".into()
    }

    fn event(length: usize) -> WatchedLine {
        WatchedLine { level: WatchLevel::Info, line: [vec![b'x'; length - 1], vec![b'\n']].concat() }
    }

    /// All that can be read, with as many flushes as that takes.
    fn read_all(client: &mut Client, stream: &mut UnixStream) -> String {
        let mut text = Vec::new();
        loop {
            let before = text.len();
            let _ = stream.read_to_end(&mut text);
            client.flush(time);
            if text.len() == before && !client.wanted().write {
                let _ = stream.read_to_end(&mut text);
                return String::from_utf8(text).unwrap();
            }
        }
    }

    #[test]
    fn a_watcher_that_does_not_read_takes_a_bounded_memory_and_is_told_what_it_missed() {
        let (mut client, mut stream) = connected();
        client.watch(WatchLevel::Info);
        for _ in 0..1000 {
            client.publish(&event(1000), time);
            client.flush(time);
            assert!(client.output.len() <= defaults::CONTROL_WATCH_BUFFER);
        }
        let heard = read_all(&mut client, &mut stream);
        let (told, events): (Vec<&str>, Vec<&str>) = heard.lines().partition(|line| line.starts_with('{'));
        let [told] = told[..] else { panic!("{told:?}") };
        let told: serde_json::Value = serde_json::from_str(told).unwrap();
        assert_eq!(told["event"], "watch.lagged");
        assert_eq!(told["count"].as_u64().unwrap() as usize + events.len(), 1000);
        // Then it goes on.
        client.publish(&WatchedLine { level: WatchLevel::Debug, ..event(10) }, time);
        client.publish(&event(10), time);
        assert_eq!(read_all(&mut client, &mut stream), "xxxxxxxxx\n");
    }

    #[test]
    fn requests_are_read_one_by_one_and_none_before_its_predecessors_answer_is() {
        let (mut client, mut stream) = connected();
        stream.write_all(b"one\ntwo\nhal").unwrap();
        client.read();
        assert_eq!(client.next_line(), NextLine::Line(b"one".to_vec()));
        client.say(b"1\n");
        assert_eq!((client.next_line(), client.worth()), (NextLine::None, Worth::Nothing));
        assert_eq!(read_all(&mut client, &mut stream), "1\n");
        assert_eq!(client.next_line(), NextLine::Line(b"two".to_vec()));
        assert_eq!(client.next_line(), NextLine::None);
        assert_eq!(client.wanted(), Interest { read: true, write: false });
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        client.read();
        assert_eq!(client.next_line(), NextLine::Broken);
    }

    #[test]
    fn a_client_that_is_gone_is_let_go_of_even_if_it_watched() {
        let (mut client, stream) = connected();
        client.watch(WatchLevel::Info);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        client.read();
        client.flush(time);
        assert!(!client.is_done());
        client.interest = client.wanted();
        assert_eq!(client.interest, Interest::default());
        drop(stream);
        client.read();
        assert!(client.is_done());
    }

    #[test]
    fn those_who_have_asked_for_nothing_are_missed_least() {
        let (mut client, mut stream) = connected();
        assert_eq!(client.worth(), Worth::Nothing);
        client.has_asked = true;
        assert_eq!(client.worth(), Worth::Idle);
        client.waits = 1;
        assert_eq!(client.worth(), Worth::Lasting);
        client.say(b"answer\n");
        assert_eq!(client.worth(), Worth::Stuck);
        read_all(&mut client, &mut stream);
        assert_eq!(client.worth(), Worth::Lasting);
    }
}
