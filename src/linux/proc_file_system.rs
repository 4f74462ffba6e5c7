//! What /proc tells of processes. Whatever vanishes while we look is simply not there.
//!
//! # What may be read in the loop
//!
//! A process can hang in the kernel for good, and hold a lock that the kernel takes for whoever looks at it: in execve(2),
//! which closes descriptors of a network file system whose server is gone, or in mmap(2) of a file there. No signal ends such
//! a process, and nothing but KILL ends the wait for it. So the loop reads only what takes no lock of the process looked at;
//! the rest is for a [`Helper`](super::helper::Helper). Below `/proc/PID`, and as far as they are there below
//! `/proc/PID/task/TID`, too:
//!
//! | file | waits while it hangs in execve | waits while its memory map is locked |
//! |---|---|---|
//! | `status`, `comm`, `children`, `cgroup`, `statm`, `limits`, `sched`, `oom_score_adj` | no | no |
//! | the lists `task`, `fd`, `fdinfo`, `ns` | no | no |
//! | `stat`, `wchan` | **yes**, since 2026 | no |
//! | the links `exe`, `cwd`, `root`, `fd/N`, `ns/NAME` | **yes**, since 2026 | no |
//! | `syscall`, `stack`, `io` | **yes** | no |
//! | `maps` | **yes** | no; **yes** on older kernels |
//! | `environ`, `map_files`, `mem` | **yes** | **yes** |
//! | `cmdline` | no; it is empty then | **yes** |
//!
//! Tried on Linux 6.18.44 (`mem`, and what is said of older kernels, is read from the source). "Since 2026": the change "proc: protect
//! ptrace_may_access() with exec_update_lock", which went into the stable kernels as well; so the version does not tell
//! whether a kernel has it. "exec: do_close_on_exec() before taking exec_update_lock" takes the most frequent cause away again,
//! but not the lock. Before Linux 5.10 another lock, `cred_guard_mutex`, which an execve holds from its first step on, is in the place
//! of `exec_update_lock`. `cgroup` takes the one lock of all cgroups on older kernels, which no process holds while it hangs.
//! pidfd_open(2), getpgid(2), getsid(2) and the CPU clocks take none of these.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read};

use nix::errno::Errno;
use nix::libc;

use super::pidfd::PidFd;
use crate::supervisor::Pid;

/// One process, at the moment it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) threads: u32,
    pub(crate) birth: Birth,
}

/// What tells a process from a later one that was given its pid.
///
/// Not the time of its start: only `stat` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Birth {
    /// The number of its pidfd, which no other process ever has. `None`: a kernel before 6.9, or no descriptor left.
    pub(crate) number: Option<u64>,
    /// Its session: the next best. Whoever was given the pid since, and is in this session, is of the same family.
    pub(crate) session: i32,
}

/// What a process does, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It runs, sleeps, or is stopped.
    Living,
    /// It cannot be interrupted at the moment. One that hangs looks like this, and many others, each for a moment.
    Uninterruptible,
    /// It is in the middle of execve(2): the old program is gone, the new one not there yet.
    Executing,
    /// It has ended, and was not reaped.
    Dead,
    /// It lives, and /proc does not show it.
    Hidden,
}

impl Birth {
    /// Whether these are one process, as far as can be known.
    pub(crate) fn is(self, other: Self) -> bool {
        match (self.number, other.number) {
            (Some(one), Some(other)) => one == other,
            _ => self.session == other.session,
        }
    }
}

impl Process {
    /// Looks at a process, without waiting for anything.
    pub(crate) fn read(pid: Pid) -> Option<Self> {
        // First: if the pid is given away before the rest is read, what was read is taken for nobody's.
        let number = match PidFd::open(pid) {
            Ok(handle) => handle.number(),
            Err(Errno::ESRCH) => return None,
            // No such call, or no descriptor left.
            Err(_) => None,
        };
        Some(Self::of(pid, number, Status::read(&format!("/proc/{pid}/status")).ok()?))
    }

    /// One that lives, and that /proc does not show.
    pub(crate) fn hidden(pid: Pid) -> Self {
        let birth = Birth { number: None, session: 0 };
        Self { pid, name: String::new(), state: State::Hidden, parent: 0, group: 0, threads: 1, birth }
    }

    /// A child of ours, not reaped, for which there is no time to look at it: it may be dead.
    pub(crate) fn not_looked_at(pid: Pid) -> Self {
        // SAFETY: getpgid and getsid take an integer.
        let [group, session] = unsafe { [libc::getpgid(pid.number()), libc::getsid(pid.number())] };
        let (parent, birth) = (std::process::id() as i32, Birth { number: None, session });
        Self { pid, name: "?".to_owned(), state: State::Living, parent, group, threads: 1, birth }
    }

