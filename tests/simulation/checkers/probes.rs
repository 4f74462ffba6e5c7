//! When probes are made, and what comes of them.

use std::collections::BTreeSet;
use std::time::Duration;

use curfew::supervisor::{Command, Event, Failure, Kind, Notice, Purpose, ReadyBy, ServiceId, Timestamp};

use super::Complaint;
use crate::history::{History, What};
use crate::life::Life;

/// How long a probe of readiness may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// What goes on with the probes of one service.
#[derive(Clone, Debug, Default)]
struct Probing {
    /// Which life it is in.
    life: usize,
    under_way: Option<(Timestamp, Purpose)>,
    /// When the last one ended, and what it was for.
    last: Option<(Timestamp, Purpose)>,
}

pub(super) fn one_at_a_time_where_they_belong(history: &History) -> Complaint {
    let stop = history.stop().map_or(usize::MAX, |(index, ..)| index);
    let mut probing: Vec<Probing> = vec![Probing::default(); history.settings.services.len()];
    let mut overdue: BTreeSet<ServiceId> = BTreeSet::new();
    for (index, entry) in history.entries.iter().enumerate() {
        let at = entry.at;
        match &entry.what {
            What::Event(event) => {
                if !entry.is_answer {
                    for id in std::mem::take(&mut overdue) {
                        ensure!(
                            probing[id.index()].under_way.is_none(),
                            "a probe of {} is waited for too long",
                            history.name(id)
                        );
                    }
                    let left = probing.iter().position(|of| of.under_way.is_some() && index > stop);
                    ensure!(left.is_none(), "a probe of service {left:?} is under way in a stop");
                }
                match event {
                    Event::TimePassed => {
                        for id in history.ids() {
                            let began = probing[id.index()].under_way;
                            if began
                                .is_some_and(|(since, purpose)| at >= since + history.probe_time(id, purpose))
                            {
                                overdue.insert(id);
                            }
                        }
                    }
                    Event::Probed { service, purpose, .. } => {
                        let of = &mut probing[service.index()];
                        // Told twice, it was heard once.
                        if of.under_way.is_some_and(|(_, under_way)| under_way == *purpose) {
                            of.under_way = None;
                            of.last = Some((at, *purpose));
                        }
                    }
                    _ => {}
                }
            }
            What::Command(Command::Probe { service, purpose }, _) => {
                let of = &mut probing[service.index()];
                let name = history.name(*service);
                ensure!(of.under_way.is_none(), "two probes of {name} at once, at {at}");
                let Some(life) = history.life_at(*service, index) else {
                    return Err(format!("{name} is probed, but was never started"));
                };
                if of.life != life.number {
                    (of.life, of.last) = (life.number, None);
                }
                belongs(history, life, *purpose, index, at, of.last)?;
                of.under_way = Some((at, *purpose));
            }
            What::Command(Command::AbandonProbe { service }, _) => {
                let of = &mut probing[service.index()];
                let under_way = of.under_way.take();
                ensure!(under_way.is_some(), "no probe of {} is there to abandon", history.name(*service));
                of.last = under_way.map(|(_, purpose)| (at, purpose));
            }
            What::Command(
                Command::Tell(
                    Notice::ServiceEnded { service, .. }
                    | Notice::PreStopBegun { service, .. }
                    | Notice::DrainBegun { service, .. }
                    | Notice::StageSent { service, .. },
                ),
                _,
            ) if history.is_service(*service) => {
                let of = &probing[service.index()];
                ensure!(
                    of.under_way.is_none(),
                    "a probe of {} is under way in its stop",
                    history.name(*service)
                );
            }
            What::Command(..) => {}
        }
    }
    for id in history.ids() {
        goes_on(history, id, &probing[id.index()])?;
    }
    Ok(())
}

fn belongs(
    history: &History,
    life: &Life,
    purpose: Purpose,
    index: usize,
    at: Timestamp,
    last: Option<(Timestamp, Purpose)>,
) -> Complaint {
    let name = history.name(life.service);
    let settings = &history.settings.services[life.service.index()];
    let executed = life.executed().filter(|executed| *executed < index);
    ensure!(
        executed.is_some() && life.end().is_none_or(|(end, ..)| end > index),
        "{name} is probed at {at}, but does not run"
    );
    ensure!(life.failing.is_none_or(|(failing, ..)| failing >= index), "{name} is probed, but has failed");
    ensure!(life.stop_begun.is_none_or(|(begun, _)| begun >= index), "{name} is probed in its stop");
    ensure!(history.stop().is_none_or(|(stop, ..)| index < stop), "{name} is probed in a stop");
    let ready = life.ready.filter(|(ready, _)| *ready < index);
    let last = last.filter(|(_, of)| *of == purpose).map(|(at, _)| at);
    let due = match (purpose, settings.health) {
        (Purpose::Ready, _) => {
            ensure!(
                settings.ready.by == ReadyBy::Probe && ready.is_none(),
                "{name} is asked whether it is ready"
            );
            let executed = executed.map(|executed| history.entries[executed].at);
            last.map_or(executed.unwrap_or_default(), |last| last + settings.ready.every)
        }
        (Purpose::Health, Some(health)) => {
            let Some((_, ready)) = ready else {
                return Err(format!("{name} is asked whether it is well, but is not ready"));
            };
            last.unwrap_or(ready) + health.every
        }
        (Purpose::Health, None) => return Err(format!("{name} is asked whether it is well")),
    };
    ensure!(at >= due && history.may_be_late(due, at), "{name} is probed at {at}, and not at {due}");
    Ok(())
}

