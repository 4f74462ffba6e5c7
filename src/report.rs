//! The report of a run: one JSON object, for machines. Its schema is `docs/report.schema.json`.

use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use crate::log::{MoreStrays, Record, milliseconds};
use crate::supervisor::{
    Act, Cause, Change, Deadline, End, EndMeaning, Failure, Kind, Notice, Pid, Recipients, Scale, Sender,
    ServiceId, Settings, Signal, StartFailure, Target, Timestamp, Told, Verdict,
};

/// The version of the report's schema. It rises when a key changes its meaning or goes away.
pub const SCHEMA: &str = "curfew-report/1";

/// Where the deadline is from, if the platform told it.
const SOURCE_PLATFORM: &str = "systemd";

/// How many events before the stop are kept: the latest. Those of the stop are all kept, up to a bound.
const EVENTS_BEFORE_STOP: usize = 256;
const EVENTS_OF_STOP: usize = 100_000;

/// Gathers what happens, and makes the report of it.
pub struct ReportBuilder {
    name: String,
    run: String,
    started: SystemTime,
    deadline: Value,
    /// Where the first deadline is from.
    deadline_source: &'static str,
    services: Vec<Entry>,
    events: VecDeque<Value>,
    events_dropped: u64,
    stop: Option<(Timestamp, Value)>,
    /// Processes that could not be listed are left.
    hidden_survivors: bool,
    end: Option<(Verdict, bool, u8)>,
}

/// What is known of one service.
struct Entry {
    name: String,
    kind: &'static str,
    pid: Option<Pid>,
    started: Option<Timestamp>,
    ready: Option<Timestamp>,
    stopping: Option<Timestamp>,
    down: Option<Timestamp>,
    end: Value,
    meaning: Option<&'static str>,
    start_failure: Option<StartFailure>,
    scale: Option<Scale>,
    stages: Vec<Stage>,
    strays: BTreeMap<Pid, StrayEntry>,
    survivors: Vec<Pid>,
    /// What is not named of them.
    more_strays: MoreStrays,
    /// The commands that ran beside it.
    hooks: Vec<Value>,
    /// How often it was started again.
    restarts: u32,
    /// What it used, as far as that was counted.
    used: Value,
    /// Why it did not stop: what was found each time a wait ran out.
    blame: Vec<Value>,
    /// It is not in the configuration any more.
    is_removed: bool,
}

struct Stage {
    number: usize,
    act: Act,
    to: &'static str,
    sent: Timestamp,
    wait: Option<std::time::Duration>,
    expired: bool,
}

struct StrayEntry {
    name: String,
    signal: Option<Signal>,
    end: Value,
    ended: Option<Timestamp>,
}

impl ReportBuilder {
    /// A report of a run that begins now.
    pub fn new(
        name: &str,
        run: &str,
        settings: &Settings,
        deadline_source: &'static str,
        started: SystemTime,
    ) -> Self {
        let services = (0..=settings.services.len() + 1).map(ServiceId::new).map(|id| {
            let of = match settings.services.get(id.index()).map(|service| service.kind) {
                Some(of) => kind(of),
                None if id == settings.stray_id() => "strays",
                None => "cleanup",
            };
            Entry::new(settings.name(id), of)
        });
        let deadline = deadline_value(settings.deadline, deadline_source);
        Self {
            name: name.to_owned(),
            run: run.to_owned(),
            started,
            deadline,
            deadline_source,
            services: services.collect(),
            events: VecDeque::new(),
            events_dropped: 0,
            stop: None,
            hidden_survivors: false,
            end: None,
        }
    }

    /// The settings were read anew: some services may be new.
    pub fn reconfigured(&mut self, settings: &Settings, deadline_source: &'static str) {
        let known = self.services.len() - 2;
        let new =
            settings.services[known..].iter().map(|service| Entry::new(&service.name, kind(service.kind)));
        self.services.splice(known..known, new);
        // What the platform has told still counts.
        self.deadline_source = deadline_source;
        if !settings.asks_platform || self.deadline["source"] != SOURCE_PLATFORM {
            self.deadline = deadline_value(settings.deadline, deadline_source);
        }
    }

    /// New settings of a service hold.
    pub fn adopted(&mut self, service: ServiceId, settings: &Settings) {
        self.services[service.index()].kind = kind(settings.services[service.index()].kind);
    }

