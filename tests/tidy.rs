//! The architecture's invariants, as an ordinary test. Each finding names the place and the cure.

use std::fs;
use std::path::{Path, PathBuf};

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    place: String,
    cure: String,
}

/// One line of a file, with and without its comment.
struct Line<'a> {
    file: &'a str,
    number: usize,
    code: &'a str,
    whole: &'a str,
    /// The comments and attributes right above it.
    above: &'a str,
}

impl Line<'_> {
    fn finding(&self, cure: impl Into<String>) -> Finding {
        Finding { place: format!("{}:{}", self.file, self.number), cure: cure.into() }
    }
}

/// What the pure core may not touch: the system, a clock, dice, a log.
const NOT_IN_THE_CORE: [&str; 17] = [
    "nix::",
    "libc::",
    "rustix",
    "tracing",
    "serde",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::env",
    "SystemTime",
    "Instant",
    "rand::",
    "humantime",
    "println!",
];

/// Who may use whom: the first part of a path below `src`, and the modules of ours that it may name.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("client", &["arguments", "config", "linux", "nearest", "protocol", "supervisor"]),
    ("nearest", &[]),
    ("supervisor", &[]),
    ("config", &["arguments", "error", "nearest", "protocol", "supervisor"]),
    ("error", &["config"]),
    ("arguments", &["config", "error", "nearest"]),
    ("linux", &["nearest", "protocol", "supervisor"]),
    ("protocol", &["nearest", "supervisor"]),
    ("log", &["supervisor"]),
    ("report", &["supervisor", "log"]),
    ("reporter", &["supervisor", "log", "protocol", "report", "linux"]),
    ("supervise", &["supervisor", "log", "report", "reporter", "linux"]),
];

/// What stands above all: it may use everything.
const ON_TOP: [&str; 5] = ["lib", "main", "programs", "reader", "run"];

/// Lines a file may have. A longer one holds more than one thing.
const LINES_MAX: usize = 900;
/// Lines `main.rs` may have: everything is in the library.
const MAIN_LINES_MAX: usize = 30;

/// The module that a file belongs to: `config.rs` and `config/` are one.
fn module_of(file: &str) -> Option<&str> {
    Some(file.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs"))
}

fn check_core(line: &Line) -> Option<Finding> {
    if module_of(line.file) != Some("supervisor") {
        return None;
    }
    let word = NOT_IN_THE_CORE.iter().copied().find(|word| line.code.contains(word)).or_else(|| {
        // `use std::{fs, time::Duration}` says it in another way.
        let grouped = line.code.trim_start().strip_prefix("use std::{")?;
        let mut names = grouped.split(|character: char| !character.is_alphanumeric() && character != '_');
        names.find_map(|name| {
            NOT_IN_THE_CORE.iter().copied().find(|word| word.strip_prefix("std::") == Some(name))
        })
    })?;
    Some(line.finding(format!("the core may not use `{word}`: make it an event, a command or a setting")))
}

fn check_direction(line: &Line) -> Option<Finding> {
    let module = module_of(line.file)?;
    let (_, allowed) = MAY_USE.iter().find(|(of, _)| module == *of)?;
    let used = line.code.split("crate::").skip(1).map(|rest| {
        let is_name = |character: char| character.is_alphanumeric() || character == '_';
        &rest[..rest.find(|character| !is_name(character)).unwrap_or(rest.len())]
    });
    let wrong =
        used.into_iter().find(|used| !used.is_empty() && *used != module && !allowed.contains(used))?;
    Some(line.finding(format!(
        "`{module}` may not use `{wrong}`: dependencies point one way, see ARCHITECTURE.md"
    )))
}

fn check_reaping(line: &Line) -> Option<Finding> {
    let reaps = ["waitid(", "waitpid(", "wait4("].iter().any(|call| line.code.contains(call));
    (reaps && line.file.starts_with("src/") && line.file != "src/linux/reap.rs")
        .then(|| line.finding("only src/linux/reap.rs reaps: another place would take deaths away from it"))
}

fn check_clocks(line: &Line) -> Option<Finding> {
    let reads = ["Instant::now(", "SystemTime::now(", "CLOCK_MONOTONIC", "CLOCK_REALTIME"]
        .iter()
        .any(|call| line.code.contains(call));
    (reads && line.file.starts_with("src/") && line.file != "src/linux/clock.rs")
        .then(|| line.finding("only src/linux/clock.rs reads a clock: take the time from it, and pass it on"))
}

fn check_sleep(line: &Line) -> Option<Finding> {
    (line.code.contains("thread::sleep") && line.file.starts_with("src/"))
        .then(|| line.finding("nothing here may block: wait for an event or a deadline"))
}

/// What is converted from a default is none of its own; and a line above that says `tidy:` and why allows one: a limit of
/// the system, which is no policy.
fn check_durations(line: &Line) -> Option<Finding> {
    let argument = line.code.split("Duration::from_").nth(1)?.split_once('(').map_or("", |(_, rest)| rest);
    let allowed = argument.starts_with("defaults::") || line.above.contains("tidy:");
    (module_of(line.file) == Some("linux") && !allowed).then(|| {
        line.finding("no durations in the Linux layer: put it into src/supervisor/defaults.rs, or pass it in")
    })
}

fn check_unsafe_reason(line: &Line) -> Option<Finding> {
    let is_unsafe = ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|word| line.code.contains(word));
    let is_explained = ["SAFETY:", "# Safety"].iter().any(|word| line.above.contains(word));
    (is_unsafe && line.file.starts_with("src/") && !is_explained)
        .then(|| line.finding("say above it, in a comment with `SAFETY:`, why this is sound"))
}

