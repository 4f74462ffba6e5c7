mod life;
mod reload;

use std::collections::HashMap;
use std::time::Duration;

use nix::errno::Errno;

use super::crowd::MoreStrays;
use super::foreground::foreground_cure;
use super::program_words::ProgramWords;
use super::record::milliseconds;
use crate::supervisor::{
    Cause, Deadline, End, EndMeaning, HookKind, IgnoredBecause, Kind, Level, Mode, Notice, Pid, Recipients,
    Sender, ServiceId, Settings, Signal, StartFailure, Step, Target, Told, UseOfExtension, Verdict,
};

use life::describe_failure;

/// Puts notices into words: one tracing event each.
///
/// The event names are stable; the sentences may change.
pub struct Narrator {
    names: Vec<String>,
    programs: Vec<ProgramWords>,
    mode: Mode,
    /// One command that ends by itself is not talked about: its own output says what there is to say.
    quiet: bool,
    /// Somebody asked for the stop.
    is_asked_to_stop: bool,
    /// Which services are meant to end.
    tasks: Vec<bool>,
    /// Whether systemd was asked for the deadline, and has not answered.
    deadline_is_asked: bool,
    /// Whose failure the exit status tells of, in words.
    failed: Option<String>,
    /// What is known of processes that are not leaders, or may not be signalled: the name, and the error number.
    known: HashMap<Pid, (Option<String>, Option<i32>)>,
}

fn names_of(settings: &Settings) -> Vec<String> {
    (0..=settings.services.len() + 1).map(|index| settings.name(ServiceId::new(index)).to_owned()).collect()
}

fn tasks_of(settings: &Settings) -> Vec<bool> {
    settings.services.iter().map(|service| service.kind == Kind::Task).collect()
}

/// What is said in place of a deadline that is not known yet.
pub(crate) const DEADLINE_IS_ASKED: &str = "the deadline is asked of systemd";

/// A longer chain of stops is told by its ends.
const CHAIN_TOLD: usize = 4;

/// Says it at `info`, or at `debug` if it is to be quiet.
macro_rules! say {
    ($quiet:expr, $($event:tt)*) => {
        if $quiet { tracing::debug!($($event)*) } else { tracing::info!($($event)*) }
    };
}

impl Narrator {
    /// A narrator for these services; `programs` are what each executes, for error messages.
    pub fn new(settings: &Settings, programs: Vec<ProgramWords>) -> Self {
        Self {
            names: names_of(settings),
            programs,
            mode: settings.mode,
            quiet: false,
            is_asked_to_stop: false,
            tasks: tasks_of(settings),
            deadline_is_asked: false,
            failed: None,
            known: HashMap::new(),
        }
    }

    /// The settings were read anew: some services may be new.
    pub fn reconfigured(&mut self, settings: &Settings, programs: Vec<ProgramWords>) {
        self.names = names_of(settings);
        self.tasks = tasks_of(settings);
        self.programs = programs;
    }

    /// From now on this is executed for the service.
    pub fn adopted(&mut self, service: ServiceId, settings: &Settings, program: ProgramWords) {
        self.tasks = tasks_of(settings);
        self.programs[service.index()] = program;
    }

    /// Whether systemd has been asked for the deadline, and has not answered yet.
    pub fn deadline_is_asked(&mut self, is_asked: bool) {
        self.deadline_is_asked = is_asked;
    }

