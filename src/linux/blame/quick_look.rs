use std::io::ErrorKind;
use std::time::Duration;

use nix::errno::Errno;

use super::cpu_meter::cpu_time;
use super::party::Party;
use super::process_status::ProcessStatus;
use super::thread::ThreadFacts;
use crate::linux::proc_file_system::{Birth, Process, Status, read_status};
use crate::supervisor::Pid;

/// What can be seen of a process without the risk of hanging: to be taken before the next signal, which changes it.
///
/// It reads `status` only, and lists threads: nothing of that waits for a lock that the process can hold for long, as nearly
/// everything else does (see [`proc_file_system`](crate::linux::proc_file_system)).
#[derive(Clone, Debug)]
pub(crate) struct QuickLook {
    pub(super) pid: Pid,
    pub(super) sight: Sight,
    pub(super) name: String,
    pub(super) birth: Option<Birth>,
    pub(super) thread_count: u32,
    /// The main thread first.
    pub(super) threads: Vec<ThreadFacts>,
    pub(super) status: Option<ProcessStatus>,
    pub(super) cpu_time: Option<Duration>,
}

/// Whether a process could be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It could.
    Seen,
    /// It is gone.
    Vanished,
    /// It is there, but we may not look: it is another user's, behind hidepid.
    Denied,
    /// It is there, but not in /proc: hidepid, or no /proc.
    Hidden,
    /// We had no descriptor or no memory to look.
    Failed,
}

/// How many threads of a process are looked at.
pub(super) const MOST_THREADS: usize = 64;

impl QuickLook {
    /// Looks, until `time_left` says no. Never fails: what may not be seen is left out.
    pub(crate) fn take(pid: Pid, time_left: &dyn Fn() -> bool) -> Self {
        let mut look = Self {
            pid,
            sight: Sight::Seen,
            name: String::new(),
            birth: None,
            thread_count: 0,
            threads: Vec::new(),
            status: None,
            cpu_time: cpu_time(pid),
        };
        // First, as ever: what comes after it is taken for nobody's if the pid is given away meanwhile.
        let process = Process::read(pid);
        let text = match read_status(&format!("/proc/{pid}/status")) {
            Ok(text) => text,
            Err(error) => {
                look.sight = sight(&error, look.cpu_time.is_some());
                return look;
            }
        };
        let Some(status) = Status::parse(&text) else {
            look.sight = Sight::Failed;
            return look;
        };
        look.name = status.name;
        look.birth = process.map(|process| process.birth);
        look.thread_count = status.threads;
        let mut status = ProcessStatus::parse(&String::from_utf8_lossy(&text));
        status.tracer = status.tracer.map(|tracer| party(tracer.pid));
        look.status = Some(status);
        for thread in threads_of(pid.number(), &format!("/proc/{pid}/task")) {
            if !time_left() {
                break;
            }
            look.threads.extend(quick_facts(&format!("/proc/{pid}/task/{thread}"), thread));
        }
        look
    }
}

/// The threads of a process, its main thread first, as many as are looked at.
pub(super) fn threads_of(pid: i32, folder: &str) -> impl Iterator<Item = i32> {
    let listed = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let others = listed.filter_map(move |entry| {
        entry.file_name().to_str()?.parse().ok().filter(|thread: &i32| *thread != pid)
    });
    std::iter::once(pid).chain(others).take(MOST_THREADS)
}

/// Name and state of a thread; `None`: it has ended.
pub(super) fn quick_facts(folder: &str, id: i32) -> Option<ThreadFacts> {
    let status = Status::read(&format!("{folder}/status")).ok()?;
    Some(ThreadFacts {
        id,
        name: status.name,
        state: status.state,
        is_executing: status.is_executing,
        ..ThreadFacts::default()
    })
}

/// A process by its pid, with its name if it can be seen.
pub(super) fn party(pid: i32) -> Party {
    let name = (pid > 0).then(|| Status::read(&format!("/proc/{pid}/status")).ok()).flatten();
    Party { pid, name: name.map(|status| status.name) }
}

/// What an error means. A process that has a clock is there, whatever /proc says.
fn sight(error: &std::io::Error, is_there: bool) -> Sight {
    match (error.kind(), error.raw_os_error().map(Errno::from_raw)) {
        (ErrorKind::NotFound, _) | (_, Some(Errno::ESRCH)) if is_there => Sight::Hidden,
        (ErrorKind::NotFound, _) | (_, Some(Errno::ESRCH)) => Sight::Vanished,
        (ErrorKind::PermissionDenied, _) => Sight::Denied,
        _ => Sight::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_with_its_main_thread_first() {
        let me = Pid::new(std::process::id() as i32).unwrap();
        let look = QuickLook::take(me, &|| true);
        assert_eq!(look.sight, Sight::Seen);
        assert_eq!(look.threads[0].id, me.number());
        assert!(look.birth.is_some() && look.cpu_time.is_some() && look.status.is_some());
    }

    #[test]
    fn it_ends_as_soon_as_there_is_no_time_left() {
        let me = Pid::new(std::process::id() as i32).unwrap();
        let look = QuickLook::take(me, &|| false);
        assert_eq!((look.sight, look.threads.len()), (Sight::Seen, 0));
    }

    #[test]
    fn errors_are_told_apart() {
        let of = |errno: Errno| std::io::Error::from_raw_os_error(errno as i32);
        assert_eq!(sight(&of(Errno::ENOENT), false), Sight::Vanished);
        assert_eq!(sight(&of(Errno::ESRCH), false), Sight::Vanished);
        assert_eq!(sight(&of(Errno::ENOENT), true), Sight::Hidden);
        assert_eq!(sight(&of(Errno::EPERM), true), Sight::Denied);
        assert_eq!(sight(&of(Errno::EACCES), true), Sight::Denied);
        assert_eq!(sight(&of(Errno::EMFILE), true), Sight::Failed);
    }
}
