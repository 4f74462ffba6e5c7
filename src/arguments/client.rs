//! The command lines of those who talk to a running curfew. They are apart from `run`, whose start must not pay for them.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::ValueHint;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

/// What a client is to do, as it was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientArguments {
    /// The word behind `curfew`.
    pub verb: String,
    /// The services that are named.
    pub names: Vec<String>,
    /// All of them; for a stop, the system.
    pub all: bool,
    /// To come back when it has happened.
    pub wait: bool,
    /// To print the answer as it came.
    pub json: bool,
    /// To print metrics.
    pub openmetrics: bool,
    /// To say by the exit status whether all is ready.
    pub ready: bool,
    /// The signal to send.
    pub signal: Option<String>,
    /// What events are of interest.
    pub level: Option<String>,
    /// Where the socket is.
    pub control: Option<PathBuf>,
    /// The name of the system.
    pub name: Option<String>,
    /// How long to wait for an answer.
    pub timeout: Option<String>,
    /// The shell to complete for.
    pub shell: Option<String>,
    /// The words to complete, the last one as far as it was typed.
    pub words: Vec<String>,
}

/// The word that shells use to ask what may come next.
pub(super) const COMPLETE: &str = "complete";

/// Every task of a client, in the order of the help.
pub(super) const VERBS: [&str; 9] =
    ["status", "watch", "stop", "start", "restart", "signal", "reload", "reopen", "completions"];

const CONTACT: &str = "Which curfew";

