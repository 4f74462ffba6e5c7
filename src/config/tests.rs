//! The whole way, from the command line, the environment and files to the configuration or its errors.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;
use crate::arguments::{Arguments, Request, Task};
use crate::protocol::ProbeTarget;
use crate::supervisor::{
    DeadlineBasis, ExitStatusPolicy, Health, Kind, Mode, ReadyBy, ServiceId, Signal, SignalSet, Target,
    defaults,
};

/// A directory with files, and an environment: everything a configuration depends on.
struct World {
    directory: PathBuf,
    environment: Vec<(OsString, OsString)>,
    is_pid_1: bool,
}

impl World {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("curfew-config-{}-{count}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        Self { directory, environment: Vec::new(), is_pid_1: false }
    }

    fn with_file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.directory.join(name), content).unwrap();
        self
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn with_pid_1(mut self) -> Self {
        self.is_pid_1 = true;
        self
    }

    fn try_settle(&self, arguments: &[&str]) -> Result<(Config, Vec<Warning>), Error> {
        let words = std::iter::once("curfew").chain(arguments.iter().copied()).map(OsString::from);
        let run = match Arguments::read(words).unwrap() {
            Request::Task(Task::Run(run)) => run,
            Request::Client(client) => panic!("{client:?}"),
            Request::Help(help) => panic!("{help}"),
        };
        let Self { directory, environment, is_pid_1 } = self;
        let surroundings = Surroundings {
            is_pid_1: *is_pid_1,
            environment: environment.clone(),
            directory: directory.clone(),
            // As curfew's own process would have it.
            sockets: match environment.iter().find(|(name, _)| name == "LISTEN_FDNAMES") {
                Some((_, names)) => names.to_str().unwrap().split(':').map(str::to_owned).collect(),
                None => Vec::new(),
            },
            files: Files::default(),
        };
        Config::from_arguments(&run, &surroundings)
    }

    #[track_caller]
    fn settle(&self, arguments: &[&str]) -> Config {
        match self.try_settle(arguments) {
            Ok((config, _)) => config,
            Err(error) => panic!("{error}"),
        }
    }

    /// The errors of usage, each as it is shown.
    #[track_caller]
    fn usage(&self, arguments: &[&str]) -> Vec<String> {
        let error = self.try_settle(arguments).map(|(config, _)| config).unwrap_err();
        assert_eq!(error.exit_status(), 64);
        match error {
            Error::Usage(errors) => errors.iter().map(ToString::to_string).collect(),
            other => panic!("{other}"),
        }
    }

    /// The errors of configuration, each as it is shown.
    #[track_caller]
    fn config_errors(&self, arguments: &[&str]) -> Vec<String> {
        let error = self.try_settle(arguments).map(|(config, _)| config).unwrap_err();
        assert_eq!(error.exit_status(), 78);
        match error {
            Error::Config(errors) => errors.iter().map(ToString::to_string).collect(),
            other => panic!("{other}"),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

const FILE: [&str; 3] = ["run", "--config", "demo.toml"];

/// The configuration in this file.
#[track_caller]
fn from_file(content: &str) -> Config {
    World::new().with_file("demo.toml", content).settle(&FILE)
}

/// The errors of this file.
#[track_caller]
fn errors_of(content: &str) -> Vec<String> {
    World::new().with_file("demo.toml", content).config_errors(&FILE)
}

fn one(arguments: &[&str]) -> Config {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--", "ls"]).collect();
    World::new().settle(&arguments)
}

fn variable<'a>(process: &'a ProcessSettings, name: &str) -> Option<&'a str> {
    let own_first = process.own_environment.iter().chain(&*process.shared_environment);
    own_first.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_str().unwrap())
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

// One command.

