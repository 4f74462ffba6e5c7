use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;
use nix::libc;

/// The child begins in the cgroup of [`CloneArguments::cgroup`] (Linux 5.7). Too large for libc's `c_int`.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` of linux/sched.h, up to what 5.7 knows. libc does not have it for every target.
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Forks, with the child in this cgroup from its first moment: no process of it is ever anywhere else.
///
/// Returns the child's pid, and 0 in the child, as fork(2) does. `cgroup` is a directory of a cgroup2 file system; any
/// open mode will do.
///
/// This is the bare system call, so libc does not know of it: no `pthread_atfork` handler runs, no lock of malloc or
/// stdio is put in order in the child, and what libc keeps of the thread's id stays the parent's. That is sound for a
/// child that calls nothing but async-signal-safe functions, which need none of that, until it executes or exits; but not those
/// that change whose process it is, which libc has all its threads do, and it does not know that there is one only. The memory is copied (no `CLONE_VM`), so the
/// child goes on with a stack of its own at the same place.
///
/// # Errors
/// See [`should_fork_instead`]. Else there is no child to be had at all: EAGAIN (a limit of processes, also the
/// cgroup's own `pids.max`), ENOMEM.
///
/// # Safety
/// The child must call only async-signal-safe functions until it executes or exits.
pub(crate) unsafe fn clone_into(cgroup: BorrowedFd) -> nix::Result<libc::pid_t> {
    let arguments = CloneArguments {
        flags: CLONE_INTO_CGROUP,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: cgroup.as_raw_fd() as u64,
        ..CloneArguments::default()
    };
    // SAFETY: the arguments are valid for reading, and as long as they are said to be. The rest is our own contract.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArguments>()) };
    Errno::result(result).map(|pid| pid as libc::pid_t)
}

/// Whether [`clone_into`] failed for a reason that a plain fork does not have; its child then joins by itself.
pub(crate) fn should_fork_instead(errno: Errno) -> bool {
    matches!(
        errno,
        // A kernel before 5.3, or a sandbox that hides the call: containers do, with either of the two.
        Errno::ENOSYS | Errno::EPERM
        // A kernel before 5.7, which does not know the last field, or the flag.
        | Errno::E2BIG | Errno::EINVAL
        // The cgroup, or the one above both of us, is not ours to write to.
        | Errno::EACCES
        // It has controllers enabled for its children, so no process may be in it.
        | Errno::EBUSY
        // It is threaded, or below one that is.
        | Errno::EOPNOTSUPP
        // Somebody removed it; or it lies outside our cgroup namespace.
        | Errno::ENODEV | Errno::ENOENT
        // The descriptor is not that of a cgroup.
        | Errno::EBADF
    )
}

/// Moves the calling process into the cgroup whose `cgroup.procs` is open for writing at this descriptor: the fallback,
/// called in a forked child before all else. Async-signal-safe.
///
/// The right to do so was checked when the file was opened (Linux 5.16; before, at the write). Returns false, with
/// errno set, if it did not work: ENODEV: somebody removed the cgroup. EBUSY, EOPNOTSUPP, EACCES: as above. EAGAIN: its
/// `pids.max`.
///
/// # Safety
/// The descriptor must be open, and nothing else than such a file.
pub(crate) unsafe fn join(procs: RawFd) -> bool {
    // SAFETY: one byte, valid for reading.
    unsafe { libc::write(procs, b"0".as_ptr().cast(), 1) == 1 }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn the_arguments_are_as_long_as_linux_5_7_has_them() {
        assert_eq!(size_of::<CloneArguments>(), 88);
    }

    #[test]
    fn what_is_no_cgroup_is_refused_and_a_fork_will_do() {
        let file = std::fs::File::open("/").unwrap();
        // SAFETY: the child, if there should ever be one, exits at once.
        let result = unsafe {
            let result = clone_into(file.as_fd());
            if result == Ok(0) {
                libc::_exit(1);
            }
            result
        };
        let errno = result.unwrap_err();
        assert!(should_fork_instead(errno), "{errno}");
        assert!(!should_fork_instead(Errno::EAGAIN) && !should_fork_instead(Errno::ENOMEM));
    }
}
