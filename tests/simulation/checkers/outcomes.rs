//! What the exit status and the verdict must be, from the kernel's truth.

use std::collections::BTreeSet;

use curfew::supervisor::{
    Cause, Event, ExitStatusPolicy, Failure, Mode, Notice, Recipients, ServiceId, Signal, StartFailure,
    StartStep, Step, Timestamp, Verdict,
};

use super::Complaint;
use super::causes::{Judged, judgements};
use crate::history::History;
use crate::kernel::Kernel;
use crate::life::Life;

/// What became of the services: of each, in its last life.
#[derive(Debug, Default)]
struct Outcomes {
    survivors: bool,
    /// Something was killed for certain: a leader, or a stray that curfew itself reaped.
    killed: bool,
    /// Something may have been killed: it was sent KILL, but who knows what it died of.
    perhaps_killed: bool,
    interrupted: Option<u8>,
    escalated: bool,
    failed_stopping: Vec<(Timestamp, u8)>,
}

impl History {
    /// Whether a process belongs to the last life of its service, or to none.
    fn is_of_last_life(&self, service: ServiceId, life: usize) -> bool {
        !self.is_service(service) || !self.is_forgotten(service) && life + 1 >= self.lives(service).len()
    }

    /// Since when the last life of a service counts.
    fn last_life_began(&self, service: ServiceId) -> usize {
        if self.is_forgotten(service) {
            return usize::MAX;
        }
        self.last_life(service).map_or(0, |life| life.began)
    }

    /// Whether a service was gone while it was not in the configuration: how it went is no part of a later stop.
    fn is_forgotten(&self, service: ServiceId) -> bool {
        let life = self.is_service(service).then(|| self.last_life(service)).flatten();
        life.is_some_and(|life| self.ends_of_removals(life).any(|at| self.was_gone(life, at) == Some(true)))
    }

    /// Whether a service was removed, and nobody can tell whether it was gone before it came back, or the stop began.
    fn is_removal_open(&self) -> bool {
        let is_open = |life: &Life| {
            let is_unclear = self.ends_of_removals(life).any(|at| self.was_gone(life, at).is_none());
            is_unclear || life.removed.is_some() && !self.is_forgotten(life.service)
        };
        self.ids().filter_map(|id| self.last_life(id)).any(is_open)
    }

    /// Until when the service of a life was not in the configuration.
    fn ends_of_removals(&self, life: &Life) -> impl Iterator<Item = Timestamp> {
        let back = life.removals.iter().map(|(_, back)| self.entries[*back].at);
        let stop = self.stop().map_or(self.over, |(_, at, _)| at);
        back.chain(life.removed.map(|_| stop))
    }

    /// Whether nothing of a life was left, as curfew could know; `None`: that cannot be told.
    fn was_gone(&self, life: &Life, at: Timestamp) -> Option<bool> {
        match self.gone_at(life) {
            _ if !self.is_prompt() => None,
            Some(gone) if gone + self.lateness < at => Some(true),
            Some(gone) if gone <= at => None,
            Some(_) | None => Some(false),
        }
    }
}

fn outcomes(history: &History) -> Outcomes {
    let judgements = judgements(history);
    let mut outcomes = Outcomes::default();
    for id in history.ids() {
        let Some(life) = history.last_life(id).filter(|_| !history.is_forgotten(id)) else { continue };
        let Some((index, at, end)) = life.end() else { continue };
        if history.is_success(id, index, end) || life.start_failure().is_some() {
            continue;
        }
        let was_unasked = judgements.iter().any(|judgement| {
            (judgement.service, judgement.life) == (id, life.number)
                && judgement.index >= index
                && !matches!(judgement.what, Judged::Done(_))
        });
        if was_unasked {
            continue;
        }
        let Some(leader) = history.leader(life) else { continue };
        let is_stop_death = history.is_stop_death(id, index, end);
        if leader.was_killed() {
            outcomes.killed = true;
            if history.is_task(id, index) {
                outcomes.interrupted = outcomes.interrupted.or(Some(end.status()));
            }
        } else if is_stop_death {
            if history.is_task(id, index) {
                outcomes.interrupted = outcomes.interrupted.or(Some(end.status()));
            }
        } else {
            outcomes.failed_stopping.push((at, end.status()));
        }
    }
    let told_strays: BTreeSet<_> = history
        .events()
        .filter_map(|(_, _, event)| match event {
            Event::StrayEnded { pid, .. } => Some(*pid),
            _ => None,
        })
        .collect();
    let addressed: BTreeSet<_> = history
        .signals()
        .filter(|(_, _, _, recipients, signal, _)| {
            *signal == Signal::KILL && !matches!(recipients, Recipients::Leader(_))
        })
        .flat_map(|(_, _, _, _, _, hit)| hit.iter().copied())
        .collect();
    for (index, process) in history.processes.iter().enumerate() {
        let pid = Kernel::pid(index);
        outcomes.survivors |= process.ended.is_none() && history.finish().is_some();
        outcomes.perhaps_killed |= process.was_sent_kill();
        let counts = history.is_of_last_life(process.service, process.life);
        outcomes.killed |= !process.is_leader
            && process.was_killed()
            && told_strays.contains(&pid)
            && addressed.contains(&pid)
            && (counts || !history.shows(process));
    }
    // Its own parent reaped it, before the KILL or after: nobody can tell. Nor can anybody whether it was this KILL or another
    // that it died of, if its death was not heard of when it was sent.
    outcomes.perhaps_killed |= history.notices().any(|(_, _, notice)| match notice {
        Notice::StrayEnded { end, signal: Some(Signal::KILL), .. } => {
            end.is_none_or(|end| end.signal() == Some(Signal::KILL))
        }
        _ => false,
    });
    outcomes.escalated = history.notices().any(|(index, _, notice)| match notice {
        Notice::StageSent { service, stage, signal, recipients, .. } => {
            let of_post_stop = history.life_at(*service, index).is_some_and(|life| {
                life.run(Step::PostStop).is_some_and(|run| run.started < index)
                    && (matches!(recipients, Recipients::Leader(_)) || *signal == Signal::KILL)
            });
            index > history.last_life_began(*service)
                && !of_post_stop
                && (!history.is_first_signal(*service, index, *stage) || *signal == Signal::KILL)
        }
        Notice::StageRun { service, stage, .. } => {
            index > history.last_life_began(*service) && !history.is_first_signal(*service, index, *stage)
        }
        _ => false,
    });
    outcomes
}