    /// The name of the system.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes in what was decided.
    pub fn hear(&mut self, notice: &Notice, cause_in_words: impl FnOnce(Cause) -> String, now: Timestamp) {
        match *notice {
            Notice::ServiceStarted { service, pid } => {
                let entry = &mut self.services[service.index()];
                // What is told is its last life.
                if entry.pid.is_some() {
                    *entry = Entry { restarts: entry.restarts + 1, ..Entry::new(&entry.name, entry.kind) };
                }
                entry.pid = Some(pid);
                entry.started = Some(now);
            }
            Notice::LeaderMoved { service, pid } => self.services[service.index()].pid = Some(pid),
            Notice::ServiceReady { service, .. } => self.services[service.index()].ready = Some(now),
            Notice::StartFailed { service, failure, .. } => {
                self.services[service.index()].start_failure = Some(failure);
            }
            Notice::ServiceEnded { service, end, meaning, .. } => {
                let entry = &mut self.services[service.index()];
                entry.end = end_value(Some(end));
                entry.meaning = Some(meaning_name(meaning));
                entry.down = Some(now);
            }
            Notice::ServiceDown { service, .. } => self.services[service.index()].down = Some(now),
            Notice::ReloadApplied { ref changes, .. } => {
                for (service, change) in changes {
                    self.services[service.index()].is_removed = *change == Change::Removed;
                }
            }
            Notice::DeadlineLearnt { deadline, told, .. } => {
                let source = if told == Told::AsSaid { self.deadline_source } else { SOURCE_PLATFORM };
                self.deadline = deadline_value(deadline, source);
                // What was shortened is shortened anew.
                for entry in self.services.iter_mut().filter(|entry| entry.down.is_none()) {
                    entry.scale = None;
                }
            }
            Notice::StopRequested { cause, .. } => {
                self.stop = Some((now, self.cause_value(cause, cause_in_words(cause))));
            }
            Notice::BudgetShrunk { service, scale, .. } => self.services[service.index()].scale = Some(scale),
            Notice::DrainBegun { service, .. } => self.services[service.index()].stopping = Some(now),
            Notice::StageSent { service, stage, signal, recipients, wait, .. } => {
                let entry = &mut self.services[service.index()];
                entry.stopping.get_or_insert(now);
                let to = match recipients {
                    Recipients::Leader(Target::Leader) => "leader",
                    Recipients::Leader(Target::Group) => "group",
                    Recipients::Leader(Target::All) => "all",
                    Recipients::Strays | Recipients::Stray(_) => "strays",
                };
                if matches!(recipients, Recipients::Strays | Recipients::Leader(Target::All)) {
                    for stray in entry.strays.values_mut().filter(|stray| stray.ended.is_none()) {
                        stray.signal = Some(signal);
                    }
                }
                let act = Act::Signal(signal);
                entry.stages.push(Stage { number: stage + 1, act, to, sent: now, wait, expired: false });
            }
            Notice::StageRun { service, stage, ref command, wait, .. } => {
                let entry = &mut self.services[service.index()];
                entry.stopping.get_or_insert(now);
                let (act, to) = (Act::Run(command.clone()), "leader");
                entry.stages.push(Stage { number: stage + 1, act, to, sent: now, wait, expired: false });
            }
            Notice::HookEnded { service, ref kind, result, dismissed } => {
                let mut hook = json!({"hook": kind.to_string(), "killed": dismissed});
                match result {
                    Ok(end) => hook["end"] = end_value(Some(end)),
                    Err(failure) => hook["start_failure"] = start_failure_value(failure),
                }
                self.services[service.index()].hooks.push(hook);
            }
            Notice::StageExpired { service, .. } => {
                if let Some(stage) = self.services[service.index()].stages.last_mut() {
                    stage.expired = true;
                }
            }
            Notice::StrayFound { service, pid, ref name } => {
                let stray = StrayEntry { name: name.clone(), signal: None, end: Value::Null, ended: None };
                self.services[service.index()].strays.insert(pid, stray);
            }
            Notice::KilledWithLeader { service, pid, ref name } => {
                let signal = Some(Signal::KILL);
                let stray = StrayEntry { name: name.clone(), signal, end: Value::Null, ended: None };
                self.services[service.index()].strays.insert(pid, stray);
            }
            Notice::StrayEnded { service, pid, end, signal } => {
                let entry = &mut self.services[service.index()];
                entry.down = Some(now);
                // Without /proc nobody found it before.
                let unlisted =
                    || StrayEntry { name: String::new(), signal: None, end: Value::Null, ended: None };
                let stray = entry.strays.entry(pid).or_insert_with(unlisted);
                stray.end = end_value(end);
                stray.signal = signal.or(stray.signal);
                stray.ended = Some(now);
            }
            Notice::Survivor { service, pid } => self.services[service.index()].survivors.push(pid),
            Notice::StopComplete { verdict, status, near_miss, .. } => {
                self.end = Some((verdict, near_miss, status));
            }
            Notice::HiddenSurvivors => self.hidden_survivors = true,
            Notice::EndHeld { .. }
            | Notice::StepStarted { .. }
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
            | Notice::Asked { .. }
            | Notice::RequestRefused { .. }
            | Notice::ReloadRequested { .. }
            | Notice::ReloadRefused { .. }
            | Notice::ReloadComplete { .. }
            | Notice::Daemonised { .. }
            | Notice::StraysHidden
            | Notice::DependencyFailed { .. }
            | Notice::SignalIgnored { .. }
            | Notice::SignalForwarded { .. }
            | Notice::StopEscalated { .. }
            | Notice::SignalRefused { .. }
            | Notice::ServiceLingers { .. }
            | Notice::Extension { .. }
            | Notice::StopUnheard { .. }
            | Notice::SchedulesTooLong { .. }
            | Notice::AllStopped { .. } => {}
        }
    }

