//! Runs the real curfew on real programs, and waits for what they say, never for time.
//!
//! Every run is watched: when its time is over, or its test fails, what it started is killed (by a token that it
//! inherited), and all it said is printed. After every run no process of it may be left, and its report must be valid.

mod cgroup;
mod finished;
mod lines;
mod processes;
mod seccomp;
mod terminal;
mod time;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::libc;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use cgroup::{Cgroup, processes_in};
pub(crate) use finished::{Finished, check_report};
pub(crate) use lines::Lines;
pub(crate) use processes::{carriers, children, exists, kill, state};
pub(crate) use seccomp::Refusal;
pub(crate) use terminal::Terminal;
pub(crate) use time::{Moment, now, pause};

/// The longest that a test may take.
const WATCHDOG: Duration = Duration::from_secs(60);
/// Marks every process of one run. Its name does not begin with CURFEW_, which curfew would remark on.
pub(crate) const TOKEN: &str = "INTEGRATION_TEST_TOKEN";

/// The real curfew.
pub(crate) fn curfew_binary() -> &'static str {
    env!("CARGO_BIN_EXE_curfew_under_test")
}

/// The program with all behaviours.
pub(crate) fn fixture_binary() -> &'static str {
    env!("CARGO_BIN_EXE_fixture")
}

/// A run of curfew that is being prepared.
pub(crate) struct Curfew {
    directory: TempDir,
    token: String,
    wrapper: Vec<OsString>,
    program: OsString,
    /// `run` and its options, as far as the test says them.
    arguments: Vec<OsString>,
    command: Vec<OsString>,
    log: Option<&'static str>,
    report: Option<PathBuf>,
    environment: BTreeMap<OsString, OsString>,
    working_directory: Option<PathBuf>,
    streams: [Option<Stdio>; 3],
    /// What appears on the terminal that it is started at.
    screen: Option<Lines>,
    before_exec: Vec<Box<dyn FnMut() -> io::Result<()> + Send + Sync>>,
}

impl Curfew {
    /// `curfew run` with these options. The log is JSON at level `debug`, the report goes to a directory of its own.
    pub(crate) fn run<const COUNT: usize>(options: [&str; COUNT]) -> Self {
        let mut arguments = vec![OsString::from("run")];
        arguments.extend(options.map(OsString::from));
        let directory = TempDir::with_prefix("curfew-test-").expect("a directory for the test");
        // Programs that run as somebody else write there too.
        processes::open_to_all(directory.path());
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let token = format!("{}.{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        Self {
            report: Some(directory.path().join("report.json")),
            directory,
            token,
            wrapper: Vec::new(),
            program: curfew_binary().into(),
            arguments,
            command: Vec::new(),
            log: Some("json"),
            environment: BTreeMap::new(),
            working_directory: None,
            streams: [None, None, None],
            screen: None,
            before_exec: Vec::new(),
        }
    }

    /// Exactly these arguments: nothing is added.
    pub(crate) fn bare<const COUNT: usize>(arguments: [&str; COUNT]) -> Self {
        let mut curfew = Self::run([]).log(None).report(None);
        curfew.arguments = arguments.map(OsString::from).to_vec();
        curfew
    }

    /// Another program that is curfew in disguise.
    pub(crate) fn program(mut self, program: &str) -> Self {
        self.program = program.into();
        self
    }

    /// The one command.
    pub(crate) fn command<const COUNT: usize>(mut self, command: [&str; COUNT]) -> Self {
        self.command = command.map(OsString::from).to_vec();
        self
    }

    /// The one command: the fixture with this behaviour, its words separated by spaces.
    pub(crate) fn fixture(mut self, behaviour: &str) -> Self {
        self.command = vec![fixture_binary().into()];
        self.command.extend(behaviour.split(' ').map(OsString::from));
        self
    }

