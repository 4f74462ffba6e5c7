//! The command line as it was typed: nothing is checked here but that every option exists.

mod client;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::ValueHint;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{UsageError, Warning, parse_duration};
use crate::error::Error;
use crate::nearest::nearest;

use client::COMPLETE;
pub use client::ClientArguments;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "curfew", version, about = ABOUT, override_usage = USAGE, after_help = AFTER_HELP)]
#[command(max_term_width = 100, arg_required_else_help = false)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub task: Task,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Run one command or many services, and bring all of it down in time
    #[command(about = RUN_ABOUT, override_usage = RUN_USAGE, after_help = AFTER_HELP)]
    Run(Box<RunArguments>),
}

/// What was asked for.
#[derive(Debug)]
pub enum Request {
    /// To do something.
    Task(Task),
    /// To talk to a running curfew.
    Client(Box<ClientArguments>),
    /// To see the help or the version: `print` writes it to the standard output. The exit status is 0.
    Help(clap::Error),
}

/// The arguments of `curfew run`.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArguments {
    /// The options.
    #[command(flatten)]
    pub options: Options,
    /// The command and its arguments, after `--`
    #[arg(last = true, value_name = "COMMAND", help_heading = "What to run")]
    pub command: Vec<OsString>,
}

/// The options of `curfew run`. Each but `--service` is also a variable, see [`variable`].
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Run the services described in this file (TOML)
    ///
    /// Example: --config /etc/myproject.toml.
    /// Default: none; then --service or a COMMAND says what to run.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "What to run")]
    pub config: Option<PathBuf>,

    /// Run the services in this Procfile
    ///
    /// Lines are `web: command`. Commands go through /bin/sh; each service has a PORT (5000, 5100 …, or from the PORT of the
    /// environment or of .env on); the variables in .env are set.
    /// Example: --procfile Procfile.
    /// Default: none.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "What to run")]
    pub procfile: Option<PathBuf>,

    /// Run this service; may be repeated
    ///
    /// The command is split into words, without a shell.
    /// Example: --service api='myproject api --port 8000' --service dashboard='myproject dashboard'.
    /// Default: none.
    #[arg(long, value_name = "NAME=COMMAND", help_heading = "What to run")]
    pub service: Vec<String>,

    /// The name of the system, or of the one command
    ///
    /// Letters a to z, digits, `-` and `_`. It stands in the log and the report.
    /// Example: --name myproject.
    /// Default: the file's `name`, else the name of the file or of the command.
    #[arg(long, value_name = "NAME", help_heading = "What to run")]
    pub name: Option<String>,

    /// The command is a task: it is meant to end, so a stop interrupts it
    ///
    /// An interrupted task gives the exit status 128+n. For one command only; services have `type = "task"`.
    /// Example: curfew run --task -- myproject migrate.
    /// Default: a service, which runs until it is stopped.
    #[arg(long, help_heading = "What to run")]
    pub task: bool,

    /// Set the variables in this file for every service; may be repeated
    ///
    /// Lines are NAME=value, with `#`, quotes and $NAME as in any .env file. Instead of the file's `env-file`.
    /// Example: --env-file production.env.
    /// Default: none.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "What to run")]
    pub env_file: Vec<PathBuf>,

    /// Run in this directory
    ///
    /// A service's own `directory` goes first.
    /// Example: --directory /var/lib/myproject.
    /// Default: the directory curfew was started in.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "What to run")]
    pub directory: Option<PathBuf>,

    /// Run as this user, and in this group
    ///
    /// Names of /etc/passwd and /etc/group, or numbers. Without a group it is the user's own. A service's own `user` goes
    /// first. Only root can become another user.
    /// Example: --user nobody, --user 1000:1000.
    /// Default: the user that curfew is.
    #[arg(long, value_name = "USER[:GROUP]", value_hint = ValueHint::Username, help_heading = "What to run")]
    pub user: Option<String>,

    /// How to stop: signals and waits, ending in KILL; may be repeated for single services
    ///
    /// Stages are `SIGNAL@TARGET WAIT`, separated by commas; KILL is added if missing. The target (leader, group, all)
    /// may be left out, and so may the last wait: then that stage lasts as long as there is time. For services that
    /// have no schedule of their own, or, as NAME=SCHEDULE, for this service.
    /// Example: --grace 'TERM 15s, INT@group 5s, KILL' --grace api='QUIT 20s'.
    /// Default: TERM 8s, KILL; for one command the signal that curfew received, 8s, KILL.
    #[arg(long, value_name = "[NAME=]SCHEDULE", help_heading = "How to stop")]
    pub grace: Vec<String>,

    /// When the platform kills us: a duration from the first request to stop, `auto` or `none`
    ///
    /// Everything is down before it: waits shrink to fit.
    /// Under systemd a shorter `TimeoutStopSec` of the unit counts.
    /// Example: --deadline 30s.
    /// Default: auto: asked of systemd; as PID 1 10s is assumed, in a Kubernetes pod 30s, else none.
    #[arg(long, value_name = "DURATION", help_heading = "How to stop")]
    pub deadline: Option<String>,

    /// How much time to keep free before the deadline
    ///
    /// Must be shorter than the deadline.
    /// Example: --margin 2s.
    /// Default: 5 % of the deadline, at least 1s, at most a quarter of the deadline.
    #[arg(long, value_name = "DURATION", help_heading = "How to stop")]
    pub margin: Option<String>,

    /// Ask the platform for more time, if a start or a stop needs it
    ///
    /// Under systemd (`Type=notify`) a schedule that is longer than `TimeoutStopSec` then has its whole time, and a start
    /// is not cut off by `TimeoutStartSec`. The value is the longest that is asked for.
    /// Example: --extend=5m.
    /// Where no service manager hears us (Type=exec, a container) it does nothing.
    /// Default: not asked for; --extend alone: 10m.
    #[arg(long, value_name = "MAX", num_args = 0..=1, require_equals = true, default_missing_value = "10m",
          help_heading = "How to stop")]
    pub extend: Option<String>,

    /// Who gets a signal: `leader`, `group` or `all`
    ///
    /// The process that curfew started, its process group, or all that descends from it. For every service.
    /// Example: --signal-target group.
    /// Default: leader; KILL always goes to all.
    #[arg(long, value_name = "TARGET", help_heading = "How to stop")]
    pub signal_target: Option<String>,

    /// Keep each service in a cgroup of its own: `auto`, `off` or `require`
    ///
    /// By `auto` where a cgroup v2 was given to curfew: by `Delegate=yes` in the unit, to an ordinary user, or as that of a
    /// container. Nothing then slips away, and the report tells what each service used. `require` takes any that can be
    /// written, and starts nothing without. Otherwise processes are found by descent.
    /// Example: --cgroup require.
    /// Default: auto.
    #[arg(long, value_name = "WHEN", help_heading = "How to stop")]
    pub cgroup: Option<String>,

    /// Where `curfew status` and the like reach this run: the path of a socket, or `none`
    ///
    /// A path that cannot be had is an error, and nothing is started. In a file it is `control`.
    /// Example: --control /run/myproject/control.sock.
    /// Default: none for one command; for services control.sock in the first of $RUNTIME_DIRECTORY, else
    /// $XDG_RUNTIME_DIR/curfew/NAME.sock, else /run/curfew/NAME.sock, if it can be made there.
    #[arg(long, value_name = "PATH", help_heading = "What it says")]
    pub control: Option<String>,

    /// The signals that ask curfew to stop
    ///
    /// Example: --stop-signals TERM,INT,QUIT.
    /// Default: TERM,INT,PWR,RTMIN+3.
    #[arg(long, value_name = "LIST", help_heading = "Signals")]
    pub stop_signals: Option<String>,

    /// The signals that are passed on: a list, `all` or `none`
    ///
    /// For every service. A signal that asks curfew to stop is not passed on, it begins the stop.
    /// Example: --forward USR1,USR2.
    /// Default: all for one command; for services what their `forward` says, else none.
    #[arg(long, value_name = "LIST", help_heading = "Signals")]
    pub forward: Option<String>,

    /// Send another signal than the one received, or `none`; may be repeated
    ///
    /// It changes what is sent, never whether curfew stops.
    /// Example: --map TERM=QUIT,HUP=none.
    /// Default: every signal as it is.
    #[arg(long, value_name = "FROM=TO", value_delimiter = ',', help_heading = "Signals")]
    pub map: Vec<String>,

    /// Where services' output leads: `inherit`, `prefix`, `json`, `journal`, `null` or `file=PATH`
    ///
    /// `prefix` puts the service's name before each line, `json` makes an object of each. Files are reopened on USR1.
    /// A service's own `output` goes first.
    /// Example: --output json.
    /// Default: for services prefix at a terminal, journal where curfew's own output leads to it; else inherit: untouched.
    #[arg(long, value_name = "WHERE", help_heading = "What it says")]
    pub output: Option<String>,

    /// Where to write the report of the stop (JSON)
    ///
    /// Example: --report /var/lib/myproject/stop.json.
    /// Default: no report.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, help_heading = "What it says")]
    pub report: Option<PathBuf>,

    /// How to log: `auto`, `human`, `json` or `journal`
    ///
    /// Example: --log json.
    /// Default: auto: entries of the journal where curfew's own output leads to it, else lines for people.
    #[arg(long, value_name = "FORMAT", help_heading = "What it says")]
    pub log: Option<String>,

    /// How much to log: `error`, `warn`, `info` or `debug`
    ///
    /// Example: --log-level debug.
    /// Default: info.
    #[arg(long, value_name = "LEVEL", help_heading = "What it says")]
    pub log_level: Option<String>,

    /// Where the exit status comes from: `verdict` or `mirror`
    ///
    /// By `verdict` a clean stop is 0; `mirror` gives the command's own status whatever happened, as tini does (143 after
    /// TERM). For one command only.
    /// Example: --exit-status mirror.
    /// Default: verdict.
    #[arg(long, value_name = "POLICY", help_heading = "What it says")]
    pub exit_status: Option<String>,

    /// More ends that count as success: exit statuses and signals
    ///
    /// For every service.
    /// Example: --success 3,143,TERM.
    /// Default: exit status 0, and in a stop the death by a stop signal.
    #[arg(long, value_name = "CODES", help_heading = "What it says")]
    pub success: Option<String>,
}

