use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

use super::dress::Dress;
use super::line_buffer::LineBuffer;
use super::sink::Sink;

/// Takes what comes through one pipe, and hands it to a sink line by line.
pub(crate) struct Carrier {
    pipe: OwnedFd,
    buffer: LineBuffer,
    dress: Dress,
    /// Which sink.
    pub(crate) sink: usize,
    /// How much more is taken, if not all that comes.
    allowance: Option<usize>,
}

/// Memory that all carriers work with, one after another: a thousand that have nothing to do need none.
#[derive(Default)]
pub(crate) struct Workbench {
    /// Where lines are dressed.
    pub(crate) batch: Vec<u8>,
    /// Where a carrier reads to that keeps nothing of its own.
    spare: Vec<u8>,
}

impl Workbench {
    /// Gives back what a very long line has taken.
    pub(crate) fn tidy(&mut self) {
        for memory in [&mut self.batch, &mut self.spare] {
            if memory.capacity() > 4 * BATCH {
                *memory = Vec::new();
            }
        }
    }
}

/// How it goes on with a carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is more.
    More,
    /// There is nothing now.
    Idle,
    /// Nobody has the other end of the pipe open.
    Ended,
}

/// What is taken from one pipe at a time: as much as a pipe usually holds. More of it would only grow out of the caches.
pub(crate) const READ_AT_ONCE: usize = 64 * 1024;
/// Lines are dressed until there is this much to write.
const BATCH: usize = 128 * 1024;

impl Carrier {
    /// A carrier from this pipe, whose flags are ours alone and say non-blocking.
    pub(crate) const fn new(pipe: OwnedFd, dress: Dress, sink: usize, longest_line: usize) -> Self {
        Self { pipe, buffer: LineBuffer::new(longest_line), dress, sink, allowance: None }
    }

    /// Carries one batch. The sink must be free.
    pub(crate) fn carry(&mut self, sink: &mut Sink, time: &str, bench: &mut Workbench) -> Progress {
        let Workbench { batch, spare } = bench;
        if self.write_lines(sink, time, batch) {
            return Progress::More;
        }
        self.buffer.borrow(spare);
        let most = self.allowance.map_or(READ_AT_ONCE, |allowance| allowance.min(READ_AT_ONCE));
        let read = if most == 0 { Err(Errno::EAGAIN) } else { self.buffer.read_from(&self.pipe, most) };
        match read {
            Ok(0) => {
                self.write_rest(sink, time, batch);
                Progress::Ended
            }
            Ok(count) => {
                self.allowance = self.allowance.map(|allowance| allowance - count);
                self.write_lines(sink, time, batch);
                Progress::More
            }
            // EAGAIN. Nothing else can be.
            Err(_) => {
                self.buffer.rest_idle(spare);
                Progress::Idle
            }
        }
    }

    /// Nothing that comes from now on is taken.
    pub(crate) fn take_no_more(&mut self) {
        let mut count: libc::c_int = 0;
        // SAFETY: the descriptor is open, and the number is valid for writing.
        let result = unsafe { libc::ioctl(self.pipe.as_raw_fd(), libc::FIONREAD, &raw mut count) };
        self.allowance = Some(if result < 0 { READ_AT_ONCE } else { count.max(0) as usize });
    }

    /// The last line, if it has not come to its end. The sink must be free.
    pub(crate) fn write_rest(&mut self, sink: &mut Sink, time: &str, batch: &mut Vec<u8>) {
        if let Some(mut line) = self.buffer.rest() {
            line.is_cut = matches!(self.dress, Dress::Plain { ends_last_line: false });
            batch.clear();
            self.dress.put(line, time, batch);
            sink.write(batch);
        }
    }

    /// Whether its lines need the time of day.
    pub(crate) const fn wants_time(&self) -> bool {
        self.dress.wants_time()
    }

    /// Writes the lines that have come to their ends, as many as make a batch; false if there is none.
    fn write_lines(&mut self, sink: &mut Sink, time: &str, batch: &mut Vec<u8>) -> bool {
        if let Dress::Plain { .. } = self.dress {
            return self.buffer.whole_lines().map(|lines| sink.write(lines)).is_some();
        }
        batch.clear();
        while batch.len() < BATCH
            && let Some(line) = self.buffer.next_line()
        {
            self.dress.put(line, time, batch);
        }
        if !batch.is_empty() {
            sink.write(batch);
        }
        !batch.is_empty()
    }
}

impl AsFd for Carrier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// What a carrier to a new file does with what is written to its pipe before it is told to take no more, and after.
    fn carried(before: &[u8], after: &[u8]) -> Vec<u8> {
        let name = format!("curfew-carrier-{}-{}", std::process::id(), before.len() + after.len());
        let path = std::env::temp_dir().join(name);
        let mut sink = Sink::of_file(&path).unwrap();
        let (ours, mut theirs) = std::io::pipe().unwrap();
        let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&ours, flags).unwrap();
        let dress = Dress::Plain { ends_last_line: false };
        let mut carrier = Carrier::new(ours.into(), dress, 0, 1024);
        theirs.write_all(before).unwrap();
        carrier.take_no_more();
        theirs.write_all(after).unwrap();
        while carrier.carry(&mut sink, "", &mut Workbench::default()) == Progress::More {}
        carrier.write_rest(&mut sink, "", &mut Vec::new());
        let content = std::fs::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        content
    }

    #[test]
    fn what_comes_after_the_last_words_is_not_taken() {
        assert_eq!(carried(b"last\nwords", b" of ours\nand more\n"), b"last\nwords");
        assert_eq!(carried(b"", b"more\n"), b"");
    }
}