    /// Many services: the text of a configuration file. `fixture BEHAVIOUR` in angle brackets is a command:
    /// `command = <obedient 2s>`.
    pub(crate) fn config(mut self, text: &str) -> Self {
        let path = self.directory.path().join("system.toml");
        std::fs::write(&path, with_fixtures(text)).expect("the configuration is written");
        self.arguments.extend(["--config".into(), path.into()]);
        self
    }

    pub(crate) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// How the log is written; `None`: as curfew sees fit.
    pub(crate) fn log(mut self, format: Option<&'static str>) -> Self {
        self.log = format;
        self
    }

    /// Where the report goes; `None`: nowhere.
    pub(crate) fn report(mut self, path: Option<&Path>) -> Self {
        self.report = path.map(Path::to_owned);
        self
    }

    /// A directory of the run's own, gone after it.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The directory that curfew is started in.
    pub(crate) fn working_directory(mut self, path: &Path) -> Self {
        self.working_directory = Some(path.to_owned());
        self
    }

    pub(crate) fn stdin(mut self, stream: impl Into<Stdio>) -> Self {
        self.streams[0] = Some(stream.into());
        self
    }

    pub(crate) fn stdout(mut self, stream: impl Into<Stdio>) -> Self {
        self.streams[1] = Some(stream.into());
        self
    }

    pub(crate) fn stderr(mut self, stream: impl Into<Stdio>) -> Self {
        self.streams[2] = Some(stream.into());
        self
    }

    /// At this terminal: it is the controlling one, and all three streams. What appears on it counts as standard output.
    pub(crate) fn at(self, terminal: &mut Terminal) -> Self {
        let line = terminal.line();
        let stream = || line.try_clone().expect("a descriptor");
        let mut curfew = self.stdin(stream()).stdout(stream()).stderr(stream()).controlled_by(terminal);
        curfew.screen = Some(terminal.screen());
        terminal.leave_to_programs();
        curfew
    }

    /// With this controlling terminal, wherever the streams lead. Nobody may hold it open: the test does.
    pub(crate) fn controlled_by(self, terminal: &Terminal) -> Self {
        let line = terminal.line();
        // A system call alone.
        self.before_exec(move || Terminal::take(line.as_raw_fd()))
    }

    /// A program in front that executes curfew: its words, then curfew's.
    pub(crate) fn wrapped_by<const COUNT: usize>(mut self, wrapper: [&str; COUNT]) -> Self {
        self.wrapper = wrapper.map(OsString::from).to_vec();
        self
    }

    /// One more word of the program in front.
    pub(crate) fn wrapped_by_word(mut self, word: &str) -> Self {
        self.wrapper.push(word.into());
        self
    }

    /// Done in the new process before curfew is executed: only what is safe between fork and exec.
    pub(crate) fn before_exec(
        mut self,
        action: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.before_exec.push(Box::new(action));
        self
    }

    /// Runs to the end by itself.
    #[track_caller]
    pub(crate) fn finish(self) -> Finished {
        self.start().finish()
    }

