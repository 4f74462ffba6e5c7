//! The promises, checked on what can be seen: commands, notices, and the fake kernel's truth. Nothing here uses the
//! core's arithmetic; where a formula is needed, it is the one in the design, written once more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use curfew::supervisor::{
    Cause, Command, End, Event, ExitStatusPolicy, Failure, HookKind, Kind, Level, Mode, Notice, Recipients,
    Scale, Seat, Sender, ServiceId, Signal, Stage, StageAction, StartFailure, StartStep, Timestamp, Verdict,
    Wait,
};

use super::history::{History, What};
use super::kernel::Kernel;
use super::process::{How, Process, Reaction, Start};

type Complaint = Result<(), String>;
type Checker = (&'static str, fn(&History) -> Complaint);

/// Every checker, by name.
const CHECKERS: [Checker; 17] = [
    ("starts follow their dependencies, once, and never after a stop began", starts),
    ("the stop begins at its first cause, and only then", first_cause),
    ("exit comes inside the budget", inside_the_budget),
    ("nobody is killed before its grace has ended", whole_grace),
    ("nobody is killed unasked", asked_before_killed),
    ("nothing is shortened that would have fitted", no_needless_shrinking),
    ("a dependency is signalled when its dependents are down or given up", stop_order),
    ("levels never fall", levels_never_fall),
    ("no signal goes to a process that was reaped", no_signal_to_the_dead),
    ("CONT follows every stop signal", continued),
    ("the exit status follows from the outcomes", exit_status),
    ("the verdict follows from the outcomes", verdict),
    ("at the end everybody is dead or named", accounted_for),
    ("at the end nothing is armed", nothing_armed),
    ("obedient processes stop in the time of the slowest", no_time_lost),
    ("what is told is what was done", told_truly),
    ("it comes to an end", comes_to_an_end),
];

/// What each checker has to complain about.
pub(crate) fn complaints(history: &History) -> Vec<(&'static str, String)> {
    CHECKERS
        .iter()
        .filter_map(|(name, checker)| checker(history).err().map(|complaint| (*name, complaint)))
        .collect()
}

macro_rules! ensure {
    ($condition:expr, $($complaint:tt)+) => {
        if !$condition {
            return Err(format!($($complaint)+));
        }
    };
}

// Figures of the design.
const HELD_DEATH: Duration = Duration::from_millis(100);
const DAEMONISES_WITHIN: Duration = Duration::from_secs(5);
const RESERVE_MAX: Duration = Duration::from_millis(500);
const KILLED_MAX: Duration = Duration::from_secs(10);
const REPORT_MAX: Duration = Duration::from_millis(100);
const OPEN_NOMINAL: Duration = Duration::from_secs(1);

/// What can be computed about a history, apart from the core.
impl History {
    fn ids(&self) -> impl Iterator<Item = ServiceId> + use<> {
        (0..self.settings.services.len()).map(ServiceId::new)
    }

    fn name(&self, id: ServiceId) -> &str {
        self.settings.name(id)
    }

    fn is_stray_service(&self, id: ServiceId) -> bool {
        id == self.settings.stray_id()
    }

    fn stage_waits(&self, id: ServiceId) -> Vec<Wait> {
        let grace = match self.settings.services.get(id.index()) {
            Some(settings) => &settings.grace,
            None => &self.settings.stray_grace,
        };
        grace.stages().iter().map(|stage| stage.wait).collect()
    }

    /// The first stage from here on that such processes take part in.
    fn stage_at_or_after(&self, id: ServiceId, from: usize, of_leader: bool) -> usize {
        let grace = self.settings.services.get(id.index()).map(|settings| &settings.grace);
        let stages = grace.unwrap_or(&self.settings.stray_grace).stages();
        let skipped = |stage: &&Stage| !of_leader && matches!(stage.action, StageAction::Run(_));
        from + stages.iter().skip(from).take_while(skipped).count()
    }

    fn budget(&self) -> Option<Duration> {
        self.settings.deadline.map(|deadline| deadline.deadline - deadline.margin)
    }

    /// When the services must be down.
    fn stop_by(&self) -> Option<Timestamp> {
        let (_, began, _) = self.stop()?;
        let deadline = self.settings.deadline?;
        let report = REPORT_MAX.min(deadline.margin / 2).min(deadline.deadline - deadline.margin);
        Some(began + (deadline.deadline - deadline.margin - report))
    }

    /// Whether curfew was always scheduled nearly at once.
    fn is_prompt(&self) -> bool {
        self.suspensions.is_empty()
    }

    /// When KILL for everything was asked for.
    fn kill_now(&self) -> Option<(usize, Timestamp)> {
        self.notices().find_map(|(index, at, notice)| match notice {
            Notice::StopEscalated { level: Level::KillNow, .. } => Some((index, at)),
            _ => None,
        })
    }

    /// Whether at this moment KILL needs no further reason.
    fn kill_is_due(&self, index: usize, at: Timestamp) -> bool {
        // A person's wish is told just before it is done.
        let wished = self.kill_now().is_some_and(|(wished, since)| wished <= index || since == at);
        // Without a deadline, the wait for what KILL does not end is bounded all the same.
        let waited = self.settings.deadline.is_none()
            && self.notices().any(|(_, since, notice)| {
                matches!(notice, Notice::ServiceLingers { .. }) && at >= since + KILLED_MAX
            });
        wished || waited || self.stop_by().is_some_and(|stop_by| at >= stop_by)
    }

    /// When the service's process executed its command.
    fn executed(&self, id: ServiceId) -> Option<usize> {
        self.milestones[id.index()].executed
    }

    /// When its leader was forked.
    fn forked(&self, id: ServiceId) -> Option<Timestamp> {
        self.events().find_map(|(_, at, event)| match event {
            Event::Forked { service, .. } if *service == id => Some(at),
            _ => None,
        })
    }

    fn start_failure(&self, id: ServiceId) -> Option<(usize, StartFailure)> {
        self.milestones[id.index()].start_failure
    }

    fn started(&self, id: ServiceId) -> Option<usize> {
        self.milestones[id.index()].started
    }

    fn leader(&self, id: ServiceId) -> Option<&Process> {
        self.milestones[id.index()].leader.map(|index| &self.processes[index])
    }

    fn is_success(&self, id: ServiceId, end: End) -> bool {
        let success = &self.settings.services[id.index()].success;
        match end {
            End::Exited(status) => status == 0 || success.statuses.contains(&status),
            End::Signaled { number, .. } => {
                Signal::from_number(i32::from(number)).is_some_and(|signal| success.signals.contains(signal))
            }
        }
    }

    /// The signals that a stop sends, or may send, to a service.
    fn stop_signals_of(&self, id: ServiceId) -> BTreeSet<Signal> {
        let received = match self.stop() {
            Some((_, _, Cause::Signal { signal, .. })) => {
                self.settings.map.get(&signal).copied().flatten().unwrap_or(signal)
            }
            _ => Signal::TERM,
        };
        let stages =
            self.settings.services[id.index()].grace.stages().iter().filter_map(|stage| match stage.action {
                StageAction::Fixed(signal) => Some(signal),
                StageAction::Received => Some(received),
                StageAction::Run(_) => None,
            });
        let usual = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP];
        usual.into_iter().chain(self.settings.stop_signals.iter()).chain(stages).collect()
    }

    /// Whether this end is what a stop signal does to a process.
    fn is_stop_death(&self, id: ServiceId, end: End) -> bool {
        let signal = match end {
            End::Signaled { number, .. } => Signal::from_number(i32::from(number)),
            End::Exited(status) => status.checked_sub(128).and_then(|n| Signal::from_number(i32::from(n))),
        };
        signal.is_some_and(|signal| self.stop_signals_of(id).contains(&signal))
    }

    fn asks_for_a_stop(&self, signal: Signal, sender: Sender) -> bool {
        if self.settings.map.get(&signal) == Some(&None) {
            return false;
        }
        let many = self.settings.mode == Mode::ManyServices;
        self.settings.stop_signals.contains(signal)
            || signal == Signal::ABRT
            || signal == Signal::HUP && (sender == Sender::Terminal || many && !self.settings.reloadable)
            || signal == Signal::QUIT && many
    }

    /// The reserve per level of the stop, by the states that services were in when it began.
    fn path_at_stop(&self) -> Option<(Duration, u32)> {
        let (stop, _, _) = self.stop()?;
        let is_left = |id: ServiceId| {
            let down = self.milestones[id.index()].down.is_some_and(|index| index < stop);
            self.started(id).is_some_and(|index| index < stop) && !down
        };
        let has_leader = |id: ServiceId| {
            is_left(id)
                && self.leader(id).is_some()
                && self.leader_end(id).is_none_or(|(index, _, _)| index > stop)
        };
        let mut longest: BTreeMap<ServiceId, (Duration, u32)> = BTreeMap::new();
        let strays = u32::from(self.settings.mode == Mode::ManyServices);
        let mut overall = (Duration::ZERO, strays);
        for id in self.settings.order.start_order() {
            let behind = self.settings.order.dependencies(*id).iter().map(|dependency| longest[dependency]);
            let behind =
                behind.fold((Duration::ZERO, strays), |one, other| (one.0.max(other.0), one.1.max(other.1)));
            let mut own = Duration::ZERO;
            if has_leader(*id) {
                own = self.stage_waits(*id).iter().fold(Duration::ZERO, |sum, wait| match wait {
                    Wait::For(wait) => sum + *wait,
                    Wait::Open => sum + OPEN_NOMINAL,
                });
                if self.executed(*id).is_some_and(|index| index < stop) {
                    own += self.settings.services[id.index()].drain;
                }
            }
            let path = (behind.0 + own, behind.1 + u32::from(is_left(*id)));
            overall = (overall.0.max(path.0), overall.1.max(path.1));
            longest.insert(*id, path);
        }
        Some(overall)
    }

    /// What is kept for KILL at each level, at least.
    fn reserve_at_least(&self) -> Duration {
        let levels = self.settings.services.len() as u32 + 1;
        self.budget().map_or(RESERVE_MAX, |budget| RESERVE_MAX.min(budget / (10 * levels)))
    }
}

