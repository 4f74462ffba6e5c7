//! What is sent to whom, and how long everybody gets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use curfew::supervisor::{
    Command, Event, HookKind, Level, Notice, Pid, Recipients, Scale, Seat, ServiceId, Signal, Step,
    Timestamp, Wait,
};

use super::Complaint;
use crate::history::{History, What};
use crate::process::Origin;

/// How far the stop of a service is, as far as it was told.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// What every wait is multiplied by, and which entry told it.
    scale: Option<(usize, Scale)>,
    current: Option<Current>,
    /// Something of it was extended: what comes after has what is left.
    is_extended: bool,
    /// Its leader has left it to another, which may be told from the beginning.
    may_begin_anew: Option<usize>,
    /// The last stage that was told, and whether the leader was told it.
    last: Option<(usize, bool)>,
}

/// What it is in.
#[derive(Clone, Copy, Debug)]
struct Current {
    what: Waits,
    since: Timestamp,
    /// What must pass before the next. `None`: it is open.
    needs: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    PreStop,
    Drain,
    Stage,
    PostStop,
}

impl Progress {
    fn scale(&self) -> Scale {
        self.scale.map_or(Scale::FULL, |(_, scale)| scale)
    }

    /// What is waited for begins now.
    fn enter(&mut self, what: Waits, since: Timestamp, needs: Option<Duration>) {
        self.current = Some(Current { what, since, needs });
    }

    /// A wait that was told must be as long as it is written, in proportion.
    fn check_wait(&self, name: &str, what: &str, wait: Option<Duration>, written: Duration) -> Complaint {
        let full = self.scale().of(written);
        let fits = if self.is_extended { wait <= Some(full) } else { wait == Some(full) };
        ensure!(fits, "{name}: {what} lasts {wait:?} instead of {full:?}");
        Ok(())
    }

    /// The current wait must be over.
    fn check_over(&self, name: &str, then: &str, at: Timestamp, has_deadline: bool) -> Complaint {
        let Some(current) = self.current else { return Ok(()) };
        let waited = at.since(current.since);
        match current.needs {
            Some(needs) => ensure!(
                waited >= needs,
                "{name}: {then} after {waited:?}, but {:?} lasts {needs:?}",
                current.what
            ),
            None => ensure!(has_deadline, "{name}: {then}, though its last stage never ends"),
        }
        Ok(())
    }
}

