//! One run of curfew, from the settled plan to the exit status.

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::os::unix::process::parent_id;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use crate::linux::clock::{Clock, time_of_day};
use crate::linux::{
    CgroupUse, Channels, ConfigurationReader, ControlPlace, ControlSocket, Journal, LogOutput, NoSocket,
    PassedSockets, Programs, Runtime, ServicePrograms, SocketProblem, StartUp, WantedSockets,
    is_started_by_systemd, report_problem, write_plainly,
};
use crate::log::{Collector, Crowd, DEADLINE_IS_ASKED, Level, LineFormat, Narrator, StatusLine};
use crate::report::ReportBuilder;
use crate::reporter::{Reporter, in_words, report_not_started, report_time};
use crate::supervisor::{Mode, Settings, Supervisor, defaults};

/// Everything a run needs.
pub struct Plan {
    /// The name of the system.
    pub name: String,
    /// What the supervisor decides by.
    pub settings: Settings,
    /// What is executed.
    pub programs: Programs,
    /// Where the service manager above listens, if there is one: its `NOTIFY_SOCKET`.
    pub notify_socket: Option<OsString>,
    /// The names of the sockets that the service manager above has passed to us, in their order.
    pub sockets: Vec<String>,
    /// Where the deadline is from, as the report says it.
    pub deadline_source: &'static str,
    /// Where the report goes; absolute.
    pub report: Option<PathBuf>,
    /// Whether each service is kept in a cgroup of its own.
    pub cgroup: CgroupUse,
    /// Where requests come in.
    pub control: ControlPlace,
    /// How the log is written.
    pub format: LineFormat,
    /// What is left out of the log: everything below.
    pub level: Level,
    /// Reads the configuration anew, if there is a file.
    pub reader: Option<Box<dyn ConfigurationReader>>,
}

/// A bug in curfew: the children were killed first.
pub(crate) const STATUS_BUG: u8 = 70;
/// The system refused what the loop itself needs.
const STATUS_REFUSED: u8 = 71;

/// What the panic hook heard. The hook must not print: standard error may be stuck, and the children go first.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Supervises to the end, and returns the exit status. Signals must be blocked.
pub fn supervise(plan: Plan, clock: Clock, collector: Collector) -> u8 {
    let Plan {
        name,
        mut settings,
        programs,
        notify_socket,
        sockets,
        deadline_source,
        report,
        cgroup,
        control,
        format,
        level,
        reader,
    } = plan;
    let mode = settings.mode;
    let run = run_name();
    let narrator =
        Narrator::new(&settings, programs.services.iter().map(|service| in_words(&service.main)).collect());
    let builder = ReportBuilder::new(&name, &run, &settings, deadline_source, time_of_day());
    let report_time = report_time(settings.deadline);
    let (log, format) = open_log(format);
    let status_line = StatusLine::new(&settings);
    announce(&settings, deadline_source);
    if sockets.is_empty() {
        miss_sockets(&settings, &programs);
    }
    let control = match ControlSocket::find(&control) {
        Ok(socket) => socket,
        Err(reason) if matches!(control, ControlPlace::Required(_)) => {
            return refuse(&name, report, format!("--control: {reason}"));
        }
        Err(reason) => {
            do_without_control(&reason);
            None
        }
    };
    if let Some(path) = &report
        && let Some(problem) = report_problem(path)
    {
        // While there is time to change it.
        tracing::warn!(event = "report.unwritable", path = %path.display(), "the report cannot be written: {problem}");
    }
    let for_figures = mode == Mode::ManyServices || report.is_some();
    let start_up = match StartUp::prepare(mode, PassedSockets::take(&sockets), cgroup, for_figures) {
        Ok(start_up) => start_up,
        Err(reason) => return refuse(&name, report, format!("--cgroup require: {reason}")),
    };
    settings.seat = start_up.seat();
    let reporter = Reporter {
        collector,
        narrator,
        crowd: Crowd::default(),
        builder,
        status_line,
        format,
        level,
        report,
        report_time,
        watched_level: None,
        watched: Vec::new(),
        report_by: clock.now(),
        now: clock.now(),
    };
    let supervisor = Supervisor::new(settings);
    let channels = Channels { notify_socket: notify_socket.as_deref(), log, control, name: &name };
    let mut runtime = match Runtime::new(supervisor, programs, start_up, channels, clock, run, reporter) {
        // It is never dropped: to close a socket takes as long as a service wishes that has sent another along, unread. The
        // kernel does not wait for that when we have ended.
        Ok(runtime) => ManuallyDrop::new(runtime),
        Err(errno) => {
            write_plainly(format!("curfew: cannot set up the event loop: {}\n", errno.desc()).as_bytes());
            return STATUS_REFUSED;
        }
    };
    if let Some(reader) = reader {
        runtime.read_anew_with(reader);
    }
    panic::set_hook(Box::new(|information| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(information.to_string());
    }));
    // Whatever state a panic left it in, the list of our descendants is the kernel's.
    let result = panic::catch_unwind(AssertUnwindSafe(|| runtime.run()));
    match result {
        Ok(Ok(status)) => status,
        Ok(Err(errno)) => {
            runtime.kill_everything();
            write_plainly(format!("curfew: cannot receive signals: {}\n", errno.desc()).as_bytes());
            STATUS_REFUSED
        }
        Err(_) => {
            runtime.kill_everything();
            let panic = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
            let text = "a bug in curfew; every service was killed with SIGKILL. Please report this";
            write_plainly(format!("curfew: {text}: {panic}\n").as_bytes());
            STATUS_BUG
        }
    }
}

