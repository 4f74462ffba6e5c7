//! What the platform is told.

use std::time::Duration;

use curfew::supervisor::{Cause, Command, Event, Failure, Mode, PlatformMessage, ServiceId, Step, Timestamp};

use super::Complaint;
use crate::history::History;
use crate::life::Life;

/// READY, once, when all that is essential is ready or done; STOPPING, once, when the stop begins.
pub(super) fn ready_and_stopping_once(history: &History) -> Complaint {
    let told = |message: PlatformMessage| -> Vec<(usize, Timestamp)> { history.told_platform(message) };
    let ready = told(PlatformMessage::Ready);
    ensure!(ready.len() <= 1, "READY is said {} times", ready.len());
    let stop = history.stop();
    let stopping = told(PlatformMessage::Stopping);
    match (stop, &*stopping) {
        (None, []) => {}
        (Some((stop, ..)), [(index, _)]) => {
            ensure!(history.handling(stop).contains(index), "STOPPING is not said when the stop begins");
        }
        _ => return Err(format!("STOPPING is said {} times", stopping.len())),
    }
    let wished = history.events().any(|(_, _, event)| matches!(event, Event::Requested(_)));
    let essential_at = |index: usize| -> Vec<ServiceId> {
        let epoch = history.epoch_at(index);
        history.ids().filter(|id| epoch.has(*id) && history.service_at(*id, index).essential).collect()
    };
    let all = essential_at(usize::MAX);
    if let Some((index, at)) = ready.first() {
        ensure!(stop.is_none_or(|(stop, ..)| *index < stop), "READY is said in a stop");
        for id in essential_at(*index) {
            ensure!(
                history.reached_at(id).is_some_and(|reached| reached <= *at),
                "READY is said at {at}, before {}",
                history.name(id)
            );
        }
    } else if !wished && !history.is_reloaded() && !all.iter().any(|id| history.leaves_others(*id)) {
        let reached: Option<Vec<Timestamp>> = all.iter().map(|id| history.reached_at(*id)).collect();
        let all = reached.map(|reached| reached.into_iter().max().unwrap_or_default());
        let had_time = stop.is_none_or(|(_, stop, _)| all.is_some_and(|all| all + history.lateness < stop));
        ensure!(
            all.is_none() || !had_time || !history.is_prompt(),
            "all was ready at {all:?}, but READY is not said"
        );
    }
    let failed: Vec<&PlatformMessage> = history
        .commands()
        .filter_map(|(_, _, command)| match command {
            Command::TellPlatform(message @ PlatformMessage::Failed(_)) => Some(message),
            _ => None,
        })
        .collect();
    let errno = match stop {
        Some((_, _, Cause::ServiceFailed { failure: Failure::Start(failure), .. })) => Some(failure.errno),
        _ => None,
    };
    let expected: Vec<PlatformMessage> = errno.map(PlatformMessage::Failed).into_iter().collect();
    ensure!(failed.iter().copied().eq(expected.iter()), "{failed:?} is said, and not {expected:?}");
    Ok(())
}

/// Pings come at half the interval.
pub(super) fn pings(history: &History) -> Complaint {
    let pings = history.told_platform(PlatformMessage::Ping);
    let Some(interval) = history.settings.platform_watchdog.filter(|interval| !interval.is_zero()) else {
        ensure!(pings.is_empty(), "nobody wants pings, but there are");
        return Ok(());
    };
    let mut last = Timestamp::ZERO;
    for (_, at) in &pings {
        let due = last + interval / 2;
        ensure!(*at >= due && history.may_be_late(due, *at), "a ping is sent at {at}, and not at {due}");
        last = *at;
    }
    ensure!(history.may_be_late(last + interval / 2, history.over), "there was no ping after {last}");
    Ok(())
}

