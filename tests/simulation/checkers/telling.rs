//! What is told, and what was done.

use std::collections::BTreeSet;
use std::time::Duration;

use curfew::supervisor::{
    Cause, Command, DeadlineBasis, End, Event, HookKind, Notice, Recipients, Seat, Sender, Signal, Step,
    Timestamp,
};

use super::Complaint;
use super::facts::HELD_DEATH;
use crate::history::History;
use crate::life::Life;

pub(super) fn told_truly(history: &History) -> Complaint {
    let commands: Vec<(usize, Timestamp, &Command)> = history.commands().collect();
    let mut strays = BTreeSet::new();
    let mut stop_requests = 0;
    let mut completed = None;
    let mut explained = 0;
    for (position, (index, at, command)) in commands.iter().enumerate() {
        let next = commands.get(position + 1).map(|(_, _, command)| *command);
        match command {
            Command::Tell(Notice::StageSent { service, recipients, signal, stage, of, .. }) => {
                let sent =
                    |signal| Some(Command::Signal { service: *service, recipients: *recipients, signal });
                // In a shared group the terminal's own signal is not sent once more.
                let by_terminal = *stage == 0
                    && history.settings.seat == Seat::SharedGroup
                    && next == sent(Signal::CONT).as_ref()
                    && matches!(history.stop(), Some((_, _, Cause::Signal { sender: Sender::Terminal, .. })));
                ensure!(
                    by_terminal || next == sent(*signal).as_ref(),
                    "{} is told {signal} at {at}, but not sent",
                    history.name(*service)
                );
                let stages = history.stage_waits(*service, *index).len() + 1;
                ensure!(*of == stages && stage < of, "stage {stage} of {of}, but there are {stages}");
                ensure!(
                    (*signal == Signal::KILL) == (stage + 1 == *of),
                    "{signal} is no stage {stage} of {of}"
                );
                explained = position + 1;
            }
            Command::Tell(Notice::StageRun { service, command, .. }) => {
                let run = HookKind::Stage(command.clone());
                ensure!(
                    matches!(next, Some(Command::RunHook { service: of, kind, .. }) if of == service && *kind == run),
                    "{} is said to run {command} at {at}, but does not",
                    history.name(*service)
                );
                explained = position + 1;
            }
            Command::Tell(Notice::PreStopBegun { service, .. }) => {
                ensure!(
                    matches!(next, Some(Command::RunHook { service: of, kind: HookKind::PreStop, .. }) if of == service),
                    "{} is said to run its pre-stop at {at}, but does not",
                    history.name(*service)
                );
                explained = position + 1;
            }
            Command::RunHook { service, kind, .. } => {
                ensure!(explained == position, "{} runs {kind} at {at}, unsaid", history.name(*service));
            }
            Command::Start { service, step } => {
                let run = history.lives(*service).iter().flat_map(|life| &life.runs);
                let forked = run.clone().any(|run| run.started == *index && run.forked.is_some());
                let told = commands[position + 1..].iter().find_map(|(_, _, command)| match command {
                    Command::Tell(Notice::ServiceStarted { service: of, .. }) if of == service => {
                        Some(Step::Main)
                    }
                    Command::Tell(Notice::StepStarted { service: of, step, .. }) if of == service => {
                        Some(*step)
                    }
                    _ => None,
                });
                ensure!(
                    !forked || told == Some(*step),
                    "{} {step} is started at {at}, unsaid",
                    history.name(*service)
                );
            }
            Command::Signal { service, recipients, signal } => {
                let forwarded = matches!(next, Some(Command::Tell(Notice::SignalForwarded { sent, .. })) if sent == signal);
                // CONT goes with the signal before it; a stray that comes later joins the others.
                let joins = *signal == Signal::CONT || matches!(recipients, Recipients::Stray(_));
                ensure!(
                    forwarded || joins || explained == position,
                    "{} gets {signal} at {at}, which was not told",
                    history.name(*service)
                );
            }
            // What comes to lead a service that is killed is killed.
            Command::Tell(Notice::LeaderMoved { .. }) => explained = position + 1,
            Command::Tell(Notice::DependencyFailed { service }) => {
                let settings = history.service_at(*service, *index);
                let awaited = !history.dependents_at(*service, *index).is_empty();
                let was_up = !history.is_task(*service, *index)
                    && history
                        .lives(*service)
                        .iter()
                        .any(|life| life.ready.is_some_and(|(at, _)| at < *index));
                let was_wished = history.is_reloaded()
                    || history.events().any(|(_, _, event)| matches!(event, Event::Requested(_)));
                ensure!(
                    !settings.essential && awaited && (!was_up || was_wished) && stop_requests == 0,
                    "{} is told to have failed as a dependency at {at}",
                    settings.name
                );
            }
            Command::Tell(Notice::StrayFound { pid, .. } | Notice::KilledWithLeader { pid, .. }) => {
                ensure!(strays.insert(*pid), "stray {pid} is found twice");
            }
            Command::Tell(Notice::StrayEnded { pid, .. }) => {
                let unlisted = history.notices().any(|(_, _, notice)| *notice == Notice::StraysHidden);
                ensure!(unlisted || strays.contains(pid), "stray {pid} ended, but was never found");
                let process = history.process(*pid);
                ensure!(process.ended.is_some(), "stray {pid} is said to have ended");
            }
            Command::Tell(Notice::BudgetShrunk { scale, from, to, .. }) => {
                ensure!(*to == scale.of(*from) && to < from, "shortened from {from:?} to {to:?}");
            }
            Command::Tell(Notice::StopRequested { budget, .. }) => {
                stop_requests += 1;
                check_budget(history, *budget, *index)?;
            }
            Command::Tell(Notice::StopComplete { status, after, budget, near_miss, .. }) => {
                ensure!(next == Some(&Command::Finish { status: *status }), "complete, but not finished");
                let began = history.stop().map(|(_, began, _)| began).unwrap_or_default();
                ensure!(*after == at.since(began), "it took {:?}, not {after:?}", at.since(began));
                let furthest = history.longest_budget(*index);
                let near = furthest.is_some_and(|budget| *after * 5 > budget * 4);
                // A budget divides into hundredths by the nanosecond.
                let exact = furthest
                    .is_none_or(|budget| (*after * 5).abs_diff(budget * 4) > Duration::from_micros(1));
                ensure!(
                    *near_miss == near || !exact,
                    "near miss: {near_miss}, after {after:?} of {budget:?}"
                );
                completed = Some(*status);
            }
            Command::Finish { status } => {
                ensure!(
                    completed == Some(*status),
                    "finished with {status}, but completed with {completed:?}"
                );
            }
            _ => {}
        }
    }
    ensure!(stop_requests <= 1, "the stop began {stop_requests} times");
    let are_listed = !history.notices().any(|(_, _, notice)| *notice == Notice::StraysHidden);
    for (_, at, _, _, signal, hit) in history.signals().filter(|(.., signal, _)| *signal == Signal::KILL) {
        for pid in hit {
            let is_named = history.process(*pid).is_leader || strays.contains(pid);
            ensure!(is_named || !are_listed, "{pid} gets {signal} at {at}, and is not named");
        }
    }
    history.ids().flat_map(|id| history.lives(id)).try_for_each(|life| end_is_told(history, life))
}

