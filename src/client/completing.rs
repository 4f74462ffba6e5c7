//! What may come next on a command line that is being typed. The shells ask for it; curfew itself knows.

use std::path::PathBuf;

use clap::builder::ValueHint;
use clap::{Arg, Command};

use crate::arguments::{ClientArguments, whole_definition};

/// The shell completes a file itself.
const FILES: &str = ":files";
/// The shell completes a directory itself.
const FOLDERS: &str = ":folders";

const BASH: &str = r#"# Completes curfew's words in bash: source <(curfew completions bash)
_curfew() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :files) compopt -o default 2>/dev/null; return ;;
            :folders) compopt -o dirnames 2>/dev/null; return ;;
            *) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <("${COMP_WORDS[0]}" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _curfew curfew
"#;

const ZSH: &str = r#"#compdef curfew
# Completes curfew's words in zsh: source <(curfew completions zsh)
_curfew() {
    local line
    local -a described
    for line in "${(@f)$(${words[1]} complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
            '') ;;
            :files) _files; return ;;
            :folders) _files -/; return ;;
            *) described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done
    _describe curfew described
}
if [[ $funcstack[1] == _curfew ]]; then _curfew "$@"; else compdef _curfew curfew; fi
"#;

const FISH: &str = r#"# Completes curfew's words in fish: curfew completions fish > ~/.config/fish/completions/curfew.fish
function __curfew_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in ($words[1] complete -- $words[2..] 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path (commandline -ct)
            case :folders
                __fish_complete_directories (commandline -ct)
            case '*'
                echo $line
        end
    end
end
complete -c curfew -f -a '(__curfew_complete)'
"#;

/// The script for a shell.
pub(super) fn script(shell: &str) -> &'static str {
    match shell {
        "bash" => BASH,
        "zsh" => ZSH,
        _ => FISH,
    }
}

/// The lines for what was typed behind `curfew`, the last word as far as it goes: each a word and what it means, with a
/// tab in between. `services` are those of a running system, `systems` the names of those that run.
pub(super) fn candidates(
    typed: &[String],
    services: impl Fn(&ClientArguments) -> Vec<String>,
    systems: impl Fn() -> Vec<String>,
) -> Vec<String> {
    let (current, before) =
        typed.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let whole = whole_definition();
    // What stands behind `--` is a command, of which curfew knows nothing.
    if before.iter().any(|word| word == "--") {
        return vec![FILES.to_owned()];
    }
    let Some((verb, rest)) = before.split_first() else {
        let tasks = whole
            .get_subcommands()
            .map(|task| described(task.get_name(), task.get_about().map(ToString::to_string)));
        return fitting(tasks.collect(), current);
    };
    // `curfew --config x` is `curfew run --config x`.
    let (verb, rest) = if verb.starts_with('-') { ("run", before) } else { (verb.as_str(), rest) };
    let Some(task) = whole.find_subcommand(verb) else { return Vec::new() };
    // bash makes words of their own of the `=` in `--name=x` and of what stands around it.
    let (current, rest) = match (current, rest) {
        ("=", [rest @ .., option]) => ("", [rest, std::slice::from_ref(option)].concat()),
        (current, [rest @ .., equals]) if equals == "=" => (current, rest.to_vec()),
        (current, rest) => (current, rest.to_vec()),
    };
    if let Some(option) =
        rest.last().and_then(|word| option_of(task, word)).filter(|option| takes_value(option))
    {
        return values(option, current, systems);
    }
    if current.starts_with('-') {
        let options = task.get_arguments().filter_map(|option| {
            let name = option.get_long().filter(|_| !option.is_hide_set())?;
            Some(described(&format!("--{name}"), option.get_help().map(ToString::to_string)))
        });
        return fitting(options.collect(), current);
    }
    match task.get_positionals().next() {
        Some(names) if names.get_id() == "names" => {
            let contact = contact(task, &rest);
            let is_named = |name: &String| rest.contains(name);
            let mut lines: Vec<String> =
                services(&contact).into_iter().filter(|name| !is_named(name)).collect();
            if verb == "signal" && rest.iter().any(|word| !word.starts_with('-')) {
                lines.extend(
                    ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH", "KILL"].map(str::to_owned),
                );
            }
            fitting(lines, current)
        }
        Some(positional) if positional.get_id() == "shell" => values(positional, current, systems),
        Some(_) | None => Vec::new(),
    }
}

