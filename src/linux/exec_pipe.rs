use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{pipe2, read};

use crate::supervisor::{StartFailure, StartStep};

/// Tells how far a forked child came: it closes when the command is executed, and carries the failed step if not.
///
/// The loop never waits for it: an execve(2) on a dead network file system can take for ever.
pub(crate) struct ExecPipe {
    read: OwnedFd,
}

/// What the pipe said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExecResult {
    /// The child is still on its way.
    Pending,
    /// The command is executed, or the child died before.
    Executed,
    /// A step failed.
    Failed(StartFailure),
}

/// The bytes of a failure: step, whether the command was not found, which setting it was, errno.
pub(crate) const MESSAGE_LENGTH: usize = 7;

impl ExecPipe {
    /// A new pipe: our end, and the child's. Both close on exec.
    pub(crate) fn open() -> nix::Result<(Self, OwnedFd)> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok((Self { read }, write))
    }

    /// Waits until it has something to say, or for so long.
    pub(crate) fn wait(&self, most: Duration) {
        let mut pipe = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut pipe, PollTimeout::try_from(most).unwrap_or(PollTimeout::ZERO));
    }

    /// Looks, without waiting.
    pub(crate) fn look(&self) -> ExecResult {
        let mut message = [0; MESSAGE_LENGTH];
        loop {
            return match read(&self.read, &mut message) {
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => ExecResult::Pending,
                Ok(MESSAGE_LENGTH) => decode(message).map_or(ExecResult::Executed, ExecResult::Failed),
                // End of file. Anything else cannot be: a write this short is never split.
                _ => ExecResult::Executed,
            };
        }
    }
}

impl AsFd for ExecPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

/// The message of a failure. Async-signal-safe: the child calls it.
pub(crate) const fn encode(failure: StartFailure) -> [u8; MESSAGE_LENGTH] {
    let [a, b, c, d] = failure.errno.to_ne_bytes();
    [failure.step as u8, failure.not_found as u8, failure.which, a, b, c, d]
}

fn decode([step, not_found, which, errno @ ..]: [u8; MESSAGE_LENGTH]) -> Option<StartFailure> {
    let step = StartStep::ALL.into_iter().find(|known| *known as u8 == step)?;
    Some(StartFailure { step, errno: i32::from_ne_bytes(errno), not_found: not_found != 0, which })
}

#[cfg(test)]
mod tests {
    use nix::unistd::write;

    use super::*;

    #[test]
    fn a_failure_comes_through_the_pipe_as_it_was_sent() {
        for step in StartStep::ALL {
            let failure = StartFailure { step, errno: 13, not_found: step == StartStep::Execute, which: 200 };
            let (pipe, child) = ExecPipe::open().unwrap();
            assert_eq!(pipe.look(), ExecResult::Pending);
            write(&child, &encode(failure)).unwrap();
            assert_eq!(pipe.look(), ExecResult::Failed(failure));
        }
    }

    #[test]
    fn the_end_of_the_pipe_is_the_execution() {
        let (pipe, child) = ExecPipe::open().unwrap();
        drop(child);
        assert_eq!(pipe.look(), ExecResult::Executed);
    }
}
