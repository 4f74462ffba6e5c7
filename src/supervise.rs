//! One run of curfew, from the settled plan to the exit status.

use std::ffi::OsString;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use crate::linux::clock::{Clock, time_of_day};
use crate::linux::{
    CgroupUnavailable, CgroupUse, Channels, Journal, LogOutput, PassedSockets, Program, Programs, Runtime,
    StartUp, report_problem, write_plainly,
};
use crate::log::{Collector, Level, LineFormat, Narrator, ProgramWords, StatusLine};
use crate::report::ReportBuilder;
use crate::reporter::{Reporter, report_not_started, report_time};
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
    /// How the log is written.
    pub format: LineFormat,
    /// What is left out of the log: everything below.
    pub level: Level,
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
        format,
        level,
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
    if let Some(path) = &report
        && let Some(problem) = report_problem(path)
    {
        // While there is time to change it.
        tracing::warn!(event = "report.unwritable", path = %path.display(), "the report cannot be written: {problem}");
    }
    let for_figures = mode == Mode::ManyServices || report.is_some();
    let start_up = match StartUp::prepare(mode, PassedSockets::take(&sockets), cgroup, for_figures) {
        Ok(start_up) => start_up,
        Err(reason) => return refuse(&name, report, reason),
    };
    settings.seat = start_up.seat();
    let reporter = Reporter {
        collector,
        narrator,
        builder,
        status_line,
        format,
        level,
        report,
        report_time,
        now: clock.now(),
    };
    let supervisor = Supervisor::new(settings);
    let channels = Channels { notify_socket: notify_socket.as_deref(), log };
    let mut runtime = match Runtime::new(supervisor, programs, start_up, channels, clock, run, reporter) {
        Ok(runtime) => runtime,
        Err(errno) => {
            write_plainly(format!("curfew: cannot set up the event loop: {}\n", errno.desc()).as_bytes());
            return STATUS_REFUSED;
        }
    };
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

/// Nothing is started without a cgroup, if there must be one.
fn refuse(name: &str, report: Option<PathBuf>, reason: CgroupUnavailable) -> u8 {
    let error = format!("--cgroup require: {reason}");
    write_plainly(format!("curfew: {error}\n").as_bytes());
    report_not_started(report, name, &[error], STATUS_REFUSED);
    STATUS_REFUSED
}

/// Where the log goes. Where there is no journal after all, it is for people.
fn open_log(format: LineFormat) -> (LogOutput, LineFormat) {
    match (format, Journal::open()) {
        (LineFormat::Journal, Some(journal)) => (LogOutput::to_journal(journal, defaults::LOG_RING), format),
        (LineFormat::Journal, None) => (LogOutput::new(defaults::LOG_RING), LineFormat::Human { time: true }),
        (LineFormat::Human { .. } | LineFormat::Json, _) => (LogOutput::new(defaults::LOG_RING), format),
    }
}

fn announce(settings: &Settings, deadline_source: &str) {
    let services = settings.services.len();
    let version = env!("CARGO_PKG_VERSION");
    let deadline = settings.deadline.map_or_else(
        || {
            if settings.asks_platform && is_main_process_of_a_unit() {
                "the deadline is asked of systemd".to_owned()
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

/// Whether systemd says that it has started us, so that it is asked.
///
/// Source: systemd.exec(5), `SYSTEMD_EXEC_PID`.
fn is_main_process_of_a_unit() -> bool {
    std::env::var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid.parse() == Ok(std::process::id()))
}

fn in_words(program: &Program) -> ProgramWords {
    let command = program.command[0].to_string_lossy().into_owned();
    ProgramWords {
        command,
        directory: program.runs_in().map(|path| path.display().to_string()),
        search_path: program.search_path().map(|path| path.to_string_lossy().into_owned()),
        settings: program.settings_in_words(),
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