pub(super) fn whole_grace(history: &History) -> Complaint {
    let mut progress: BTreeMap<ServiceId, Progress> = BTreeMap::new();
    let mut hastened: Option<Timestamp> = None;
    for (index, at, command) in history.commands() {
        let notice = match command {
            Command::Start { service, step: Step::PreStart | Step::Main } => {
                if history.life_at(*service, index + 1).is_some_and(|life| life.began == index) {
                    progress.remove(service);
                }
                continue;
            }
            Command::Start { service, step: Step::PostStop } => {
                let before = progress.remove(service);
                // Its share is measured right before it.
                let scale = before.and_then(|before| before.scale).filter(|(told, _)| *told + 1 == index);
                let mut next = Progress { scale, ..Progress::default() };
                let needs = next.scale().of(history.post_stop_time(*service, index));
                next.enter(Waits::PostStop, at, Some(needs));
                progress.insert(*service, next);
                continue;
            }
            Command::Tell(notice) => notice,
            _ => continue,
        };
        let wishes =
            |index: usize, is_kill: bool| hastened == Some(at) || is_kill && history.kill_is_due(index, at);
        match notice {
            Notice::StopEscalated { .. } => hastened = Some(at),
            Notice::BudgetShrunk { service, scale, .. } => {
                let of = progress.entry(*service).or_default();
                of.scale = Some((index, *scale));
                if let Some(Current { since, needs: Some(needs), .. }) = &mut of.current {
                    *needs = scale.of(needs.saturating_sub(at.since(*since)));
                    *since = at;
                }
            }
            // A wait that was made longer ends with the share of a stop that comes meanwhile.
            Notice::StopRequested { .. } => {
                for of in progress.values_mut().filter(|of| of.is_extended) {
                    if let Some(current) = &mut of.current {
                        current.needs = Some(Duration::ZERO);
                    }
                }
            }
            Notice::WaitExtended { service, granted, .. } => {
                let of = progress.entry(*service).or_default();
                if let Some(current) = &mut of.current {
                    let needs = at.since(current.since) + *granted;
                    ensure!(
                        current.needs.is_none_or(|before| needs >= before),
                        "{} is given less time than it had",
                        history.name(*service)
                    );
                    current.needs = Some(needs);
                    of.is_extended = true;
                }
            }
            Notice::PreStopBegun { service, wait } => {
                let of = progress.entry(*service).or_default();
                let written = history.service_at(*service, index).hooks.pre_stop.unwrap_or_default();
                of.check_wait(history.name(*service), "pre-stop", Some(*wait), written)?;
                of.enter(Waits::PreStop, at, Some(*wait));
            }
            Notice::HookEnded { service, kind: HookKind::PreStop, .. } => {
                let of = progress.entry(*service).or_default();
                if let Some(current) = of.current.as_mut().filter(|current| current.what == Waits::PreStop) {
                    current.needs = Some(Duration::ZERO);
                }
            }
            Notice::DrainBegun { service, wait } => {
                let of = progress.entry(*service).or_default();
                let name = history.name(*service);
                of.check_over(name, "drain", at, false)?;
                let written = history.service_at(*service, index).drain;
                of.check_wait(name, "drain", Some(*wait), written)?;
                of.enter(Waits::Drain, at, Some(*wait));
            }
            Notice::StageSent { service, stage, wait, recipients, signal, .. } => {
                let of = progress.entry(*service).or_default();
                let is_kill = *signal == Signal::KILL;
                let of_leader = matches!(recipients, Recipients::Leader(_));
                let told = Told { index, at, stage: *stage, wait: *wait, of_leader, is_kill };
                told.check(history, *service, of, &signal.to_string(), wishes(index, is_kill))?;
            }
            Notice::StageRun { service, stage, wait, .. } => {
                let of = progress.entry(*service).or_default();
                let told = Told { index, at, stage: *stage, wait: *wait, of_leader: true, is_kill: false };
                told.check(history, *service, of, "a command", wishes(index, false))?;
            }
            // It has heard nothing yet, and may be told anew.
            Notice::LeaderMoved { service, .. } => {
                let of = progress.entry(*service).or_default();
                if of.current.is_some_and(|current| current.what == Waits::Stage) {
                    of.may_begin_anew = Some(index);
                }
            }
            // What belongs to none may come to light again.
            Notice::ServiceDown { service, .. } => {
                progress.remove(service);
            }
            _ => {}
        }
    }
    no_kill_goes_unsaid(history)
}

/// A stage, as it was told.
#[derive(Clone, Copy, Debug)]
struct Told {
    index: usize,
    at: Timestamp,
    stage: usize,
    wait: Option<Duration>,
    of_leader: bool,
    is_kill: bool,
}

