use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::journal::Journal;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{SFlag, fstat};

/// A way to write to a descriptor without ever waiting for its reader, and without changing its flags, which others
/// share.
pub(crate) enum Outlet {
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
    /// The journal's socket for entries.
    Journal(Journal),
    /// There is no such stream.
    Nowhere,
}

/// The least that a pipe which says it is writable takes whole (pipe(7), PIPE_BUF).
const PIPE_BUFFER: usize = 4096;

impl Outlet {
    /// The way to write to a stream that others share.
    pub(crate) fn of_stream(stream: BorrowedFd) -> Self {
        let Ok(status) = fstat(stream) else {
            return Self::Nowhere;
        };
        let Ok(descriptor) = duplicate(stream) else {
            return Self::Nowhere;
        };
        match SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => Self::Plain(descriptor),
            SFlag::S_IFSOCK => Self::Socket(descriptor),
            // Writing nothing tells whether the kernel knows the flag for pipes.
            SFlag::S_IFIFO if write_no_wait(&descriptor, b"").is_ok() => Self::NoWait(descriptor),
            _ => reopen(stream).map_or(Self::Ask(descriptor), Self::Own),
        }
    }

    /// The way to write to a file that we opened ourselves, without blocking: its description is ours alone.
    pub(crate) fn of_own(file: File) -> Self {
        match file.metadata() {
            Ok(metadata) if metadata.is_file() => Self::Plain(file.into()),
            _ => Self::Own(file.into()),
        }
    }

    /// What to wait on for room; `None`: there always is.
    pub(crate) fn waits_on(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Own(descriptor)
            | Self::Socket(descriptor)
            | Self::NoWait(descriptor)
            | Self::Ask(descriptor) => Some(descriptor.as_fd()),
            Self::Journal(journal) => Some(journal.as_fd()),
            Self::Plain(_) | Self::Nowhere => None,
        }
    }

    /// Writes what can be written now. EAGAIN: nothing. All else that is no success is the reader's, or the disk's.
    pub(crate) fn write(&self, bytes: &[u8]) -> nix::Result<usize> {
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
            Self::Journal(journal) => journal.send(bytes),
            Self::Nowhere => Ok(bytes.len()),
        }
    }

    /// Waits for room at most this long, in milliseconds; false if there is none.
    pub(crate) fn wait_for_room(&self, milliseconds: u16) -> bool {
        self.waits_on().is_none_or(|descriptor| {
            let mut ask = [PollFd::new(descriptor, PollFlags::POLLOUT)];
            match poll(&mut ask, PollTimeout::from(milliseconds)) {
                Ok(ready) => ready > 0,
                Err(errno) => errno == Errno::EINTR,
            }
        })
    }
}

fn duplicate(descriptor: BorrowedFd) -> nix::Result<OwnedFd> {
    let copy = nix::fcntl::fcntl(descriptor, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: a new descriptor, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// A second description of the same pipe or terminal: its flags are ours alone.
fn reopen(stream: BorrowedFd) -> Option<OwnedFd> {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_APPEND);
    options.open(format!("/proc/self/fd/{}", stream.as_raw_fd())).ok().map(OwnedFd::from)
}

fn write_no_wait(descriptor: &OwnedFd, bytes: &[u8]) -> nix::Result<usize> {
    let vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: one valid buffer, only read from. An offset of -1 means the current one.
    let result =
        unsafe { libc::pwritev2(descriptor.as_raw_fd(), &raw const vector, 1, -1, libc::RWF_NOWAIT) };
    Errno::result(result).map(|count| count as usize)
}
