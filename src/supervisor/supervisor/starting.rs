//! Starting.

use super::super::service::{Leader, State};
use super::super::{Cause, Command, Failure, Kind, Notice, Pid, ServiceId, StartFailure, Timestamp};
use super::Supervisor;

impl Supervisor {
    pub(super) fn on_begin(&mut self, now: Timestamp) {
        for index in 0..self.settings.services.len() {
            if self.services[index].awaited == 0 {
                self.start(ServiceId::new(index));
            }
        }
        self.check_nothing_left(now);
    }

    pub(super) fn start(&mut self, id: ServiceId) {
        let service = &mut self.services[id.index()];
        debug_assert_eq!(service.state, State::Waiting, "a service is started once");
        service.state = State::Starting;
        self.waiting -= 1;
        self.active += 1;
        self.commands.push_back(Command::Start { service: id });
    }

    pub(super) fn on_forked(&mut self, id: ServiceId, pid: Pid, now: Timestamp) {
        let service = &mut self.services[id.index()];
        service.leader = Some(Leader { pid, forked: now });
        service.forked = now;
        self.tell(Notice::ServiceStarted { service: id, pid });
    }

    pub(super) fn on_executed(&mut self, id: ServiceId, now: Timestamp) {
        let service = &mut self.services[id.index()];
        match (service.state, service.leader) {
            (State::Starting, Some(Leader { pid, forked })) => {
                service.state = State::Up;
                self.tell(Notice::ServiceReady { service: id, pid, after: now.since(forked) });
                if self.kind(id) == Kind::Service {
                    self.reach(id);
                }
            }
            // A stop overtook the start, or it was told before.
            (State::Stopping(_) | State::Up | State::Held | State::Ended | State::Down, _) => {}
            (State::Starting | State::Waiting, _) => {
                debug_assert!(false, "{id:?} executed its command in state {:?}", service.state);
            }
        }
    }

    pub(super) fn on_start_failed(&mut self, id: ServiceId, failure: StartFailure, now: Timestamp) {
        let service = &mut self.services[id.index()];
        service.outcome.start_failure = Some(failure);
        let was_forked = service.leader.is_some();
        self.tell(Notice::StartFailed { service: id, failure });
        // If it was forked its death is still to come, and with it the consequences.
        if !was_forked {
            self.failed(id, Failure::Start(failure), now);
            self.down(id, now);
        }
    }

    /// A stop begins: what was decided to be started, but not yet performed, is not started.
    pub(super) fn abandon_starts(&mut self) {
        let services = &mut self.services;
        let active = &mut self.active;
        self.commands.retain(|command| match command {
            Command::Start { service } => {
                services[service.index()].state = State::Down;
                *active -= 1;
                false
            }
            _ => true,
        });
    }

    /// `id` is ready, or a task is done, or it failed and that does not matter: what comes after it may start.
    pub(super) fn reach(&mut self, id: ServiceId) {
        if self.stop.is_some() || std::mem::replace(&mut self.services[id.index()].reached, true) {
            return;
        }
        for position in 0..self.settings.order.dependents(id).len() {
            let dependent = self.settings.order.dependents(id)[position];
            let service = &mut self.services[dependent.index()];
            service.awaited -= 1;
            if service.awaited == 0 {
                self.start(dependent);
            }
        }
    }

    pub(super) fn check_nothing_left(&mut self, now: Timestamp) {
        if self.stop.is_none() && self.active == self.lingering && self.waiting == 0 {
            self.request_stop(Cause::NothingLeft, now);
        }
    }
}
