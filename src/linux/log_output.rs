use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::stat::fstat;

use super::journal::Journal;
use super::outlet::Outlet;

/// Standard error, written to without ever waiting for its reader and without changing the descriptor's flags, which
/// the services share.
pub struct LogOutput {
    outlet: Outlet,
    lines: VecDeque<Vec<u8>>,
    /// How much of the first line is written.
    written: usize,
    queued: usize,
    capacity: usize,
    dropped: u64,
    /// Somebody else has half a line on standard error: no line of ours begins before it is whole.
    is_held: bool,
}

impl LogOutput {
    /// Entries of the journal, which are written whole.
    pub fn to_journal(journal: Journal, capacity: usize) -> Self {
        Self { outlet: Outlet::Journal(journal), ..Self::new(capacity) }
    }

    /// Looks at what standard error is. At most `capacity` bytes wait for a slow reader; then the oldest lines go.
    pub fn new(capacity: usize) -> Self {
        Self {
            outlet: Outlet::of_stream(std::io::stderr().as_fd()),
            lines: VecDeque::new(),
            written: 0,
            queued: 0,
            capacity,
            dropped: 0,
            is_held: false,
        }
    }

    /// What to wait on for room, if anything is still to be written.
    pub(crate) fn waiting_on(&self) -> Option<BorrowedFd<'_>> {
        if self.lines.is_empty() { None } else { self.outlet.waits_on() }
    }

    /// Whether a line is half written.
    pub(crate) const fn is_mid_line(&self) -> bool {
        self.written > 0
    }

    /// Holds back the lines that are not begun, or no longer does.
    pub(crate) fn hold(&mut self, is_held: bool) {
        // Nobody else writes into our entries of the journal.
        self.is_held = is_held && !matches!(self.outlet, Outlet::Journal(_));
    }

    /// How many lines were lost since this was last asked.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Whether the reader has kept up.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Puts a line in the queue.
    pub(crate) fn push(&mut self, line: Vec<u8>) {
        if matches!(self.outlet, Outlet::Nowhere) {
            return;
        }
        self.queued += line.len();
        self.lines.push_back(line);
        // What can be written now need not be dropped.
        if self.queued > self.capacity / 2 {
            self.flush();
        }
        // A line that is half written is not torn.
        let keep = usize::from(self.written > 0);
        while self.queued > self.capacity && self.lines.len() > keep + 1 {
            let Some(oldest) = self.lines.remove(keep) else {
                break;
            };
            self.queued -= oldest.len();
            self.dropped += 1;
        }
    }

    /// Writes what can be written now.
    pub(crate) fn flush(&mut self) {
        while let Some(line) = self.lines.front() {
            if self.is_held && self.written == 0 {
                return;
            }
            match self.outlet.write(&line[self.written..]) {
                Ok(count) => self.written += count,
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return,
                // Nobody reads any more, or the disk is full: the line is lost, and so it is counted.
                Err(_) => {
                    self.dropped += 1;
                    self.written = line.len();
                }
            }
            if self.written >= line.len() {
                self.queued -= line.len();
                self.written = 0;
                self.lines.pop_front();
            }
        }
    }

    /// Writes the rest of a line that is half written, and no more. See [`Self::flush_all`].
    pub(crate) fn finish_line(&mut self, mut time_left: impl FnMut() -> u16) {
        self.is_held = true;
        while self.is_mid_line() {
            let time = time_left();
            if time == 0 || !self.outlet.wait_for_room(time) {
                return;
            }
            self.flush();
        }
    }

    /// Somebody else left half a line behind: the next one of ours is to stand on its own.
    pub(crate) fn end_line_of_others(&mut self) {
        if self.written == 0 {
            self.queued += 1;
            self.lines.push_front(b"\n".to_vec());
        }
    }

    /// Writes everything. `time_left` says how long a slow reader is waited for, in milliseconds; what it does not take then
    /// is lost.
    pub(crate) fn flush_all(&mut self, mut time_left: impl FnMut() -> u16) {
        self.flush();
        while !self.lines.is_empty() {
            let time = time_left();
            if time == 0 || !self.outlet.wait_for_room(time) {
                return;
            }
            self.flush();
        }
    }
}

/// Whether standard error is a stream of the journal, which has its own time stamps: `JOURNAL_STREAM` names its device
/// and inode, and must be compared, since a redirected child still has the variable (systemd.exec(5)).
pub fn is_written_to_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(status) = fstat(std::io::stderr()) else { return false };
    stream == format!("{}:{}", status.st_dev, status.st_ino)
}

/// For messages before there is a run: whoever waits for them waits for us.
pub fn write_plainly(line: &[u8]) {
    // Nobody reads: there is nowhere left to say so.
    let _ = std::io::stderr().write_all(line);
}
