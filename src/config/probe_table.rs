use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::duration_syntax::parse_positive_duration;
use super::file_values::{self, DURATION};
use super::toml_document::{Keys, Place, Value};
use crate::protocol::{HttpTarget, ProbeTarget, TargetError, parse_address, parse_http};
use crate::supervisor::ReadyBy;

/// `ready` or `health` as it was described: what was not said is `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProbeTable {
    pub(crate) by: Option<ReadyBy>,
    pub(crate) target: Option<ProbeTarget>,
    /// The number of the descriptor for `fd`.
    pub(crate) descriptor: Option<i32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) every: Option<Duration>,
    pub(crate) failures: Option<u32>,
    pub(crate) start_period: Option<Duration>,
    /// Where it stands in the file.
    pub(crate) place: Option<Place>,
    status: Option<u16>,
    /// How many ways there are to tell; one is right.
    ways: u32,
}

/// s6's number for it.
const READY_DESCRIPTOR: i32 = 3;

/// What to look at.
const HTTP: (&str, fn(&mut ProbeTable, &Value)) = ("http", |probe, value| {
    let target = value.string("an address such as \"http://127.0.0.1:8000/healthz\"").map(parse_http);
    probe.look(value, target.map(|target| target.map(ProbeTarget::Http)));
});
const TCP: (&str, fn(&mut ProbeTable, &Value)) = ("tcp", |probe, value| {
    let target = value.string("an address such as \"127.0.0.1:5432\", or \"unix:/run/x.sock\"");
    let target = target.map(|text| match text.strip_prefix("unix:") {
        Some("") => Err(TargetError::Path),
        Some(path) => Ok(ProbeTarget::Unix(PathBuf::from(path))),
        None => parse_address(text).map(ProbeTarget::Tcp),
    });
    probe.look(value, target);
});
const FILE: (&str, fn(&mut ProbeTable, &Value)) = ("file", |probe, value| {
    probe.look(value, file_values::path(value).map(|path| Ok(ProbeTarget::File(path))));
});
const COMMAND: (&str, fn(&mut ProbeTable, &Value)) = ("command", |probe, value| {
    let command = file_values::command(value);
    let target =
        command.map(|command| ProbeTarget::Command(command.into_iter().map(OsString::from).collect()));
    probe.look(value, target.map(Ok));
});
const STATUS: (&str, fn(&mut ProbeTable, &Value)) = ("status", |probe, value| {
    let Some(status) = file_values::count(value) else { return };
    probe.status = u16::try_from(status).ok().filter(|status| (200..600).contains(status));
    if probe.status.is_none() {
        value.fail("no answer has this HTTP status", "write a number from 200 to 599, such as 204");
    }
});
const TIMEOUT: (&str, fn(&mut ProbeTable, &Value)) =
    ("timeout", |probe, value| probe.timeout = value.parsed(DURATION, parse_positive_duration));
const EVERY: (&str, fn(&mut ProbeTable, &Value)) =
    ("every", |probe, value| probe.every = value.parsed(DURATION, parse_positive_duration));

/// Every key of `ready` as a table.
const READY_KEYS: &Keys<ProbeTable> = &[
    HTTP,
    TCP,
    FILE,
    COMMAND,
    ("notify", |probe, value| {
        if value.boolean() == Some(true) {
            probe.by = Some(ReadyBy::Notify);
            probe.ways += 1;
        }
    }),
    ("fd", |probe, value| {
        probe.by = Some(ReadyBy::Descriptor);
        probe.ways += 1;
        let Some(number) = file_values::count(value) else { return };
        probe.descriptor = i32::try_from(number).ok().filter(|number| (3..1024).contains(number));
        if probe.descriptor.is_none() {
            value.fail("no service can be given this descriptor", "write a number from 3 to 1023");
        }
    }),
    STATUS,
    TIMEOUT,
    EVERY,
];

