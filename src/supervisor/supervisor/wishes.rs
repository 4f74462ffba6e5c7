//! What somebody asks for by way of the control socket.

use std::time::Duration;

use super::super::service::{Next, State};
use super::super::timers::Timer;
use super::super::{
    Cause, Command, Notice, Recipients, RefusedBecause, Request, ServiceId, Signal, Step, Timestamp, Wish,
};
use super::Supervisor;

impl Supervisor {
    pub(super) fn on_request(&mut self, request: Request, now: Timestamp) {
        // Whoever asks for the stop once more has what he asks for.
        let is_done = matches!(request, Request::StopSystem { .. } | Request::Reopen);
        if self.stop.is_some() && !is_done {
            return self.tell(Notice::RequestRefused { request, because: RefusedBecause::Stopping });
        }
        let of = match request {
            Request::Stop(id) | Request::Start(id) | Request::Restart(id) | Request::Signal(id, _) => {
                Some(id)
            }
            Request::StopSystem { .. } | Request::Reload { .. } | Request::Reopen => None,
        };
        if of.is_some_and(|id| self.services[id.index()].is_retired) {
            return self.tell(Notice::RequestRefused { request, because: RefusedBecause::Removed });
        }
        match request {
            Request::StopSystem { sender } => self.request_stop(Cause::Request { sender }, now),
            Request::Stop(id) => self.on_stop_wish(id, now),
            Request::Start(id) => self.on_start_wish(id, now),
            Request::Restart(id) => self.on_restart_wish(id, now),
            Request::Signal(id, signal) => self.on_signal_wish(id, signal),
            Request::Reload { sender } if self.settings.reloadable => self.request_reload(sender, now),
            Request::Reload { .. } => {
                self.tell(Notice::RequestRefused { request, because: RefusedBecause::NothingToReload });
            }
            Request::Reopen => self.commands.push_back(Command::ReopenOutput),
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
        let is_retired = self.services[id.index()].is_retired;
        let is_out_of_the_way = |dependent: &ServiceId| {
            let service = &self.services[dependent.index()];
            // What runs on, or begins anew, does not need what is no longer there; the life before that did.
            let is_old = service.is_retired
                || service.pending.is_some()
                || matches!(service.state, State::Held | State::Ended | State::Stopping(_));
            let needs_it_no_more = is_retired && !is_old;
            matches!(service.state, State::Down | State::Waiting) || service.is_given_up() || needs_it_no_more
        };
        let is_free = self.settings.order.dependents(id).iter().all(is_out_of_the_way);
        let service = &mut self.services[id.index()];
        match (service.state, service.outcome.end) {
            (State::Waiting, _) => {
                service.state = State::Down;
                self.waiting -= 1;
            }
            (State::BackOff, _) => self.down(id, now),
            // Whatever it came to: what comes after it waits until somebody starts it.
            (State::Down, _) if !is_retired => service.reached = service.is_done,
            // This explains its death.
            (State::Held, Some(end)) => self.conclude_end(id, end, false, now),
            (State::Preparing | State::Starting | State::Unready | State::Up, _) if is_free => {
                self.begin_stop(id, now);
            }
            (
                State::Preparing
                | State::Starting
                | State::Unready
                | State::Up
                | State::Held
                | State::Ended
                | State::Stopping(_)
                | State::Down,
                _,
            ) => {}
        }
    }

    fn on_start_wish(&mut self, id: ServiceId, now: Timestamp) {
        self.tell(Notice::Asked { service: id, wish: Wish::Start });
        self.want(id, now);
        self.check_nothing_left(now);
    }

    /// Starts a service, what it comes after first; or keeps what is up.
    fn want(&mut self, id: ServiceId, now: Timestamp) {
        for of in self.closure(id, |supervisor, id| supervisor.settings.order.dependencies(id)) {
            let service = &mut self.services[of.index()];
            service.is_unwanted = false;
            if of != id && service.is_done {
                continue;
            }
            match service.state {
                State::Down => {
                    service.state = State::Waiting;
                    service.restarts.clear();
                    service.restarts_in_a_row = 0;
                    self.waiting += 1;
                }
                // It is on its way down: it comes back.
                State::Ended | State::Stopping(_)
                    if service.early_end.is_none() && service.next == Next::Down =>
                {
                    service.next = Next::Restart(Duration::ZERO);
                    self.bound_wait_for_restart(of, now);
                }
                State::Up => continue,
                // It is dead, and what becomes of it is not known yet.
                State::Held
                | State::Ended
                | State::Stopping(_)
                | State::Waiting
                | State::Preparing
                | State::Starting
                | State::Unready
                | State::BackOff => {}
            }
            // What comes after it waits until it is ready once more.
            self.services[of.index()].reached = false;
        }
        self.recount_awaited();
        self.start_what_waits_for_nobody();
    }

    fn on_restart_wish(&mut self, id: ServiceId, now: Timestamp) {
        if matches!(self.services[id.index()].state, State::Down | State::Waiting) {
            return self.on_start_wish(id, now);
        }
        self.tell(Notice::Asked { service: id, wish: Wish::Restart });
        if self.services[id.index()].is_unwanted {
            self.want(id, now);
        }
        let service = &mut self.services[id.index()];
        match (service.state, service.outcome.end) {
            (State::BackOff, _) => self.timers.set(Timer::Wait(id), now),
            (State::Preparing | State::Starting | State::Unready | State::Up, _) => {
                service.next = Next::Restart(Duration::ZERO);
                self.begin_stop(id, now);
            }
            (State::Held, Some(end)) => {
                service.next = Next::Restart(Duration::ZERO);
                self.conclude_end(id, end, false, now);
            }
            (State::Ended | State::Stopping(_) | State::Held, _) => {
                // What its end meant is of no interest any more.
                service.early_end = None;
                service.next = Next::Restart(Duration::ZERO);
                self.bound_wait_for_restart(id, now);
            }
            (State::Down | State::Waiting, _) => unreachable!("it is started"),
        }
    }

    /// The service's own process gets it, and no command around it.
    fn on_signal_wish(&mut self, id: ServiceId, signal: Signal) {
        let service = &self.services[id.index()];
        if service.leader.is_some() && service.step == Step::Main && service.state != State::Held {
            let recipients = Recipients::Leader(self.settings_of(id).signal_target);
            self.commands.push_back(Command::Signal { service: id, recipients, signal });
            self.tell(Notice::SignalForwarded { service: id, received: signal, sent: signal });
        } else {
            let request = Request::Signal(id, signal);
            self.tell(Notice::RequestRefused { request, because: RefusedBecause::NotRunning });
        }
    }

    /// The service, and all that can be reached from it this way; what was removed leads nowhere.
    fn closure(&self, id: ServiceId, next: impl Fn(&Self, ServiceId) -> &[ServiceId]) -> Vec<ServiceId> {
        let mut found = vec![id];
        let mut is_found = vec![false; self.services.len()];
        is_found[id.index()] = true;
        let mut position = 0;
        while let Some(id) = found.get(position).copied() {
            for other in next(self, id) {
                let is_retired = self.services[other.index()].is_retired;
                if !is_retired && !std::mem::replace(&mut is_found[other.index()], true) {
                    found.push(*other);
                }
            }
            position += 1;
        }
        found
    }

    /// How many dependencies each waiting service still has to wait for.
    pub(super) fn recount_awaited(&mut self) {
        for index in 0..self.settings.services.len() {
            let dependencies = self.settings.order.dependencies(ServiceId::new(index));
            let awaited =
                dependencies.iter().filter(|dependency| !self.services[dependency.index()].reached).count();
            self.services[index].awaited = awaited;
        }
    }

    pub(super) fn start_what_waits_for_nobody(&mut self) {
        for index in 0..self.settings.services.len() {
            if self.services[index].state == State::Waiting && self.services[index].awaited == 0 {
                self.start(ServiceId::new(index));
            }
        }
    }
}
