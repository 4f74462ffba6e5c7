//! Stopping one service, stage by stage.

use std::time::Duration;

use super::super::budget::{Path, Share};
use super::super::service::{Phase, State};
use super::super::stop::Stop;
use super::super::timers::Timer;
use super::super::{
    Act, Cause, Command, HookKind, Level, Notice, Pid, Recipients, ServiceId, Signal, StageAction, Step,
    Target, Timestamp, Wait, defaults,
};
use super::Supervisor;

impl Supervisor {
    /// Its turn has come.
    pub(super) fn begin_stop(&mut self, id: ServiceId, now: Timestamp) {
        let was_ready = self.services[id.index()].state == State::Up;
        self.stop_watching(id);
        self.commands.push_back(Command::Measure { service: id });
        self.services[id.index()].stopping_since = Some(now);
        self.fit_to_budget(id, now);
        let scale = self.services[id.index()].share.scale;
        let pre_stop = self.settings_of(id).hooks.pre_stop.map(|time| scale.of(time));
        if self.is_kill_now() {
            self.kill(id, now);
        } else if let (true, Some(wait)) = (was_ready, pre_stop) {
            let service = &mut self.services[id.index()];
            service.state = State::Stopping(Phase::PreStop);
            service.stage_began = now;
            self.timers.set(Timer::Wait(id), now + wait);
            self.tell(Notice::PreStopBegun { service: id, wait });
            self.run_hook(id, HookKind::PreStop);
        } else if was_ready {
            self.begin_drain(id, now);
        } else {
            self.enter_stage(id, 0, now);
        }
    }

    /// It had been ready: it has its time to drain.
    pub(super) fn begin_drain(&mut self, id: ServiceId, now: Timestamp) {
        self.dismiss_hooks(id);
        let drain = self.services[id.index()].granted(self.settings_of(id).drain, now);
        if drain.is_zero() {
            self.enter_stage(id, 0, now);
        } else {
            let service = &mut self.services[id.index()];
            service.state = State::Stopping(Phase::Drain);
            service.stage_began = now;
            self.timers.set(Timer::Wait(id), now + drain);
            self.tell(Notice::DrainBegun { service: id, wait: drain });
        }
    }

    /// Its leader is gone, but not what it left behind: that begins the schedule for itself, inside its share.
    pub(super) fn stop_strays(&mut self, id: ServiceId, now: Timestamp) {
        let service = &mut self.services[id.index()];
        service.strays_stopping = true;
        match service.state {
            State::Stopping(_) => self.rescale(id, now),
            _ => {
                service.stopping_since = Some(now);
                service.state = State::Stopping(Phase::Stage(0));
                service.stage_began = now;
                self.fit_to_budget(id, now);
            }
        }
        if self.is_kill_now() {
            self.kill(id, now);
        } else {
            self.enter_stage(id, 0, now);
        }
    }

    /// The leader has ended and left the service to another process of it. That one may have heard nothing yet: it begins
    /// the schedule for itself, as strays do.
    pub(super) fn on_leader_moved(&mut self, id: ServiceId, pid: Pid, now: Timestamp) {
        let service = &mut self.services[id.index()];
        let Some(leader) = &mut service.leader else { return };
        leader.pid = pid;
        let state = service.state;
        self.tell(Notice::LeaderMoved { service: id, pid });
        match state {
            State::Stopping(Phase::Stage(_)) => {
                self.rescale(id, now);
                self.enter_stage(id, 0, now);
            }
            State::Stopping(Phase::Killed | Phase::Lingering) => {
                self.send(id, Recipients::Leader(Target::All), Signal::KILL);
            }
            _ => {}
        }
    }

    /// The whole schedule begins once more, for others, inside the share that the service has.
    fn rescale(&mut self, id: ServiceId, now: Timestamp) {
        let grace = &self.settings_of(id).grace;
        let rest = Path::of_service(grace.bounded(), grace.is_open());
        let share = self.services[id.index()].share.rescaled(now, rest);
        self.grant(id, share, rest.bounded());
    }

