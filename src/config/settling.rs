use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Config;
use super::config_error::ConfigError;
use super::control_choice::ControlChoice;
use super::deadline_choice::{DeadlineChoice, DeadlineSource};
use super::description::Description;
use super::duration_syntax::format_duration;
use super::env_file::EnvFiles;
use super::environment::Environment;
use super::hook_table::HookTable;
use super::output_choice::OutputChoice;
use super::overrides::{Given, Overrides};
use super::probe_table::ProbeTable;
use super::process_settings::{HookCommands, LOGIN_VARIABLES, ProcessSettings};
use super::process_table::ProcessTable;
use super::run_table::RunTable;
use super::service_table::ServiceTable;
use super::surroundings::Surroundings;
use super::system_table::SystemTable;
use super::toml_document::{Place, Syntax};
use super::usage_error::UsageError;
use crate::arguments::variable;
use crate::error::Error;
use crate::nearest::nearest;
use crate::protocol::{FIRST_PASSED, ProbeTarget, is_called};
use crate::supervisor::{
    Cycle, Deadline, DeadlineBasis, ExitStatusPolicy, GraceSchedule, Health, HookTimes, Kind, Mode,
    Readiness, ReadyBy, Restart, RestartWhen, ServiceId, ServiceSettings, Settings, Signal, SignalSet,
    StopOrder, defaults,
};

/// Tells a service how long it may take to stop, so that a curfew in it knows.
const DEADLINE_VARIABLE: &str = "CURFEW_DEADLINE";
/// How many cycles are told at once: more help nobody.
const CYCLES_TOLD: usize = 20;

/// The work of putting everything together, and the errors found on the way.
pub(crate) struct Settling<'a> {
    overrides: Overrides,
    surroundings: &'a Surroundings,
    inherited: Environment,
    usage_errors: Vec<UsageError>,
    config_errors: Vec<ConfigError>,
    cleanup: Option<ProcessSettings>,
}

impl<'a> Settling<'a> {
    /// Work that begins with these; services get `inherited` first of all.
    pub(crate) const fn new(
        overrides: Overrides,
        surroundings: &'a Surroundings,
        inherited: Environment,
    ) -> Self {
        Self {
            overrides,
            surroundings,
            inherited,
            usage_errors: Vec::new(),
            config_errors: Vec::new(),
            cleanup: None,
        }
    }

