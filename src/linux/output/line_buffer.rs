use std::os::fd::{AsFd, AsRawFd};

use memchr::{memchr, memrchr};
use nix::errno::Errno;
use nix::libc;

/// What a service wrote and was not carried yet, cut into lines.
///
/// ```text
///  carried │ whole lines to take │ the beginning of a line
///          start                              searched   end
/// ```
#[derive(Debug)]
pub(crate) struct LineBuffer {
    bytes: Vec<u8>,
    start: usize,
    /// No line ends between `start` and here.
    searched: usize,
    /// A longer line is cut.
    longest: usize,
    /// The next line continues one that was cut.
    continues: bool,
}

/// A line, or a piece of one, without what ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// What stands on it: any bytes but a newline.
    pub(crate) bytes: &'a [u8],
    /// It continues the piece before it.
    pub(crate) continues: bool,
    /// It is continued by the piece after it.
    pub(crate) is_cut: bool,
}

impl LineBuffer {
    /// An empty buffer; lines longer than this many bytes are cut in pieces.
    pub(crate) const fn new(longest: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, searched: 0, longest, continues: false }
    }

    /// Reads once, at most so many bytes; 0 at the end.
    ///
    /// # Errors
    /// EAGAIN: there is nothing now.
    pub(crate) fn read_from(&mut self, descriptor: impl AsFd, most: usize) -> nix::Result<usize> {
        self.make_room(most);
        let room = self.bytes.spare_capacity_mut();
        let descriptor = descriptor.as_fd().as_raw_fd();
        loop {
            // SAFETY: there is room for so many bytes, which belongs to us and need not be initialised to be written.
            let result = unsafe { libc::read(descriptor, room.as_mut_ptr().cast(), most.min(room.len())) };
            match Errno::result(result) {
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
                Ok(count) => {
                    let count = count as usize;
                    // SAFETY: read(2) has filled in so many bytes behind those there were.
                    unsafe { self.bytes.set_len(self.bytes.len() + count) };
                    return Ok(count);
                }
            }
        }
    }

    /// Takes the next line that has come to its end, or a piece of one that is too long.
    pub(crate) fn next_line(&mut self) -> Option<Line<'_>> {
        let searched = &self.bytes[self.searched..];
        // A piece is never longer than it may be, even if its end has come.
        let (end, next, is_cut) = match memchr(b'\n', searched).map(|index| self.searched + index) {
            Some(end) if end - self.start <= self.longest => (end, end + 1, false),
            None if self.bytes.len() - self.start <= self.longest => {
                self.searched = self.bytes.len();
                return None;
            }
            Some(_) | None => {
                let end = self.start + whole_characters(&self.bytes[self.start..], self.longest);
                (end, end, true)
            }
        };
        let line = Line { bytes: &self.bytes[self.start..end], continues: self.continues, is_cut };
        (self.start, self.searched, self.continues) = (next, next, is_cut);
        Some(line)
    }

    /// Takes all lines that have come to their ends, with what ended them; of one that is too long what there is.
    pub(crate) fn whole_lines(&mut self) -> Option<&[u8]> {
        let end = match memrchr(b'\n', &self.bytes[self.searched..]) {
            Some(index) => self.searched + index + 1,
            None if self.bytes.len() - self.start <= self.longest => {
                self.searched = self.bytes.len();
                return None;
            }
            None => self.bytes.len(),
        };
        let lines = &self.bytes[self.start..end];
        (self.start, self.searched) = (end, end);
        Some(lines)
    }

    /// Takes what is left when nothing more can come: a line without an end, if there is one.
    pub(crate) fn rest(&mut self) -> Option<Line<'_>> {
        let line = Line { bytes: &self.bytes[self.start..], continues: self.continues, is_cut: false };
        let is_there = !line.bytes.is_empty() || self.continues;
        (self.start, self.searched, self.continues) = (self.bytes.len(), self.bytes.len(), false);
        is_there.then_some(line)
    }

    /// Works in this memory, if it is larger than its own.
    pub(crate) fn borrow(&mut self, spare: &mut Vec<u8>) {
        if spare.capacity() > self.bytes.capacity() {
            spare.extend_from_slice(&self.bytes[self.start..]);
            self.searched -= self.start;
            self.start = 0;
            self.bytes = std::mem::take(spare);
        }
    }

    /// Gives back the memory it worked in, while nothing comes; what is left is kept in as much as it needs.
    pub(crate) fn rest_idle(&mut self, spare: &mut Vec<u8>) {
        let rest = self.bytes[self.start..].to_vec();
        self.searched -= self.start;
        self.start = 0;
        let memory = std::mem::replace(&mut self.bytes, rest);
        if memory.capacity() > spare.capacity() {
            *spare = memory;
            spare.clear();
        }
    }

    fn make_room(&mut self, most: usize) {
        self.move_to_front();
        self.bytes.reserve(most);
    }

    fn move_to_front(&mut self) {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
    }
}

