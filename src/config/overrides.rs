use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use super::SyntaxError;
use super::account_syntax::parse_user_and_group;
use super::cgroup_choice::CgroupChoice;
use super::choice::parse_choice;
use super::command_line::split_command;
use super::control_choice::{ControlChoice, parse_control};
use super::deadline_choice::{DeadlineChoice, parse_deadline};
use super::duration_syntax::{parse_duration, parse_positive_duration};
use super::grace_syntax::{TARGETS, parse_schedule};
use super::log_format::LogFormat;
use super::log_level::LogLevel;
use super::output_choice::{OutputChoice, parse_output};
use super::service_name::parse_name;
use super::signal_syntax::{Mapping, parse_forward, parse_mapping, parse_stop_signals, parse_success};
use super::usage_error::UsageError;
use crate::arguments::{Options, variable};
use crate::supervisor::{ExitStatusPolicy, GraceSchedule, Signal, SignalSet, SuccessStatuses, Target};

/// A value, and the option or variable that it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given<T> {
    pub(crate) value: T,
    /// `--grace` or `CURFEW_GRACE`.
    pub(crate) origin: String,
}

/// What the command line and the variables say, parsed: it goes before what the file says.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) config: Option<Given<PathBuf>>,
    pub(crate) procfile: Option<Given<PathBuf>>,
    pub(crate) services: Vec<(String, Vec<String>)>,
    pub(crate) name: Option<String>,
    pub(crate) task: Option<Given<()>>,
    pub(crate) env_file: Vec<PathBuf>,
    pub(crate) directory: Option<PathBuf>,
    /// The user, and the group if one is named.
    pub(crate) user: Option<(String, Option<String>)>,
    pub(crate) output: Option<OutputChoice>,
    pub(crate) grace: Option<GraceSchedule>,
    pub(crate) grace_of: Vec<Given<(String, GraceSchedule)>>,
    pub(crate) deadline: Option<Given<DeadlineChoice>>,
    pub(crate) margin: Option<Given<Duration>>,
    pub(crate) extend: Option<Duration>,
    pub(crate) signal_target: Option<Target>,
    pub(crate) stop_signals: Option<SignalSet>,
    pub(crate) forward: Option<Given<SignalSet>>,
    pub(crate) map: Vec<Mapping>,
    pub(crate) report: Option<PathBuf>,
    pub(crate) log: Option<LogFormat>,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) cgroup: Option<CgroupChoice>,
    pub(crate) control: Option<ControlChoice>,
    pub(crate) exit_status: Option<Given<ExitStatusPolicy>>,
    pub(crate) success: Option<SuccessStatuses>,
}

/// The words for [`ExitStatusPolicy`].
const EXIT_STATUS_POLICIES: [(&str, ExitStatusPolicy); 2] =
    [("verdict", ExitStatusPolicy::Verdict), ("mirror", ExitStatusPolicy::Mirror)];

impl Overrides {
    /// Parses the options; each is taken from the command line, else from its variable.
    /// With them come the errors: every value that is wrong.
    pub(crate) fn read(flags: &Options, variables: &Options) -> (Self, Vec<UsageError>) {
        let mut reader = Reader { flags, variables, errors: Vec::new() };
        let exit_status = |text: &str| parse_choice(text, &EXIT_STATUS_POLICIES);
        let overrides = Self {
            config: reader.path("config", |options| options.config.as_ref()),
            procfile: reader.path("procfile", |options| options.procfile.as_ref()),
            services: reader.services(),
            name: reader.value("name", |options| options.name.as_ref(), parse_name),
            task: reader.given("task", |options| options.task.then_some(&())).map(Given::cloned),
            env_file: reader
                .many("env-file", |options| &options.env_file)
                .into_iter()
                .map(|given| given.value.clone())
                .collect(),
            directory: reader
                .path("directory", |options| options.directory.as_ref())
                .map(|given| given.value),
            user: reader.value("user", |options| options.user.as_ref(), parse_user_and_group),
            output: reader.value("output", |options| options.output.as_ref(), parse_output),
            grace: reader.system_grace(),
            grace_of: reader.service_grace(),
            deadline: reader.parsed("deadline", |options| options.deadline.as_ref(), parse_deadline),
            margin: reader.parsed("margin", |options| options.margin.as_ref(), parse_duration),
            extend: reader.value("extend", |options| options.extend.as_ref(), parse_positive_duration),
            signal_target: reader.choice("signal-target", |options| options.signal_target.as_ref(), &TARGETS),
            stop_signals: reader.value(
                "stop-signals",
                |options| options.stop_signals.as_ref(),
                parse_stop_signals,
            ),
            forward: reader.parsed("forward", |options| options.forward.as_ref(), parse_forward),
            map: reader.map(),
            report: reader.path("report", |options| options.report.as_ref()).map(|given| given.value),
            log: reader.choice("log", |options| options.log.as_ref(), &LogFormat::CHOICES),
            log_level: reader.choice("log-level", |options| options.log_level.as_ref(), &LogLevel::CHOICES),
            cgroup: reader.choice("cgroup", |options| options.cgroup.as_ref(), &CgroupChoice::CHOICES),
            control: reader.value("control", |options| options.control.as_ref(), parse_control),
            exit_status: reader.parsed("exit-status", |options| options.exit_status.as_ref(), exit_status),
            success: reader.value("success", |options| options.success.as_ref(), parse_success),
        };
        (overrides, reader.errors)
    }
}