#[test]
fn one_command_has_the_defaults_of_a_wrapper() {
    let config = World::new().with("PATH", "/bin").settle(&["--", "/usr/bin/My.Api", "--port", "1"]);
    assert_eq!(config.name, "my-api");
    let settings = &config.settings;
    assert_eq!((settings.mode, settings.reloadable), (Mode::OneCommand, false));
    assert_eq!((settings.deadline, config.deadline_source), (None, DeadlineSource::None));
    assert_eq!(config.deadline_choice, DeadlineChoice::Auto);
    assert!(config.settings.asks_platform);
    assert_eq!(config.cgroup, CgroupChoice::Auto);
    assert_eq!((settings.stop_signals, settings.map.len()), (defaults::stop_signals(), 0));
    assert_eq!(settings.exit_status, ExitStatusPolicy::Verdict);
    assert_eq!(settings.stray_grace, defaults::grace_for_one_command());
    let [service] = &settings.services[..] else { panic!("{settings:?}") };
    assert_eq!((service.name.as_str(), service.kind, service.essential), ("my-api", Kind::Service, true));
    assert_eq!(service.grace, defaults::grace_for_one_command());
    assert_eq!((service.signal_target, service.drain), (Target::Leader, Duration::ZERO));
    assert_eq!(service.forward, SignalSet::all());
    let [process] = &config.processes[..] else { panic!("{config:?}") };
    assert_eq!(process.command, ["/usr/bin/My.Api", "--port", "1"]);
    assert_eq!((&process.directory, process.parent_death), (&None, None));
    let expected =
        [("PATH", "/bin"), ("CURFEW_DEADLINE", "8s")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(process.environment(), expected);
    assert_eq!((config.report, config.log, config.log_level), (None, LogFormat::Auto, LogLevel::Info));
}

#[test]
fn a_command_need_not_be_utf_8() {
    let odd = OsString::from_vec(b"/bin/\xff".to_vec());
    let arguments = RunArguments { command: vec![odd.clone(), odd.clone()], ..RunArguments::default() };
    let (config, _) = Config::from_arguments(&arguments, &Surroundings::default()).unwrap();
    assert_eq!(config.processes[0].command, [odd.clone(), odd]);
    assert_eq!(config.name, "command");
}

#[test]
fn every_option_reaches_its_place() {
    let config = one(&[
        "run",
        "--name",
        "job",
        "--task",
        "--directory",
        "sub",
        "--user",
        "nobody:42",
        "--grace",
        "INT 2s, QUIT",
        "--deadline",
        "40s",
        "--margin",
        "3s",
        "--signal-target",
        "group",
        "--stop-signals",
        "TERM,QUIT",
        "--forward",
        "USR1",
        "--map",
        "USR1=USR2",
        "--map",
        "HUP=none",
        "--report",
        "out/",
        "--log",
        "json",
        "--log-level",
        "debug",
        "--cgroup",
        "require",
        "--exit-status",
        "mirror",
        "--success",
        "3,HUP",
    ]);
    let directory = config.report.clone().unwrap();
    assert!(directory.is_absolute() && directory.to_str().unwrap().ends_with("/out/"), "{directory:?}");
    assert_eq!(
        (config.name.as_str(), config.log, config.log_level),
        ("job", LogFormat::Json, LogLevel::Debug)
    );
    assert_eq!(config.cgroup, CgroupChoice::Require);
    assert_eq!(config.deadline_choice, DeadlineChoice::After(seconds(40)));
    assert_eq!(
        (config.settings.margin, config.deadline_source),
        (Some(seconds(3)), DeadlineSource::Configured)
    );
    // The platform's own may be shorter.
    assert!(config.settings.asks_platform);
    assert_eq!(config.settings.deadline_basis, DeadlineBasis::Said(seconds(40)));
    let settings = &config.settings;
    assert_eq!(settings.deadline.unwrap().budget(), seconds(37));
    assert_eq!(settings.stop_signals, parse(&["TERM", "QUIT"]));
    let [usr1, usr2] = [Signal::USR1, Signal::USR2];
    assert_eq!(settings.map.iter().collect::<Vec<_>>(), [(&Signal::HUP, &None), (&usr1, &Some(usr2))]);
    assert_eq!(settings.exit_status, ExitStatusPolicy::Mirror);
    let service = &settings.services[0];
    assert_eq!((service.name.as_str(), service.kind), ("job", Kind::Task));
    assert_eq!(service.grace.to_string(), "INT 2s, QUIT, KILL");
    assert_eq!(settings.stray_grace, service.grace);
    assert_eq!((service.signal_target, service.forward), (Target::Group, parse(&["USR1"])));
    assert_eq!((&service.success.statuses[..], service.success.signals), (&[3][..], parse(&["HUP"])));
    let process = &config.processes[0];
    assert!(process.directory.as_ref().unwrap().ends_with("sub"));
    assert!(process.directory.as_ref().unwrap().is_absolute());
    assert_eq!((process.user.as_deref(), process.group.as_deref()), (Some("nobody"), Some("42")));
    assert_eq!(process.login_variables, ["HOME", "LOGNAME", "SHELL", "USER"]);
    assert_eq!(
        variable(process, "CURFEW_DEADLINE"),
        Some("37s"),
        "an open stage lasts to the end of the budget"
    );
}

fn parse(signals: &[&str]) -> SignalSet {
    signals.iter().map(|signal| Signal::parse(signal).unwrap()).collect()
}

#[test]
fn who_says_that_there_is_no_deadline_is_believed() {
    let settings = one(&["--deadline", "none", "--", "ls"]).settings;
    assert_eq!((settings.deadline, settings.asks_platform), (None, false));
    assert_eq!(settings.deadline_basis, DeadlineBasis::Unknown);
}

#[test]
fn a_deadline_in_the_environment_is_said_and_that_of_pid_one_assumed() {
    let told = World::new().with("CURFEW_DEADLINE", "7s").settle(&["--", "ls"]).settings;
    assert_eq!((told.deadline_basis, told.asks_platform), (DeadlineBasis::Said(seconds(7)), true));
    let mut world = World::new();
    world.is_pid_1 = true;
    let first = world.settle(&["--", "ls"]).settings;
    assert_eq!((first.deadline_basis, first.asks_platform), (DeadlineBasis::Assumed, true));
}

#[test]
fn the_schedule_of_one_command_can_be_given_by_its_name() {
    assert_eq!(one(&["--grace", "ls=INT 1s"]).settings.services[0].grace.to_string(), "INT 1s, KILL");
    let errors = World::new().usage(&["--grace", "la=INT 1s", "--", "ls"]);
    assert_eq!(errors, ["--grace: there is no service `la`; did you mean `ls`?"]);
}

// Usage.

#[test]
fn there_must_be_one_thing_to_run() {
    let world = World::new().with_file("demo.toml", "[service.a]\ncommand = 'a'");
    let nothing = "there is nothing to run; write `curfew run -- COMMAND`, --service NAME=COMMAND or --config FILE; \
                   `curfew --help` shows examples";
    for arguments in [&[][..], &["run"], &["run", "--"], &["run", "--deadline", "5s"]] {
        assert_eq!(world.usage(arguments), [nothing]);
    }
    assert_eq!(world.usage(&["--", ""]), ["the command is empty; name a program after `--`"]);
    let both = world.usage(&["run", "--config", "demo.toml", "--", "ls"]);
    assert_eq!(both, ["--config: a file and a COMMAND are given; leave out one of them"]);
    let both = world.usage(&["run", "--service", "a=b", "--", "ls"]);
    assert_eq!(both, ["--service: also a COMMAND is given; leave out one of them"]);
    let both = world.usage(&["run", "--service", "a=b", "--config", "demo.toml"]);
    assert_eq!(both, ["--service: also --config is given; leave out one of them"]);
    let world = world.with("CURFEW_CONFIG", "demo.toml");
    let both = world.usage(&["--", "ls"]);
    assert_eq!(both, ["CURFEW_CONFIG: a file and a COMMAND are given; leave out one of them"]);
    assert_eq!(world.settle(&["run"]).settings.mode, Mode::ManyServices);
}

#[test]
fn every_wrong_option_is_told_at_once() {
    let errors = World::new().with("CURFEW_LOG", "xml").with("CURFEW_TASK", "perhaps").usage(&[
        "run",
        "--grace",
        "TERM 10x",
        "--grace",
        "api=TERN",
        "--deadline",
        "0",
        "--margin",
        "5",
        "--signal-target",
        "grup",
        "--stop-signals",
        "TERM,KILL",
        "--forward",
        "STOP",
        "--map",
        "TERM=QUTI",
        "--map",
        "HUP=none",
        "--map",
        "1=none",
        "--log-level",
        "dbug",
        "--cgroup",
        "required",
        "--exit-status",
        "mirrored",
        "--success",
        "256",
        "--name",
        "A b",
        "--service",
        "api",
        "--service",
        "b=x | y",
        "--service",
        "c=x",
        "--service",
        "c=x",
        "--service",
        "B=x",
        "--user",
        "api:a b",
    ]);
    assert_eq!(
        errors,
        [
            "--service: there is no `=`; write NAME=COMMAND, such as --service api='api --port 8000'\n  api\n  ^^^",
            "--service: `|` means something to a shell only, and there is none; quote it if it is meant literally, or \
         write sh -c 'exec …' as the command\n  b=x | y\n      ^",
            "--service: there are two services `c`; rename one\n  c=x\n  ^",
            "--service: `B` is no valid name; use a to z, 0 to 9, `-` and `_`, at most 63 characters, no `-` or `_` first: \
         `b`\n  B=x\n  ^",
            "--name: `A b` is no valid name; use a to z, 0 to 9, `-` and `_`, at most 63 characters, no `-` or `_` first: \
         `a-b`\n  A b\n  ^^^",
            "--user: a name cannot contain ' '; write one name or number\n  api:a b\n       ^",
            "--grace: unknown unit `x`; write `10s`; the units are ms, s, m, h, d\n  TERM 10x\n       ^^^",
            "--grace: unknown signal `TERN`; did you mean `TERM`?\n  api=TERN\n      ^^^^",
            "--deadline: the deadline is zero; write `none` if there is no deadline, or how long the platform waits, such as \
         `30s`\n  0\n  ^",
            "--margin: `5` has no unit; write `5s`\n  5\n  ^",
            "--signal-target: unknown value `grup`; did you mean `group`?\n  grup\n  ^^^^",
            "--stop-signals: KILL can be caught by no process, so curfew never sees it; leave it out\n  TERM,KILL\n       ^^^^",
            "--forward: STOP can be caught by no process, so curfew never sees it; leave it out\n  STOP\n  ^^^^",
            "--map: unknown signal `QUTI`; did you mean `QUIT`?\n  TERM=QUTI\n       ^^^^",
            "--map: HUP is mapped twice; leave one of them\n  1=none\n  ^",
            "CURFEW_LOG: unknown value `xml`; write one of auto, human, json, journal\n  xml\n  ^^^",
            "--log-level: unknown value `dbug`; did you mean `debug`?\n  dbug\n  ^^^^",
            "--cgroup: unknown value `required`; did you mean `require`?\n  required\n  ^^^^^^^^",
            "--exit-status: unknown value `mirrored`; did you mean `mirror`?\n  mirrored\n  ^^^^^^^^",
            "--success: `256` is no exit status; write 0 to 255, or the name of a signal\n  256\n  ^^^",
            "CURFEW_TASK: this is neither true nor false; write 1 or 0",
        ]
    );
}

#[test]
fn what_is_for_one_command_is_refused_for_services() {
    let world = World::new().with("CURFEW_TASK", "true");
    let errors = world.usage(&["run", "--service", "a=b", "--exit-status", "mirror", "--grace", "b=TERM"]);
    assert_eq!(
        errors,
        [
            "CURFEW_TASK: this is for one command, and there are services; leave it out, and write type = \"task\" under \
         [service.NAME] in a file",
            "--exit-status: `mirror` is the status of one command, and there are services; leave it out, or write `verdict`",
            "--grace: there is no service `b`; the services are a",
        ]
    );
}

#[test]
fn a_margin_must_leave_something_of_the_deadline() {
    let errors = World::new().usage(&["--deadline", "5s", "--margin", "5s", "--", "ls"]);
    let cure = "write a shorter margin, or a longer deadline";
    assert_eq!(errors, [format!("--margin: the margin of 5s leaves nothing of the deadline of 5s; {cure}")]);
    let errors = World::new().with_pid_1().with("CURFEW_MARGIN", "1m").usage(&["--", "ls"]);
    assert_eq!(
        errors,
        [format!("CURFEW_MARGIN: the margin of 1m leaves nothing of the assumed deadline of 10s; {cure}")]
    );
    let errors = errors_of("deadline = '5s'\nmargin = '6s'\n[service.a]\ncommand = 'a'");
    assert_eq!(
        errors,
        [format!("demo.toml:2:10: margin: the margin of 6s leaves nothing of the deadline of 5s; {cure}")]
    );
    let config = one(&["--deadline", "5s", "--margin", "0s"]);
    assert_eq!(config.settings.deadline.unwrap().budget(), seconds(5));
    assert_eq!(one(&["--margin", "1m"]).settings.margin, Some(seconds(60)), "there is no deadline yet");
}

#[test]
fn one_error_of_usage_stands_on_one_line_and_several_under_a_heading() {
    let show = |arguments: &[&str]| World::new().try_settle(arguments).map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        show(&["--log", "x", "--", "ls"]),
        "--log: unknown value `x`; write one of auto, human, json, journal\n  x\n  ^"
    );
    let two = show(&["--log", "x", "--margin", "1", "--", "ls"]);
    assert!(
        two.starts_with("there are 2 errors, so nothing was started:\n--margin: `1` has no unit"),
        "{two}"
    );
}

