//! Processes that outlive their leader.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::super::service::{Phase, State};
use super::super::timers::Timer;
use super::super::{
    Command, End, Failure, Mode, Notice, Pid, Recipients, ServiceId, Signal, Stray, Timestamp, defaults,
};
use super::{KnownStray, Supervisor};

impl Supervisor {
    pub(super) fn ask_census(&mut self) {
        if !std::mem::replace(&mut self.census_asked, true) {
            self.commands.push_back(Command::TakeCensus);
        }
    }

    pub(super) fn on_stray_ended(&mut self, pid: Pid, end: End) {
        if let Some(stray) = self.strays.remove(&pid) {
            let service = &mut self.services[stray.service.index()];
            service.strays.remove(&pid);
            service.outcome.killed |=
                stray.signal == Some(Signal::KILL) && end.signal() == Some(Signal::KILL);
            let (service, signal) = (stray.service, stray.signal);
            self.tell(Notice::StrayEnded { service, pid, end: Some(end), signal });
        } else if self.hidden && self.hidden_signal.is_some() {
            let (service, signal) = (self.settings.stray_id(), self.hidden_signal);
            self.services[service.index()].outcome.killed |=
                signal == Some(Signal::KILL) && end.signal() == Some(Signal::KILL);
            self.tell(Notice::StrayEnded { service, pid, end: Some(end), signal });
        }
        // Its own children, if any, are ours now.
        if !self.uncounted.is_empty() {
            self.ask_census();
        }
    }

    /// Nothing waits for these: their leader's end leads to a census, which finds those that are not gone by then.
    pub(super) fn on_killed_with_leader(&mut self, id: ServiceId, processes: Vec<(Pid, String)>) {
        let service = &self.services[id.index()];
        // Somebody else kills, too. But what we killed may come to light when the rest of its service is gone.
        if self.stop.is_none() && !service.is_killed() && !service.outcome.killed {
            return;
        }
        for (pid, name) in processes {
            if let Entry::Vacant(entry) = self.strays.entry(pid) {
                entry.insert(KnownStray { service: id, signal: Some(Signal::KILL) });
                self.tell(Notice::KilledWithLeader { service: id, pid, name });
            }
        }
    }

    /// Nobody of `id` is left: those that were killed with its leader, and that their own parent reaped, are gone too.
    pub(super) fn close_killed(&mut self, id: ServiceId) {
        let of_it = self.strays.extract_if(.., |_, stray| stray.service == id);
        let gone: Vec<(Pid, KnownStray)> = of_it.collect();
        for (pid, stray) in gone {
            self.tell(Notice::StrayEnded { service: id, pid, end: None, signal: stray.signal });
        }
    }

    pub(super) fn on_census(&mut self, strays: Vec<Stray>, hidden: bool, now: Timestamp) {
        self.census_asked = false;
        if hidden && !std::mem::replace(&mut self.hidden, hidden) {
            self.tell(Notice::StraysHidden);
        }
        self.hidden = hidden;
        let stray_id = self.settings.stray_id();
        let mut found: BTreeMap<ServiceId, Vec<Stray>> = BTreeMap::new();
        for stray in strays {
            found.entry(self.stopped_with(stray.service)).or_default().push(stray);
        }
        // A killed process that took its time may have left what belongs to none, after all of that was gone.
        let of_none = &mut self.services[stray_id.index()];
        if of_none.turn_has_come && of_none.state == State::Down && (hidden || found.contains_key(&stray_id))
        {
            of_none.state = State::Ended;
            self.uncounted.insert(stray_id);
        }
        for id in std::mem::take(&mut self.uncounted) {
            let strays = found.remove(&id).unwrap_or_default();
            let new = self.update_strays(id, strays);
            let service = &self.services[id.index()];
            let is_left = !service.strays.is_empty() || service.leader.is_some() || hidden && id == stray_id;
            self.conclude_early_end(id, now);
            if is_left {
                self.uncounted.insert(id);
                self.on_strays(id, &new, now);
            } else if self.has_hooks(id) {
                // Their ends lead to another census.
                self.uncounted.insert(id);
                self.wait_for_hooks(id, now);
            } else {
                self.gone(id, now);
            }
        }
        self.check_finished(now);
    }

    /// Notes what the census found of a service, and returns what was not known before.
    pub(super) fn update_strays(&mut self, id: ServiceId, strays: Vec<Stray>) -> Vec<Pid> {
        let pids: BTreeSet<Pid> = strays.iter().map(|stray| stray.pid).collect();
        let before = std::mem::replace(&mut self.services[id.index()].strays, pids);
        for pid in &before {
            if !self.services[id.index()].strays.contains(pid)
                && let Some(stray) = self.strays.remove(pid)
            {
                // Its own parent reaped it, and did not say how it ended.
                self.services[id.index()].outcome.killed |= stray.signal == Some(Signal::KILL);
                self.tell(Notice::StrayEnded { service: id, pid: *pid, end: None, signal: stray.signal });
            }
        }
        let mut new = Vec::new();
        for Stray { pid, name, .. } in strays {
            if !before.contains(&pid) {
                new.push(pid);
                // Who was killed with the leader is known already.
                if self.strays.insert(pid, KnownStray { service: id, signal: None }).is_none() {
                    self.tell(Notice::StrayFound { service: id, pid, name });
                }
            }
        }
        new
    }

