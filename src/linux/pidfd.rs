use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::libc;

use crate::supervisor::{Pid, Signal};

/// A handle on one process that no other process can slip into, whatever becomes of its pid.
#[derive(Debug)]
pub(crate) struct PidFd(OwnedFd);

impl AsFd for PidFd {
    /// It can be read from when the process is dead, reaped or not.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The magic number of the file system of pidfds.
const PIDFS: u64 = 0x5049_4446;

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

    /// A number that no other process ever has. `None`: a kernel before 6.9, on which all of them have the same.
    pub(crate) fn number(&self) -> Option<u64> {
        // SAFETY: all zeros is a valid structure.
        let mut status: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `status` is valid for writing.
        Errno::result(unsafe { libc::fstat(self.0.as_raw_fd(), &raw mut status) }).ok()?;
        static ARE_TOLD_APART: OnceLock<bool> = OnceLock::new();
        ARE_TOLD_APART.get_or_init(|| self.is_in_its_own_file_system()).then_some(status.st_ino)
    }

    fn is_in_its_own_file_system(&self) -> bool {
        // SAFETY: all zeros is a valid structure.
        let mut system: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: `system` is valid for writing.
        let result = unsafe { libc::fstatfs(self.0.as_raw_fd(), &raw mut system) };
        result == 0 && system.f_type as u64 == PIDFS
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
