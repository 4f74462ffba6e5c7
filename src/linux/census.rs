use std::collections::{HashMap, HashSet};

use super::containment::{Containment, Member};
use super::inherited::Inherited;
use super::proc_file_system::{Birth, FamilyTree, Process, State};
use super::reap::{Children, look};
use crate::supervisor::{Pid, ServiceId};

/// Who is there, and whose they are.
#[derive(Debug, Default)]
pub(crate) struct Family {
    /// The living leaders.
    pub(crate) leaders: HashMap<Pid, ServiceId>,
    /// The session of each service's last leader, which is that leader's pid: the kernel does not give the pid away
    /// while anybody is in the session.
    pub(crate) sessions: HashMap<i32, ServiceId>,
    pub(crate) inherited: Inherited,
    /// Processes of curfew's own, which look at others.
    pub(crate) helpers: HashSet<Pid>,
    /// Commands that run beside leaders.
    pub(crate) hooks: HashSet<Pid>,
    /// The services by name, to read the cookie.
    pub(crate) names: HashMap<String, ServiceId>,
    /// Names this run in the environment of its processes.
    pub(crate) run: String,
    /// Whose a process was found to be: later nothing may tell it any more. An environment is gone when the main thread has
    /// ended. `None`: nobody's, as far as its environment tells.
    pub(crate) remembered: HashMap<Pid, (Birth, Option<ServiceId>)>,
    /// Where all belongs that cannot be told otherwise: with one command, that command.
    pub(crate) fallback: Option<ServiceId>,
}

/// A living process that is not under a living leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) process: Process,
    pub(crate) service: Option<ServiceId>,
}

/// What a census came to.
#[derive(Debug)]
pub(crate) enum Census {
    /// These, and nobody else.
    Complete(Vec<Found>),
    /// Nobody can be listed, for want of /proc; but somebody is there.
    Hidden,
    /// These, and perhaps others: somebody ended while we looked, and may have left children, or was missed altogether.
    /// Reap, so that it is known how they ended, and look again.
    Moving {
        found: Vec<Found>,
        /// Our children that were dead, or gone, when we looked at them.
        dead: Vec<Pid>,
        /// There was no time to look at more than these.
        is_cut: bool,
        /// Our children among those that were not looked at.
        left_out: Vec<Pid>,
    },
    /// Somebody is in the cgroup of a service, and nobody could be named: who was there has just ended, or made way for
    /// another. Or it is somebody outside of our pid namespace.
    Unlisted,
}

/// How often the list of our children is looked at in one census, if some of them end meanwhile.
const ROUNDS: u32 = 4;

/// The variable that names the run of curfew that started a process.
pub(crate) const RUN_VARIABLE: &str = "CURFEW_RUN";
/// The variable that names its service.
pub(crate) const SERVICE_VARIABLE: &str = "CURFEW_SERVICE";

/// The variable that tells a service how long it may take to stop.
pub(crate) const DEADLINE_VARIABLE: &str = "CURFEW_DEADLINE";

impl Family {
    /// Looks for every living process that is ours, and not under a living leader: all that descends from us, and all
    /// that is in the cgroup of a service without a leader, or of `wanted`. It is broken off when `goes_on` says no.
    pub(crate) fn census(
        &mut self,
        cgroups: &mut Containment,
        wanted: Option<ServiceId>,
        goes_on: &dyn Fn() -> bool,
    ) -> Census {
        let led: HashSet<ServiceId> = self.leaders.values().copied().collect();
        let (members, mut unlisted) = cgroups.members(|service| led.contains(&service), wanted);
        // The kernel's word: no child, so nobody. This is the ordinary case, and needs no /proc.
        if look() == Children::None && members.is_empty() && unlisted.is_empty() {
            return Census::Complete(Vec::new());
        }
        let me = std::process::id() as i32;
        let tree = FamilyTree::look();
        let mut roots = self.orphans(&tree, me);
        if roots.is_empty() && self.only_strays_are_left() {
            // There is a child, but the list did not name it: such a list can miss one while others end.
            roots = self.orphans(&FamilyTree::scan(), me);
        }
        let (mut found, mut dead, mut seen, mut is_cut) = (Vec::new(), Vec::new(), HashSet::new(), false);
        let mut left_out = Vec::new();
        for _ in 0..ROUNDS {
            let mut met_the_dead = false;
            roots.retain(|root| seen.insert(*root));
            for root in std::mem::take(&mut roots) {
                if !found.is_empty() && !goes_on() {
                    is_cut = true;
                    left_out.push(root);
                    continue;
                }
                let walk = tree.walk(vec![root], &mut seen, goes_on);
                (met_the_dead, is_cut) = (met_the_dead || walk.met_the_dead, is_cut || walk.is_cut);
                if walk.found.is_empty() {
                    dead.push(root);
                }
                let of_root = walk.found.first().and_then(|process| self.service_of(process, cgroups));
                for process in walk.found {
                    let service = self.service_of(&process, cgroups).or(of_root).or(self.fallback);
                    found.push(Found { process, service });
                }
            }
            // The children of whoever has ended became ours after the list was made.
            if !met_the_dead || is_cut || !tree.is_listed() {
                break;
            }
            roots = self.orphans(&tree, me);
        }
        self.add_members(members, cgroups, &tree, &mut found, &mut unlisted);
        if found.is_empty() && dead.is_empty() && !unlisted.is_empty() && !is_cut {
            return Census::Unlisted;
        }
        // The kernel has said that there is a child.
        let missed = found.is_empty() && self.only_strays_are_left();
        if missed && tree.is_blind() {
            return Census::Hidden;
        }
        if missed || !dead.is_empty() || !unlisted.is_empty() || is_cut {
            Census::Moving { found, dead, is_cut, left_out }
        } else {
            Census::Complete(found)
        }
    }

