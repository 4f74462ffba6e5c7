//! What is asked on the control socket, and what is answered.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::reload_requests::ReloadRequest;
use super::{Listener, Runtime};
use crate::nearest::proposal;
use crate::protocol::{
    ControlError, ErrorCode, Rejected, StatusWords, Verb, VerbRequest, Whom, answer_line, error_line,
    state_name, status_value,
};
use crate::supervisor::{
    Event, Fate, Notice, RefusedBecause, Request, Rest, Sender, ServiceId, ServiceState, Settings, Signal,
    SystemPhase, Wish, defaults,
};

/// What is known about requests that were handed to the supervisor.
pub(super) struct Requests {
    /// The name of the system.
    name: String,
    /// Why the last one was refused.
    refusal: Option<RefusedBecause>,
    waiting: Vec<Waiting>,
    pub(super) reloads: Vec<ReloadRequest>,
    /// How the system's stop went, once it is over.
    end: Option<Map<String, Value>>,
}

/// A request whose answer comes when something has happened.
struct Waiting {
    client: u64,
    id: Option<Value>,
    verb: &'static str,
    /// What each service was asked for that has not come to it; empty: the end of the system.
    pending: VecDeque<(ServiceId, Wish)>,
    results: Vec<Value>,
    failed: Vec<String>,
    stops: bool,
}

impl Requests {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), refusal: None, waiting: Vec::new(), reloads: Vec::new(), end: None }
    }

    /// The supervisor tells something: it may be an answer.
    pub(super) fn hear(&mut self, notice: &Notice, settings: &Settings) {
        self.hear_of_reload(notice, settings);
        match *notice {
            Notice::RequestRefused { because, .. } => self.refusal = Some(because),
            Notice::StopComplete { verdict, status, after, .. } => {
                let end = json!({
                    "verdict": verdict.to_string(),
                    "exit_status": status,
                    "took_ms": u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
                });
                self.end = end.as_object().cloned();
            }
            _ => {}
        }
    }
}

impl<L: Listener> Runtime<L> {
    /// Answers those who ask, a few at a time: signals, deaths and deadlines come in between.
    pub(super) fn answer_requests(&mut self) {
        self.control.accept_again(&self.wait_set);
        for _ in 0..defaults::CONTROL_REQUESTS_AT_ONCE {
            let Some((client, peer, line)) = self.control.next_line() else { return };
            match VerbRequest::parse(&line) {
                Ok(VerbRequest { id, verb }) => {
                    self.control.has_asked(client);
                    self.answer(client, peer, id.as_ref(), &verb);
                }
                Err(rejected) if rejected.is_garbage => self.control.reject(client, &rejected.error),
                Err(rejected) => {
                    let Rejected { id, verb, error, .. } = *rejected;
                    self.control.say(client, &error_line(id.as_ref(), verb.as_deref(), &error, Map::new()));
                }
            }
        }
    }

    /// Sends what there is to say to clients.
    pub(super) fn serve_clients(&mut self) {
        self.listener.watch(self.control.watched_level());
        self.control.publish(&self.listener.take_watched());
        self.control.flush(&self.wait_set);
        self.work_is_left |= self.control.has_work();
    }

    /// The run is over: nobody is waited for who does not take at once what there is to say.
    pub(super) fn say_goodbye(&mut self) {
        self.answer_those_who_wait();
        self.control.publish(&self.listener.take_watched());
        self.control.flush(&self.wait_set);
        self.control.close(&self.wait_set);
    }