fn starts(history: &History) -> Complaint {
    let stop = first_cause_seen(history).map_or(usize::MAX, |(index, _)| index);
    for (position, entry) in history.entries.iter().enumerate() {
        let What::Command(Command::Start { service: id, .. }, _) = entry.what else { continue };
        let name = history.name(id);
        ensure!(position < stop, "{name} was started after the stop had begun");
        ensure!(history.started(id) == Some(position), "{name} was started twice");
        for dependency in history.settings.order.dependencies(id) {
            let settings = &history.settings.services[dependency.index()];
            let before = |index: usize| index < position;
            let failed = history.start_failure(*dependency).is_some_and(|(index, _)| before(index))
                || history.leader_end(*dependency).is_some_and(|(index, _, _)| before(index));
            let reached = match settings.kind {
                Kind::Service => history.executed(*dependency).is_some_and(before),
                Kind::Task => history
                    .leader_end(*dependency)
                    .is_some_and(|(index, _, end)| before(index) && history.is_success(*dependency, end)),
            };
            ensure!(reached || failed && !settings.essential, "{name} was started before {}", settings.name);
        }
    }
    Ok(())
}

/// The first thing that must stop the system, from the events alone. `NothingLeft` is not among them.
fn first_cause_seen(history: &History) -> Option<(usize, Cause)> {
    let settings = &history.settings;
    let mut held: Vec<(Timestamp, ServiceId, End)> = Vec::new();
    let mut early: BTreeMap<ServiceId, End> = BTreeMap::new();
    let mut ended = BTreeSet::new();
    let failed = |service: ServiceId, failure| Cause::ServiceFailed { service, failure };
    for (index, entry) in history.entries.iter().enumerate() {
        let at = entry.at;
        let event = match &entry.what {
            What::Event(event) => event,
            // That it is right is for others to check.
            What::Command(Command::Tell(Notice::ServiceFailing { service, failure, .. }), _)
                if settings.services[service.index()].essential =>
            {
                return Some((index, failed(*service, *failure)));
            }
            What::Command(..) => continue,
        };
        match event {
            Event::SignalReceived { signal, sender } if history.asks_for_a_stop(*signal, *sender) => {
                return Some((index, Cause::Signal { signal: *signal, sender: *sender }));
            }
            Event::StartFailed { service, failure }
                if history.leader(*service).is_none() && settings.services[service.index()].essential =>
            {
                return Some((index, failed(*service, Failure::Start(*failure))));
            }
            Event::LeaderEnded { service, end } if ended.insert(*service) => {
                let of = &settings.services[service.index()];
                let success = history.is_success(*service, *end);
                let start_failure = history.start_failure(*service).map(|(_, failure)| failure);
                if let (Some(failure), true) = (start_failure, of.essential) {
                    return Some((index, failed(*service, Failure::Start(failure))));
                }
                let is_early = history.forked(*service).is_some_and(|forked| at < forked + DAEMONISES_WITHIN);
                if start_failure.is_none() && success && of.kind == Kind::Service && is_early {
                    early.insert(*service, *end);
                    continue;
                }
                if start_failure.is_some() || !of.essential && success {
                    continue;
                }
                if success {
                    let stays = of.kind == Kind::Service || settings.mode == Mode::OneCommand;
                    if stays {
                        return Some((index, Cause::ServiceEnded { service: *service, end: *end }));
                    }
                } else if history.is_stop_death(*service, *end) {
                    held.push((at, *service, *end));
                } else if of.essential {
                    return Some((index, failed(*service, Failure::Ended(*end))));
                }
            }
            // What it left behind shows what it meant.
            Event::Census { strays, .. } => {
                for (service, end) in std::mem::take(&mut early) {
                    let left = strays.iter().any(|stray| stray.service == Some(service));
                    if !settings.services[service.index()].essential {
                        continue;
                    }
                    if left && settings.mode == Mode::ManyServices {
                        return Some((index, failed(service, Failure::Daemonised)));
                    }
                    return Some((index, Cause::ServiceEnded { service, end }));
                }
            }
            Event::TimePassed => {
                // Of those that died in one wake-up, the first in the configuration.
                let due = held
                    .iter()
                    .filter(|(since, service, _)| {
                        at >= *since + HELD_DEATH && settings.services[service.index()].essential
                    })
                    .min_by_key(|(since, service, _)| (*since, *service))
                    .copied();
                if let Some((_, service, end)) = due {
                    return Some((index, failed(service, Failure::Ended(end))));
                }
            }
            _ => {}
        }
    }
    None
}

