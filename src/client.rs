//! Talking to a running curfew: it sees no more of it than what the protocol says.

mod completing;
mod connection;
mod failure;
mod finding;
mod metrics;
mod table;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use serde_json::Value;

use crate::arguments::ClientArguments;
use crate::config::{parse_positive_duration, parse_signal};
use crate::linux::clock::Clock;
use crate::nearest::proposal;
use crate::protocol::{Answer, Verb, VerbRequest, WatchLevel, Whom};
use crate::supervisor::defaults;
use connection::Connection;
use failure::Failure;
use table::Look;

/// Does what is asked for, and returns the exit status. Signals must have their default actions.
pub(crate) fn run(arguments: &ClientArguments, clock: Clock) -> u8 {
    match perform(arguments, clock) {
        Ok(status) => status,
        Err(failure) => {
            // Whoever closed standard error does not want to know.
            let _ = writeln!(std::io::stderr(), "curfew: {failure}");
            failure.status()
        }
    }
}

fn perform(arguments: &ClientArguments, clock: Clock) -> Result<u8, Failure> {
    match arguments.verb.as_str() {
        "complete" => return Ok(complete(arguments, clock)),
        "completions" => {
            print(completing::script(arguments.shell.as_deref().unwrap_or_default()));
            return Ok(0);
        }
        _ => {}
    }
    let verb = verb(arguments)?;
    let time = patience(arguments, &verb)?;
    let path = finding::find(arguments)?;
    let mut connection = Connection::open(&path, clock, time)?;
    connection.send(&VerbRequest { id: None, verb: verb.clone() }.line())?;
    let line = connection.line()?;
    let answer = Answer::parse(&line).ok_or_else(|| Failure::Nonsense(path.clone()))?;
    if matches!(verb, Verb::Watch { .. }) && answer.error.is_none() {
        connection.wait_for_ever()?;
        return watch(connection);
    }
    if matches!(verb, Verb::Status) && answer.error.is_none() {
        return status(arguments, &answer);
    }
    if arguments.json {
        print(&String::from_utf8_lossy(&line));
    }
    match (&verb, &answer.error) {
        (Verb::Stop { whom: Whom::All, wait: true }, None) => {
            say_results(arguments, &answer);
            // The end of the stream is the end of curfew.
            connection.wait_for_end()?;
            Ok(u8::from(answer.body.get("verdict").is_some_and(|verdict| verdict == "survivors")))
        }
        (_, error) => {
            say_results(arguments, &answer);
            error.clone().map_or(Ok(0), |error| Err(Failure::Refused(error)))
        }
    }
}

/// What is asked for.
fn verb(arguments: &ClientArguments) -> Result<Verb, Failure> {
    let whom = if arguments.all { Whom::All } else { Whom::Named(arguments.names.clone()) };
    let wait = arguments.wait;
    Ok(match arguments.verb.as_str() {
        "watch" => Verb::Watch { level: level(arguments.level.as_deref())? },
        "stop" => Verb::Stop { whom, wait },
        "start" => Verb::Start { whom, wait },
        "restart" => Verb::Restart { whom, wait },
        "signal" => {
            let signal = parse_signal(arguments.signal.as_deref().unwrap_or_default())
                .map_err(|error| Failure::Usage(format!("signal: {}; {}", error.problem, error.cure)))?;
            Verb::Signal { names: arguments.names.clone(), signal }
        }
        "reload" => Verb::Reload { wait },
        "reopen" => Verb::Reopen,
        _ => Verb::Status,
    })
}

fn level(text: Option<&str>) -> Result<WatchLevel, Failure> {
    let Some(text) = text else { return Ok(WatchLevel::default()) };
    let cure = || proposal(text, WatchLevel::ALL.iter().map(|(name, _)| *name));
    WatchLevel::parse(text)
        .ok_or_else(|| Failure::Usage(format!("--level: there is no level `{text}`; {}", cure())))
}

/// How long the answer may take; `None`: as long as it likes.
fn patience(arguments: &ClientArguments, verb: &Verb) -> Result<Option<Duration>, Failure> {
    if let Some(text) = &arguments.timeout {
        return parse_positive_duration(text)
            .map(Some)
            .map_err(|error| Failure::Usage(format!("--timeout: {}; {}", error.problem, error.cure)));
    }
    let lasts = arguments.wait || matches!(verb, Verb::Watch { .. });
    Ok((!lasts).then_some(defaults::CLIENT_PATIENCE))
}

/// Prints events until the run ends, or nobody reads them any more.
fn watch(mut connection: Connection) -> Result<u8, Failure> {
    let mut stdout = std::io::stdout().lock();
    loop {
        let line = match connection.line() {
            Ok(line) => line,
            // The run is over.
            Err(Failure::Ended) => return Ok(0),
            Err(failure) => return Err(failure),
        };
        // Events have no version: this is a farewell.
        if let Some(Answer { error: Some(error), .. }) = Answer::parse(&line) {
            return Err(Failure::Refused(error));
        }
        // EPIPE: whoever read them has seen enough.
        if stdout.write_all(&line).and_then(|()| stdout.flush()).is_err() {
            return Ok(0);
        }
    }
}