/// Every key of `health`.
const HEALTH_KEYS: &Keys<ProbeTable> = &[
    HTTP,
    TCP,
    FILE,
    COMMAND,
    STATUS,
    TIMEOUT,
    EVERY,
    ("failures", |probe, value| {
        probe.failures = file_values::count(value);
        if probe.failures == Some(0) {
            value.fail("no failure at all would make it unhealthy", "write 1 or more");
        }
    }),
    ("start-period", |probe, value| probe.start_period = value.parsed(DURATION, super::parse_duration)),
];

impl ProbeTable {
    fn look(&mut self, value: &Value, target: Option<Result<ProbeTarget, TargetError>>) {
        self.ways += 1;
        match target {
            Some(Ok(target)) => {
                self.by = Some(ReadyBy::Probe);
                self.target = Some(target);
            }
            Some(Err(error)) => {
                let (problem, cure) = error.explain();
                value.fail(problem, cure);
            }
            None => {}
        }
    }

    /// Looks at the whole: there must be one way to tell, and nothing that says something of another.
    fn settle(mut self, value: &Value, ways: &str) -> Self {
        match self.ways {
            0 => value.fail_at_key("there is nothing to tell it by", format!("write one of {ways}")),
            1 => self.refuse_what_is_of_another_way(value),
            _ => {
                value.fail_at_key("there is more than one way to tell it by", format!("leave one of {ways}"));
            }
        }
        if let (Some(ProbeTarget::Http(HttpTarget { status, .. })), Some(wanted)) =
            (&mut self.target, self.status)
        {
            *status = Some(wanted);
        }
        self
    }

    fn refuse_what_is_of_another_way(&self, value: &Value) {
        let entries = value.entries("a table").unwrap_or_default();
        let is_there = |name: &str| entries.iter().any(|entry| entry.name() == name);
        for entry in &entries {
            match entry.name() {
                "status" if !is_there("http") => {
                    entry.fail_at_key("only http is answered with a status", "remove it");
                }
                "every" if matches!(self.by, Some(ReadyBy::Notify | ReadyBy::Descriptor)) => {
                    let problem =
                        "the service says by itself when it is ready: nothing is tried again and again";
                    entry.fail_at_key(problem, "remove it; `timeout` is how long it may take");
                }
                _ => {}
            }
        }
    }
}

/// Reads `ready`: a word, or a table.
pub(crate) fn ready(value: &Value) -> Option<ProbeTable> {
    const EXPECTED: &str =
        "\"notify\", \"fd\", or a table such as { http = \"http://127.0.0.1:8000/healthz\" }";
    let mut probe = ProbeTable { place: Some(value.place_of_key()), ..ProbeTable::default() };
    if value.is_table() {
        value.read(EXPECTED, &mut probe, READY_KEYS, &|_, _| None);
        return Some(probe.settle(value, "http, tcp, file, command, notify, fd"));
    }
    let by = match value.string(EXPECTED)? {
        "notify" => ReadyBy::Notify,
        "fd" => ReadyBy::Descriptor,
        other => {
            let problem = format!("unknown word `{other}`");
            let table = match other.contains("://") {
                true => format!("{{ http = {other:?} }}"),
                false => "a table such as { http = \"http://127.0.0.1:8000/healthz\" }".to_owned(),
            };
            value.fail(problem, format!("write \"notify\", \"fd\", or {table}"));
            return None;
        }
    };
    let descriptor = (by == ReadyBy::Descriptor).then_some(READY_DESCRIPTOR);
    Some(ProbeTable { by: Some(by), descriptor, ..probe })
}

/// Reads `health`: a table.
pub(crate) fn health(value: &Value) -> Option<ProbeTable> {
    let mut probe = ProbeTable::default();
    let is_table = value.read(
        "a table such as { http = \"http://127.0.0.1:8000/healthz\", every = \"10s\" }",
        &mut probe,
        HEALTH_KEYS,
        &|_, _| None,
    );
    is_table.then(|| probe.settle(value, "http, tcp, file, command"))
}