    /// Says what was decided.
    pub fn tell(&mut self, notice: &Notice) {
        self.note_failure(notice);
        self.note_process(notice);
        let one = self.mode == Mode::OneCommand;
        match *notice {
            Notice::ServiceStarted { service, pid } => {
                tracing::debug!(
                    event = "service.started",
                    service = self.name(service),
                    pid = pid.number(),
                    "started"
                );
            }
            Notice::ServiceReady { service, pid, after } => {
                let after_ms = milliseconds(after);
                say!(
                    one,
                    event = "service.ready",
                    service = self.name(service),
                    pid = pid.number(),
                    after_ms,
                    "{}",
                    if self.tasks.get(service.index()) == Some(&true) { "started" } else { "up" }
                );
            }
            Notice::StartFailed { service, step, failure } => {
                let program = &self.programs[service.index()];
                tracing::error!(
                    event = "service.start-failed",
                    service = self.name(service),
                    step = failure.step.name(),
                    errno = failure.errno,
                    setting = program.setting(failure),
                    "{}",
                    match step {
                        Step::PreStart => hook_failure("pre-start", failure),
                        Step::Main | Step::PostStop => program.start_failure(failure),
                    }
                );
            }
            Notice::ServiceEnded { service, pid, end, meaning, after } => {
                self.service_ended(service, i64::from(pid.number()), end, meaning, after);
            }
            Notice::StepStarted { .. }
            | Notice::PreStopBegun { .. }
            | Notice::SystemReady { .. }
            | Notice::ProbeFailed { .. }
            | Notice::ProbeRecovered { .. }
            | Notice::ServiceFailing { .. }
            | Notice::RestartPlanned { .. }
            | Notice::RestartLimit { .. }
            | Notice::StatusSaid { .. }
            | Notice::Reloading { .. }
            | Notice::StopsByItself { .. }
            | Notice::WaitExtended { .. }
            | Notice::LeaderMoved { .. }
            | Notice::RequestRefused { .. }
            | Notice::Asked { .. } => self.tell_of_life(notice),
            Notice::ReloadRequested { .. }
            | Notice::ReloadRefused { .. }
            | Notice::ReloadApplied { .. }
            | Notice::ReloadComplete { .. } => self.tell_of_reload(notice),
            Notice::EndHeld { service, hold } => tracing::debug!(
                event = "service.end-held",
                service = self.name(service),
                "ended by a stop signal nobody asked for; waiting {} for a stop request that explains it",
                words(hold)
            ),
            Notice::ServiceDown { service, after } => tracing::debug!(
                event = "service.down",
                service = self.name(service),
                after_ms = after.map(milliseconds),
                "down: no process of it is left"
            ),
            Notice::DependencyFailed { service } => tracing::warn!(
                event = "dependency.failed",
                service = self.name(service),
                "failed, but is not essential: what comes after it is started all the same"
            ),
            Notice::DeadlineLearnt { deadline, margin_kept, told } => {
                deadline_learnt(deadline, margin_kept, told);
            }
            Notice::SchedulesTooLong { ref chain, length, budget, scale } => {
                let chain = self.chain(chain);
                tracing::warn!(
                    event = "schedule.too-long",
                    chain,
                    length_ms = milliseconds(length),
                    budget_ms = milliseconds(budget),
                    per_mille = scale.per_mille(),
                    "a stop of {chain} may take {}, and there are {}: waits will be shortened to {} %; shorten the \
                     schedules, or raise the deadline",
                    words(length),
                    words(budget),
                    scale.per_mille() / 10
                );
            }
            Notice::Extension { use_of_it, deadline } => extension(use_of_it, deadline),
            Notice::StopUnheard { signal } => tracing::warn!(
                event = "stop.unheard",
                signal = signal.to_string(),
                "systemd asks for a stop with SIG{signal} (KillSignal=), and curfew will not take it for one; remove \
                 KillSignal=, or put {signal} into --stop-signals"
            ),
            Notice::StopRequested { cause, budget } => self.stop_requested(cause, budget),
            Notice::SignalIgnored { signal, sender, reason } => {
                let why = match reason {
                    IgnoredBecause::Duplicate => "it came right behind another stop signal",
                    IgnoredBecause::AlreadyStopping => "a stop is under way; a second SIGINT hastens it",
                    IgnoredBecause::Dropped => "--map drops it",
                    IgnoredBecause::NotForwarded => "no running service has it in its `forward` list",
                };
                let sender = describe_sender(sender);
                match reason {
                    IgnoredBecause::Dropped | IgnoredBecause::NotForwarded => {
                        tracing::debug!(event = "signal.ignored", signal = %signal, "SIG{signal}{sender} ignored: {why}");
                    }
                    IgnoredBecause::Duplicate | IgnoredBecause::AlreadyStopping => {
                        tracing::info!(event = "signal.ignored", signal = %signal, "SIG{signal}{sender} ignored: {why}");
                    }
                }
            }
            Notice::SignalForwarded { service, received, sent } => tracing::debug!(
                event = "signal.forwarded",
                service = self.name(service),
                received = %received,
                signal = %sent,
                "forwarded SIG{sent}"
            ),
            Notice::StopEscalated { signal, level } => {
                let what = match level {
                    Level::KillNow => "everything that is left is killed now",
                    Level::NextStage | Level::Stop => "every stopping service goes to its next stage",
                };
                tracing::warn!(event = "stop.escalated", signal = %signal, "SIG{signal}: {what}");
            }
            Notice::BudgetShrunk { service, scale, from, to } => tracing::warn!(
                event = "budget.shrunk",
                service = self.name(service),
                per_mille = scale.per_mille(),
                from_ms = milliseconds(from),
                to_ms = milliseconds(to),
                "schedule shortened to {} % to fit the budget: {} instead of {}",
                scale.per_mille() / 10,
                words(to),
                words(from)
            ),
            Notice::DrainBegun { service, wait } => tracing::info!(
                event = "drain.begun",
                service = self.name(service),
                wait_ms = milliseconds(wait),
                "draining for {} before the first signal",
                words(wait)
            ),
            Notice::StageSent { service, stage, of, signal, recipients, wait } => {
                self.stage_sent(service, stage + 1, of, signal, recipients, wait);
            }
            Notice::StageRun { service, stage, of, ref command, wait } => {
                let limit = wait.map_or_else(String::new, |wait| format!(", up to {}", words(wait)));
                tracing::info!(
                    event = "stage.run",
                    service = self.name(service),
                    stage = stage + 1,
                    of,
                    command = &**command,
                    wait_ms = wait.map(milliseconds),
                    "running `run:{command}`, stage {} of {of}{limit}",
                    stage + 1
                );
            }
            Notice::HookEnded { service, ref kind, result, dismissed } => {
                self.hook_ended(service, kind, result, dismissed);
            }
            Notice::StageExpired { service, stage, signal, waited } => tracing::warn!(
                event = "stage.expired",
                service = self.name(service),
                stage = stage + 1,
                signal = %signal,
                waited_ms = milliseconds(waited),
                "still there {} after SIG{signal}",
                words(waited)
            ),
            Notice::StrayFound { service, pid, ref name } => tracing::info!(
                event = "stray.found",
                service = self.name(service),
                pid = pid.number(),
                name = name.as_str(),
                "{}",
                if self.is_pseudo(service) {
                    "found a process that belongs to none"
                } else {
                    "left a process behind"
                }
            ),
            Notice::Daemonised { service, processes } => tracing::error!(
                event = "service.daemonised",
                service = self.name(service),
                processes,
                "has daemonised: its first process ended at once, and left {processes} behind; {}",
                foreground_cure(&self.programs[service.index()].command)
            ),
            Notice::StraysHidden => tracing::warn!(
                event = "stray.hidden",
                "there are processes left that cannot be listed, since /proc is missing: all of them are signalled; \
                 mount /proc to have them named"
            ),
            Notice::HiddenSurvivors => tracing::error!(
                event = "survivor.left",
                "processes that cannot be listed are left behind, since /proc is missing"
            ),
            Notice::KilledWithLeader { service, pid, ref name } => tracing::info!(
                event = "stray.killed",
                service = self.name(service),
                pid = pid.number(),
                name = &**name,
                "a process was killed as well"
            ),
            Notice::StrayEnded { service, pid, end, signal } => tracing::info!(
                event = "stray.ended",
                service = self.name(service),
                pid = pid.number(),
                signal = signal.map(|signal| signal.to_string()),
                end = end.map(|end| end.to_string()),
                "a process is gone"
            ),
            Notice::SignalRefused { service, pid, errno } => tracing::error!(
                event = "signal.refused",
                service = self.name(service),
                pid = pid.number(),
                errno,
                "cannot signal a process: {}; it may belong to another user",
                Errno::from_raw(errno).desc()
            ),
            Notice::ServiceLingers { service, waited } => tracing::warn!(
                event = "service.lingers",
                service = self.name(service),
                "still there {} after SIGKILL; going on without it",
                words(waited)
            ),
            Notice::Survivor { service, pid } => self.survivor(service, pid),
            Notice::AllStopped { after } => say!(
                self.quiet,
                event = "services.stopped",
                after_ms = milliseconds(after),
                "✅ all services stopped after {}",
                words(after)
            ),
            Notice::StopComplete { verdict, status, after, budget, near_miss, overrun } => {
                self.stop_complete(verdict, status, (after, budget), near_miss, overrun);
            }
        }
    }

