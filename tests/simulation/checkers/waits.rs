//! What must be done, or said, by a certain time.

use std::time::Duration;

use curfew::supervisor::{
    Command, Event, Failure, Kind, Notice, ReadyBy, ServiceMessage, ServiceSettings, Step, Timestamp,
    defaults,
};

use super::Complaint;
use crate::history::{History, What};
use crate::life::{Life, Run};

/// Whoever must be ready or done by a certain time is, or has failed then; and nobody fails so otherwise.
pub(super) fn ready_or_done_in_time(history: &History) -> Complaint {
    for life in history.ids().flat_map(|id| history.lives(id)) {
        ready_is_told(history, life)?;
        let name = history.name(life.service);
        let settings = history.service_at(life.service, life.began);
        let times = |of: &ServiceSettings| (of.ready, of.task_timeout, of.hooks.pre_start);
        let mut adopted = history.adopted[life.service.index()].iter();
        if adopted
            .any(|of| of.from > life.began && of.from < life.until && times(&of.settings) != times(settings))
        {
            continue;
        }
        let mut explained = false;
        for run in &life.runs {
            let (time, failure) = match (run.step, settings.kind) {
                (Step::PreStart, _) => (settings.hooks.pre_start, Failure::TimedOut),
                (Step::Main, Kind::Task) => (settings.task_timeout, Failure::TimedOut),
                (Step::Main, Kind::Service) if settings.ready.by == ReadyBy::Execution => continue,
                (Step::Main, Kind::Service) => (Some(settings.ready.timeout), Failure::NotReady),
                (Step::PostStop, _) => continue,
            };
            let (Some(time), Some(forked)) = (time, run.forked) else { continue };
            let due = due(history, life, run, forked + time);
            // Nothing can make it ready any more; but its end, if that is what closed the descriptor, has time to be seen.
            let closed = (settings.ready.by == ReadyBy::Descriptor && failure == Failure::NotReady)
                .then(|| closed_at(history, life, run))
                .flatten();
            let due = closed.map_or(due, |closed| due.min(closed + defaults::HELD_DEATH));
            let failed = life.failing.filter(|(index, _, what)| {
                *what == failure && *index > run.started && run.ended.is_none_or(|(ended, ..)| ended > *index)
            });
            match failed {
                Some((index, at, _)) => {
                    explained = true;
                    ensure!(
                        at >= due && history.may_be_late(due, at),
                        "{name} has failed at {at}, not at {due}"
                    );
                    ensure!(
                        failure == Failure::TimedOut || life.ready.is_none_or(|(ready, _)| ready > index),
                        "{name} is said not to be ready, but is"
                    );
                }
                None => ensure!(
                    is_free_of(history, life, run, due),
                    "{name} {} was to be ready or done by {due}",
                    run.step
                ),
            }
        }
        let told =
            life.failing.is_some_and(|(_, _, what)| matches!(what, Failure::NotReady | Failure::TimedOut));
        ensure!(told == explained, "{name} is said to be late, but need not be ready or done");
    }
    Ok(())
}

/// When it closed the descriptor on which it was to say that it is ready.
fn closed_at(history: &History, life: &Life, run: &Run) -> Option<Timestamp> {
    let until = run.ended.map_or(life.until, |(ended, ..)| ended).min(history.entries.len());
    history.entries[run.started..until].iter().find_map(|entry| match &entry.what {
        What::Event(Event::Notified { service, message: ServiceMessage::NeverReady })
            if *service == life.service =>
        {
            Some(entry.at)
        }
        _ => None,
    })
}

/// When it must be ready or done: it may have asked for more time.
fn due(history: &History, life: &Life, run: &Run, due: Timestamp) -> Timestamp {
    let until = run.ended.map_or(life.until, |(ended, ..)| ended);
    let asked = life.stop_begun.map_or(usize::MAX, |(begun, _)| begun);
    let extended = history.notices().filter_map(|(index, at, notice)| match notice {
        Notice::WaitExtended { service, granted, .. }
            if *service == life.service && (run.started..until.min(asked)).contains(&index) =>
        {
            Some(at + *granted)
        }
        _ => None,
    });
    extended.fold(due, Timestamp::max)
}

/// Whether it was ready, had ended or was asked to end by then, or then is still to come.
fn is_free_of(history: &History, life: &Life, run: &Run, due: Timestamp) -> bool {
    let by_then = |at: Timestamp| history.may_be_late(due, at);
    let at = |index: usize| history.entries[index].at;
    let is_task = history.is_task(life.service, life.began);
    run.ended.is_some_and(|(_, ended, _)| by_then(ended))
        || run.failure.is_some_and(|(failed, _)| by_then(at(failed)))
        || run.step == Step::Main && !is_task && life.ready.is_some_and(|(_, ready)| by_then(ready))
        || life.failing.is_some_and(|(_, failed, _)| by_then(failed))
        || life.stop_begun.is_some_and(|(_, begun)| by_then(begun))
        || history.stop().is_some_and(|(_, stop, _)| by_then(stop))
        || history.is_awaited(due)
}

