//! From the command line to the exit status.

use std::ffi::{OsStr, OsString};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::arguments::{Arguments, Request, RunArguments, Task, variable};
use crate::client;
use crate::config::{CgroupChoice, Config, ControlChoice, Files, LogFormat, LogLevel, Surroundings};
use crate::error::{Error, STATUS_USAGE};
use crate::linux::clock::{Clock, time_of_day};
use crate::linux::{
    CgroupUse, ControlPlace, block_all_signals, interruptible, is_written_to_journal, write_plainly,
};
use crate::log::{Collector, Level, LineFormat};
use crate::programs::programs_of;
use crate::protocol::{names_of_passed, usual_control_paths, watchdog_interval};
use crate::reader::Reader;
use crate::reporter::report_not_started;
use crate::supervise::{Plan, STATUS_BUG, supervise};
use crate::supervisor::Mode;

/// The whole program: reads the command line of this process, and does what it says.
pub fn run() -> ExitCode {
    let clock = Clock::start();
    // A signal that comes before it can be taken in waits for that.
    block_all_signals();
    let collector = Collector::new(time_of_day);
    // It can only be set once, and this is the only place.
    let _ = tracing::subscriber::set_global_default(collector.clone());
    // Nothing runs yet where this could happen; what comes later is caught there, where the children are known.
    let status = std::panic::catch_unwind(AssertUnwindSafe(|| perform(clock, collector)));
    ExitCode::from(status.unwrap_or(STATUS_BUG))
}

fn perform(clock: Clock, collector: Collector) -> u8 {
    match Arguments::read(std::env::args_os()) {
        Ok(Request::Task(Task::Run(arguments))) => run_services(&arguments, clock, collector),
        Ok(Request::Client(arguments)) => interruptible(|| client::run(&arguments, clock)),
        Ok(Request::Help(help)) => {
            // Whoever closed the standard output did not want to read it.
            let _ = help.print();
            0
        }
        Err(error) => {
            say_error(&error);
            error.exit_status()
        }
    }
}

fn run_services(arguments: &RunArguments, clock: Clock, collector: Collector) -> u8 {
    let variable = |name| std::env::var(name).ok();
    let [pid, count, names] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"].map(variable);
    let surroundings = Surroundings {
        sockets: names_of_passed(pid.as_deref(), count.as_deref(), names.as_deref(), std::process::id()),
        is_pid_1: std::process::id() == 1,
        environment: std::env::vars_os().collect(),
        // Without a current directory relative paths cannot be resolved, and the root is as good as any.
        directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        files: Files::default(),
    };
    let config = if may_hang(arguments, &surroundings) {
        interruptible(|| Config::from_arguments(arguments, &surroundings))
    } else {
        Config::from_arguments(arguments, &surroundings)
    };
    match config {
        Ok((config, warnings)) => {
            for warning in warnings {
                tracing::warn!(event = "environment.unknown", "{warning}");
            }
            if let Some(report) = config.report.as_deref().filter(|report| is_own_stream(report)) {
                let path = report.display();
                let text = format!(
                    "curfew: --report: {path} is a stream that belongs to the services; name a file\n"
                );
                write_plainly(text.as_bytes());
                return STATUS_USAGE;
            }
            supervise(plan(config, arguments, surroundings), clock, collector)
        }
        Err(error) => {
            say_error(&error);
            report_error(arguments, &surroundings, &error);
            error.exit_status()
        }
    }
}

/// Whether reading the configuration may take for ever: it comes through a pipe, say.
fn may_hang(arguments: &RunArguments, surroundings: &Surroundings) -> bool {
    let path = arguments.options.config.clone().or_else(|| path_in_environment("config", surroundings));
    path.is_some_and(|path| {
        std::fs::metadata(surroundings.directory.join(path)).is_ok_and(|metadata| !metadata.is_file())
    })
}

/// A path that a variable of ours names.
fn path_in_environment(option: &str, surroundings: &Surroundings) -> Option<PathBuf> {
    let name = OsString::from(variable(option));
    let mut environment = surroundings.environment.iter();
    let found = environment.find(|(known, value)| *known == name && !value.is_empty());
    found.map(|(_, value)| PathBuf::from(value))
}

/// A path that leads to one of curfew's own streams: once a service has it, a report there would be lost, or destroy
/// what the service wrote.
fn is_own_stream(path: &Path) -> bool {
    let streams = ["/dev/stdin", "/dev/stdout", "/dev/stderr"];
    let folders = ["/dev/fd", "/proc/self/fd"];
    streams.iter().any(|stream| path == Path::new(stream))
        || folders.iter().any(|folder| path.starts_with(folder))
}

fn plan(mut config: Config, arguments: &RunArguments, surroundings: Surroundings) -> Plan {
    let programs = programs_of(&mut config, &surroundings);
    let reader = Reader::of(&config, arguments, &surroundings);
    let format = match config.log {
        LogFormat::Auto if is_written_to_journal() => LineFormat::Journal,
        LogFormat::Journal => LineFormat::Journal,
        LogFormat::Auto | LogFormat::Human => LineFormat::Human { time: !is_written_to_journal() },
        LogFormat::Json => LineFormat::Json,
    };
    let level = match config.log_level {
        LogLevel::Error => Level::Error,
        LogLevel::Warn => Level::Warn,
        LogLevel::Info => Level::Info,
        LogLevel::Debug => Level::Debug,
    };
    let mut settings = config.settings;
    let text = |name| surroundings.variable(name).and_then(OsStr::to_str);
    settings.platform_watchdog =
        watchdog_interval(text("WATCHDOG_USEC"), text("WATCHDOG_PID"), std::process::id());
    settings.seed = clock_seed();
    let name = config.name;
    let control = control_place(config.control, settings.mode, &name, &surroundings);
    Plan {
        settings,
        programs,
        notify_socket: surroundings.variable("NOTIFY_SOCKET").map(OsStr::to_owned),
        sockets: surroundings.sockets,
        deadline_source: config.deadline_source.as_str(),
        report: config.report,
        cgroup: match config.cgroup {
            CgroupChoice::Auto => CgroupUse::IfDelegated,
            CgroupChoice::Off => CgroupUse::Off,
            CgroupChoice::Require => CgroupUse::Required,
        },
        control,
        name,
        format,
        level,
        reader,
    }
}

/// Where the control socket is to be. Nobody expects one of a wrapper.
fn control_place(choice: ControlChoice, mode: Mode, name: &str, surroundings: &Surroundings) -> ControlPlace {
    match (choice, mode) {
        (ControlChoice::Path(path), _) => ControlPlace::Required(path),
        (ControlChoice::None, _) | (ControlChoice::Auto, Mode::OneCommand) => ControlPlace::None,
        (ControlChoice::Auto, Mode::ManyServices) => {
            ControlPlace::FirstOf(usual_control_paths(name, |name| surroundings.variable(name)))
        }
    }
}

/// Restarts of what failed together on many machines are to come at different times.
fn clock_seed() -> u64 {
    let since_epoch = time_of_day().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(32)
}

fn say_error(error: &Error) {
    write_plainly(format!("curfew: {error}\n").as_bytes());
}

/// A report is also made of a run that never was, if it was said where it goes.
fn report_error(arguments: &RunArguments, surroundings: &Surroundings, error: &Error) {
    let of_environment = || path_in_environment("report", surroundings);
    let Some(path) = arguments.options.report.clone().or_else(of_environment) else { return };
    let name = arguments.options.name.as_deref().unwrap_or("curfew");
    let errors: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
    report_not_started(Some(surroundings.directory.join(path)), name, &errors, error.exit_status());
}
