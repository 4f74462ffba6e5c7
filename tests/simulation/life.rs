//! What became of each service, life by life, as it can be seen from outside.

use std::collections::BTreeSet;
use std::time::Duration;

use curfew::supervisor::{
    Change, Command, End, Event, Failure, Kind, Notice, ReadyBy, Request, ServiceId, ServiceMessage,
    StartFailure, Step, Timestamp,
};

use super::history::{Entry, History, What};
use super::kernel::Kernel;

/// One leader of a service, from the command to start it.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) step: Step,
    /// Which entry commands it.
    pub(crate) started: usize,
    pub(crate) forked: Option<Timestamp>,
    /// Which entry tells of its exec.
    pub(crate) executed: Option<usize>,
    pub(crate) failure: Option<(usize, StartFailure)>,
    pub(crate) ended: Option<(usize, Timestamp, End)>,
    /// The index of its process; of the last one, if it left the service to another.
    pub(crate) process: Option<usize>,
}

/// What was decided when a service had ended, or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// It is started again after this delay.
    Restart(Duration),
    /// It was started too often.
    Limit,
}

/// From the command that starts a service to the next such command.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) service: ServiceId,
    /// Which of its lives, from 0.
    pub(crate) number: usize,
    pub(crate) began: usize,
    pub(crate) runs: Vec<Run>,
    /// The event that made it ready, if anything did.
    pub(crate) ready: Option<(usize, Timestamp)>,
    /// It was said to have failed while it ran.
    pub(crate) failing: Option<(usize, Timestamp, Failure)>,
    pub(crate) plans: Vec<(usize, Timestamp, Plan)>,
    /// Its stop began.
    pub(crate) stop_begun: Option<(usize, Timestamp)>,
    /// When nobody wanted it: from, until.
    pub(crate) unwanted: Vec<(usize, usize)>,
    /// It was removed from the configuration there, and is not there again.
    pub(crate) removed: Option<usize>,
    /// It was removed there, and was there again from there on.
    pub(crate) removals: Vec<(usize, usize)>,
    /// Somebody asked for its restart, or a reload changed what is executed.
    pub(crate) restart_wishes: Vec<usize>,
    /// Each time its end was told, and how.
    pub(crate) ends_told: Vec<(usize, Timestamp, End)>,
    /// The next life begins there.
    pub(crate) until: usize,
}

impl Life {
    pub(crate) fn run(&self, step: Step) -> Option<&Run> {
        self.runs.iter().find(|run| run.step == step)
    }

    /// What ran last, but for what runs after the end: its own command, or what ran before it.
    pub(crate) fn work(&self) -> Option<&Run> {
        self.runs.iter().rfind(|run| run.step != Step::PostStop)
    }

    /// How its last leader ended, but for what runs after the end.
    pub(crate) fn end(&self) -> Option<(usize, Timestamp, End)> {
        self.work()?.ended
    }

    pub(crate) fn start_failure(&self) -> Option<(usize, StartFailure)> {
        self.work()?.failure
    }

    /// The entry at which its own command was executed.
    pub(crate) fn executed(&self) -> Option<usize> {
        self.run(Step::Main)?.executed
    }

    /// Whether there was a leader, and it ended; or there never was one, and it could not be started.
    pub(crate) fn is_over_before(&self, index: usize) -> bool {
        let ended = self.end().is_some_and(|(ended, _, _)| ended < index);
        let never_ran = self
            .work()
            .is_some_and(|run| run.forked.is_none() && run.failure.is_some_and(|(failed, _)| failed < index));
        ended || never_ran
    }

    /// Whether it was not wanted at this entry.
    pub(crate) fn is_unwanted_at(&self, index: usize) -> bool {
        self.unwanted.iter().any(|(from, until)| (*from..*until).contains(&index))
    }

