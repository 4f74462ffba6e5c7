use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

use super::cgroup::{CgroupTree, CgroupUnavailable, Figures, Leftover, Moving, Population, ServiceCgroup};
use super::pidfd::PidFd;
use super::proc_file_system::Process;
use super::wait_set::{Ready, WaitSet};
use crate::supervisor::{Pid, ServiceId, Signal};

/// Whether each service is kept in a cgroup of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupUse {
    /// Never.
    Off,
    /// If one was given to us.
    IfDelegated,
    /// In any that we may write to. Without, nothing may be started.
    Required,
}

/// The cgroups of the services, which nobody leaves by forking: how they come and go, and who is in them.
///
/// All of it may be missing, or vanish. Then there is nobody to be found here, and descent alone tells.
#[derive(Debug, Default)]
pub(crate) struct Containment {
    tree: Option<CgroupTree>,
    leaves: BTreeMap<ServiceId, Leaf>,
    /// The services by the names of their directories.
    names: HashMap<OsString, ServiceId>,
    /// Services of which it was said that they are not contained.
    told: HashSet<ServiceId>,
    /// That there are too few descriptors was said.
    told_descriptors: bool,
}

/// So many descriptors, or half of them, are left for starting, looking and reporting: each start that is under way has a pipe,
/// and to be contained is not worth not to be started.
const DESCRIPTORS_KEPT: u64 = 512;

/// The cgroup of one service.
#[derive(Debug)]
struct Leaf {
    /// The name of the service.
    name: String,
    cgroup: ServiceCgroup,
    /// Nobody was in it when it was last looked at, and nothing was started there since.
    is_empty: bool,
    /// When it was last looked at, it was not there any more.
    is_removed: bool,
    /// The kernel has killed everybody who was in it, and no census has looked since.
    was_killed: bool,
    /// What it used when its service began to stop.
    at_stop: Figures,
}

impl Leaf {
    fn new(name: &str, cgroup: ServiceCgroup) -> Self {
        Self {
            name: name.to_owned(),
            cgroup,
            is_empty: true,
            is_removed: false,
            was_killed: false,
            at_stop: Figures::default(),
        }
    }

    /// Whether anybody is in it, and whether they are frozen.
    fn look(&mut self) -> (Population, bool) {
        let state = self.cgroup.state();
        self.is_empty = state.0 != Population::Populated;
        self.is_removed = state.0 == Population::Gone;
        state
    }
}

/// Somebody in a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) pid: Pid,
    pub(crate) service: ServiceId,
}

impl Containment {
    /// Finds the cgroup to divide, and makes it ready: before the first fork.
    ///
    /// # Errors
    /// Why there is none, if there must be one.
    pub(crate) fn prepare(wanted: CgroupUse, moving: Moving) -> Result<Self, CgroupUnavailable> {
        let found = match wanted {
            CgroupUse::Off => return Ok(Self::default()),
            CgroupUse::IfDelegated => CgroupTree::find_delegated(),
            CgroupUse::Required => CgroupTree::find(),
        };
        let prepared = found.and_then(|mut tree| tree.prepare(moving).map(|controllers| (tree, controllers)));
        match prepared {
            Ok((tree, controllers)) => {
                tracing::debug!(
                    event = "cgroup.divided",
                    cgroup = %tree.base().display(),
                    controllers = controllers.enabled.join(","),
                    errno = controllers.refused.map(|errno| errno as i32),
                    "each service gets a cgroup of its own in {}",
                    tree.base().display()
                );
                Ok(Self { tree: Some(tree), ..Self::default() })
            }
            Err(reason) if wanted == CgroupUse::Required => Err(reason),
            Err(reason) => {
                tracing::debug!(event = "cgroup.none", "processes are found by descent alone: {reason}");
                Ok(Self::default())
            }
        }
    }

    /// The cgroup of a service that is about to be started: made at its first start, kept over the others.
    pub(crate) fn open(
        &mut self,
        service: ServiceId,
        name: &str,
        wait_set: &WaitSet,
    ) -> Option<&ServiceCgroup> {
        // No event tells of a removal for sure.
        if let Some(leaf) = self.leaves.get_mut(&service) {
            leaf.look();
            self.forget_removed(wait_set);
        }
        let tree = self.tree.as_mut()?;
        if !self.leaves.contains_key(&service) {
            // Descriptors are numbered from below: its number tells how many there are.
            let leaves_room = |cgroup: &ServiceCgroup| {
                let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
                cgroup.events().as_raw_fd() as u64 + DESCRIPTORS_KEPT.min(most / 2) < most
            };
            match ServiceCgroup::create(tree, name) {
                // Nobody was in it yet. What is left of it is removed at the end.
                Ok(cgroup) if !leaves_room(&cgroup) => self.tell_no_descriptors(name),
                Err(Errno::EMFILE | Errno::ENFILE) => self.tell_no_descriptors(name),
                Ok(cgroup) => {
                    if let Err(errno) = wait_set.add_priority(&cgroup, Ready::Cgroup(service)) {
                        // Its end is still found by each census.
                        tracing::debug!(
                            event = "cgroup.unwatched",
                            service = name,
                            errno = errno as i32,
                            "{errno}"
                        );
                    }
                    self.names.extend(cgroup.path().file_name().map(|file| (file.to_owned(), service)));
                    self.leaves.insert(service, Leaf::new(name, cgroup));
                }
                Err(errno) => self.tell_uncontained(service, name, errno),
            }
        }
        self.leaves.get(&service).map(|leaf| &leaf.cgroup)
    }