/// Options as they are given by variables.
#[derive(Debug, Default)]
pub struct EnvironmentOptions {
    /// The options.
    pub options: Options,
    /// The variables that were read: services do not get them.
    pub consumed: HashSet<OsString>,
    /// Variables that look as if they were meant for curfew.
    pub warnings: Vec<Warning>,
    /// Values that are no text, or no boolean. All others are checked together with those of the command line.
    pub errors: Vec<UsageError>,
}

const ABOUT: &str = "\
curfew runs one command, or the services of one system, and brings every process of it down
before the platform above (systemd, Docker, Kubernetes) would use SIGKILL.";

const RUN_ABOUT: &str = "\
Run one command, or the services of one system, and bring every process of it down
before the platform above (systemd, Docker, Kubernetes) would use SIGKILL.";

const USAGE: &str = "\
curfew [run] [OPTIONS] -- COMMAND [ARG]...
       curfew [run] [OPTIONS] --config FILE
       curfew [run] [OPTIONS] --procfile FILE
       curfew [run] [OPTIONS] --service NAME=COMMAND [--service NAME=COMMAND]...
       curfew status | watch | stop | start | restart | signal | reload | reopen";

const RUN_USAGE: &str = "\
curfew run [OPTIONS] -- COMMAND [ARG]...
       curfew run [OPTIONS] --config FILE
       curfew run [OPTIONS] --procfile FILE
       curfew run [OPTIONS] --service NAME=COMMAND [--service NAME=COMMAND]...";