    /// Puts everything together.
    ///
    /// # Errors
    /// Everything that is wrong with the options, or else with the files.
    pub(crate) fn settle(mut self, mut description: Description) -> Result<Config, Error> {
        self.config_errors.append(&mut description.errors);
        let mode = description.mode;
        self.refuse_what_needs_one_command(mode);
        self.apply_schedules(&mut description.system.services);
        self.refuse_what_needs_a_task(&description.system);
        self.refuse_what_needs_a_service(&description.system);
        self.refuse_missing_sockets(&description.system);
        self.refuse_descriptors_taken_by_sockets(&description.system);
        self.refuse_to_forward_what_stops(mode, &description.system);
        self.refuse_unknown_commands(&description.system);
        let order = self.order(&description);
        let (deadline, deadline_choice, deadline_source) = self.deadline(&description.system);
        let services = self.services(&description);
        let processes = self.processes(&description, &services, deadline);
        if !self.usage_errors.is_empty() {
            return Err(Error::Usage(self.usage_errors));
        }
        if !self.config_errors.is_empty() {
            return Err(Error::Config(self.sorted_config_errors(&description)));
        }
        let Description { name, system, file, .. } = description;
        let mut settings = Settings::new(mode, services, order);
        settings.deadline = deadline;
        settings.deadline_basis = match (deadline_source, deadline_choice) {
            (DeadlineSource::AssumedContainer | DeadlineSource::AssumedKubernetes, _) => {
                DeadlineBasis::Assumed
            }
            (_, DeadlineChoice::After(length)) => DeadlineBasis::Said(length),
            (_, DeadlineChoice::Auto | DeadlineChoice::None) => DeadlineBasis::Unknown,
        };
        // Who says that there is none vouches for it.
        settings.asks_platform = deadline_choice != DeadlineChoice::None;
        settings.margin =
            self.overrides.margin.map(|given| given.value).or(system.margin.map(|(_, margin)| margin));
        if let Some(grace) = self.overrides.grace.or(system.grace) {
            settings.stray_grace = grace;
        }
        if let Some(stop_signals) = self.overrides.stop_signals.or(system.stop_signals) {
            settings.stop_signals = stop_signals;
        }
        let map = if self.overrides.map.is_empty() { system.map } else { self.overrides.map };
        settings.map = map.into_iter().collect();
        settings.reloadable = file.is_some();
        settings.cleanup =
            system.cleanup.as_ref().map(|cleanup| cleanup.timeout.unwrap_or(defaults::CLEANUP_TIMEOUT));
        settings.extend = self.overrides.extend.or(system.extend);
        settings.has_output_files =
            processes.iter().any(|process| matches!(process.output, Some(OutputChoice::File(_))));
        settings.exit_status = self.overrides.exit_status.map(|given| given.value).unwrap_or_default();
        let report = self.overrides.report.or(system.report);
        Ok(Config {
            name,
            settings,
            processes,
            cleanup: self.cleanup,
            commands: system.commands.into_iter().filter_map(command_of_stages).collect(),
            report: report.map(|report| self.surroundings.directory.join(report)),
            log: self.overrides.log.or(system.log).unwrap_or_default(),
            log_level: self.overrides.log_level.or(system.log_level).unwrap_or_default(),
            cgroup: self.overrides.cgroup.or(system.cgroup).unwrap_or_default(),
            control: match self.overrides.control.or(system.control).unwrap_or_default() {
                ControlChoice::Path(path) => ControlChoice::Path(self.surroundings.directory.join(path)),
                choice => choice,
            },
            deadline_choice,
            deadline_source,
        })
    }

    fn refuse_what_needs_one_command(&mut self, mode: Mode) {
        if mode == Mode::OneCommand {
            return;
        }
        if let Some(Given { origin, .. }) = &self.overrides.task {
            let cure = "leave it out, and write type = \"task\" under [service.NAME] in a file";
            self.usage_errors.push(UsageError::new(
                origin,
                "this is for one command, and there are services",
                cure,
            ));
        }
        if let Some(Given { origin, value }) = &self.overrides.exit_status
            && *value == ExitStatusPolicy::Mirror
        {
            let problem = "`mirror` is the status of one command, and there are services";
            self.usage_errors.push(UsageError::new(origin, problem, "leave it out, or write `verdict`"));
        }
    }

    /// Gives each service the schedule that the command line has for it.
    fn apply_schedules(&mut self, services: &mut [ServiceTable]) {
        if self.overrides.grace_of.is_empty() {
            return;
        }
        let index: HashMap<String, usize> =
            services.iter().enumerate().map(|(index, service)| (service.name.clone(), index)).collect();
        for Given { value: (name, schedule), origin } in &self.overrides.grace_of {
            match index.get(name) {
                Some(index) => services[*index].grace = Some(schedule.clone()),
                None => self.usage_errors.push(UsageError::new(
                    origin,
                    format!("there is no service `{name}`"),
                    proposal_of_service(name, services),
                )),
            }
        }
    }

    /// What a probe looks at, its paths from the directory that curfew was started in.
    fn target(&self, probe: Option<&ProbeTable>) -> Option<ProbeTarget> {
        Some(match probe?.target.clone()? {
            ProbeTarget::Unix(path) => ProbeTarget::Unix(self.surroundings.directory.join(path)),
            ProbeTarget::File(path) => ProbeTarget::File(self.surroundings.directory.join(path)),
            other => other,
        })
    }

    /// A task is done rather than ready.
    fn refuse_what_needs_a_service(&mut self, system: &SystemTable) {
        for task in system.services.iter().filter(|service| service.kind == Some(Kind::Task)) {
            if let Some(place) = task.ready.as_ref().and_then(|ready| ready.place.as_ref()) {
                let cure = "remove it: what comes after it waits for its success";
                self.config_errors.push(place.error("a task is never ready, but done", cure));
            }
        }
    }