fn check_unsafe_place(line: &Line) -> Option<Finding> {
    let is_unsafe = line.code.contains("unsafe {") || line.code.contains("unsafe fn");
    (is_unsafe && line.file.starts_with("src/") && module_of(line.file) != Some("linux"))
        .then(|| line.finding("unsafe code belongs into src/linux"))
}

fn check_leftovers(line: &Line) -> Option<Finding> {
    // Put together, so that this file does not find itself.
    let words = [["to", "do!("], ["unimple", "mented!("], ["db", "g!("], ["TO", "DO"], ["FIX", "ME"]];
    let word = words.iter().map(|parts| parts.concat()).find(|word| line.whole.contains(word))?;
    Some(line.finding(format!("`{word}` is left over: do it, or say in prose why not")))
}

fn check_paths(line: &Line) -> Option<Finding> {
    let words = [["/wo", "rk/"], ["/ho", "me/"], ["/ro", "ot/"], ["/fa", "rm/"]];
    let word = words.iter().map(|parts| parts.concat()).find(|word| line.whole.contains(word))?;
    Some(line.finding(format!("`{word}` is a folder of one machine: use a relative or a temporary one")))
}

fn ends_a_statement(code: &str) -> bool {
    code.trim().is_empty() || code.trim_end().ends_with([';', '{', '}'])
}

fn findings_of(file: &str, text: &str) -> Vec<Finding> {
    let rules: [fn(&Line) -> Option<Finding>; 10] = [
        check_core,
        check_direction,
        check_reaping,
        check_clocks,
        check_sleep,
        check_durations,
        check_unsafe_reason,
        check_unsafe_place,
        check_leftovers,
        check_paths,
    ];
    let mut findings = Vec::new();
    let is_rust = file.ends_with(".rs");
    // Unit tests stand at the end of a file, and may use what they like.
    let mut is_test = file.ends_with("/tests.rs");
    let mut above = String::new();
    for (index, whole) in text.lines().enumerate() {
        is_test |= whole.trim_start().starts_with("#[cfg(test)]");
        let code = if is_rust && !is_test { whole.split("//").next().unwrap_or_default() } else { "" };
        let line = Line { file, number: index + 1, code, whole, above: &above };
        findings.extend(rules.iter().filter_map(|rule| rule(&line)));
        // A reason stands right above what it explains, or above the statement that it is part of.
        let trimmed = whole.trim_start();
        if !["//", "#["].iter().any(|start| trimmed.starts_with(start)) && ends_a_statement(code) {
            above.clear();
        }
        above.push_str(whole);
        above.push('\n');
    }
    let limit = if file == "src/main.rs" { MAIN_LINES_MAX } else { LINES_MAX };
    let count = text.lines().count();
    if file.starts_with("src/") && is_rust && count > limit && !file.ends_with("/tests.rs") {
        let cure = format!("{count} lines are more than {limit}: split it by what it holds");
        findings.push(Finding { place: file.to_owned(), cure });
    }
    findings
}