    /// Says how many strays there were that were not named.
    pub fn more_strays(&self, service: ServiceId, more: MoreStrays) {
        let (count, killed, left) = (more.count, more.killed, more.left());
        tracing::warn!(
            event = "stray.more",
            service = self.name(service),
            count,
            killed,
            left,
            "and {count} more processes that are not named: {killed} had to be killed, {left} are left"
        );
    }

    /// Says why a service does not stop.
    pub fn blame(&self, service: ServiceId, sentence: &str) {
        tracing::warn!(event = "service.blamed", service = self.name(service), "{sentence}");
    }

    /// Passes on what a hook says.
    pub fn hook_output(&self, service: ServiceId, kind: &HookKind, line: &str) {
        let hook = self.hook(service, kind);
        tracing::info!(event = "hook.output", service = self.name(service), hook, "{hook}: {line}");
    }

    fn hook_ended(
        &self,
        service: ServiceId,
        kind: &HookKind,
        result: Result<End, StartFailure>,
        dismissed: bool,
    ) {
        let hook = self.hook(service, kind);
        let event = "hook.ended";
        let (service, stops_the_start) = (self.name(service), *kind == HookKind::PreStart);
        match result {
            // The start's failure says it.
            Err(_) if stops_the_start => tracing::debug!(event, service, hook, "{hook} could not be started"),
            Err(failure) => {
                tracing::error!(
                    event,
                    service,
                    hook,
                    errno = failure.errno,
                    "{}",
                    hook_failure(&hook, failure)
                );
            }
            Ok(_) if dismissed => {
                tracing::warn!(event, service, hook, "{hook} was killed: its time was over");
            }
            Ok(End::Exited(0)) => tracing::debug!(event, service, hook, "{hook} is done"),
            // Without it the service does not start.
            Ok(end) if stops_the_start => {
                tracing::error!(event, service, hook, end = %end, "{hook} failed with {end}");
            }
            Ok(end) => tracing::warn!(event, service, hook, end = %end, "{hook} failed with {end}"),
        }
    }