    /// Whether /proc does not show it.
    pub(crate) fn is_hidden(&self) -> bool {
        self.state == State::Hidden
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state == State::Dead
    }

    fn of(pid: Pid, number: Option<u64>, status: Status) -> Self {
        let state = match status.state {
            // The main thread can end before the others: then the process looks dead, and lives.
            'Z' | 'X' if status.threads <= 1 => State::Dead,
            _ if status.is_executing => State::Executing,
            'D' => State::Uninterruptible,
            _ => State::Living,
        };
        // Without pid namespaces the kernel does not say these two.
        // SAFETY: getpgid and getsid take an integer. -1, if it is gone: nobody's group, nobody's session.
        let group = status.group.unwrap_or_else(|| unsafe { libc::getpgid(pid.number()) });
        // SAFETY: as above.
        let session = status.session.unwrap_or_else(|| unsafe { libc::getsid(pid.number()) });
        let Status { name, parent, threads, .. } = status;
        Self { pid, name, state, parent, group, threads, birth: Birth { number, session } }
    }
}

/// What `/proc/PID/status` or `/proc/PID/task/TID/status` says, as far as it is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) name: String,
    /// The letter of proc_pid_stat(5): R running, S sleeping, D uninterruptible, T stopped, Z ended …
    pub(crate) state: char,
    pub(crate) parent: i32,
    /// `None`: a kernel without pid namespaces.
    pub(crate) group: Option<i32>,
    pub(crate) session: Option<i32>,
    pub(crate) threads: u32,
    /// It has memory, but no program in it: it is in the middle of execve(2).
    pub(crate) is_executing: bool,
}

impl Status {
    /// Reads such a file.
    ///
    /// # Errors
    /// ENOENT, ESRCH: it is gone, or hidden. EACCES, EPERM: it is hidden. EMFILE, ENFILE, ENOMEM: nothing left to look with.
    pub(crate) fn read(path: &str) -> io::Result<Self> {
        Self::parse(&read_status(path)?).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// `Key:\tvalue` lines. The name comes first, and no line of it can be taken for another: a newline is escaped.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let mut lines = text.split(|byte| *byte == b'\n');
        let name = unescape(lines.next()?.strip_prefix(b"Name:\t")?);
        let (mut state, mut parent, mut group, mut session, mut threads, mut program) =
            (None, None, None, None, None, None);
        for line in lines {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (key, value) = (&line[..colon], line[colon + 1..].trim_ascii_start());
            match key {
                b"State" => state = value.first().map(|letter| char::from(*letter)),
                b"PPid" => parent = first_number(value),
                b"NSpgid" => group = first_number(value),
                b"NSsid" => session = first_number(value),
                b"VmExe" => program = first_number(value),
                // Nothing of use comes behind it.
                b"Threads" => {
                    threads = first_number(value);
                    break;
                }
                _ => {}
            }
        }
        let is_executing = program == Some(0);
        let threads = u32::try_from(threads?).ok()?;
        Some(Self { name, state: state?, parent: parent?, group, session, threads, is_executing })
    }
}

/// Who traces a process.
pub(crate) fn tracer(pid: Pid) -> Option<Pid> {
    let status = read_status(&format!("/proc/{pid}/status")).ok()?;
    let mut lines = status.split(|byte| *byte == b'\n');
    Pid::new(first_number(lines.find_map(|line| line.strip_prefix(b"TracerPid:\t"))?)?)
}

/// How a dead process ended, as wait(2) says it. Only of one that is dead: it holds no lock any more that `stat` waits for.
pub(crate) fn exit_status(dead: Pid) -> Option<i32> {
    fs::read_to_string(format!("/proc/{dead}/stat")).ok()?.trim_end().rsplit(' ').next()?.parse().ok()
}

/// The content of a file `status`.
///
/// # Errors
/// As [`Status::read`].
pub(crate) fn read_status(path: &str) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let mut text = vec![0; USUAL_STATUS];
    let mut length = 0;
    loop {
        let count = file.read(&mut text[length..])?;
        length += count;
        // The kernel makes it as a whole, and fills what it is given: less is the end.
        if length < text.len() || length >= LONGEST_STATUS {
            text.truncate(length);
            return Ok(text);
        }
        text.resize(length * 2, 0);
    }
}

const USUAL_STATUS: usize = 4096;
/// A process can be in 65536 groups, and they are all listed.
const LONGEST_STATUS: usize = 1 << 20;