/// Nobody who should be probed is forgotten.
fn goes_on(history: &History, id: ServiceId, of: &Probing) -> Complaint {
    let Some(life) = history.last_life(id) else { return Ok(()) };
    let settings = &history.settings.services[id.index()];
    let is_asked =
        life.is_asked_before(usize::MAX) && !life.unwanted.iter().any(|(_, until)| *until == usize::MAX);
    if is_asked
        || life.stop_begun.is_some()
        || life.end().is_some()
        || history.stop().is_some()
        || of.under_way.is_some()
    {
        return Ok(());
    }
    let last = of.last.filter(|_| of.life == life.number);
    let due = match (life.ready, settings.health) {
        (Some((_, ready)), Some(health)) => {
            let last = last.filter(|(_, purpose)| *purpose == Purpose::Health).map(|(at, _)| at);
            last.unwrap_or(ready) + health.every
        }
        (None, _) if settings.ready.by == ReadyBy::Probe && settings.kind == Kind::Service => {
            let Some(executed) = life.executed() else { return Ok(()) };
            last.map_or(history.entries[executed].at, |(at, _)| at + settings.ready.every)
        }
        _ => return Ok(()),
    };
    ensure!(history.is_awaited(due), "{} is not probed any more", settings.name);
    Ok(())
}

/// Unhealthy is who failed so many probes in a row as are too many, and nobody else.
pub(super) fn unhealthy_after_so_many(history: &History) -> Complaint {
    let mut failures = vec![0; history.settings.services.len()];
    for (index, at, notice) in history.notices() {
        match notice {
            Notice::ServiceReady { service, .. } => failures[service.index()] = 0,
            Notice::ProbeRecovered { service, failures: told } => {
                let failed = std::mem::take(&mut failures[service.index()]);
                ensure!(
                    *told == failed,
                    "{} recovers from {told} failures, not {failed}",
                    history.name(*service)
                );
            }
            Notice::ProbeFailed { service, purpose: Purpose::Health, .. } => {
                let settings = &history.settings.services[service.index()];
                let (Some(life), Some(health)) = (history.life_at(*service, index), settings.health) else {
                    return Err(format!("{} has no health to fail", settings.name));
                };
                let is_young = life.ready.is_some_and(|(_, ready)| at < ready + health.start_period);
                let failed = &mut failures[service.index()];
                *failed = if is_young { 0 } else { *failed + 1 };
                let failing = life.failing.filter(|(told, _, failure)| {
                    *told > index && *failure == Failure::Unhealthy && history.handling(index).contains(told)
                });
                ensure!(
                    failing.is_some() == (*failed >= health.failures.max(1)),
                    "{} failed {failed} of {} probes at {at}, and is found unhealthy: {}",
                    settings.name,
                    health.failures,
                    failing.is_some()
                );
            }
            Notice::ServiceFailing { service, failure: Failure::Unhealthy, .. } => {
                let health = history.settings.services[service.index()].health;
                ensure!(
                    health.is_some_and(|health| failures[service.index()] >= health.failures),
                    "{} is found unhealthy at {at}",
                    history.name(*service)
                );
            }
            _ => {}
        }
    }
    answers_are_heard(history)
}

/// Each answer that was waited for counts.
fn answers_are_heard(history: &History) -> Complaint {
    let mut under_way = vec![None; history.settings.services.len()];
    for (index, entry) in history.entries.iter().enumerate() {
        match &entry.what {
            What::Command(Command::Probe { service, purpose }, _) => {
                under_way[service.index()] = Some(*purpose);
            }
            What::Command(Command::AbandonProbe { service }, _) => under_way[service.index()] = None,
            What::Event(Event::Probed { service, purpose: Purpose::Health, result }) => {
                if under_way[service.index()].take() != Some(Purpose::Health) {
                    continue;
                }
                let handling = history.handling(index);
                let told = |fits: &dyn Fn(&Notice) -> bool| {
                    history.notices().any(|(told, _, notice)| handling.contains(&told) && fits(notice))
                };
                let failed = told(
                    &|notice| matches!(notice, Notice::ProbeFailed { service: of, .. } if of == service),
                );
                ensure!(
                    failed == result.is_err(),
                    "the answer {result:?} of {} at {} is not heard",
                    history.name(*service),
                    entry.at
                );
            }
            What::Event(Event::Probed { service, .. }) => under_way[service.index()] = None,
            What::Event(_) | What::Command(..) => {}
        }
    }
    Ok(())
}

impl History {
    /// How long a probe may take.
    fn probe_time(&self, id: ServiceId, purpose: Purpose) -> Duration {
        match (purpose, self.settings.services[id.index()].health) {
            (Purpose::Health, Some(health)) => health.timeout,
            (Purpose::Ready, _) | (Purpose::Health, None) => PROBE_TIMEOUT,
        }
    }
}
