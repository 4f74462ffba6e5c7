//! The commands around a service: each at its place, once in each life, and no longer than it may take.

use curfew::supervisor::{Command, End, HookId, HookKind, Notice, ServiceId, Step, Timestamp};

use super::Complaint;
use crate::history::{History, What};
use crate::life::{Life, Run};

pub(super) fn at_their_place(history: &History) -> Complaint {
    for life in history.ids().flat_map(|id| history.lives(id)) {
        let name = history.name(life.service);
        let steps: Vec<Step> = life.runs.iter().map(|run| run.step).collect();
        ensure!(steps.is_sorted_by(|one, other| one < other), "{name} runs {steps:?} in one life");
        let is_prepared = history.service_at(life.service, life.began).hooks.pre_start.is_some();
        match life.run(Step::PreStart) {
            Some(before) => before_the_start(history, life, before)?,
            None => ensure!(!is_prepared, "{name} is started without what runs before its start"),
        }
        match life.run(Step::PostStop) {
            Some(after) => after_the_end(history, life, after)?,
            None => ensure!(
                !is_owed_post_stop(history, life),
                "{name} is gone, but what runs after its end has not run"
            ),
        }
        before_the_stop(history, life)?;
    }
    Ok(())
}

fn before_the_start(history: &History, life: &Life, before: &Run) -> Complaint {
    let name = history.name(life.service);
    let done = before.ended.filter(|(index, _, end)| {
        *end == End::Exited(0)
            && before.failure.is_none()
            && !life.is_asked_before(*index)
            && history.stop().is_none_or(|(stop, ..)| stop > *index)
    });
    match (done, life.run(Step::Main)) {
        (Some((_, at, _)), Some(main)) => {
            let began = history.entries[main.started].at;
            ensure!(began == at, "{name} is started at {began}, and not at {at} when it was prepared");
            Ok(())
        }
        (None, None) => Ok(()),
        (None, Some(_)) => Err(format!("{name} is started, but was not prepared")),
        (Some(_), None) => Err(format!("{name} was prepared, but is not started")),
    }
}

fn after_the_end(history: &History, life: &Life, after: &Run) -> Complaint {
    let name = history.name(life.service);
    let at = history.entries[after.started].at;
    let hooks = history.service_at(life.service, after.started).hooks;
    ensure!(hooks.post_stop.is_some(), "{name} has nothing that runs after its end");
    ensure!(
        life.is_over_before(after.started),
        "what runs after the end of {name} is started before it has ended"
    );
    for process in &history.processes {
        let is_of_it = (process.service, process.life) == (life.service, life.number);
        let is_left = process.born < at && process.ended.is_none_or(|(ended, _)| ended > at);
        ensure!(
            !is_of_it || !history.shows(process) || !is_left,
            "what runs after the end of {name} is started before all of it is gone"
        );
    }
    let began = |id: ServiceId| history.lives(id).first().map(|life| life.began);
    ensure!(
        began(history.settings.cleanup_id()).is_none_or(|cleanup| cleanup > after.started),
        "what runs after the end of {name} is started after the cleanup"
    );
    let hurried = history.kill_now().is_some_and(|(index, _)| index < after.started)
        || history.stop_by().is_some_and(|stop_by| at > stop_by);
    ensure!(!hurried, "what runs after the end of {name} is started, though all is in haste");
    Ok(())
}

/// Whether a life is gone, and nothing keeps what runs after its end from running.
fn is_owed_post_stop(history: &History, life: &Life) -> bool {
    let settings = history.service_at(life.service, history.adopted_until(life));
    let Some(gone) = history.gone_at(life).filter(|_| life.is_over_before(usize::MAX)) else { return false };
    let is_concluded = history.finish().is_some() || life.until < usize::MAX;
    let in_haste = history.kill_is_due(usize::MAX, gone)
        || history.kill_now().is_some()
        || !history.is_prompt()
        || history.stop_by().is_some_and(|stop_by| history.over >= stop_by);
    let cleaned_up = history.last_life(history.settings.cleanup_id()).is_some_and(|cleanup| {
        let began = history.entries[cleanup.began].at;
        began < gone || began == gone && history.lingers(life)
    });
    settings.hooks.post_stop.is_some() && is_concluded && !in_haste && !cleaned_up
}

fn before_the_stop(history: &History, life: &Life) -> Complaint {
    let name = history.name(life.service);
    let is_in_life = |index: usize| (life.began..life.until).contains(&index);
    let runs: Vec<(usize, Timestamp)> = history
        .commands()
        .filter(|(index, _, command)| {
            is_in_life(*index)
                && matches!(command, Command::RunHook { service, kind: HookKind::PreStop, .. } if *service == life.service)
        })
        .map(|(index, at, _)| (index, at))
        .collect();
    let last = life.stop_begun.map_or(life.began, |(begun, _)| begun);
    let hooks = history.service_at(life.service, last).hooks;
    ensure!(runs.len() <= 1, "{name} runs its pre-stop {} times", runs.len());
    let was_ready = |index: usize| {
        let stop = history.stop().map_or(usize::MAX, |(stop, ..)| stop);
        life.ready.is_some_and(|(ready, _)| ready < index.min(stop))
    };
    if let Some((index, _)) = runs.first() {
        ensure!(hooks.pre_stop.is_some(), "{name} has no pre-stop");
        ensure!(was_ready(*index), "{name} runs its pre-stop, but has not been ready");
        ensure!(
            life.stop_begun.is_some_and(|(begun, _)| begun < *index),
            "{name} runs its pre-stop, but is not being stopped"
        );
        let told_before = history.notices().any(|(told, _, notice)| {
            is_in_life(told)
                && told < *index
                && matches!(notice,
                    Notice::StageSent { service, .. } | Notice::DrainBegun { service, .. } if *service == life.service)
        });
        ensure!(!told_before, "{name} runs its pre-stop after its first signal");
    } else if let Some((begun, at)) = life.stop_begun {
        let hurried = history.kill_now().is_some_and(|(index, since)| index < begun || since == at);
        let is_due =
            hooks.pre_stop.is_some() && was_ready(begun) && !hurried && !history.kill_is_due(begun, at);
        ensure!(!is_due, "{name} is stopped without its pre-stop");
    }
    Ok(())
}