    fn service_ended(&self, service: ServiceId, pid: i64, end: End, meaning: EndMeaning, after: Duration) {
        let service = self.name(service);
        let event = "service.ended";
        let (text, ran_ms) = (end.to_string(), milliseconds(after));
        let end = text.as_str();
        match meaning {
            EndMeaning::TaskDone => say!(
                self.mode == Mode::OneCommand && !self.is_asked_to_stop,
                event,
                service,
                pid,
                end,
                ran_ms,
                "done after {}",
                words(after)
            ),
            EndMeaning::Stopped => tracing::info!(event, service, pid, end, ran_ms, "stopped"),
            EndMeaning::Killed => tracing::warn!(event, service, pid, end, ran_ms, "was killed with SIGKILL"),
            EndMeaning::Interrupted => {
                tracing::warn!(event, service, pid, end, ran_ms, "was interrupted before its work was done");
            }
            EndMeaning::FailedStopping => {
                tracing::error!(event, service, pid, end, ran_ms, "failed while it was stopped");
            }
            EndMeaning::Unasked if self.mode == Mode::OneCommand => {
                tracing::debug!(event, service, pid, end, ran_ms, "ended");
            }
            EndMeaning::Unasked => tracing::warn!(event, service, pid, end, ran_ms, "ended unasked"),
            EndMeaning::Failed(_) if self.mode == Mode::OneCommand => {
                tracing::debug!(event, service, pid, end, ran_ms, "failed");
            }
            EndMeaning::Failed(_) => tracing::error!(event, service, pid, end, ran_ms, "failed"),
        }
    }

