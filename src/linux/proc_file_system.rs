//! What /proc tells of processes. Whatever vanishes while we look is simply not there.

use std::collections::HashMap;
use std::fs;
use std::io::Read;

use crate::supervisor::Pid;

/// One process, at the moment it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) name: String,
    pub(crate) is_dead: bool,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
    /// In clock ticks since boot: with the pid it names one process for good.
    pub(crate) start_time: u64,
}

impl Process {
    /// Reads `/proc/PID/stat`.
    pub(crate) fn read(pid: Pid) -> Option<Self> {
        Self::parse(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// One that lives, and that /proc does not show.
    pub(crate) fn hidden(pid: Pid) -> Self {
        Self { pid, name: String::new(), is_dead: false, parent: 0, group: 0, session: 0, start_time: 0 }
    }

    /// Whether /proc does not show it.
    pub(crate) const fn is_hidden(&self) -> bool {
        self.start_time == 0
    }

    /// `pid (name) state ppid pgrp session …`: the name may hold anything, also brackets and spaces.
    fn parse(pid: Pid, text: &[u8]) -> Option<Self> {
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')')?;
        let name = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
        let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let threads: u32 = fields.nth(13)?.parse().ok()?;
        let start_time = fields.nth(1)?.parse().ok()?;
        // The main thread can end before the others: then the process looks dead, and lives.
        let is_dead = matches!(state, "Z" | "X" | "x") && threads <= 1;
        Some(Self { pid, name, is_dead, parent, group, session, start_time })
    }
}

/// Who is whose child.
pub(crate) enum FamilyTree {
    /// The kernel lists the children of each thread (`CONFIG_PROC_CHILDREN`).
    Listed,
    /// Every process was read, once.
    Scanned(HashMap<i32, Vec<Pid>>),
}

impl FamilyTree {
    /// The cheapest way that works here.
    pub(crate) fn look() -> Self {
        if !is_ours() {
            return Self::Scanned(HashMap::new());
        }
        if fs::exists("/proc/thread-self/children").unwrap_or(false) { Self::Listed } else { Self::scan() }
    }

    /// Reads every process there is.
    pub(crate) fn scan() -> Self {
        let mut children: HashMap<i32, Vec<Pid>> = HashMap::new();
        for process in all_processes() {
            children.entry(process.parent).or_default().push(process.pid);
        }
        Self::Scanned(children)
    }

    /// Whether nothing can be seen: there is no /proc.
    pub(crate) fn is_blind(&self) -> bool {
        matches!(self, Self::Scanned(children) if children.is_empty())
    }

    /// The children of `parent`, dead ones too.
    pub(crate) fn children(&self, parent: i32) -> Vec<Pid> {
        match self {
            Self::Scanned(children) => children.get(&parent).cloned().unwrap_or_default(),
            Self::Listed => {
                // A process's children are listed under the thread that made them.
                let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else {
                    return Vec::new();
                };
                let mut children = Vec::new();
                for thread in threads.flatten() {
                    read_list(&thread.path().join("children"), &mut children);
                }
                children
            }
        }
    }

    /// Everything that descends from these, themselves included; the dead left out.
    pub(crate) fn descendants(&self, roots: Vec<Pid>) -> Vec<Process> {
        let mut found = Vec::new();
        let mut seen: std::collections::HashSet<Pid> = roots.iter().copied().collect();
        let mut open = roots;
        while let Some(pid) = open.pop() {
            // A dead process has no children any more; only its parent's wait is missing.
            let Some(process) = Process::read(pid).filter(|process| !process.is_dead) else {
                continue;
            };
            open.extend(self.children(pid.number()).into_iter().filter(|child| seen.insert(*child)));
            found.push(process);
        }
        found
    }
}

/// Whether /proc shows us under our own number. That of another pid namespace shows strangers under the numbers of our
/// children: it is as good as none.
pub(crate) fn is_ours() -> bool {
    fs::read_link("/proc/self").is_ok_and(|me| me.as_os_str() == std::process::id().to_string().as_str())
}

/// A variable of another process's environment, as it was when its program was executed.
pub(crate) fn environment_variable(pid: Pid, name: &str) -> Option<String> {
    let mut environment = Vec::new();
    // An environment is limited to a few MiB by the kernel; more than 1 MiB of it is not read.
    fs::File::open(format!("/proc/{pid}/environ")).ok()?.take(1 << 20).read_to_end(&mut environment).ok()?;
    let prefix = format!("{name}=");
    let entry = environment.split(|byte| *byte == 0).find(|entry| entry.starts_with(prefix.as_bytes()))?;
    String::from_utf8(entry[prefix.len()..].to_vec()).ok()
}

/// Every process that our /proc shows; none if it is that of another pid namespace, where our numbers name others.
pub(crate) fn all_processes() -> impl Iterator<Item = Process> {
    let folder = is_ours().then(|| fs::read_dir("/proc").ok()).flatten();
    folder.into_iter().flatten().flatten().filter_map(|entry| {
        let pid = Pid::new(entry.file_name().to_str()?.parse().ok()?)?;
        Process::read(pid)
    })
}

fn read_list(path: &std::path::Path, pids: &mut Vec<Pid>) {
    let Ok(text) = fs::read_to_string(path) else {
        return;
    };
    pids.extend(text.split_ascii_whitespace().filter_map(|number| Pid::new(number.parse().ok()?)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: Pid = Pid::new(42).unwrap();

    #[test]
    fn a_name_may_hold_brackets_and_spaces() {
        let text = b"42 (a) Z (b) S 7 8 9 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654 0 0\n";
        let process = Process::parse(PID, text).unwrap();
        assert_eq!(process.name, "a) Z (b");
        assert_eq!((process.parent, process.group, process.session), (7, 8, 9));
        assert_eq!((process.start_time, process.is_dead), (987_654, false));
    }

    #[test]
    fn a_zombie_is_dead_and_half_a_line_is_nothing() {
        let zombie = b"42 (sh) Z 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0\n";
        assert!(Process::parse(PID, zombie).unwrap().is_dead);
        let main_thread_ended = b"42 (sh) Z 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 2 0 5 0\n";
        assert!(!Process::parse(PID, main_thread_ended).unwrap().is_dead);
        for text in [&b""[..], b"42", b"42 (", b"42 )x(", b"42 (sh) S 1 2", b"42 (sh) S 1 2 3 4 5"] {
            assert_eq!(Process::parse(PID, text), None);
        }
    }

    #[test]
    fn both_ways_of_looking_see_this_process_under_its_parent() {
        let me = Pid::new(std::process::id() as i32).unwrap();
        let parent = Process::read(me).unwrap().parent;
        for tree in [FamilyTree::look(), FamilyTree::scan()] {
            assert!(tree.children(parent).contains(&me));
            assert!(tree.descendants(vec![me]).iter().any(|process| process.pid == me));
        }
    }

    #[test]
    fn the_environment_is_that_of_the_execution() {
        let me = Pid::new(std::process::id() as i32).unwrap();
        assert_eq!(environment_variable(me, "PATH"), std::env::var("PATH").ok());
        assert_eq!(environment_variable(me, "PAT"), None);
    }
}