impl Told {
    fn check(
        self,
        history: &History,
        service: ServiceId,
        of: &mut Progress,
        what: &str,
        wished: bool,
    ) -> Complaint {
        let Self { index, at, stage, wait, of_leader, is_kill } = self;
        let name = history.name(service);
        let has_deadline = history.settings.deadline.is_some();
        if of.current.is_some_and(|current| current.what == Waits::PostStop) {
            // What it leaves behind has no grace of its own.
            if of_leader && !wished {
                of.check_over(name, what, at, false)?;
            }
            of.enter(Waits::Stage, at, wait);
            return Ok(());
        }
        // What a leader left behind is told of no command.
        let next = |from: usize| history.stage_at_or_after(service, index, from, of_leader);
        if let Some(moved) = of.may_begin_anew.take().filter(|_| stage == next(0)) {
            let scale = of.scale.filter(|(told, _)| *told > moved);
            *of = Progress { scale, is_extended: of.is_extended, ..Progress::default() };
        }
        // What its leader left behind begins anew.
        let anew = of.last.is_none_or(|(_, before)| before && !of_leader && stage == next(0));
        if anew {
            ensure!(stage == next(0) || wished, "{name} begins with stage {stage}");
            if of_leader && !wished {
                of.check_over(name, what, at, has_deadline)?;
            }
        } else if let Some((before, _)) = of.last {
            ensure!(stage > before, "{name} goes from stage {before} to {stage}");
            ensure!(wished || stage == next(before + 1), "{name} is not given stage {}", before + 1);
            if !wished {
                of.check_over(name, what, at, has_deadline)?;
            }
        }
        // What is told of a leader's waits is not told of its strays': theirs is measured right before.
        let is_old = |told: usize| {
            anew && !of_leader && of.current.is_some() && !history.handling(index).contains(&told)
        };
        if of.scale.is_some_and(|(told, _)| is_old(told)) {
            of.scale = None;
        }
        let needs = match history.stage_waits(service, index).get(stage) {
            Some(Wait::For(written)) => {
                of.check_wait(name, &format!("stage {stage}"), wait, *written)?;
                wait
            }
            Some(Wait::Open) => None,
            None => wait,
        };
        let needs = if is_kill { wait } else { needs };
        of.enter(Waits::Stage, at, needs);
        of.last = Some((stage, of_leader));
        Ok(())
    }
}

fn no_kill_goes_unsaid(history: &History) -> Complaint {
    let mut killed = BTreeSet::new();
    let forwarded = wished_signals(history);
    for entry in &history.entries {
        match &entry.what {
            What::Command(Command::Tell(Notice::StageSent { service, signal: Signal::KILL, .. }), _) => {
                killed.insert(*service);
            }
            What::Command(Command::Signal { service, signal: Signal::KILL, .. }, _) => {
                ensure!(
                    killed.contains(service) || forwarded.contains(&(entry.at, Signal::KILL)),
                    "{} is killed at {} unsaid",
                    history.name(*service),
                    entry.at
                );
            }
            _ => {}
        }
    }
    Ok(())
}

/// The signals that were passed on, and when.
fn wished_signals(history: &History) -> BTreeSet<(Timestamp, Signal)> {
    let forwarded = history.notices().filter_map(|(_, at, notice)| match notice {
        Notice::SignalForwarded { sent, .. } => Some((at, *sent)),
        _ => None,
    });
    forwarded.collect()
}

pub(super) fn asked_before_killed(history: &History) -> Complaint {
    if history.settings.seat == Seat::SharedGroup {
        // It may have heard it from the terminal.
        return Ok(());
    }
    let wished = wished_signals(history);
    for (index, at, service, recipients, signal, hit) in history.signals() {
        // What comes to lead a service that is killed is killed at once.
        let moved = matches!(
            &history.entries[index - 1].what,
            What::Command(Command::Tell(Notice::LeaderMoved { .. }), _)
        );
        if moved || wished.contains(&(at, signal)) {
            continue;
        }
        // A schedule may be KILL alone, or with commands before it.
        let asks = !history.is_first_signal(service, index, usize::MAX);
        if signal != Signal::KILL || history.kill_is_due(index, at) || !asks {
            continue;
        }
        for pid in hit {
            let process = history.process(*pid);
            // Commands around a service have a time, and no grace.
            let is_work = !matches!(process.origin, Origin::Step(Step::PostStop));
            let addressed = is_work
                && match recipients {
                    Recipients::Leader(_) => history.leader_pid_at(service, index) == Some(*pid),
                    Recipients::Strays => true,
                    // What comes to light after KILL is killed at once.
                    Recipients::Stray(_) => false,
                };
            // By whatever name it was addressed: a descendant of a leader may have heard it with the leader.
            let asked =
                process.from_curfew.iter().any(|(_, signal)| !matches!(*signal, Signal::KILL | Signal::CONT));
            let kills =
                process.from_curfew.iter().filter(|(sent, signal)| *signal == Signal::KILL && *sent <= at);
            let killed_before = kills.clone().any(|(sent, _)| *sent < at) || kills.count() > 1;
            ensure!(
                asked || killed_before || !addressed,
                "{} {pid} is killed at {at} and was never asked",
                history.name(service)
            );
        }
    }
    Ok(())
}

