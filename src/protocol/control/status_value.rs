use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::supervisor::{
    Failure, Kind, Level, Pid, Rest, ServiceState, ServiceStatus, Settings, Step, StopPhase, StopStatus,
    SystemPhase, SystemStatus,
};

/// What a status says besides what the supervisor knows.
#[derive(Clone, Debug, Default)]
pub struct StatusWords {
    /// The name of the system.
    pub name: String,
    /// The name of the run.
    pub run: String,
    /// The process that is curfew.
    pub pid: u32,
    /// Why the system stops, in words.
    pub cause: Option<String>,
}

/// A status as the answer to `status` has it.
pub fn status_value(status: &SystemStatus, settings: &Settings, words: &StatusWords) -> Map<String, Value> {
    let (phase, stop) = match status.phase {
        SystemPhase::Starting => ("starting", Value::Null),
        SystemPhase::Running => ("running", Value::Null),
        SystemPhase::Stopping(stop) => ("stopping", stop_value(stop, words)),
    };
    let system = json!({
        "name": words.name,
        "run": words.run,
        "pid": words.pid,
        "curfew": env!("CARGO_PKG_VERSION"),
        "phase": phase,
        "ready": status.is_ready(),
        "uptime_ms": milliseconds(status.uptime),
        "stop": stop,
    });
    let services = status.services.iter().map(|service| service_value(service, settings)).collect();
    Map::from_iter([("system".to_owned(), system), ("services".to_owned(), Value::Array(services))])
}

fn stop_value(stop: StopStatus, words: &StatusWords) -> Value {
    let StopStatus { cause: _, since, level, budget, left } = stop;
    json!({
        "cause": words.cause,
        "since_ms": milliseconds(since),
        "level": match level {
            Level::Stop => "stop",
            Level::NextStage => "next-stage",
            Level::KillNow => "kill-now",
        },
        "budget_ms": budget.map(milliseconds),
        "left_ms": left.map(milliseconds),
    })
}

fn service_value(service: &ServiceStatus, settings: &Settings) -> Value {
    let names = |ids: &[_]| -> Vec<String> { ids.iter().map(|id| settings.name(*id).to_owned()).collect() };
    let mut value = json!({
        "name": settings.name(service.id),
        "kind": match service.kind {
            Kind::Service => "service",
            Kind::Task => "task",
        },
        "essential": service.is_essential,
        "state": state_name(service),
        "wanted": !service.is_unwanted,
        "pid": service.pid.map(Pid::number),
        "since_ms": service.since.map(milliseconds),
        "ready_ms": service.ready_for.map(milliseconds),
        "restarts": service.restarts,
        "text": service.text,
        "last_end": service.last_end.map(|end| end.to_string()),
        "last_failure": service.last_failure.map(Failure::name),
        "failed_probes": service.failed_probes,
        "probe_saw": service.probe_saw,
        "strays": service.strays,
        "awaits": names(&service.awaits),
    });
    if let (Some(_), step @ (Step::PreStart | Step::PostStop)) = (service.pid, service.step) {
        let is_cleanup = service.id == settings.cleanup_id();
        value["runs"] = if is_cleanup { "cleanup".into() } else { step.to_string().into() };
    }
    match service.state {
        ServiceState::Stopping { phase, left, restarts } => {
            value["stop"] = phase_value(phase, left, restarts);
        }
        ServiceState::BackOff { left } => value["back_off_ms"] = milliseconds(left).into(),
        _ => {}
    }
    value
}

fn phase_value(phase: StopPhase, left: Option<Duration>, restarts: bool) -> Value {
    let name = match phase {
        StopPhase::PreStop => "pre-stop",
        StopPhase::Drain => "drain",
        StopPhase::Stage { .. } => "stage",
        StopPhase::Killed => "killed",
        StopPhase::Lingering => "lingering",
        StopPhase::PostStop => "post-stop",
        StopPhase::Cleanup => "cleanup",
    };
    let mut value = json!({ "phase": name, "left_ms": left.map(milliseconds), "restarts": restarts });
    if let StopPhase::Stage { stage, of, signal } = phase {
        value["stage"] = stage.into();
        value["of"] = of.into();
        value["signal"] = signal.map(|signal| signal.to_string()).into();
    }
    value
}