    /// Whether an end at this entry is what somebody asked for. A stop of the system is not looked at.
    pub(crate) fn is_asked_before(&self, index: usize) -> bool {
        let failing = self.failing.is_some_and(|(failed, _, _)| failed < index);
        let stopping = self.stop_begun.is_some_and(|(begun, _)| begun < index);
        failing || stopping || self.is_unwanted_at(index)
    }

    /// Whether its end came in the course of its stop.
    pub(crate) fn was_told_before_its_end(&self) -> bool {
        self.end().is_some_and(|(ended, ..)| self.stop_begun.is_some_and(|(begun, _)| begun < ended))
    }

    /// Whether its command was executed, and has neither become ready nor come to an end.
    fn is_unready(&self) -> bool {
        self.executed().is_some()
            && self.ready.is_none()
            && self.failing.is_none()
            && self.stop_begun.is_none()
            && self.run(Step::Main).is_some_and(|run| run.ended.is_none())
            && self.run(Step::PostStop).is_none()
    }

    /// Whether what runs before its start has run, and nothing else.
    fn is_prepared(&self) -> bool {
        let is_free = self.stop_begun.is_none() && self.failing.is_none();
        let done = |run: &Run| {
            run.step == Step::PreStart && run.ended.is_some_and(|(_, _, end)| end == End::Exited(0))
        };
        is_free && self.runs.len() == 1 && self.runs.iter().all(done)
    }

    pub(crate) fn is_planned(&self) -> bool {
        self.plans.iter().any(|(_, _, plan)| matches!(plan, Plan::Restart(_)))
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.plans.iter().any(|(_, _, plan)| *plan == Plan::Limit)
    }
}

impl History {
    /// The lives of a service.
    pub(crate) fn lives(&self, id: ServiceId) -> &[Life] {
        &self.lives[id.index()]
    }

    /// The life that a service is in at this entry, or was in last.
    pub(crate) fn life_at(&self, id: ServiceId, index: usize) -> Option<&Life> {
        self.lives[id.index()].iter().rfind(|life| life.began < index)
    }

    /// The last life of a service.
    pub(crate) fn last_life(&self, id: ServiceId) -> Option<&Life> {
        self.lives[id.index()].last()
    }

    /// Everything that comes after a service at this entry, and itself.
    pub(crate) fn all_after(&self, id: ServiceId, index: usize) -> BTreeSet<ServiceId> {
        closure(id, |id| self.dependents_at(id, index))
    }

    /// Everything that a service comes after at this entry, and itself.
    pub(crate) fn all_before(&self, id: ServiceId, index: usize) -> BTreeSet<ServiceId> {
        closure(id, |id| self.dependencies_at(id, index).to_vec())
    }

    /// Whether this step begins a life of the service, after this one.
    fn begins_life(&self, id: ServiceId, step: Step, before: Option<&Life>) -> bool {
        match step {
            _ if !self.is_service(id) => true,
            Step::PreStart => true,
            Step::Main => !before.is_some_and(Life::is_prepared),
            Step::PostStop => false,
        }
    }

    /// Whether it was configured, and is no pseudo-service.
    pub(crate) fn is_service(&self, id: ServiceId) -> bool {
        id.index() < self.settings.services.len()
    }