pub(super) fn levels_never_fall(history: &History) -> Complaint {
    let mut level = Level::Stop;
    for (_, at, notice) in history.notices() {
        if let Notice::StopEscalated { level: to, .. } = notice {
            ensure!(*to >= level, "the level falls from {level:?} to {to:?} at {at}");
            level = *to;
        }
    }
    let forwarded = wished_signals(history);
    let mut killed: BTreeSet<Pid> = BTreeSet::new();
    for (_, at, service, _, signal, hit) in history.signals() {
        for pid in hit.iter().filter(|pid| history.process(**pid).service == service) {
            if forwarded.contains(&(at, signal)) {
                continue;
            }
            if signal == Signal::KILL {
                killed.insert(*pid);
            } else {
                ensure!(
                    !killed.contains(pid),
                    "{} {pid} gets {signal} after KILL at {at}",
                    history.name(service)
                );
            }
        }
    }
    Ok(())
}

pub(super) fn no_signal_to_the_dead(history: &History) -> Complaint {
    let mut dead_leaders = BTreeSet::new();
    let mut dead = BTreeSet::new();
    for entry in &history.entries {
        match &entry.what {
            What::Event(Event::LeaderEnded { service, .. }) => {
                dead_leaders.insert(*service);
            }
            What::Event(Event::Forked { service, .. }) => {
                dead_leaders.remove(service);
            }
            What::Event(Event::StrayEnded { pid, .. }) => {
                dead.insert(*pid);
            }
            What::Command(Command::Signal { service, recipients, signal }, _) => {
                let is_dead = match recipients {
                    Recipients::Leader(_) => dead_leaders.contains(service),
                    Recipients::Stray(pid) => dead.contains(pid),
                    Recipients::Strays => false,
                };
                ensure!(!is_dead, "{} gets {signal} at {}, but is dead", history.name(*service), entry.at);
            }
            What::Event(_) | What::Command(..) => {}
        }
    }
    Ok(())
}

pub(super) fn continued(history: &History) -> Complaint {
    let forwarded = |index: usize| {
        // A refusal may be answered in between.
        let next = history.entries[index + 1..].iter().find_map(|entry| match &entry.what {
            What::Event(_) => None,
            What::Command(command, _) => Some(command),
        });
        matches!(next, Some(Command::Tell(Notice::SignalForwarded { .. })))
    };
    for (index, at, service, recipients, signal, _) in history.signals() {
        if matches!(signal, Signal::KILL | Signal::CONT) || forwarded(index) {
            continue;
        }
        let next = history.entries[index + 1..].iter().find_map(|entry| match &entry.what {
            What::Command(Command::Tell(_), _) | What::Event(_) => None,
            What::Command(command, _) => Some(command),
        });
        ensure!(
            next == Some(&Command::Signal { service, recipients, signal: Signal::CONT }),
            "{} gets {signal} at {at}, but is not continued",
            history.name(service)
        );
    }
    Ok(())
}

impl History {
    /// Who leads a service at this entry, as far as curfew knows.
    fn leader_pid_at(&self, id: ServiceId, index: usize) -> Option<Pid> {
        self.entries[..index].iter().rev().find_map(|entry| match &entry.what {
            What::Event(Event::Forked { service, pid } | Event::LeaderMoved { service, pid })
                if *service == id =>
            {
                Some(*pid)
            }
            _ => None,
        })
    }

    /// How long the command after a service's end may take; for `(cleanup)`, the last command of all.
    pub(super) fn post_stop_time(&self, id: ServiceId, index: usize) -> Duration {
        match self.settings.services.get(id.index()) {
            Some(_) => self.service_at(id, index).hooks.post_stop.unwrap_or_default(),
            None => self.settings.cleanup.unwrap_or_default(),
        }
    }
}
