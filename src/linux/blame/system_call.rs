use nix::libc;

/// Where a thread is, as `/proc/PID/task/TID/syscall` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SystemCall {
    /// On a CPU, or about to be.
    Running,
    /// Blocked, but not in a system call: a page fault, or stopped.
    Outside,
    /// Blocked in this one.
    Inside {
        /// The kernel's number.
        number: i64,
        /// As the thread passed them.
        arguments: [u64; 6],
    },
}

impl SystemCall {
    /// Reads `running`, `-1 SP PC` or `NUMBER ARGUMENT×6 SP PC`.
    ///
    /// `None`: malformed, or a 32-bit program, whose calls have other numbers.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_ascii_whitespace();
        let first = fields.next()?;
        if first == "running" {
            return Some(Self::Running);
        }
        let number: i64 = first.parse().ok()?;
        if number < 0 {
            return Some(Self::Outside);
        }
        let mut values = fields.map(|field| u64::from_str_radix(field.strip_prefix("0x")?, 16).ok());
        let mut arguments = [0; 6];
        for argument in &mut arguments {
            *argument = values.next()??;
        }
        let stack_pointer = values.next()??;
        if cfg!(target_pointer_width = "64") && u32::try_from(stack_pointer).is_ok() {
            return None;
        }
        Some(Self::Inside { number, arguments })
    }

    /// The name of the call, if it is one that programs are often found waiting in.
    pub(super) fn name(&self) -> Option<&'static str> {
        Some(self.entry()?.1)
    }

    /// The descriptor it is about.
    pub(super) fn descriptor(&self) -> Option<i32> {
        match (self, self.entry()?) {
            (Self::Inside { arguments, .. }, (.., Subject::Descriptor)) => {
                // The upper half of the register is not looked at by the kernel either.
                Some(arguments[0] as u32 as i32).filter(|descriptor| *descriptor >= 0)
            }
            _ => None,
        }
    }

    /// For poll(2): where its array of `struct pollfd` is, and how many they are.
    pub(super) fn poll_set(&self) -> Option<(u64, usize)> {
        match (self, self.entry()?) {
            (Self::Inside { arguments, .. }, (.., Subject::PollSet)) => {
                Some((arguments[0], usize::try_from(arguments[1]).ok()?))
            }
            _ => None,
        }
    }

    fn entry(&self) -> Option<&'static (i64, &'static str, Subject)> {
        let Self::Inside { number, .. } = self else { return None };
        CALLS.iter().find(|(known, ..)| known == number)
    }
}

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// Its first argument is a descriptor.
    Descriptor,
    /// Its first two arguments are an array of `struct pollfd`.
    PollSet,
    /// Something else.
    Other,
}

use Subject::{Descriptor, Other, PollSet};