/// Every text file of the project, with its path from the root.
fn files() -> Vec<(String, String)> {
    const LEFT_OUT: [&str; 5] = ["target", ".git", "mutants.out", "mutants.out.old", "Cargo.lock"];
    let root: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder of the project").to_owned();
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the source tree").flatten() {
            let path = entry.path();
            if LEFT_OUT.iter().any(|left_out| entry.file_name() == *left_out) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let below = path.strip_prefix(&root).expect("below the root").display().to_string();
                files.push((below, text));
            }
        }
    }
    files
}

#[test]
fn the_architecture_holds() {
    let files = files();
    assert!(files.iter().any(|(file, _)| file == "src/supervisor/supervisor.rs"), "the source tree is there");
    let findings: Vec<String> = files
        .iter()
        .flat_map(|(file, text)| findings_of(file, text))
        .map(|Finding { place, cure }| format!("{place}: {cure}"))
        .collect();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn every_module_has_its_place_in_the_order() {
    for (file, _) in files() {
        let Some(module) = module_of(&file) else { continue };
        let known = MAY_USE.iter().any(|(of, _)| module == *of) || ON_TOP.contains(&module);
        assert!(known, "{file} is not in the table MAY_USE");
    }
}

/// A rule that finds nothing any more would go unnoticed.
#[test]
fn each_rule_still_bites() {
    let bites = |file: &str, text: &str, word: &str| {
        let findings = findings_of(file, text);
        assert!(findings.iter().any(|finding| finding.cure.contains(word)), "{file}: {text:?}: {findings:?}");
    };
    bites("src/supervisor/x.rs", "use std::time::Instant;", "core may not");
    bites("src/supervisor/x.rs", "    nix::unistd::getpid()", "core may not");
    bites("src/supervisor/x.rs", "use std::{collections::BTreeMap, fs};", "`std::fs`");
    bites("src/linux/x.rs", "let now = Instant::now();", "reads a clock");
    bites("src/run.rs", "thread::sleep(time)", "may block");
    bites("src/linux/x.rs", "unsafe { call() }", "SAFETY:");
    bites("src/linux/x.rs", "// SAFETY: of another.\nunsafe { one() };\nunsafe { two() };", "SAFETY:");
    bites("src/supervisor/x.rs", "use crate::linux::Runtime;", "one way");
    bites("src/linux/x.rs", "use crate::config::Config;", "one way");
    bites("src/config.rs", "use crate::linux::Runtime;", "one way");
    bites("src/config/x.rs", "crate::report::SCHEMA", "one way");
    bites("src/linux/x.rs", "libc::waitpid(1)", "only src/linux/reap.rs");
    bites("src/linux/x.rs", "Duration::from_secs(1)", "no durations");
    bites("src/log/x.rs", "unsafe { }", "belongs into src/linux");
    bites("src/x.rs", &["let x = to", "do!();"].concat(), "left over");
    bites("README.md", &["see /ho", "me/me/x"].concat(), "one machine");
    bites("src/main.rs", &"\n".repeat(31), "split it");
    bites("src/x.rs", &"\n".repeat(901), "split it");
    let fine = |file: &str, text: &str| assert_eq!(findings_of(file, text), []);
    fine("src/supervisor/x.rs", "use super::Signal; // std::fs is not used");
    fine("src/linux/x.rs", "use crate::supervisor::Signal;");
    fine("src/supervisor/x.rs", "use std::{collections::BTreeMap, time::Duration};");
    fine("src/linux/reap.rs", "libc::waitid(1)");
    fine("src/linux/clock.rs", "Instant::now()");
    fine("src/linux/x.rs", "Duration::from_millis(defaults::LAST_LOG_LINES.into())");
    fine("src/linux/x.rs", "// tidy: what the kernel rounds to.\nDuration::from_millis(4)");
    fine("src/linux/x.rs", "// SAFETY: two integers.\nunsafe { kill(1, 2) }");
    fine("src/linux/x.rs", "/// # Safety\n/// Only in the child.\nunsafe fn run() {");
    fine("src/linux/x.rs", "// SAFETY: two integers.\nmatch result(\n    unsafe { kill(1, 2) }");
    fine("src/linux/x.rs", "#[cfg(test)]\nuse crate::config::Config;");
}