    /// What asks curfew to stop begins the stop, and goes no further. `all` means the rest.
    fn refuse_to_forward_what_stops(&mut self, mode: Mode, system: &SystemTable) {
        let stop_signals = self.overrides.stop_signals.or(system.stop_signals);
        let mut stop_signals = stop_signals.unwrap_or_else(defaults::stop_signals);
        if mode == Mode::ManyServices {
            stop_signals.insert(Signal::QUIT);
        }
        let problem = |forward: SignalSet| {
            let stops = (forward != SignalSet::all())
                .then(|| forward.iter())?
                .find(|signal| stop_signals.contains(*signal))?;
            Some(format!("{stops} asks curfew itself to stop, and is not passed on"))
        };
        let cure = "leave it out: `grace` says what a stop sends, `stop-signals` what asks for it";
        if let Some(Given { value, origin }) = &self.overrides.forward {
            self.usage_errors.extend(problem(*value).map(|problem| UsageError::new(origin, problem, cure)));
        }
        for (place, forward) in system.services.iter().filter_map(|service| service.forward.as_ref()) {
            self.config_errors.extend(problem(*forward).map(|problem| place.error(problem, cure)));
        }
    }

    /// A descriptor is one thing only.
    fn refuse_descriptors_taken_by_sockets(&mut self, system: &SystemTable) {
        let passed = &self.surroundings.sockets;
        for service in &system.services {
            let Some((place, number)) =
                service.ready.as_ref().and_then(|ready| Some((ready.place.as_ref()?, ready.descriptor?)))
            else {
                continue;
            };
            // Where none are passed it counts what is asked for, so that the same file is right everywhere.
            let sockets = service.sockets.iter();
            let of_name = |name: &str| passed.iter().filter(|socket| is_called(socket, name)).count().max(1);
            let count: usize = sockets.map(|(_, name)| of_name(name)).sum();
            let first_free = FIRST_PASSED.saturating_add(i32::try_from(count).unwrap_or(i32::MAX));
            if number < first_free {
                let problem =
                    format!("descriptor {number} is that of a socket: they begin at {FIRST_PASSED}");
                self.config_errors
                    .push(place.error(problem, format!("write ready = {{ fd = {first_free} }}")));
            }
        }
    }

    /// Some keys say something only of what is meant to end.
    fn refuse_what_needs_a_task(&mut self, system: &SystemTable) {
        for service in system.services.iter().filter(|service| service.kind != Some(Kind::Task)) {
            if let Some((place, _)) = &&service.retries {
                let cure = "write restart = { when = \"on-failure\", limit = 5 }, or type = \"task\"";
                self.config_errors.push(place.error("only a task has retries", cure));
            }
            if let Some((place, _)) = &service.timeout {
                let cure = "write ready = { …, timeout = \"30s\" } for a start, or type = \"task\"";
                self.config_errors.push(place.error("only a task has a time to be done in", cure));
            }
        }
    }

    /// Who passes sockets at all must pass those that are asked for. Where none are passed, a service makes its own.
    fn refuse_missing_sockets(&mut self, system: &SystemTable) {
        let passed = &self.surroundings.sockets;
        let asked = system.services.iter().flat_map(|service| &service.sockets);
        let is_missing =
            |name: &str| !passed.is_empty() && !passed.iter().any(|socket| is_called(socket, name));
        for (place, name) in asked.filter(|(_, name)| is_missing(name)) {
            let problem = format!("there is no socket `{name}` among those that curfew was given");
            self.config_errors.push(place.error(problem, format!("it was given {}", passed.join(", "))));
        }
    }