    fn answer(&mut self, client: u64, peer: Sender, id: Option<&Value>, verb: &Verb) {
        if let Sender::Process { pid, uid } = peer {
            let verb = verb.name();
            tracing::debug!(
                event = "control.request",
                verb,
                pid,
                uid,
                "asked for on the control socket: {verb}"
            );
        }
        let lasts = matches!(
            verb,
            Verb::Watch { .. }
                | Verb::Reload { .. }
                | Verb::Stop { wait: true, .. }
                | Verb::Start { wait: true, .. }
                | Verb::Restart { wait: true, .. }
        );
        let result = if lasts && !self.control.has_room_to_last(client) {
            Err(ControlError::new(ErrorCode::Busy, "too many clients wait or watch", "ask without waiting"))
        } else {
            self.perform_verb(client, peer, id, verb)
        };
        let line = match result {
            Ok(Some(more)) => answer_line(id, verb.name(), more),
            Ok(None) => return,
            Err(error) => error_line(id, Some(verb.name()), &error, Map::new()),
        };
        self.control.say(client, &line);
        if matches!(verb, Verb::Watch { .. }) {
            self.listener.watch(self.control.watched_level());
        }
    }

    /// Does what is asked for. `None`: the answer comes later.
    fn perform_verb(
        &mut self,
        client: u64,
        sender: Sender,
        id: Option<&Value>,
        verb: &Verb,
    ) -> Result<Option<Map<String, Value>>, ControlError> {
        match verb {
            Verb::Status => Ok(Some(self.status())),
            Verb::Watch { level } => {
                self.control.watch(client, *level);
                Ok(Some(Map::new()))
            }
            Verb::Stop { whom: Whom::All, wait } => {
                self.ask(Request::StopSystem { sender });
                Ok(self.conclude(client, id, verb.name(), VecDeque::new(), *wait))
            }
            Verb::Stop { whom, wait } => self.perform_wish(client, id, Wish::Stop, whom, *wait),
            Verb::Start { whom, wait } => self.perform_wish(client, id, Wish::Start, whom, *wait),
            Verb::Restart { whom, wait } => self.perform_wish(client, id, Wish::Restart, whom, *wait),
            Verb::Signal { names, signal } => self.perform_signal(names, *signal),
            Verb::Reload { wait } => self.perform_reload(client, sender, id, *wait).map(|()| None),
            Verb::Reopen => {
                self.ask(Request::Reopen);
                self.granted().map(|()| Some(Map::new()))
            }
        }
    }

    fn perform_wish(
        &mut self,
        client: u64,
        id: Option<&Value>,
        wish: Wish,
        whom: &Whom,
        wait: bool,
    ) -> Result<Option<Map<String, Value>>, ControlError> {
        let services = match whom {
            // A task that is done has nothing left to do, and what it did once may do harm twice.
            Whom::All if wish == Wish::Start => {
                self.supervisor.services().filter(|id| !self.is_done(*id)).collect()
            }
            Whom::All => self.supervisor.services().collect(),
            Whom::Named(names) => self.services_called(names)?,
        };
        for service in &services {
            self.ask(match wish {
                Wish::Stop => Request::Stop(*service),
                Wish::Start => Request::Start(*service),
                Wish::Restart => Request::Restart(*service),
            });
            self.granted()?;
        }
        let pending = services.into_iter().map(|service| (service, wish)).collect();
        let verb = match wish {
            Wish::Stop => "stop",
            Wish::Start => "start",
            Wish::Restart => "restart",
        };
        Ok(self.conclude(client, id, verb, pending, wait))
    }

    fn is_done(&self, service: ServiceId) -> bool {
        let status = self.supervisor.service_status(service, self.clock.now());
        status.state == ServiceState::Down(Rest::Done)
    }

    fn perform_signal(
        &mut self,
        names: &[String],
        signal: Signal,
    ) -> Result<Option<Map<String, Value>>, ControlError> {
        let (mut results, mut idle) = (Vec::new(), Vec::new());
        for service in self.services_called(names)? {
            self.ask(Request::Signal(service, signal));
            let name = self.supervisor.settings().name(service).to_owned();
            match self.requests.refusal.take() {
                None => results.push(json!({ "service": name, "outcome": "sent" })),
                Some(RefusedBecause::NotRunning) => idle.push(name),
                Some(other) => return Err(self.refusal_in_words(other)),
            }
        }
        if idle.is_empty() {
            return Ok(Some(Map::from_iter([("results".to_owned(), Value::Array(results))])));
        }
        let problem = format!("{} has no process that could be sent a signal", idle.join(", "));
        Err(ControlError::new(ErrorCode::NotRunning, problem, "start it first"))
    }