/// How many of these bytes, at most `most`, end with a whole character of UTF-8; of what is no UTF-8 as many as there may
/// be.
fn whole_characters(bytes: &[u8], most: usize) -> usize {
    const LONGEST_CHARACTER: usize = 4;
    let is_inside = |index: usize| bytes.get(index).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    (most.saturating_sub(LONGEST_CHARACTER - 1).max(1)..=most)
        .rev()
        .find(|index| !is_inside(*index))
        .unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// What comes out if these pieces are read one after another: each line with marks, and `¶` for what stays.
    fn lines(longest: usize, pieces: &[&[u8]]) -> Vec<String> {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut buffer = LineBuffer::new(longest);
        let mut seen = Vec::new();
        let show = |line: Line| {
            let text = String::from_utf8_lossy(line.bytes);
            format!("{}{text}{}", if line.continues { "…" } else { "" }, if line.is_cut { "…" } else { "" })
        };
        for piece in pieces {
            writer.write_all(piece).unwrap();
            assert_eq!(buffer.read_from(&reader, 4096), Ok(piece.len()));
            while let Some(line) = buffer.next_line() {
                seen.push(show(line));
            }
            buffer.rest_idle(&mut Vec::new());
        }
        seen.extend(buffer.rest().map(|line| format!("{}¶", show(line))));
        assert_eq!(buffer.rest(), None, "it is taken once");
        seen
    }

    #[test]
    fn lines_are_cut_at_newlines_wherever_the_reads_end() {
        assert_eq!(lines(10, &[b"a\nb\n"]), ["a", "b"]);
        assert_eq!(lines(10, &[b"a", b"b", b"\nc\nd"]), ["ab", "c", "d¶"]);
        assert_eq!(lines(10, &[b"\n\n", b"\n"]), ["", "", ""]);
        assert_eq!(lines(10, &[b"a\r\n\0\xff\n"]), ["a\r", "\0\u{fffd}"]);
        assert_eq!(lines(10, &[]), [""; 0]);
    }

    #[test]
    fn a_line_as_long_as_it_may_be_is_whole_and_a_longer_one_is_cut() {
        assert_eq!(lines(4, &[b"abcd\nabcde\nx\n"]), ["abcd", "abcd…", "…e", "x"]);
        assert_eq!(lines(4, &[b"abcd"]), ["abcd¶"]);
        assert_eq!(lines(4, &[b"abc", b"def", b"ghi", b"j\n"]), ["abcd…", "…efgh…", "…ij"]);
        assert_eq!(lines(4, &[b"abcdefgh", b"\n"]), ["abcd…", "…efgh"]);
        assert_eq!(lines(4, &[b"abcdefgh"]), ["abcd…", "…efgh¶"]);
    }

    #[test]
    fn no_character_is_cut() {
        assert_eq!(lines(4, &["abcäöü\n".as_bytes()]), ["abc…", "…äö…", "…ü"]);
        assert_eq!(lines(4, &["🛑🛑\n".as_bytes()]), ["🛑…", "…🛑"]);
        // What is no text is cut where it must be.
        assert_eq!(whole_characters(&[0x80; 9], 4), 4);
    }

    #[test]
    fn whole_lines_are_taken_together_with_their_ends() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut buffer = LineBuffer::new(4);
        let mut take = |piece: &[u8]| {
            writer.write_all(piece).unwrap();
            buffer.read_from(&reader, 4096).unwrap();
            let lines = buffer.whole_lines().map(|lines| String::from_utf8(lines.to_vec()).unwrap());
            assert_eq!(buffer.whole_lines(), None);
            buffer.rest_idle(&mut Vec::new());
            lines
        };
        assert_eq!(take(b"a\nb\nc").as_deref(), Some("a\nb\n"));
        assert_eq!(take(b"d"), None);
        assert_eq!(take(b"\n").as_deref(), Some("cd\n"));
        assert_eq!(take(b"efgh"), None);
        // Too long to be kept for ever.
        assert_eq!(take(b"i").as_deref(), Some("efghi"));
        assert_eq!(take(b"j\n").as_deref(), Some("j\n"));
    }

    #[test]
    fn an_idle_buffer_takes_no_memory() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut buffer = LineBuffer::new(4096);
        writer.write_all(b"line\nrest").unwrap();
        buffer.read_from(&reader, 65536).unwrap();
        buffer.next_line();
        buffer.rest_idle(&mut Vec::new());
        assert!(buffer.bytes.capacity() < 100);
        writer.write_all(b"\n").unwrap();
        buffer.read_from(&reader, 65536).unwrap();
        assert_eq!(buffer.next_line().unwrap().bytes, b"rest");
        buffer.rest_idle(&mut Vec::new());
        assert_eq!(buffer.bytes.capacity(), 0);
    }
}