    /// Every `run:NAME` needs its `[run.NAME]`.
    fn refuse_unknown_commands(&mut self, system: &SystemTable) {
        let is_known = |name: &str| system.commands.iter().any(|run| run.name == name);
        let cure = |name: &str| match nearest(name, system.commands.iter().map(|run| run.name.as_str())) {
            Some(nearest) => format!("did you mean `run:{nearest}`?"),
            None => format!("describe it: [run.{name}] with a command"),
        };
        let of_services = system.services.iter().flat_map(|service| &service.runs);
        for (place, name) in system.runs.iter().chain(of_services).filter(|(_, name)| !is_known(name)) {
            self.config_errors.push(place.error(format!("there is no [run.{name}]"), cure(name)));
        }
        let given =
            self.overrides.grace.iter().chain(self.overrides.grace_of.iter().map(|given| &given.value.1));
        for name in given.flat_map(GraceSchedule::runs).filter(|name| !is_known(name)) {
            let problem = format!("there is no [run.{name}] in a file");
            self.usage_errors.push(UsageError::new("--grace", problem, cure(name)));
        }
    }

    /// The order of starting and stopping; an empty one after an error.
    fn order(&mut self, description: &Description) -> StopOrder {
        let services = &description.system.services;
        let index: HashMap<&str, usize> =
            services.iter().enumerate().map(|(index, service)| (service.name.as_str(), index)).collect();
        let mut after: Vec<Vec<ServiceId>> = Vec::with_capacity(services.len());
        for service in services {
            let mut dependencies = Vec::with_capacity(service.after.len());
            for (place, name) in &service.after {
                match index.get(name.as_str()) {
                    Some(index) => dependencies.push(ServiceId::new(*index)),
                    // After a syntax error the service may be in the part that was skipped.
                    None if description.syntax == Syntax::Broken => {}
                    None => {
                        let cure = proposal_of_service(name, services);
                        self.config_errors.push(place.error(format!("there is no service `{name}`"), cure));
                    }
                }
            }
            after.push(dependencies);
        }
        if description.syntax == Syntax::Broken {
            // What was skipped may have put a key under the wrong service.
            return StopOrder::default();
        }
        for _ in 0..CYCLES_TOLD {
            match StopOrder::new(&after) {
                Ok(order) => return order,
                Err(Cycle(cycle)) => {
                    let (first, error) = explain_cycle(services, cycle);
                    self.config_errors.extend(error);
                    // Without the edge that was told, the next cycle is seen.
                    let (from, to) = first;
                    after[from.index()].retain(|dependency| *dependency != to);
                }
            }
        }
        StopOrder::default()
    }

    /// The deadline that holds for now, what was said about it, and where it is from.
    fn deadline(&mut self, system: &SystemTable) -> (Option<Deadline>, DeadlineChoice, DeadlineSource) {
        let given = self.overrides.deadline.as_ref();
        let choice = given.map(|given| given.value).or(system.deadline).unwrap_or_default();
        let (length, source) = match choice {
            DeadlineChoice::None => (None, DeadlineSource::None),
            DeadlineChoice::After(length) => match given {
                Some(given) if given.origin == variable("deadline") => {
                    (Some(length), DeadlineSource::Environment)
                }
                Some(_) | None => (Some(length), DeadlineSource::Configured),
            },
            DeadlineChoice::Auto if !self.surroundings.is_pid_1 => (None, DeadlineSource::None),
            DeadlineChoice::Auto if self.surroundings.variable("KUBERNETES_SERVICE_HOST").is_some() => {
                (Some(defaults::ASSUMED_DEADLINE_KUBERNETES), DeadlineSource::AssumedKubernetes)
            }
            DeadlineChoice::Auto => {
                (Some(defaults::ASSUMED_DEADLINE_CONTAINER), DeadlineSource::AssumedContainer)
            }
        };
        let deadline = length.map(|length| {
            let deadline = self.with_margin(length, source, system.margin.as_ref());
            deadline.unwrap_or_else(|| Deadline::with_default_margin(length))
        });
        (deadline, choice, source)
    }

