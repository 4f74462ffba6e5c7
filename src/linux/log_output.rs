use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{SFlag, fstat};

/// Standard error, written to without ever waiting for its reader and without changing the descriptor's flags, which
/// the services share.
pub(crate) struct LogOutput {
    way: Way,
    lines: VecDeque<Vec<u8>>,
    /// How much of the first line is written.
    written: usize,
    queued: usize,
    capacity: usize,
    dropped: u64,
}

/// How to write without waiting.
enum Way {
    /// A regular file never makes us wait for a reader.
    Plain(OwnedFd),
    /// A description of our own, non-blocking.
    Own(OwnedFd),
    /// A socket: a flag for each call.
    Socket(OwnedFd),
    /// A pipe: a flag for each call.
    NoWait(OwnedFd),
    /// None of these: ask first. A ready pipe takes this much at once.
    Ask(OwnedFd),
    /// There is no standard error.
    Nowhere,
}

/// The least that a pipe which says it is writable takes whole (pipe(7), PIPE_BUF).
const PIPE_BUFFER: usize = 4096;

impl LogOutput {
    /// Looks at what standard error is. At most `capacity` bytes wait for a slow reader; then the oldest lines go.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { way: choose_way(), lines: VecDeque::new(), written: 0, queued: 0, capacity, dropped: 0 }
    }

    /// What to wait on for room, if anything is still to be written.
    pub(crate) fn waiting_on(&self) -> Option<BorrowedFd<'_>> {
        match &self.way {
            _ if self.lines.is_empty() => None,
            Way::Own(descriptor)
            | Way::Socket(descriptor)
            | Way::NoWait(descriptor)
            | Way::Ask(descriptor) => Some(descriptor.as_fd()),
            Way::Plain(_) | Way::Nowhere => None,
        }
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
        if matches!(self.way, Way::Nowhere) {
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
            match self.way.write(&line[self.written..]) {
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

    /// Writes what can be written, and waits for a slow reader at most this long.
    pub(crate) fn flush_within(&mut self, milliseconds: u16) {
        self.flush();
        if let Some(descriptor) = self.waiting_on() {
            // A timeout or a signal: then it is lost.
            let _ = poll(&mut [PollFd::new(descriptor, PollFlags::POLLOUT)], PollTimeout::from(milliseconds));
            self.flush();
        }
    }
}

impl Way {
    fn write(&self, bytes: &[u8]) -> nix::Result<usize> {
        match self {
            Self::Plain(descriptor) | Self::Own(descriptor) => nix::unistd::write(descriptor, bytes),
            Self::Socket(descriptor) => {
                send(descriptor.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)
            }
            Self::NoWait(descriptor) => write_no_wait(descriptor, bytes),
            Self::Ask(descriptor) => {
                let mut ask = [PollFd::new(descriptor.as_fd(), PollFlags::POLLOUT)];
                if poll(&mut ask, PollTimeout::ZERO)? == 0 {
                    return Err(Errno::EAGAIN);
                }
                nix::unistd::write(descriptor, &bytes[..bytes.len().min(PIPE_BUFFER)])
            }
            Self::Nowhere => Ok(bytes.len()),
        }
    }
}

fn choose_way() -> Way {
    let standard_error = std::io::stderr();
    let Ok(status) = fstat(&standard_error) else {
        return Way::Nowhere;
    };
    let Ok(descriptor) = duplicate(standard_error.as_fd()) else {
        return Way::Nowhere;
    };
    match SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Way::Plain(descriptor),
        SFlag::S_IFSOCK => Way::Socket(descriptor),
        // Writing nothing tells whether the kernel knows the flag for pipes.
        SFlag::S_IFIFO if write_no_wait(&descriptor, b"").is_ok() => Way::NoWait(descriptor),
        _ => reopen().map_or(Way::Ask(descriptor), Way::Own),
    }
}

fn duplicate(descriptor: BorrowedFd) -> nix::Result<OwnedFd> {
    let copy = nix::fcntl::fcntl(descriptor, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: a new descriptor, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// A second description of the same pipe or terminal: its flags are ours alone.
fn reopen() -> Option<OwnedFd> {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_APPEND);
    options.open("/proc/self/fd/2").ok().map(OwnedFd::from)
}

fn write_no_wait(descriptor: &OwnedFd, bytes: &[u8]) -> nix::Result<usize> {
    let vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: one valid buffer, only read from. An offset of -1 means the current one.
    let result =
        unsafe { libc::pwritev2(descriptor.as_raw_fd(), &raw const vector, 1, -1, libc::RWF_NOWAIT) };
    Errno::result(result).map(|count| count as usize)
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