/// The definition of one of them.
pub(super) fn definition(verb: &'static str) -> Command {
    let command = Command::new(verb).max_term_width(100).disable_help_subcommand(true);
    let command = match verb {
        "status" => command
            .about("How the system and each service is, also in the middle of a stop")
            .after_help("EXAMPLES\n  curfew status\n  curfew status --ready && echo ready\n  curfew status --json | jq .system.stop")
            .arg(names("Only these services"))
            .arg(flag("openmetrics", "Print metrics, for a monitoring system to collect").conflicts_with("json"))
            .arg(flag("ready", "Say by the exit status whether all (of these) is ready: 0, or 1")),
        "watch" => command
            .about("Every event from now on, a JSON object a line, to the end of the run")
            .after_help("EXAMPLES\n  curfew watch | jq -r '.event + \" \" + .message'")
            .arg(value("level", "LEVEL", "Only events that are so grave: error, warn, info or debug [default: info]")),
        "stop" => command
            .about("Stop services, what comes after them first; or the whole system")
            .after_help("EXAMPLES\n  curfew stop api --wait\n  curfew stop --all --wait --timeout 30s")
            .arg(names("The services; they stay down until they are started"))
            .arg(flag("all", "Stop the whole system, as a stop signal does").conflicts_with("names"))
            .arg(wait("down")),
        "start" => command
            .about("Start services, what they come after first")
            .after_help("EXAMPLES\n  curfew start api --wait")
            .arg(names("The services"))
            .arg(flag("all", "Start every service that is not up, but no task that is done").conflicts_with("names"))
            .arg(wait("ready, or a task done")),
        "restart" => command
            .about("Stop services and start them again, each by itself")
            .after_help("EXAMPLES\n  curfew restart api --wait")
            .arg(names("The services; what comes after them is left alone"))
            .arg(flag("all", "Restart every service").conflicts_with("names"))
            .arg(wait("ready again")),
        "signal" => command
            .about("Send services a signal")
            .override_usage("curfew signal [OPTIONS] NAME... SIGNAL")
            .after_help("EXAMPLES\n  curfew signal api HUP")
            .arg(Arg::new("names").value_name("NAME").num_args(2..).required(true).help(
                "The services, then the signal: a name such as HUP, USR1, RTMIN+3, or a number",
            )),
        "reload" => command
            .about("Read the configuration file anew, and say what became of each service, or what is wrong")
            .after_help("EXAMPLES\n  curfew reload\n  ExecReload=curfew reload --wait")
            .arg(wait("up or down, whatever has changed")),
        "reopen" => command.about("Open the files of services' output anew, after a rotation"),
        _ => {
            return command
                .about("The script that completes curfew's words in a shell: bash, zsh or fish")
                .after_help("EXAMPLES\n  source <(curfew completions bash)\n  curfew completions fish > ~/.config/fish/completions/curfew.fish")
                .arg(Arg::new("shell").value_name("SHELL").required(true).value_parser(["bash", "zsh", "fish"]));
        }
    };
    let command = if verb == "watch" {
        command
    } else {
        command.arg(flag("json", "Print the answer as it came: JSON"))
    };
    command
        .arg(
            value("control", "PATH", "The socket of the running curfew")
                .long_help("The socket of the running curfew. Default: the one in CURFEW_CONTROL, else the only one there is")
                .value_parser(clap::value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .help_heading(CONTACT),
        )
        .arg(value("name", "NAME", "The name of the running system").conflicts_with("control").help_heading(CONTACT))
        .arg(
            value("timeout", "DURATION", "How long to wait for the answer [default: 5s; with --wait and watch: for ever]")
                .help_heading(CONTACT),
        )
}

fn names(help: &'static str) -> Arg {
    Arg::new("names").value_name("NAME").num_args(0..).help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn value(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn wait(what: &str) -> Arg {
    Arg::new("wait")
        .long("wait")
        .action(ArgAction::SetTrue)
        .help(format!("Come back when they are {what}, or never will be"))
}

/// The task that this word stands for.
pub(super) fn verb(word: &OsStr) -> Option<&'static str> {
    VERBS.into_iter().find(|verb| word == *verb)
}

/// Reads the arguments of a client; the first is its verb.
pub(super) fn read(verb: &'static str, arguments: &[OsString]) -> Result<ClientArguments, clap::Error> {
    let mut definition = definition(verb).bin_name(format!("curfew {verb}"));
    let given = definition.try_get_matches_from_mut(arguments)?;
    let mut read = of_matches(verb, given);
    if verb == "signal" {
        read.signal = read.names.pop();
    }
    let needs_names = matches!(verb, "stop" | "start" | "restart");
    if needs_names && read.names.is_empty() && !read.all {
        let text = format!("no service is named; write curfew {verb} NAME, or curfew {verb} --all");
        return Err(definition.error(ErrorKind::MissingRequiredArgument, text));
    }
    Ok(read)
}

/// What is wrong with them, in words.
pub(super) fn explain(verb: &str, error: &clap::Error) -> String {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word))
            if error.kind() == ErrorKind::UnknownArgument
                && !word.starts_with('-')
                && matches!(verb, "watch" | "reload" | "reopen") =>
        {
            format!("unexpected argument `{word}`; it takes no names, and is for the whole system")
        }
        _ => super::explain(error),
    }
}

fn of_matches(verb: &str, mut given: ArgMatches) -> ClientArguments {
    let is_set = |name: &str| given.try_get_one::<bool>(name).is_ok_and(|flag| flag == Some(&true));
    let (all, wait, json) = (is_set("all"), is_set("wait"), is_set("json"));
    let (openmetrics, ready) = (is_set("openmetrics"), is_set("ready"));
    let mut text = |name: &str| given.try_remove_one::<String>(name).ok().flatten();
    let [level, name, timeout, shell] = ["level", "name", "timeout", "shell"].map(&mut text);
    let names = given.try_remove_many::<String>("names").ok().flatten().unwrap_or_default();
    ClientArguments {
        verb: verb.to_owned(),
        names: names.collect(),
        all,
        wait,
        json,
        openmetrics,
        ready,
        level,
        control: given.try_remove_one::<PathBuf>("control").ok().flatten(),
        name,
        timeout,
        shell,
        ..ClientArguments::default()
    }
}
