//! What the loop does with the services' cgroups.

use std::collections::HashSet;

use nix::errno::Errno;

use super::super::cgroup::{Leftover, Population};
use super::super::proc_file_system::Process;
use super::super::wait_set::Ready;
use super::{Listener, Runtime};
use crate::supervisor::{Pid, Recipients, ServiceId, defaults};

impl<L: Listener> Runtime<L> {
    /// Somebody came into an empty cgroup, or the last one went.
    pub(super) fn look_at_cgroup(&mut self, service: ServiceId) {
        let population = self.cgroups.look_at(service);
        self.cgroups.forget_removed(&self.wait_set);
        // Whoever it was need not have been a child of ours, and then no signal tells of it.
        if population != Some(Population::Populated) && self.leader(service).is_none() {
            self.census_wanted = true;
        }
    }

    /// Kills the cgroups of services whose strays are to be killed: no fork escapes that. Without a leader, all that is in
    /// a cgroup is strays, and all of them have the same stage.
    pub(super) fn kill_cgroups_of_strays(&mut self, service: ServiceId, recipients: Recipients) {
        let of = self.strays_among(service, recipients).into_iter().filter_map(|found| found.service);
        let services: HashSet<ServiceId> = of.filter(|service| self.leader(*service).is_none()).collect();
        for service in services {
            self.cgroups.kill(service);
        }
    }

    /// The processes in the cgroup of a service, its leader and what looks after it aside.
    pub(super) fn members_of(&self, service: ServiceId) -> Vec<Process> {
        let there = self.cgroups.get(service).and_then(|cgroup| cgroup.processes().ok()).unwrap_or_default();
        let is_other = |pid: &Pid| {
            !self.family.leaders.contains_key(pid)
                && !self.family.hooks.contains(pid)
                && !self.family.helpers.contains(pid)
        };
        let others = there.into_iter().filter(is_other);
        others.filter_map(Process::read).filter(|process| !process.is_dead()).collect()
    }

    /// A stopped process is continued so that it can obey, and so is a frozen one.
    pub(super) fn thaw(&mut self, service: ServiceId) {
        let is_empty = self.cgroups.thaw(service);
        self.census_wanted |= is_empty && self.leader(service).is_none();
    }

    /// Tells what each service used.
    pub(super) fn tell_figures(&mut self) {
        if self.listener.wants_figures() {
            for (service, figures) in self.cgroups.figures() {
                self.listener.figures(service, figures);
            }
        }
    }

    /// The end: whoever is still in a cgroup and could not be named is killed, and the cgroups are removed, as long as there is
    /// time. This comes before the report, which tells what is left and how long it took.
    pub(super) fn remove_cgroups_of_services(&mut self) {
        let now = self.clock.now();
        let time = self.supervisor.time_left(now).unwrap_or(defaults::CGROUP_REMOVAL);
        let end = now + time.clamp(defaults::LAST_CGROUPS, defaults::CGROUP_REMOVAL);
        self.cgroups.kill_all();
        let clock = self.clock;
        let left = self.cgroups.remove_services(&|| clock.now() < end);
        self.tell_what_is_left(left);
    }

    /// The very end: all else that we did to cgroups is undone.
    pub(super) fn remove_cgroups(&mut self) {
        let clock = self.clock;
        let end = clock.now() + defaults::LAST_CGROUPS;
        let goes_on = || clock.now() < end;
        let mut left = self.cgroups.restore(&goes_on);
        // Whoever is dying is out of it in a moment, and that wakes us.
        while left.iter().any(|left| left.errno == Errno::EBUSY) && goes_on() {
            for ready in self.wait_set.wait(Some(end.since(clock.now()))) {
                if let Ready::Cgroup(service) = ready {
                    self.cgroups.look_at(service);
                }
            }
            self.reap_all();
            left = self.cgroups.restore(&goes_on);
        }
        self.tell_what_is_left(left);
    }

    fn tell_what_is_left(&mut self, left: Vec<Leftover>) {
        for Leftover { path, errno } in left {
            let reason = match errno {
                Errno::ETIME => "there is too much below it",
                errno => errno.desc(),
            };
            tracing::warn!(
                event = "cgroup.left",
                cgroup = %path.display(),
                errno = errno as i32,
                "cannot remove the cgroup {}: {reason}",
                path.display(),
            );
        }
        self.write_log();
    }
}
