//! What can be computed about a history, apart from the core.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use curfew::supervisor::{
    Cause, Command, End, Event, Kind, Level, Mode, Notice, Sender, ServiceId, Signal, Stage, StageAction,
    Timestamp, Wait,
};

use crate::history::{Entry, History, What};
use crate::life::Life;
use crate::process::Process;

// Figures of the design.
pub(super) const HELD_DEATH: Duration = Duration::from_millis(100);
pub(super) const DAEMONISES_WITHIN: Duration = Duration::from_secs(5);
pub(super) const RESERVE_MAX: Duration = Duration::from_millis(500);
pub(super) const KILLED_MAX: Duration = Duration::from_secs(10);
pub(super) const REPORT_MAX: Duration = Duration::from_millis(100);
pub(super) const OPEN_NOMINAL: Duration = Duration::from_secs(1);

impl History {
    pub(super) fn ids(&self) -> impl Iterator<Item = ServiceId> + use<> {
        (0..self.settings.services.len()).map(ServiceId::new)
    }

    pub(super) fn name(&self, id: ServiceId) -> &str {
        self.settings.name(id)
    }

    pub(super) fn is_stray_service(&self, id: ServiceId) -> bool {
        id == self.settings.stray_id()
    }

    pub(super) fn stage_waits(&self, id: ServiceId, index: usize) -> Vec<Wait> {
        self.stages(id, index).iter().map(|stage| stage.wait).collect()
    }

    /// The first stage from here on that such processes take part in.
    pub(super) fn stage_at_or_after(
        &self,
        id: ServiceId,
        index: usize,
        from: usize,
        of_leader: bool,
    ) -> usize {
        let skipped = |stage: &&Stage| !of_leader && matches!(stage.action, StageAction::Run(_));
        from + self.stages(id, index).iter().skip(from).take_while(skipped).count()
    }

    /// All the time that the stop had, as it was told: with `extend` it may be longer than the deadline says.
    pub(super) fn budget(&self) -> Option<Duration> {
        self.notices().find_map(|(_, _, notice)| match notice {
            Notice::StopRequested { budget, .. } => Some(*budget),
            _ => None,
        })?
    }

    /// When the services must be down.
    pub(super) fn stop_by(&self) -> Option<Timestamp> {
        let (_, began, _) = self.stop()?;
        let (budget, margin) = (self.budget()?, self.settings.deadline?.margin);
        let report = REPORT_MAX.min(margin / 2).min(budget);
        let by = began + (budget - report);
        // Who does not hear us grants nothing more, and the plain deadline counts from then on.
        let plain = self.settings.deadline.map(|deadline| deadline.deadline - deadline.margin)?;
        let plain = began + (plain - REPORT_MAX.min(margin / 2).min(plain));
        Some(self.unheard_in_the_stop().map_or(by, |unheard| by.min(plain.max(unheard))))
    }

    /// When the platform ceased to hear us in the middle of the stop.
    pub(super) fn unheard_in_the_stop(&self) -> Option<Timestamp> {
        let (stop, ..) = self.stop()?;
        self.events().find_map(|(index, at, event)| {
            (index > stop && matches!(event, Event::PlatformHears(false))).then_some(at)
        })
    }

    /// Whether curfew was always scheduled nearly at once.
    pub(super) fn is_prompt(&self) -> bool {
        self.suspensions.is_empty()
    }

    /// Whether curfew was always scheduled at once.
    pub(super) fn is_exact(&self) -> bool {
        self.is_prompt() && self.lateness.is_zero()
    }

    /// Whether what was due at `due` was still to come at `at`, for a curfew that was scheduled late.
    pub(super) fn may_be_late(&self, due: Timestamp, at: Timestamp) -> bool {
        let suspended = |(from, until): &(Timestamp, Timestamp)| {
            due + self.lateness >= *from && at <= *until + self.lateness
        };
        at <= due + self.lateness || self.suspensions.iter().any(suspended)
    }