    /// Sorts what happened by lives.
    pub(crate) fn note_lives(&mut self) {
        let mut lives: Vec<Vec<Life>> = vec![Vec::new(); self.settings.services.len() + 2];
        // Since when.
        let mut unwanted: Vec<Option<usize>> = vec![None; lives.len()];
        let stop = self.stop().map_or(usize::MAX, |(index, _, _)| index);
        for (index, Entry { at, what, .. }) in self.entries.iter().enumerate() {
            let at = *at;
            match what {
                What::Command(Command::Start { service, step }, _) => {
                    let of = &mut lives[service.index()];
                    let is_new = of.last().is_none_or(|life| life.run(*step).is_some());
                    if is_new || self.begins_life(*service, *step, of.last()) {
                        if let Some(before) = of.last_mut() {
                            before.until = index;
                        }
                        of.push(Life::new(*service, of.len(), index));
                    }
                    if let Some(life) = of.last_mut() {
                        life.runs.push(Run::new(*step, index));
                    }
                }
                What::Command(Command::Measure { service }, _) => {
                    if let Some(life) = lives[service.index()].last_mut() {
                        life.stop_begun.get_or_insert((index, at));
                    }
                }
                What::Command(Command::Adopt { service }, _) => {
                    // It need not show any more that it is ready.
                    let settings = self.service_at(*service, index);
                    let is_free = settings.kind == Kind::Service && settings.ready.by == ReadyBy::Execution;
                    let life = lives[service.index()].last_mut();
                    if let (true, Some(life)) = (is_free, life.filter(|life| life.is_unready())) {
                        life.ready = Some((index, at));
                    }
                }
                What::Command(Command::Reconfigure { places }, _) => {
                    note_places(&mut lives, &mut unwanted, index, places);
                }
                What::Command(Command::Tell(notice), _) => note_notice(&mut lives, index, at, notice),
                What::Event(Event::Requested(request)) if index < stop => {
                    self.note_request(&mut lives, &mut unwanted, index, *request);
                }
                What::Event(event) => self.note_event(&mut lives, index, at, event, stop),
                What::Command(..) => {}
            }
        }
        for (of, since) in lives.iter_mut().zip(unwanted) {
            if let (Some(life), Some(since)) = (of.last_mut(), since) {
                life.unwanted.push((since, usize::MAX));
            }
        }
        self.lives = lives;
    }

    fn note_request(
        &self,
        lives: &mut [Vec<Life>],
        unwanted: &mut [Option<usize>],
        index: usize,
        request: Request,
    ) {
        match request {
            // What was removed hears nothing.
            Request::Stop(service) | Request::Start(service) | Request::Restart(service)
                if !self.epoch_at(index).has(service) => {}
            Request::Stop(service) => {
                for id in self.all_after(service, index) {
                    unwanted[id.index()].get_or_insert(index);
                }
            }
            Request::Start(service) | Request::Restart(service) => {
                for id in self.all_before(service, index) {
                    if let (Some(since), Some(life)) =
                        (unwanted[id.index()].take(), lives[id.index()].last_mut())
                    {
                        life.unwanted.push((since, index));
                    }
                }
                if let (Request::Restart(_), Some(life)) = (request, lives[service.index()].last_mut()) {
                    life.restart_wishes.push(index);
                }
            }
            Request::StopSystem { .. } | Request::Signal(..) | Request::Reload { .. } | Request::Reopen => {}
        }
    }

    fn note_event(&self, lives: &mut [Vec<Life>], index: usize, at: Timestamp, event: &Event, stop: usize) {
        let (Event::Forked { service, .. }
        | Event::Executed { service }
        | Event::StartFailed { service, .. }
        | Event::LeaderEnded { service, .. }
        | Event::LeaderMoved { service, .. }
        | Event::Probed { service, .. }
        | Event::Notified { service, .. }) = event
        else {
            return;
        };
        let Some(life) = lives[service.index()].last_mut() else { return };
        let Some(run) = life.runs.last_mut() else { return };
        let is_free = index < stop && run.step == Step::Main && run.ended.is_none() && life.ready.is_none();
        let settings = self.is_service(*service).then(|| self.service_at(*service, index));
        let by = settings.map(|settings| match settings.kind {
            Kind::Service => settings.ready.by,
            Kind::Task => ReadyBy::Execution,
        });
        let mut is_ready = false;
        match event {
            Event::Forked { pid, .. } => {
                run.forked = Some(at);
                run.process = Some(Kernel::index(*pid));
            }
            Event::Executed { .. } => {
                run.executed.get_or_insert(index);
                is_ready = by == Some(ReadyBy::Execution);
            }
            Event::StartFailed { failure, .. } => {
                run.failure.get_or_insert((index, *failure));
            }
            // Told twice, it has ended once.
            Event::LeaderEnded { end, .. } if run.forked.is_some() => {
                run.ended.get_or_insert((index, at, *end));
            }
            Event::LeaderMoved { pid, .. } => run.process = Some(Kernel::index(*pid)),
            Event::Probed { purpose, result, .. } => {
                is_ready = by == Some(ReadyBy::Probe)
                    && *purpose == curfew::supervisor::Purpose::Ready
                    && result.is_ok();
            }
            Event::Notified { message, .. } => {
                is_ready = matches!(by, Some(ReadyBy::Notify | ReadyBy::Descriptor))
                    && *message == ServiceMessage::Ready;
            }
            _ => {}
        }
        let is_stopped = life.stop_begun.is_some() || life.failing.is_some();
        if is_ready && is_free && !is_stopped {
            life.ready = Some((index, at));
        }
    }
}