    /// Hands a request to the supervisor, and performs what comes of it.
    pub(super) fn ask(&mut self, request: Request) {
        self.requests.refusal = None;
        self.handle(Event::Requested(request));
    }

    pub(super) fn granted(&mut self) -> Result<(), ControlError> {
        match self.requests.refusal.take() {
            None => Ok(()),
            Some(refusal) => Err(self.refusal_in_words(refusal)),
        }
    }

    /// That the system is being stopped, and why.
    pub(super) fn why_it_stops(&self) -> Option<String> {
        let cause = self.supervisor.cause_of_stop()?;
        Some(format!("the system is being stopped: {}", self.listener.cause(cause)))
    }

    fn refusal_in_words(&self, refusal: RefusedBecause) -> ControlError {
        let stops;
        let (code, problem, cure) = match refusal {
            RefusedBecause::Stopping => {
                stops = self.why_it_stops().unwrap_or_default();
                (ErrorCode::Stopping, stops.as_str(), "ask for `status` to see how far it is")
            }
            RefusedBecause::NotRunning => {
                (ErrorCode::NotRunning, "the service has no process", "start it first")
            }
            RefusedBecause::Removed => (
                ErrorCode::UnknownService,
                "the service was removed from the configuration",
                "add it, and reload",
            ),
            RefusedBecause::NothingToReload => (
                ErrorCode::NotReloaded,
                "there is no configuration file to read anew",
                "start curfew with --config to be able to reload",
            ),
        };
        ControlError::new(code, problem, cure)
    }

    /// Each name once; names are looked up now, since services come and go.
    fn services_called(&self, names: &[String]) -> Result<Vec<ServiceId>, ControlError> {
        let settings = self.supervisor.settings();
        let mut found: Vec<ServiceId> = Vec::new();
        for name in names {
            let mut services = self.supervisor.services();
            let Some(service) = services.find(|service| settings.name(*service) == name) else {
                let known: Vec<&str> =
                    self.supervisor.services().map(|service| settings.name(service)).collect();
                let list = known.join(", ");
                let cure = match proposal(name, known.iter().copied()) {
                    nearest if nearest.starts_with("did") => format!("{nearest} There are: {list}"),
                    _ => format!("there are: {list}"),
                };
                let problem = format!("there is no service `{name}`");
                return Err(ControlError::new(ErrorCode::UnknownService, problem, cure));
            };
            if !found.contains(&service) {
                found.push(service);
            }
        }
        Ok(found)
    }

    /// Answers at once, or when all has come about.
    fn conclude(
        &mut self,
        client: u64,
        id: Option<&Value>,
        verb: &'static str,
        pending: VecDeque<(ServiceId, Wish)>,
        wait: bool,
    ) -> Option<Map<String, Value>> {
        let (results, failed) = (Vec::new(), Vec::new());
        if wait {
            self.control.begin_wait(client);
            let stops = verb == "stop" && pending.is_empty();
            let waiting = Waiting { client, id: id.cloned(), verb, pending, results, failed, stops };
            self.requests.waiting.push(waiting);
            return None;
        }
        let name = |service: &ServiceId| self.supervisor.settings().name(*service);
        let asked = pending.iter().map(|(service, _)| {
            let awaits = self.supervisor.service_status(*service, self.clock.now()).awaits;
            let awaits: Vec<&str> = awaits.iter().map(name).collect();
            let mut result = json!({ "service": name(service), "outcome": "asked" });
            if !awaits.is_empty() {
                result["awaits"] = awaits.into();
            }
            result
        });
        Some(Map::from_iter([("results".to_owned(), asked.collect())]))
    }