    /// Whether what is due then was still to come when the run was over, and somebody waits for it.
    pub(super) fn is_awaited(&self, due: Timestamp) -> bool {
        let is_armed = self.armed.is_some_and(|armed| armed <= due);
        self.stop().is_some() || (is_armed && self.may_be_late(due, self.over))
    }

    /// When KILL for everything was asked for.
    pub(super) fn kill_now(&self) -> Option<(usize, Timestamp)> {
        self.notices().find_map(|(index, at, notice)| match notice {
            Notice::StopEscalated { level: Level::KillNow, .. } => Some((index, at)),
            _ => None,
        })
    }

    /// Whether at this moment KILL needs no further reason.
    pub(super) fn kill_is_due(&self, index: usize, at: Timestamp) -> bool {
        // A person's wish is told just before it is done.
        let wished = self.kill_now().is_some_and(|(wished, since)| wished <= index || since == at);
        // Without a deadline, the wait for what KILL does not end is bounded all the same.
        let waited = self.settings.deadline.is_none()
            && self.notices().any(|(_, since, notice)| {
                matches!(notice, Notice::ServiceLingers { .. }) && at >= since + KILLED_MAX
            });
        wished || waited || self.stop_by().is_some_and(|stop_by| at >= stop_by)
    }

    /// The leader of a life, or what it left the service to; not what ran after its end.
    pub(super) fn leader(&self, life: &Life) -> Option<&Process> {
        life.work()?.process.map(|index| &self.processes[index])
    }

    pub(super) fn is_task(&self, id: ServiceId, index: usize) -> bool {
        self.is_service(id) && self.service_at(id, index).kind == Kind::Task
    }

    pub(super) fn is_success(&self, id: ServiceId, index: usize, end: End) -> bool {
        let success = &self.service_at(id, index).success;
        match end {
            End::Exited(status) => status == 0 || success.statuses.contains(&status),
            End::Signaled { number, .. } => {
                Signal::from_number(i32::from(number)).is_some_and(|signal| success.signals.contains(signal))
            }
        }
    }