/// What is not in the configuration any more is not wanted; what is there again is.
fn note_places(
    lives: &mut [Vec<Life>],
    unwanted: &mut [Option<usize>],
    index: usize,
    places: &[Option<usize>],
) {
    for (id, place) in places.iter().enumerate() {
        let Some(life) = lives[id].last_mut() else {
            // It was never started: should it come back, nothing is known of it.
            unwanted[id] = unwanted[id].filter(|_| place.is_some());
            continue;
        };
        match place {
            None => {
                unwanted[id].get_or_insert(index);
                life.removed.get_or_insert(index);
            }
            Some(_) => {
                if let Some(removed) = life.removed.take() {
                    life.removals.push((removed, index));
                    life.unwanted.extend(unwanted[id].take().map(|since| (since, index)));
                }
            }
        }
    }
}

fn note_notice(lives: &mut [Vec<Life>], index: usize, at: Timestamp, notice: &Notice) {
    match notice {
        Notice::ReloadApplied { changes, .. } => {
            let is_other = |change: Change| matches!(change, Change::Restarted | Change::StillStopped);
            for (service, _) in changes.iter().filter(|(_, change)| is_other(*change)) {
                if let Some(life) = lives[service.index()].last_mut() {
                    life.restart_wishes.push(index);
                }
            }
        }
        Notice::ServiceFailing { service, failure, .. } => {
            if let Some(life) = lives[service.index()].last_mut() {
                life.failing.get_or_insert((index, at, *failure));
            }
        }
        Notice::RestartPlanned { service, delay, .. } => {
            if let Some(life) = lives[service.index()].last_mut() {
                life.plans.push((index, at, Plan::Restart(*delay)));
            }
        }
        Notice::RestartLimit { service, .. } => {
            if let Some(life) = lives[service.index()].last_mut() {
                life.plans.push((index, at, Plan::Limit));
            }
        }
        Notice::ServiceEnded { service, end, .. } => {
            if let Some(life) = lives[service.index()].last_mut() {
                life.ends_told.push((index, at, *end));
            }
        }
        _ => {}
    }
}

impl Life {
    fn new(service: ServiceId, number: usize, began: usize) -> Self {
        Self {
            service,
            number,
            began,
            runs: Vec::new(),
            ready: None,
            failing: None,
            plans: Vec::new(),
            stop_begun: None,
            unwanted: Vec::new(),
            removed: None,
            removals: Vec::new(),
            restart_wishes: Vec::new(),
            ends_told: Vec::new(),
            until: usize::MAX,
        }
    }
}

impl Run {
    const fn new(step: Step, started: usize) -> Self {
        Self { step, started, forked: None, executed: None, failure: None, ended: None, process: None }
    }
}

fn closure(id: ServiceId, next: impl Fn(ServiceId) -> Vec<ServiceId>) -> BTreeSet<ServiceId> {
    let mut found = BTreeSet::from([id]);
    let mut left = vec![id];
    while let Some(id) = left.pop() {
        left.extend(next(id).into_iter().filter(|other| found.insert(*other)));
    }
    found
}
