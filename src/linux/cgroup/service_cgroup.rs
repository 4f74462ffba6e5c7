use std::cell::Cell;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;

use super::control_file::{
    errno_of, is_gone, list_processes, parse_list, read, remove_all, value_of, with_descendants, write,
};
use super::{CgroupTree, Figures, Population};
use crate::linux::delivery::to_process;
use crate::linux::proc_file_system::Process;
use crate::supervisor::{Pid, Signal};

/// The leaf of one service, in which all its processes are, and their children, whatever they do.
///
/// It keeps one descriptor open. Dropping it removes nothing; see [`CgroupTree::restore`].
#[derive(Debug)]
pub(crate) struct ServiceCgroup {
    path: PathBuf,
    events: File,
}

/// How often a killing without `cgroup.kill` looks again for new processes, in one call.
const KILL_ROUNDS: u32 = 32;

/// How many cgroups that a service made below its own are looked into, and removed before a start: what is in others is found by
/// descent, and killed with all the rest.
const LOOKED_INTO: usize = 1024;

impl ServiceCgroup {
    /// Makes the leaf of a service. What a curfew that crashed left under this name is made anew if nobody is in it,
    /// so that the figures begin at nothing, and passed over otherwise.
    ///
    /// The tree must be prepared: only then the name is ours alone.
    ///
    /// # Errors
    /// EAGAIN: as many cgroups as `cgroup.max.descendants` allows. EACCES, EPERM, EROFS: not ours any more. ENOENT,
    /// ENODEV: somebody removed the base. EMFILE, ENFILE, ENOMEM: nothing left for it. EEXIST: every name is taken.
    pub(crate) fn create(tree: &mut CgroupTree, name: &str) -> nix::Result<Self> {
        for path in tree.service_paths(name) {
            match make_anew(&path, || tree.services.contains(&path)) {
                Ok(()) => {}
                Err(Errno::EEXIST) => continue,
                Err(errno) => return Err(errno),
            }
            let events = match File::open(path.join("cgroup.events")) {
                Ok(events) => events,
                Err(error) => {
                    // It is empty: we just made it.
                    let _ = remove_all(&path, &|| true);
                    return Err(errno_of(&error));
                }
            };
            tree.services.push(path.clone());
            let cgroup = Self { path, events };
            // Before it is read the first time, the file counts as changed.
            cgroup.population();
            return Ok(cgroup);
        }
        Err(Errno::EEXIST)
    }