    fn stop_requested(&mut self, cause: Cause, budget: Option<Duration>) {
        let by_itself = matches!(cause, Cause::ServiceEnded { .. } | Cause::ServiceFailed { .. });
        self.quiet = self.mode == Mode::OneCommand && by_itself;
        self.is_asked_to_stop = !by_itself && cause != Cause::NothingLeft;
        let within = match budget {
            Some(budget) => format!("budget {}", words(budget)),
            None if self.deadline_is_asked => DEADLINE_IS_ASKED.to_owned(),
            None => "no deadline".to_owned(),
        };
        let budget_ms = budget.map(milliseconds);
        let text = self.cause(cause);
        let event = "stop.requested";
        let (cause, sentence) = (text.as_str(), format!("🛑 stop requested: {text}; {within}"));
        if self.failed.is_some() && !self.quiet {
            tracing::warn!(event, cause, budget_ms, "{sentence}");
        } else {
            say!(self.quiet, event, cause, budget_ms, "{sentence}");
        }
    }

    /// Who is left in the end is told with what was found out before.
    fn note_process(&mut self, notice: &Notice) {
        match *notice {
            Notice::StrayFound { pid, ref name, .. } | Notice::KilledWithLeader { pid, ref name, .. } => {
                self.known.entry(pid).or_default().0 = Some(name.clone());
            }
            Notice::SignalRefused { pid, errno, .. } => self.known.entry(pid).or_default().1 = Some(errno),
            Notice::StrayEnded { pid, .. } | Notice::ServiceEnded { pid, .. } => {
                drop(self.known.remove(&pid));
            }
            _ => {}
        }
    }

    fn survivor(&self, service: ServiceId, pid: Pid) {
        let (name, errno) = self.known.get(&pid).cloned().unwrap_or_default();
        let of_it = name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        let why = errno.map_or_else(
            || "could not be killed".to_owned(),
            |errno| format!("may not be signalled by us ({})", Errno::from_raw(errno).desc()),
        );
        tracing::error!(
            event = "survivor.left",
            service = self.name(service),
            pid = pid.number(),
            name,
            errno,
            "process {pid}{of_it} {why}, and is left behind"
        );
    }

    /// A stop may go well that nobody wanted, or in which somebody failed: the verdict does not tell that.
    fn note_failure(&mut self, notice: &Notice) {
        match *notice {
            Notice::StopRequested { cause: cause @ Cause::ServiceFailed { .. }, .. } => {
                self.failed = Some(self.cause(cause));
            }
            Notice::ServiceEnded { service, end, meaning: EndMeaning::FailedStopping, .. }
                if self.failed.is_none() =>
            {
                self.failed = Some(format!("{} failed with {end} while it was stopped", self.name(service)));
            }
            _ => {}
        }
    }