const AFTER_HELP: &str = "\
Every option but --service can also be given as a variable: CURFEW_DEADLINE for
--deadline. The option goes first, then the variable, then the file. An empty
variable counts as not set. Services do not get these variables, but one that
tells each of them how long its own stop may take: CURFEW_DEADLINE. Several
values are separated by `;` in CURFEW_GRACE, `,` in CURFEW_MAP, `:` in
CURFEW_ENV_FILE. Where CURFEW_RUN is set another curfew has started this one,
and CURFEW_EXIT_STATUS is what it tells its hooks, no option.

Durations are written 10s, 1m 30s, 500ms. Relative paths, also those in a file,
start from the directory that curfew was started in.

EXAMPLES
  ENTRYPOINT [\"curfew\", \"--\", \"myproject\", \"api\"]
      in a container, as PID 1
  curfew run --grace 'QUIT 20s, TERM 5s, KILL' --deadline 30s -- \\
             nginx -g 'daemon off;'
      QUIT, 20 s later TERM, 5 s later KILL: all of it within 30 seconds
  curfew run --service api='myproject api' --service web='myproject web'
      two services; when one of them ends, the other one is stopped
  curfew run --config demo.toml --report /var/lib/demo/stop.json
      the services of a file, and a report of how they stopped

EXIT STATUS (the first that applies)
  64       the command line is wrong; nothing was started
  78       the configuration is wrong; nothing was started
  70       a bug in curfew; every process was killed first
  81       processes are left that could not be killed; log and report name them
  its own  a service ended with failure and so stopped the system: its status,
           128+n if signal n ended it, 126 if its start failed (command,
           user, limits …), 127 if its command was not found
  82       a service failed without a status that says so
  its own  a service failed while it was being stopped: the first such status
  128+n    a task was interrupted by signal n
  80       something had to be killed
  71       the system refused to start processes, a cgroup that is required,
           or the socket of --control
  0        stopped as asked, or nothing was left to run
One command that ends by itself gives its own status, always.";

/// How the variables that stand for options begin.
const PREFIX: &str = "CURFEW_";

/// Options that are no variables: services are told their name in `CURFEW_SERVICE`, and a curfew in one of them must
/// not take that for a command.
const NO_VARIABLE: [&str; 3] = ["service", "help", "version"];

/// What separates several values in one variable, for the options that can be repeated.
const SEPARATORS: [(&str, char); 3] = [("grace", ';'), ("map", ','), ("env-file", ':')];

/// Variables that curfew sets itself: a curfew inside a service finds them there.
const SET_BY_CURFEW: [&str; 2] = [RUN_VARIABLE, "CURFEW_SERVICE"];

/// Names the run of the curfew that started a process.
const RUN_VARIABLE: &str = "CURFEW_RUN";

/// What a curfew tells its hooks besides: one that was started by another takes none of them for its own options.
const TOLD_BY_CURFEW: [&str; 4] = ["CURFEW_EXIT_STATUS", "CURFEW_VERDICT", "CURFEW_PID", "CURFEW_PROBE"];

/// The variable that stands for an option: `CURFEW_LOG_LEVEL` for `log-level`.
pub fn variable(option: &str) -> String {
    format!("{PREFIX}{}", option.to_ascii_uppercase().replace('-', "_"))
}

impl Arguments {
    /// Reads the command line; the first argument is the program's own name.
    ///
    /// # Errors
    /// [`Error::Arguments`] for an unknown option or a missing value.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, Error> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        if let Some(request) = read_client(&arguments) {
            return request;
        }
        if let Some(command) = bare_command(&arguments) {
            let arguments = RunArguments { options: Options::default(), command: command.to_vec() };
            return Ok(Request::Task(Task::Run(Box::new(arguments))));
        }
        let mut definition = Self::command();
        let arguments = with_task(arguments, &definition);
        let parsed = definition.try_get_matches_from_mut(&arguments);
        match parsed.and_then(|mut given| Self::from_arg_matches_mut(&mut given)) {
            Ok(parsed) => Ok(Request::Task(parsed.task)),
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
                // The full text takes time to build, which no start should pay for.
                let full = definition_for_people().try_get_matches_from(&arguments);
                Ok(Request::Help(full.err().unwrap_or(error)))
            }
            Err(error) => Err(Error::Arguments(explain(&error))),
        }
    }
}