/// Time is asked for before it runs out, while a start or a stop is under way, and no more than configured.
pub(super) fn time_is_asked_for(history: &History) -> Complaint {
    let asked: Vec<(usize, Timestamp, Duration)> = history
        .commands()
        .filter_map(|(index, at, command)| match command {
            Command::TellPlatform(PlatformMessage::Extend(time)) => Some((index, at, *time)),
            _ => None,
        })
        .collect();
    let Some(most) = history.settings.extend else {
        ensure!(asked.is_empty(), "the platform is asked for time, which it was not to be");
        return Ok(());
    };
    let mut hearing = history.events().filter_map(|(index, _, event)| match event {
        Event::PlatformHears(hears) => Some((index, *hears)),
        _ => None,
    });
    if let Some((unheard, hears)) = hearing.next() {
        // Who does not hear us is not asked; the scenario says what is to come of it.
        let until = hearing.next().map_or(usize::MAX, |(index, _)| index);
        let in_vain = asked.iter().find(|(index, ..)| !hears && (unheard..until).contains(index));
        ensure!(in_vain.is_none(), "the platform is asked for time, and does not hear us");
        return Ok(());
    }
    let stop = history.stop().map(|(index, at, _)| (index, at));
    let ready = history.told_platform(PlatformMessage::Ready).first().copied();
    let of_stop = |index: usize| stop.is_some_and(|(stop, _)| index > stop);
    let phases = [
        (Timestamp::ZERO, ready.or(stop).map_or(history.over, |(_, at)| at), false, true),
        (stop.map_or(history.over, |(_, at)| at), history.over, true, stop.is_some()),
    ];
    for (since, until, in_stop, exists) in phases {
        let of_phase = asked.iter().filter(|(index, ..)| of_stop(*index) == in_stop);
        if !exists {
            continue;
        }
        let mut covered = since;
        let mut is_capped = most.is_zero();
        for (_, at, time) in of_phase {
            ensure!(!time.is_zero() && !is_capped, "the platform is asked for {time:?} at {at}");
            ensure!(
                history.may_be_late(covered, *at) || *at <= covered,
                "the time asked for was over at {covered}, but more is asked for at {at}"
            );
            ensure!(*at + *time <= since + most, "the platform is asked for more than {most:?}");
            ensure!(in_stop || ready.is_none_or(|(_, ready)| *at <= ready), "time is asked for after READY");
            covered = *at + *time;
            is_capped = covered == since + most;
        }
        ensure!(
            is_capped || covered >= until || history.may_be_late(covered, until) || !history.is_prompt(),
            "the time asked for is over at {covered}, and no more is asked for"
        );
    }
    Ok(())
}

impl History {
    fn told_platform(&self, message: PlatformMessage) -> Vec<(usize, Timestamp)> {
        let told = self.commands().filter(|(_, _, command)| **command == Command::TellPlatform(message));
        told.map(|(index, at, _)| (index, at)).collect()
    }

    /// When a service was first ready, or a task gone with its work done.
    fn reached_at(&self, id: ServiceId) -> Option<Timestamp> {
        self.lives(id).iter().find_map(|life| self.reached_in(life))
    }

    fn reached_in(&self, life: &Life) -> Option<Timestamp> {
        let id = life.service;
        if self.settings.mode == Mode::OneCommand || !self.is_task(id, life.began) {
            return life.ready.map(|(_, at)| at);
        }
        let is_done = !life.was_told_before_its_end()
            && life.end().is_some_and(|(index, _, end)| self.is_success(id, index, end))
            && life.run(Step::Main).is_some();
        match is_done {
            true if self.leaves_others(id) || self.lingers(life) => life.end().map(|(_, at, _)| at),
            true => self.gone_at(life),
            false => None,
        }
    }

    /// Whether a task has other processes than its leaders: whether they are waited for depends.
    fn leaves_others(&self, id: ServiceId) -> bool {
        let is_task = self.lives(id).iter().any(|life| self.is_task(id, life.began));
        is_task && self.processes.iter().any(|process| process.service == id && !process.is_leader)
    }
}