    /// How it ended, in words: the verdict on the stop, behind the failure that there was.
    pub fn conclusion(&self, verdict: Verdict) -> String {
        let Some(failed) = &self.failed else { return verdict.to_string() };
        let rest = match verdict {
            Verdict::Clean => "the rest stopped cleanly",
            Verdict::Escalated => "the rest needed more than its first stage",
            Verdict::Interrupted => "a task was interrupted",
            Verdict::Killed => "something had to be killed",
            Verdict::Survivors => "something is left that could not be killed",
        };
        format!("{failed}; {rest}")
    }

    /// The cause in words.
    pub fn cause(&self, cause: Cause) -> String {
        match cause {
            Cause::Signal { signal, sender } => format!("SIG{signal}{}", describe_sender(sender)),
            Cause::ServiceEnded { service, end } => {
                format!("{} ended unasked with {end}", self.name(service))
            }
            Cause::ServiceFailed { service, failure } => {
                format!("{} {}", self.name(service), describe_failure(failure))
            }
            Cause::Request { sender } => Self::request(sender),
            Cause::NothingLeft => "nothing is left to run".into(),
        }
    }

    fn stage_sent(
        &self,
        service: ServiceId,
        stage: usize,
        of: usize,
        signal: Signal,
        recipients: Recipients,
        wait: Option<Duration>,
    ) {
        let to = match recipients {
            Recipients::Leader(Target::Leader) => "leader",
            Recipients::Leader(Target::Group) => "group",
            Recipients::Leader(Target::All) => "all",
            Recipients::Strays | Recipients::Stray(_) => "strays",
        };
        let service = self.name(service);
        let event = "stage.sent";
        let wait_ms = wait.map(milliseconds);
        let name = signal.to_string();
        if signal == Signal::KILL {
            tracing::warn!(
                event,
                service,
                stage,
                of,
                signal = name,
                to,
                wait_ms,
                "sent SIGKILL to all that is left"
            );
        } else {
            let limit =
                wait.map_or_else(|| "without limit".to_owned(), |wait| format!("up to {}", words(wait)));
            tracing::info!(
                event,
                service,
                stage,
                of,
                signal = name,
                to,
                wait_ms,
                "sent SIG{signal}, stage {stage} of {of}, waiting {limit}"
            );
        }
    }

    fn stop_complete(
        &self,
        verdict: Verdict,
        status: u8,
        (after, budget): (Duration, Option<Duration>),
        near_miss: bool,
        overrun: Option<Duration>,
    ) {
        let event = "stop.complete";
        let of = budget.map_or_else(String::new, |budget| format!(" of {}", words(budget)));
        let near = match overrun {
            Some(overrun) => format!(", {} past its budget", words(overrun)),
            None if near_miss => ", a near miss".to_owned(),
            None => String::new(),
        };
        let conclusion = self.conclusion(verdict);
        let comma = if self.failed.is_some() { ";" } else { "," };
        let text = format!(
            "🏁 shutdown complete: {conclusion}{near}{comma} exit status {status}, {}{of}",
            words(after)
        );
        let (after_ms, budget_ms, verdict_name) =
            (milliseconds(after), budget.map(milliseconds), verdict.to_string());
        if !self.quiet && (verdict == Verdict::Survivors || (self.failed.is_some() && status != 0)) {
            tracing::error!(event, verdict = verdict_name, status, after_ms, budget_ms, near_miss, "{text}");
        } else if near_miss || verdict >= Verdict::Interrupted {
            tracing::warn!(event, verdict = verdict_name, status, after_ms, budget_ms, near_miss, "{text}");
        } else {
            say!(self.quiet, event, verdict = verdict_name, status, after_ms, budget_ms, near_miss, "{text}");
        }
    }

    /// What a hook is called.
    fn hook(&self, service: ServiceId, kind: &HookKind) -> String {
        if self.is_pseudo(service) { "cleanup".to_owned() } else { kind.to_string() }
    }