fn status(arguments: &ClientArguments, answer: &Answer) -> Result<u8, Failure> {
    let all = answer.body.get("services").and_then(Value::as_array).cloned().unwrap_or_default();
    let name_of = |service: &Value| service["name"].as_str().unwrap_or_default().to_owned();
    if let Some(unknown) =
        arguments.names.iter().find(|name| !all.iter().any(|service| name_of(service) == **name))
    {
        let known: Vec<String> = all.iter().map(name_of).collect();
        let cure = proposal(unknown, known.iter().map(String::as_str));
        return Err(Failure::UnknownService(format!("there is no service `{unknown}`; {cure}")));
    }
    let is_meant =
        |service: &Value| arguments.names.is_empty() || arguments.names.contains(&name_of(service));
    let services: Vec<Value> = all.into_iter().filter(is_meant).collect();
    if arguments.json {
        let mut body = answer.body.clone();
        body.insert("services".to_owned(), services.clone().into());
        print(&format!("{}\n", Value::Object(body)));
    }
    let system = answer.body.get("system").cloned().unwrap_or_default();
    if arguments.ready {
        let missing = table::not_ready(&system, &services, !arguments.names.is_empty());
        if !arguments.json {
            print(
                &missing.as_ref().map_or("ready\n".to_owned(), |missing| format!("not ready: {missing}\n")),
            );
        }
        return Ok(u8::from(missing.is_some()));
    }
    if arguments.openmetrics {
        print(&metrics::metrics(&system, &services));
    } else if !arguments.json {
        print(&table::table(&system, &services, look()));
    }
    Ok(0)
}

/// What became of each service, a line each.
fn say_results(arguments: &ClientArguments, answer: &Answer) {
    if arguments.json {
        return;
    }
    let text = |value: &Value, key: &str| table::plain(value[key].as_str().unwrap_or_default());
    let results = answer.body.get("results").and_then(Value::as_array);
    let mut lines = String::new();
    for result in results.into_iter().flatten() {
        let awaits = table::awaits(result).map(|awaits| format!("; {awaits}")).unwrap_or_default();
        lines.push_str(&format!("{}: {}{awaits}\n", text(result, "service"), text(result, "outcome")));
    }
    let keys_of = |key: &str| -> Option<String> {
        let keys = answer.body.get(key).and_then(Value::as_array).filter(|keys| !keys.is_empty())?;
        let keys: Vec<String> = keys.iter().filter_map(Value::as_str).map(table::plain).collect();
        Some(keys.join(", "))
    };
    if let Some(system) = keys_of("system") {
        lines.push_str(&format!("changed for the whole system: {system}\n"));
    }
    if let Some(later) = keys_of("later") {
        lines.push_str(&format!("changed, but only counts when curfew is started again: {later}\n"));
    }
    if let (Some(kept), true) = (answer.body.get("kept"), lines.is_empty()) {
        lines.push_str(&format!("nothing has changed; {kept} services go on\n"));
    }
    if let (Some(Value::String(verdict)), Some(status)) =
        (answer.body.get("verdict"), answer.body.get("exit_status"))
    {
        lines.push_str(&format!("stopped: {verdict}, exit status {status}\n"));
    }
    print(&lines);
}

/// How wide a table may be, and whether it may be coloured.
fn look() -> Look {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let is_terminal = std::io::stdout().is_terminal();
    let is_refused =
        variable("NO_COLOR").is_some() || variable("TERM").is_some_and(|terminal| terminal == "dumb");
    let width = is_terminal.then(crate::linux::terminal_width).flatten();
    // A file or a pipe has no end of a line.
    let width = if is_terminal { width.unwrap_or(table::WIDTH).max(table::WIDTH) } else { usize::MAX };
    Look { width, colours: is_terminal && !is_refused }
}

/// What may come next on a command line that is being typed, a line each.
fn complete(arguments: &ClientArguments, clock: Clock) -> u8 {
    let names = |contact: &ClientArguments| {
        let path = finding::find(contact).ok()?;
        let mut connection = Connection::open(&path, clock, Some(defaults::COMPLETION_PATIENCE)).ok()?;
        connection.send(&VerbRequest { id: None, verb: Verb::Status }.line()).ok()?;
        let answer = Answer::parse(&connection.line().ok()?)?;
        let services = answer.body.get("services")?.as_array()?.clone();
        Some(services.iter().filter_map(|service| service["name"].as_str().map(str::to_owned)).collect())
    };
    let systems = finding::names;
    let names = |contact: &ClientArguments| names(contact).unwrap_or_default();
    let lines = completing::candidates(&arguments.words, names, systems);
    print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    0
}

/// Whoever closed standard output does not want to read it.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