// Precedence and the environment.

#[test]
fn a_flag_beats_a_variable_and_a_variable_beats_the_file() {
    let content = "name = 'of-file'\ndeadline = '1m'\nlog = 'json'\nreport = 'file.json'\nmap = { HUP = 'INT' }\n\
                   grace = 'TERM 1s'\nenv-file = 'gone.env'\n[service.a]\ncommand = 'a'";
    let world = World::new()
        .with_file("demo.toml", content)
        .with_file("b.env", "B=1")
        .with("CURFEW_DEADLINE", "2m")
        .with("CURFEW_LOG", "human")
        .with("CURFEW_NAME", "of-variable")
        .with("CURFEW_ENV_FILE", "b.env")
        .with("CURFEW_MAP", "HUP=none");
    let config = world.settle(&FILE);
    assert_eq!((config.name.as_str(), config.log), ("of-variable", LogFormat::Human));
    assert_eq!(
        config.settings.deadline,
        Some(crate::supervisor::Deadline::with_default_margin(seconds(120)))
    );
    assert_eq!(config.deadline_source, DeadlineSource::Environment);
    assert_eq!(config.settings.map[&Signal::HUP], None);
    assert!(config.report.unwrap().ends_with("file.json"));
    assert_eq!(variable(&config.processes[0], "B"), Some("1"));
    let flags =
        ["run", "--config", "demo.toml", "--deadline", "3m", "--name", "of-flag", "--grace", "TERM 2s"];
    let config = world.settle(&flags);
    assert_eq!(config.name, "of-flag");
    assert_eq!(config.settings.deadline.unwrap().deadline, seconds(180));
    assert_eq!(config.deadline_source, DeadlineSource::Configured);
    assert_eq!(config.settings.services[0].grace.to_string(), "TERM 2s, KILL");
    let config = world.settle(&["run", "--config", "demo.toml", "--deadline", "none"]);
    assert_eq!((config.settings.deadline, config.deadline_source), (None, DeadlineSource::None));
}

#[test]
fn auto_is_what_pid_1_may_assume() {
    let deadline = |world: World, arguments: &[&str]| {
        let config = world.settle(arguments);
        (
            config.settings.deadline.map(|deadline| deadline.deadline),
            config.deadline_source,
            config.deadline_choice,
        )
    };
    let run = ["--", "ls"];
    let auto = DeadlineChoice::Auto;
    assert_eq!(deadline(World::new(), &run), (None, DeadlineSource::None, auto));
    let container = (Some(seconds(10)), DeadlineSource::AssumedContainer, auto);
    assert_eq!(deadline(World::new().with_pid_1(), &run), container);
    let kubernetes = || World::new().with("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    let pod = (Some(seconds(30)), DeadlineSource::AssumedKubernetes, auto);
    assert_eq!(deadline(kubernetes().with_pid_1(), &run), pod);
    assert_eq!(deadline(kubernetes(), &run), (None, DeadlineSource::None, auto));
    let file = "deadline = '20s'\n[service.a]\ncommand = 'a'";
    let world = World::new().with_pid_1().with_file("demo.toml", file).with("CURFEW_DEADLINE", "auto");
    assert_eq!(deadline(world, &FILE), container, "a variable that says auto beats the file");
}

#[test]
fn services_get_the_environment_without_what_was_meant_for_curfew() {
    let world = World::new()
        .with("PATH", "/bin")
        .with("CURFEW_LOG", "json")
        .with("CURFEW_REPORT", "")
        .with("CURFEW_SERVICE", "outer")
        .with("CURFEW_LOGG", "json");
    let (config, warnings) = world.try_settle(&["--", "ls"]).unwrap();
    let environment = config.processes[0].environment();
    let names: Vec<_> = environment.iter().map(|(name, _)| name.to_str().unwrap()).collect();
    assert_eq!(names, ["PATH", "CURFEW_SERVICE", "CURFEW_LOGG", "CURFEW_DEADLINE"]);
    let warning = Warning::UnknownVariable { name: "CURFEW_LOGG".into(), nearest: Some("CURFEW_LOG".into()) };
    assert_eq!(warnings, [warning]);
}

#[test]
fn services_get_nothing_that_the_manager_above_meant_for_curfew() {
    let meant = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE", "SYSTEMD_EXEC_PID"];
    let world =
        meant.iter().fold(World::new().with("INVOCATION_ID", "x"), |world, name| world.with(name, "1"));
    let world = world
        .with_file("a.toml", "service.a = { command = 'a', environment = { NOTIFY_SOCKET = '@mine' } }\n");
    let names = |arguments: &[&str]| {
        let environment = world.settle(arguments).processes[0].environment();
        environment.into_iter().map(|(name, _)| name.into_string().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["--", "ls"]), ["INVOCATION_ID", "CURFEW_DEADLINE"]);
    // What the file says is meant for the service.
    assert_eq!(names(&["--config", "a.toml"]), ["INVOCATION_ID", "NOTIFY_SOCKET", "CURFEW_DEADLINE"]);
}

#[test]
fn the_narrower_place_wins_among_variables() {
    let config = World::new()
        .with("A", "inherited")
        .with("B", "inherited")
        .with("C", "inherited")
        .with("D", "inherited")
        .with("E", "inherited")
        .with_file("all.env", "B=all.env\nC=all.env\nD='all.env'\nE=\"all.env\"\n")
        .with_file("api.env", "# a comment\n\nexport D='api.env'\nE=${A}\n")
        .with_file(
            "demo.toml",
            "env-file = 'all.env'\nenvironment = { C = 'all', D = 'all' }\n[service.api]\ncommand = 'a'\n\
             env-file = ['api.env']\nenvironment = { F = 'api', CURFEW_DEADLINE = '1s' }\n\
             [service.web]\ncommand = 'w'\nenvironment.\"odd name\" = ''",
        )
        .settle(&FILE);
    let values = |index: usize| {
        ["A", "B", "C", "D", "E"].map(|name| variable(&config.processes[index], name).unwrap())
    };
    assert_eq!(values(0), ["inherited", "all.env", "all", "api.env", "inherited"]);
    assert_eq!(values(1), ["inherited", "all.env", "all", "all", "all.env"]);
    assert_eq!(variable(&config.processes[0], "CURFEW_DEADLINE"), Some("1s"));
    assert_eq!(variable(&config.processes[1], "odd name"), Some(""));
    for process in &config.processes {
        let environment = process.environment();
        let mut names: Vec<&OsStr> = environment.iter().map(|(name, _)| name.as_os_str()).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "each variable is there once: {names:?}");
    }
}