fn first_cause(history: &History) -> Complaint {
    match (first_cause_seen(history), history.stop()) {
        (None, None) => Ok(()),
        (Some((index, cause)), Some((told, at, of))) => {
            if of == Cause::NothingLeft {
                ensure!(told < index, "nothing was left to run, but {cause:?} had come first");
                return nothing_was_left(history, told);
            }
            ensure!(cause == of, "stopped because of {of:?}, but first came {cause:?}");
            let since = history.entries[index].at;
            ensure!(at == since, "{cause:?} came at {since}, but the stop began at {at}");
            Ok(())
        }
        (None, Some((told, _, Cause::NothingLeft))) => nothing_was_left(history, told),
        (None, Some((_, _, cause))) => Err(format!("stopped without a reason: {cause:?}")),
        (Some((_, cause)), None) => Err(format!("did not stop, in spite of {cause:?}")),
    }
}

fn nothing_was_left(history: &History, stop: usize) -> Complaint {
    for id in history.ids() {
        let gone = history.leader_end(id).is_some_and(|(index, _, _)| index < stop)
            || history.leader(id).is_none()
                && history.start_failure(id).is_some_and(|(index, _)| index < stop);
        ensure!(gone, "nothing was said to be left, but there was {}", history.name(id));
    }
    Ok(())
}

