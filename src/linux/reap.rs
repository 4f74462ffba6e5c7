//! The only place that reaps.

use nix::libc;

use crate::supervisor::{End, Pid, Signal};

/// Whether there are children, and whether one of them can be reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Children {
    /// There is none: the proof that nobody is left.
    None,
    /// There are some; none has ended.
    Living,
    /// One has ended.
    Ended(Pid, End),
    /// One was stopped by this signal: it is still there.
    Stopped(Pid, Signal),
}

/// Reaps one child that has ended, if there is one, or tells of one that was stopped.
///
/// Call it until it says otherwise: one SIGCHLD can stand for many deaths. `__WALL`: also children made by clone(2)
/// with another signal than SIGCHLD.
pub(crate) fn reap() -> Children {
    wait(libc::WEXITED | libc::WSTOPPED | libc::WNOHANG | libc::__WALL)
}

/// The same, but of one that has ended `before` hears first: as long as it is not reaped, /proc tells who it was.
pub(crate) fn reap_after(before: impl FnOnce(Pid, End)) -> Children {
    let Children::Ended(pid, end) = look() else {
        // Whoever has ended since is not reaped unheard: his signal brings us back.
        return wait(libc::WSTOPPED | libc::WNOHANG | libc::__WALL);
    };
    before(pid, end);
    // This one, though another may have come first in the meantime.
    wait_for(libc::P_PID, pid.number().cast_unsigned(), libc::WEXITED | libc::WNOHANG | libc::__WALL)
}

/// Looks for one that has ended, without reaping.
pub(crate) fn look() -> Children {
    wait(libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL)
}

/// Whether this child of ours is there, and cannot be reaped. A dead one is not for us as long as another one traces it.
pub(crate) fn is_out_of_reach(pid: Pid) -> bool {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    wait_for(libc::P_PID, pid.number().cast_unsigned(), options) == Children::Living
}

/// Whether a child of ours, dead or living, is in this process group: then the group is of our family, whatever became
/// of the process that made it.
pub(crate) fn has_child_in_group(group: i32) -> bool {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: all zeros is a valid siginfo_t, and valid for writing.
    unsafe {
        let mut information: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PGID, group.cast_unsigned(), &raw mut information, options) == 0
    }
}

fn wait(options: i32) -> Children {
    wait_for(libc::P_ALL, 0, options)
}

fn wait_for(kind: libc::idtype_t, id: libc::id_t, options: i32) -> Children {
    loop {
        // SAFETY: all zeros is a valid siginfo_t.
        let mut information: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: `information` is valid for writing.
        let result = unsafe { libc::waitid(kind, id, &raw mut information, options) };
        if result != 0 {
            match nix::errno::Errno::last() {
                nix::errno::Errno::EINTR => continue,
                // ECHILD; the options are right, so nothing else can be.
                _ => return Children::None,
            }
        }
        // SAFETY: waitid filled it in, or left the zero that was there.
        let (number, status) = unsafe { (information.si_pid(), information.si_status()) };
        return match Pid::new(number) {
            None => Children::Living,
            Some(pid) if information.si_code == libc::CLD_STOPPED => {
                Children::Stopped(pid, Signal::from_number(status).unwrap_or(Signal::STOP))
            }
            Some(pid) => Children::Ended(pid, decode(information.si_code, status)),
        };
    }
}

fn decode(code: i32, status: i32) -> End {
    let byte = (status & 0xff) as u8;
    match code {
        libc::CLD_EXITED => End::Exited(byte),
        _ => End::Signaled { number: byte, core_dumped: code == libc::CLD_DUMPED },
    }
}

/// The end that a status of wait(2) tells.
pub(crate) const fn decode_status(status: i32) -> End {
    match (status & 0x7f) as u8 {
        0 => End::Exited((status >> 8) as u8),
        number => End::Signaled { number, core_dumped: status & 0x80 != 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_apart() {
        assert_eq!(decode(libc::CLD_EXITED, 255), End::Exited(255));
        assert_eq!(decode_status(0x300), End::Exited(3));
        assert_eq!(decode_status(0x8b), End::Signaled { number: 11, core_dumped: true });
        assert_eq!(decode(libc::CLD_KILLED, 9), End::Signaled { number: 9, core_dumped: false });
        assert_eq!(decode(libc::CLD_DUMPED, 11), End::Signaled { number: 11, core_dumped: true });
    }
}