#[test]
fn a_service_is_told_how_long_its_own_stop_may_take() {
    let content = "[service.a]\ncommand = 'a'\ngrace = 'TERM 10s, INT 500ms'\ndrain = '2s'\n\
                   [service.b]\ncommand = 'b'\ngrace = 'TERM'\n[service.c]\ncommand = 'c'\ngrace = 'KILL'\n";
    let told = |deadline: &str| {
        let config = from_file(&format!("deadline = '{deadline}'\n{content}"));
        let told = |process| variable(process, "CURFEW_DEADLINE").map(str::to_owned);
        config.processes.iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(told("none"), [Some("12s 500ms".to_owned()), None, None]);
    assert_eq!(told("1m"), [Some("12s 500ms".to_owned()), Some("57s".to_owned()), None]);
    assert_eq!(told("10s"), [Some("9s".to_owned()), Some("9s".to_owned()), None]);
}

// Many services.

#[test]
fn services_can_be_given_without_a_file() {
    let config = World::new().settle(&[
        "run",
        "--service",
        "api=myproject api --name 'a b'",
        "--service",
        "web=web",
        "--grace",
        "web=QUIT 1s",
        "--success",
        "4",
        "--signal-target",
        "all",
        "--forward",
        "HUP",
    ]);
    assert_eq!((config.name.as_str(), config.settings.mode), ("curfew", Mode::ManyServices));
    assert!(!config.settings.reloadable);
    let commands: Vec<_> = config.processes.iter().map(|process| &process.command[..]).collect();
    assert_eq!(commands, [&["myproject", "api", "--name", "a b"][..], &["web"]]);
    let services = &config.settings.services;
    assert_eq!([0, 1].map(|index: usize| services[index].name.as_str()), ["api", "web"]);
    assert_eq!(
        [0, 1].map(|index: usize| services[index].grace.to_string()),
        ["TERM 8s, KILL", "QUIT 1s, KILL"]
    );
    for service in services {
        assert_eq!((&service.success.statuses[..], service.signal_target), (&[4][..], Target::All));
        assert_eq!(service.forward, parse(&["HUP"]));
    }
}

#[test]
fn every_key_of_the_file_reaches_its_place() {
    let config = from_file(
        r#"
        name = "myproject"
        grace = "TERM 10s, INT 5s, KILL"
        deadline = "28s"
        margin = "2s"
        report = "stop.json"
        log = "json"
        log-level = "warn"
        cgroup = "off"
        stop-signals = ["TERM", "SIGINT"]
        map = { HUP = "USR1", USR2 = "none" }
        signal-target = "group"
        success = [3, "HUP"]
        directory = "/srv"

        [service.web]
        command = ["web", "--port", "1"]
        after = ["api"]

        [service.migrate]
        type = "task"
        command = 'myproject migrate "two words"'
        grace = "INT@all 1s"
        drain = "500ms"
        essential = false
        success = "4, USR1"
        signal-target = "leader"
        forward = "HUP, USR1"
        directory = "sub"
        parent-death = "TERM"

        [service.api]
        command = "api"
        after = ["migrate"]
        success = 5
        forward = "all"
        parent-death = "none"
        "#,
    );
    assert_eq!(
        (config.name.as_str(), config.log, config.log_level),
        ("myproject", LogFormat::Json, LogLevel::Warn)
    );
    assert_eq!(config.cgroup, CgroupChoice::Off);
    assert!(
        config.report.as_ref().is_some_and(|report| report.is_absolute() && report.ends_with("stop.json"))
    );
    let settings = &config.settings;
    assert!(settings.reloadable);
    let deadline = settings.deadline.unwrap();
    assert_eq!((deadline.deadline, deadline.margin), (seconds(28), seconds(2)));
    assert_eq!(settings.stop_signals, parse(&["TERM", "INT"]));
    assert_eq!(settings.map.len(), 2);
    assert_eq!(settings.stray_grace.to_string(), "TERM 10s, INT 5s, KILL");
    let names: Vec<_> = settings.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["web", "migrate", "api"], "in the order of the file");
    assert_eq!(settings.order.start_order(), [1, 2, 0].map(ServiceId::new));
    let [web, migrate, api] = &settings.services[..] else { panic!("{names:?}") };
    assert_eq!((web.kind, web.essential, web.signal_target), (Kind::Service, true, Target::Group));
    assert_eq!((web.grace.to_string().as_str(), web.forward), ("TERM 10s, INT 5s, KILL", SignalSet::EMPTY));
    assert_eq!((&web.success.statuses[..], web.success.signals), (&[3][..], parse(&["HUP"])));
    assert_eq!((migrate.kind, migrate.essential, migrate.signal_target), (Kind::Task, false, Target::Leader));
    assert_eq!(
        (migrate.grace.to_string().as_str(), migrate.drain),
        ("INT@all 1s, KILL", Duration::from_millis(500))
    );
    assert_eq!((&migrate.success.statuses[..], migrate.success.signals), (&[4][..], parse(&["USR1"])));
    assert_eq!(migrate.forward, parse(&["HUP", "USR1"]));
    assert_eq!((&api.success.statuses[..], api.forward), (&[5][..], SignalSet::all()));
    let [web, migrate, api] = &config.processes[..] else { panic!("{names:?}") };
    assert_eq!((web.directory.as_deref(), web.parent_death), (Some(Path::new("/srv")), None));
    assert_eq!(migrate.command, ["myproject", "migrate", "two words"]);
    assert!(migrate.directory.as_ref().is_some_and(|path| path.is_absolute() && path.ends_with("sub")));
    assert_eq!((migrate.parent_death, api.parent_death), (Some(Signal::TERM), None));
}

#[test]
fn every_setting_of_a_process_reaches_its_place() {
    let config = from_file(
        r#"
        [service.a]
        command = "a"
        user = "api"
        group = 1002
        supplementary-groups = ["video", 44]
        umask = "027"
        nice = -5
        oom-score-adjust = -1000
        limits = { nofile = "1024:4096", core = 0, stack = "8M:unlimited", cpu = "1m", nproc = "unlimited" }
        clear-environment = true
        no-new-privileges = true
        parent-death = "KILL"

        [service.b]
        command = "b"
        "#,
    );
    let [a, b] = &config.processes[..] else { panic!("{config:?}") };
    assert_eq!((a.user.as_deref(), a.group.as_deref()), (Some("api"), Some("1002")));
    assert_eq!(a.supplementary_groups, ["video", "44"]);
    assert_eq!((a.umask, a.nice, a.oom_score_adjust), (Some(0o027), Some(-5), Some(-1000)));
    let none = nix::sys::resource::RLIM_INFINITY;
    assert_eq!(
        limits(a),
        [
            ("nofile", 1024, 4096),
            ("core", 0, 0),
            ("stack", 8 << 20, none),
            ("cpu", 60, 60),
            ("nproc", none, none)
        ]
    );
    assert_eq!(a.limits[0].resource, nix::sys::resource::Resource::RLIMIT_NOFILE);
    assert_eq!((a.no_new_privileges, a.parent_death), (true, Some(Signal::KILL)));
    let nothing = ProcessSettings {
        command: b.command.clone(),
        directory: None,
        shared_environment: b.shared_environment.clone(),
        own_environment: b.own_environment.clone(),
        parent_death: None,
        user: None,
        group: None,
        supplementary_groups: Vec::new(),
        login_variables: Vec::new(),
        umask: None,
        nice: None,
        oom_score_adjust: None,
        limits: Vec::new(),
        no_new_privileges: false,
        notify: false,
        sockets: Vec::new(),
        is_told_deadline: b.is_told_deadline,
        ready_probe: None,
        ready_descriptor: None,
        health_probe: None,
        output: None,
        hooks: HookCommands::default(),
    };
    assert_eq!(*b, nothing, "what nobody said stays as it is");
}

fn limits(process: &ProcessSettings) -> Vec<(&'static str, u64, u64)> {
    process.limits.iter().map(|limit| (limit.name, limit.soft, limit.hard)).collect()
}

#[test]
fn what_is_said_at_the_top_is_for_every_service_that_does_not_say_it_itself() {
    let content = r#"
        user = "app"
        group = "staff"
        supplementary-groups = "log"
        umask = 0o077
        nice = 3
        oom-score-adjust = 7
        limits = { core = 0, nofile = 100 }
        no-new-privileges = true
        parent-death = "TERM"
        cleanup.command = "tidy-up"
        [service.as-all]
        command = "a"
        [service.own]
        command = "b"
        user = "db"
        umask = "000"
        nice = 0
        oom-score-adjust = 0
        limits = { nofile = 5, nproc = 6 }
        no-new-privileges = false
        parent-death = "none"
        [service.groups]
        command = "c"
        group = "cdrom"
        supplementary-groups = []
        "#;
    let world = World::new().with_file("demo.toml", content);
    let who = |process: &ProcessSettings| {
        let [user, group] = [&process.user, &process.group].map(|name| name.clone().unwrap_or_default());
        format!("{user}:{group} {}", process.supplementary_groups.join(","))
    };
    let config = world.settle(&FILE);
    let [as_all, own, groups] = &config.processes[..] else { panic!("{config:?}") };
    // The groups at the top are those of the user at the top.
    assert_eq!([as_all, own, groups].map(who), ["app:staff log", "db: ", "app:cdrom "]);
    assert_eq!(config.cleanup.as_ref().map(who).as_deref(), Some("app:staff log"));
    assert_eq!((as_all.umask, as_all.nice, as_all.oom_score_adjust), (Some(0o077), Some(3), Some(7)));
    assert_eq!((own.umask, own.nice, own.oom_score_adjust), (Some(0), Some(0), Some(0)));
    assert_eq!(limits(as_all), [("core", 0, 0), ("nofile", 100, 100)]);
    assert_eq!(limits(own), [("nofile", 5, 5), ("nproc", 6, 6), ("core", 0, 0)]);
    assert_eq!((as_all.no_new_privileges, own.no_new_privileges), (true, false));
    assert_eq!((as_all.parent_death, own.parent_death), (Some(Signal::TERM), None));
    // An option is said of all, as at the top; the groups there were of the user there.
    let config = world.settle(&["run", "--config", "demo.toml", "--user", "me"]);
    let [as_all, own, groups] = &config.processes[..] else { panic!("{config:?}") };
    assert_eq!([as_all, own, groups].map(who), ["me: ", "db: ", "me:cdrom "]);
}