    /// Adds those whom descent has not shown: whoever has another parent than us, or is hidden from us.
    fn add_members(
        &self,
        members: Vec<Member>,
        cgroups: &Containment,
        tree: &FamilyTree,
        found: &mut Vec<Found>,
        unlisted: &mut HashSet<ServiceId>,
    ) {
        let known: HashSet<Pid> = found.iter().map(|found| found.process.pid).collect();
        let is_other = |pid| {
            !known.contains(&pid)
                && !self.leaders.contains_key(&pid)
                && !self.hooks.contains(&pid)
                && !self.helpers.contains(&pid)
        };
        let mut others = members.into_iter().filter(|member| is_other(member.pid)).peekable();
        // This is the ordinary case.
        if others.peek().is_none() {
            return;
        }
        let roots = self.leaders.keys().chain(&self.hooks).chain(&self.helpers).copied().collect();
        let with_them: HashSet<Pid> =
            tree.descendants(roots).into_iter().map(|process| process.pid).collect();
        let mut has_one: HashSet<ServiceId> = found.iter().filter_map(|found| found.service).collect();
        let mut ended = HashSet::new();
        for Member { pid, service } in others.filter(|member| !with_them.contains(&member.pid)) {
            let process = match Process::read(pid) {
                Some(process) if process.is_dead() => None,
                Some(process) => Some(process),
                // What is still listed lives, and is hidden: by the mount option `hidepid`.
                None => (!tree.is_blind() && cgroups.lists(service, pid) && Process::read(pid).is_none())
                    .then(|| Process::hidden(pid)),
            };
            match process {
                Some(process) => {
                    has_one.insert(service);
                    found.push(Found { process, service: Some(service) });
                }
                None => drop(ended.insert(service)),
            }
        }
        // They may have left others, who came when the list was made already.
        let may_hide = |service: &ServiceId| !has_one.contains(service) && cgroups.is_populated(*service);
        unlisted.extend(ended.into_iter().filter(may_hide));
    }

    /// Whether every child that we have is a stray.
    fn only_strays_are_left(&self) -> bool {
        self.leaders.is_empty()
            && self.inherited.is_empty()
            && self.helpers.is_empty()
            && self.hooks.is_empty()
    }

    /// Our children that nobody leads or looks after, dead ones too. Whoever comes from those that curfew inherited is set
    /// aside by the way.
    pub(crate) fn orphans(&mut self, tree: &FamilyTree, me: i32) -> Vec<Pid> {
        let mut orphans = tree.children(me);
        orphans.retain(|pid| {
            !self.leaders.contains_key(pid) && !self.helpers.contains(pid) && !self.hooks.contains(pid)
        });
        self.inherited.look_at(tree, &orphans, &self.sessions);
        orphans.retain(|pid| !self.inherited.contains(*pid));
        orphans
    }

    /// Keeps in mind whose a process is.
    pub(crate) fn remember(&mut self, process: &Process, service: ServiceId) {
        self.remembered.insert(process.pid, (process.birth, Some(service)));
    }

    /// The service a process came from, without looking into it: by its session, by what is known already, by its cgroup.
    pub(crate) fn service_of(&self, process: &Process, cgroups: &Containment) -> Option<ServiceId> {
        self.known_service_of(process).or_else(|| cgroups.service_of(process.pid))
    }

    /// The same, as far as no file is to be read for it.
    pub(crate) fn known_service_of(&self, process: &Process) -> Option<ServiceId> {
        if let Some(service) = self.sessions.get(&process.birth.session) {
            return Some(*service);
        }
        if let Some((birth, Some(service))) = self.remembered.get(&process.pid)
            && birth.is(process.birth)
        {
            return Some(*service);
        }
        None
    }

    /// Those among them whose environment might say whose they are, and was not read yet.
    pub(crate) fn unread<'a>(&self, found: &'a [Found]) -> Vec<&'a Process> {
        let is_read = |process: &Process| {
            self.remembered.get(&process.pid).is_some_and(|(birth, _)| birth.is(process.birth))
        };
        let may_say = |process: &Process| matches!(process.state, State::Living | State::Uninterruptible);
        let unknown = found.iter().filter(|found| found.service.is_none()).map(|found| &found.process);
        unknown.filter(|process| may_say(process) && !is_read(process)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn nobody_is_forgotten_whom_there_is_no_time_to_look_at() {
        let mut children = [(); 2].map(|()| Command::new("sleep").arg("1000").spawn().unwrap());
        let census = Family::default().census(&mut Containment::default(), None, &|| false);
        let pids = [&children[0], &children[1]].map(|child| Pid::new(child.id() as i32).unwrap());
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        // Other tests have children, too.
        let Census::Moving { found, is_cut: true, left_out, .. } = census else { panic!("{census:?}") };
        let is_known = |pid| left_out.contains(pid) || found.iter().any(|found| found.process.pid == *pid);
        assert!(pids.iter().all(is_known));
    }
}