    /// The signals that a stop sends, or may send, to a service, as far as it is known at this entry.
    fn stop_signals_of(&self, id: ServiceId, index: usize) -> BTreeSet<Signal> {
        let received = match self.stop() {
            Some((stop, _, Cause::Signal { signal, .. })) if stop < index => {
                self.settings.map.get(&signal).copied().flatten().unwrap_or(signal)
            }
            _ => Signal::TERM,
        };
        let stages = self.stages(id, index).iter().filter_map(|stage| match stage.action {
            StageAction::Fixed(signal) => Some(signal),
            StageAction::Received => Some(received),
            StageAction::Run(_) => None,
        });
        let usual = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP];
        usual.into_iter().chain(self.settings.stop_signals.iter()).chain(stages).collect()
    }

    /// Whether this end is what a stop signal does to a process.
    pub(super) fn is_stop_death(&self, id: ServiceId, index: usize, end: End) -> bool {
        let signal = match end {
            End::Signaled { number, .. } => Signal::from_number(i32::from(number)),
            End::Exited(status) => status.checked_sub(128).and_then(|n| Signal::from_number(i32::from(n))),
        };
        signal.is_some_and(|signal| self.stop_signals_of(id, index).contains(&signal))
    }

    pub(super) fn asks_for_a_stop(&self, signal: Signal, sender: Sender) -> bool {
        if self.settings.map.get(&signal) == Some(&None) {
            return false;
        }
        let many = self.settings.mode == Mode::ManyServices;
        self.settings.stop_signals.contains(signal)
            || signal == Signal::ABRT
            || signal == Signal::HUP && (sender == Sender::Terminal || many && !self.settings.reloadable)
            || signal == Signal::QUIT && many
    }

    /// Whether a life had its own end, or never had a process.
    pub(super) fn has_ended_before(&self, id: ServiceId, index: usize) -> bool {
        self.life_at(id, index).is_none_or(|life| life.is_over_before(index))
    }

    /// Whether it can be told whose it is: with one command, all belongs to it.
    pub(super) fn shows(&self, process: &Process) -> bool {
        !process.is_hidden || self.settings.mode == Mode::OneCommand
    }

    /// Whether no process of a service was left at this time, as far as could be told.
    pub(super) fn is_gone(&self, id: ServiceId, at: Timestamp) -> bool {
        self.processes
            .iter()
            .filter(|process| process.service == id && self.shows(process) && process.born <= at)
            .all(|process| process.ended.is_some_and(|(ended, _)| ended <= at))
    }

    /// The longest way through the stop, and its levels, by the states that services were in when it began; at most.
    pub(super) fn path_at_stop(&self) -> Option<(Duration, u32)> {
        let (stop, _, _) = self.stop()?;
        let mut longest: BTreeMap<ServiceId, (Duration, u32)> = BTreeMap::new();
        let strays = u32::from(self.settings.mode == Mode::ManyServices);
        let end = match self.settings.cleanup {
            Some(time) => (time, strays + 1),
            None => (Duration::ZERO, strays),
        };
        let mut overall = end;
        for id in self.settings.order.start_order() {
            let behind = self.settings.order.dependencies(*id).iter().map(|dependency| longest[dependency]);
            let behind = behind.fold(end, |one, other| (one.0.max(other.0), one.1.max(other.1)));
            let own = self.path_of(*id, stop);
            let path = (behind.0 + own.0, behind.1 + own.1);
            overall = (overall.0.max(path.0), overall.1.max(path.1));
            longest.insert(*id, path);
        }
        Some(overall)
    }

    fn path_of(&self, id: ServiceId, stop: usize) -> (Duration, u32) {
        let down = self.milestones[id.index()].down.is_some_and(|index| index < stop);
        let Some(life) = self.life_at(id, stop).filter(|_| !down) else { return (Duration::ZERO, 0) };
        let settings = &self.settings.services[id.index()];
        let (mut own, mut levels) = (Duration::ZERO, 1);
        if self.leader(life).is_some() && life.end().is_none_or(|(index, _, _)| index > stop) {
            own = self.stage_waits(id, stop).iter().fold(Duration::ZERO, |sum, wait| match wait {
                Wait::For(wait) => sum + *wait,
                Wait::Open => sum + OPEN_NOMINAL,
            });
            if life.ready.is_some_and(|(index, _)| index < stop) {
                own += settings.drain + settings.hooks.pre_stop.unwrap_or_default();
            }
        }
        if let Some(time) = settings.hooks.post_stop {
            own += time;
            levels += 1;
        }
        (own, levels)
    }

    /// What is kept for KILL at each level, at least.
    pub(super) fn reserve_at_least(&self) -> Duration {
        let levels = 2 * self.settings.services.len() as u32 + 2;
        self.budget().map_or(RESERVE_MAX, |budget| RESERVE_MAX.min(budget / (10 * levels)))
    }

    /// The entries of the handling that this entry is in: from the event to the next one that is no answer.
    pub(super) fn handling(&self, index: usize) -> std::ops::Range<usize> {
        let is_told = |entry: &Entry| matches!(entry.what, What::Event(_)) && !entry.is_answer;
        let from = (0..=index).rev().find(|index| is_told(&self.entries[*index])).unwrap_or_default();
        let until = (index + 1..self.entries.len()).find(|index| is_told(&self.entries[*index]));
        from..until.unwrap_or(self.entries.len())
    }

    /// Every command, in order.
    pub(super) fn commands(&self) -> impl Iterator<Item = (usize, Timestamp, &Command)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| match &entry.what {
            What::Command(command, _) => Some((index, entry.at, command)),
            What::Event(_) => None,
        })
    }
}
