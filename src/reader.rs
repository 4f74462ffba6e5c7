//! The configuration read anew, as it was read at the start: with the same arguments, variables and directory.

use std::path::PathBuf;

use crate::arguments::RunArguments;
use crate::config::{
    CgroupChoice, Config, ControlChoice, Files, LogFormat, LogLevel, Snapshot, Surroundings,
};
use crate::error::Error;
use crate::linux::{ConfigurationReader, Reconfiguration, ServicePrograms};
use crate::programs::programs_of;
use crate::reporter::in_words;

/// Reads the configuration anew.
pub(crate) struct Reader {
    arguments: RunArguments,
    surroundings: Surroundings,
    settled: Settled,
}

/// What was settled at curfew's start, and stays so.
#[derive(PartialEq, Eq)]
struct Settled {
    name: String,
    report: Option<PathBuf>,
    log: LogFormat,
    log_level: LogLevel,
    cgroup: CgroupChoice,
    control: ControlChoice,
}

impl Settled {
    fn of(config: &Config) -> Self {
        Self {
            name: config.name.clone(),
            report: config.report.clone(),
            log: config.log,
            log_level: config.log_level,
            cgroup: config.cgroup,
            control: config.control.clone(),
        }
    }

    /// The keys in which the other one differs.
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let Self { name, report, log, log_level, cgroup, control } = self;
        let pairs = [
            ("name", *name != other.name),
            ("report", *report != other.report),
            ("log", *log != other.log),
            ("log-level", *log_level != other.log_level),
            ("cgroup", *cgroup != other.cgroup),
            ("control", *control != other.control),
        ];
        pairs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

impl Reader {
    /// A reader of what this configuration was read from, if that was a file.
    pub(crate) fn of(
        config: &Config,
        arguments: &RunArguments,
        surroundings: &Surroundings,
    ) -> Option<Box<dyn ConfigurationReader>> {
        config.settings.reloadable.then(|| {
            let reader = Self {
                arguments: arguments.clone(),
                surroundings: surroundings.clone(),
                settled: Settled::of(config),
            };
            Box::new(reader) as Box<dyn ConfigurationReader>
        })
    }

    fn read(&self, files: Files) -> Result<Reconfiguration, Error> {
        let surroundings = Surroundings { files, ..self.surroundings.clone() };
        let (mut config, _) = Config::from_arguments(&self.arguments, &surroundings)?;
        let later = self.settled.differences(&Settled::of(&config));
        let programs = programs_of(&mut config, &surroundings);
        let deadline_source = config.deadline_source.as_str();
        Ok(Reconfiguration { settings: config.settings, programs, deadline_source, later })
    }
}

impl ConfigurationReader for Reader {
    fn gather(&self, is_new: &dyn Fn(&str, &ServicePrograms) -> bool) -> Vec<u8> {
        let files = Files::recorder();
        // What is wrong with it is told when it is read for good.
        let problems = self.read(files.clone()).map(|new| problems(&new, is_new)).unwrap_or_default();
        let snapshot = files.snapshot().to_bytes();
        let mut gathered = (snapshot.len() as u64).to_le_bytes().to_vec();
        gathered.extend(snapshot);
        gathered.extend(problems.join("\0").into_bytes());
        gathered
    }

    fn settle(&self, gathered: &[u8]) -> Result<Reconfiguration, Vec<String>> {
        let (snapshot, problems) = take_apart(gathered)
            .ok_or_else(|| vec!["what was read of the configuration came in pieces".to_owned()])?;
        let new = self.read(Files::from_snapshot(snapshot)).map_err(|error| match error {
            Error::Arguments(text) => vec![text],
            Error::Usage(errors) => errors.iter().map(ToString::to_string).collect(),
            Error::Config(errors) => errors.iter().map(ToString::to_string).collect(),
        })?;
        if problems.is_empty() { Ok(new) } else { Err(problems) }
    }
}

/// What is new, or changed, and could not be started: a reload is to mend a system, and not to bring it down for a typo.
fn problems(new: &Reconfiguration, is_new: &dyn Fn(&str, &ServicePrograms) -> bool) -> Vec<String> {
    let services = new.settings.services.iter().zip(&new.programs.services);
    services
        .filter(|(service, programs)| is_new(&service.name, programs))
        .filter_map(|(service, programs)| {
            let failure = programs.main.problem()?;
            Some(format!("service.{}: {}", service.name, in_words(&programs.main).start_failure(failure)))
        })
        .collect()
}

/// What was read, and what could not be started of it.
fn take_apart(gathered: &[u8]) -> Option<(Snapshot, Vec<String>)> {
    let (length, rest) = gathered.split_first_chunk()?;
    let (snapshot, problems) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let problems = std::str::from_utf8(problems).ok()?;
    let problems = problems.split('\0').filter(|problem| !problem.is_empty()).map(str::to_owned).collect();
    Some((Snapshot::from_bytes(snapshot)?, problems))
}