    /// Takes in why a service did not stop.
    pub fn add_blame(&mut self, service: ServiceId, sentence: &str, whole: &Value) {
        let stage = self.services[service.index()].stages.last().map(|stage| stage.number);
        self.services[service.index()]
            .blame
            .push(json!({"stage": stage, "sentence": sentence, "found": whole}));
    }

    /// Takes in how many strays there were that are not named.
    pub fn add_more_strays(&mut self, service: ServiceId, more: MoreStrays) {
        self.services[service.index()].more_strays = more;
    }

    /// Takes in what a service used, to its end.
    pub fn add_used(&mut self, service: ServiceId, used: Value) {
        self.services[service.index()].used = used;
    }

    /// Takes in an event of the log.
    pub fn add_event(&mut self, record: &Record) {
        let limit = if self.stop.is_some() { EVENTS_OF_STOP } else { EVENTS_BEFORE_STOP };
        if self.events.len() >= limit {
            self.events.pop_front();
            self.events_dropped += 1;
        }
        self.events.push_back(record.report_entry());
    }

    /// The report as it stands, `now` that the run is `finished`.
    pub fn build(&self, finished: SystemTime, now: Timestamp) -> Value {
        // Reckoned back from the end, so that the three are in order although somebody has set the clock meanwhile.
        let requested = self.stop.as_ref().map(|(at, _)| {
            let reckoned = finished.checked_sub(now.since(*at)).unwrap_or(finished);
            reckoned.max(self.started.min(finished))
        });
        // Not until its last service was down: what comes after that takes time as well.
        let took = match (&self.stop, self.end) {
            (Some((since, _)), Some(_)) => Some(milliseconds(now.since(*since))),
            _ => None,
        };
        let (services, pseudo) = self.services.split_at(self.services.len() - 2);
        let since = self.stop.as_ref().map(|(since, _)| *since);
        let mut services: Vec<Value> =
            services.iter().filter(|entry| !entry.is_history(since)).map(Entry::value).collect();
        let something = |entry: &&Entry| !entry.strays.is_empty() || !entry.hooks.is_empty();
        services.extend(pseudo.iter().filter(something).map(Entry::value));
        let mut survivors: Vec<Value> = self
            .services
            .iter()
            .flat_map(|entry| {
                entry.survivors.iter().map(|pid| json!({"service": entry.name, "pid": pid.number()}))
            })
            .collect();
        let unnamed = self.services.iter().filter(|entry| entry.more_strays.left() > 0);
        survivors.extend(
            unnamed
                .map(|entry| json!({"service": entry.name, "pid": null, "count": entry.more_strays.left()})),
        );
        if self.hidden_survivors {
            survivors.push(json!({"service": pseudo[0].name, "pid": null}));
        }
        json!({
            "schema": SCHEMA,
            "curfew": env!("CARGO_PKG_VERSION"),
            "name": self.name,
            "run": self.run,
            "pid": std::process::id(),
            "started": time(self.started),
            "stop_requested": requested.map(time),
            "finished": time(finished),
            "cause": self.stop.as_ref().map_or(Value::Null, |(_, cause)| cause.clone()),
            "deadline": self.deadline,
            "took_ms": took,
            "verdict": self.end.map(|(verdict, ..)| verdict.to_string()),
            "near_miss": self.end.is_some_and(|(_, near_miss, _)| near_miss),
            "exit_status": self.end.map(|(.., status)| status),
            "services": services,
            "survivors": survivors,
            "errors": [],
            "events_dropped": self.events_dropped,
            "events": self.events,
        })
    }