    /// Answers those for whom it has come about, or never will.
    pub(super) fn answer_those_who_wait(&mut self) {
        self.answer_those_who_reload();
        if self.requests.waiting.is_empty() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.requests.waiting);
        waiting.retain_mut(|one| self.control.is_there(one.client) && !self.answer_one_who_waits(one));
        self.requests.waiting = waiting;
    }

    fn answer_one_who_waits(&mut self, one: &mut Waiting) -> bool {
        let is_over = self.requests.end.is_some();
        while let Some((service, wish)) = one.pending.front().copied() {
            let now = self.clock.now();
            let status = self.supervisor.service_status(service, now);
            let fate = match status.fate(wish, self.supervisor.is_stopping()) {
                Fate::Pending if is_over => Fate::NotGone,
                fate => fate,
            };
            if fate == Fate::Pending {
                return false;
            }
            one.pending.pop_front();
            let name = self.supervisor.settings().name(service);
            let (outcome, problem) = match fate {
                Fate::Pending | Fate::Granted => (state_name(&status), None),
                Fate::Down => ("failed", Some(why_down(&status))),
                Fate::Superseded => ("superseded", Some("somebody else asked for the contrary".to_owned())),
                Fate::NotGone => ("not-gone", Some("what is left of it cannot be killed".to_owned())),
                Fate::SystemStops => ("stopping", self.why_it_stops()),
            };
            one.results.push(json!({ "service": name, "outcome": outcome }));
            one.failed.extend(problem.map(|problem| format!("{name}: {problem}")));
        }
        let mut more =
            Map::from_iter([("results".to_owned(), Value::Array(std::mem::take(&mut one.results)))]);
        if one.stops {
            let Some(end) = &self.requests.end else { return false };
            more.extend(end.clone());
        }
        let line = if one.failed.is_empty() {
            answer_line(one.id.as_ref(), one.verb, more)
        } else {
            let error = ControlError::new(ErrorCode::Failed, one.failed.join("; "), "the log has the reason");
            error_line(one.id.as_ref(), Some(one.verb), &error, more)
        };
        self.control.say(one.client, &line);
        self.control.end_wait(one.client);
        true
    }

    fn status(&self) -> Map<String, Value> {
        let status = self.supervisor.status(self.clock.now());
        let cause = match status.phase {
            SystemPhase::Stopping(stop) => Some(self.listener.cause(stop.cause)),
            SystemPhase::Starting | SystemPhase::Running => None,
        };
        let words = StatusWords {
            name: self.requests.name.clone(),
            run: self.family.run.clone(),
            pid: std::process::id(),
            cause,
        };
        let mut value = status_value(&status, self.supervisor.settings(), &words);
        if let Some(Value::Array(services)) = value.get_mut("services") {
            for (service, entry) in status.services.iter().zip(services) {
                self.add_figures(service.id, entry);
            }
        }
        value
    }

    /// What a service uses, if it has a cgroup of its own.
    fn add_figures(&self, service: ServiceId, entry: &mut Value) {
        let Some(cgroup) = self.cgroups.get(service) else { return };
        let (current, total) = (cgroup.current_figures(), cgroup.total_figures());
        entry["memory_bytes"] = current.memory_current.into();
        entry["tasks"] = current.pids_current.into();
        entry["memory_peak_bytes"] = total.memory_peak.into();
        entry["cpu_ms"] = total.cpu_usec.map(|used| used / 1000).into();
    }
}

fn why_down(status: &crate::supervisor::ServiceStatus) -> String {
    let end = status.last_end.map(|end| format!(" ({end})")).unwrap_or_default();
    match status.last_failure {
        Some(failure) => format!("it failed: {}{end}", failure.name()),
        None => format!("it is down{end}"),
    }
}