/// The command, if nothing else was typed: no start of a container should pay for the definition of all options.
fn bare_command(arguments: &[OsString]) -> Option<&[OsString]> {
    match arguments.get(1..)? {
        [run, dashes, command @ ..] if run == "run" && dashes == "--" => Some(command),
        [dashes, command @ ..] if dashes == "--" => Some(command),
        _ => None,
    }
}

/// What a client is to do, if it is one. `curfew help status` is `curfew status --help`.
fn read_client(arguments: &[OsString]) -> Option<Result<Request, Error>> {
    let first = arguments.get(1)?;
    if first == COMPLETE {
        let words = arguments.iter().skip(2).skip_while(|word| *word == "--");
        let words = words.map(|word| word.to_string_lossy().into_owned()).collect();
        let verb = COMPLETE.to_owned();
        return Some(Ok(Request::Client(Box::new(ClientArguments {
            verb,
            words,
            ..ClientArguments::default()
        }))));
    }
    let (verb, given) = match client::verb(first) {
        Some(verb) => (verb, client::read(verb, &arguments[1..])),
        None if first == "help" => {
            let verb = client::verb(arguments.get(2)?)?;
            (verb, client::read(verb, &[verb.into(), "--help".into()]))
        }
        None => return None,
    };
    Some(match given {
        Ok(read) => Ok(Request::Client(Box::new(read))),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(Request::Help(error)),
        Err(error) => Err(Error::Arguments(format!("{verb}: {}", client::explain(verb, &error)))),
    })
}