    fn cause_value(&self, cause: Cause, text: String) -> Value {
        let mut value = Map::new();
        let kind = match cause {
            Cause::Signal { .. } => "signal",
            Cause::ServiceEnded { .. } => "service-ended",
            Cause::ServiceFailed { .. } => "service-failed",
            Cause::Request { .. } => "request",
            Cause::NothingLeft => "nothing-left",
        };
        value.insert("kind".into(), kind.into());
        value.insert("message".into(), text.into());
        match cause {
            Cause::Signal { signal, sender } => {
                value.insert("signal".into(), signal.to_string().into());
                value.extend(sender_value(sender).map(|sender| ("sender".into(), sender)));
            }
            Cause::Request { sender } => {
                value.extend(sender_value(sender).map(|sender| ("sender".into(), sender)));
            }
            Cause::ServiceEnded { service, end }
            | Cause::ServiceFailed { service, failure: Failure::Ended(end) } => {
                value.insert("service".into(), self.services[service.index()].name.clone().into());
                value.insert("end".into(), end_value(Some(end)));
            }
            Cause::ServiceFailed { service, failure: Failure::Start(failure) } => {
                value.insert("service".into(), self.services[service.index()].name.clone().into());
                value.insert("start_failure".into(), start_failure_value(failure));
            }
            Cause::ServiceFailed { service, failure } => {
                value.insert("service".into(), self.services[service.index()].name.clone().into());
                value.insert("failure".into(), failure.name().into());
                if let Failure::PreStart(end) = failure {
                    value.insert("end".into(), end_value(Some(end)));
                }
            }
            Cause::NothingLeft => {}
        }
        Value::Object(value)
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "service",
        Kind::Task => "task",
    }
}

fn sender_value(sender: Sender) -> Option<Value> {
    match sender {
        Sender::Process { pid, uid } => Some(json!({"pid": pid, "uid": uid})),
        Sender::Terminal => Some("terminal".into()),
        Sender::Unknown => None,
    }
}

/// The report of a run that never was: the command line or the configuration was wrong.
pub fn not_started(name: &str, errors: &[String], status: u8, now: SystemTime) -> Value {
    json!({
        "schema": SCHEMA,
        "curfew": env!("CARGO_PKG_VERSION"),
        "name": name,
        "run": Value::Null,
        "pid": std::process::id(),
        "started": time(now),
        "stop_requested": Value::Null,
        "finished": time(now),
        "cause": Value::Null,
        "deadline": {"deadline_ms": null, "margin_ms": null, "budget_ms": null, "source": "none"},
        "took_ms": Value::Null,
        "verdict": Value::Null,
        "near_miss": false,
        "exit_status": status,
        "services": [],
        "survivors": [],
        "errors": errors,
        "events_dropped": 0,
        "events": [],
    })
}

impl Entry {
    fn new(name: &str, kind: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            pid: None,
            started: None,
            ready: None,
            stopping: None,
            down: None,
            end: Value::Null,
            meaning: None,
            start_failure: None,
            scale: None,
            stages: Vec::new(),
            strays: BTreeMap::new(),
            survivors: Vec::new(),
            more_strays: MoreStrays::default(),
            hooks: Vec::new(),
            restarts: 0,
            used: Value::Null,
            blame: Vec::new(),
            is_removed: false,
        }
    }

    /// Whether it was removed, and gone before the stop: the stop is not about it.
    fn is_history(&self, stop: Option<Timestamp>) -> bool {
        let was_gone = match (self.started, self.down) {
            (None, _) => true,
            (Some(_), Some(down)) => stop.is_none_or(|stop| down < stop),
            (Some(_), None) => false,
        };
        self.is_removed && was_gone && self.survivors.is_empty() && self.more_strays.left() == 0
    }

    fn value(&self) -> Value {
        let at = |moment: Option<Timestamp>| moment.map(|moment| milliseconds(moment.since_start()));
        let stages: Vec<Value> = self.stages.iter().map(Stage::value).collect();
        let strays: Vec<Value> = self.strays.iter().map(|(pid, stray)| stray.value(*pid)).collect();
        let more = self.more_strays;
        let more_strays = json!({"count": more.count, "killed": more.killed, "left": more.left()});
        json!({
            "name": self.name,
            "kind": self.kind,
            "pid": self.pid.map(Pid::number),
            "restarts": self.restarts,
            "started_at_ms": at(self.started),
            "ready_at_ms": at(self.ready),
            "stopping_at_ms": at(self.stopping),
            "down_at_ms": at(self.down),
            "result": self.result(),
            "end": self.end,
            "start_failure": self.start_failure.map_or(Value::Null, start_failure_value),
            "granted_per_mille": self.scale.map_or(1000, Scale::per_mille),
            "stages": stages,
            "strays": strays,
            "more_strays": more_strays,
            "hooks": self.hooks,
            "used": self.used,
            "blame": self.blame,
        })
    }

    /// What became of it, in one word.
    fn result(&self) -> &'static str {
        if !self.survivors.is_empty() || self.more_strays.left() > 0 {
            return "survived";
        }
        if self.start_failure.is_some() {
            return "start-failed";
        }
        match (self.meaning, self.started) {
            (Some(meaning), _) => meaning,
            (None, Some(_)) => "running",
            (None, None) if !self.strays.is_empty() => "stopped",
            (None, None) => "not-started",
        }
    }
}