    /// Gives the service its share of what is left of the budget, from now on.
    pub(super) fn fit_to_budget(&mut self, id: ServiceId, now: Timestamp) {
        let Some(budget) = self.stop.as_ref().and_then(|stop| stop.budget) else {
            return;
        };
        let service = &self.services[id.index()];
        let own = service.own_path(self.settings_of(id), now);
        // What runs after its end comes out of no wait of its own: not even an open one.
        let behind = service.path_after(self.settings_of(id)).then(service.behind);
        let share = budget.share(now, own, behind);
        self.grant(id, share, own.bounded());
        // A wait that runs already shrinks like the others', and an open one gets an end; one that was extended may have
        // been granted more than there is now.
        let at = self.timers.get(Timer::Wait(id));
        let until = match (self.services[id.index()].state, at, share.ends) {
            (
                State::Stopping(Phase::PreStop | Phase::Drain | Phase::Stage(_) | Phase::PostStop),
                Some(at),
                _,
            ) => now + share.until_end(share.scale.of(at.since(now)), now),
            (State::Stopping(Phase::Stage(_)), None, Some(ends)) => ends,
            (State::Stopping(Phase::Killed), Some(at), _) => at.min(now + budget.reserve),
            _ => return,
        };
        self.timers.set(Timer::Wait(id), until);
    }

    pub(super) fn grant(&mut self, id: ServiceId, share: Share, waits: Duration) {
        self.services[id.index()].share = share;
        if !share.scale.is_full() && !waits.is_zero() {
            let to = share.scale.of(waits);
            self.tell(Notice::BudgetShrunk { service: id, scale: share.scale, from: waits, to });
        }
    }

    pub(super) fn enter_stage(&mut self, id: ServiceId, index: usize, now: Timestamp) {
        self.dismiss_hooks(id);
        let settings = self.settings_of(id);
        let Some(stage) = settings.grace.stages().get(index) else {
            return self.kill(id, now);
        };
        let act = self.resolve(&stage.action);
        if matches!(act, Act::Run(_)) && self.services[id.index()].leader.is_none() {
            return self.enter_stage(id, index + 1, now);
        }
        let target = stage.target.unwrap_or(settings.signal_target);
        let of = settings.grace.stages().len() + 1;
        let is_first_signal = settings.grace.is_first_signal(index);
        let written = stage.wait;
        let service = &mut self.services[id.index()];
        let wait = match written {
            Wait::For(wait) => Some(service.granted(wait, now)),
            Wait::Open => service.share.ends.map(|ends| ends.since(now)),
        };
        service.state = State::Stopping(Phase::Stage(index));
        service.stage_began = now;
        service.outcome.escalated |= !is_first_signal;
        match wait {
            Some(wait) => self.timers.set(Timer::Wait(id), now + wait),
            None => self.timers.clear(Timer::Wait(id)),
        }
        self.look_before(id, wait.map(|wait| now + wait), now);
        self.services[id.index()].stage_signal = match act {
            Act::Signal(signal) => Some(signal),
            Act::Run(_) => None,
        };
        let signal = match act {
            Act::Signal(signal) => signal,
            Act::Run(command) => {
                self.tell(Notice::StageRun { service: id, stage: index, of, command: command.clone(), wait });
                return self.run_hook(id, HookKind::Stage(command));
            }
        };
        let recipients = self.recipients(id, target);
        self.tell(Notice::StageSent { service: id, stage: index, of, signal, recipients, wait });
        // For many programs a second signal means haste: what the terminal has sent is not sent again.
        let sent_by_terminal = index == 0
            && matches!(recipients, Recipients::Leader(_))
            && self.stop.as_ref().is_some_and(|stop| match stop.cause {
                Cause::Signal { signal: cause, sender } => {
                    cause == signal && self.reached_command(cause, sender)
                }
                _ => false,
            });
        if !sent_by_terminal {
            self.send(id, recipients, signal);
        }
        // So that a stopped process can obey.
        self.commands.push_back(Command::Signal { service: id, recipients, signal: Signal::CONT });
    }