/// The definition with all that can be typed, for those who want to see it.
pub fn whole_definition() -> Command {
    Arguments::command().subcommands(client::VERBS.map(client::definition))
}

/// Puts `run` before everything if the first argument is no task: `curfew -- COMMAND` is `curfew run -- COMMAND`.
fn with_task(mut arguments: Vec<OsString>, definition: &Command) -> Vec<OsString> {
    const KNOWN: [&str; 5] = ["--help", "-h", "--version", "-V", "help"];
    let is_known = |argument: &OsString| {
        KNOWN.iter().any(|known| argument == known)
            || definition.get_subcommands().any(|task| argument == task.get_name())
    };
    if arguments.is_empty() {
        // execve(2) allows that not even the program's name is given.
        arguments.push(OsString::from("curfew"));
    }
    if !arguments.get(1).is_some_and(is_known) {
        arguments.insert(1, OsString::from("run"));
    }
    arguments
}

/// The definition with everything that only the help needs: the variables, and the options of `run` on the first page.
fn definition_for_people() -> Command {
    let definition = whole_definition().mut_subcommand("run", |run| {
        run.mut_args(|argument| match option_variable(&argument) {
            Some(variable) => {
                let help = argument.get_long_help().map(ToString::to_string).unwrap_or_default();
                argument.long_help(format!("{}\n[env: {variable}]", in_lines(&help)))
            }
            None => match argument.get_long_help().map(ToString::to_string) {
                Some(help) => argument.long_help(in_lines(&help)),
                None => argument,
            },
        })
    });
    let Some(run) = definition.find_subcommand("run") else { return definition };
    let options = run.clone().help_template("{all-args}").render_long_help();
    definition.after_long_help(format!("The options of `curfew run`:\n\n{options}\n\n{AFTER_HELP}"))
}

/// Example and default on lines of their own: clap makes one line of each paragraph.
fn in_lines(help: &str) -> String {
    help.replace(" Example: ", "\nExample: ").replace(" Default: ", "\nDefault: ")
}

fn option_variable(argument: &Arg) -> Option<String> {
    let name = argument.get_long()?;
    (!NO_VARIABLE.contains(&name)).then(|| variable(name))
}

