use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::cgroup_choice::CgroupChoice;
use super::config_error::{ConfigError, Position};
use super::control_choice::{ControlChoice, parse_control};
use super::deadline_choice::DeadlineChoice;
use super::duration_syntax::{parse_duration, parse_positive_duration};
use super::file_values::{self, DURATION};
use super::files::{Files, LONGEST_FILE};
use super::hook_table::{HookTable, hook};
use super::log_format::LogFormat;
use super::log_level::LogLevel;
use super::process_table::{self, ProcessTable};
use super::procfile::looks_like_procfile;
use super::resource_limit::limits;
use super::run_table::{self, RunTable};
use super::service_name::parse_name;
use super::service_table::{self, ServiceTable};
use super::signal_syntax::{Mapping, parse_stop_signal, parse_stop_signals};
use super::toml_document::{Document, Keys, Place, Syntax, Value};
use crate::supervisor::{GraceSchedule, SignalSet, SuccessStatuses, Target};

/// A system as it was described: what was not said is `None` or empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct SystemTable {
    pub(crate) name: Option<String>,
    pub(crate) grace: Option<GraceSchedule>,
    pub(crate) deadline: Option<DeadlineChoice>,
    pub(crate) margin: Option<(Place, Duration)>,
    pub(crate) extend: Option<Duration>,
    pub(crate) report: Option<PathBuf>,
    pub(crate) log: Option<LogFormat>,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) cgroup: Option<CgroupChoice>,
    pub(crate) control: Option<ControlChoice>,
    pub(crate) stop_signals: Option<SignalSet>,
    pub(crate) map: Vec<Mapping>,
    pub(crate) signal_target: Option<Target>,
    pub(crate) success: Option<SuccessStatuses>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) env_file: Vec<(Place, PathBuf)>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) process: ProcessTable,
    pub(crate) services: Vec<ServiceTable>,
    pub(crate) cleanup: Option<HookTable>,
    /// The commands that stages can run.
    pub(crate) commands: Vec<RunTable>,
    /// Those that the schedule runs, and where it says so.
    pub(crate) runs: Vec<(Place, Arc<str>)>,
}

/// Every key at the top level of the file, and how it is read.
const KEYS: &Keys<SystemTable> = &[
    ("name", |system, value| system.name = value.parsed("a name such as \"myproject\"", parse_name)),
    ("grace", |system, value| {
        system.grace = file_values::grace(value);
        system.runs = file_values::runs(value, system.grace.as_ref());
    }),
    ("deadline", |system, value| system.deadline = file_values::deadline(value)),
    ("margin", |system, value| {
        system.margin = value.parsed(DURATION, parse_duration).map(|margin| (value.place(), margin));
    }),
    ("extend", |system, value| {
        system.extend = value.parsed("the longest extension, such as \"10m\"", parse_positive_duration);
    }),
    ("report", |system, value| system.report = file_values::path(value)),
    ("log", |system, value| system.log = file_values::choice(value, &LogFormat::CHOICES)),
    ("log-level", |system, value| system.log_level = file_values::choice(value, &LogLevel::CHOICES)),
    ("cgroup", |system, value| system.cgroup = file_values::choice(value, &CgroupChoice::CHOICES)),
    ("control", |system, value| {
        system.control = value.parsed("a path, or \"none\"", parse_control);
    }),
    ("stop-signals", |system, value| {
        system.stop_signals = file_values::signals(value, parse_stop_signals, parse_stop_signal);
    }),
    ("map", |system, value| system.map = file_values::map(value)),
    ("signal-target", |system, value| system.signal_target = file_values::target(value)),
    ("success", |system, value| system.success = file_values::success(value)),
    ("environment", |system, value| system.environment = file_values::variables(value)),
    ("env-file", |system, value| system.env_file = file_values::paths(value)),
    ("directory", |system, value| system.directory = file_values::path(value)),
    ("user", |system, value| system.process.user = process_table::account(value)),
    ("group", |system, value| system.process.group = process_table::account(value)),
    ("supplementary-groups", |system, value| {
        system.process.supplementary_groups = process_table::accounts(value);
    }),
    ("umask", |system, value| system.process.umask = process_table::umask(value)),
    ("nice", |system, value| system.process.nice = process_table::nice(value)),
    ("oom-score-adjust", |system, value| {
        system.process.oom_score_adjust = process_table::oom_score_adjust(value);
    }),
    ("limits", |system, value| system.process.limits = limits(value)),
    ("clear-environment", |system, value| system.process.clear_environment = value.boolean()),
    ("no-new-privileges", |system, value| system.process.no_new_privileges = value.boolean()),
    ("parent-death", |system, value| system.process.parent_death = file_values::parent_death(value)),
    ("output", |system, value| system.process.output = file_values::output(value)),
    ("service", |system, value| {
        let entries = value.entries("tables such as [service.api]").unwrap_or_default();
        system.services = entries.iter().map(service).collect();
    }),
    ("cleanup", |system, value| system.cleanup = hook(value)),
    ("run", |system, value| {
        let entries = value.entries("tables such as [run.dump]").unwrap_or_default();
        system.commands = entries.iter().map(command_of_stages).collect();
    }),
];