/// The budget is the one that was configured, or a longer one that the platform is asked for.
fn check_budget(history: &History, told: Option<Duration>, index: usize) -> Complaint {
    let configured = history.settings.deadline.map(|deadline| deadline.deadline - deadline.margin);
    let most = history.longest_budget(index);
    ensure!(
        told >= configured && told <= most,
        "the budget is said to be {told:?}, not {configured:?} to {most:?}"
    );
    Ok(())
}

impl History {
    /// The longest budget that could have been asked for at this entry: only who hears us grants more.
    fn longest_budget(&self, index: usize) -> Option<Duration> {
        let deadline = self.settings.deadline?;
        let before = self.events().take_while(|(place, ..)| *place <= index);
        let heard = before.filter_map(|(_, _, event)| match event {
            Event::PlatformHears(hears) => Some(*hears),
            _ => None,
        });
        let is_granted =
            self.settings.deadline_basis != DeadlineBasis::Assumed && heard.last().unwrap_or(true);
        let most = self.settings.extend.filter(|_| is_granted).unwrap_or_default();
        Some(most.max(deadline.deadline) - deadline.margin)
    }
}

/// The end of each leader is told once, but for those that could not even start.
fn end_is_told(history: &History, life: &Life) -> Complaint {
    let name = history.name(life.service);
    let own: Vec<(Timestamp, End)> = life
        .runs
        .iter()
        .filter(|run| run.step == Step::Main && run.failure.is_none())
        .filter_map(|run| run.ended.map(|(_, at, end)| (at, end)))
        .collect();
    let told = &life.ends_told;
    let asked_before = life.run(Step::PreStart).is_some_and(|run| run.failure.is_none());
    match (&*own, &**told) {
        ([(at, end)], [(_, told_at, told_end)]) => {
            ensure!(told_end == end, "{name} ended with {end}, not {told_end}");
            ensure!(
                history.may_be_late(*at + HELD_DEATH, *told_at),
                "{name} ended at {at}, but it is told at {told_at}"
            );
        }
        ([(at, _)], []) => {
            let held =
                history.finish().is_none() && (history.is_cut || history.over.since(*at) <= HELD_DEATH);
            ensure!(held, "{name} ended at {at}, but it is not told");
        }
        ([], []) => {}
        // What ran before its start was stopped.
        ([], [_]) => ensure!(asked_before, "{name} is told to have ended, but has not"),
        _ => return Err(format!("{name} is told to have ended {} times", told.len())),
    }
    Ok(())
}

/// What a status says is so, in the kernel's world.
pub(super) fn status_is_true(history: &History) -> Complaint {
    history.untrue_status.clone().map_or(Ok(()), Err)
}
