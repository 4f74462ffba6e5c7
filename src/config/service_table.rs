use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::duration_syntax::{parse_duration, parse_positive_duration};
use super::file_values::{self, DURATION};
use super::hook_table::{HookTable, hook};
use super::probe_table::{ProbeTable, health, ready};
use super::process_table::{self, ProcessTable};
use super::resource_limit::limits;
use super::restart_table::restart;
use super::signal_syntax::{parse_forward, parse_forwarded};
use super::toml_document::{Keys, Place};
use crate::supervisor::{GraceSchedule, Kind, Restart, Signal, SignalSet, SuccessStatuses, Target};

/// A service as it was described: what was not said is `None` or empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceTable {
    pub(crate) name: String,
    pub(crate) kind: Option<Kind>,
    pub(crate) command: Option<Vec<String>>,
    pub(crate) after: Vec<(Place, String)>,
    pub(crate) grace: Option<GraceSchedule>,
    /// The commands that the schedule runs, and where it says so.
    pub(crate) runs: Vec<(Place, Arc<str>)>,
    pub(crate) ready: Option<ProbeTable>,
    pub(crate) health: Option<ProbeTable>,
    pub(crate) restart: Option<Restart>,
    pub(crate) retries: Option<(Place, u32)>,
    pub(crate) timeout: Option<(Place, Duration)>,
    pub(crate) watchdog: Option<Duration>,
    pub(crate) notify: Option<bool>,
    pub(crate) sockets: Vec<(Place, String)>,
    pub(crate) pre_start: Option<HookTable>,
    pub(crate) pre_stop: Option<HookTable>,
    pub(crate) post_stop: Option<HookTable>,
    pub(crate) drain: Option<Duration>,
    pub(crate) essential: Option<bool>,
    pub(crate) success: Option<SuccessStatuses>,
    pub(crate) signal_target: Option<Target>,
    pub(crate) forward: Option<(Place, SignalSet)>,
    pub(crate) reload_signal: Option<Signal>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) env_file: Vec<(Place, PathBuf)>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) process: ProcessTable,
    /// Where it stands in the file; `None`: it was not read from one, or is no table.
    pub(crate) place: Option<Place>,
    /// Whether the key is there, even if its value is wrong.
    pub(crate) names_command: bool,
}

/// The words for [`Kind`].
const KINDS: [(&str, Kind); 2] = [("service", Kind::Service), ("task", Kind::Task)];

/// What other tools call it, in lower case and without `-` and `_`.
const HABITS: [(&str, &[&str]); 4] = [
    ("write `after`", &["dependson", "requires", "wants", "needs"]),
    ("write `after` in the other service, with the name of this one", &["before", "requiredby", "wantedby"]),
    (
        "write `grace`, such as \"INT 10s, KILL\"",
        &[
            "stopsignal",
            "killsignal",
            "stopgrace",
            "stopgraceperiod",
            "stoptimeout",
            "timeoutstop",
            "stopwaitsecs",
        ],
    ),
    ("write `directory`", &["cwd", "chdir", "workdir", "workingdir", "workingdirectory"]),
];

/// The cure for a key that is one elsewhere.
pub(crate) fn habit(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase().replace(['-', '_'], "");
    HABITS.iter().find(|(_, keys)| keys.contains(&&*key)).map(|(cure, _)| *cure)
}

/// Every key of `[service.NAME]`, and how it is read.
pub(crate) const KEYS: &Keys<ServiceTable> = &[
    ("type", |service, value| service.kind = file_values::choice(value, &KINDS)),
    ("command", |service, value| {
        service.names_command = true;
        service.command = file_values::command(value);
    }),
    ("after", |service, value| service.after = file_values::names(value)),
    ("grace", |service, value| {
        service.grace = file_values::grace(value);
        service.runs = file_values::runs(value, service.grace.as_ref());
    }),
    ("ready", |service, value| service.ready = ready(value)),
    ("health", |service, value| service.health = health(value)),
    ("restart", |service, value| service.restart = restart(value)),
    ("retries", |service, value| {
        service.retries = file_values::count(value).map(|count| (value.place_of_key(), count));
    }),
    ("timeout", |service, value| {
        let timeout = value.parsed(DURATION, parse_positive_duration);
        service.timeout = timeout.map(|timeout| (value.place_of_key(), timeout));
    }),
    ("watchdog", |service, value| service.watchdog = value.parsed(DURATION, parse_positive_duration)),
    ("sockets", |service, value| service.sockets = file_values::names(value)),
    ("notify", |service, value| service.notify = value.boolean()),
    ("pre-start", |service, value| service.pre_start = hook(value)),
    ("pre-stop", |service, value| service.pre_stop = hook(value)),
    ("post-stop", |service, value| service.post_stop = hook(value)),
    ("drain", |service, value| service.drain = value.parsed(DURATION, parse_duration)),
    ("essential", |service, value| service.essential = value.boolean()),
    ("success", |service, value| service.success = file_values::success(value)),
    ("signal-target", |service, value| service.signal_target = file_values::target(value)),
    ("forward", |service, value| {
        let signals = file_values::signals(value, parse_forward, parse_forwarded);
        service.forward = signals.map(|signals| (value.place(), signals));
    }),
    ("reload-signal", |service, value| {
        service.reload_signal = value.parsed("a signal such as \"HUP\"", parse_forwarded);
    }),
    ("environment", |service, value| service.environment = file_values::variables(value)),
    ("env-file", |service, value| service.env_file = file_values::paths(value)),
    ("directory", |service, value| service.directory = file_values::path(value)),
    ("user", |service, value| service.process.user = process_table::account(value)),
    ("group", |service, value| service.process.group = process_table::account(value)),
    ("supplementary-groups", |service, value| {
        service.process.supplementary_groups = process_table::accounts(value);
    }),
    ("umask", |service, value| service.process.umask = process_table::umask(value)),
    ("nice", |service, value| service.process.nice = process_table::nice(value)),
    ("oom-score-adjust", |service, value| {
        service.process.oom_score_adjust = process_table::oom_score_adjust(value);
    }),
    ("limits", |service, value| service.process.limits = limits(value)),
    ("clear-environment", |service, value| service.process.clear_environment = value.boolean()),
    ("no-new-privileges", |service, value| service.process.no_new_privileges = value.boolean()),
    ("parent-death", |service, value| service.process.parent_death = file_values::parent_death(value)),
    ("output", |service, value| service.process.output = file_values::output(value)),
];