/// That a service is ready is told when it is, and once.
fn ready_is_told(history: &History, life: &Life) -> Complaint {
    let told: Vec<usize> = history
        .notices()
        .filter(|(index, _, notice)| {
            (life.began..life.until).contains(index)
                && matches!(notice, Notice::ServiceReady { service, .. } if *service == life.service)
        })
        .map(|(index, ..)| index)
        .collect();
    let name = history.name(life.service);
    match (life.ready, &*told) {
        (None, []) => Ok(()),
        (Some((ready, at)), [told]) => {
            ensure!(
                history.handling(ready).contains(told),
                "{name} is ready at {at}, but it is told at another time"
            );
            Ok(())
        }
        (ready, _) => Err(format!("{name} was ready at {ready:?}, which is told {} times", told.len())),
    }
}

/// Who is late for its watchdog has failed then, and nobody else.
pub(super) fn watchdogs_are_heard(history: &History) -> Complaint {
    for life in history.ids().flat_map(|id| history.lives(id)) {
        let Some(time) = history.service_at(life.service, life.began).watchdog else {
            let bitten = life.failing.is_some_and(|(_, _, failure)| failure == Failure::Watchdog);
            ensure!(!bitten, "{} has no watchdog", history.name(life.service));
            continue;
        };
        watched(history, life, time)?;
    }
    Ok(())
}

fn watched(history: &History, life: &Life, time: Duration) -> Complaint {
    let name = history.name(life.service);
    let end = life.end().map_or(life.until, |(index, ..)| index);
    let until = [
        Some(end),
        life.stop_begun.map(|(begun, _)| begun),
        life.failing.map(|(failing, ..)| failing),
        history.stop().map(|(stop, ..)| stop),
    ];
    let until = until.into_iter().flatten().min().unwrap_or(usize::MAX).min(history.entries.len());
    let bitten = life.failing.filter(|(_, _, failure)| *failure == Failure::Watchdog);
    let mut limit = Some(time);
    let mut sign = None;
    let mut barks = false;
    for (index, entry) in history.entries.iter().enumerate().take(until).skip(life.began) {
        if life.ready.is_some_and(|(ready, _)| ready == index) {
            sign = Some(entry.at);
        }
        let What::Event(event) = &entry.what else { continue };
        if entry.is_answer {
            continue;
        }
        ensure!(!barks, "{name} was late for its watchdog, and nothing came of it");
        let is_ready = life.ready.is_some_and(|(ready, _)| ready <= index);
        match event {
            Event::Notified { service, message }
                if *service == life.service && life.run(Step::Main).is_some() =>
            {
                match message {
                    ServiceMessage::Alive if is_ready => sign = Some(entry.at),
                    ServiceMessage::WatchdogEvery(every) => {
                        limit = *every;
                        sign = sign.map(|_| entry.at);
                    }
                    ServiceMessage::Trouble if is_ready && limit.is_some() => barks = true,
                    _ => {}
                }
            }
            Event::TimePassed => {
                barks = sign.zip(limit).is_some_and(|(sign, limit)| entry.at >= sign + limit);
            }
            _ => {}
        }
        if barks {
            let is_bitten = bitten.is_some_and(|(told, ..)| history.handling(index).contains(&told));
            // Another timer of it, or a stop, may have come first.
            let is_over = history.handling(index).contains(&until);
            ensure!(is_bitten || is_over, "{name} was late for its watchdog at {}", entry.at);
            barks = false;
            if is_bitten {
                return Ok(());
            }
        }
    }
    let runs = life.end().is_none() && life.stop_begun.is_none();
    if let (true, Some(due)) = (runs, sign.zip(limit).map(|(sign, limit)| sign + limit)) {
        ensure!(history.is_awaited(due), "nobody waits for {name} to be late for its watchdog");
    }
    ensure!(bitten.is_none(), "{name} is said to be late for its watchdog, but is not");
    Ok(())
}

/// A wait is made longer only for who asks for it, and not by more.
pub(super) fn extended_as_asked(history: &History) -> Complaint {
    for (index, at, notice) in history.notices() {
        let Notice::WaitExtended { service, asked, granted } = notice else { continue };
        let name = history.name(*service);
        let event = history.entries[..index].iter().rev().find_map(|entry| match &entry.what {
            What::Event(event) => Some(event),
            What::Command(..) => None,
        });
        let says = Event::Notified { service: *service, message: ServiceMessage::Extend(*asked) };
        ensure!(event == Some(&says), "{name} is given more time at {at}, and has not asked for it");
        ensure!(granted <= asked, "{name} asked for {asked:?} and is given {granted:?}");
        let killed =
            history.commands().take_while(|(other, ..)| *other < index).any(|(other, _, command)| {
                history.life_at(*service, index).is_some_and(|life| other > life.began)
                    && matches!(command, Command::Tell(Notice::StageSent { service: of, signal, .. })
                    if of == service && *signal == curfew::supervisor::Signal::KILL)
            });
        ensure!(!killed, "{name} is given more time after KILL");
    }
    Ok(())
}
