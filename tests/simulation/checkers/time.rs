//! The budget of a stop, and that no time is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use curfew::supervisor::{Notice, ServiceId, StageAction, Step, Timestamp, Wait};

use super::Complaint;
use super::facts::{REPORT_MAX, RESERVE_MAX};
use crate::history::History;
use crate::life::Life;
use crate::process::{How, Origin, Process, Reaction, Start};

pub(super) fn inside_the_budget(history: &History) -> Complaint {
    let (Some(budget), Some((_, began, _)), Some((_, end, _))) =
        (history.budget(), history.stop(), history.finish())
    else {
        return Ok(());
    };
    // Two wake-ups may be late: the one at the end of the budget, and the one after the last KILL.
    let resumed = history.suspensions.iter().map(|(_, until)| *until).max().unwrap_or(Timestamp::ZERO);
    let latest = (began + budget).max(resumed + REPORT_MAX) + history.lateness * 2;
    ensure!(end <= latest, "the stop began at {began} and had {budget:?}, but ended at {end}");
    Ok(())
}

pub(super) fn no_needless_shrinking(history: &History) -> Complaint {
    let (Some((stop, began, _)), Some(stop_by)) = (history.stop(), history.stop_by()) else { return Ok(()) };
    // What a leader left behind that had ended before, nobody could know of when the stop began.
    let strays_at_stop = history.notices().any(|(index, _, notice)| match notice {
        Notice::StrayFound { service, .. } => {
            index < stop || history.is_service(*service) && history.has_ended_before(*service, stop)
        }
        _ => false,
    });
    // What takes more time than was written down takes it from the others.
    let extended = history.notices().any(|(_, _, notice)| matches!(notice, Notice::WaitExtended { .. }));
    // So does who leads a service in the place of another, and begins anew.
    let moved = history.notices().any(|(_, _, notice)| matches!(notice, Notice::LeaderMoved { .. }));
    if !history.is_prompt() || strays_at_stop || extended || moved {
        return Ok(());
    }
    let Some((path, levels)) = history.path_at_stop() else { return Ok(()) };
    let reserve = RESERVE_MAX.min(history.budget().expect("a budget") / (10 * levels.max(1)));
    // Each stage may begin late, and each command around a service.
    let stages: usize =
        history.settings.services.iter().map(|service| service.grace.stages().len() + 6).sum();
    let late = history.lateness * (stages + 2) as u32;
    let needed = path + reserve * levels + late;
    if needed > stop_by.since(began) {
        return Ok(());
    }
    for (index, at, notice) in history.notices() {
        let Notice::BudgetShrunk { service, from, to, .. } = notice else { continue };
        let its_strays = match history.is_service(*service) {
            true => history.has_ended_before(*service, index),
            // What belongs to none comes before the cleanup.
            false => history.stray_began_before(index),
        };
        ensure!(
            its_strays || history.is_stray_service(*service) || *from - *to < late,
            "{} is shortened at {at}, but {needed:?} fit into {:?}",
            history.name(*service),
            stop_by.since(began)
        );
    }
    Ok(())
}

