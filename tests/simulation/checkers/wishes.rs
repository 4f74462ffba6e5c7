//! What somebody asks for by way of the control socket.

use std::collections::BTreeMap;

use curfew::supervisor::{
    Command, Event, Notice, Recipients, RefusedBecause, Request, ServiceId, Signal, Timestamp,
};

use super::Complaint;
use super::facts::RESERVE_MAX;
use crate::history::{History, What};
use crate::life::Life;

/// Before a stop of the system nobody is told to end without a reason; what nobody wants any more ends after what comes
/// after it, and in the end it is gone.
pub(super) fn stopped_as_asked(history: &History) -> Complaint {
    let stop = history.stop().map_or(usize::MAX, |(index, ..)| index);
    let mut killed: BTreeMap<ServiceId, Timestamp> = BTreeMap::new();
    for (index, at, notice) in history.notices().take_while(|(index, ..)| *index < stop) {
        if let Notice::StageSent { service, signal: Signal::KILL, .. } = notice {
            killed.insert(*service, at);
        }
        // Only commands were left of it, which are killed unsaid.
        if let Notice::ServiceLingers { service, waited } = notice {
            killed.entry(*service).or_insert_with(|| at.before(*waited));
        }
        let begins = match notice {
            Notice::PreStopBegun { service, .. }
            | Notice::DrainBegun { service, .. }
            | Notice::StageRun { service, .. }
            | Notice::StageSent { service, recipients: Recipients::Leader(_), .. } => *service,
            _ => continue,
        };
        let Some(life) = history.life_at(begins, index).filter(|life| !life.is_over_before(index)) else {
            continue;
        };
        let name = history.name(begins);
        let failed = life.failing.is_some_and(|(failing, ..)| failing < index);
        let restarts = life.restart_wishes.iter().any(|wish| *wish < index);
        let (begun, since) = life.stop_begun.unwrap_or((index, at));
        if failed || restarts {
            continue;
        }
        ensure!(
            life.is_unwanted_at(begun.min(index)),
            "{name} is stopped at {at}, and nobody has asked for it"
        );
        // What a reload puts behind it later is not in its way.
        if at > since {
            continue;
        }
        for dependent in &history.dependents_at(begins, begun.min(index)) {
            let given_up = killed.get(dependent).is_some_and(|since| at.since(*since) >= RESERVE_MAX);
            ensure!(
                given_up || history.is_gone(*dependent, at),
                "{name} is stopped at {at}, before {} is down",
                history.name(*dependent)
            );
        }
    }
    if history.stop().is_some() || !history.is_prompt() {
        return Ok(());
    }
    history
        .ids()
        .filter_map(|id| history.last_life(id))
        .try_for_each(|life| is_on_its_way_down(history, life))
}

/// What nobody wants is down, or is being stopped, or waits for what comes after it.
fn is_on_its_way_down(history: &History, life: &Life) -> Complaint {
    if !life.is_unwanted_at(history.entries.len()) || life.is_over_before(usize::MAX) {
        return Ok(());
    }
    let is_waited_for = |dependent: &ServiceId| {
        history
            .last_life(*dependent)
            .is_some_and(|life| history.gone_at(life).is_none() && !history.lingers(life))
    };
    // What is not there any more is stopped in the order in which it was: before what it came after, and behind what came
    // after it.
    let now = history.epochs.last();
    let is_removed = |of: ServiceId| now.is_some_and(|now| !now.has(of));
    let waits = history.epochs.iter().flat_map(|epoch| {
        let holds = move |of: &ServiceId| {
            now.is_some_and(|now| epoch.from == now.from) || is_removed(life.service) || is_removed(*of)
        };
        epoch.dependents(life.service).into_iter().filter(holds)
    });
    let waits = waits.into_iter().any(|of| is_waited_for(&of));
    ensure!(
        waits || life.stop_begun.is_some(),
        "{} is not wanted any more, but is not stopped",
        history.name(life.service)
    );
    Ok(())
}

/// Each request that comes in a stop has its answer right behind it; before that nobody is told that there is one.
pub(super) fn refused_in_a_stop(history: &History) -> Complaint {
    let stop = history.stop().map_or(usize::MAX, |(index, ..)| index);
    for (index, at, event) in history.events() {
        let Event::Requested(asked) = event else { continue };
        let answer = history.entries.get(index + 1).and_then(|entry| match &entry.what {
            What::Command(Command::Tell(Notice::RequestRefused { request, because }), _) => {
                Some((*request, *because))
            }
            What::Command(..) | What::Event(_) => None,
        });
        let is_answered = answer == Some((*asked, RefusedBecause::Stopping));
        let must_be = index > stop && !matches!(asked, Request::StopSystem { .. } | Request::Reopen);
        ensure!(is_answered == must_be, "{asked:?} at {at} is answered with {answer:?}");
    }
    Ok(())
}