#[test]
fn a_user_gives_its_variables_unless_they_are_configured() {
    let config = World::new()
        .with("HOME", "/inherited")
        .with_file("all.env", "SHELL=/bin/configured\n")
        .with_file(
            "demo.toml",
            "env-file = 'all.env'\nenvironment.USER = 'configured'\n[service.a]\ncommand = 'a'\nuser = 'x'\n\
             environment.HOME = '/own'\n[service.b]\ncommand = 'b'\nuser = 'x'\n[service.c]\ncommand = 'c'\n",
        )
        .settle(&FILE);
    let [a, b, c] = &config.processes[..] else { panic!("{config:?}") };
    assert_eq!(a.login_variables, ["LOGNAME"]);
    assert_eq!(b.login_variables, ["HOME", "LOGNAME"]);
    assert_eq!(c.login_variables, [""; 0]);
}

#[test]
fn a_cleared_environment_keeps_what_is_configured() {
    let config = World::new()
        .with("A", "inherited")
        .with("B", "inherited")
        .with_file("all.env", "B=of all\n")
        .with_file("own.env", "D=own\n")
        .with_file(
            "demo.toml",
            "env-file = 'all.env'\nenvironment.C = 'of all'\nclear-environment = true\n[service.a]\ncommand = 'a'\n\
             env-file = 'own.env'\ngrace = 'TERM 1s'\n[service.b]\ncommand = 'b'\nclear-environment = false\n",
        )
        .settle(&FILE);
    let names = |process: &ProcessSettings| {
        let environment = process.environment();
        environment.iter().map(|(name, _)| name.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&config.processes[0]), "B C D CURFEW_DEADLINE");
    assert_eq!(names(&config.processes[1]), "A B C CURFEW_DEADLINE");
    assert_eq!(variable(&config.processes[0], "B"), Some("of all"));
}

#[test]
fn every_wrong_setting_of_a_process_is_told() {
    let errors = errors_of(
        r#"user = ""
umask = 22
nice = 20
limits = "many"
[service.a]
command = "a"
user = "api:web"
group = -1
supplementary-groups = ["a,b", 4294967295, true]
umask = "0o27"
nice = "high"
oom-score-adjust = 1001
limits = { LimitNOFILE = 5, fds = 1, cpu = 10, core = "1X", nproc = -1, nofile = "9:8", stack = true }
clear-environment = "yes"
no-new-privileges = 1
supplementary-group = "x"
"#,
    );
    assert_eq!(
        errors,
        [
            "demo.toml:1:9: user: the name is empty; write a name or a number\n  \n  ^",
            "demo.toml:2:9: umask: it is not clear that 22 is octal; write \"022\"",
            "demo.toml:3:8: nice: 20 is out of bounds; write -20 to 19",
            "demo.toml:4:10: limits: expected a table such as { nofile = \"1024:4096\", core = 0 }, found the string \"many\"; \
             write a table such as { nofile = \"1024:4096\", core = 0 }",
            "demo.toml:7:12: service.a.user: a name cannot contain ':'; write one name or number\n  api:web\n     ^",
            "demo.toml:8:9: service.a.group: -1 is out of bounds; write 0 to 4294967294",
            "demo.toml:9:27: service.a.supplementary-groups: a name cannot contain ','; write one name or number\n  a,b\n   ^",
            "demo.toml:9:32: service.a.supplementary-groups: 4294967295 is out of bounds; write 0 to 4294967294",
            "demo.toml:9:44: service.a.supplementary-groups: expected a name or a number, found the boolean true; \
             write a name or a number",
            "demo.toml:10:10: service.a.umask: `0o27` is no umask; write 000 to 777, in octal digits\n  0o27\n  ^^^^",
            "demo.toml:11:8: service.a.nice: expected a number from -20 to 19, found the string \"high\"; \
             write a number from -20 to 19",
            "demo.toml:12:20: service.a.oom-score-adjust: 1001 is out of bounds; write -1000 to 1000",
            "demo.toml:13:12: service.a.limits.LimitNOFILE: unknown resource; did you mean `nofile`?",
            "demo.toml:13:29: service.a.limits.fds: unknown resource; write one of as, core, cpu, data, fsize, locks, memlock, \
             msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack",
            "demo.toml:13:44: service.a.limits.cpu: expected a duration such as \"10s\" or \"10s:20s\", or \"unlimited\", found the \
             integer 10; write \"10s\"",
            "demo.toml:13:56: service.a.limits.core: `1X` is no limit; write a number of bytes, such as `8M`, or \
             `unlimited`\n  1X\n  ^^",
            "demo.toml:13:69: service.a.limits.nproc: -1 is out of bounds; write 0 to 9223372036854775807",
            "demo.toml:13:83: service.a.limits.nofile: the soft limit is above the hard one; write SOFT:HARD\n  9:8\n  ^^^",
            "demo.toml:13:97: service.a.limits.stack: expected a limit in bytes such as 0, \"8M\", \"8M:64M\" or \"unlimited\", found \
             the boolean true; write a limit in bytes such as 0, \"8M\", \"8M:64M\" or \"unlimited\"",
            "demo.toml:14:21: service.a.clear-environment: expected true or false, found the string \"yes\"; write true or false",
            "demo.toml:15:21: service.a.no-new-privileges: expected true or false, found the integer 1; write true or false",
            "demo.toml:16:1: service.a.supplementary-group: unknown key; did you mean `supplementary-groups`?",
        ]
    );
}

#[test]
fn the_name_of_the_system_is_that_of_the_file() {
    let world = World::new().with_file("My Demo.v2.toml", "[service.a]\ncommand = 'a'");
    assert_eq!(world.settle(&["run", "--config", "My Demo.v2.toml"]).name, "my-demo-v2");
}

#[test]
fn options_for_all_services_beat_what_the_services_say() {
    let content = "grace = 'TERM 1s'\n[service.a]\ncommand = 'a'\ngrace = 'TERM 2s'\nsuccess = 1\n\
                   signal-target = 'group'\nforward = 'HUP'\n[service.b]\ncommand = 'b'";
    let world = World::new().with_file("demo.toml", content);
    let of_all = ["--grace", "TERM 9s", "--success", "2", "--signal-target", "all", "--forward", "none"];
    let arguments: Vec<&str> = FILE.into_iter().chain(of_all).collect();
    let config = world.settle(&arguments);
    let graces: Vec<_> = config.settings.services.iter().map(|service| service.grace.to_string()).collect();
    assert_eq!(
        graces,
        ["TERM 2s, KILL", "TERM 9s, KILL"],
        "a schedule of its own is changed by NAME=SCHEDULE only"
    );
    for service in &config.settings.services {
        assert_eq!((&service.success.statuses[..], service.signal_target), (&[2][..], Target::All));
        assert_eq!(service.forward, SignalSet::EMPTY);
    }
}

// Errors of files.