    /// The deadline with the margin that was asked for; `None`: none was, or it leaves no time.
    fn with_margin(
        &mut self,
        deadline: Duration,
        source: DeadlineSource,
        of_file: Option<&(Place, Duration)>,
    ) -> Option<Deadline> {
        let explain = |margin: Duration| {
            let assumed = match source {
                DeadlineSource::AssumedContainer | DeadlineSource::AssumedKubernetes => "assumed ",
                DeadlineSource::Configured | DeadlineSource::Environment | DeadlineSource::None => "",
            };
            let [margin, deadline] = [margin, deadline].map(format_duration);
            (
                format!("the margin of {margin} leaves nothing of the {assumed}deadline of {deadline}"),
                "write a shorter margin, or a longer deadline",
            )
        };
        match (&self.overrides.margin, of_file) {
            (Some(Given { value: margin, .. }), _) | (None, Some((_, margin))) if *margin < deadline => {
                return Some(Deadline { deadline, margin: *margin });
            }
            (Some(Given { value: margin, origin }), _) => {
                let (problem, cure) = explain(*margin);
                self.usage_errors.push(UsageError::new(origin, problem, cure));
            }
            (None, Some((place, margin))) => {
                let (problem, cure) = explain(*margin);
                self.config_errors.push(place.error(problem, cure));
            }
            (None, None) => {}
        }
        None
    }

    fn services(&self, description: &Description) -> Vec<ServiceSettings> {
        let system = &description.system;
        let grace_of_all = self.overrides.grace.as_ref().or(system.grace.as_ref());
        let default_grace: GraceSchedule = grace_of_all.cloned().unwrap_or_else(|| match description.mode {
            Mode::OneCommand => defaults::grace_for_one_command(),
            Mode::ManyServices => defaults::grace_for_services(),
        });
        let default_forward = match description.mode {
            Mode::OneCommand => SignalSet::all(),
            Mode::ManyServices => SignalSet::EMPTY,
        };
        let kind = self.overrides.task.as_ref().map(|_| Kind::Task);
        let settings = |service: &ServiceTable| {
            let success =
                self.overrides.success.as_ref().or(service.success.as_ref()).or(system.success.as_ref());
            let time_of = |hook: &Option<HookTable>| {
                hook.as_ref().map(|hook| hook.timeout.unwrap_or(defaults::HOOK_TIMEOUT))
            };
            let mut restart = service.restart.unwrap_or_default();
            if let Some((_, retries)) = service.retries {
                let when = RestartWhen::OnFailure;
                restart = Restart { when, limit: retries, within: Duration::MAX, ..restart };
            }
            let target = self.overrides.signal_target.or(service.signal_target).or(system.signal_target);
            ServiceSettings {
                kind: kind.or(service.kind).unwrap_or(Kind::Service),
                grace: service.grace.clone().unwrap_or_else(|| default_grace.clone()),
                signal_target: target.unwrap_or_default(),
                ready: service.ready.as_ref().map(readiness).unwrap_or_default(),
                health: service.health.as_ref().map(health),
                restart,
                task_timeout: service.timeout.as_ref().map(|(_, timeout)| *timeout),
                watchdog: service.watchdog,
                hooks: HookTimes {
                    pre_start: time_of(&service.pre_start),
                    pre_stop: time_of(&service.pre_stop),
                    post_stop: time_of(&service.post_stop),
                },
                drain: service.drain.unwrap_or_default(),
                essential: service.essential.unwrap_or(true),
                success: success.cloned().unwrap_or_default(),
                forward: self
                    .overrides
                    .forward
                    .as_ref()
                    .map(|given| given.value)
                    .or(service.forward.as_ref().map(|(_, signals)| *signals))
                    .unwrap_or(default_forward),
                reload_signal: service.reload_signal,
                ..ServiceSettings::new(&service.name)
            }
        };
        system.services.iter().map(settings).collect()
    }

