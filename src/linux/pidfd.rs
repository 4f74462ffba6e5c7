use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

use crate::supervisor::{Pid, Signal};

/// A handle on one process that no other process can slip into, whatever becomes of its pid.
pub(crate) struct PidFd(OwnedFd);

impl PidFd {
    /// Opens the process that has this pid now.
    ///
    /// # Errors
    /// ESRCH: it is gone. ENOSYS: a kernel before 5.3. EMFILE: no descriptors.
    pub(crate) fn open(pid: Pid) -> nix::Result<Self> {
        // SAFETY: pidfd_open takes two integers.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.number(), 0) };
        let descriptor = Errno::result(result)?;
        // SAFETY: a new descriptor, owned by nobody else. The kernel makes it close on exec.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor as i32) }))
    }

    /// Sends a signal to just this process.
    ///
    /// # Errors
    /// ESRCH: it is gone. EPERM: it belongs to somebody else.
    pub(crate) fn send(&self, signal: Signal) -> nix::Result<()> {
        // SAFETY: a null siginfo makes it behave like kill(2).
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal.number(),
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        Errno::result(result).map(drop)
    }
}