/// What a reading of the file came to. The errors are sorted by nothing yet.
pub(crate) struct Reading {
    pub(crate) system: SystemTable,
    pub(crate) errors: Vec<ConfigError>,
    /// Whether the syntax is sound, so that what is missing is really missing.
    pub(crate) syntax: Syntax,
}

/// Reads the description of a system; `path` is where the file is, `shown` what messages call it.
///
/// # Errors
/// The file cannot be read, or is no text. All else is in the [`Reading`].
pub(crate) fn read_system_file(
    files: &Files,
    path: &Path,
    shown: &Path,
) -> Result<Reading, Box<ConfigError>> {
    let text = read_text(files, path, &shown.display().to_string())?;
    Ok(read_system(shown.display().to_string(), text))
}

/// Reads the description of a system.
pub(crate) fn read_system(file: String, text: String) -> Reading {
    let procfile = looks_like_procfile(&text);
    let document = Document::new(file, text);
    let mut system = SystemTable::default();
    let (table, syntax) = document.parse();
    document.read(table.get_ref(), &mut system, KEYS, &|key, is_table| {
        if service_table::KEYS.iter().any(|(known, _)| *known == key) {
            return Some(format!("`{key}` belongs under [service.NAME]"));
        }
        (is_table && parse_name(key).is_ok()).then(|| format!("if it is a service, write [service.{key}]"))
    });
    // An unknown table has its own error, and was probably meant to be a service.
    let names_service = table.get_ref().iter().any(|(key, value)| {
        let is_known = KEYS.iter().any(|(known, _)| *known == key.get_ref());
        key.get_ref() == "service" && document.has_errors() || !is_known && value.get_ref().is_table()
    });
    let no_service = (system.services.is_empty() && syntax == Syntax::Sound && !names_service).then(|| {
        ConfigError::of_file(document.file(), "there is no service", "add [service.NAME] with a command")
    });
    drop(table);
    let not_ours = procfile.filter(|_| syntax == Syntax::Broken).map(|line| {
        let (file, problem) = (document.file(), "this looks like a Procfile, and not like TOML");
        ConfigError::of_line(file, line, problem, format!("say --procfile {file}"))
    });
    let mut errors = not_ours.map_or_else(|| document.into_errors(), |error| vec![error]);
    errors.extend(no_service);
    Reading { system, errors, syntax }
}

fn service(value: &Value) -> ServiceTable {
    let mut service = ServiceTable { name: value.name().to_owned(), ..ServiceTable::default() };
    // What is said of a wrong name can still be checked.
    value.parsed_key(parse_name);
    let is_table =
        value.read("a table such as [service.api]", &mut service, service_table::KEYS, &|key, _| {
            let is_at_the_top = KEYS.iter().any(|(known, _)| *known == key);
            let cure = is_at_the_top.then(|| format!("`{key}` belongs at the top of the file"));
            cure.or_else(|| service_table::habit(key).map(str::to_owned))
        });
    service.place = is_table.then(|| value.place_of_key());
    service
}

fn command_of_stages(value: &Value) -> RunTable {
    let mut run = RunTable { name: value.name().to_owned(), ..RunTable::default() };
    value.parsed_key(parse_name);
    let is_table = value.read("a table such as [run.dump]", &mut run, run_table::KEYS, &|_, _| None);
    if is_table && !run.names_command {
        value.fail_at_key("there is no command", "add command = [\"gdump\", \"...\"]");
    }
    run
}

/// Reads a file as text, without a byte order mark.
///
/// # Errors
/// The file cannot be read, or is not UTF-8.
pub(crate) fn read_text(files: &Files, path: &Path, shown: &str) -> Result<String, Box<ConfigError>> {
    let bytes = files.read(path).map_err(|error| {
        let (problem, cure) = explain_io(path, &error);
        Box::new(ConfigError::of_file(shown, problem, cure))
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let sound = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line_start = sound.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let position = Position {
            line: sound.iter().filter(|byte| **byte == b'\n').count() + 1,
            column: String::from_utf8_lossy(&sound[line_start..]).chars().count() + 1,
        };
        let error =
            ConfigError::of_file(shown, "the text is not UTF-8 from here on", "save the file as UTF-8");
        Box::new(ConfigError { position: Some(position), ..error })
    })?;
    Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned))
}

/// What a file's error means, and what to do.
pub(crate) fn explain_io(path: &Path, error: &std::io::Error) -> (String, String) {
    use std::io::ErrorKind;
    let (problem, cure) = match error.kind() {
        ErrorKind::NotFound => {
            ("there is no such file", "check the path; it is looked up from where curfew was started")
        }
        ErrorKind::IsADirectory => ("this is a directory", "name the file in it"),
        ErrorKind::NotADirectory => ("a part of the path is no directory", "check the path"),
        ErrorKind::FileTooLarge => {
            let problem = format!("longer than {} MiB: this is no configuration", LONGEST_FILE >> 20);
            return (problem, format!("check {}", path.display()));
        }
        ErrorKind::PermissionDenied => ("permission denied", "let the user that curfew runs as read it"),
        _ => return (format!("cannot be read: {error}"), format!("check {}", path.display())),
    };
    (problem.to_owned(), cure.to_owned())
}