/// Where nobody passes any, as in a terminal, services can do without, and may have to listen for themselves.
fn miss_sockets(settings: &Settings, programs: &Programs) {
    let wants = |(_, service): &(_, &ServicePrograms)| matches!(&service.main.sockets, WantedSockets::Named(names) if !names.is_empty());
    let named = settings.services.iter().zip(&programs.services).filter(wants);
    let names: Vec<&str> = named.map(|(service, _)| service.name.as_str()).collect();
    if !names.is_empty() {
        tracing::info!(
            event = "socket.none",
            "curfew was passed no socket (by a .socket unit, say), and has none for {}",
            names.join(", ")
        );
    }
}

/// Nobody reaches this run, which is no reason not to run.
fn do_without_control(reason: &NoSocket) {
    let path = reason.path.display();
    match reason.problem {
        SocketProblem::Taken => tracing::warn!(
            event = "control.taken",
            path = %path,
            "there is no control socket: {reason}; give this one a --name of its own"
        ),
        SocketProblem::NoSocket | SocketProblem::NoLock(_) => tracing::warn!(
            event = "control.none",
            path = %path,
            "there is no control socket: {reason}; remove it, or say --control PATH"
        ),
        SocketProblem::Refused(_) => tracing::debug!(
            event = "control.none",
            path = %path,
            "there is no control socket: {reason}"
        ),
    }
}

/// Nothing is started without what there must be.
fn refuse(name: &str, report: Option<PathBuf>, error: String) -> u8 {
    write_plainly(format!("curfew: {error}\n").as_bytes());
    report_not_started(report, name, &[error], STATUS_REFUSED);
    STATUS_REFUSED
}

/// Where the log goes. Where there is no journal after all, it is for people.
fn open_log(format: LineFormat) -> (LogOutput, LineFormat) {
    if format != LineFormat::Journal {
        return (LogOutput::new(defaults::LOG_RING), format);
    }
    match Journal::open() {
        Some(journal) => (LogOutput::to_journal(journal, defaults::LOG_RING), format),
        None => (LogOutput::new(defaults::LOG_RING), LineFormat::Human { time: true }),
    }
}

fn announce(settings: &Settings, deadline_source: &str) {
    let services = settings.services.len();
    let version = env!("CARGO_PKG_VERSION");
    let deadline = settings.deadline.map_or_else(
        || {
            if settings.asks_platform && is_started_by_systemd(parent_id() as i32) {
                DEADLINE_IS_ASKED.to_owned()
            } else {
                "no deadline".to_owned()
            }
        },
        |deadline| {
            let [total, budget] = [deadline.deadline, deadline.budget()].map(words);
            format!("deadline {total} ({deadline_source}), budget {budget}")
        },
    );
    // A guess must be seen, so that it can be corrected.
    if settings.mode == Mode::ManyServices || deadline_source == "assumed" {
        tracing::info!(
            event = "curfew.started",
            services,
            "curfew {version}: {services} {}, {deadline}",
            if services == 1 { "service" } else { "services" }
        );
    } else {
        tracing::debug!(event = "curfew.started", services, "curfew {version}: {deadline}");
    }
}

fn words(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Names this run: the pid, and the moment, since pids come again.
fn run_name() -> String {
    let since_epoch = time_of_day().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{:x}", std::process::id(), since_epoch.as_micros())
}
