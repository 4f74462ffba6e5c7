//! The configuration read anew while services run.

use curfew::supervisor::{Change, Command, Event, Notice, ServiceId, Signal, StopOrder, Timestamp};

use super::Complaint;
use super::facts::RESERVE_MAX;
use crate::history::{Entry, History, What};

/// How long reading may take.
const READING: std::time::Duration = std::time::Duration::from_secs(10);

/// Whatever is asked for comes to an end: it is refused, or complete, or a stop of the system comes first. Nothing of it
/// happens in a stop.
pub(super) fn has_an_end(history: &History) -> Complaint {
    let stop = history.stop().map(|(index, ..)| index);
    let mut reading: Option<Timestamp> = None;
    let mut unread: Option<Timestamp> = None;
    let mut applied: Option<usize> = None;
    for (index, Entry { at, what, .. }) in history.entries.iter().enumerate() {
        let in_stop = stop.is_some_and(|stop| index > stop);
        match what {
            What::Command(Command::ReadConfiguration, _) => {
                ensure!(!in_stop && reading.is_none(), "the configuration is read at {at}");
                ensure!(unread.is_some(), "the configuration is read at {at}, and nobody has asked for it");
                (reading, unread) = (Some(*at), None);
            }
            What::Command(Command::AbandonReading, _) => {
                let Some(since) = reading.take() else { return Err(format!("nothing is read at {at}")) };
                let is_due = *at >= since + READING && history.may_be_late(since + READING, *at);
                ensure!(is_due || stop.is_some_and(|stop| stop > index), "reading is given up at {at}");
            }
            What::Event(Event::ConfigurationRead(_)) => reading = None,
            What::Command(Command::Reconfigure { .. } | Command::Adopt { .. }, _) => {
                ensure!(!in_stop, "something is taken over at {at}, in a stop");
            }
            What::Command(Command::Tell(Notice::ReloadRequested { .. }), _) => unread = Some(*at),
            What::Command(Command::Tell(Notice::ReloadApplied { .. }), _) => applied = Some(index),
            What::Command(Command::Tell(Notice::ReloadComplete { .. }), _) => {
                ensure!(applied.is_some() && !in_stop, "a reload is said to be complete at {at}");
                is_complete(history, index, *at)?;
                applied = None;
            }
            _ => {}
        }
    }
    if stop.is_some() || !history.is_prompt() {
        return Ok(());
    }
    ensure!(unread.is_none(), "a reload was asked for at {unread:?}, but nothing is read");
    ensure!(
        reading.is_none_or(|since| history.may_be_late(since + READING, history.over)),
        "the configuration is read since {reading:?}"
    );
    let is_open =
        history.notices().any(|(_, _, notice)| matches!(notice, Notice::StageSent { wait: None, .. }));
    let is_busy = history.ids().filter_map(|id| history.last_life(id)).any(|life| {
        let runs = life.end().is_none() && life.start_failure().is_none();
        runs && (history.is_task(life.service, life.began) || life.ready.is_none())
    });
    ensure!(
        applied.is_none() || history.is_cut || is_open || is_busy,
        "a reload that was applied is never complete"
    );
    Ok(())
}

/// What was removed is gone or given up, and nothing that runs is to be another.
fn is_complete(history: &History, index: usize, at: Timestamp) -> Complaint {
    let epoch = history.epoch_at(index);
    for id in history.ids() {
        let Some(life) = history.life_at(id, index) else { continue };
        let given_up = history.lingers(life);
        let is_gone = history.gone_at(life).is_some_and(|gone| gone <= at);
        let is_old = match epoch.wanted.get(id.index()) {
            Some(Some(wanted)) => wanted.is_other_process(history.adopted_at(id, index)),
            Some(None) => true,
            None => continue,
        };
        ensure!(
            !is_old || is_gone || given_up,
            "a reload is said to be complete at {at}, but {} is not gone",
            history.name(id)
        );
    }
    Ok(())
}

/// What a reload leaves as it is, or only looks after in another way, is not told to end by it.
pub(super) fn kept_is_left_alone(history: &History) -> Complaint {
    let stop = history.stop().map_or(usize::MAX, |(index, ..)| index);
    for (told, _, notice) in history.notices() {
        let Notice::ReloadApplied { changes, .. } = notice else { continue };
        for index in history.handling(told).filter(|index| (told..stop).contains(index)) {
            let What::Command(Command::Signal { service, signal, .. }, _) = &history.entries[index].what
            else {
                continue;
            };
            let change = changes.iter().find(|(of, _)| of == service).map(|(_, change)| *change);
            let goes_on = matches!(change, None | Some(Change::Adjusted));
            let is_unwanted = history.life_at(*service, index).is_some_and(|life| life.is_unwanted_at(index));
            let wished = history.service_at(*service, index).reload_signal == Some(*signal);
            ensure!(
                !goes_on || is_unwanted || wished || *signal == Signal::CONT,
                "{} gets {signal} for a reload that leaves it alone",
                history.name(*service)
            );
        }
    }
    Ok(())
}

