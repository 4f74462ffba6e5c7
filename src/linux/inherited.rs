use std::collections::{HashMap, HashSet};

use super::proc_file_system::{Birth, FamilyTree, Process};
use super::reap::{Children, look};
use crate::supervisor::{Pid, ServiceId};

/// Those whom curfew has from before its own exec (`sh -c 'x & exec curfew …'`), and whoever comes from them: reaped, never
/// signalled, not waited for.
///
/// What they leave behind becomes ours as what services leave behind does. It counts as theirs only if that is proved: it was
/// seen below one of them, or it is in a session that one of them holds: it is in it, or its pid is the session's number. Nobody
/// enters a session that is there already, and each service begins one of its own.
///
/// Whoever begins a session and loses its parent, all between two looks, counts as a stray, and so does whoever is left in a
/// session that none of those holds who were seen: its number may have been given to another one. Nothing tells them from strays
/// of a service that has cleaned up its environment, and none of those may get away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inherited {
    /// Our children among them.
    children: HashSet<Pid>,
    /// Those who were there at the last look.
    seen: HashMap<Pid, Birth>,
    /// The numbers that they hold.
    sessions: HashSet<i32>,
    /// The command is in this session as well: it proves nothing.
    shared_session: Option<i32>,
    /// The numbers that were held by those who were reaped since the last look, and may have left others.
    lost: HashSet<i32>,
    /// Grows with each change, so that copies can be told from it.
    version: u64,
}

impl Inherited {
    /// Who is there before anything is started.
    pub(crate) fn find(shared_session: Option<i32>) -> Self {
        let mut found = Self { shared_session, ..Self::default() };
        // Almost always there are none, and the kernel says so at once.
        if look() != Children::None {
            let tree = FamilyTree::look();
            found.children = tree.children(std::process::id() as i32).into_iter().collect();
            found.look_at(&tree, &[], &HashMap::new());
        }
        found
    }

    /// Whether this child of ours is one of them, as far as was seen.
    pub(crate) fn contains(&self, pid: Pid) -> bool {
        self.children.contains(&pid)
    }

    /// Whether no child of ours is one of them.
    pub(crate) fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// A number that is another one after each change.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// A child was reaped. Returns whether it was one of them.
    pub(crate) fn reaped(&mut self, pid: Pid) -> bool {
        let was_one = self.children.remove(&pid);
        if was_one {
            self.version += 1;
            self.lost.insert(pid.number());
            self.lost.extend(self.seen.get(&pid).map(|birth| birth.session));
        }
        was_one
    }

    /// Whether another look is due, to see who has come to us.
    pub(crate) fn has_lost_one(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Looks who is there: below them, and among `orphans`, our children that nobody leads.
    pub(crate) fn look_at(&mut self, tree: &FamilyTree, orphans: &[Pid], services: &HashMap<i32, ServiceId>) {
        let lost = std::mem::take(&mut self.lost);
        if self.children.is_empty() && self.seen.is_empty() {
            return;
        }
        self.version += 1;
        self.count_held(lost);
        let mut orphans: Vec<Process> = orphans.iter().filter_map(|pid| Process::read(*pid)).collect();
        loop {
            let mut parents = HashSet::from([std::process::id() as i32]);
            for process in tree.descendants(self.children.iter().copied().collect()) {
                // Else another one got its pid since it was listed.
                if parents.contains(&process.parent) {
                    parents.insert(process.pid.number());
                    self.sessions.extend([process.birth.session, process.pid.number()]);
                    self.seen.insert(process.pid, process.birth);
                }
            }
            let count = self.children.len();
            let theirs = orphans.extract_if(.., |process| self.is_one(process, services));
            let theirs: Vec<Pid> = theirs.map(|process| process.pid).collect();
            self.children.extend(theirs);
            if self.children.len() == count {
                break;
            }
        }
        self.count_held(HashSet::new());
    }

    /// Forgets who is gone. The numbers of such may be given to somebody else; those of `lost` were not, a moment ago.
    fn count_held(&mut self, lost: HashSet<i32>) {
        self.sessions = lost;
        self.seen.retain(|pid, birth| {
            let process = Process::read(*pid).filter(|process| process.birth.is(*birth));
            self.sessions.extend(process.iter().flat_map(|process| [process.birth.session, pid.number()]));
            process.is_some()
        });
    }

    /// Whether a child of ours is one of them, as far as can be proved. Begun by one that was seen, a session is theirs too.
    pub(crate) fn is_one(&self, process: &Process, services: &HashMap<i32, ServiceId>) -> bool {
        let session = process.birth.session;
        self.seen.get(&process.pid).is_some_and(|birth| birth.is(process.birth))
            || self.sessions.contains(&session)
                && session >= 0
                && self.shared_session != Some(session)
                // A leader that was just forked is in our session as yet.
                && ![session, process.pid.number()].iter().any(|number| services.contains_key(number))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use nix::errno::Errno;
    use nix::libc;

    use super::*;

    #[test]
    fn the_number_of_a_session_that_nobody_holds_proves_nothing() {
        let mut ended = Command::new("true").spawn().unwrap();
        let mut orphan = Command::new("sleep");
        // SAFETY: a system call that takes nothing.
        unsafe { orphan.pre_exec(|| Errno::result(libc::setsid()).map(drop).map_err(Into::into)) };
        let mut orphan = orphan.arg("1000").spawn().unwrap();
        let [pid_of_ended, pid] = [&ended, &orphan].map(|child| Pid::new(child.id() as i32).unwrap());
        let session = pid.number();
        let tree = FamilyTree::look();
        let birth = Process::read(pid_of_ended).unwrap().birth;
        // It was in the session when it was seen.
        let seen = HashMap::from([(pid_of_ended, Birth { session, ..birth })]);
        let seen_there = || Inherited {
            sessions: HashSet::from([session]),
            children: HashSet::from([pid_of_ended]),
            seen: seen.clone(),
            ..Inherited::default()
        };
        ended.wait().unwrap();
        let mut inherited = seen_there();
        inherited.children.clear();
        inherited.look_at(&tree, &[pid], &HashMap::new());
        let is_taken_for_theirs = inherited.contains(pid);
        let mut inherited = seen_there();
        assert!(inherited.reaped(pid_of_ended));
        inherited.look_at(&tree, &[pid], &HashMap::new());
        orphan.kill().unwrap();
        orphan.wait().unwrap();
        assert!(!is_taken_for_theirs);
        // Until it was reaped, it held the number itself.
        assert!(inherited.contains(pid));
    }
}
