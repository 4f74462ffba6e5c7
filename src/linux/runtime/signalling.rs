//! How signals reach those that they are meant for.

use std::collections::HashSet;

use nix::errno::Errno;

use super::super::census::{Census, Found};
use super::super::delivery::{
    is_child, kill_group_of_stray, to_child, to_group_of, to_process, to_tree_of, to_unlisted,
};
use super::{Listener, Runtime};
use crate::supervisor::{Event, Pid, Recipients, ServiceId, Signal, Target};

impl<L: Listener> Runtime<L> {
    pub(super) fn signal(&mut self, service: ServiceId, recipients: Recipients, signal: Signal) {
        let leader = self.leader(service);
        self.has_killed |= signal == Signal::KILL;
        if signal == Signal::KILL {
            self.kill_cgroups_of_strays(service, recipients);
        }
        if let (Signal::KILL, Recipients::Leader(_), Some(leader)) = (signal, recipients, leader) {
            self.watch_death(service, leader, true);
        }
        let refused: Vec<(Pid, Errno)> = match (recipients, leader) {
            (Recipients::Leader(Target::Leader), Some(leader)) => outcome(leader, to_child(leader, signal)),
            (Recipients::Leader(Target::Group), Some(leader)) => outcome(leader, to_group_of(leader, signal)),
            (Recipients::Leader(Target::All), Some(leader)) => self.signal_all(service, leader, signal),
            // It was reaped while the command was on its way.
            (Recipients::Leader(_), None) => Vec::new(),
            (Recipients::Strays, _) => {
                if self.strays_are_hidden && service == self.supervisor.settings().stray_id() {
                    to_unlisted(self.family.sessions.keys().copied(), signal);
                }
                self.to_all_found(&self.strays_among(service, recipients), signal)
            }
            (Recipients::Stray(_), _) => self.to_all_found(&self.strays_among(service, recipients), signal),
        };
        if signal == Signal::CONT {
            self.thaw(service);
        }
        self.note_refused(service, refused);
    }

    /// The strays that are meant.
    pub(super) fn strays_among(&self, service: ServiceId, recipients: Recipients) -> Vec<&Found> {
        match recipients {
            Recipients::Leader(_) => Vec::new(),
            Recipients::Strays => self
                .strays
                .iter()
                .filter(|found| self.supervisor.stopped_with(found.service) == service)
                .collect(),
            Recipients::Stray(pid) => {
                // They are asked for in the order in which they were found: the next one is right behind the last one.
                let (before, behind) =
                    self.strays.split_at(self.stray_asked_for.get().min(self.strays.len()));
                let place = behind.iter().chain(before).position(|found| found.process.pid == pid);
                let Some(place) = place.map(|place| (before.len() + place) % self.strays.len()) else {
                    return Vec::new();
                };
                self.stray_asked_for.set(place);
                vec![&self.strays[place]]
            }
        }
    }

    pub(super) fn note_refused(&mut self, service: ServiceId, refused: Vec<(Pid, Errno)>) {
        for (pid, errno) in refused {
            // The kernel's own KILL needs no permission of the process's user.
            if !self.cgroups.was_killed(pid) && self.refused.insert(pid) {
                self.feed(Event::SignalRefused { service, pid, errno: errno as i32 });
            }
        }
    }

    /// The leader and all of its service.
    fn signal_all(&mut self, service: ServiceId, leader: Pid, signal: Signal) -> Vec<(Pid, Errno)> {
        if signal != Signal::KILL {
            let (_, mut refused) = to_tree_of(leader, signal, &self.until_overdue());
            refused.extend(self.signal_orphans_of(service, signal));
            return refused;
        }
        let (mut killed, refused) = to_tree_of(leader, signal, &self.until_overdue());
        self.cgroups.kill(service);
        // To look who is in all the cgroups of a service may take long, so that comes after. Who is dead by now is named when he
        // is reaped. What is under the leader no more, and in no cgroup, is found by the census that follows its end.
        killed.extend(self.members_of(service));
        for process in &killed {
            self.family.remember(process, service);
        }
        let spared =
            |pid| refused.iter().any(|(refused, _)| *refused == pid) && !self.cgroups.was_killed(pid);
        killed.retain(|process| !spared(process.pid));
        let processes = killed.into_iter().map(|process| (process.pid, process.name)).collect();
        self.feed(Event::KilledWithLeader { service, processes });
        refused
    }

    /// What came from a service whose leader lives, and is not under it any more.
    fn signal_orphans_of(&mut self, service: ServiceId, signal: Signal) -> Vec<(Pid, Errno)> {
        let goes_on = self.until_overdue();
        let (Census::Complete(found) | Census::Moving { found, .. }) =
            self.family.census(&mut self.cgroups, Some(service), &goes_on)
        else {
            return Vec::new();
        };
        self.signal_later(service, signal, &found);
        let of_it: Vec<&Found> = found.iter().filter(|found| found.service == Some(service)).collect();
        self.to_all_found(&of_it, signal)
    }

    pub(super) fn resume(&mut self, service: ServiceId) {
        let Some(leader) = self.leaders[service.index()] else {
            return;
        };
        if let Some(terminal) = &self.start_up.context.terminal {
            terminal.hand_over(leader.number());
        }
        self.signal(service, Recipients::Leader(Target::Group), Signal::CONT);
    }

    pub(super) fn give_terminal_back(&self) {
        if let Some(terminal) = &self.start_up.context.terminal {
            for group in self.family.sessions.keys() {
                terminal.take_back(*group);
            }
        }
    }

    /// Signals processes that a census found.
    pub(super) fn to_all_found(&self, all: &[&Found], signal: Signal) -> Vec<(Pid, Errno)> {
        let mut groups = HashSet::new();
        if signal == Signal::KILL {
            // A group of which only its maker was found is killed when another census finds somebody in it.
            let others = all.iter().filter(|found| found.process.group != found.process.pid.number());
            for Found { process, .. } in others {
                // Should the group be another one by now, it may have been made by somebody who is meant to live.
                let is_led = Pid::new(process.group).is_none_or(|group| {
                    self.family.leaders.contains_key(&group) || self.family.hooks.contains(&group)
                });
                if !is_led && groups.insert(process.group) {
                    kill_group_of_stray(process, self.unreaped_strays.contains(&process.pid));
                }
            }
        }
        all.iter().flat_map(|found| self.to_found(found, signal)).collect()
    }

    /// Signals a process that a census found.
    fn to_found(&self, found: &Found, signal: Signal) -> Vec<(Pid, Errno)> {
        let process = &found.process;
        let result = match found.service {
            Some(service) if process.is_hidden() => self.cgroups.to_member(service, process.pid, signal),
            // It has not been reaped since.
            _ if self.unreaped_strays.contains(&process.pid) && is_child(process) => {
                to_child(process.pid, signal)
            }
            _ => to_process(process, signal),
        };
        outcome(process.pid, result)
    }
}

/// ESRCH is no refusal: it is gone, which is what was wanted.
fn outcome(pid: Pid, result: nix::Result<()>) -> Vec<(Pid, Errno)> {
    match result {
        Ok(()) | Err(Errno::ESRCH) => Vec::new(),
        Err(errno) => vec![(pid, errno)],
    }
}