    /// Who is stopped after whom: `dashboard, then api`.
    fn chain(&self, chain: &[ServiceId]) -> String {
        let name = |id: &ServiceId| self.name(*id);
        match chain {
            all if all.len() <= CHAIN_TOLD => all.iter().map(name).collect::<Vec<_>>().join(", then "),
            [first, .., last] => {
                format!("{}, then {} others, then {}", name(first), chain.len() - 2, name(last))
            }
            _ => String::new(),
        }
    }

    /// Whether it is `(stray)` or `(cleanup)`.
    fn is_pseudo(&self, service: ServiceId) -> bool {
        service.index() >= self.programs.len()
    }

    fn name(&self, service: ServiceId) -> &str {
        self.names.get(service.index()).map_or("?", String::as_str)
    }
}

fn hook_failure(hook: &str, StartFailure { step, errno, .. }: StartFailure) -> String {
    format!("{hook} could not be started: {step}: {}", Errno::from_raw(errno).desc())
}

fn deadline_learnt(deadline: Option<Deadline>, margin_kept: bool, told: Told) {
    let event = "deadline.learnt";
    let Some(deadline) = deadline else {
        return tracing::info!(event, "systemd never kills us: no deadline");
    };
    let [total, budget, margin] = [deadline.deadline, deadline.budget(), deadline.margin].map(words);
    let (deadline_ms, budget_ms) = (milliseconds(deadline.deadline), milliseconds(deadline.budget()));
    let lost = if margin_kept {
        String::new()
    } else {
        format!(
            ", of which the margin that was asked for leaves nothing: {margin} are kept free; raise TimeoutStopSec= or \
             write a shorter margin"
        )
    };
    let text = match told {
        Told::Platforms => format!("systemd kills us {total} after a stop began{lost}: budget {budget}"),
        Told::Shorter { said } => format!(
            "the deadline of {} is longer than TimeoutStopSec= of the unit: systemd kills us {total} after a stop began, \
             and that counts{lost}: budget {budget}",
            words(said)
        ),
        Told::AsSaid => format!("systemd waits as long as the deadline of {total}{lost}: budget {budget}"),
    };
    if margin_kept && !matches!(told, Told::Shorter { .. }) {
        tracing::info!(event, deadline_ms, budget_ms, "{text}");
    } else {
        tracing::warn!(event, deadline_ms, budget_ms, "{text}");
    }
}

/// What `--extend` is good for here.
fn extension(use_of_it: UseOfExtension, deadline: Option<Deadline>) {
    let event = "extend.unheard";
    // Without one systemd may still be about to tell it.
    let stays = deadline.map_or_else(String::new, |deadline| {
        format!("; the deadline of {} stays, budget {}", words(deadline.deadline), words(deadline.budget()))
    });
    let deadline_ms = deadline.map(|deadline| milliseconds(deadline.deadline));
    match use_of_it {
        UseOfExtension::Unheard => tracing::warn!(
            event,
            deadline_ms,
            "--extend does nothing here: there is no service manager that hears us (systemd's Type=notify sets \
             NOTIFY_SOCKET){stays}"
        ),
        UseOfExtension::DeadlineAssumed => tracing::warn!(
            event,
            deadline_ms,
            "--extend makes no stop longer here: the deadline is assumed, and who gave PID 1 its time is not asked for \
             more{stays}"
        ),
        UseOfExtension::HeardAgain => {
            tracing::info!(
                event = "extend.heard",
                deadline_ms,
                "the service manager hears us again, so that --extend counts"
            );
        }
    }
}

fn describe_sender(sender: Sender) -> String {
    match sender {
        Sender::Process { pid: 0, uid } => format!(" from outside (uid {uid})"),
        Sender::Process { pid, uid } => format!(" from pid {pid} (uid {uid})"),
        Sender::Terminal => " from the terminal".into(),
        Sender::Unknown => String::new(),
    }
}

/// A duration for people, in whole milliseconds.
pub(crate) fn words(duration: Duration) -> String {
    humantime::format_duration(Duration::from_millis(milliseconds(duration))).to_string()
}

#[cfg(test)]
mod tests;
