//! Why and when the stop begins.

use std::collections::BTreeMap;

use curfew::supervisor::{
    Cause, Command, End, Event, Failure, Kind, Mode, Notice, Request, ServiceId, Step, Timestamp,
};

use super::Complaint;
use super::facts::{DAEMONISES_WITHIN, HELD_DEATH};
use crate::history::{History, What};
use crate::life::Life;

/// What the end of a service meant, or what made it fail while it ran: all of them before the stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judgement {
    pub(super) index: usize,
    pub(super) service: ServiceId,
    /// In which life.
    pub(super) life: usize,
    pub(super) what: Judged,
}

/// What a service came to, unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Failed(Failure),
    /// A service ended with success.
    Ended(End),
    /// A task did its work.
    Done(End),
}

/// What became of every service that nobody had asked to end.
pub(super) fn judgements(history: &History) -> Vec<Judgement> {
    let stop = history.stop().map_or(usize::MAX, |(index, _, _)| index);
    let mut judgements = Vec::new();
    let mut held: BTreeMap<(Timestamp, ServiceId), (usize, &Life, End)> = BTreeMap::new();
    let mut early: BTreeMap<ServiceId, (usize, &Life, End)> = BTreeMap::new();
    for (index, entry) in history.entries.iter().enumerate().take_while(|(index, _)| *index < stop) {
        let at = entry.at;
        let mut judge = |life: &Life, what| {
            judgements.push(Judgement { index, service: life.service, life: life.number, what });
        };
        // Somebody has asked for its end, or for another life, meanwhile.
        let is_explained = |life: &Life, since: usize| {
            let wishes = life.unwanted.iter().map(|(from, _)| from).chain(&life.restart_wishes);
            life.is_asked_before(index) || wishes.into_iter().any(|wish| (since..index).contains(wish))
        };
        match &entry.what {
            What::Command(Command::Tell(Notice::ServiceFailing { service, failure, .. }), _) => {
                if let Some(life) = history.life_at(*service, index) {
                    judge(life, Judged::Failed(*failure));
                }
            }
            What::Event(Event::StartFailed { service, failure }) => {
                let Some(life) = history.life_at(*service, index) else { continue };
                let is_work = life
                    .runs
                    .iter()
                    .rfind(|run| run.started < index)
                    .is_some_and(|run| run.step != Step::PostStop && run.forked.is_none());
                if is_work && history.is_service(*service) {
                    judge(life, Judged::Failed(Failure::Start(*failure)));
                }
            }
            What::Event(Event::LeaderEnded { service, end }) if history.is_service(*service) => {
                let Some(life) = history.life_at(*service, index) else { continue };
                let ended = |ended: Option<(usize, _, _)>| ended.is_some_and(|(at, _, _)| at == index);
                let Some(run) = life.runs.iter().find(|run| ended(run.ended)) else { continue };
                if run.step == Step::PostStop || life.is_asked_before(index) {
                    continue;
                }
                if let Some((_, failure)) = run.failure {
                    judge(life, Judged::Failed(Failure::Start(failure)));
                } else if run.step == Step::PreStart {
                    if *end != End::Exited(0) {
                        judge(life, Judged::Failed(Failure::PreStart(*end)));
                    }
                } else if history.is_success(*service, index, *end) {
                    let is_early = run.forked.is_some_and(|forked| at < forked + DAEMONISES_WITHIN);
                    match history.service_at(*service, index).kind {
                        Kind::Task => judge(life, Judged::Done(*end)),
                        Kind::Service if is_early => drop(early.insert(*service, (index, life, *end))),
                        Kind::Service => judge(life, Judged::Ended(*end)),
                    }
                } else if history.is_stop_death(*service, index, *end) {
                    held.insert((at, *service), (index, life, *end));
                } else {
                    judge(life, Judged::Failed(Failure::Ended(*end)));
                }
            }
            // What it left behind shows what it meant.
            What::Event(Event::Census { strays, .. }) => {
                for (service, (since, life, end)) in std::mem::take(&mut early) {
                    let left = strays.iter().any(|stray| stray.service == Some(service));
                    if is_explained(life, since) {
                        continue;
                    }
                    judge(
                        life,
                        match history.settings.mode {
                            Mode::ManyServices if left => Judged::Failed(Failure::Daemonised),
                            Mode::ManyServices | Mode::OneCommand => Judged::Ended(end),
                        },
                    );
                }
            }
            What::Event(Event::TimePassed) => {
                let due: Vec<_> =
                    held.keys().filter(|(since, _)| at >= *since + HELD_DEATH).copied().collect();
                for key in due {
                    let Some((since, life, end)) = held.remove(&key) else { continue };
                    if !is_explained(life, since) {
                        judge(life, Judged::Failed(Failure::Ended(end)));
                    }
                }
            }
            What::Event(_) | What::Command(..) => {}
        }
    }
    // A stop that nobody asked for comes too late to explain whose hold was over.
    if let Some((index, at, Cause::ServiceFailed { .. } | Cause::ServiceEnded { .. })) = history.stop() {
        for ((_, service), (_, life, end)) in
            held.into_iter().filter(|((since, _), _)| at >= *since + HELD_DEATH)
        {
            if !life.is_asked_before(index) {
                let what = Judged::Failed(Failure::Ended(end));
                judgements.push(Judgement { index, service, life: life.number, what });
            }
        }
    }
    judgements
}

