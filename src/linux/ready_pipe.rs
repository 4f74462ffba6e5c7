use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, read};

/// Tells that a service is ready: it writes a newline to a descriptor that it was given.
///
/// Source: s6's notification-fd.
pub(crate) struct ReadyPipe {
    read: OwnedFd,
}

/// What the pipe said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Nothing yet.
    None,
    /// The service is ready.
    Ready,
    /// The service has closed it without a word.
    Closed,
}

impl ReadyPipe {
    /// A new pipe: our end, and the service's. Both close on exec.
    ///
    /// # Errors
    /// No descriptors.
    pub(crate) fn open() -> nix::Result<(Self, OwnedFd)> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        // Ours alone: a service need not expect that its end does not wait.
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok((Self { read }, write))
    }

    /// Looks, without waiting. What comes before the newline does not matter.
    pub(crate) fn look(&self) -> Word {
        let mut bytes = [0; 256];
        // So much at once: whoever writes without end has its turn again.
        for _ in 0..16 {
            match read(&self.read, &mut bytes) {
                Ok(0) => return Word::Closed,
                Ok(count) if bytes[..count].contains(&b'\n') => return Word::Ready,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return Word::None,
            }
        }
        Word::None
    }
}

impl AsFd for ReadyPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::write;

    use super::*;

    #[test]
    fn a_newline_is_the_word() {
        let (pipe, service) = ReadyPipe::open().unwrap();
        assert_eq!(pipe.look(), Word::None);
        write(&service, b"almost").unwrap();
        assert_eq!(pipe.look(), Word::None);
        write(&service, b"\n").unwrap();
        assert_eq!(pipe.look(), Word::Ready);
        drop(service);
        assert_eq!(pipe.look(), Word::Closed);
    }
}
