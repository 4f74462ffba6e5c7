//! What hears the run: the log's lines, and the report at its end.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use serde_json::{Value, json};

use crate::linux::Listener;
use crate::linux::clock::time_of_day;
use crate::linux::{Figures, MayWait, Program, ServicePrograms, report_problem, write_plainly, write_report};
use crate::log::{Collector, Crowd, Level, LineFormat, Narrator, ProgramWords, Record, StatusLine};
use crate::protocol::{WatchLevel, WatchedLine};
use crate::report::{ReportBuilder, not_started};
use crate::supervisor::{Cause, Deadline, HookKind, Notice, ServiceId, Settings, Timestamp, defaults};

/// Turns notices into log lines and, at the end, into the report.
pub struct Reporter {
    /// Where tracing events arrive.
    pub collector: Collector,
    /// Puts notices into words.
    pub narrator: Narrator,
    /// Gathers the report.
    pub builder: ReportBuilder,
    /// Who is too many to be named.
    pub crowd: Crowd,
    /// How things are, for the platform.
    pub status_line: StatusLine,
    /// How lines are written.
    pub format: LineFormat,
    /// The gravest level that is still left out of the log; the report has everything.
    pub level: Level,
    /// Where the report goes; `None`: nowhere.
    pub report: Option<PathBuf>,
    /// How long writing the report may take.
    pub report_time: Duration,
    /// What those want to hear of who watch; `None`: nobody does.
    pub watched_level: Option<WatchLevel>,
    /// What they have not heard yet.
    pub watched: Vec<WatchedLine>,
    /// Or until then, if that is later.
    pub report_by: Timestamp,
    /// The time of the last event.
    pub now: Timestamp,
}

impl Listener for Reporter {
    fn time(&mut self, now: Timestamp) {
        self.now = now;
        self.collector.set_now(now);
    }

    fn hear(&mut self, notice: &Notice) {
        if !self.crowd.admits(notice) {
            return;
        }
        for (service, more) in self.crowd.conclude(notice) {
            self.builder.add_more_strays(service, more);
            self.narrator.more_strays(service, more);
        }
        if let Notice::DeadlineLearnt { deadline, .. } = notice {
            self.report_time = report_time(*deadline);
        }
        if let Notice::StopComplete { after, budget: Some(budget), .. } = notice {
            // What the stop did not need.
            let left = budget.saturating_sub(*after).min(defaults::REPORT_TIME_WITHOUT_DEADLINE);
            self.report_by = self.now + left;
        }
        self.builder.hear(notice, |cause| self.narrator.cause(cause), self.now);
        self.status_line.hear(notice, self.now);
        self.narrator.tell(notice);
        if let Notice::StopComplete { verdict, .. } = notice {
            self.status_line.conclude(self.narrator.conclusion(*verdict));
        }
    }

    fn deadline_is_asked(&mut self, is_asked: bool) {
        self.narrator.deadline_is_asked(is_asked);
    }

    fn cause(&self, cause: Cause) -> String {
        self.narrator.cause(cause)
    }

    fn watch(&mut self, level: Option<WatchLevel>) {
        self.watched_level = level;
    }

    fn take_watched(&mut self) -> Vec<WatchedLine> {
        std::mem::take(&mut self.watched)
    }

    fn blame(&mut self, service: ServiceId, sentence: &str, whole: Value) {
        self.builder.add_blame(service, sentence, &whole);
        self.narrator.blame(service, sentence);
    }

    fn wants_figures(&self) -> bool {
        self.report.is_some()
    }

    fn figures(&mut self, service: ServiceId, figures: Figures) {
        let Figures { memory_current, memory_peak, cpu_usec, pids_current, oom_kills } = figures;
        let used = json!({
            "memory_bytes": memory_current,
            "memory_peak_bytes": memory_peak,
            "cpu_ms": cpu_usec.map(|used| used / 1000),
            "tasks": pids_current,
            "oom_kills": oom_kills,
        });
        self.builder.add_used(service, used);
    }

    fn take_status(&mut self) -> Option<String> {
        self.status_line.take(self.now)
    }

    fn hook_output(&mut self, service: ServiceId, kind: &HookKind, line: &str) {
        self.narrator.hook_output(service, kind, line);
    }

    fn reconfigured(
        &mut self,
        settings: &Settings,
        programs: &[ServicePrograms],
        deadline_source: &'static str,
    ) {
        self.report_time = report_time(settings.deadline);
        self.builder.reconfigured(settings, deadline_source);
        self.status_line.reconfigured(settings);
        let programs = programs.iter().map(|programs| in_words(&programs.main)).collect();
        self.narrator.reconfigured(settings, programs);
    }

    fn adopted(&mut self, service: ServiceId, settings: &Settings, program: &Program) {
        self.builder.adopted(service, settings);
        self.status_line.adopted(service, settings);
        self.narrator.adopted(service, settings, in_words(program));
    }