#[test]
fn every_error_of_a_file_is_told_at_once_in_the_order_of_its_lines() {
    let world = World::new()
        .with_file("bad.env", "A=1\n\nB: x y\nC=\"a\nb\"\nD=pa$word\nE=\"unclosed\nF=1\n")
        .with_file(
            "demo.toml",
            r#"name = "Demo"
grace = "TERM 10x, KILL"
deadline = 0
margin = "5"
logg = "json"
[service.api]
comand = "api"
after = ["dashbord", 1]
drain = 10
essential = "yes"
gracee = "TERM"
deadline = "5s"
[service.dashboard]
command = "dash && x $Y"
after = ["dashboard"]
env-file = ["no.env", "bad.env"]
environment = { A = 1, "B=" = "x" }
type = "tsk"
success = [3, 256, "TERN", "TERM"]
directory = ""
[service.a]
command = ["a", 3, true]
after = ["b"]
forward = ["USR1", "KILL"]
[service.b]
command = []
after = ["c"]
[service.c]
command = "c"
after = ["a", "e"]
signal-target = "gruop"
[service.e]
command = "e"
after = ["c"]
parent-death = "TRM"
[service."My App"]
command = "x"
[servic]
x = 1
[worker]
command = "w"
"#,
        );
    let name_rule = "use a to z, 0 to 9, `-` and `_`, at most 63 characters, no `-` or `_` first";
    assert_eq!(
        world.config_errors(&FILE),
        [
            &format!("demo.toml:1:9: name: `Demo` is no valid name; {name_rule}: `demo`\n  Demo\n  ^^^^"),
            "demo.toml:2:15: grace: unknown unit `x`; write `10s`; the units are ms, s, m, h, d\n  TERM 10x, KILL\n       ^^^",
            "demo.toml:3:12: deadline: the deadline is zero; write `none` if there is no deadline, or how long the platform \
         waits, such as `30s`",
            "demo.toml:4:11: margin: `5` has no unit; write `5s`\n  5\n  ^",
            "demo.toml:5:1: logg: unknown key; did you mean `log`?",
            "demo.toml:6:10: service.api: there is no command; add command = [\"api\"]",
            "demo.toml:7:1: service.api.comand: unknown key; did you mean `command`?",
            "demo.toml:8:10: service.api.after: there is no service `dashbord`; did you mean `dashboard`?",
            "demo.toml:8:22: service.api.after: expected a list of names such as [\"api\"], found the integer 1; \
         write a list of names such as [\"api\"]",
            "demo.toml:9:9: service.api.drain: expected a duration such as \"10s\", found the integer 10; write \"10s\"",
            "demo.toml:10:13: service.api.essential: expected true or false, found the string \"yes\"; write true or false",
            "demo.toml:11:1: service.api.gracee: unknown key; did you mean `grace`?",
            "demo.toml:12:1: service.api.deadline: unknown key; `deadline` belongs at the top of the file",
            "demo.toml:14:17: service.dashboard.command: `&&` means something to a shell only, and there is none; quote it \
         if it is meant literally, or write command = [\"sh\", \"-c\", \"exec …\"]\n  dash && x $Y\n       ^^",
            "demo.toml:15:10: service.dashboard.after: `dashboard` comes after itself; remove it from `after`",
            "demo.toml:16:13: service.dashboard.env-file: no.env: there is no such file; check the path; it is looked up \
         from where curfew was started",
            "demo.toml:17:21: service.dashboard.environment.A: expected a string, found the integer 1; write \"1\"",
            "demo.toml:17:24: service.dashboard.environment.\"B=\": the name of a variable cannot be empty or contain `=`; \
         rename it",
            "demo.toml:18:9: service.dashboard.type: unknown value `tsk`; did you mean `task`?\n  tsk\n  ^^^",
            "demo.toml:19:15: service.dashboard.success: `256` is no exit status; write 0 to 255, or the name of a signal",
            "demo.toml:19:21: service.dashboard.success: unknown signal `TERN`; did you mean `TERM`?\n  TERN\n  ^^^^",
            "demo.toml:20:13: service.dashboard.directory: the path is empty; name a file or directory, or remove the key",
            "demo.toml:22:17: service.a.command: expected a string, found the integer 3; write \"3\"",
            "demo.toml:22:20: service.a.command: expected a string, found the boolean true; write \"true\"",
            "demo.toml:23:10: service.a.after: these services wait for each other: a → b → c → a; remove one of them from \
         the other's `after`",
            "demo.toml:24:21: service.a.forward: KILL can be caught by no process, so curfew never sees it; leave it \
         out\n  KILL\n  ^^^^",
            "demo.toml:26:11: service.b.command: the command is empty; name a program",
            "demo.toml:30:15: service.c.after: these services wait for each other: c → e → c; remove one of them from the \
         other's `after`",
            "demo.toml:31:18: service.c.signal-target: unknown value `gruop`; did you mean `group`?\n  gruop\n  ^^^^^",
            "demo.toml:35:17: service.e.parent-death: unknown signal `TRM`; did you mean `TERM`?\n  TRM\n  ^^^",
            &format!("demo.toml:36:10: service.\"My App\": `My App` is no valid name; {name_rule}: `my-app`"),
            "demo.toml:38:2: servic: unknown key; did you mean `service`?",
            "demo.toml:40:2: worker: unknown key; if it is a service, write [service.worker]",
            "bad.env:3:1: there is no `=` behind B; write NAME=value",
            "bad.env:6:5: word is not set; set it above, write ${NAME:-} if it may be missing, or `\\$` for a dollar sign",
            "bad.env:7:3: the quote \" is not closed; close it where the value ends",
        ]
    );
}

#[test]
fn what_other_tools_call_it_is_understood() {
    let grace = "unknown key; write `grace`, such as \"INT 10s, KILL\"";
    assert_eq!(
        errors_of(
            "[service.a]\ncommand = 'a'\ndepends_on = ['b']\nbefore = ['b']\nstop_grace = '5s'\nstopsignal = 'INT'\n\
             WorkingDirectory = '/'\nafterr = ['b']"
        ),
        [
            "demo.toml:3:1: service.a.depends_on: unknown key; write `after`",
            "demo.toml:4:1: service.a.before: unknown key; write `after` in the other service, with the name of this one",
            &format!("demo.toml:5:1: service.a.stop_grace: {grace}"),
            &format!("demo.toml:6:1: service.a.stopsignal: {grace}"),
            "demo.toml:7:1: service.a.WorkingDirectory: unknown key; write `directory`",
            "demo.toml:8:1: service.a.afterr: unknown key; did you mean `after`?",
        ]
    );
}

#[test]
fn what_asks_for_a_stop_is_not_passed_on() {
    let words = |signal| {
        format!(
            "{signal} asks curfew itself to stop, and is not passed on; leave it out: `grace` says what a stop sends, \
             `stop-signals` what asks for it"
        )
    };
    let file = |stops, forward| format!("{stops}\n[service.a]\ncommand = 'a'\nforward = {forward}");
    let told = |signal| [format!("demo.toml:4:11: service.a.forward: {}", words(signal))];
    assert_eq!(errors_of(&file("", "['USR1', 'TERM']")), told("TERM"));
    assert_eq!(errors_of(&file("stop-signals = 'USR1'", "'USR1,TERM'")), told("USR1"));
    from_file(&file("stop-signals = 'USR1'", "'TERM'"));
    assert_eq!(errors_of(&file("stop-signals = 'USR1'", "'QUIT'")), told("QUIT"));
    from_file(&file("", "'all'"));
    let usage = World::new().usage(&["run", "--forward", "INT", "--", "a"]);
    assert_eq!(usage, [format!("--forward: {}", words("INT"))]);
}

#[test]
fn a_procfile_is_told_from_toml() {
    let error = "this looks like a Procfile, and not like TOML; say --procfile demo.toml";
    assert_eq!(errors_of("# x\n\nweb: rails server\nworker: x $A"), [format!("demo.toml:3:1: {error}")]);
    // As YAML is.
    assert_ne!(errors_of("name: web\nservices:\n  web:\n")[0], format!("demo.toml:1:1: {error}"));
    let world = World::new()
        .with_file("demo.toml", "\n[service.web]\ncommand = 'a: b'")
        .with_file("b", "a b = 1")
        .with_file("c", "a.b = 1");
    let errors = |file| world.config_errors(&["run", "--procfile", file]);
    assert_eq!(
        errors("demo.toml"),
        ["demo.toml:2:1: this looks like TOML, and not like a Procfile; say --config demo.toml"]
    );
    assert!(errors("c")[0].starts_with("c:1:1: this looks like TOML"));
    assert_eq!(
        errors("b"),
        ["b:1:1: there is no `:` after a name; write `web: command`, or `#` before a comment"]
    );
}

#[test]
fn several_syntax_errors_are_told_with_what_else_is_wrong() {
    let errors = errors_of(
        "name = \"x\ngrace = TERM 10s\ndrian = 1\n[service.a]\ncommand = \"a\"\ncommand = \"b\"\nafter = [\"zz\"]\n\
         [service.a]\n[service.b\ndrain = 5\n",
    );
    let shortened = |error: &String| match error.split_once("write one of name, grace, deadline, ") {
        Some((start, _)) => format!("{start}write one of …"),
        None => error.clone(),
    };
    let errors: Vec<String> = errors.iter().map(shortened).collect();
    assert_eq!(
        errors,
        [
            "demo.toml:1:10: invalid basic string; expected `\"`",
            "demo.toml:2:9: string values must be quoted; write \"TERM 10s\"",
            "demo.toml:3:1: drian: unknown key; write one of …",
            "demo.toml:6:1: duplicate key `command`; each key may stand there once; remove one of them",
            "demo.toml:8:10: duplicate key `a`; each key may stand there once; remove one of them",
            "demo.toml:9:11: unclosed table; expected `]`",
        ]
    );
}

#[test]
fn what_is_not_closed_is_one_error_and_not_one_for_every_line_after_it() {
    let rest = "\n[service.b]\ncommand = 'b'\nafter = ['a']\ndrain = 5\nenvironment = { A = 'x' }\n";
    let array = errors_of(&format!("logg = 1\n[service.a]\ncommand = ['a', 'b'{rest}"));
    assert_eq!(
        array,
        [
            "demo.toml:1:1: logg: unknown key; did you mean `log`?",
            "demo.toml:4:1: an array before this place is not closed; add `]`",
        ]
    );
    let table = errors_of(&format!("[service.a]\ncommand = 'a'\nenvironment = {{ A = '1'{rest}"));
    assert_eq!(table, ["demo.toml:4:1: an inline table before this place is not closed; add `}`"]);
    let string = errors_of(&format!("[service.a]\ncommand = \"\"\"a{rest}"));
    assert_eq!(string.len(), 1, "{string:?}");
}

