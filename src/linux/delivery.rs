use nix::errno::Errno;
use nix::libc;

use super::pidfd::PidFd;
use super::proc_file_system::{FamilyTree, Process};
use super::reap::has_child_in_group;
use crate::supervisor::{Pid, Signal};

/// Signals a child that only we can reap: until then its pid is its own.
pub(crate) fn to_child(pid: Pid, signal: Signal) -> nix::Result<()> {
    // SAFETY: kill takes two integers; a pid above 1 names one process.
    Errno::result(unsafe { libc::kill(pid.number(), signal.number()) }).map(drop)
}

/// Whether it was our child when it was looked at: as long as we have not reaped it, its pid is its own.
pub(crate) fn is_child(process: &Process) -> bool {
    process.parent == std::process::id() as i32
}

/// Signals the process group that `leader`, not reaped yet, made for itself. Before it has made it: the leader alone.
pub(crate) fn to_group_of(leader: Pid, signal: Signal) -> nix::Result<()> {
    // SAFETY: as above; the group's number is the leader's, which is not given away before it is reaped.
    match Errno::result(unsafe { libc::kill(-leader.number(), signal.number()) }) {
        Err(Errno::ESRCH) => to_child(leader, signal),
        result => result.map(drop),
    }
}

/// Signals just the process that was looked at, and not another that got its pid since: the handle is opened first,
/// then it is compared, then the signal sent.
pub(crate) fn to_process(process: &Process, signal: Signal) -> nix::Result<()> {
    match handle_on(process)? {
        Some(handle) => handle.send(signal),
        None => to_child(process.pid, signal),
    }
}

/// A handle on the process that was looked at. `None`: it is still there, and there is no handle to be had.
///
/// # Errors
/// ESRCH: it is gone.
fn handle_on(process: &Process) -> nix::Result<Option<PidFd>> {
    let handle = match PidFd::open(process.pid) {
        Ok(handle) => Some(handle),
        // No such call, or no descriptor left: the comparison alone is still almost always right.
        Err(Errno::ENOSYS | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => None,
        Err(errno) => return Err(errno),
    };
    let is_it = match (handle.as_ref().and_then(PidFd::number), process.birth.number) {
        (Some(now), Some(before)) => now == before,
        _ => Process::read(process.pid).is_some_and(|now| now.birth.is(process.birth)),
    };
    if is_it { Ok(handle) } else { Err(Errno::ESRCH) }
}

/// Signals processes of our family that cannot be listed, for want of /proc: as PID 1 everybody, else the groups that
/// leaders made. A leader that was reaped is no proof against another's group, but a child of ours in it is.
pub(crate) fn to_unlisted(groups: impl Iterator<Item = i32>, signal: Signal) {
    if std::process::id() == 1 {
        // SAFETY: kill takes two integers; -1 is everybody in our pid namespace but ourselves.
        unsafe { libc::kill(-1, signal.number()) };
        return;
    }
    for group in groups.filter(|group| has_child_in_group(*group)) {
        // SAFETY: as above. ESRCH: they are dead; EPERM: out of our reach, and named at the end.
        unsafe { libc::kill(-group, signal.number()) };
    }
}

/// Kills the process group of a stray, if it is still in it: no fork escapes that, while a single process may have
/// made another before its own KILL arrives. Everybody in a group is in one session, and so of our family, unless the
/// session is our own. `is_unreaped`: it is a child of ours, and so has its pid still.
///
/// Whether any child of ours is in the group is not asked: the kernel would look at each that we have.
pub(crate) fn kill_group_of_stray(stray: &Process, is_unreaped: bool) {
    // SAFETY: getsid takes an integer, and 0 is ourselves.
    let is_our_session = stray.birth.session == unsafe { libc::getsid(0) };
    let is_it = || is_unreaped && is_child(stray) || handle_on(stray).is_ok();
    // SAFETY: getpgid takes an integer.
    let is_in_it = || is_it() && unsafe { libc::getpgid(stray.pid.number()) } == stray.group;
    if stray.group > 1 && !is_our_session && is_in_it() {
        // SAFETY: kill takes two integers. ESRCH: they are dead; EPERM: out of our reach.
        unsafe { libc::kill(-stray.group, Signal::KILL.number()) };
    }
}

/// Signals a living leader and all that descends from it, each once: for many programs a second signal means haste.
///
/// Returns the descendants, and what was refused, and why. When `goes_on` says no it is left at those that are known by then.
pub(crate) fn to_tree_of(
    leader: Pid,
    signal: Signal,
    goes_on: &dyn Fn() -> bool,
) -> (Vec<Process>, Vec<(Pid, Errno)>) {
    let tree = FamilyTree::look();
    let descendants = tree.descendants_while(tree.children(leader.number()), goes_on);
    let mut refused = Vec::new();
    if let Err(errno) = to_group_of(leader, signal) {
        refused.push((leader, errno));
    }
    // Refused for the group as a whole: each by himself, so that it is known who they are.
    let is_refused = !refused.is_empty();
    for process in descendants.iter().filter(|process| is_refused || process.group != leader.number()) {
        if let Err(errno) = to_process(process, signal) {
            refused.push((process.pid, errno));
        }
    }
    refused.retain(|(_, errno)| *errno != Errno::ESRCH);
    (descendants, refused)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Command, Stdio};

    use super::*;

    /// Starts a shell that tells the pid of a process in its group, and waits.
    fn with_a_stray(in_session_of_its_own: bool) -> (std::process::Child, Process) {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo $!; exec sleep 1000"]).stdout(Stdio::piped());
        if in_session_of_its_own {
            // SAFETY: a system call that takes nothing.
            unsafe { command.pre_exec(|| Errno::result(libc::setsid()).map(drop).map_err(Into::into)) };
        } else {
            command.process_group(0);
        }
        let mut leader = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(leader.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let stray = Process::read(Pid::new(line.trim().parse().unwrap()).unwrap()).unwrap();
        assert_eq!(stray.group, leader.id() as i32);
        (leader, stray)
    }

    #[test]
    fn whoever_has_the_pid_by_now_is_not_signalled() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let mut process = Process::read(Pid::new(child.id() as i32).unwrap()).unwrap();
        // Where the kernel numbers them, the session does not matter.
        process.birth.number = process.birth.number.map(|number| number - 1);
        process.birth.session += i32::from(process.birth.number.is_none());
        assert_eq!(to_process(&process, Signal::KILL), Err(Errno::ESRCH));
        process.birth.number = None;
        process.birth.session = nix::unistd::getsid(None).unwrap().as_raw() + 1;
        assert_eq!(to_process(&process, Signal::KILL), Err(Errno::ESRCH));
        process.birth.session -= 1;
        to_process(&process, Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
    }

    #[test]
    fn a_group_of_our_family_is_killed_as_a_whole() {
        let (mut leader, stray) = with_a_stray(true);
        kill_group_of_stray(&stray, false);
        assert_eq!(leader.wait().unwrap().signal(), Some(libc::SIGKILL));
        // Nobody of ours is in it any more: it may be another one's.
        assert!(!has_child_in_group(stray.group));
    }

    #[test]
    fn in_our_own_session_no_group_is_killed() {
        let (mut leader, stray) = with_a_stray(false);
        kill_group_of_stray(&stray, false);
        assert!(leader.try_wait().unwrap().is_none());
        to_group_of(Pid::new(leader.id() as i32).unwrap(), Signal::KILL).unwrap();
        leader.wait().unwrap();
    }
}