    fn processes(
        &mut self,
        description: &Description,
        settings: &[ServiceSettings],
        deadline: Option<Deadline>,
    ) -> Vec<ProcessSettings> {
        let system = &description.system;
        let mut files = EnvFiles::new(self.surroundings);
        let mut configured = Environment::default();
        if self.overrides.env_file.is_empty() {
            self.add_files(&mut configured, &mut files, &system.env_file);
        } else {
            for file in &self.overrides.env_file {
                configured.set_all(&files.variables(self.surroundings.directory.join(file), file, None));
            }
        }
        configured.set_all(&system.environment);
        let mut whole = std::mem::take(&mut self.inherited);
        whole.set_all_of(&configured);
        let is_told_deadline = whole.contains(DEADLINE_VARIABLE);
        let whole: Rc<[(OsString, OsString)]> = whole.into_variables().into();
        let cleared: Rc<[(OsString, OsString)]> = configured.clone().into_variables().into();
        let surroundings = self.surroundings;
        let set_up = |command, directory: Option<&PathBuf>, table: ProcessTable, environment: Environment| {
            let is_configured = |name: &&str| configured.contains(name) || environment.contains(name);
            let login_variables = match table.user {
                Some(_) => LOGIN_VARIABLES.into_iter().filter(|name| !is_configured(name)).collect(),
                None => Vec::new(),
            };
            let shared = if table.clear_environment.unwrap_or(false) { &cleared } else { &whole };
            ProcessSettings {
                sockets: Vec::new(),
                is_told_deadline: false,
                ready_probe: None,
                ready_descriptor: None,
                health_probe: None,
                notify: false,
                command,
                directory: directory.map(|directory| surroundings.directory.join(directory)),
                shared_environment: Rc::clone(shared),
                own_environment: environment.into_variables(),
                parent_death: table.parent_death.flatten(),
                output: table.output.map(|output| match output {
                    OutputChoice::File(path) => OutputChoice::File(surroundings.directory.join(path)),
                    other => other,
                }),
                user: table.user,
                group: table.group,
                supplementary_groups: table.supplementary_groups.unwrap_or_default(),
                login_variables,
                umask: table.umask,
                nice: table.nice,
                oom_score_adjust: table.oom_score_adjust,
                limits: table.limits,
                no_new_privileges: table.no_new_privileges.unwrap_or(false),
                hooks: HookCommands::default(),
            }
        };
        let defaults = self.process_defaults(system);
        let directory = self.overrides.directory.clone().or_else(|| system.directory.clone());
        let mut processes = Vec::with_capacity(settings.len());
        for (service, settings) in system.services.iter().zip(settings) {
            let mut environment = Environment::default();
            self.add_files(&mut environment, &mut files, &service.env_file);
            environment.set_all(&service.environment);
            let is_told_deadline = is_told_deadline || environment.contains(DEADLINE_VARIABLE);
            if !is_told_deadline && let Some(length) = settings.length_of_stop(deadline) {
                environment.set(DEADLINE_VARIABLE.as_ref(), format_duration(length).as_ref());
            }
            let command = match (&description.command, &service.command) {
                (Some(command), _) => command.clone(),
                (None, Some(command)) => command.iter().map(OsString::from).collect(),
                (None, None) => {
                    self.refuse_missing_command(description.syntax, service);
                    Vec::new()
                }
            };
            let directory = service.directory.as_ref().or(directory.as_ref());
            let sockets = service.sockets.iter().map(|(_, name)| name.clone()).collect();
            let notify = service.notify.unwrap_or(false)
                || settings.ready.by == ReadyBy::Notify
                || settings.watchdog.is_some();
            let hooks = HookCommands {
                pre_start: command_of(service.pre_start.as_ref()),
                pre_stop: command_of(service.pre_stop.as_ref()),
                post_stop: command_of(service.post_stop.as_ref()),
            };
            let process = set_up(command, directory, service.process.or(&defaults), environment);
            processes.push(ProcessSettings {
                sockets,
                ready_probe: self.target(service.ready.as_ref()),
                ready_descriptor: service.ready.as_ref().and_then(|ready| ready.descriptor),
                health_probe: self.target(service.health.as_ref()),
                notify,
                is_told_deadline,
                hooks,
                ..process
            });
        }
        self.cleanup = command_of(system.cleanup.as_ref())
            .map(|command| set_up(command, directory.as_ref(), defaults, Environment::default()));
        self.config_errors.append(&mut files.errors);
        processes
    }

