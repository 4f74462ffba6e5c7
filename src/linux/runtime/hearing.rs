//! What services say of themselves, and who speaks for them.

use super::super::notify_receiver::DATAGRAMS_AT_ONCE;
use super::super::proc_file_system::{FamilyTree, Process};
use super::super::service_messages::{Said, Taking};
use super::super::wait_set::Ready;
use super::{Listener, Runtime};
use crate::supervisor::{Event, Pid, ServiceId};

/// How often as much as one wake-up takes is taken at the end of a leader: more than the kernel keeps for anybody.
const TIMES_AT_THE_END: u32 = 16;

impl<L: Listener> Runtime<L> {
    /// What a service says, as far as one wake-up may take: the rest wakes us again. Returns whether there was more.
    pub(super) fn hear_service(&mut self, service: ServiceId) -> bool {
        let there_is_more = self.hear_some_of(service);
        self.let_go_of_descriptors(service);
        there_is_more
    }

    fn hear_some_of(&mut self, service: ServiceId) -> bool {
        let name = self.supervisor.settings().name(service).to_owned();
        for _ in 0..DATAGRAMS_AT_ONCE {
            let leader = self.leader(service);
            let Some(said) = self.messages.hear(service, &name, leader) else { return false };
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

    /// What came with descriptors was heard: a helper takes it, and closes them. Until it has done so, nothing more is read.
    fn let_go_of_descriptors(&mut self, service: ServiceId) {
        let taking = self.messages.begin_taking(service, self.clock.now());
        if let Taking::By(helper) = taking {
            self.family.helpers.insert(helper);
        }
        if taking != Taking::NotNeeded
            && let Some(receiver) = self.messages.receiver(service)
        {
            self.wait_set.remove(receiver);
        }
    }

    /// A helper was reaped. If it was to take what a service has sent, that can go on.
    pub(super) fn helper_ended(&mut self, helper: Pid) {
        let Some(service) = self.messages.helper_ended(helper) else { return };
        self.let_go_of_descriptors(service);
        if let Some(receiver) = self.messages.receiver(service).filter(|receiver| receiver.held() == 0) {
            // Unwatched, it is not heard, as at the start.
            let _ = self.wait_set.add_read(receiver, Ready::Message(service));
        }
    }

    /// Ends helpers that take too long, and tries again where none could be had.
    pub(super) fn mind_helpers(&mut self) {
        for service in self.messages.mind_helpers(self.clock.now()) {
            self.let_go_of_descriptors(service);
        }
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
    fn who_may_lead(&mut self, service: ServiceId, leader: Pid, pid: Pid) -> Option<Process> {
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