fn inside_the_budget(history: &History) -> Complaint {
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

/// What a service's stages look like so far.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// Which entry it was.
    index: usize,
    stage: usize,
    since: Timestamp,
    /// What must pass before the next stage. `None`: it is open.
    needs: Option<Duration>,
    of_leader: bool,
}

fn whole_grace(history: &History) -> Complaint {
    let mut progress: BTreeMap<ServiceId, Progress> = BTreeMap::new();
    // What was told last, and where.
    let mut scales: BTreeMap<ServiceId, (usize, Scale)> = BTreeMap::new();
    let mut drains: BTreeMap<ServiceId, (usize, Timestamp, Duration)> = BTreeMap::new();
    let mut hastened: Option<Timestamp> = None;
    for (index, at, notice) in history.notices() {
        match notice {
            Notice::StopEscalated { .. } => hastened = Some(at),
            Notice::BudgetShrunk { service, scale, .. } => {
                scales.insert(*service, (index, *scale));
                if let Some(Progress { since, needs: Some(needs), .. }) = progress.get_mut(service) {
                    *needs = scale.of(needs.saturating_sub(at.since(*since)));
                    *since = at;
                }
            }
            Notice::DrainBegun { service, wait } => {
                let scale = scales.get(service).map_or(Scale::FULL, |(_, scale)| *scale);
                let full = scale.of(history.settings.services[service.index()].drain);
                ensure!(*wait == full, "{} drains for {wait:?} instead of {full:?}", history.name(*service));
                drains.insert(*service, (index, at, *wait));
            }
            Notice::StageSent { service, stage, wait, .. }
            | Notice::StageRun { service, stage, wait, .. } => {
                let name = history.name(*service);
                let (of_leader, is_kill, what) = match notice {
                    Notice::StageSent { recipients, signal, .. } => {
                        let of_leader = matches!(recipients, Recipients::Leader(_));
                        (of_leader, *signal == Signal::KILL, signal.to_string())
                    }
                    _ => (true, false, "a command".to_owned()),
                };
                // What a leader left behind is told of no command.
                let next = |from: usize| history.stage_at_or_after(*service, from, of_leader);
                let wished = hastened == Some(at) || is_kill && history.kill_is_due(index, at);
                let drained = drains.remove(service);
                if let Some((_, since, drain)) = drained {
                    ensure!(wished || !of_leader || at >= since + drain, "{name} did not drain to the end");
                }
                let before = progress.get(service).copied();
                // What its leader left behind begins anew.
                let anew = before.is_none_or(|before| before.of_leader && !of_leader && *stage == next(0));
                let stages = history.stage_waits(*service);
                match before.filter(|_| !anew) {
                    None => ensure!(*stage == next(0) || wished, "{name} begins with stage {stage}"),
                    Some(before) => {
                        ensure!(*stage > before.stage, "{name} goes from stage {} to {stage}", before.stage);
                        ensure!(
                            wished || *stage == next(before.stage + 1),
                            "{name} is not given stage {}",
                            before.stage + 1
                        );
                        let waited = at.since(before.since);
                        match before.needs {
                            Some(needs) => ensure!(
                                wished || waited >= needs,
                                "{name}: {what} after {waited:?}, but the stage lasts {needs:?}"
                            ),
                            None => ensure!(
                                wished || history.budget().is_some(),
                                "{name}: {what}, though its last stage never ends"
                            ),
                        }
                    }
                }
                // What is told of a leader's waits is not told of its strays'.
                let told_since = before.map(|before| before.index).or(drained.map(|(index, _, _)| index));
                let is_old = |told: usize| anew && !of_leader && told_since.is_some_and(|since| told < since);
                if scales.get(service).is_some_and(|(told, _)| is_old(*told)) {
                    scales.remove(service);
                }
                let scale = scales.get(service).map_or(Scale::FULL, |(_, scale)| *scale);
                let needs = match stages.get(*stage) {
                    Some(Wait::For(wait)) => Some(scale.of(*wait)),
                    Some(Wait::Open) => None,
                    None => *wait,
                };
                if let Some(needs) = needs.filter(|_| !is_kill) {
                    ensure!(
                        *wait == Some(needs),
                        "{name}: stage {stage} lasts {wait:?} instead of {needs:?}"
                    );
                }
                progress.insert(*service, Progress { index, stage: *stage, since: at, needs, of_leader });
            }
            // What belongs to none may come to light again.
            Notice::ServiceDown { service, .. } => {
                progress.remove(service);
                scales.remove(service);
            }
            _ => {}
        }
    }
    // Notices were checked; now that no KILL goes out without one.
    let mut killed = BTreeSet::new();
    for entry in &history.entries {
        match &entry.what {
            What::Command(Command::Tell(Notice::StageSent { service, signal: Signal::KILL, .. }), _) => {
                killed.insert(*service);
            }
            What::Command(Command::Signal { service, signal: Signal::KILL, .. }, _) => {
                ensure!(
                    killed.contains(service),
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

fn asked_before_killed(history: &History) -> Complaint {
    if history.settings.seat == Seat::SharedGroup {
        // It may have heard it from the terminal.
        return Ok(());
    }
    for (index, at, service, recipients, signal, hit) in history.signals() {
        // A schedule may be KILL alone, or with commands before it.
        let asks = !history.is_first_signal(service, usize::MAX);
        if signal != Signal::KILL || history.kill_is_due(index, at) || !asks {
            continue;
        }
        for pid in hit {
            let process = history.process(*pid);
            let addressed = match recipients {
                Recipients::Leader(_) => process.is_leader,
                Recipients::Strays => true,
                // What comes to light after KILL is killed at once.
                Recipients::Stray(_) => false,
            };
            // By whatever name it was addressed: a descendant of a leader may have heard it with the leader.
            let asked =
                process.from_curfew.iter().any(|(_, signal)| !matches!(*signal, Signal::KILL | Signal::CONT));
            let killed_before =
                process.from_curfew.iter().any(|(sent, signal)| *signal == Signal::KILL && *sent < at);
            ensure!(
                asked || killed_before || !addressed,
                "{} {pid} is killed at {at} and was never asked",
                history.name(service)
            );
        }
    }
    Ok(())
}

fn no_needless_shrinking(history: &History) -> Complaint {
    let (Some((stop, began, _)), Some(stop_by)) = (history.stop(), history.stop_by()) else { return Ok(()) };
    // What a leader left behind that had ended before, nobody could know of when the stop began.
    let strays_at_stop = history.notices().any(|(index, _, notice)| match notice {
        Notice::StrayFound { service, .. } => {
            index < stop || history.leader_end(*service).is_some_and(|(ended, _, _)| ended < stop)
        }
        _ => false,
    });
    if !history.is_prompt() || strays_at_stop {
        return Ok(());
    }
    let (path, levels) = history.path_at_stop().expect("there was a stop");
    let reserve = RESERVE_MAX.min(history.budget().expect("a budget") / (10 * levels.max(1)));
    // Each stage may begin late.
    let stages: usize =
        history.settings.services.iter().map(|service| service.grace.stages().len() + 3).sum();
    let late = history.lateness * stages as u32;
    let needed = path + reserve * levels + late;
    if needed > stop_by.since(began) {
        return Ok(());
    }
    for (index, at, notice) in history.notices() {
        let Notice::BudgetShrunk { service, from, to, .. } = notice else { continue };
        let its_strays = history.leader_end(*service).is_some_and(|(end, _, _)| end < index);
        ensure!(
            its_strays || history.is_stray_service(*service) || *from - *to < late,
            "{} is shortened at {at}, but {needed:?} fit into {:?}",
            history.name(*service),
            stop_by.since(began)
        );
    }
    Ok(())
}

fn stop_order(history: &History) -> Complaint {
    let Some((stop, _, _)) = history.stop() else { return Ok(()) };
    let reserve = history.reserve_at_least();
    let mut begun = BTreeSet::new();
    let mut killed: BTreeMap<ServiceId, Timestamp> = BTreeMap::new();
    let mut down: BTreeSet<ServiceId> = BTreeSet::new();
    for (index, at, notice) in history.notices() {
        let (id, of_leader, is_kill) = match notice {
            Notice::DrainBegun { service, .. } => (*service, true, false),
            Notice::StageSent { service, recipients, signal, .. } => {
                let is_kill = *signal == Signal::KILL;
                if is_kill {
                    killed.entry(*service).or_insert(at);
                }
                (*service, matches!(recipients, Recipients::Leader(_)), is_kill)
            }
            Notice::ServiceDown { service, .. } => {
                down.insert(*service);
                continue;
            }
            _ => continue,
        };
        let name = history.name(id);
        // Strays whose leader is gone begin on their own.
        if index < stop || is_kill && history.kill_is_due(index, at) || !begun.insert(id) {
            continue;
        }
        let dependents: Vec<ServiceId> = if history.is_stray_service(id) {
            history.ids().collect()
        } else if of_leader {
            history.settings.order.dependents(id).to_vec()
        } else {
            Vec::new()
        };
        for dependent in dependents {
            let never_started = history.started(dependent).is_none();
            let given_up = killed.get(&dependent).is_some_and(|since| at.since(*since) >= reserve);
            ensure!(
                never_started || given_up || down.contains(&dependent) || is_gone(history, dependent, at),
                "{name} is signalled at {at}, before {} is down",
                history.name(dependent)
            );
        }
    }
    Ok(())
}

/// Whether no process of a service was left at this time, as far as could be told.
fn is_gone(history: &History, id: ServiceId, at: Timestamp) -> bool {
    history
        .processes
        .iter()
        .filter(|process| process.service == id && !process.is_hidden)
        .all(|process| process.ended.is_some_and(|(ended, _)| ended <= at))
}

fn levels_never_fall(history: &History) -> Complaint {
    let mut level = Level::Stop;
    for (_, at, notice) in history.notices() {
        if let Notice::StopEscalated { level: to, .. } = notice {
            ensure!(*to >= level, "the level falls from {level:?} to {to:?} at {at}");
            level = *to;
        }
    }
    let forwarded: BTreeSet<(Timestamp, Signal)> = history
        .notices()
        .filter_map(|(_, at, notice)| match notice {
            Notice::SignalForwarded { sent, .. } => Some((at, *sent)),
            _ => None,
        })
        .collect();
    let mut killed = BTreeSet::new();
    for (_, at, service, _, signal, hit) in history.signals() {
        for pid in hit.iter().filter(|pid| history.process(**pid).service == service) {
            if signal == Signal::KILL {
                killed.insert(*pid);
            } else if !forwarded.contains(&(at, signal)) {
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

fn no_signal_to_the_dead(history: &History) -> Complaint {
    let mut dead_leaders = BTreeSet::new();
    let mut dead = BTreeSet::new();
    for entry in &history.entries {
        match &entry.what {
            What::Event(Event::LeaderEnded { service, .. }) => {
                dead_leaders.insert(*service);
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

fn continued(history: &History) -> Complaint {
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

/// What became of the services, from the kernel's truth.
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

fn outcomes(history: &History) -> Outcomes {
    let stop =
        first_cause_seen(history).map(|(index, _)| index).or(history.stop().map(|(index, _, _)| index));
    let stop = stop.unwrap_or(usize::MAX);
    let mut outcomes = Outcomes::default();
    for id in history.ids() {
        let Some((index, at, end)) = history.leader_end(id) else { continue };
        if history.is_success(id, end) || history.start_failure(id).is_some() {
            continue;
        }
        let leader = history.leader(id).expect("it ended");
        let is_task = history.settings.services[id.index()].kind == Kind::Task;
        let is_stop_death = history.is_stop_death(id, end);
        // A death that was held back is explained by a stop that comes before the hold is over.
        let culprit = match history.stop() {
            Some((_, _, Cause::ServiceFailed { service, .. })) => Some(service),
            _ => None,
        };
        let culprits_end =
            culprit.and_then(|culprit| history.leader_end(culprit).map(|(_, at, _)| (at, culprit)));
        let hold_ended = history.events().any(|(passed, now, event)| {
            // Of two that end in one wake-up, the first in the configuration is the culprit.
            let before =
                passed < stop || passed == stop && culprits_end.is_some_and(|culprit| (at, id) < culprit);
            before && now >= at + HELD_DEATH && matches!(event, Event::TimePassed)
        });
        let is_culprit = culprit == Some(id);
        let explained = is_stop_death && !hold_ended && !is_culprit;
        let asked = index > stop || explained;
        if !asked {
            continue;
        }
        if leader.was_killed() {
            outcomes.killed = true;
            if is_task {
                outcomes.interrupted = outcomes.interrupted.or(Some(end.status()));
            }
        } else if is_stop_death {
            if is_task {
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
        outcomes.killed |= !process.is_leader
            && process.was_killed()
            && told_strays.contains(&pid)
            && addressed.contains(&pid);
    }
    // Its own parent reaped it, before the KILL or after: nobody can tell.
    outcomes.perhaps_killed |= history.notices().any(|(_, _, notice)| {
        matches!(notice, Notice::StrayEnded { end: None, signal: Some(Signal::KILL), .. })
    });
    outcomes.escalated = history.notices().any(|(_, _, notice)| match notice {
        Notice::StageSent { service, stage, signal, .. } => {
            !history.is_first_signal(*service, *stage) || *signal == Signal::KILL
        }
        Notice::StageRun { service, stage, .. } => !history.is_first_signal(*service, *stage),
        _ => false,
    });
    outcomes
}

fn exit_status(history: &History) -> Complaint {
    let Some((_, _, status)) = history.finish() else { return Ok(()) };
    let outcomes = outcomes(history);
    let ensure_is = |expected: u8, why: &str| {
        if status == expected { Ok(()) } else { Err(format!("{status} instead of {expected}: {why}")) }
    };
    if history.settings.exit_status == ExitStatusPolicy::Mirror {
        let first = ServiceId::new(0);
        let own = match (history.start_failure(first), history.leader_end(first)) {
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
            let ran = history.ids().any(|id| history.leader_end(id).is_some());
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
                | Failure::RestartLimit,
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

fn verdict(history: &History) -> Complaint {
    let told = history.notices().find_map(|(_, _, notice)| match notice {
        Notice::StopComplete { verdict, .. } => Some(*verdict),
        _ => None,
    });
    let (Some(told), Some(_)) = (told, history.finish()) else { return Ok(()) };
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

fn accounted_for(history: &History) -> Complaint {
    if history.finish().is_none() {
        return Ok(());
    }
    let named: BTreeSet<usize> = history
        .notices()
        .filter_map(|(_, _, notice)| match notice {
            Notice::Survivor { pid, .. } => Some(Kernel::index(*pid)),
            _ => None,
        })
        .collect();
    for index in &named {
        let process = &history.processes[*index];
        ensure!(process.ended.is_none(), "{} is named as a survivor, but is dead", Kernel::pid(*index));
    }
    let said = history.notices().any(|(_, _, notice)| matches!(notice, Notice::AllStopped { .. }));
    let hidden = history.notices().any(|(_, _, notice)| matches!(notice, Notice::HiddenSurvivors));
    ensure!(
        said == (named.is_empty() && !hidden),
        "all are said to be stopped: {said}, survivors: {}",
        named.len()
    );
    for (index, process) in history.processes.iter().enumerate() {
        if process.ended.is_some() {
            continue;
        }
        // Who is under a living leader that is named is named with it.
        let mut ancestor = Some(index);
        let mut is_named = false;
        while let Some(current) = ancestor {
            is_named |= named.contains(&current);
            ancestor = history.processes[current].parent;
        }
        ensure!(is_named || hidden, "{} is left and was not named", Kernel::pid(index));
    }
    Ok(())
}

fn nothing_armed(history: &History) -> Complaint {
    let Some((finish, _, _)) = history.finish() else { return Ok(()) };
    ensure!(history.armed.is_none(), "a timer is armed for {:?}", history.armed);
    for entry in &history.entries[finish + 1..] {
        if let What::Command(command, _) = &entry.what {
            return Err(format!("{command:?} comes after the end"));
        }
    }
    Ok(())
}

fn no_time_lost(history: &History) -> Complaint {
    let (Some((stop, began, _)), Some((_, end, _))) = (history.stop(), history.finish()) else {
        return Ok(());
    };
    let disturbed = history.notices().any(|(_, _, notice)| {
        matches!(
            notice,
            Notice::BudgetShrunk { .. } | Notice::StopEscalated { .. } | Notice::StartFailed { .. }
        )
    });
    if history.lateness > Duration::ZERO || !history.is_prompt() || disturbed {
        return Ok(());
    }
    let mut down: BTreeMap<ServiceId, Duration> = BTreeMap::new();
    for id in history.settings.order.start_order().iter().rev() {
        let settings = &history.settings.services[id.index()];
        let dependents = history.settings.order.dependents(*id).iter().map(|dependent| down[dependent]);
        let mut at = dependents.max().unwrap_or_default();
        if let Some(leader) = history.leader(*id)
            && history.leader_end(*id).is_none_or(|(index, _, _)| index > stop)
        {
            let Behaves::Obediently(first, after) = behaves(history, *id, leader) else { return Ok(()) };
            let drains = history.executed(*id).is_some_and(|index| index < stop);
            at += if drains { settings.drain } else { Duration::ZERO };
            // Before its exec every signal ends it at once.
            at += if leader.executed_at.is_some() { after } else { Duration::ZERO };
            if leader.executed_at.is_some() && after > first {
                return Ok(());
            }
        }
        down.insert(*id, at);
    }
    let left = |process: &Process| !process.is_leader;
    if history.processes.iter().any(left) {
        return Ok(());
    }
    let expected = down.values().max().copied().unwrap_or_default();
    ensure!(
        end.since(began) == expected,
        "the slowest takes {expected:?}, the stop took {:?}",
        end.since(began)
    );
    ensure!(!outcomes(history).escalated, "everybody obeys, but it escalated");
    Ok(())
}

/// Whether a leader does what it is told.
enum Behaves {
    /// Its first stage lasts so long, and it takes so long.
    Obediently(Duration, Duration),
    Otherwise,
}

fn behaves(history: &History, id: ServiceId, leader: &Process) -> Behaves {
    let behaviour = &leader.behaviour;
    let stage = history.settings.services[id.index()].grace.stages().first();
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
                && how != How::Crashes(Signal::KILL)
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

fn told_truly(history: &History) -> Complaint {
    let commands: Vec<(Timestamp, &Command)> = history
        .entries
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Command(command, _) => Some((entry.at, command)),
            What::Event(_) => None,
        })
        .collect();
    let mut strays = BTreeSet::new();
    let mut stop_requests = 0;
    let mut completed = None;
    let mut explained = 0;
    for (position, (at, command)) in commands.iter().enumerate() {
        let next = commands.get(position + 1).map(|(_, command)| *command);
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
                let stages = history.stage_waits(*service).len() + 1;
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
            Command::RunHook { service, kind, .. } => {
                ensure!(explained == position, "{} runs {kind} at {at}, unsaid", history.name(*service));
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
            Command::Tell(Notice::DependencyFailed { service }) => {
                let settings = &history.settings.services[service.index()];
                let awaited = !history.settings.order.dependents(*service).is_empty();
                let was_up = settings.kind == Kind::Service && history.executed(*service).is_some();
                ensure!(
                    !settings.essential && awaited && !was_up && stop_requests == 0,
                    "{} is told to have failed as a dependency at {at}",
                    settings.name
                );
            }
            Command::Tell(Notice::StrayFound { pid, .. }) => {
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
                ensure!(*budget == history.budget(), "the budget is said to be {budget:?}");
            }
            Command::Tell(Notice::StopComplete { status, after, budget, near_miss, .. }) => {
                ensure!(next == Some(&Command::Finish { status: *status }), "complete, but not finished");
                let began = history.stop().map(|(_, began, _)| began).unwrap_or_default();
                ensure!(*after == at.since(began), "it took {:?}, not {after:?}", at.since(began));
                let near = history.budget().is_some_and(|budget| *after * 5 > budget * 4);
                // A budget divides into hundredths by the nanosecond.
                let exact = history
                    .budget()
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
    ends_are_told(history)
}

fn ends_are_told(history: &History) -> Complaint {
    for id in history.ids() {
        let Some((_, at, end)) = history.leader_end(id) else { continue };
        let name = history.name(id);
        if history.start_failure(id).is_some() {
            continue;
        }
        match *history.milestones[id.index()].ends_told {
            [(told_at, told_end)] => {
                ensure!(told_end == end, "{name} ended with {end}, not {told_end}");
                let held = HELD_DEATH + history.lateness;
                let resumed = history.suspensions.iter().any(|(_, until)| told_at == *until);
                ensure!(
                    told_at.since(at) <= held || resumed,
                    "{name} ended at {at}, but it is told at {told_at}"
                );
            }
            [] => {
                let held = history.finish().is_none() && history.over.since(at) <= HELD_DEATH;
                ensure!(held, "{name} ended at {at}, but it is not told");
            }
            [..] => return Err(format!("{name} is told to have ended twice")),
        }
    }
    Ok(())
}

fn comes_to_an_end(history: &History) -> Complaint {
    if history.finish().is_some() {
        return Ok(());
    }
    ensure!(history.armed.is_none(), "it is still waiting for {:?}", history.armed);
    // For ever is right only for an open stage outside a budget.
    let open = history.notices().any(|(_, _, notice)| matches!(notice, Notice::StageSent { wait: None, .. }));
    if history.stop().is_none() {
        let runs = history.processes.iter().any(|process| process.is_leader && process.ended.is_none());
        ensure!(runs || open, "nothing runs, but it goes on");
    } else {
        ensure!(open && history.settings.deadline.is_none(), "it never ends");
    }
    Ok(())
}
