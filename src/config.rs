//! From the command line, the environment and the file to one valid [`Config`], or to every error with its cure.

mod account_syntax;
mod cgroup_choice;
mod choice;
mod command_line;
mod config_error;
mod control_choice;
mod deadline_choice;
mod description;
mod duration_syntax;
mod env_file;
mod env_syntax;
mod environment;
mod file_values;
mod files;
mod grace_syntax;
mod hook_table;
mod log_format;
mod log_level;
mod output_choice;
mod overrides;
mod probe_table;
mod process_settings;
mod process_table;
mod procfile;
mod resource_limit;
mod restart_table;
mod run_table;
mod service_name;
mod service_table;
mod settling;
mod signal_syntax;
mod surroundings;
mod syntax_error;
mod system_table;
#[cfg(test)]
mod tests;
mod toml_document;
mod usage_error;
mod warning;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use cgroup_choice::CgroupChoice;
pub use command_line::split_command;
pub use config_error::{ConfigError, Position};
pub use control_choice::ControlChoice;
pub use deadline_choice::{DeadlineChoice, DeadlineSource, parse_deadline};
pub use duration_syntax::{LONGEST_DURATION, parse_duration, parse_positive_duration};
pub use files::{Files, Snapshot};
pub use grace_syntax::parse_schedule;
pub use log_format::LogFormat;
pub use log_level::LogLevel;
pub use output_choice::OutputChoice;
pub use process_settings::{HookCommands, ProcessSettings};
pub use resource_limit::ResourceLimit;
pub use service_name::parse_name;
pub use signal_syntax::parse_signal;
pub use surroundings::Surroundings;
pub use syntax_error::SyntaxError;
pub use usage_error::UsageError;
pub use warning::Warning;

use crate::arguments::{Options, RunArguments};
use crate::error::Error;
use crate::supervisor::Settings;
use description::Description;
use environment::{Environment, MEANT_FOR_CURFEW};
use overrides::Overrides;
use settling::Settling;

/// What to run, and how: a value that exists is valid.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of the system.
    pub name: String,
    /// What the supervisor decides by.
    pub settings: Settings,
    /// What is executed for each service, in the order of the settings.
    pub processes: Vec<ProcessSettings>,
    /// What stages may run, by name: `[run.NAME]`.
    pub commands: HashMap<Arc<str>, Vec<OsString>>,
    /// The last command of all, when every service is down.
    pub cleanup: Option<ProcessSettings>,
    /// Where the report goes; absolute. A path that ends in `/` is a directory. Default: no report.
    pub report: Option<PathBuf>,
    /// How the log is written.
    pub log: LogFormat,
    /// How much is logged.
    pub log_level: LogLevel,
    /// Whether each service is kept in a cgroup of its own.
    pub cgroup: CgroupChoice,
    /// Where requests come in. A path is absolute.
    pub control: ControlChoice,
    /// What was said about the deadline. `Auto`: a platform that can be asked may still know better.
    pub deadline_choice: DeadlineChoice,
    /// Where the deadline in the settings is from.
    pub deadline_source: DeadlineSource,
}

/// The variables that come with a Procfile, as foreman's users know it.
const ENV_FILE_OF_PROCFILE: &str = ".env";

impl Config {
    /// Settles everything: an option goes before its variable, the variable before the file, the file before the default.
    ///
    /// Relative paths, also those in the file, start from the directory that curfew was started in.
    ///
    /// # Errors
    /// [`Error::Usage`] with everything that is wrong with options and variables, else [`Error::Config`] with
    /// everything that is wrong in files.
    pub fn from_arguments(
        arguments: &RunArguments,
        surroundings: &Surroundings,
    ) -> Result<(Self, Vec<Warning>), Error> {
        let environment = Options::from_environment(&surroundings.environment);
        let (overrides, mut errors) = Overrides::read(&arguments.options, &environment.options);
        errors.extend(environment.errors);
        if !errors.is_empty() {
            return Err(Error::Usage(errors));
        }
        let mut overrides = overrides;
        let default_file = Path::new(ENV_FILE_OF_PROCFILE);
        if overrides.procfile.is_some()
            && overrides.env_file.is_empty()
            && surroundings.files.check(&surroundings.directory.join(default_file)).is_ok()
        {
            overrides.env_file.push(default_file.to_owned());
        }
        let description = Description::find(arguments, &overrides, surroundings)?;
        let mut inherited = Environment::default();
        for (name, value) in &surroundings.environment {
            let is_ours =
                environment.consumed.contains(name) || MEANT_FOR_CURFEW.iter().any(|ours| name == ours);
            if !is_ours {
                inherited.set(name, value);
            }
        }
        let config = Settling::new(overrides, surroundings, inherited).settle(description)?;
        Ok((config, environment.warnings))
    }
}