/// The first of the numbers in a value: in the pid namespace of /proc, which is ours. Behind it those further down.
fn first_number(value: &[u8]) -> Option<i32> {
    std::str::from_utf8(value).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

/// A name as it was before the kernel escaped it for `status`: a newline as `\n`, a backslash as `\\`, and nothing else.
fn unescape(name: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.iter();
    while let Some(byte) = rest.next() {
        match (byte, rest.as_slice().first()) {
            (b'\\', Some(b'n')) => bytes.push(b'\n'),
            (b'\\', Some(b'\\')) => bytes.push(b'\\'),
            (byte, _) => {
                bytes.push(*byte);
                continue;
            }
        }
        rest.next();
    }
    String::from_utf8_lossy(&bytes).into_owned()
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

    /// Whether it is looked up anew each time.
    pub(crate) const fn is_listed(&self) -> bool {
        matches!(self, Self::Listed)
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

    /// The same, of a process that was looked at.
    pub(crate) fn children_of(&self, process: &Process) -> Vec<Pid> {
        match self {
            // By far the most have one thread.
            Self::Listed if process.threads == 1 => {
                let mut children = Vec::new();
                let list = format!("/proc/{pid}/task/{pid}/children", pid = process.pid);
                read_list(list.as_ref(), &mut children);
                children
            }
            Self::Listed | Self::Scanned(_) => self.children(process.pid.number()),
        }
    }

    /// Everything that descends from these, themselves included; the dead left out.
    pub(crate) fn descendants(&self, roots: Vec<Pid>) -> Vec<Process> {
        self.descendants_while(roots, &|| true)
    }

    /// The same, as far as it is known by the time that `goes_on` says no: it is asked again and again.
    pub(crate) fn descendants_while(&self, roots: Vec<Pid>, goes_on: &dyn Fn() -> bool) -> Vec<Process> {
        let mut seen = roots.iter().copied().collect();
        self.walk(roots, &mut seen, goes_on).found
    }

    /// Walks from these through everything that descends from them and was not `seen` yet.
    pub(crate) fn walk(&self, roots: Vec<Pid>, seen: &mut HashSet<Pid>, goes_on: &dyn Fn() -> bool) -> Walk {
        let mut walk = Walk::default();
        let mut open = roots;
        while let Some(pid) = open.pop() {
            // Somebody is found in any case, if somebody lives.
            if !walk.found.is_empty() && !goes_on() {
                walk.is_cut = true;
                break;
            }
            // A dead process has no children any more; only its parent's wait is missing.
            let Some(process) = Process::read(pid).filter(|process| !process.is_dead()) else {
                walk.met_the_dead = true;
                continue;
            };
            open.extend(self.children_of(&process).into_iter().filter(|child| seen.insert(*child)));
            walk.found.push(process);
        }
        walk
    }
}

/// What a walk through a family came to.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pub(crate) found: Vec<Process>,
    /// Somebody had ended when it was his turn: his children are not found under him any more.
    pub(crate) met_the_dead: bool,
    /// It was broken off.
    pub(crate) is_cut: bool,
}

/// Whether /proc shows us under our own number. That of another pid namespace shows strangers under the numbers of our
/// children: it is as good as none.
pub(crate) fn is_ours() -> bool {
    fs::read_link("/proc/self").is_ok_and(|me| me.as_os_str() == std::process::id().to_string().as_str())
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
    let mut text = Vec::with_capacity(USUAL_STATUS);
    // Not `fs::read`: it asks for a size first, which the kernel does not know.
    let Ok(_) = fs::File::open(path).and_then(|file| file.take(u64::MAX).read_to_end(&mut text)) else {
        return;
    };
    let numbers = text.split(|byte| *byte == b' ').filter_map(|word| std::str::from_utf8(word).ok());
    pids.extend(numbers.filter_map(|number| Pid::new(number.trim_ascii().parse().ok()?)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: Pid = Pid::new(42).unwrap();

    /// As the kernel writes it, with these lines changed.
    fn parsed(changed: &[(&str, &str)]) -> Option<Status> {
        let usual = [
            ("Name", "sh"),
            ("Umask", "0022"),
            ("State", "S (sleeping)"),
            ("Tgid", "42"),
            ("Pid", "42"),
            ("PPid", "7"),
            ("Groups", "0 "),
            ("NStgid", "42\t5"),
            ("NSpid", "42\t5"),
            ("NSpgid", "8\t6"),
            ("NSsid", "9\t0"),
            ("VmExe", "     144 kB"),
            ("Threads", "1"),
            ("PPid", "1"),
        ];
        let value_of =
            |key, value| changed.iter().find(|(name, _)| *name == key).map_or(value, |(_, new)| *new);
        let lines = usual.map(|(key, value)| match value_of(key, value) {
            "" => String::new(),
            value => format!("{key}:\t{value}\n"),
        });
        Status::parse(lines.concat().as_bytes())
    }

    fn state(changed: &[(&str, &str)]) -> State {
        Process::of(PID, None, parsed(changed).unwrap()).state
    }

    #[test]
    fn a_status_says_who_a_process_is_in_our_namespace() {
        let status = parsed(&[]).unwrap();
        assert_eq!((status.name.as_str(), status.state, status.threads), ("sh", 'S', 1));
        assert_eq!((status.parent, status.group, status.session), (7, Some(8), Some(9)));
        assert!(!status.is_executing);
        // A kernel without pid namespaces.
        let status = parsed(&[("NSpgid", ""), ("NSsid", "")]).unwrap();
        assert_eq!((status.group, status.session), (None, None));
    }

    #[test]
    fn a_name_may_hold_anything() {
        let name = |escaped| parsed(&[("Name", escaped)]).unwrap().name;
        assert_eq!(name("a) Z (b: c"), "a) Z (b: c");
        assert_eq!(name("a\\nPPid:\t1"), "a\nPPid:\t1");
        assert_eq!(name("\\\\n"), "\\n");
        assert_eq!(name("\\\\\\n\\\\\\\\"), "\\\n\\\\");
        assert_eq!(name("\\t\\"), "\\t\\");
        assert_eq!(Status::parse(b"Name:\t\nState:\tS\nPPid:\t1\nThreads:\t1\n").unwrap().name, "");
        let bytes = Status::parse(b"Name:\t\xff\nState:\tS\nPPid:\t1\nThreads:\t1\n").unwrap();
        assert_eq!(bytes.name, "\u{fffd}");
    }

    #[test]
    fn the_state_tells_the_dead_and_those_that_may_hang() {
        assert_eq!(state(&[]), State::Living);
        assert_eq!(state(&[("State", "D (disk sleep)")]), State::Uninterruptible);
        assert_eq!(state(&[("VmExe", "       0 kB")]), State::Executing);
        // Neither the dead nor the kernel's own have memory.
        assert_eq!(state(&[("State", "Z (zombie)"), ("VmExe", "")]), State::Dead);
        assert_eq!(state(&[("State", "Z (zombie)"), ("VmExe", ""), ("Threads", "2")]), State::Living);
        assert_eq!(state(&[("State", "I (idle)"), ("VmExe", "")]), State::Living);
    }

    #[test]
    fn half_a_status_is_nothing() {
        for missing in ["State", "PPid", "Threads"] {
            let text = "Name:\tsh\nState:\tS\nPPid:\t1\nThreads:\t1\n".replace(missing, "X");
            assert_eq!(Status::parse(text.as_bytes()), None);
        }
        for text in
            [&b""[..], b"Name:", b"Name:\tsh", b"Name:\tsh\nState:", b"State:\tS\nPPid:\t1\nThreads:\t1"]
        {
            assert_eq!(Status::parse(text), None);
        }
        assert_eq!(parsed(&[("Threads", "-1")]), None);
        assert_eq!(parsed(&[("Threads", "many")]), None);
    }

    #[test]
    fn the_kernel_and_the_parser_agree_on_names() {
        let before = fs::read("/proc/thread-self/comm").unwrap();
        for name in ["a\nPPid:\t1", "\\n \\\\ (x)", "a: b"] {
            fs::write("/proc/thread-self/comm", name).unwrap();
            assert_eq!(Status::read("/proc/thread-self/status").unwrap().name, name);
        }
        fs::write("/proc/thread-self/comm", before.trim_ascii()).unwrap();
    }

    #[test]
    fn a_birth_is_a_number_where_there_is_one() {
        let birth = |number, session| Birth { number, session };
        assert!(birth(Some(1), 2).is(birth(Some(1), 3)));
        assert!(!birth(Some(1), 2).is(birth(Some(2), 2)));
        assert!(birth(None, 2).is(birth(Some(1), 2)));
        assert!(!birth(Some(1), 2).is(birth(None, 3)));
    }

    #[test]
    fn a_process_is_known_again_even_when_it_is_dead() {
        let start = || std::process::Command::new("true").spawn().unwrap();
        let (mut first, mut second) = (start(), start());
        let [of_first, of_second] = [&first, &second].map(|child| {
            let pid = Pid::new(child.id() as i32).unwrap();
            let living = Process::read(pid).unwrap();
            while !Process::read(pid).unwrap().is_dead() {
                std::thread::yield_now();
            }
            let dead = Process::read(pid).unwrap();
            assert!(living.birth.is(dead.birth));
            assert_eq!((living.parent, living.group), (dead.parent, dead.group));
            assert_eq!(living.birth.session, dead.birth.session);
            dead.birth
        });
        if of_first.number.is_some() {
            assert!(!of_first.is(of_second));
        }
        let pid = Pid::new(first.id() as i32).unwrap();
        first.wait().unwrap();
        second.wait().unwrap();
        assert_eq!(Process::read(pid), None);
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
}
