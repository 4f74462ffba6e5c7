use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;
use nix::unistd::{Pid as SystemPid, getpgid, getpgrp, getppid, getsid, tcgetpgrp, tcsetpgrp};

use super::proc_file_system::{Process, all_processes};
use crate::supervisor::{Pid, Seat};

/// The terminal that controls us, if there is one.
///
/// A terminal talks to one process group at a time, the foreground; a key such as Ctrl-C goes to that group, and any
/// other group that reads from the terminal is stopped.
#[derive(Debug)]
pub(crate) struct Terminal {
    device: OwnedFd,
    seat: Seat,
}

impl Terminal {
    /// Looks for the controlling terminal. `/dev/tty` is trusted over standard input, which may be anything.
    pub(crate) fn find() -> Option<Self> {
        let device = open_controlling_terminal()?;
        let alone = [0, 1, 2].into_iter().all(is_our_terminal) && !group_has_others();
        // In the background for ever, since no shell would bring us to the front, only our own group gets an error from the
        // kernel when it reads; another would be stopped, for ever too.
        let useful = has_shell() || tcgetpgrp(&device) == Ok(getpgrp());
        let seat = if alone && useful { Seat::OwnGroup } else { Seat::SharedGroup };
        Some(Self { device: device.into(), seat })
    }

    /// Where the one command runs.
    pub(crate) const fn seat(&self) -> Seat {
        self.seat
    }

    /// The terminal itself, for the child to hand itself the foreground; `None` if that is not ours to give.
    pub(crate) fn to_hand_over(&self) -> Option<RawFd> {
        (self.seat == Seat::OwnGroup && self.foreground_is(getpgrp())).then(|| self.device.as_raw_fd())
    }

    /// Gives the foreground to the command's group, if it is ours: the shell's `fg` gave it to us.
    pub(crate) fn hand_over(&self, group: i32) {
        if self.to_hand_over().is_some() {
            self.set_foreground(SystemPid::from_raw(group));
        }
    }

    /// Takes the foreground back, if the command's group has it: whoever comes after us needs it.
    pub(crate) fn take_back(&self, group: i32) {
        if self.seat == Seat::OwnGroup && self.foreground_is(SystemPid::from_raw(group)) {
            self.set_foreground(getpgrp());
        }
    }

    fn foreground_is(&self, group: SystemPid) -> bool {
        tcgetpgrp(&self.device) == Ok(group)
    }

    /// TTOU is ignored by us, so this is allowed from the background.
    fn set_foreground(&self, group: SystemPid) {
        // EPERM: the group is gone; ENOTTY: the terminal hung up. Both leave nothing to do.
        let _ = tcsetpgrp(&self.device, group);
    }
}

/// Whether a terminal controls us. One that has hung up does not any more.
pub(crate) fn has_controlling_terminal() -> bool {
    open_controlling_terminal().is_some()
}

fn open_controlling_terminal() -> Option<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
        .open("/dev/tty")
        .ok()
}

/// Whether this stream is the terminal of our session.
fn is_our_terminal(stream: RawFd) -> bool {
    // SAFETY: tcgetsid only asks; a closed descriptor is an error.
    let session = unsafe { libc::tcgetsid(stream) };
    getsid(None).is_ok_and(|ours| ours.as_raw() == session)
}

/// Whether there is a shell that would continue us, were we stopped: somebody outside of our process group, in the session,
/// is a parent in it. Only then the kernel lets Ctrl-Z stop it; a group without such a parent is called orphaned.
pub(crate) fn has_shell() -> bool {
    let (group, session) = (getpgrp(), getsid(None).ok());
    let mut parent = Some(getppid());
    // Up through those of the group itself: a script, say. 0 is a parent outside of our pid namespace.
    while let Some(pid) = parent.filter(|pid| pid.as_raw() > 0) {
        if getpgid(Some(pid)) != Ok(group) {
            return getsid(Some(pid)).ok() == session;
        }
        parent =
            Pid::new(pid.as_raw()).and_then(Process::read).map(|process| SystemPid::from_raw(process.parent));
    }
    false
}

/// Whether our process group has another member, dead ones aside.
fn group_has_others() -> bool {
    let (me, group) = (std::process::id() as i32, getpgrp().as_raw());
    all_processes().any(|process| process.group == group && process.pid.number() != me && !process.is_dead())
}

/// Stops this process as Ctrl-Z would, until somebody continues it.
pub(crate) fn stop_self() {
    // SAFETY: a signal to ourselves; STOP cannot be caught, so nothing else runs before it takes effect.
    unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
}

/// How many columns the terminal has that standard output leads to; `None`: it is none, or does not say.
pub fn terminal_width() -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the structure is valid for writing, and of the kind that this request fills in.
    let result = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_col > 0).then(|| usize::from(size.ws_col))
}