fn values(option: &Arg, current: &str, systems: impl Fn() -> Vec<String>) -> Vec<String> {
    match (option.get_value_hint(), option.get_id().as_str()) {
        (ValueHint::FilePath, _) => vec![FILES.to_owned()],
        (ValueHint::DirPath, _) => vec![FOLDERS.to_owned()],
        (_, "control") => vec![FILES.to_owned()],
        (_, "name") => fitting(systems(), current),
        (_, "level" | "log_level") => {
            fitting(["error", "warn", "info", "debug"].map(str::to_owned).to_vec(), current)
        }
        (_, "log") => fitting(["auto", "human", "json", "journal"].map(str::to_owned).to_vec(), current),
        (_, "output") => {
            let places = ["inherit", "prefix", "json", "journal", "null", "file="];
            fitting(places.map(str::to_owned).to_vec(), current)
        }
        (_, "cgroup") => fitting(["auto", "off", "require"].map(str::to_owned).to_vec(), current),
        (_, "signal_target") => fitting(["leader", "group", "all"].map(str::to_owned).to_vec(), current),
        (_, "exit_status") => fitting(["verdict", "mirror"].map(str::to_owned).to_vec(), current),
        _ => {
            let possible = option.get_possible_values();
            fitting(possible.iter().map(|value| value.get_name().to_owned()).collect(), current)
        }
    }
}

/// The option that this word names, if the next word is its value.
fn option_of<'a>(task: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.strip_prefix("--")?;
    task.get_arguments().find(|option| option.get_long() == Some(name))
}

fn takes_value(option: &Arg) -> bool {
    option.get_action().takes_values() && !option.is_require_equals_set()
}

/// Which curfew the words before say is meant.
fn contact(task: &Command, words: &[String]) -> ClientArguments {
    let mut contact = ClientArguments::default();
    for pair in words.windows(2) {
        match option_of(task, &pair[0]).map(|option| option.get_id().as_str()) {
            Some("control") => contact.control = Some(PathBuf::from(&pair[1])),
            Some("name") => contact.name = Some(pair[1].clone()),
            _ => {}
        }
    }
    contact
}

fn described(word: &str, about: Option<String>) -> String {
    let about = about.unwrap_or_default();
    format!("{word}\t{}", about.lines().next().unwrap_or_default())
}

fn fitting(lines: Vec<String>, current: &str) -> Vec<String> {
    lines.into_iter().filter(|line| line.starts_with(current)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(typed: &str) -> Vec<String> {
        let words: Vec<String> = typed.split(' ').map(str::to_owned).collect();
        let services = |contact: &ClientArguments| match (&contact.name, &contact.control) {
            (Some(name), None) => vec![format!("{name}-api")],
            (None, Some(path)) => vec![format!("at{}", path.display())],
            _ => vec!["api".into(), "db".into()],
        };
        let lines = candidates(&words, services, || vec!["demo".into(), "other".into()]);
        lines.into_iter().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn words_are_completed_where_they_belong() {
        for (typed, expected) in [
            ("st", &["status", "stop", "start"][..]),
            ("stop ", &["api", "db"]),
            ("stop d", &["db"]),
            ("stop db ", &["api"]),
            ("stop --wait ap", &["api"]),
            ("stop --name ", &["demo", "other"]),
            ("stop --name=de", &[]),
            ("stop --name = de", &["demo"]),
            ("stop --name =", &["demo", "other"]),
            ("stop --name demo ", &["demo-api"]),
            ("restart --control /x ", &["at/x"]),
            ("stop --w", &["--wait"]),
            ("signal api H", &["HUP"]),
            ("signal H", &[]),
            ("watch --level w", &["warn"]),
            ("completions ", &["bash", "zsh", "fish"]),
            ("run --config ", &[FILES]),
            ("run --directory ", &[FOLDERS]),
            ("run --log j", &["json", "journal"]),
            ("run --output n", &["null"]),
            ("run --cgroup ", &["auto", "off", "require"]),
            ("run --signal-target g", &["group"]),
            ("run --exit-status ", &["verdict", "mirror"]),
            ("-- ", &[FILES]),
            ("run -- l", &[FILES]),
            ("nonsense ", &[]),
            ("reload ", &[]),
        ] {
            assert_eq!(complete(typed), expected, "{typed}");
        }
    }

    #[test]
    fn no_script_is_for_nothing() {
        for (shell, word) in [
            ("bash", "complete -F _curfew curfew"),
            ("zsh", "#compdef curfew"),
            ("fish", "complete -c curfew"),
        ] {
            assert!(script(shell).contains(word));
        }
    }
}
