use std::time::Duration;

use nix::errno::Errno;
use nix::libc;

use crate::supervisor::Pid;

/// The CPU time that all threads of a process have used since it began, living and ended: user and system together.
///
/// One system call on the process's CPU clock, for any process, whoever owns it; no /proc. Read it when a service
/// begins to stop and again when its wait is over: the difference says whether it was busy or blocked.
///
/// `None`: no such process (EINVAL), or no process clocks here.
pub(crate) fn cpu_time(pid: Pid) -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing; a clock that does not exist is an error, and nothing else.
    Errno::result(unsafe { libc::clock_gettime(clock_of(pid.number()), &raw mut time) }).ok()?;
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
}

/// The kernel's number for a process's clock: the pid, inverted, above three bits, of which 2 means scheduler time.
///
/// Part of the system call interface, as the C library's clock_getcpuclockid(3) makes it.
const fn clock_of(pid: i32) -> libc::clockid_t {
    (!pid << 3) | 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_the_one_the_c_library_names() {
        let mut clock = 0;
        let me = std::process::id() as i32;
        // SAFETY: `clock` is valid for writing.
        assert_eq!(unsafe { libc::clock_getcpuclockid(me, &raw mut clock) }, 0);
        assert_eq!(clock_of(me), clock);
    }

    #[test]
    fn work_shows_on_the_clock() {
        let me = Pid::new(std::process::id() as i32).unwrap();
        let before = cpu_time(me).unwrap();
        while cpu_time(me).unwrap() == before {}
    }

    #[test]
    fn nobody_has_no_clock() {
        // Above the largest pid there can be, 4194304.
        assert_eq!(cpu_time(Pid::new(4_194_305).unwrap()), None);
    }
}