pub(super) fn exit_status(history: &History) -> Complaint {
    let Some((_, _, status)) = history.finish() else { return Ok(()) };
    if history.is_removal_open() {
        return Ok(());
    }
    let outcomes = outcomes(history);
    let ensure_is = |expected: u8, why: &str| {
        if status == expected { Ok(()) } else { Err(format!("{status} instead of {expected}: {why}")) }
    };
    if history.settings.exit_status == ExitStatusPolicy::Mirror
        && let Some(life) = history.last_life(ServiceId::new(0))
    {
        let own = match (life.start_failure(), life.end()) {
            (Some((_, failure)), _) => start_failure_status(failure),
            (None, Some((_, _, end))) => Some(end.status()),
            (None, None) => None,
        };
        if let Some(own) = own {
            return ensure_is(own, "the command's own");
        }
    }
    if outcomes.survivors {
        return ensure_is(81, "survivors are left");
    }
    match history.stop().map(|(_, _, cause)| cause) {
        Some(Cause::ServiceFailed { failure: Failure::Ended(end), .. }) => {
            return ensure_is(if end.status() == 0 { 82 } else { end.status() }, "the culprit's own");
        }
        Some(Cause::ServiceFailed { failure: Failure::Start(failure), .. }) => {
            let ran = history
                .ids()
                .flat_map(|id| history.lives(id))
                .any(|life| life.runs.iter().any(|run| run.step != Step::PostStop && run.forked.is_some()));
            let without = if ran { 82 } else { 71 };
            return ensure_is(start_failure_status(failure).unwrap_or(without), "it could not be started");
        }
        Some(Cause::ServiceFailed { failure: Failure::PreStart(end), .. }) => {
            return ensure_is(end.status(), "that of what runs before the start");
        }
        Some(Cause::ServiceFailed {
            failure:
                Failure::Daemonised
                | Failure::NotReady
                | Failure::Unhealthy
                | Failure::Watchdog
                | Failure::TimedOut
                | Failure::RestartLimit
                | Failure::NotGone,
            ..
        }) => return ensure_is(82, "a failure without a status of its own"),
        Some(Cause::ServiceEnded { end, .. }) if history.settings.mode == Mode::OneCommand => {
            return ensure_is(end.status(), "the one command's own");
        }
        _ => {}
    }
    if let Some((_, bad)) = outcomes.failed_stopping.iter().min() {
        return ensure_is(*bad, "the first bad status");
    }
    if let Some(interrupted) = outcomes.interrupted {
        return ensure_is(interrupted, "an interrupted task");
    }
    if outcomes.killed {
        return ensure_is(80, "something had to be killed");
    }
    if outcomes.perhaps_killed && status == 80 {
        return Ok(());
    }
    ensure_is(0, "nothing went wrong")
}

const fn start_failure_status(failure: StartFailure) -> Option<u8> {
    match failure.step {
        StartStep::Fork => None,
        StartStep::Execute if failure.not_found => Some(127),
        _ => Some(126),
    }
}

pub(super) fn verdict(history: &History) -> Complaint {
    let told = history.notices().find_map(|(_, _, notice)| match notice {
        Notice::StopComplete { verdict, .. } => Some(*verdict),
        _ => None,
    });
    let (Some(told), Some(_)) = (told, history.finish()) else { return Ok(()) };
    if history.is_removal_open() {
        return Ok(());
    }
    let outcomes = outcomes(history);
    let expected = if outcomes.survivors {
        Verdict::Survivors
    } else if outcomes.killed || outcomes.perhaps_killed && told == Verdict::Killed {
        Verdict::Killed
    } else if outcomes.interrupted.is_some() {
        Verdict::Interrupted
    } else if outcomes.escalated {
        Verdict::Escalated
    } else {
        Verdict::Clean
    };
    ensure!(told == expected, "{told:?} instead of {expected:?}");
    Ok(())
}

impl History {
    /// Whether everybody ended at the first stage.
    pub(super) fn has_escalated(&self) -> bool {
        outcomes(self).escalated
    }
}
