use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::config_error::ConfigError;
use super::env_syntax::parse_variables;
use super::overrides::{Given, Overrides};
use super::procfile::{FIRST_PORT, read_procfile};
use super::service_name::sanitize;
use super::service_table::ServiceTable;
use super::surroundings::Surroundings;
use super::system_table::{Reading, SystemTable, read_system_file};
use super::toml_document::Syntax;
use super::usage_error::UsageError;
use crate::arguments::RunArguments;
use crate::error::Error;
use crate::supervisor::Mode;

/// The name of a system of services that came without a file and without a name.
const NAME_WITHOUT_FILE: &str = "curfew";
/// The name of a command that has none which could be made one.
const NAME_OF_COMMAND: &str = "command";

/// From which port on the services of a Procfile are numbered.
fn first_port(overrides: &Overrides, surroundings: &Surroundings) -> u16 {
    let of_environment =
        surroundings.variable("PORT").and_then(|port| port.to_str()).and_then(|port| port.parse().ok());
    let of_files = overrides.env_file.iter().rev().find_map(|file| {
        let text = surroundings.files.read(&surroundings.directory.join(file)).ok()?;
        let text = String::from_utf8(text).ok()?;
        let (variables, _) = parse_variables(&text, &|_| None);
        variables.iter().rev().find(|(name, _)| name == "PORT").and_then(|(_, port)| port.parse().ok())
    });
    of_files.or(of_environment).unwrap_or(FIRST_PORT)
}

/// What is to be run, as it was described.
pub(crate) struct Description {
    pub(crate) mode: Mode,
    pub(crate) name: String,
    pub(crate) system: SystemTable,
    /// The command, if there is but one. Its words need not be UTF-8.
    pub(crate) command: Option<Vec<OsString>>,
    pub(crate) errors: Vec<ConfigError>,
    pub(crate) syntax: Syntax,
    pub(crate) file: Option<PathBuf>,
}

impl Description {
    /// Finds out what to run: a command, a file, or services.
    pub(crate) fn find(
        arguments: &RunArguments,
        overrides: &Overrides,
        surroundings: &Surroundings,
    ) -> Result<Self, Error> {
        let usage = |error| Err(Error::Usage(vec![error]));
        let command = &arguments.command;
        if let Some(procfile) = &overrides.procfile {
            return Self::of_procfile(procfile, arguments, overrides, surroundings);
        }
        match (&overrides.config, &overrides.services[..], &command[..]) {
            (None, [], []) => usage(UsageError::new(
                "",
                "there is nothing to run",
                "write `curfew run -- COMMAND`, --service NAME=COMMAND or --config FILE; `curfew --help` shows examples",
            )),
            (Some(Given { origin, .. }), [], [_, ..]) => {
                usage(UsageError::new(origin, "a file and a COMMAND are given", "leave out one of them"))
            }
            (Some(Given { origin, .. }), [_, ..], _) => usage(UsageError::new(
                "--service",
                format!("also {origin} is given"),
                "leave out one of them",
            )),
            (None, [_, ..], [_, ..]) => {
                usage(UsageError::new("--service", "also a COMMAND is given", "leave out one of them"))
            }
            (None, [], [program, ..]) if program.is_empty() => {
                usage(UsageError::new("", "the command is empty", "name a program after `--`"))
            }
            (None, [], [program, ..]) => {
                let file_name =
                    Path::new(program).file_name().unwrap_or(program.as_os_str()).to_string_lossy();
                let name = overrides.name.clone().or_else(|| sanitize(&file_name));
                let name = name.unwrap_or_else(|| NAME_OF_COMMAND.to_owned());
                let service = ServiceTable { name: name.clone(), ..ServiceTable::default() };
                let system = SystemTable { services: vec![service], ..SystemTable::default() };
                Ok(Self { command: Some(command.clone()), ..Self::new(Mode::OneCommand, name, system) })
            }
            (None, services, []) => {
                let service = |(name, command): &(String, Vec<String>)| ServiceTable {
                    name: name.clone(),
                    command: Some(command.clone()),
                    ..ServiceTable::default()
                };
                let services = services.iter().map(service).collect();
                let name = overrides.name.clone().unwrap_or_else(|| NAME_WITHOUT_FILE.to_owned());
                Ok(Self::new(Mode::ManyServices, name, SystemTable { services, ..SystemTable::default() }))
            }
            (Some(Given { value: file, .. }), [], []) => {
                let reading = read_system_file(&surroundings.files, &surroundings.directory.join(file), file);
                let Reading { system, errors, syntax } =
                    reading.map_err(|error| Error::Config(vec![*error]))?;
                let stem = || sanitize(&file.file_stem().unwrap_or_default().to_string_lossy());
                let name = overrides.name.clone().or_else(|| system.name.clone()).or_else(stem);
                let name = name.unwrap_or_else(|| NAME_WITHOUT_FILE.to_owned());
                Ok(Self {
                    errors,
                    syntax,
                    file: Some(file.clone()),
                    ..Self::new(Mode::ManyServices, name, system)
                })
            }
        }
    }

    fn of_procfile(
        procfile: &Given<PathBuf>,
        arguments: &RunArguments,
        overrides: &Overrides,
        surroundings: &Surroundings,
    ) -> Result<Self, Error> {
        let others = [
            overrides.config.as_ref().map(|config| config.origin.clone()),
            (!overrides.services.is_empty()).then(|| "--service".to_owned()),
            (!arguments.command.is_empty()).then(|| "a COMMAND".to_owned()),
        ];
        if let Some(other) = others.into_iter().flatten().next() {
            let problem = format!("also {other} is given");
            return Err(Error::Usage(vec![UsageError::new(
                &procfile.origin,
                problem,
                "leave out one of them",
            )]));
        }
        let port = first_port(overrides, surroundings);
        let path = surroundings.directory.join(&procfile.value);
        let read = read_procfile(&surroundings.files, &path, &procfile.value, port);
        let (services, errors) = read.map_err(|error| Error::Config(vec![*error]))?;
        // The file is called the same everywhere; its folder tells systems apart.
        let folder = surroundings.directory.join(&procfile.value);
        let folder =
            folder.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        let name = overrides.name.clone().or_else(|| sanitize(&folder));
        let name = name.unwrap_or_else(|| NAME_WITHOUT_FILE.to_owned());
        let system = SystemTable { services, ..SystemTable::default() };
        Ok(Self { errors, ..Self::new(Mode::ManyServices, name, system) })
    }

    const fn new(mode: Mode, name: String, system: SystemTable) -> Self {
        Self { mode, name, system, command: None, errors: Vec::new(), syntax: Syntax::Sound, file: None }
    }
}