impl Stage {
    fn value(&self) -> Value {
        let (signal, run) = match &self.act {
            Act::Signal(signal) => (Some(signal.to_string()), None),
            Act::Run(command) => (None, Some(command.to_string())),
        };
        json!({
            "stage": self.number,
            "signal": signal,
            "run": run,
            "to": self.to,
            "sent_at_ms": milliseconds(self.sent.since_start()),
            "wait_ms": self.wait.map(milliseconds),
            "expired": self.expired,
        })
    }
}

impl StrayEntry {
    fn value(&self, pid: Pid) -> Value {
        json!({
            "pid": pid.number(),
            "name": self.name,
            "signal": self.signal.map(|signal| signal.to_string()),
            "end": self.end,
            "ended_at_ms": self.ended.map(|at| milliseconds(at.since_start())),
        })
    }
}

fn deadline_value(deadline: Option<Deadline>, source: &str) -> Value {
    json!({
        "deadline_ms": deadline.map(|deadline| milliseconds(deadline.deadline)),
        "margin_ms": deadline.map(|deadline| milliseconds(deadline.margin)),
        "budget_ms": deadline.map(|deadline| milliseconds(deadline.budget())),
        "source": source,
    })
}

fn end_value(end: Option<End>) -> Value {
    match end {
        None => Value::Null,
        Some(End::Exited(status)) => json!({"exit_status": status}),
        Some(end @ End::Signaled { number, core_dumped }) => json!({
            "signal": end.signal().map_or_else(|| number.to_string(), |signal| signal.to_string()),
            "core_dumped": core_dumped,
        }),
    }
}

fn start_failure_value(failure: StartFailure) -> Value {
    json!({
        "step": failure.step.name(),
        "errno": failure.errno,
        "message": std::io::Error::from_raw_os_error(failure.errno).to_string(),
    })
}

const fn meaning_name(meaning: EndMeaning) -> &'static str {
    match meaning {
        EndMeaning::TaskDone => "done",
        EndMeaning::Stopped => "stopped",
        EndMeaning::Killed => "killed",
        EndMeaning::Interrupted => "interrupted",
        EndMeaning::FailedStopping => "failed-stopping",
        EndMeaning::Unasked => "ended",
        EndMeaning::Failed(_) => "failed",
    }
}

fn time(moment: SystemTime) -> String {
    humantime::format_rfc3339_millis(moment).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::supervisor::{Mode, ServiceSettings, Settings, StopOrder};

    #[test]
    fn the_times_of_a_report_are_in_order_although_somebody_set_the_clock() {
        let order = StopOrder::new(&[Vec::new()]).unwrap();
        let settings = Settings::new(Mode::ManyServices, vec![ServiceSettings::new("api")], order);
        let at = |seconds| Timestamp::new(Duration::from_secs(seconds));
        let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let mut builder = ReportBuilder::new("system", "run", &settings, "none", started);
        builder.hear(
            &Notice::StopRequested { cause: Cause::NothingLeft, budget: None },
            |_| String::new(),
            at(50),
        );
        for (set_by, requested) in [(0, 1050), (-49, 1001), (-55, 1000), (3600, 4650)] {
            let finished = SystemTime::UNIX_EPOCH + Duration::from_secs((1060 + set_by) as u64);
            let report = builder.build(finished, at(60));
            let expected = time(SystemTime::UNIX_EPOCH + Duration::from_secs(requested));
            assert_eq!(report["stop_requested"], expected, "set by {set_by}");
            assert_eq!(report["finished"], time(finished));
        }
    }
}