/// Every life begins as the configuration read last says; what that does not know is not started.
pub(super) fn started_as_read_last(history: &History) -> Complaint {
    for life in history.ids().flat_map(|id| history.lives(id)) {
        let (name, epoch) = (history.name(life.service), history.epoch_at(life.began));
        let Some(Some(wanted)) = epoch.wanted.get(life.service.index()) else {
            return Err(format!("{name} is started, but is not in the configuration"));
        };
        let is = history.adopted_at(life.service, life.began);
        ensure!(
            (is.version, &is.settings) == (wanted.version, &wanted.settings),
            "{name} is started as version {}, and not as version {}",
            is.version,
            wanted.version
        );
    }
    Ok(())
}

/// A process goes on under what it was started with: another is adopted when nothing is left of it.
pub(super) fn adopted_when_gone(history: &History) -> Complaint {
    let is_blind = history.notices().any(|(_, _, notice)| *notice == Notice::StraysHidden);
    for id in history.ids() {
        for (old, new) in history.adopted[id.index()].iter().zip(history.adopted[id.index()].iter().skip(1)) {
            let at = history.entries[new.from].at;
            let Some(life) = history.life_at(id, new.from) else { continue };
            let is_gone = is_blind || history.gone_at(life).is_some_and(|gone| gone <= at);
            let is_stopping = life.stop_begun.is_some_and(|(begun, _)| begun < new.from);
            ensure!(
                is_gone || !new.is_other_process(old) && !is_stopping,
                "{} is another at {at}, though it is not gone",
                history.name(id)
            );
        }
    }
    Ok(())
}

/// What is removed is told to end when nothing is left of what came after it and is removed, too, or is started anew.
pub(super) fn removed_in_order(history: &History) -> Complaint {
    let stop = history.stop().map_or(usize::MAX, |(index, ..)| index);
    let reserve = RESERVE_MAX;
    for (before, epoch) in history.epochs.iter().zip(history.epochs.iter().skip(1)) {
        let next = history.epochs.iter().find(|other| other.from > epoch.from).map_or(stop, |next| next.from);
        let removed: Vec<ServiceId> = history.ids().filter(|id| before.has(*id) && !epoch.has(*id)).collect();
        let all: Vec<Vec<ServiceId>> = history
            .ids()
            .map(|id| {
                // What an earlier reload removed may still be stopped in the order of before that.
                let earlier = history.epochs.iter().take_while(|earlier| earlier.from < epoch.from);
                let old = earlier.flat_map(|earlier| earlier.dependencies(id));
                let old = old.filter(|of| removed.contains(&id) || removed.contains(of));
                epoch.dependencies(id).iter().chain(old).copied().collect()
            })
            .collect();
        if StopOrder::new(&all).is_err() {
            continue;
        }
        for id in &removed {
            let Some(life) = history.life_at(*id, next) else { continue };
            let Some((begun, at)) =
                life.stop_begun.filter(|(begun, _)| (epoch.from..next.min(stop)).contains(begun))
            else {
                continue;
            };
            if life.failing.is_some_and(|(failing, ..)| failing < begun) {
                continue;
            }
            for dependent in before.dependents(*id) {
                let Some(old) = history.life_at(dependent, epoch.from) else { continue };
                let wanted = epoch.wanted[dependent.index()].as_ref();
                let goes_on = wanted.is_some_and(|wanted| {
                    !wanted.is_other_process(history.adopted_at(dependent, epoch.from))
                });
                let is_gone = history.gone_at(old).is_some_and(|gone| gone <= at);
                let given_up = history.notices().any(|(told, lingers, notice)| {
                    told < begun
                        && matches!(notice, Notice::ServiceLingers { service, waited }
                            if *service == dependent && at.since(lingers.before(*waited)) >= reserve)
                });
                ensure!(
                    goes_on || is_gone || given_up,
                    "{} is removed, and stopped at {at}, before {} is down",
                    history.name(*id),
                    history.name(dependent)
                );
            }
        }
    }
    Ok(())
}
