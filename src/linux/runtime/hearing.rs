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
                        if leader.is_some_and(|leader| self.may_lead(service, leader, pid)) {
                            self.heirs.insert(service, pid);
                        }
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
    fn may_lead(&self, service: ServiceId, leader: Pid, pid: Pid) -> bool {
        let tree = FamilyTree::look();
        let is_under =
            |roots: Vec<Pid>| tree.descendants(roots).into_iter().find(|process| process.pid == pid);
        if is_under(vec![leader]).is_some() {
            return pid != leader;
        }
        let orphan = is_under(self.family.orphans(&tree, std::process::id() as i32));
        let of = orphan.map(|orphan| self.family.service_of(&orphan, &self.cgroups).or(self.family.fallback));
        of == Some(Some(service))
    }

    /// Who leads a service after the end of its leader: a process that spoke for it, lives, and is our child now.
    pub(super) fn heir(&mut self, service: ServiceId) -> Option<Pid> {
        let heir = self.heirs.remove(&service)?;
        let process = Process::read(heir)?;
        (!process.is_dead && process.parent == std::process::id() as i32).then_some(heir)
    }
}