pub(super) fn no_time_lost(history: &History) -> Complaint {
    let (Some((stop, began, _)), Some((finish, end, _))) = (history.stop(), history.finish()) else {
        return Ok(());
    };
    let disturbed = history.notices().any(|(_, _, notice)| {
        matches!(
            notice,
            Notice::BudgetShrunk { .. }
                | Notice::StopEscalated { .. }
                | Notice::StartFailed { .. }
                | Notice::WaitExtended { .. }
                | Notice::ServiceLingers { .. }
                | Notice::LeaderMoved { .. }
        )
    });
    if !history.is_exact() || disturbed {
        return Ok(());
    }
    // What was left alone, or was in trouble before, is for others to look at.
    let lives: Vec<&Life> = history.ids().filter_map(|id| history.life_at(id, finish)).collect();
    if lives.iter().any(|life| life.stop_begun.is_some_and(|(begun, _)| begun < stop)) {
        return Ok(());
    }
    let mut down: BTreeMap<ServiceId, Duration> = BTreeMap::new();
    for id in history.settings.order.start_order().iter().rev() {
        let dependents = history.settings.order.dependents(*id).iter().map(|dependent| down[dependent]);
        let mut at = dependents.max().unwrap_or_default();
        let life = history.life_at(*id, stop);
        if let Some(life) = life
            && let Some(leader) = history.leader(life)
            && life.end().is_none_or(|(index, _, _)| index > stop)
        {
            let Behaves::Obediently(first, after) = behaves(history, *id, leader) else { return Ok(()) };
            if life.ready.is_some_and(|(index, _)| index < stop) {
                // Its own lifetime is the truth of how long a command took.
                let Some(before) = history.time_of_hooks(life) else { return Ok(()) };
                at += before + history.settings.services[id.index()].drain;
            }
            // Before its exec every signal ends it at once.
            at += if leader.executed_at.is_some() { after } else { Duration::ZERO };
            if leader.executed_at.is_some() && after > first {
                return Ok(());
            }
        }
        if let Some(life) = life {
            let Some(after) = history.time_after(life, began) else { return Ok(()) };
            // What had ended before waits for nobody.
            at = if life.is_over_before(stop) { at.max(after) } else { at + after };
        }
        down.insert(*id, at);
    }
    let left = |process: &Process| !process.is_leader && process.origin != Origin::Hook;
    if history.processes.iter().any(left) {
        return Ok(());
    }
    let mut expected = down.values().max().copied().unwrap_or_default();
    if let Some(life) = history.last_life(history.settings.cleanup_id()) {
        let Some(after) = history.time_after(life, began) else { return Ok(()) };
        expected += after;
    }
    ensure!(
        end.since(began) == expected,
        "the slowest takes {expected:?}, the stop took {:?}",
        end.since(began)
    );
    ensure!(!history.has_escalated(), "everybody obeys, but it escalated");
    Ok(())
}

impl History {
    /// Whether processes that belong to none were told to end before this entry.
    fn stray_began_before(&self, index: usize) -> bool {
        self.notices().any(|(told, _, notice)| {
            told < index
                && matches!(notice, Notice::StageSent { service, .. } if self.is_stray_service(*service))
        })
    }

    /// How long the command before the stop ran; `None` if it had to be killed, or had children.
    fn time_of_hooks(&self, life: &Life) -> Option<Duration> {
        let hooks = self.processes.iter().filter(|process| {
            (process.service, process.life) == (life.service, life.number) && process.origin == Origin::Hook
        });
        let mut time = Duration::ZERO;
        for hook in hooks {
            let (ended, _) = hook.ended?;
            if hook.is_doomed || !hook.behaviour.forks.is_empty() {
                return None;
            }
            time += ended.since(hook.born);
        }
        Some(time)
    }

    /// How long the command after the end ran in the stop; `None` if it had to be killed.
    fn time_after(&self, life: &Life, began: Timestamp) -> Option<Duration> {
        let Some(run) = life.run(Step::PostStop) else { return Some(Duration::ZERO) };
        let Some(process) = run.process else { return Some(Duration::ZERO) };
        let process = &self.processes[process];
        let (ended, _) = process.ended?;
        (!process.is_doomed).then(|| ended.since(process.born.max(began)))
    }
}

/// Whether a leader does what it is told.
enum Behaves {
    /// Its first stage lasts so long, and it takes so long.
    Obediently(Duration, Duration),
    Otherwise,
}

fn behaves(history: &History, id: ServiceId, leader: &Process) -> Behaves {
    let behaviour = &leader.behaviour;
    let stage = history.stages(id, usize::MAX).first();
    let first_signal = history.milestones[id.index()].first_signal;
    let hears = first_signal.is_some_and(|signal| !behaviour.ignores.contains(signal));
    if stage.is_some_and(|stage| matches!(stage.action, StageAction::Run(_))) {
        return Behaves::Otherwise;
    }
    let first = match stage.map(|stage| stage.wait) {
        Some(Wait::For(wait)) => wait,
        Some(Wait::Open) if history.settings.deadline.is_none() => Duration::MAX,
        Some(Wait::Open) | None => return Behaves::Otherwise,
    };
    match behaviour.reaction {
        Reaction::Ends(after, how)
            if hears
                && how != How::Crashes(curfew::supervisor::Signal::KILL)
                && behaviour.needs <= 1
                && behaviour.unasked.is_none()
                && !behaviour.forbidden
                && leader.asked <= 1
                && !leader.is_disturbed
                && behaviour.start != Start::Hangs =>
        {
            Behaves::Obediently(first, after)
        }
        Reaction::Ends(..) | Reaction::Ignores => Behaves::Otherwise,
    }
}