impl Judgement {
    /// The cause that it is, if it has consequences.
    fn cause(&self, history: &History) -> Option<Cause> {
        let settings = history.service_at(self.service, self.index);
        let life = &history.lives(self.service)[self.life];
        let service = self.service;
        let is_one = history.settings.mode == Mode::OneCommand;
        match self.what {
            // One command is the whole system, task or not.
            Judged::Done(end) if is_one => Some(Cause::ServiceEnded { service, end }),
            Judged::Done(_) => None,
            // Its end is what somebody asked for, though it came otherwise.
            _ if life.is_unwanted_at(self.index) => None,
            // What could not be started again though it was to be.
            Judged::Failed(failure @ Failure::NotGone) if settings.essential => {
                Some(Cause::ServiceFailed { service, failure })
            }
            _ if life.is_planned() || !settings.essential => None,
            Judged::Failed(failure) => Some(Cause::ServiceFailed { service, failure }),
            Judged::Ended(_) if life.is_exhausted() => {
                Some(Cause::ServiceFailed { service, failure: Failure::RestartLimit })
            }
            Judged::Ended(end) => Some(Cause::ServiceEnded { service, end }),
        }
    }
}

/// The first thing that must stop the system. `NothingLeft` is not among them.
pub(super) fn first_cause_seen(history: &History) -> Option<(usize, Cause)> {
    let asked = history.events().find_map(|(index, _, event)| match event {
        Event::SignalReceived { signal, sender } if history.asks_for_a_stop(*signal, *sender) => {
            Some((index, Cause::Signal { signal: *signal, sender: *sender }))
        }
        Event::Requested(Request::StopSystem { sender }) => Some((index, Cause::Request { sender: *sender })),
        _ => None,
    });
    let judgements = judgements(history);
    let causes: Vec<(usize, Cause)> = judgements
        .iter()
        .filter_map(|judgement| Some((judgement.index, judgement.cause(history)?)))
        .collect();
    let first = causes.first().copied();
    // Of what became due in one wake-up, the earliest timer was looked at first; which it was is not looked into here.
    let told = history.stop().map(|(_, _, cause)| cause);
    let first = first.map(|(index, cause)| {
        let handling = history.handling(index);
        let same = |(other, of): &&(usize, Cause)| handling.contains(other) && Some(*of) == told;
        causes.iter().find(same).copied().unwrap_or((index, cause))
    });
    [asked, first].into_iter().flatten().min_by_key(|(index, _)| *index)
}

pub(super) fn first_cause(history: &History) -> Complaint {
    match (first_cause_seen(history), history.stop()) {
        (None, None) => Ok(()),
        (Some((index, cause)), Some((told, at, of))) => {
            if of == Cause::NothingLeft {
                ensure!(told < index, "nothing was left to run, but {cause:?} had come first");
                return nothing_was_left(history, told);
            }
            ensure!(cause == of, "stopped because of {of:?}, but first came {cause:?}");
            let since = history.entries[index].at;
            ensure!(at == since, "{cause:?} came at {since}, but the stop began at {at}");
            Ok(())
        }
        (None, Some((told, _, Cause::NothingLeft))) => nothing_was_left(history, told),
        (None, Some((_, _, cause))) => Err(format!("stopped without a reason: {cause:?}")),
        (Some((_, cause)), None) => Err(format!("did not stop, in spite of {cause:?}")),
    }
}

fn nothing_was_left(history: &History, stop: usize) -> Complaint {
    for id in history.ids() {
        let life = history.last_life(id);
        ensure!(
            life.is_none() && !history.epoch_at(stop).has(id)
                || life.is_some_and(|life| life.is_over_before(stop) || history.lingers(life)),
            "nothing was said to be left, but there was {}",
            history.name(id)
        );
        ensure!(
            life.is_none_or(|life| !life.is_planned() || life.removed.is_some() || history.lingers(life)),
            "nothing was said to be left, but {} was to be started again",
            history.name(id)
        );
        ensure!(
            life.is_none_or(|life| !life.is_unwanted_at(stop) || life.removed.is_some()),
            "nothing was said to be left, but somebody may start {} again",
            history.name(id)
        );
    }
    Ok(())
}