    /// Its directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its directory, opened for [`super::clone_into()`]; closes on exec. Not kept open: a thousand services would need
    /// a thousand descriptors more.
    ///
    /// # Errors
    /// ENOENT: somebody removed the cgroup. EMFILE, ENFILE, ENOMEM: nothing left for it.
    pub(crate) fn descriptor(&self) -> nix::Result<OwnedFd> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.path);
        file.map(OwnedFd::from).map_err(|error| errno_of(&error))
    }

    /// Its list of processes, opened for [`super::join`]; closes on exec.
    ///
    /// # Errors
    /// As [`Self::descriptor`].
    pub(crate) fn procs_descriptor(&self) -> nix::Result<OwnedFd> {
        let file = OpenOptions::new().write(true).open(self.path.join("cgroup.procs"));
        file.map(OwnedFd::from).map_err(|error| errno_of(&error))
    }

    /// Whether anybody is in it, and whether they are frozen. Reading this makes [`Self::events`] wait for the next
    /// change.
    ///
    /// A process counts until it is dead, which is just before or after its parent can reap it: neither tells of the
    /// other.
    pub(crate) fn state(&self) -> (Population, bool) {
        let mut text = [0; 256];
        match self.events.read_at(&mut text, 0) {
            Ok(length) => {
                let text = &text[..length];
                (Population::parse(text), value_of(text, "frozen") == Some(1))
            }
            Err(error) if is_gone(errno_of(&error)) => (Population::Gone, false),
            // ENOMEM: nothing is known, and the next look will tell.
            Err(_) => (Population::Populated, false),
        }
    }

    /// As [`Self::state`], of the first alone.
    pub(crate) fn population(&self) -> Population {
        self.state().0
    }

    /// Whether anybody is in it, or in a cgroup below it.
    pub(crate) fn is_populated(&self) -> bool {
        self.population() == Population::Populated
    }

    /// What to wait on, with `EPOLLPRI` and nothing else: it is always readable. It is ready when somebody came into an
    /// empty cgroup, or the last one went, until [`Self::population`] is asked.
    ///
    /// Once that says [`Population::Gone`] it is ready for ever (`EPOLLERR`), and must be taken out of the set.
    pub(crate) fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Everybody who is in it, or in a cgroup that the service made below it; the dead left out. A service that makes more
    /// than a thousand is not looked at whole.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM: nothing left to look with. A cgroup that is gone has nobody in it, and is no error.
    pub(crate) fn processes(&self) -> nix::Result<Vec<Pid>> {
        let mut found = Vec::new();
        for cgroup in with_descendants(&self.path, LOOKED_INTO)? {
            match list_processes(&cgroup) {
                Ok(there) => found.extend(there),
                Err(errno) if is_gone(errno) => {}
                Err(Errno::EOPNOTSUPP) => found.extend(processes_of_threads(&cgroup)?),
                Err(errno) => return Err(errno),
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found.into_iter().filter_map(Pid::new).collect())
    }

    /// KILL to everybody in it and below it: by the kernel, which no fork escapes, else one by one.
    ///
    /// It does not wait for their end. A cgroup that is gone has nobody in it, and is no error.
    ///
    /// # Errors
    /// Without `cgroup.kill`: EAGAIN: they fork faster than we look, so call again. EPERM: one of them is out of our
    /// reach; the others are killed. EMFILE, ENFILE, ENOMEM: nothing left to look with.
    pub(crate) fn kill(&self) -> nix::Result<()> {
        match write(&self.path.join("cgroup.kill"), "1") {
            Ok(()) => Ok(()),
            Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) if !self.is_populated() => Ok(()),
            // ENOENT: a kernel before 5.14, or the cgroup is gone. EOPNOTSUPP: the service made it threaded.
            // EACCES, EPERM: somebody gave it to another user. The others may pass.
            Err(_) => self.kill_one_by_one(),
        }
    }

    /// KILL to each process, until there is none that has not got it. Frozen they cannot fork meanwhile, and die all
    /// the same.
    pub(super) fn kill_one_by_one(&self) -> nix::Result<()> {
        let freezer = self.path.join("cgroup.freeze");
        // Since Linux 5.2. Whoever froze it before shall find it so.
        let freezes =
            read(&freezer).is_ok_and(|state| state.trim_ascii() == b"0") && write(&freezer, "1").is_ok();
        let result = self.kill_until_stable();
        if freezes {
            // Gone already, or the next process in it would not start.
            let _ = write(&freezer, "0");
        }
        result
    }

    fn kill_until_stable(&self) -> nix::Result<()> {
        let mut done = HashSet::new();
        let mut result = Ok(());
        for _ in 0..KILL_ROUNDS {
            let listed = self.processes()?;
            let processes = listed.into_iter().filter_map(Process::read).filter(|process| !process.is_dead());
            let new: Vec<Process> =
                processes.filter(|process| !done.contains(&(process.pid, process.birth))).collect();
            if new.is_empty() {
                return result;
            }
            // Who had this pid when the list was made may have ended since, and another got it. Who is still listed now
            // is in the cgroup, and whether it is the one we looked at is compared before the signal.
            let still_listed: HashSet<Pid> = self.processes()?.into_iter().collect();
            for process in new.iter().filter(|process| still_listed.contains(&process.pid)) {
                done.insert((process.pid, process.birth));
                match to_process(process, Signal::KILL) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(errno) => result = Err(errno),
                }
            }
        }
        result.and(Err(Errno::EAGAIN))
    }

    /// Lets its processes go on if somebody froze them, so that they can obey. What is frozen below it stays so.
    ///
    /// # Errors
    /// EACCES, EPERM, EROFS: not ours any more. EMFILE, ENFILE, ENOMEM: nothing left for it. A cgroup that is gone has
    /// nobody in it, and is no error.
    pub(crate) fn thaw(&self) -> nix::Result<()> {
        match write(&self.path.join("cgroup.freeze"), "0") {
            Err(errno) if is_gone(errno) => Ok(()),
            result => result,
        }
    }

    /// What it uses now.
    pub(crate) fn current_figures(&self) -> Figures {
        Figures::read_current(&self.path)
    }

    /// What it has used so far.
    pub(crate) fn total_figures(&self) -> Figures {
        Figures::read_totals(&self.path)
    }

    /// Removes it, and what the service made below it. It does not wait, and may be called again.
    ///
    /// # Errors
    /// EBUSY: somebody is in it. EACCES, EPERM, EROFS: not ours any more.
    #[cfg(test)]
    pub(crate) fn remove(&self) -> nix::Result<()> {
        remove_all(&self.path, &|| true)
    }
}

impl AsFd for ServiceCgroup {
    /// As [`ServiceCgroup::events`].
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events()
    }
}

/// EEXIST: somebody is in it, or it is in use.
fn make_anew(path: &Path, is_in_use: impl Fn() -> bool) -> nix::Result<()> {
    let removed = Cell::new(0);
    let may_remove = || removed.replace(removed.get() + 1) < LOOKED_INTO;
    // A second attempt, after what was left is removed.
    for _ in 0..2 {
        match fs::create_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if errno_of(&error) == Errno::EEXIST && !is_in_use() => {}
            Err(error) => return Err(errno_of(&error)),
        }
        match remove_all(path, &may_remove) {
            Ok(()) => {}
            // Not ours to remove, or too much of it, so not ours to use.
            Err(Errno::EBUSY | Errno::EACCES | Errno::EPERM | Errno::ETIME) => return Err(Errno::EEXIST),
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EEXIST)
}

/// The processes that have a thread in a threaded cgroup, whose list of processes cannot be read.
fn processes_of_threads(cgroup: &Path) -> nix::Result<Vec<i32>> {
    let threads = match read(&cgroup.join("cgroup.threads")) {
        Ok(text) => parse_list(&text),
        Err(errno) if is_gone(errno) => Vec::new(),
        Err(errno) => return Err(errno),
    };
    let process_of = |thread: i32| thread_group(&fs::read(format!("/proc/{thread}/status")).ok()?);
    Ok(threads.into_iter().filter_map(process_of).collect())
}

/// `Tgid:` in `/proc/TID/status`.
fn thread_group(status: &[u8]) -> Option<i32> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Tgid:"))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn the_process_of_a_thread_is_in_its_status() {
        assert_eq!(thread_group(b"Name:\tTgid: 3\nTgid:\t42\nNgid:\t0\n"), Some(42));
        for text in [&b""[..], b"Tgid:", b"Tgid:\tx\n", b"\xff"] {
            assert_eq!(thread_group(text), None);
        }
    }
}