/// No command around a service lasts longer than it may: it is killed then.
pub(super) fn no_longer_than_they_may(history: &History) -> Complaint {
    for life in history.ids().chain([history.settings.cleanup_id()]).flat_map(|id| history.lives(id)) {
        // What runs before a start must be done in time, or has failed: that is looked at elsewhere.
        for run in life.runs.iter().filter(|run| run.step == Step::PostStop) {
            let time = history.post_stop_time(life.service, run.started);
            let Some((process, forked)) = run.process.zip(run.forked) else { continue };
            let process = &history.processes[process];
            let due = forked + time;
            let is_over = process.ended.is_some_and(|(ended, _)| history.may_be_late(due, ended));
            let is_told =
                process.from_curfew.first().is_some_and(|(told, _)| history.may_be_late(due, *told));
            ensure!(
                is_over || is_told || process.behaviour.forbidden || history.may_be_late(due, history.over),
                "{} {} runs for longer than {time:?}",
                history.name(life.service),
                run.step
            );
        }
    }
    let mut begun: Vec<(Timestamp, ServiceId, HookId)> = Vec::new();
    for (_, at, command) in history.commands() {
        match command {
            Command::RunHook { hook, service, kind: HookKind::PreStop } => begun.push((at, *service, *hook)),
            Command::EndHook { hook } => begun.retain(|(since, service, of)| {
                of != hook || !history.may_be_late(history.pre_stop_is_due(*service, *since), at)
            }),
            _ => {}
        }
    }
    for (since, service, hook) in begun {
        let process = history.processes.iter().find(|process| process.hook == Some(hook));
        let due = history.pre_stop_is_due(service, since);
        let ended = process
            .is_none_or(|process| process.ended.is_some_and(|(ended, _)| history.may_be_late(due, ended)));
        ensure!(
            ended || history.may_be_late(due, history.over),
            "the pre-stop of {} runs for longer than it may",
            history.name(service)
        );
    }
    Ok(())
}

impl History {
    /// When a pre-stop must be over; its service may have asked for more time.
    fn pre_stop_is_due(&self, service: ServiceId, since: Timestamp) -> Timestamp {
        let index = self.entries.partition_point(|entry| entry.at <= since);
        let written = self.service_at(service, index).hooks.pre_stop.unwrap_or_default();
        let extended = self.notices().filter_map(|(_, at, notice)| match notice {
            Notice::WaitExtended { service: of, granted, .. } if *of == service && at >= since => {
                Some(at + *granted)
            }
            _ => None,
        });
        extended.fold(since + written, Timestamp::max)
    }
}

/// The last command of all comes last, and once.
pub(super) fn cleanup_comes_last(history: &History) -> Complaint {
    let lives = history.lives(history.settings.cleanup_id());
    ensure!(lives.len() <= 1, "the cleanup runs {} times", lives.len());
    let Some(life) = lives.first() else {
        let Some((finish, at, _)) = history.finish() else { return Ok(()) };
        let in_haste = history.kill_is_due(finish, at);
        ensure!(history.settings.cleanup.is_none() || in_haste, "the cleanup has not run");
        return Ok(());
    };
    ensure!(history.settings.cleanup.is_some(), "there is no cleanup, but it is run");
    let at = history.entries[life.began].at;
    let in_haste = history.kill_now().is_some_and(|(index, _)| index < life.began);
    ensure!(!in_haste, "the cleanup is run at {at}, though all is in haste");
    ensure!(history.stop().is_some_and(|(stop, ..)| stop < life.began), "the cleanup is run without a stop");
    for entry in &history.entries[life.began + 1..] {
        if let What::Command(Command::Start { service, step }, _) = &entry.what {
            return Err(format!("{} {step} is started after the cleanup", history.name(*service)));
        }
    }
    let given_up = |id: ServiceId| {
        history.notices().any(|(index, _, notice)| {
            index < life.began && matches!(notice, Notice::ServiceLingers { service, .. } if *service == id)
        })
    };
    let is_blind = history.notices().any(|(_, _, notice)| *notice == Notice::StraysHidden);
    for process in history.processes.iter().filter(|process| process.service != life.service) {
        let is_left = process.born < at && process.ended.is_none_or(|(ended, _)| ended > at);
        ensure!(
            !is_left || is_blind || given_up(process.service) || given_up(history.settings.stray_id()),
            "the cleanup is run at {at}, but {} is not gone",
            history.name(process.service)
        );
    }
    Ok(())
}