    fn take_lines(&mut self) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for record in self.collector.take() {
            self.builder.add_event(&record);
            self.note_watched(&record);
            if record.level <= self.level {
                lines.push(record.line(self.format));
            }
        }
        lines
    }

    fn finish(&mut self, _status: u8) -> Vec<Vec<u8>> {
        let mut lines = self.take_lines();
        if let Some(path) = self.report.take() {
            let path = in_history(path, self.builder.name());
            let content = format!("{:#}\n", self.builder.build(time_of_day(), self.now));
            let time = self.report_time.max(self.report_by.since(self.now));
            if let Err(reason) = write_within(path.clone(), content.into_bytes(), time) {
                tracing::error!(
                    event = "report.failed",
                    path = %path.display(),
                    "{}",
                    reason.of(&path)
                );
            }
            lines.extend(self.take_lines());
        }
        lines
    }
}

impl Reporter {
    /// Keeps it for those who watch.
    fn note_watched(&mut self, record: &Record) {
        let level = match record.level {
            Level::Error => WatchLevel::Error,
            Level::Warn => WatchLevel::Warn,
            Level::Info => WatchLevel::Info,
            Level::Debug => WatchLevel::Debug,
        };
        if self.watched_level.is_some_and(|watched| level <= watched) {
            self.watched.push(WatchedLine { level, line: record.line(LineFormat::Json) });
        }
    }
}

/// What is said of a program.
pub(crate) fn in_words(program: &Program) -> ProgramWords {
    let command = program.command[0].to_string_lossy().into_owned();
    ProgramWords {
        command,
        directory: program.runs_in().map(|path| path.display().to_string()),
        search_path: program.search_path().map(|path| path.to_string_lossy().into_owned()),
        settings: program.settings_in_words(),
    }
}

/// A report is also made of a run that never was, if it was said where it goes.
pub(crate) fn report_not_started(path: Option<PathBuf>, name: &str, errors: &[String], status: u8) {
    let Some(path) = path else { return };
    let report = not_started(name, errors, status, time_of_day());
    let path = in_history(path, name);
    let content = format!("{report:#}\n").into_bytes();
    if let Err(reason) = write_within(path.clone(), content, defaults::REPORT_TIME_WITHOUT_DEADLINE) {
        write_plainly(format!("curfew: {}\n", reason.of(&path)).as_bytes());
    }
}

/// How long writing the report may take at least: what the deadline leaves for it.
pub(crate) fn report_time(deadline: Option<Deadline>) -> Duration {
    deadline.map_or(defaults::REPORT_TIME_WITHOUT_DEADLINE, |deadline| {
        defaults::REPORT_RESERVE_MAX.min(deadline.margin / 2)
    })
}

/// A path that ends in `/` is a folder that keeps every report: each gets a name with its time, in the order of time.
pub(crate) fn in_history(path: PathBuf, name: &str) -> PathBuf {
    if !path.as_os_str().as_bytes().ends_with(b"/") {
        return path;
    }
    // Colons are no good in names of files that travel.
    let time = humantime::format_rfc3339_millis(time_of_day()).to_string().replace(':', "-");
    path.join(format!("{name}-{time}.json"))
}

/// Why there is no report, for all we know.
#[derive(Debug)]
pub(crate) enum ReportFailure {
    /// The system refused it.
    Refused(io::Error),
    /// It was not finished within this time: the disk, or this machine, was too slow.
    Late(Duration),
}

impl ReportFailure {
    /// The whole sentence.
    fn of(&self, path: &Path) -> String {
        match self {
            Self::Refused(error) => {
                let problem = report_problem(path).unwrap_or_else(|| system_words(error));
                format!("cannot write the report to {}: {problem}", path.display())
            }
            Self::Late(time) => format!(
                "the report was not finished within {} of the end; it may be missing: {}",
                humantime::format_duration(*time),
                path.display()
            ),
        }
    }
}

/// What the system says, without its number.
fn system_words(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |errno| Errno::from_raw(errno).desc().to_owned())
}

/// Writes the report on a thread of its own: a disk that hangs must not keep us from leaving.
///
/// # Errors
/// It was refused, or it was late.
pub(crate) fn write_within(path: PathBuf, content: Vec<u8>, time: Duration) -> Result<(), ReportFailure> {
    let (sender, receiver) = mpsc::channel();
    let report = Arc::new((path, content));
    let shared = Arc::clone(&report);
    let work = move || {
        let (path, content) = &*shared;
        // Nobody listens any more when the time was over.
        let _ = sender.send(write_report(path, content, MayWait::Yes));
    };
    if thread::Builder::new().name("report".into()).spawn(work).is_err() {
        // No more processes are allowed. A report that may come late is better than none.
        let (path, content) = &*report;
        return write_report(path, content, MayWait::No).map_err(ReportFailure::Refused);
    }
    match receiver.recv_timeout(time) {
        Ok(result) => result.map_err(ReportFailure::Refused),
        Err(_) => Err(ReportFailure::Late(time)),
    }
}