/// The calls that block; the older ones exist on x86-64 only.
#[rustfmt::skip]
const CALLS: &[(i64, &str, Subject)] = &[
    (libc::SYS_read, "read", Descriptor),
    (libc::SYS_readv, "readv", Descriptor),
    (libc::SYS_pread64, "pread", Descriptor),
    (libc::SYS_recvfrom, "recv", Descriptor),
    (libc::SYS_recvmsg, "recvmsg", Descriptor),
    (libc::SYS_recvmmsg, "recvmmsg", Descriptor),
    (libc::SYS_write, "write", Descriptor),
    (libc::SYS_writev, "writev", Descriptor),
    (libc::SYS_pwrite64, "pwrite", Descriptor),
    (libc::SYS_sendto, "send", Descriptor),
    (libc::SYS_sendmsg, "sendmsg", Descriptor),
    (libc::SYS_sendmmsg, "sendmmsg", Descriptor),
    (libc::SYS_sendfile, "sendfile", Descriptor),
    (libc::SYS_splice, "splice", Descriptor),
    (libc::SYS_connect, "connect", Descriptor),
    (libc::SYS_accept, "accept", Descriptor),
    (libc::SYS_accept4, "accept", Descriptor),
    (libc::SYS_ioctl, "ioctl", Descriptor),
    (libc::SYS_flock, "flock", Descriptor),
    (libc::SYS_fcntl, "fcntl", Descriptor),
    (libc::SYS_fsync, "fsync", Descriptor),
    (libc::SYS_fdatasync, "fdatasync", Descriptor),
    (libc::SYS_syncfs, "syncfs", Descriptor),
    (libc::SYS_ftruncate, "ftruncate", Descriptor),
    (libc::SYS_fallocate, "fallocate", Descriptor),
    (libc::SYS_getdents64, "getdents", Descriptor),
    (libc::SYS_close, "close", Descriptor),
    (libc::SYS_io_uring_enter, "io_uring_enter", Other),
    (libc::SYS_io_getevents, "io_getevents", Other),
    (libc::SYS_ppoll, "poll", PollSet),
    (libc::SYS_pselect6, "select", Other),
    (libc::SYS_epoll_pwait, "epoll_wait", Other),
    (libc::SYS_epoll_pwait2, "epoll_wait", Other),
    (libc::SYS_futex, "futex", Other),
    (libc::SYS_futex_waitv, "futex", Other),
    (libc::SYS_wait4, "wait", Other),
    (libc::SYS_waitid, "wait", Other),
    (libc::SYS_nanosleep, "nanosleep", Other),
    (libc::SYS_clock_nanosleep, "nanosleep", Other),
    (libc::SYS_rt_sigsuspend, "sigsuspend", Other),
    (libc::SYS_rt_sigtimedwait, "sigwait", Other),
    (libc::SYS_restart_syscall, "restart_syscall", Other),
    (libc::SYS_sync, "sync", Other),
    (libc::SYS_msync, "msync", Other),
    (libc::SYS_munmap, "munmap", Other),
    (libc::SYS_openat, "open", Other),
    (libc::SYS_newfstatat, "stat", Other),
    (libc::SYS_statx, "stat", Other),
    (libc::SYS_unlinkat, "unlink", Other),
    (libc::SYS_execve, "execve", Other),
    (libc::SYS_clone, "clone", Other),
    (libc::SYS_msgrcv, "msgrcv", Other),
    (libc::SYS_msgsnd, "msgsnd", Other),
    (libc::SYS_semop, "semop", Other),
    (libc::SYS_semtimedop, "semop", Other),
    (libc::SYS_mq_timedreceive, "mq_receive", Other),
    (libc::SYS_mount, "mount", Other),
    (libc::SYS_umount2, "umount", Other),
    (libc::SYS_exit_group, "exit", Other),
    (libc::SYS_exit, "exit", Other),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_poll, "poll", PollSet),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_select, "select", Other),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_epoll_wait, "epoll_wait", Other),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_pause, "pause", Other),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_vfork, "vfork", Other),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, "open", Other),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, "unlink", Other),
];

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: &str = "0x7ffcaa458fd8 0x7f6de2630503";

    #[test]
    fn a_blocked_call_is_named_with_its_descriptor() {
        let call = SystemCall::parse(&format!("{} 0x3 0x2 0x0 0x1b6 0x7ffc 0x0 {STACK}\n", libc::SYS_flock))
            .unwrap();
        assert_eq!((call.name(), call.descriptor()), (Some("flock"), Some(3)));
        assert_eq!(call.poll_set(), None);
        let call =
            SystemCall::parse(&format!("{} 0x7000 0x1 0x0 0x0 0x0 0x0 {STACK}", libc::SYS_ppoll)).unwrap();
        assert_eq!((call.name(), call.descriptor()), (Some("poll"), None));
        assert_eq!(call.poll_set(), Some((0x7000, 1)));
        let unknown = SystemCall::parse(&format!("9999 0x0 0x0 0x0 0x0 0x0 0x0 {STACK}")).unwrap();
        assert_eq!((unknown.name(), unknown.descriptor()), (None, None));
    }

    #[test]
    fn a_thread_can_be_running_or_outside_of_calls() {
        assert_eq!(SystemCall::parse("running\n"), Some(SystemCall::Running));
        assert_eq!(SystemCall::parse("-1 0x7ffe5a0e1b10 0x7f2f6f0c3a3d\n"), Some(SystemCall::Outside));
    }

    #[test]
    fn an_invalid_descriptor_is_none() {
        let text = format!("{} 0xffffffff 0x0 0x0 0x0 0x0 0x0 {STACK}", libc::SYS_read);
        assert_eq!(SystemCall::parse(&text).unwrap().descriptor(), None);
    }

    #[test]
    fn malformed_lines_and_32_bit_programs_are_nothing() {
        for text in
            ["", "\n", "x", "0", "0 0x1", "0 1 2 3 4 5 6 7 8", "0 0x0 0x0 0x0 0x0 0x0 0x0", "0 0xg 0x0"]
        {
            assert_eq!(SystemCall::parse(text), None, "{text}");
        }
        if cfg!(target_pointer_width = "64") {
            assert_eq!(SystemCall::parse("3 0x5 0x0 0x0 0x0 0x0 0x0 0xffd0a000 0xf7f00549"), None);
        }
    }
}
