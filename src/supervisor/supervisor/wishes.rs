//! What somebody asks for by way of the control socket.

use super::super::service::{Next, State};
use super::super::timers::Timer;
use super::super::{Cause, Command, Kind, Notice, Recipients, Request, ServiceId, Signal, Timestamp, Wish};
use super::Supervisor;

impl Supervisor {
    pub(super) fn on_request(&mut self, request: Request, now: Timestamp) {
        if self.stop.is_some() {
            return;
        }
        match request {
            Request::StopSystem { sender } => self.request_stop(Cause::Request { sender }, now),
            Request::Stop(id) => self.on_stop_wish(id, now),
            Request::Start(id) => self.on_start_wish(id, now),
            Request::Restart(id) => self.on_restart_wish(id, now),
            Request::Signal(id, signal) => self.on_signal_wish(id, signal),
        }
    }

    fn on_stop_wish(&mut self, id: ServiceId, now: Timestamp) {
        self.tell(Notice::Asked { service: id, wish: Wish::Stop });
        let dependents = self.closure(id, |supervisor, id| supervisor.settings.order.dependents(id));
        for id in &dependents {
            self.services[id.index()].is_unwanted = true;
        }
        for id in dependents {
            self.stop_unwanted(id, now);
        }
    }

    /// Stops what is not wanted any more, once nothing is in its way.
    pub(super) fn stop_unwanted(&mut self, id: ServiceId, now: Timestamp) {
        let order = &self.settings.order;
        let is_free = order
            .dependents(id)
            .iter()
            .all(|dependent| matches!(self.services[dependent.index()].state, State::Down | State::Waiting));
        let service = &mut self.services[id.index()];
        match service.state {
            State::Waiting => {
                service.state = State::Down;
                self.waiting -= 1;
            }
            State::BackOff => self.down(id, now),
            State::Preparing | State::Starting | State::Unready | State::Up if is_free => {
                self.begin_stop(id, now);
            }
            State::Preparing
            | State::Starting
            | State::Unready
            | State::Up
            | State::Held
            | State::Ended
            | State::Stopping(_)
            | State::Down => {}
        }
    }

    fn on_start_wish(&mut self, id: ServiceId, now: Timestamp) {
        self.tell(Notice::Asked { service: id, wish: Wish::Start });
        let wanted = self.closure(id, |supervisor, id| supervisor.settings.order.dependencies(id));
        for of in wanted {
            let is_done = of != id && self.kind(of) == Kind::Task && self.services[of.index()].reached;
            let service = &mut self.services[of.index()];
            let was_unwanted = std::mem::take(&mut service.is_unwanted);
            match service.state {
                State::Down if !is_done => {
                    service.state = State::Waiting;
                    self.waiting += 1;
                }
                // It is on its way down: it comes back.
                State::Held | State::Ended | State::Stopping(_) if was_unwanted => {
                    service.next = Next::Restart(std::time::Duration::ZERO);
                }
                _ => {}
            }
        }
        self.recount_awaited();
        self.start_what_waits_for_nobody();
        self.check_nothing_left(now);
    }

    fn on_restart_wish(&mut self, id: ServiceId, now: Timestamp) {
        let service = &mut self.services[id.index()];
        match service.state {
            State::Down | State::Waiting => return self.on_start_wish(id, now),
            State::BackOff => self.timers.set(Timer::Wait(id), now),
            State::Preparing | State::Starting | State::Unready | State::Up => {
                service.next = Next::Restart(std::time::Duration::ZERO);
                self.begin_stop(id, now);
            }
            State::Held | State::Ended | State::Stopping(_) => {
                service.is_unwanted = false;
                service.next = Next::Restart(std::time::Duration::ZERO);
            }
        }
        self.tell(Notice::Asked { service: id, wish: Wish::Restart });
    }

    fn on_signal_wish(&mut self, id: ServiceId, signal: Signal) {
        if self.services[id.index()].leader.is_some() {
            let recipients = Recipients::Leader(self.settings_of(id).signal_target);
            self.commands.push_back(Command::Signal { service: id, recipients, signal });
            self.tell(Notice::SignalForwarded { service: id, received: signal, sent: signal });
        }
    }

    /// The service, and all that can be reached from it this way.
    fn closure(&self, id: ServiceId, next: impl Fn(&Self, ServiceId) -> &[ServiceId]) -> Vec<ServiceId> {
        let mut found = vec![id];
        let mut is_found = vec![false; self.services.len()];
        is_found[id.index()] = true;
        let mut position = 0;
        while let Some(id) = found.get(position).copied() {
            for other in next(self, id) {
                if !std::mem::replace(&mut is_found[other.index()], true) {
                    found.push(*other);
                }
            }
            position += 1;
        }
        found
    }

    /// How many dependencies each waiting service still has to wait for.
    fn recount_awaited(&mut self) {
        for index in 0..self.settings.services.len() {
            let dependencies = self.settings.order.dependencies(ServiceId::new(index));
            let awaited =
                dependencies.iter().filter(|dependency| !self.services[dependency.index()].reached).count();
            self.services[index].awaited = awaited;
        }
    }

    fn start_what_waits_for_nobody(&mut self) {
        for index in 0..self.settings.services.len() {
            if self.services[index].state == State::Waiting && self.services[index].awaited == 0 {
                self.start(ServiceId::new(index));
            }
        }
    }
}