/// Finds and parses options, and notes what is wrong.
struct Reader<'a> {
    flags: &'a Options,
    variables: &'a Options,
    errors: Vec<UsageError>,
}

impl<'a> Reader<'a> {
    fn given<T>(&self, name: &str, field: fn(&'a Options) -> Option<&'a T>) -> Option<Given<&'a T>> {
        let flag = field(self.flags).map(|value| Given { value, origin: format!("--{name}") });
        flag.or_else(|| field(self.variables).map(|value| Given { value, origin: variable(name) }))
    }

    /// All values of an option that can be repeated: those of the command line, or else those of the variable.
    fn many<T>(&self, name: &str, field: fn(&'a Options) -> &'a Vec<T>) -> Vec<Given<&'a T>> {
        let (values, origin) = match field(self.flags) {
            none if none.is_empty() => (field(self.variables), variable(name)),
            flags => (flags, format!("--{name}")),
        };
        values.iter().map(|value| Given { value, origin: origin.clone() }).collect()
    }

    fn path(&self, name: &str, field: fn(&'a Options) -> Option<&'a PathBuf>) -> Option<Given<PathBuf>> {
        self.given(name, field).map(Given::cloned)
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        field: fn(&'a Options) -> Option<&'a String>,
        parse: impl Fn(&str) -> Result<T, SyntaxError>,
    ) -> Option<Given<T>> {
        let given = self.given(name, field)?;
        let value = self.parse(&given, parse)?;
        Some(Given { value, origin: given.origin })
    }

    fn value<T>(
        &mut self,
        name: &str,
        field: fn(&'a Options) -> Option<&'a String>,
        parse: impl Fn(&str) -> Result<T, SyntaxError>,
    ) -> Option<T> {
        self.parsed(name, field, parse).map(|given| given.value)
    }

    fn choice<T: Copy>(
        &mut self,
        name: &str,
        field: fn(&'a Options) -> Option<&'a String>,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        self.value(name, field, |text| parse_choice(text, choices))
    }

    fn parse<T>(
        &mut self,
        given: &Given<&String>,
        parse: impl Fn(&str) -> Result<T, SyntaxError>,
    ) -> Option<T> {
        parse(given.value).map_err(|error| self.note(&given.origin, given.value, &error)).ok()
    }

    fn note(&mut self, origin: &str, value: &str, error: &SyntaxError) {
        self.errors.extend(error.each().map(|error| UsageError::in_value(origin, value, error)));
    }

    /// The schedule without a name. With several the last one counts, as with other options.
    fn system_grace(&mut self) -> Option<GraceSchedule> {
        let given = self.many("grace", |options| &options.grace);
        let unnamed = given.iter().filter(|given| split_grace(given.value).is_none());
        unnamed.filter_map(|given| self.parse(given, parse_schedule)).last()
    }

    /// The schedules with the names of services.
    fn service_grace(&mut self) -> Vec<Given<(String, GraceSchedule)>> {
        let mut schedules = Vec::new();
        for given in self.many("grace", |options| &options.grace) {
            let Some((name, schedule)) = split_grace(given.value) else { continue };
            match parse_schedule(schedule) {
                Ok(schedule) => {
                    schedules.push(Given { value: (name.to_owned(), schedule), origin: given.origin });
                }
                Err(error) => self.note(&given.origin, given.value, &error.shifted(name.len() + 1)),
            }
        }
        schedules
    }

    fn services(&mut self) -> Vec<(String, Vec<String>)> {
        const OPTION: &str = "--service";
        let mut names = HashSet::new();
        let mut services = Vec::new();
        for text in &self.flags.service {
            let Some((name, command)) = text.split_once('=') else {
                let cure = "write NAME=COMMAND, such as --service api='api --port 8000'";
                self.note(OPTION, text, &SyntaxError::whole(text, "there is no `=`", cure));
                continue;
            };
            let name = parse_name(name).map_err(|error| self.note(OPTION, text, &error));
            let command = split_command(command).map_err(|error| {
                let offset = text.len() - command.len();
                let cure = error
                    .cure
                    .replace("command = [\"sh\", \"-c\", \"exec …\"]", "sh -c 'exec …' as the command");
                self.note(OPTION, text, &SyntaxError { cure, ..error.shifted(offset) });
            });
            let (Ok(name), Ok(command)) = (name, command) else { continue };
            if !names.insert(name.clone()) {
                let error =
                    SyntaxError::new(0..name.len(), format!("there are two services `{name}`"), "rename one");
                self.note(OPTION, text, &error);
            }
            services.push((name, command));
        }
        services
    }

    fn map(&mut self) -> Vec<Mapping> {
        let mut map = Vec::new();
        let mut seen = HashSet::new();
        for given in self.many("map", |options| &options.map) {
            let Some((from, to)) = self.parse(&given, parse_mapping) else { continue };
            if !seen.insert(from) {
                let end = given.value.find('=').unwrap_or(given.value.len());
                let error = SyntaxError::new(0..end, format!("{from} is mapped twice"), "leave one of them");
                self.note(&given.origin, given.value, &error);
            }
            map.push((from, to));
        }
        map
    }
}

/// The parts of `NAME=SCHEDULE`. No schedule contains an `=`, unless it is `TERM=10s`, which is a slip.
fn split_grace(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(name, _)| Signal::parse(name.trim()).is_none())
}

impl<T: Clone> Given<&T> {
    fn cloned(self) -> Given<T> {
        Given { value: self.value.clone(), origin: self.origin }
    }
}