    /// A service without a leader, or with one that KILL does not end, has strays.
    pub(super) fn on_strays(&mut self, id: ServiceId, new: &[Pid], now: Timestamp) {
        let service = &mut self.services[id.index()];
        match service.state {
            State::Ended => self.stop_strays(id, now),
            State::Stopping(Phase::PreStop | Phase::Drain | Phase::Stage(_)) if !service.strays_stopping => {
                self.stop_strays(id, now);
            }
            // What a hook leaves behind has no grace of its own.
            State::Stopping(Phase::PostStop) => self.kill(id, now),
            // A process that came later joins the stage that the others are in.
            State::Stopping(Phase::Stage(_)) => {
                let Some(signal) = service.stage_signal else { return };
                for pid in new {
                    let recipients = Recipients::Stray(*pid);
                    self.send(id, recipients, signal);
                    self.commands.push_back(Command::Signal {
                        service: id,
                        recipients,
                        signal: Signal::CONT,
                    });
                }
            }
            State::Stopping(Phase::Killed | Phase::Lingering)
                if service.stage_signal == Some(Signal::KILL) =>
            {
                for pid in new {
                    self.send(id, Recipients::Stray(*pid), Signal::KILL);
                }
            }
            // Only its hooks were waited for: what they leave behind has heard nothing yet.
            State::Stopping(Phase::Killed | Phase::Lingering) => {
                if service.state == State::Stopping(Phase::Lingering) {
                    self.lingering -= usize::from(id.index() < self.settings.services.len());
                }
                self.stop_strays(id, now);
            }
            State::Stopping(Phase::PreStop | Phase::Drain) | State::Held => {}
            State::Waiting
            | State::Preparing
            | State::Starting
            | State::Unready
            | State::Up
            | State::BackOff
            | State::Down => {
                debug_assert!(false, "{id:?} is counted in state {:?}", service.state);
            }
        }
    }

    /// Only hooks are left of it, which were killed: they are waited for as long as anything that was killed.
    fn wait_for_hooks(&mut self, id: ServiceId, now: Timestamp) {
        let service = &mut self.services[id.index()];
        if !service.is_killed() {
            service.state = State::Stopping(Phase::Killed);
            service.stage_signal = None;
            service.stage_began = now;
            self.timers.set(Timer::Wait(id), now + self.kill_reserve());
        }
    }

    /// Whether its leader did its work, or went into the background, shows in what it left behind.
    fn conclude_early_end(&mut self, id: ServiceId, now: Timestamp) {
        let service = &mut self.services[id.index()];
        let (Some(end), processes) = (service.early_end.take(), service.strays.len()) else { return };
        if processes == 0 {
            return self.ended_unasked(id, end, now);
        }
        self.tell(Notice::Daemonised { service: id, processes });
        match self.settings.mode {
            Mode::ManyServices => self.failed(id, Failure::Daemonised, now),
            // Its own status, always: a wrapper does not judge.
            Mode::OneCommand => self.ended_unasked(id, end, now),
        }
    }

    pub(super) fn check_finished(&mut self, now: Timestamp) {
        let strays = &self.services[self.settings.stray_id().index()];
        if self.stop.is_none() || !strays.turn_has_come {
            return;
        }
        let is_settled = matches!(strays.state, State::Down | State::Stopping(Phase::Lingering));
        if is_settled && self.begin_cleanup(now) {
            return;
        }
        let strays = &self.services[self.settings.stray_id().index()];
        let cleanup = &self.services[self.settings.cleanup_id().index()];
        let [time_is_up, swept] = self.stop.as_ref().map_or([false; 2], |stop| [stop.time_is_up, stop.swept]);
        if self.active == 0 && strays.state == State::Down && cleanup.state == State::Down {
            self.finish(now);
        } else if time_is_up && !self.census_asked {
            self.conclude_time_up(now);
        } else if self.settings.deadline.is_none() && !time_is_up && !swept {
            self.bound_wait_for_the_killed(now);
        }
    }

    /// Everything else is down, or was given up: the last command of all runs. Whether it begins now.
    fn begin_cleanup(&mut self, now: Timestamp) -> bool {
        let id = self.settings.cleanup_id();
        let in_haste = self.is_kill_now() || self.stop.as_ref().is_some_and(|stop| stop.time_is_up);
        let cleanup = &mut self.services[id.index()];
        if self.settings.cleanup.is_none() || std::mem::replace(&mut cleanup.turn_has_come, true) || in_haste
        {
            return false;
        }
        self.begin_post_stop(id, now);
        true
    }

    /// Without a deadline only this wait is bounded: what KILL does not end may never end.
    fn bound_wait_for_the_killed(&mut self, now: Timestamp) {
        let all_killed = self
            .services
            .iter()
            .all(|service| matches!(service.state, State::Down | State::Stopping(Phase::Lingering)));
        if !all_killed {
            self.timers.clear(Timer::BudgetEnd);
        } else if self.timers.get(Timer::BudgetEnd).is_none() {
            self.timers.set(Timer::BudgetEnd, now + defaults::KILL_WAIT_WITHOUT_DEADLINE);
        }
    }
}