/// clap's words, without its `error: `; and our own where clap does not know what was meant.
fn explain(error: &clap::Error) -> String {
    if let (ErrorKind::UnknownArgument, Some(ContextValue::String(word))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
        && !word.starts_with('-')
    {
        let definition = Arguments::command();
        let tasks = definition.get_subcommands().map(Command::get_name).chain(client::VERBS);
        let cure = match nearest(word, tasks) {
            Some(task) => format!("did you mean `curfew {task}`?"),
            // No other option has a value that may be left out.
            None if parse_duration(word).is_ok() => format!("write --extend={word}"),
            None => format!("write `--` before a command: curfew run [OPTIONS] -- {word}"),
        };
        return format!("unexpected argument `{word}`; {cure}");
    }
    let text = error.render().to_string();
    text.trim_start_matches("error: ").trim_end().to_owned()
}

impl Options {
    /// Reads the options that are given by variables. An empty variable counts as not set.
    pub fn from_environment(environment: &[(OsString, OsString)]) -> EnvironmentOptions {
        let mut read = EnvironmentOptions::default();
        let is_nested = environment.iter().any(|(name, _)| name == RUN_VARIABLE);
        let told: &[&str] = if is_nested { &TOLD_BY_CURFEW } else { &[] };
        let is_ours = |name: &OsStr| {
            name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
                && !SET_BY_CURFEW.iter().chain(told).any(|known| name == *known)
        };
        let ours: Vec<_> = environment.iter().filter(|(name, _)| is_ours(name)).collect();
        // Nearly always there are none.
        if ours.is_empty() {
            return read;
        }
        let definition = Self::augment_args(Command::new("environment").no_binary_name(true));
        let options: Vec<(String, &Arg)> = definition
            .get_arguments()
            .filter_map(|argument| option_variable(argument).map(|variable| (variable, argument)))
            .collect();
        let mut arguments = Vec::new();
        for (name, value) in ours {
            let Some((variable, option)) = options.iter().find(|(variable, _)| name == variable.as_str())
            else {
                let name = name.to_string_lossy().into_owned();
                // What they have in common would make any two of them look alike.
                let known = options.iter().filter_map(|(variable, _)| variable.strip_prefix(PREFIX));
                let nearest = name.strip_prefix(PREFIX).and_then(|rest| nearest(rest, known));
                let nearest = nearest.map(|rest| format!("{PREFIX}{rest}"));
                read.warnings.push(Warning::UnknownVariable { name, nearest });
                continue;
            };
            read.consumed.insert(name.clone());
            if value.is_empty() {
                continue;
            }
            match as_arguments(option, value) {
                Ok(given) => arguments.extend(given),
                Err((problem, cure)) => read.errors.push(UsageError::new(variable, problem, cure)),
            }
        }
        let options =
            definition.try_get_matches_from(arguments).and_then(|given| Self::from_arg_matches(&given));
        match options {
            Ok(options) => read.options = options,
            Err(error) => {
                read.errors.push(UsageError::new("", explain(&error), "check the CURFEW_ variables"));
            }
        }
        read
    }
}

/// The value of a variable as it would stand on the command line.
fn as_arguments(option: &Arg, value: &OsStr) -> Result<Vec<OsString>, (&'static str, &'static str)> {
    let name = option.get_long().unwrap_or_default();
    if matches!(option.get_action(), ArgAction::SetTrue) {
        return match value.to_str() {
            Some("1" | "true" | "yes") => Ok(vec![OsString::from(format!("--{name}"))]),
            Some("0" | "false" | "no") => Ok(Vec::new()),
            _ => Err(("this is neither true nor false", "write 1 or 0")),
        };
    }
    let is_path = matches!(option.get_value_hint(), ValueHint::FilePath | ValueHint::DirPath);
    if !is_path && value.to_str().is_none() {
        return Err(("the value is not UTF-8", "write it in UTF-8"));
    }
    let argument = |value: &OsStr| {
        let mut argument = OsString::from(format!("--{name}="));
        argument.push(value);
        argument
    };
    let separator = SEPARATORS.iter().find(|(known, _)| *known == name);
    match (separator, value.to_str()) {
        (Some((_, separator)), Some(text)) => Ok(text
            .split(*separator)
            .filter(|part| !part.trim().is_empty())
            .map(|part| argument(part.as_ref()))
            .collect()),
        _ => Ok(vec![argument(value)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    fn run(text: &str) -> RunArguments {
        match Arguments::read(words(text)) {
            Ok(Request::Task(Task::Run(arguments))) => *arguments,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn help(text: &str) -> String {
        match Arguments::read(words(text)) {
            Ok(Request::Help(help)) => {
                assert_eq!((help.exit_code(), help.use_stderr()), (0, false));
                help.render().to_string()
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    fn error(text: &str) -> String {
        let error = Arguments::read(words(text)).unwrap_err();
        assert_eq!(error.exit_status(), 64);
        error.to_string()
    }

    fn environment(variables: &[(&str, &str)]) -> EnvironmentOptions {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
        Options::from_environment(&variables)
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
        definition_for_people().debug_assert();
    }

    #[test]
    fn run_may_be_left_out() {
        for text in ["curfew run --grace TERM -- ls -l", "curfew --grace TERM -- ls -l"] {
            let arguments = run(text);
            assert_eq!(arguments.command, ["ls", "-l"]);
            assert_eq!(arguments.options.grace, ["TERM"]);
            assert_eq!(run("curfew --map HUP=none,USR1=USR2 -- x").options.map, ["HUP=none", "USR1=USR2"]);
        }
        assert_eq!(run("curfew -- run").command, ["run"]);
        assert_eq!(run("curfew -- --help").command, ["--help"]);
        assert_eq!(run("curfew run -- run -- x").command, ["run", "--", "x"]);
        assert!(run("curfew --").command.is_empty());
        assert!(run("curfew").command.is_empty());
        assert!(run("").command.is_empty());
    }

    #[test]
    fn a_bare_command_is_read_as_the_definition_would_read_it() {
        for text in ["curfew -- ls -l", "curfew run -- ls --help -- -x", "curfew --", "curfew run -- run"] {
            assert!(bare_command(&words(text)).is_some(), "{text}");
            let definition = Arguments::command();
            let whole = with_task(words(text), &definition);
            let given = definition.try_get_matches_from(whole).unwrap();
            let Task::Run(read) = Arguments::from_arg_matches(&given).unwrap().task;
            let bare = run(text);
            assert_eq!(format!("{bare:?}"), format!("{read:?}"), "{text}");
        }
        for text in
            ["curfew", "curfew run", "curfew run --task -- ls", "curfew --task -- ls", "curfew ls -- ls"]
        {
            assert!(bare_command(&words(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn a_command_without_dashes_is_refused_with_the_cure() {
        assert_eq!(
            error("curfew sleep 5"),
            "unexpected argument `sleep`; write `--` before a command: curfew run [OPTIONS] -- sleep"
        );
        assert_eq!(error("curfew --extend 5m -- x"), "unexpected argument `5m`; write --extend=5m");
        assert_eq!(error("curfew rnu -- sleep"), "unexpected argument `rnu`; did you mean `curfew run`?");
    }

    #[test]
    fn an_unknown_option_is_refused() {
        let error = error("curfew run --graze TERM -- ls");
        assert!(error.starts_with("unexpected argument '--graze' found"), "{error}");
        assert!(error.contains("'--grace'"), "{error}");
    }

    #[test]
    fn help_is_long_or_short() {
        let long = help("curfew run --help");
        assert_eq!(help("curfew help run"), long);
        for part in [
            "EXAMPLES",
            "EXIT STATUS",
            "How to stop:",
            "\n          Default: info.",
            "[env: CURFEW_LOG_LEVEL]",
        ] {
            assert!(long.contains(part), "{part} is not in {long}");
            assert!(help("curfew --help").contains(part), "{part}");
        }
        let short = help("curfew run -h");
        assert!(short.len() < long.len() && !short.contains("[env:"), "{short}");
        assert!(help("curfew --version").starts_with("curfew "));
        assert!(help("curfew -V").starts_with("curfew "));
    }

    #[test]
    fn every_option_says_its_default_and_an_example() {
        let definition = Arguments::command();
        let run = definition.find_subcommand("run").unwrap();
        let options = Options::augment_args(Command::new("options"));
        for option in options.get_arguments().map(Arg::get_id) {
            let option = run.get_arguments().find(|argument| argument.get_id() == option).unwrap();
            let help = option.get_long_help().unwrap().to_string();
            assert!(help.contains(" Default: ") && help.contains("Example: "), "{option}: {help}");
            assert!(option.get_help_heading().is_some(), "{option}");
        }
    }

    #[test]
    fn no_line_of_the_text_is_too_long_for_a_terminal() {
        for line in USAGE.lines().chain(RUN_USAGE.lines()).chain(AFTER_HELP.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn every_option_but_service_is_a_variable() {
        let read = environment(&[
            ("CURFEW_DEADLINE", "30s"),
            ("CURFEW_LOG_LEVEL", "debug"),
            ("CURFEW_CONFIG", "a.toml"),
            ("CURFEW_TASK", "1"),
            ("CURFEW_GRACE", "TERM 1s, KILL; api=INT 2s"),
            ("CURFEW_MAP", "HUP=none,USR1=USR2"),
            ("CURFEW_ENV_FILE", "a.env:b.env"),
            ("CURFEW_SERVICE", "api"),
            ("CURFEW_RUN", "1-2"),
            ("CURFEW_REPORT", ""),
            ("PATH", "/bin"),
        ]);
        assert_eq!((read.warnings, read.errors), (vec![], vec![]));
        let options = read.options;
        assert_eq!(options.deadline.as_deref(), Some("30s"));
        assert_eq!(options.log_level.as_deref(), Some("debug"));
        assert_eq!(options.config, Some("a.toml".into()));
        assert!(options.task);
        assert_eq!(options.grace, ["TERM 1s, KILL", " api=INT 2s"]);
        assert_eq!(options.map, ["HUP=none", "USR1=USR2"]);
        assert_eq!(options.env_file, [PathBuf::from("a.env"), PathBuf::from("b.env")]);
        assert_eq!(options.report, None);
        assert!(options.service.is_empty());
        assert_eq!(read.consumed.len(), 8);
        assert!(!read.consumed.contains(OsStr::new("CURFEW_SERVICE")));
        for no in ["0", "false", "no", ""] {
            assert!(!environment(&[("CURFEW_TASK", no)]).options.task);
        }
    }

    #[test]
    fn what_a_curfew_above_tells_its_hooks_is_no_option() {
        let told = [
            ("CURFEW_EXIT_STATUS", "0"),
            ("CURFEW_VERDICT", "clean"),
            ("CURFEW_PID", "7"),
            ("CURFEW_PROBE", "0"),
        ];
        let read = environment(&[&[("CURFEW_RUN", "1-2")], &told[..]].concat());
        assert_eq!((read.warnings, read.errors, read.options.exit_status), (vec![], vec![], None));
        assert!(read.consumed.is_empty(), "whoever it starts may want to know as well");
        // Nobody told it: then it is the option.
        assert_eq!(environment(&[("CURFEW_EXIT_STATUS", "mirror")]).options.exit_status.unwrap(), "mirror");
    }

    #[test]
    fn an_unknown_variable_is_a_warning() {
        let read = environment(&[("CURFEW_DEADLIN", "1"), ("CURFEW_XYZ", "1")]);
        let warnings: Vec<_> = read.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            warnings,
            [
                "unknown variable CURFEW_DEADLIN, passed on to the services; did you mean CURFEW_DEADLINE?",
                "unknown variable CURFEW_XYZ, passed on to the services; `curfew run --help` lists those that curfew reads",
            ]
        );
        assert!(read.consumed.is_empty());
    }

    #[test]
    fn a_variable_that_is_no_text_is_refused_unless_it_is_a_path() {
        use std::os::unix::ffi::OsStringExt;
        let odd = OsString::from_vec(vec![b'/', 0xff]);
        let of = |name: &str| Options::from_environment(&[(OsString::from(name), odd.clone())]);
        assert_eq!(
            of("CURFEW_GRACE").errors[0].to_string(),
            "CURFEW_GRACE: the value is not UTF-8; write it in UTF-8"
        );
        assert_eq!(of("CURFEW_REPORT").options.report, Some(PathBuf::from(&odd)));
        assert_eq!(of("CURFEW_ENV_FILE").options.env_file, [PathBuf::from(&odd)]);
        assert_eq!(
            of("CURFEW_TASK").errors[0].to_string(),
            "CURFEW_TASK: this is neither true nor false; write 1 or 0"
        );
    }
}
