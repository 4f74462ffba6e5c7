//! Those who asked for a reload on the control socket, and wait for what comes of it.

use serde_json::{Map, Value, json};

use super::controlling::Requests;
use super::{Listener, Runtime};
use crate::protocol::{ControlError, ErrorCode, answer_line, error_line};
use crate::supervisor::{Change, Notice, Request, Sender, ServiceId, Settings};

/// A request for a reload.
pub(super) struct ReloadRequest {
    client: u64,
    id: Option<Value>,
    /// The answer comes when everything is up or down.
    waits_for_all: bool,
    /// The files were being read already when it came, and may have changed since: they are read once more for it.
    is_behind_a_reading: bool,
    /// What became of each service, once it is known.
    applied: Option<Map<String, Value>>,
    result: Option<Result<Map<String, Value>, ControlError>>,
}

impl Requests {
    /// The supervisor tells something of a reload.
    pub(super) fn hear_of_reload(&mut self, notice: &Notice, settings: &Settings) {
        match notice {
            Notice::ReloadRefused { reasons } => {
                let error = ControlError::new(
                    ErrorCode::NotReloaded,
                    format!("nothing is reloaded: {}", reasons.join("\n")),
                    "mend it, and reload once more",
                );
                self.conclude_reading(|request| request.result = Some(Err(error.clone())));
            }
            Notice::ReloadApplied { changes, kept, system, later, .. } => {
                let results = changes.iter().map(|(service, change)| entry(settings, *service, *change));
                let applied = Map::from_iter([
                    ("results".to_owned(), results.collect()),
                    ("kept".to_owned(), json!(kept)),
                    ("system".to_owned(), json!(system)),
                    ("later".to_owned(), json!(later)),
                ]);
                self.conclude_reading(|request| match request.waits_for_all {
                    true => request.applied = Some(applied.clone()),
                    false => request.result = Some(Ok(applied.clone())),
                });
            }
            Notice::ReloadComplete { failed, .. } => {
                let names: Vec<&str> = failed.iter().map(|service| settings.name(*service)).collect();
                for request in &mut self.reloads {
                    let Some(applied) = request.applied.take() else { continue };
                    request.result = Some(if names.is_empty() {
                        Ok(applied)
                    } else {
                        let problem = format!("reloaded, but not up: {}", names.join(", "));
                        Err(ControlError::new(ErrorCode::Failed, problem, "the log has the reason"))
                    });
                }
            }
            _ => {}
        }
    }

    /// The files were read: that answers those who asked before.
    fn conclude_reading(&mut self, mut conclude: impl FnMut(&mut ReloadRequest)) {
        for request in self.reloads.iter_mut().filter(|request| request.result.is_none()) {
            if !std::mem::take(&mut request.is_behind_a_reading) && request.applied.is_none() {
                conclude(request);
            }
        }
    }
}

impl<L: Listener> Runtime<L> {
    /// Asks for a reload. The answer comes later.
    pub(super) fn perform_reload(
        &mut self,
        client: u64,
        sender: Sender,
        id: Option<&Value>,
        waits_for_all: bool,
    ) -> Result<(), ControlError> {
        self.control.begin_wait(client);
        // Before it is asked for: the refusal may come at once.
        self.requests.reloads.push(ReloadRequest {
            client,
            id: id.cloned(),
            waits_for_all,
            is_behind_a_reading: self.reload.is_reading(),
            applied: None,
            result: None,
        });
        self.ask(Request::Reload { sender });
        self.granted().inspect_err(|_| {
            self.requests.reloads.pop();
            self.control.end_wait(client);
        })
    }

    /// Answers those of whose reload all is known.
    pub(super) fn answer_those_who_reload(&mut self) {
        let stops = if self.requests.reloads.is_empty() { None } else { self.why_it_stops() };
        for request in self.requests.reloads.iter_mut().filter(|request| request.result.is_none()) {
            let Some(stops) = &stops else { break };
            // What was read may be the cause.
            let (read, cure) = match request.applied {
                Some(_) => ("reloaded, but ", "the log has the reason"),
                None => ("", "start it again to have it read"),
            };
            request.result =
                Some(Err(ControlError::new(ErrorCode::Stopping, format!("{read}{stops}"), cure)));
        }
        let (done, open) = std::mem::take(&mut self.requests.reloads)
            .into_iter()
            .filter(|request| self.control.is_there(request.client))
            .partition(|request| request.result.is_some());
        self.requests.reloads = open;
        let done: Vec<ReloadRequest> = done;
        for ReloadRequest { client, id, result, .. } in done {
            let line = match result {
                Some(Ok(more)) => answer_line(id.as_ref(), "reload", more),
                Some(Err(error)) => error_line(id.as_ref(), Some("reload"), &error, Map::new()),
                None => continue,
            };
            self.control.say(client, &line);
            self.control.end_wait(client);
        }
    }
}

fn entry(settings: &Settings, service: ServiceId, change: Change) -> Value {
    let outcome = match change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Restarted => "restarted",
        Change::StillStopped => "still-stopped",
        Change::Adjusted => "adjusted",
    };
    json!({ "service": settings.name(service), "outcome": outcome })
}