#[test]
fn a_mistake_is_found_in_every_kind_of_string() {
    let errors = errors_of(
        "\u{feff}grace = 'TERM 10x'\r\n[service.a] # größe\r\n\"command\" = 'a'\r\ngrace = \"\"\"\\\n  TERM 1x\"\"\"\r\n\
         'drain' = \"\\u0031x\"\n",
    );
    let units = "the units are ms, s, m, h, d";
    assert_eq!(
        errors,
        [
            format!("demo.toml:1:15: grace: unknown unit `x`; write `10s`; {units}\n  TERM 10x\n       ^^^"),
            format!(
                "demo.toml:4:9: service.a.grace: unknown unit `x`; write `1s`; {units}\n  TERM 1x\n       ^^"
            ),
            format!("demo.toml:6:11: service.a.drain: unknown unit `x`; write `1s`; {units}\n  1x\n  ^^"),
        ]
    );
}

#[test]
fn a_key_that_is_no_table_or_no_value_is_told() {
    assert_eq!(
        errors_of("service = 5"),
        [
            "demo.toml:1:11: service: expected tables such as [service.api], found the integer 5; write tables such as \
         [service.api]",
        ]
    );
    assert_eq!(
        errors_of("[[service]]\ncommand = 'a'"),
        [
            "demo.toml:1:1: service: expected tables such as [service.api], found an array; write tables such as \
         [service.api]",
        ]
    );
    assert_eq!(
        errors_of("service.a = 'x'\nlog = {}\nstop-signals = 15\ncommand = 'y'"),
        [
            "demo.toml:1:13: service.a: expected a table such as [service.api], found the string \"x\"; write a table such \
         as [service.api]",
            "demo.toml:2:7: log: expected one of \"auto\", \"human\", \"json\", \"journal\", found a table; write \
         one of \"auto\", \"human\", \"json\", \"journal\"",
            "demo.toml:3:16: stop-signals: expected a list of signals such as [\"TERM\", \"INT\"], found the integer 15; \
         write a list of signals such as [\"TERM\", \"INT\"]",
            "demo.toml:4:1: command: unknown key; `command` belongs under [service.NAME]",
        ]
    );
}

#[test]
fn a_nul_character_is_found_before_it_reaches_the_system() {
    let errors = errors_of(
        "[service.a]\ncommand = [\"a\\u0000\"]\nenvironment = { A = \"\\u0000\" }\ndirectory = \"\\u0000\"",
    );
    let problem = "the text contains a NUL character; remove it";
    assert_eq!(
        errors,
        [
            format!("demo.toml:2:12: service.a.command: {problem}"),
            format!("demo.toml:3:21: service.a.environment.A: {problem}"),
            format!("demo.toml:4:13: service.a.directory: {problem}"),
        ]
    );
}

#[test]
fn a_file_without_a_service_is_an_error() {
    for content in ["", "# nothing\n", "name = 'x'\n", "[service]\n"] {
        assert_eq!(errors_of(content), ["demo.toml: there is no service; add [service.NAME] with a command"]);
    }
    assert_eq!(
        errors_of("logg = 1"),
        [
            "demo.toml: there is no service; add [service.NAME] with a command",
            "demo.toml:1:1: logg: unknown key; did you mean `log`?",
        ]
    );
    assert_eq!(
        errors_of("[services.api]\ncommand = 'x'"),
        ["demo.toml:1:2: services: unknown key; did you mean `service`?",]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let world = World::new().with_file("demo.toml", b"a = 1\nb = '\xc3\xa4\xff'\n");
    assert_eq!(
        world.config_errors(&FILE),
        ["demo.toml:2:7: the text is not UTF-8 from here on; save the file as UTF-8"]
    );
    let of = |file: &str| world.config_errors(&["run", "--config", file]);
    assert_eq!(of("."), [".: this is a directory; name the file in it"]);
    let lookup = "check the path; it is looked up from where curfew was started";
    assert_eq!(of("gone.toml"), [format!("gone.toml: there is no such file; {lookup}")]);
    assert_eq!(of("demo.toml/x"), ["demo.toml/x: a part of the path is no directory; check the path"]);
    let endless = "/dev/zero: longer than 16 MiB: this is no configuration; check /dev/zero";
    assert_eq!(of("/dev/zero"), [endless]);
    assert_eq!(world.config_errors(&["--env-file", "/dev/zero", "--", "ls"]), [endless]);
    let missing = world.config_errors(&["--env-file", "gone.env", "--", "ls"]);
    assert_eq!(missing, [format!("gone.env: there is no such file; {lookup}")]);
}

#[test]
fn errors_of_configuration_begin_with_their_file_each_on_a_line() {
    let world = World::new().with_file("demo.toml", "logg = 1\n[service.a]\ncommand = 'a'");
    let error = world.try_settle(&FILE).map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        error,
        "there is an error in the configuration, so nothing was started:\n\
         demo.toml:1:1: logg: unknown key; did you mean `log`?"
    );
}

#[test]
fn a_thousand_services_in_a_chain_are_ordinary() {
    use std::fmt::Write;
    let mut content = String::new();
    for index in (0..1000).rev() {
        let _ = write!(content, "[service.s{index}]\ncommand = 's'\nenv-file = 'all.env'\n");
        if index > 0 {
            let _ = writeln!(content, "after = ['s{}']", index - 1);
        }
    }
    let world = World::new().with_file("demo.toml", &content).with_file("all.env", "A=1");
    let config = world.settle(&FILE);
    assert_eq!(config.processes.len(), 1000);
    assert_eq!(config.settings.order.start_order()[0], ServiceId::new(999));
    assert_eq!(variable(&config.processes[500], "A"), Some("1"));
}

#[test]
fn a_command_that_a_schedule_runs_is_described_in_the_same_file() {
    let sound =
        "grace = \"TERM 1s, run:dump 2s\"\nrun.dump.command = \"gdump -v\"\nservice.a.command = \"a\"";
    let config = from_file(sound);
    assert_eq!(config.commands["dump"], ["gdump", "-v"].map(OsString::from));
    assert_eq!(config.settings.services[0].grace.to_string(), "TERM 1s, run:dump 2s, KILL");
    let errors = errors_of(
        "[run.dump]\ncommand = \"gdump\"\n[run.other]\n[service.a]\ncommand = \"a\"\ngrace = \"run:dmp 2s\"\n\
         [service.b]\ncommand = \"b\"\ngrace = \"run:dump\"\n[service.c]\ncommand = \"c\"\ngrace = \"run:dump@all 1s\"",
    );
    let first_lines: Vec<&str> = errors.iter().filter_map(|error| error.lines().next()).collect();
    assert_eq!(
        first_lines,
        [
            "demo.toml:3:6: run.other: there is no command; add command = [\"gdump\", \"...\"]",
            "demo.toml:6:9: service.a.grace: there is no [run.dmp]; did you mean `run:dump`?",
            "demo.toml:9:10: service.b.grace: `run:dump` has no wait, and a command alone ends no service; write `run:dump 5s`",
            "demo.toml:12:18: service.c.grace: a command takes no target; write `run:dump`",
        ]
    );
}

#[test]
fn a_socket_that_is_asked_for_must_be_among_those_that_were_passed() {
    let text = "service.a = { command = 'a', sockets = ['http'] }\nservice.b = { command = 'b', sockets = ['smtp'] }\n";
    let world = |names: Option<&str>| {
        let world = World::new().with_file("demo.toml", text);
        match names {
            Some(names) => world.with("LISTEN_FDNAMES", names),
            None => world,
        }
    };
    assert_eq!(
        world(Some("http.socket:admin")).config_errors(&FILE),
        ["demo.toml:2:41: service.b.sockets: there is no socket `smtp` among those that curfew was given; \
             it was given http.socket, admin"]
    );
    let config = world(None).settle(&FILE);
    assert_eq!(config.processes[1].sockets, ["smtp"]);
}

