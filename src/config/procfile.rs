use std::path::Path;

use super::command_line::split_command;
use super::config_error::ConfigError;
use super::files::Files;
use super::service_name::{parse_name, sanitize};
use super::service_table::ServiceTable;
use super::system_table::read_text;
use crate::supervisor::Target;

/// The first service's `PORT`, if nobody says another; each further one has 100 more.
pub(crate) const FIRST_PORT: u16 = 5000;
const PORT_STEP: usize = 100;

/// Words that a shell acts on itself, so that it cannot be replaced by what it would execute.
const SHELL_WORDS: [&str; 39] = [
    "!", ".", ":", "[", "alias", "bg", "break", "builtin", "case", "cd", "command", "continue", "eval",
    "exec", "exit", "export", "fg", "for", "getopts", "hash", "if", "jobs", "local", "read", "readonly",
    "return", "set", "shift", "source", "time", "times", "trap", "type", "ulimit", "umask", "unset", "until",
    "wait", "while",
];

/// Reads a Procfile: `web: bundle exec rails server -p $PORT`, a line a service.
///
/// A command goes through `/bin/sh`, as with foreman; where nothing but one program is called, the shell makes way for it,
/// so that signals reach the program. What needs the shell is signalled as a group.
///
/// # Errors
/// The file cannot be read, or is none.
pub(crate) fn read_procfile(
    files: &Files,
    path: &Path,
    shown: &Path,
    first_port: u16,
) -> Result<(Vec<ServiceTable>, Vec<ConfigError>), Box<ConfigError>> {
    let shown = shown.display().to_string();
    let text = read_text(files, path, &shown)?;
    if let Some(line) = looks_like_toml(&text) {
        let (problem, cure) =
            ("this looks like TOML, and not like a Procfile", format!("say --config {shown}"));
        return Err(Box::new(ConfigError::of_line(&shown, line, problem, cure)));
    }
    let (mut services, mut errors) = (Vec::<ServiceTable>::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut fail = |problem: String, cure: &str| {
            errors.push(ConfigError::of_line(&shown, number + 1, problem, cure));
        };
        let Some((name, command)) = line.split_once(':').map(|(name, command)| (name.trim(), command.trim()))
        else {
            fail("there is no `:` after a name".to_owned(), "write `web: command`, or `#` before a comment");
            continue;
        };
        // Names with capital letters are usual there.
        let Some(name) = parse_name(name).ok().or_else(|| sanitize(name)) else {
            fail(format!("`{name}` is no name"), "use letters, digits, `-` and `_`");
            continue;
        };
        if command.is_empty() {
            fail(format!("{name} has no command"), "write `web: command`");
            continue;
        }
        if services.iter().any(|service| service.name == name) {
            fail(format!("there are two services `{name}`"), "rename one of them");
            continue;
        }
        let port = usize::from(first_port) + PORT_STEP * services.len();
        if port > usize::from(u16::MAX) {
            let cure = format!(
                "start with a lower PORT than {first_port}, since each service has 100 more than the last"
            );
            fail(format!("there is no port {port} for {name}"), &cure);
            continue;
        }
        services.push(ServiceTable {
            name,
            command: Some(shell_command(command)),
            signal_target: Some(Target::Group),
            environment: vec![("PORT".to_owned(), port.to_string())],
            names_command: true,
            ..ServiceTable::default()
        });
    }
    if services.is_empty() && errors.is_empty() {
        errors.push(ConfigError::of_file(
            &shown,
            "there is no service",
            "write lines such as `web: command`",
        ));
    }
    Ok((services, errors))
}

/// The first line that says something, with its number.
fn first_line(text: &str) -> Option<(usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.into_iter().find(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The line that is one of TOML: a table, or a key with a value.
fn looks_like_toml(text: &str) -> Option<usize> {
    let (number, line) = first_line(text)?;
    let is_key = |(name, _): (&str, &str)| is_name(&name.trim().replace('.', "_"));
    (line.starts_with('[') || line.split_once('=').is_some_and(is_key)).then_some(number)
}

/// The line that is one of a Procfile; in YAML, which has such lines too, others are indented.
pub(crate) fn looks_like_procfile(text: &str) -> Option<usize> {
    let (number, line) = first_line(text)?;
    let is_service = |(name, command): (&str, &str)| is_name(name) && !command.trim().is_empty();
    let is_flat = !text.lines().any(|line| line.starts_with([' ', '\t']));
    (is_flat && line.split_once(':').is_some_and(is_service)).then_some(number)
}

fn shell_command(command: &str) -> Vec<String> {
    let script = if is_one_program(command) { format!("exec {command}") } else { command.to_owned() };
    ["/bin/sh", "-c", &script].map(str::to_owned).to_vec()
}

/// Whether the command calls one program, and no more.
fn is_one_program(command: &str) -> bool {
    let first = command.split_whitespace().next().unwrap_or_default();
    // Variables are the shell's to fill in; they do not make it a list of commands.
    let without_variables = command.replace(['$', '~', '*', '{', '}', '"'], "");
    let is_plain = split_command(&without_variables).is_ok() && !command.contains(['(', ')', '`', '\n']);
    is_plain && !first.contains('=') && !SHELL_WORDS.contains(&first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_makes_way_for_one_program() {
        for (command, is_one) in [
            ("rails server -p $PORT", true),
            ("./run --name \"a b\" ${X:-y}", true),
            ("a && b", false),
            ("a | b", false),
            ("a; b", false),
            ("a &", false),
            ("cd x", false),
            ("exit 3", false),
            ("! true", false),
            ("wait", false),
            ("command -v x", false),
            ("A=1 b", false),
            ("a $(b)", false),
            ("a > log", false),
            ("exec a", false),
            ("command a", false),
            ("! a", false),
            ("trap x TERM", false),
            ("umask 027", false),
        ] {
            assert_eq!(is_one_program(command), is_one, "{command}");
        }
    }
}
