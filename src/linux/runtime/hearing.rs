//! What services say of themselves, and who speaks for them.

use super::super::notify_receiver::DATAGRAMS_AT_ONCE;
use super::super::proc_file_system::{FamilyTree, Process};
use super::super::service_messages::Said;
use super::{Listener, Runtime};
use crate::supervisor::{Event, Pid, ServiceId};

/// How often as much as one wake-up takes is taken at the end of a leader: more than the kernel keeps for anybody.
const TIMES_AT_THE_END: u32 = 16;

impl<L: Listener> Runtime<L> {
    /// What a service says, as far as one wake-up may take: the rest wakes us again. Returns whether there was more.
    pub(super) fn hear_service(&mut self, service: ServiceId) -> bool {
        let name = self.supervisor.settings().name(service).to_owned();
        for _ in 0..DATAGRAMS_AT_ONCE {
            let leader = self.leader(service);
            let Some(said) = self.messages.take(service, &name, leader) else { return false };
            for said in said {
                match said {
                    Said::Message(message) => self.handle(Event::Notified { service, message }),
                    Said::MainPid(pid) => {
                        let heir = leader.and_then(|leader| self.who_may_lead(service, leader, pid));
                        self.heirs.extend(heir.map(|heir| (service, heir)));
                    }
                }
            }
        }
        true
    }

    /// All that a service has said before its leader ended.
    pub(super) fn hear_all_of(&mut self, service: ServiceId) {
        for _ in 0..TIMES_AT_THE_END {
            if !self.hear_service(service) {
                return;
            }
        }
    }

    /// Only one of its own can lead a service: a descendant of its leader, or, if that has ended already, of ours.
    fn who_may_lead(&self, service: ServiceId, leader: Pid, pid: Pid) -> Option<Process> {
        let tree = FamilyTree::look();
        let is_under =
            |roots: Vec<Pid>| tree.descendants(roots).into_iter().find(|process| process.pid == pid);
        if let Some(process) = is_under(vec![leader]) {
            return (pid != leader).then_some(process);
        }
        let orphan = is_under(self.family.orphans(&tree, std::process::id() as i32))?;
        let of = self.family.service_of(&orphan, &self.cgroups).or(self.family.fallback);
        // Only its environment may tell whose it is, which is not to be read here. But it, or a friend of its, knew the
        // socket of this service.
        of.is_none_or(|of| of == service).then_some(orphan)
    }

    /// Who leads a service after the end of its leader: a process that spoke for it, lives, and is our child now.
    pub(super) fn heir(&mut self, service: ServiceId) -> Option<Pid> {
        let heir = self.heirs.remove(&service)?;
        // Another one may have its pid by now.
        let process = Process::read(heir.pid).filter(|process| process.birth.is(heir.birth))?;
        let is_taken = self.family.leaders.contains_key(&heir.pid)
            || self.family.hooks.contains(&heir.pid)
            || self.family.helpers.contains(&heir.pid);
        let is_ours = process.parent == std::process::id() as i32;
        (!process.is_dead() && is_ours && !is_taken).then_some(heir.pid)
    }
}