    #[track_caller]
    pub(crate) fn start(self) -> Running {
        let mut words = self.wrapper;
        words.push(self.program);
        let mut arguments = self.arguments.into_iter();
        words.extend(arguments.next());
        if let Some(format) = self.log {
            words.extend(["--log", format, "--log-level", "debug"].map(OsString::from));
        }
        if let Some(report) = &self.report {
            words.extend(["--report".into(), report.into()]);
        }
        words.extend(arguments);
        if !self.command.is_empty() {
            words.push("--".into());
            words.extend(self.command);
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        // What this test was started with is none of curfew's business.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CURFEW_")
                || name == "NOTIFY_SOCKET"
                || name == "RUNTIME_DIRECTORY"
            {
                command.env_remove(name);
            }
        }
        // Its control socket is its own, too.
        command.env("XDG_RUNTIME_DIR", self.directory.path());
        command.env(TOKEN, &self.token);
        command.envs(&self.environment);
        if let Some(directory) = &self.working_directory {
            command.current_dir(directory);
        }
        let [stdin, stdout, stderr] = self.streams;
        command.stdin(stdin.unwrap_or_else(Stdio::null));
        command.stdout(stdout.unwrap_or_else(Stdio::piped));
        command.stderr(stderr.unwrap_or_else(Stdio::piped));
        // Nor are the terminal that it runs at, and the descriptors that it was given: those of a job server, say. Should
        // somebody end this test with Ctrl-C, curfew is told to stop as well. `nohup`, and some who start jobs, ignore
        // HUP; scripts ignore INT and QUIT in what they run in the background.
        let hermetic: Box<dyn FnMut() -> io::Result<()> + Send + Sync> = Box::new(|| {
            // SAFETY: system calls that take integers. Where one does not work, things are as they were.
            unsafe {
                libc::setsid();
                for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            }
            Ok(())
        });
        for action in std::iter::once(hermetic).chain(self.before_exec) {
            // SAFETY: each test says why its action is safe there.
            unsafe { command.pre_exec(action) };
        }
        let since = now();
        let mut child = command.spawn().expect("curfew is executed");
        // The commands hold the other ends of what the test passed in.
        drop(command);
        Running {
            stdout: self.screen.unwrap_or_else(|| Lines::read(child.stdout.take())),
            stderr: Lines::read(child.stderr.take()),
            pid: child.id() as i32,
            child: Some(child),
            since,
            token: self.token,
            report: self.report,
            json: self.log == Some("json"),
            directory: self.directory,
        }
    }
}

/// `<obedient 2s>` becomes the array of words that runs the fixture.
fn with_fixtures(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('<') {
        let (behaviour, after) = behind.split_once('>').expect("a closing bracket");
        let words = std::iter::once(fixture_binary()).chain(behaviour.split(' '));
        result.push_str(before);
        result.push_str(&format!("{:?}", words.collect::<Vec<_>>()));
        rest = after;
    }
    result + rest
}

/// A run of curfew.
pub(crate) struct Running {
    stdout: Lines,
    stderr: Lines,
    pid: i32,
    child: Option<Child>,
    since: Moment,
    token: String,
    report: Option<PathBuf>,
    json: bool,
    directory: TempDir,
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Changes the text of the configuration file, in which this curfew was given its services.
    pub(crate) fn rewrite(&self, text: &str) {
        let path = self.directory.path().join("system.toml");
        std::fs::write(&path, with_fixtures(text)).expect("the configuration is written");
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Sends curfew a signal.
    pub(crate) fn signal(&self, signal: i32) {
        assert!(self.child.is_some(), "curfew has been waited for");
        kill(self.pid, signal);
    }

    /// Waits for a line on standard output with this text in it, and returns it.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.wait_for_many(1, text).remove(0)
    }

    /// Waits for so many lines on standard output with this text in them.
    #[track_caller]
    pub(crate) fn wait_for_many(&self, count: usize, text: &str) -> Vec<String> {
        match self.stdout.wait_for(count, self.end_of_watch(), |line| line.contains(text)) {
            Some(lines) => lines,
            None => self.fail(&format!("{count} lines with {text:?} on standard output")),
        }
    }

    /// Waits for a line on standard error with this text in it.
    #[track_caller]
    pub(crate) fn wait_for_error_line(&self, text: &str) -> String {
        match self.stderr.wait_for(1, self.end_of_watch(), |line| line.contains(text)) {
            Some(mut lines) => lines.remove(0),
            None => self.fail(&format!("a line with {text:?} on standard error")),
        }
    }

    /// Waits for an event of the JSON log.
    #[track_caller]
    pub(crate) fn wait_for_event(&self, event: &str) -> Value {
        self.wait_for_events(1, event).remove(0)
    }

    #[track_caller]
    pub(crate) fn wait_for_events(&self, count: usize, event: &str) -> Vec<Value> {
        let is_it = |line: &str| {
            serde_json::from_str::<Value>(line)
                .is_ok_and(|value| value.get("event").is_some_and(|name| name == event))
        };
        match self.stderr.wait_for(count, self.end_of_watch(), is_it) {
            Some(lines) => lines.iter().map(|line| serde_json::from_str(line).expect("it was")).collect(),
            None => self.fail(&format!("{count} events {event:?} in the log")),
        }
    }