/// One word for the state of a service.
pub const fn state_name(service: &ServiceStatus) -> &'static str {
    match (service.state, service.kind) {
        (ServiceState::Waiting, _) => "waiting",
        (ServiceState::Preparing, _) => "preparing",
        (ServiceState::Starting, _) => "starting",
        (ServiceState::Unready, _) => "not-ready",
        (ServiceState::Up, Kind::Service) => "ready",
        (ServiceState::Up, Kind::Task) => "running",
        (ServiceState::Ended, _) => "ended",
        (ServiceState::Stopping { .. }, _) => "stopping",
        (ServiceState::BackOff { .. }, _) => "back-off",
        (ServiceState::Down(Rest::Done), _) => "done",
        (ServiceState::Down(Rest::Failed), _) => "failed",
        (ServiceState::Down(Rest::Stopped), _) => "stopped",
        (ServiceState::Down(Rest::NeverRan), _) => "not-started",
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{
        Event, Mode, Sender, ServiceId, ServiceSettings, Signal, StopOrder, Supervisor, Timestamp,
    };

    #[test]
    fn a_status_in_the_middle_of_a_stop_says_who_is_awaited_and_how_long() {
        let services = ["db", "api"].map(ServiceSettings::new).to_vec();
        let order = StopOrder::new(&[Vec::new(), vec![ServiceId::new(0)]]).unwrap();
        let mut settings = Settings::new(Mode::ManyServices, services, order);
        settings.deadline = Some(crate::supervisor::Deadline {
            deadline: Duration::from_secs(30),
            margin: Duration::from_secs(1),
        });
        let mut supervisor = Supervisor::new(settings);
        let at = |seconds| Timestamp::new(Duration::from_secs(seconds));
        supervisor.handle(Event::Begin, at(0));
        while supervisor.next_command().is_some() {}
        for (index, number) in [(0, 50), (1, 51)] {
            let service = ServiceId::new(index);
            supervisor.handle(Event::Forked { service, pid: Pid::new(number).unwrap() }, at(1));
            supervisor.handle(Event::Executed { service }, at(1));
            while supervisor.next_command().is_some() {}
        }
        let words = StatusWords { name: "demo".into(), ..StatusWords::default() };
        let value = status_value(&supervisor.status(at(2)), supervisor.settings(), &words);
        assert_eq!((&value["system"]["phase"], &value["system"]["ready"]), (&json!("running"), &json!(true)));
        assert_eq!(value["services"][1]["state"], "ready");
        let sender = Sender::Process { pid: 7, uid: 0 };
        supervisor.handle(Event::SignalReceived { signal: Signal::TERM, sender }, at(3));
        let words = StatusWords { cause: Some("SIGTERM".into()), ..words };
        let value = status_value(&supervisor.status(at(5)), supervisor.settings(), &words);
        assert_eq!(
            value["system"]["stop"],
            json!({ "cause": "SIGTERM", "since_ms": 2000, "level": "stop", "budget_ms": 29000, "left_ms": 27000 })
        );
        let (db, api) = (&value["services"][0], &value["services"][1]);
        assert_eq!((&db["state"], &db["awaits"]), (&json!("ready"), &json!(["api"])));
        assert_eq!(
            (&api["state"], &api["pid"], &api["since_ms"]),
            (&json!("stopping"), &json!(51), &json!(4000))
        );
        assert_eq!(
            api["stop"],
            json!({ "phase": "stage", "left_ms": 6000, "restarts": false, "stage": 1, "of": 2, "signal": "TERM" })
        );
    }
}