    fn tell_no_descriptors(&mut self, name: &str) {
        if !std::mem::replace(&mut self.told_descriptors, true) {
            tracing::warn!(
                event = "cgroup.refused",
                service = name,
                errno = Errno::EMFILE as i32,
                "too few descriptors for a cgroup of each service: its processes, and those of others to come, are found by \
                 descent alone; raise the limit of open files"
            );
        }
    }

    fn tell_uncontained(&mut self, service: ServiceId, name: &str, errno: Errno) {
        if self.told.insert(service) {
            tracing::warn!(
                event = "cgroup.refused",
                service = name,
                errno = errno as i32,
                "there is no cgroup for it ({}): its processes are found by descent alone",
                errno.desc()
            );
        }
    }

    /// The cgroup that a service has.
    pub(crate) fn get(&self, service: ServiceId) -> Option<&ServiceCgroup> {
        self.leaves.get(&service).map(|leaf| &leaf.cgroup)
    }

    /// A process was forked for it.
    pub(crate) fn started(&mut self, service: ServiceId) {
        if let Some(leaf) = self.leaves.get_mut(&service) {
            leaf.is_empty = false;
            // That it is populated now is no news. Should it be empty again, the death of its leader says so.
            leaf.cgroup.population();
        }
    }

    /// A leader has executed its command: whether it is where it should be. Says so, once, if it is not.
    pub(crate) fn check_joined(&mut self, service: ServiceId, leader: Option<Pid>) {
        let Some(leaf) = self.leaves.get(&service) else { return };
        // One that has ended is in no cgroup.
        let lives = |pid| Process::read(pid).is_some_and(|process| !process.is_dead());
        if leaf.cgroup.population() == Population::Empty
            && leader.is_some_and(lives)
            && self.told.insert(service)
        {
            tracing::warn!(
                event = "cgroup.refused",
                service = leaf.name,
                "it could not be moved into its cgroup: its processes are found by descent alone"
            );
        }
    }

    /// Something has changed in its cgroup. `None`: it has none any more.
    pub(crate) fn look_at(&mut self, service: ServiceId) -> Option<Population> {
        Some(self.leaves.get_mut(&service)?.look().0)
    }

    /// Lets go of cgroups that somebody removed, which was seen when they were last looked at: nobody was in them.
    pub(crate) fn forget_removed(&mut self, wait_set: &WaitSet) {
        for (_, leaf) in self.leaves.extract_if(.., |_, leaf| leaf.is_removed) {
            // Else it would be ready for ever.
            wait_set.remove(&leaf.cgroup);
            tracing::warn!(
                event = "cgroup.removed",
                service = leaf.name,
                "somebody removed its cgroup: its processes are found by descent alone, until it is started again"
            );
        }
    }

    /// Whose cgroup a process is in, itself or one below.
    pub(crate) fn service_of(&self, pid: Pid) -> Option<ServiceId> {
        if self.leaves.is_empty() {
            return None;
        }
        self.names.get(&self.tree.as_ref()?.child_of(pid)?).copied()
    }

    /// Everybody in the cgroups of services without a living leader, and of the one that is `wanted` in any case.
    ///
    /// A cgroup that is populated, and names nobody, is among the unlisted: who was there has just ended or is just
    /// being forked, or is outside of our pid namespace.
    pub(crate) fn members(
        &mut self,
        has_leader: impl Fn(ServiceId) -> bool,
        wanted: Option<ServiceId>,
    ) -> (Vec<Member>, HashSet<ServiceId>) {
        let (mut members, mut unlisted) = (Vec::new(), HashSet::new());
        for (service, leaf) in &mut self.leaves {
            leaf.was_killed = false;
            let is_due = wanted == Some(*service) || !has_leader(*service);
            if leaf.is_empty || !is_due {
                continue;
            }
            if leaf.look().0 != Population::Populated {
                continue;
            }
            match leaf.cgroup.processes() {
                Ok(there) if !there.is_empty() => {
                    members.extend(there.into_iter().map(|pid| Member { pid, service: *service }));
                }
                // Nothing left to look with.
                Ok(_) | Err(_) => drop(unlisted.insert(*service)),
            }
        }
        (members, unlisted)
    }