#[test]
fn what_tells_that_a_service_is_ready_or_well_is_read() {
    let config = from_file(
        "[service.a]\ncommand = 'a'\nready = { http = 'http://localhost:80/x', status = 204, timeout = '5s', every = '1s' }\n\
         health = { command = ['check', 'it'], every = '2s', timeout = '1s', failures = 7, start-period = '9s' }\n\
         [service.b]\ncommand = 'b'\nready = 'fd'\n[service.c]\ncommand = 'c'\nready = { tcp = 'unix:run/c.sock' }\n\
         [service.d]\ncommand = 'd'\nready = { file = 'd.ready' }\nhealth = { tcp = '[::1]:5432' }",
    );
    let [a, b, c, d] = &config.settings.services[..] else { panic!() };
    let seconds = Duration::from_secs;
    assert_eq!((a.ready.by, a.ready.timeout, a.ready.every), (ReadyBy::Probe, seconds(5), seconds(1)));
    let health = Health { every: seconds(2), timeout: seconds(1), failures: 7, start_period: seconds(9) };
    assert_eq!(a.health, Some(health));
    assert_eq!(
        (b.ready.by, c.ready.by, d.health),
        (ReadyBy::Descriptor, ReadyBy::Probe, Some(Health::default()))
    );
    let [a, b, c, d] = &config.processes[..] else { panic!() };
    assert_eq!(a.ready_probe.as_ref().unwrap().to_string(), "http://localhost:80/x");
    assert_eq!(a.health_probe, Some(ProbeTarget::Command(vec!["check".into(), "it".into()])));
    assert_eq!(b.ready_descriptor, Some(3));
    assert!(matches!(c.ready_probe.as_ref().unwrap(), ProbeTarget::Unix(path) if path.is_absolute()));
    assert!(matches!(d.ready_probe.as_ref().unwrap(), ProbeTarget::File(path) if path.ends_with("d.ready")));

    let errors = errors_of(
        "[service.a]\ncommand = 'a'\nready = { http = 'https://x' }\nhealth = { tcp = 'db:1' }\n\
         [service.b]\ncommand = 'b'\nready = {}\nhealth = { failures = 0, file = 'x' }\n\
         [service.c]\ncommand = 'c'\nready = { fd = 2 }\n[service.d]\ncommand = 'd'\nready = 'never'\n\
         health = { notify = true }\n[service.e]\ncommand = 'e'\nready = { file = 'x', notify = true }",
    );
    let problems: Vec<&str> = errors.iter().map(|error| error.split(';').next().unwrap()).collect();
    assert_eq!(
        problems,
        [
            "demo.toml:3:18: service.a.ready.http: probes speak no TLS",
            "demo.toml:4:18: service.a.health.tcp: the host is neither an IP address nor localhost",
            "demo.toml:7:1: service.b.ready: there is nothing to tell it by",
            "demo.toml:8:23: service.b.health.failures: no failure at all would make it unhealthy",
            "demo.toml:11:16: service.c.ready.fd: no service can be given this descriptor",
            "demo.toml:14:9: service.d.ready: unknown word `never`",
            "demo.toml:15:1: service.d.health: there is nothing to tell it by",
            "demo.toml:15:12: service.d.health.notify: unknown key",
            "demo.toml:18:1: service.e.ready: there is more than one way to tell it by",
        ]
    );
}

#[test]
fn output_is_a_word_or_a_file_and_a_services_own_goes_first() {
    let file = "output = { file = \"all.log\" }\n\
                service.a = { command = \"a\" }\n\
                service.b = { command = \"b\", output = \"null\" }\n";
    let world = World::new().with_file("x.toml", file);
    let outputs = |world: &World, arguments: &[&str]| {
        let config = world.settle(arguments);
        let outputs = config.processes.iter().map(|process| process.output.clone()).collect::<Vec<_>>();
        (outputs, config.settings.has_output_files)
    };
    let all = Some(OutputChoice::File(world.directory.join("all.log")));
    let null = Some(OutputChoice::Null);
    assert_eq!(outputs(&world, &["run", "--config", "x.toml"]), (vec![all, null.clone()], true));
    let option = ["run", "--config", "x.toml", "--output", "json"];
    assert_eq!(outputs(&world, &option), (vec![Some(OutputChoice::Json), null], false));
    let one = outputs(&World::new().with("CURFEW_OUTPUT", "file=/x/y.log"), &["--", "true"]);
    assert_eq!(one, (vec![Some(OutputChoice::File("/x/y.log".into()))], true));
    assert_eq!(outputs(&World::new(), &["--", "true"]), (vec![None], false));
}

#[test]
fn what_is_wrong_with_an_output_is_told_at_its_place() {
    let file = "output = \"./x.log\"\n\
                service.a = { command = \"a\", output = {} }\n\
                service.b = { command = \"b\", output = { fil = \"x\" } }\n\
                service.c = { command = \"c\", output = 3 }\n\
                service.d = { command = \"d\", output = { file = \"\" } }\n";
    let errors = World::new().with_file("x.toml", file).config_errors(&["run", "--config", "x.toml"]);
    let cures = [
        "for a file write { file = \"./x.log\" }",
        "write { file = \"api.log\" }",
        "did you mean `file`?",
        "write a word such as \"prefix\", or { file = \"api.log\" }",
        "name a file or directory, or remove the key",
    ];
    assert_eq!(errors.len(), cures.len(), "{errors:#?}");
    for (error, cure) in errors.iter().zip(cures) {
        assert!(error.contains(cure), "{error}");
    }
    let errors = World::new().usage(&["--output", "prefixed", "--", "true"]);
    assert!(errors[0].contains("did you mean `prefix`?"), "{errors:?}");
}

#[test]
fn what_says_nothing_of_this_way_to_tell_is_refused() {
    let errors = errors_of(
        "[service.a]\ncommand = 'a'\nready = { tcp = '[::1]:1', status = 204 }\nhealth = { http = 'http://[::1]', status = 100 }\n\
         [service.b]\ncommand = 'b'\nready = { fd = 4, every = '1s' }\nhealth = { tcp = 'unix:' }\n\
         [service.c]\ncommand = 'c'\nready = { notify = true, every = '1s', timeout = '1s' }\nhealth = { tcp = '::1:80' }\n\
         [service.d]\ncommand = 'd'\ntype = 'task'\nready = 'notify'\n\
         [service.e]\ncommand = 'e'\ntype = 'task'\nready = { file = 'x' }\nhealth = { file = 'x', status = 204 }\n\
         [service.f]\ncommand = 'f'\nready = 'http://127.0.0.1:80/'\nhealth = { http = 'http://me@[::1]' }\n\
         [service.g]\ncommand = 'g'\nready = { fd = 'x' }\nhealth = { http = 'http://[::1]', status = 'ok' }",
    );
    assert_eq!(
        errors,
        [
            "demo.toml:3:28: service.a.ready.status: only http is answered with a status; remove it",
            "demo.toml:4:44: service.a.health.status: no answer has this HTTP status; \
             write a number from 200 to 599, such as 204",
            "demo.toml:7:19: service.b.ready.every: the service says by itself when it is ready: \
             nothing is tried again and again; remove it; `timeout` is how long it may take",
            "demo.toml:8:18: service.b.health.tcp: the path is empty; write unix:/run/x.sock",
            "demo.toml:11:26: service.c.ready.every: the service says by itself when it is ready: \
             nothing is tried again and again; remove it; `timeout` is how long it may take",
            "demo.toml:12:18: service.c.health.tcp: the host is neither an IP address nor localhost; \
             write 127.0.0.1, [::1] or localhost: names are not looked up, since that could hold up a stop",
            "demo.toml:16:1: service.d.ready: a task is never ready, but done; \
             remove it: what comes after it waits for its success",
            "demo.toml:20:1: service.e.ready: a task is never ready, but done; \
             remove it: what comes after it waits for its success",
            "demo.toml:21:24: service.e.health.status: only http is answered with a status; remove it",
            "demo.toml:24:9: service.f.ready: unknown word `http://127.0.0.1:80/`; \
             write \"notify\", \"fd\", or { http = \"http://127.0.0.1:80/\" }",
            "demo.toml:25:19: service.f.health.http: a user has no place in it: no password is sent; \
             leave it out, or write command = [\"curl\", \"-fsS\", \"http://…\"]",
            "demo.toml:28:16: service.g.ready.fd: expected a number, found the string \"x\"; write a number",
            "demo.toml:29:44: service.g.health.status: expected a number, found the string \"ok\"; write a number",
        ]
    );
}

#[test]
fn the_descriptor_of_readiness_is_none_of_a_socket() {
    let text = "[service.a]\ncommand = 'a'\nsockets = ['http', 'admin']\nready = 'fd'\n\
                [service.b]\ncommand = 'b'\nsockets = ['http', 'admin']\nready = { fd = 5 }\n\
                [service.c]\ncommand = 'c'\nready = { fd = 3 }\n";
    let world = World::new().with_file("demo.toml", text);
    let problem = "demo.toml:4:1: service.a.ready: descriptor 3 is that of a socket: they begin at 3";
    assert_eq!(world.config_errors(&FILE), [format!("{problem}; write ready = {{ fd = 5 }}")]);
    // Two sockets of one name.
    let world = world.with("LISTEN_FDNAMES", "http:http:admin");
    let other = "demo.toml:8:1: service.b.ready: descriptor 5 is that of a socket: they begin at 3";
    assert_eq!(
        world.config_errors(&FILE),
        [format!("{problem}; write ready = {{ fd = 6 }}"), format!("{other}; write ready = {{ fd = 6 }}")]
    );
}