    /// The pid at the end of the first line on standard output with this text in it.
    #[track_caller]
    pub(crate) fn wait_for_pid(&self, text: &str) -> i32 {
        let line = self.wait_for(text);
        line.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a pid at the end of the line")
    }

    /// Waits for something that no line tells of.
    #[track_caller]
    pub(crate) fn eventually(&self, what: &str, mut condition: impl FnMut() -> bool) {
        while !condition() {
            if now() >= self.end_of_watch() {
                self.fail(what);
            }
            // The kernel does not tell when a process changes its state: we look again.
            pause(Duration::from_millis(5));
        }
    }

    /// Waits for the end of curfew, and checks what is true of every run.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Finished {
        let finished = self.end();
        finished.check();
        finished
    }

    /// Waits for the end of curfew; for runs that end in a way no run should, such as by KILL.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Finished {
        if !processes::wait_for_end(self.pid, self.end_of_watch()) {
            self.fail("the end of curfew");
        }
        let ended = now();
        let took = ended.since(self.since);
        let mut child = self.child.take().expect("curfew is waited for once");
        let status = child.wait().expect("curfew is our child");
        let left = carriers(&self.token);
        let streams_ended = !left.is_empty()
            || [&self.stdout, &self.stderr].iter().all(|lines| lines.wait_for_end(self.end_of_watch()));
        let mut files: Vec<String> = std::fs::read_dir(self.directory.path())
            .expect("the directory is there")
            .map(|entry| entry.expect("it is read").file_name().to_string_lossy().into_owned())
            .collect();
        files.sort();
        let report = self.report.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        Finished {
            status,
            stdout: self.stdout.so_far(),
            stderr: self.stderr.so_far(),
            json: self.json,
            report: report.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))),
            report_wanted: self.report.is_some(),
            files,
            left,
            streams_ended,
            took,
            ended,
        }
    }

    fn end_of_watch(&self) -> Moment {
        self.since.plus(WATCHDOG)
    }

    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        panic!("waited in vain for {what}{}", self.everything());
    }

    fn everything(&self) -> String {
        let [stdout, stderr] = [&self.stdout, &self.stderr].map(|lines| lines.so_far().join("\n"));
        format!("\n--- standard output\n{stdout}\n--- standard error\n{stderr}\n---")
    }
}

impl Drop for Running {
    /// Whatever became of the test: nothing of it stays.
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if std::thread::panicking() {
                eprintln!("the run was not over{}", self.everything());
            }
            kill(self.pid, libc::SIGKILL);
            let _ = child.wait();
        }
        processes::kill_carriers(&self.token);
    }
}

/// A client that talks to whoever has a control socket below this directory.
pub(crate) fn client<const COUNT: usize>(directory: &Path, arguments: [&str; COUNT]) -> Command {
    let mut command = Command::new(curfew_binary());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["CURFEW_CONTROL", "RUNTIME_DIRECTORY", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.env("XDG_RUNTIME_DIR", directory);
    command
}

/// Says why a test cannot be run here. Past the capture of the test's output: it must be seen.
pub(crate) fn skip(why: &str) {
    use std::io::Write;
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(io::stderr(), "skipped: {test}: {why}");
}

/// Whether this test runs as root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether a tool is installed.
pub(crate) fn is_installed(tool: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|entry| entry.join(tool).exists()))
}

/// The curfew that is released: static, and so without what the C library would load at run time. `.ci/run` builds it,
/// and says where it is.
pub(crate) fn static_curfew_binary() -> Option<String> {
    let binary = std::env::var("STATIC_CURFEW_BINARY").ok();
    if binary.is_none() {
        skip("STATIC_CURFEW_BINARY does not say where the static binary is; `.ci/run` builds one");
    }
    binary
}