    /// Whether its cgroup lists this process now.
    pub(crate) fn lists(&self, service: ServiceId, pid: Pid) -> bool {
        self.get(service).and_then(|cgroup| cgroup.processes().ok()).is_some_and(|there| there.contains(&pid))
    }

    /// Whether anybody is in its cgroup.
    pub(crate) fn is_populated(&self, service: ServiceId) -> bool {
        self.get(service).is_some_and(ServiceCgroup::is_populated)
    }

    /// Signals a process that /proc does not show: whoever has its pid, if that is somebody in the cgroup.
    pub(crate) fn to_member(&self, service: ServiceId, pid: Pid, signal: Signal) -> nix::Result<()> {
        let handle = PidFd::open(pid)?;
        if self.lists(service, pid) { handle.send(signal) } else { Err(Errno::ESRCH) }
    }

    /// Kills everybody in its cgroup: once, however often it is asked for until the next census.
    pub(crate) fn kill(&mut self, service: ServiceId) {
        let Some(leaf) = self.leaves.get_mut(&service) else { return };
        if !leaf.is_empty && !leaf.was_killed {
            // EAGAIN, EPERM: without the kernel's help. They are signalled one by one, too, and what is refused is told.
            leaf.was_killed = leaf.cgroup.kill().is_ok();
        }
    }

    /// Whether this process has just been killed with its cgroup.
    pub(crate) fn was_killed(&self, pid: Pid) -> bool {
        if !self.leaves.values().any(|leaf| leaf.was_killed) {
            return false;
        }
        match self.service_of(pid) {
            Some(service) => self.leaves.get(&service).is_some_and(|leaf| leaf.was_killed),
            // It is dead already, or hidden.
            None => Process::read(pid).is_none(),
        }
    }

    /// The file of each that kills everybody in it.
    pub(crate) fn kill_files(&self) -> Vec<PathBuf> {
        self.leaves.values().map(|leaf| leaf.cgroup.path().join("cgroup.kill")).collect()
    }

    /// Kills everybody in every cgroup. Returns whether there was nobody.
    pub(crate) fn kill_all(&self) -> bool {
        let populated: Vec<_> =
            self.leaves.values().map(|leaf| &leaf.cgroup).filter(|cgroup| cgroup.is_populated()).collect();
        for cgroup in &populated {
            // EAGAIN: again. EPERM: out of our reach.
            let _ = cgroup.kill();
        }
        populated.is_empty()
    }

    /// Lets its processes go on if somebody froze them. Returns whether its cgroup was found empty by the way.
    pub(crate) fn thaw(&mut self, service: ServiceId) -> bool {
        let Some(leaf) = self.leaves.get_mut(&service) else { return false };
        let (population, is_frozen) = leaf.look();
        if is_frozen && population == Population::Populated {
            match leaf.cgroup.thaw() {
                Ok(()) => tracing::info!(
                    event = "cgroup.thawed",
                    service = leaf.name,
                    "its cgroup was frozen: thawed, so that it can obey"
                ),
                Err(errno) => tracing::warn!(
                    event = "cgroup.frozen",
                    service = leaf.name,
                    errno = errno as i32,
                    "its cgroup is frozen, and cannot be thawed: {}",
                    errno.desc()
                ),
            }
        }
        leaf.is_empty
    }

    /// Its service begins to stop.
    pub(crate) fn note_figures(&mut self, service: ServiceId) {
        if let Some(leaf) = self.leaves.get_mut(&service) {
            leaf.at_stop = leaf.cgroup.current_figures();
        }
    }

    /// What each service used: its memory and its tasks when it began to stop, all else to its end.
    pub(crate) fn figures(&self) -> Vec<(ServiceId, Figures)> {
        let of = |leaf: &Leaf| Figures {
            memory_current: leaf.at_stop.memory_current,
            pids_current: leaf.at_stop.pids_current,
            ..leaf.cgroup.total_figures()
        };
        self.leaves.iter().map(|(service, leaf)| (*service, of(leaf))).collect()
    }

    /// As [`CgroupTree::remove_services`].
    pub(crate) fn remove_services(&mut self, goes_on: &dyn Fn() -> bool) -> Vec<Leftover> {
        self.tree.as_mut().map(|tree| tree.remove_services(goes_on)).unwrap_or_default()
    }

    /// Undoes it all. May be called again, for what was left.
    pub(crate) fn restore(&mut self, goes_on: &dyn Fn() -> bool) -> Vec<Leftover> {
        self.tree.as_mut().map(|tree| tree.restore(goes_on)).unwrap_or_default()
    }
}