    /// What services get that do not say it themselves.
    fn process_defaults(&self, system: &SystemTable) -> ProcessTable {
        let (user, group) = self.overrides.user.clone().unzip();
        let output = self.overrides.output.clone();
        ProcessTable { user, group: group.flatten(), output, ..ProcessTable::default() }.or(&system.process)
    }

    fn add_files(&self, environment: &mut Environment, files: &mut EnvFiles, named: &[(Place, PathBuf)]) {
        for (place, file) in named {
            environment.set_all(&files.variables(self.surroundings.directory.join(file), file, Some(place)));
        }
    }

    fn refuse_missing_command(&mut self, syntax: Syntax, service: &ServiceTable) {
        // After a syntax error it may be in the part that was skipped; a wrong value has its own error.
        if syntax == Syntax::Sound
            && !service.names_command
            && let Some(place) = &service.place
        {
            let cure = format!("add command = [\"{}\"]", service.name);
            self.config_errors.push(place.error("there is no command", cure));
        }
    }

    /// The config file's errors first, then those of the files that it names; each file from top to bottom.
    fn sorted_config_errors(self, description: &Description) -> Vec<ConfigError> {
        let main = description.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
        let mut errors = self.config_errors;
        errors.sort_by(|a, b| {
            let key = |error: &ConfigError| (error.file != main, error.position);
            let [(is_other_a, position_a), (is_other_b, position_b)] = [a, b].map(key);
            is_other_a
                .cmp(&is_other_b)
                .then_with(|| a.file.cmp(&b.file))
                .then_with(|| position_a.cmp(&position_b))
        });
        errors
    }
}

/// The edge of the cycle that is named in the error, and the error.
fn explain_cycle(
    services: &[ServiceTable],
    mut cycle: Vec<ServiceId>,
) -> ((ServiceId, ServiceId), Option<ConfigError>) {
    // Begin with the one that comes first in the file, so that the message does not depend on the search.
    let first = cycle.iter().enumerate().min_by_key(|(_, service)| **service).map_or(0, |(place, _)| place);
    cycle.rotate_left(first);
    let name = |service: &ServiceId| services[service.index()].name.as_str();
    let edge = (cycle[0], cycle[1 % cycle.len()]);
    cycle.push(cycle[0]);
    let path: Vec<&str> = cycle.iter().map(name).collect();
    let place = services[edge.0.index()].after.iter().find(|(_, after)| after == name(&edge.1));
    let error = place.map(|(place, _)| match path[..] {
        [name, _] => place.error(format!("`{name}` comes after itself"), "remove it from `after`"),
        _ => place.error(
            format!("these services wait for each other: {}", path.join(" → ")),
            "remove one of them from the other's `after`",
        ),
    });
    (edge, error)
}

fn proposal_of_service(name: &str, services: &[ServiceTable]) -> String {
    const MOST_NAMES: usize = 10;
    let names = || services.iter().map(|service| service.name.as_str());
    match nearest(name, names()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if services.len() > MOST_NAMES => "check the name".to_owned(),
        None => format!("the services are {}", names().collect::<Vec<_>>().join(", ")),
    }
}

fn readiness(probe: &ProbeTable) -> Readiness {
    let default = Readiness::default();
    Readiness {
        by: probe.by.unwrap_or(default.by),
        timeout: probe.timeout.unwrap_or(default.timeout),
        every: probe.every.unwrap_or(default.every),
    }
}

fn health(probe: &ProbeTable) -> Health {
    let default = Health::default();
    Health {
        every: probe.every.unwrap_or(default.every),
        timeout: probe.timeout.unwrap_or(default.timeout),
        failures: probe.failures.unwrap_or(default.failures),
        start_period: probe.start_period.unwrap_or(default.start_period),
    }
}

fn command_of(hook: Option<&HookTable>) -> Option<Vec<OsString>> {
    Some(hook?.command.as_ref()?.iter().map(OsString::from).collect())
}

/// `None`: its command is wrong, which was told.
fn command_of_stages(run: RunTable) -> Option<(Arc<str>, Vec<OsString>)> {
    Some((run.name.into(), run.command?.into_iter().map(OsString::from).collect()))
}
