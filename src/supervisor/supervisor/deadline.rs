//! The deadline that the platform tells, which may come late: after the start, or in the middle of a stop.

use std::time::Duration;

use super::super::budget::{Budget, Share};
use super::super::service::{Phase, State};
use super::super::timers::Timer;
use super::super::{
    Command, Deadline, DeadlineBasis, Notice, ServiceId, Timestamp, Told, UseOfExtension, Wait,
};
use super::Supervisor;

impl Supervisor {
    /// Asks the platform, if it is to be asked.
    pub(super) fn ask_deadline(&mut self) {
        if self.settings.asks_platform {
            self.commands.push_back(Command::LearnDeadline);
        }
    }

    /// The platform told when it kills us; `None`: never.
    pub(super) fn on_deadline_learnt(&mut self, length: Option<Duration>, now: Timestamp) {
        // It was asked, and then told not to matter.
        if self.end_has_come() || !self.settings.asks_platform {
            return;
        }
        let is_news = self.learnt.replace(length).is_none();
        let (deadline, told) = self.deadline_that_counts(length);
        let before = if self.stop.is_some() { self.plain_deadline } else { self.settings.deadline };
        // That the platform leaves us the time that was said is what was said.
        if deadline == before && (!is_news || told == Told::AsSaid) {
            return;
        }
        self.settings.deadline = deadline;
        let margin_kept = deadline
            .is_none_or(|deadline| self.settings.margin.is_none_or(|margin| margin == deadline.margin));
        self.tell(Notice::DeadlineLearnt { deadline, margin_kept, told });
        self.check_schedules(now);
        if self.stop.is_some() && deadline != before {
            self.budget_anew(now);
        }
    }

    /// The deadline that counts where the platform kills us after this time: one that was said outright is only a bound.
    pub(super) fn deadline_that_counts(&self, platforms: Option<Duration>) -> (Option<Deadline>, Told) {
        let with_margin = |length| Deadline::with_margin(length, self.settings.margin);
        match (self.settings.deadline_basis, platforms) {
            (DeadlineBasis::Said(said), Some(platforms)) if platforms < said => {
                (Some(with_margin(platforms)), Told::Shorter { said })
            }
            (DeadlineBasis::Said(said), _) => (Some(with_margin(said)), Told::AsSaid),
            (DeadlineBasis::Unknown | DeadlineBasis::Assumed, platforms) => {
                (platforms.map(with_margin), Told::Platforms)
            }
        }
    }

    /// The platform begins, or ceases, to hear what it is told: only who hears it can grant more time.
    pub(super) fn on_platform_hears(&mut self, hears: bool, now: Timestamp) {
        if std::mem::replace(&mut self.is_heard, hears) == hears || self.settings.extend.is_none() {
            return;
        }
        let deadline = if self.stop.is_some() { self.plain_deadline } else { self.settings.deadline };
        let use_of_it = if hears { UseOfExtension::HeardAgain } else { UseOfExtension::Unheard };
        self.tell(Notice::Extension { use_of_it, deadline });
        if !hears {
            self.timers.clear(Timer::Extend);
        }
        if self.end_has_come() {
            return;
        }
        if self.stop.is_some() {
            self.settings.deadline = deadline;
            self.budget_anew(now);
        } else {
            self.check_schedules(now);
            if !self.is_ready {
                self.ask_for_time(now);
            }
        }
    }

    /// The end has come by what was known before, and KILL is not taken back.
    fn end_has_come(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.time_is_up || stop.swept)
    }

    /// Gives the stop that is under way the budget of the new deadline. Its clock still began at the first cause.
    fn budget_anew(&mut self, now: Timestamp) {
        let longest = self.measure_paths(now);
        self.plain_deadline = self.settings.deadline;
        self.settings.deadline = self.extended_deadline(longest, now);
        self.ask_for_time(now);
        let Some(stop) = &mut self.stop else { return };
        stop.budget =
            self.settings.deadline.map(|deadline| Budget::new(deadline, stop.since, longest.levels));
        match stop.budget {
            Some(budget) => self.timers.set(Timer::BudgetEnd, budget.stop_by),
            None => self.timers.clear(Timer::BudgetEnd),
        }
        for index in 0..self.services.len() {
            self.fit_anew(ServiceId::new(index), now);
        }
        self.check_finished(now);
    }

    /// Gives a stopping service its share of the new budget: a wait that runs gets its written length back, and is then
    /// shortened as the budget wants it.
    fn fit_anew(&mut self, id: ServiceId, now: Timestamp) {
        let service = &self.services[id.index()];
        let State::Stopping(phase) = service.state else { return };
        let budget = self.stop.as_ref().and_then(|stop| stop.budget);
        let own = service.own_path(self.settings_of(id), now);
        let share = budget.map_or(Share::UNLIMITED, |budget| budget.share(now, own, service.behind));
        if service.awaits_census() {
            // Nothing of it waits. What its leader left behind gets its part of this.
            self.services[id.index()].share = share;
            return;
        }
        let waited = now.since(service.stage_began);
        let rest = |written: Duration| Some(now + share.scale.of(written.saturating_sub(waited)));
        let until = match phase {
            Phase::PreStop => rest(self.settings_of(id).hooks.pre_stop.unwrap_or_default()),
            Phase::PostStop => rest(self.settings_of(id).hooks.post_stop.unwrap_or_default()),
            Phase::Drain => rest(self.settings_of(id).drain),
            Phase::Stage(stage) => match self.settings_of(id).grace.stages()[stage].wait {
                Wait::For(written) => rest(written),
                Wait::Open => share.ends,
            },
            Phase::Killed => {
                let at = self.timers.get(Timer::Wait(id));
                at.map(|at| budget.map_or(at, |budget| at.min(now + budget.reserve)))
            }
            Phase::Lingering => return,
        };
        if phase != Phase::Killed {
            self.grant(id, share, own.bounded());
        }
        match until {
            Some(until) => self.timers.set(Timer::Wait(id), until),
            None => self.timers.clear(Timer::Wait(id)),
        }
        self.look_before(id, until, now);
    }
}