    /// Has its leader looked at shortly before the wait of the stage that it is in runs out, if it was sent a signal.
    pub(super) fn look_before(&mut self, id: ServiceId, until: Option<Timestamp>, now: Timestamp) {
        let service = &self.services[id.index()];
        let stages = self.settings_of(id).grace.stages();
        let is_signal = match service.state {
            State::Stopping(Phase::Stage(stage)) => !matches!(stages[stage].action, StageAction::Run(_)),
            _ => false,
        };
        match (until, service.leader) {
            (Some(until), Some(_)) if is_signal => {
                let ahead = defaults::LOOK_AHEAD.min(until.since(now) / 4);
                self.timers.set(Timer::Look(id), until.before(ahead));
            }
            _ => self.timers.clear(Timer::Look(id)),
        }
    }

    pub(super) fn kill(&mut self, id: ServiceId, now: Timestamp) {
        let reserve = self.kill_reserve();
        if let Some(stop) = &mut self.stop {
            // A wait that ran out while curfew was not scheduled, or a short deadline with many levels: this KILL has less time to
            // work than what is kept for one that comes too late.
            stop.killed_late |= stop.budget.is_some_and(|budget| now + budget.sweep > budget.stop_by);
        }
        let of = self.settings_of(id).grace.stages().len() + 1;
        let recipients = self.recipients(id, Target::All);
        let service = &mut self.services[id.index()];
        service.stopping_since.get_or_insert(now);
        service.state = State::Stopping(Phase::Killed);
        service.stage_began = now;
        service.stage_signal = Some(Signal::KILL);
        service.outcome.escalated |= service.step != Step::PostStop;
        self.dismiss_hooks(id);
        self.timers.clear(Timer::Look(id));
        self.timers.set(Timer::Wait(id), now + reserve);
        let (stage, signal, wait) = (of - 1, Signal::KILL, Some(reserve));
        self.tell(Notice::StageSent { service: id, stage, of, signal, recipients, wait });
        self.send(id, recipients, Signal::KILL);
    }

    /// What waits for a service that KILL does not end, outside a stop of the system, waits no longer; unless it is
    /// only slow, and will be started again.
    pub(super) fn give_up(&mut self, id: ServiceId, now: Timestamp) {
        let service = &self.services[id.index()];
        if service.is_given_up() && !service.is_unwanted {
            self.reach(id, now);
        }
        self.stop_unwanted_dependencies(id, now);
        self.check_nothing_left(now);
    }

    /// The wait after KILL until what waits for a service waits no longer.
    pub(super) fn kill_reserve(&self) -> Duration {
        self.stop.as_ref().map_or(defaults::KILL_RESERVE_MAX, Stop::reserve)
    }

    /// What a stage does in this stop.
    pub(super) fn resolve(&self, action: &StageAction) -> Act {
        match (action, &self.stop) {
            (StageAction::Fixed(signal), _) => Act::Signal(*signal),
            (StageAction::Received, Some(stop)) => Act::Signal(stop.received),
            (StageAction::Received, None) => Act::Signal(Signal::TERM),
            (StageAction::Run(command), _) => Act::Run(command.clone()),
        }
    }

    pub(super) fn recipients(&self, id: ServiceId, target: Target) -> Recipients {
        match self.services[id.index()].leader {
            Some(_) => Recipients::Leader(target),
            None => Recipients::Strays,
        }
    }

    /// Sends a signal, and remembers for each stray which one it got last.
    pub(super) fn send(&mut self, id: ServiceId, recipients: Recipients, signal: Signal) {
        match recipients {
            Recipients::Leader(_) => {}
            Recipients::Strays => {
                for pid in &self.services[id.index()].strays {
                    if let Some(stray) = self.strays.get_mut(pid) {
                        stray.signal = Some(signal);
                    }
                }
            }
            Recipients::Stray(pid) => {
                if let Some(stray) = self.strays.get_mut(&pid) {
                    stray.signal = Some(signal);
                }
            }
        }
        if recipients == Recipients::Strays && id == self.settings.stray_id() {
            self.hidden_signal = Some(signal);
        }
        if let Some(stop) = &mut self.stop {
            stop.killed_late |= stop.time_is_up && signal == Signal::KILL;
        }
        self.commands.push_back(Command::Signal { service: id, recipients, signal });
    }

    pub(super) fn is_kill_now(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.level == Level::KillNow)
    }
}
