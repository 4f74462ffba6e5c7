//! A status for people.

use serde_json::Value;

/// How a table may look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// How many columns there are.
    pub(super) width: usize,
    pub(super) colours: bool,
}

/// What every terminal has.
pub(super) const WIDTH: usize = 80;

/// The longest name that is shown in full; what is longer is cut off.
const NAME_MAX: usize = 24;
const STATE_WIDTH: usize = 11;
const PID_WIDTH: usize = 7;
const SINCE_WIDTH: usize = 8;

/// The system in a line or two, then a line for each service.
pub(super) fn table(system: &Value, services: &[Value], look: Look) -> String {
    let mut text = String::new();
    for line in heading(system, services) {
        text.push_str(&cut(&line, look.width));
        text.push('\n');
    }
    let widest = services.iter().map(|service| name(service).chars().count()).max().unwrap_or(0);
    let name_width = widest.clamp("SERVICE".len(), NAME_MAX);
    let row = |cells: [&str; 5]| {
        let [name, state, pid, since, note] = cells;
        let name = cut(name, name_width);
        let line = format!(
            "{name:<name_width$}  {state:<STATE_WIDTH$}  {pid:>PID_WIDTH$}  {since:>SINCE_WIDTH$}  {note}"
        );
        cut(line.trim_end(), look.width)
    };
    text.push_str(&row(["SERVICE", "STATE", "PID", "SINCE", ""]));
    text.push('\n');
    for service in services {
        let state = word(service, "state");
        let pid = service["pid"].as_u64().map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let since = service["since_ms"].as_u64().map_or_else(|| "-".to_owned(), time);
        let line = row([&name(service), &state, &pid, &since, &note(service)]);
        match colour(&state).filter(|_| look.colours) {
            Some(colour) => {
                // The word stands at a fixed place.
                let (before, rest) = split_at_character(&line, name_width + 2);
                let (shown, after) = split_at_character(rest, state.chars().count());
                text.push_str(&format!("{before}\u{1b}[{colour}m{shown}\u{1b}[0m{after}"));
            }
            None => text.push_str(&line),
        }
        text.push('\n');
    }
    text
}

/// Who is not ready, if anybody is not.
pub(super) fn not_ready(system: &Value, services: &[Value], are_chosen: bool) -> Option<String> {
    let is_missing = |service: &&Value| {
        let is_reached = matches!(service["state"].as_str(), Some("ready" | "done"));
        !is_reached && (are_chosen || service["essential"] == true)
    };
    let phase = word(system, "phase");
    let is_system_ready = system["ready"] == true || are_chosen && phase != "stopping";
    let missing: Vec<String> = services
        .iter()
        .filter(is_missing)
        .map(|service| format!("{} is {}", name(service), word(service, "state")))
        .collect();
    match (is_system_ready, missing.is_empty()) {
        (true, true) => None,
        (false, true) => Some(format!("the system is {phase}")),
        (_, false) => Some(missing.join(", ")),
    }
}

fn heading(system: &Value, services: &[Value]) -> Vec<String> {
    let (name, phase) = (word(system, "name"), word(system, "phase"));
    let pid = &system["pid"];
    let uptime = time(system["uptime_ms"].as_u64().unwrap_or(0));
    let stop = &system["stop"];
    if stop.is_null() {
        let ready = if phase == "running" && system["ready"] != true { ", not ready" } else { "" };
        return vec![format!("{name} is {phase}{ready}, up {uptime}, pid {pid}")];
    }
    let left = match (stop["left_ms"].as_u64(), stop["budget_ms"].as_u64()) {
        (Some(left), Some(budget)) => format!("{} of {} left", time(left), time(budget)),
        _ => "no deadline".to_owned(),
    };
    let since = time(stop["since_ms"].as_u64().unwrap_or(0));
    let urgency = match stop["level"].as_str() {
        Some("next-stage") => ", hastened",
        Some("kill-now") => ", killing",
        _ => "",
    };
    let awaited: Vec<String> = services
        .iter()
        .filter(|service| service["state"] == "stopping" || service["state"] == "ended")
        .map(self::name)
        .collect();
    let awaited =
        if awaited.is_empty() { String::new() } else { format!("; awaiting {}", awaited.join(", ")) };
    vec![
        format!("{name} is stopping for {since}: {left}{urgency}{awaited}"),
        format!("cause: {}", word(stop, "cause")),
    ]
}

/// Whom it waits for, if for anybody.
pub(super) fn awaits(service: &Value) -> Option<String> {
    let names: Vec<String> = service["awaits"].as_array()?.iter().filter_map(text).collect();
    (!names.is_empty()).then(|| format!("waits for {}", names.join(", ")))
}

/// What else there is to know, the most pressing first.
fn note(service: &Value) -> String {
    let mut notes = Vec::new();
    let stop = &service["stop"];
    if !stop.is_null() {
        notes.push(phase(stop));
    }
    if let Some(left) = service["back_off_ms"].as_u64() {
        notes.push(format!("again in {}", time(left)));
    }
    notes.extend(awaits(service));
    // Its phase says so already.
    if let Some(runs) = text(&service["runs"]).filter(|_| service["runs"] != stop["phase"]) {
        notes.push(runs);
    }
    match service["strays"].as_u64() {
        Some(1) => notes.push("1 stray".to_owned()),
        Some(count) if count > 1 => notes.push(format!("{count} strays")),
        _ => {}
    }
    if let Some(failed @ 1..) = service["failed_probes"].as_u64() {
        let saw = text(&service["probe_saw"]).map(|saw| format!(": {saw}")).unwrap_or_default();
        notes.push(format!("{failed} probes failed{saw}"));
    }
    let is_over = matches!(service["state"].as_str(), Some("failed" | "back-off" | "stopped" | "done"));
    if let Some(end) = text(&service["last_end"]).filter(|_| is_over) {
        notes.push(end);
    }
    if let Some(failure) = text(&service["last_failure"]).filter(|failure| is_over && failure != "ended") {
        notes.push(failure);
    }
    if let Some(restarts @ 1..) = service["restarts"].as_u64() {
        notes.push(if restarts == 1 { "1 restart".to_owned() } else { format!("{restarts} restarts") });
    }
    notes.extend(text(&service["text"]));
    notes.join("; ")
}

/// `stage 2 of 3 (INT), 4s left`.
fn phase(stop: &Value) -> String {
    let left = stop["left_ms"].as_u64().map(|left| format!(", {} left", time(left))).unwrap_or_default();
    let signal = text(&stop["signal"]).map(|signal| format!(" ({signal})")).unwrap_or_default();
    match stop["phase"].as_str() {
        Some("stage") => format!("stage {} of {}{signal}{left}", stop["stage"], stop["of"]),
        Some("lingering") => "killed, but still there".to_owned(),
        Some(other) => format!("{}{left}", plain(other)),
        None => String::new(),
    }
}

fn colour(state: &str) -> Option<&'static str> {
    match state {
        "ready" | "done" | "running" => Some("32"),
        "failed" => Some("31"),
        "stopping" | "back-off" | "ended" | "not-ready" => Some("33"),
        _ => None,
    }
}

fn name(service: &Value) -> String {
    word(service, "name")
}

fn word(value: &Value, key: &str) -> String {
    text(&value[key]).unwrap_or_default()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(plain)
}

/// What a service says of itself must not drive the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// A time in a few characters: `850ms`, `12s`, `3m 4s`, `2h 5m`, `9d 3h`.
fn time(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, 0) => format!("{milliseconds}ms"),
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (0, hours, minutes, _) => format!("{hours}h {minutes}m"),
        (days, hours, ..) => format!("{days}d {hours}h"),
    }
}

/// So many characters, the last one of which says that there were more.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn split_at_character(text: &str, count: usize) -> (&str, &str) {
    text.split_at(text.char_indices().nth(count).map_or(text.len(), |(place, _)| place))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: Look = Look { width: WIDTH, colours: false };

    fn stopping() -> (Value, Vec<Value>) {
        let system = json!({
            "name": "demo", "phase": "stopping", "pid": 4711, "uptime_ms": 61_000, "ready": false,
            "stop": { "cause": "SIGTERM from pid 1 (uid 0)", "since_ms": 2000, "level": "stop",
                      "budget_ms": 28_000, "left_ms": 26_000 },
        });
        let services = vec![
            json!({ "name": "db", "state": "ready", "pid": 50, "since_ms": 60_500, "awaits": ["api"] }),
            json!({ "name": "api", "state": "stopping", "pid": 51, "since_ms": 60_000, "strays": 2,
                    "stop": { "phase": "stage", "stage": 2, "of": 3, "signal": "INT", "left_ms": 4000 } }),
            json!({ "name": "migrate", "state": "done", "last_end": "exit status 0", "since_ms": 60_600 }),
        ];
        (system, services)
    }

    #[test]
    fn a_stop_says_who_is_awaited_and_how_long_still() {
        let (system, services) = stopping();
        assert_eq!(
            table(&system, &services, PLAIN),
            "\
demo is stopping for 2s: 26s of 28s left; awaiting api
cause: SIGTERM from pid 1 (uid 0)
SERVICE  STATE            PID     SINCE
db       ready             50     1m 0s  waits for api
api      stopping          51     1m 0s  stage 2 of 3 (INT), 4s left; 2 strays
migrate  done               -     1m 0s  exit status 0
"
        );
    }

    #[test]
    fn what_runs_after_the_end_is_said_once() {
        let of = |phase: &str, runs: &str| {
            note(&json!({ "runs": runs, "stop": { "phase": phase, "left_ms": 2000 } }))
        };
        assert_eq!(of("post-stop", "post-stop"), "post-stop, 2s left");
        assert_eq!(of("cleanup", "cleanup"), "cleanup, 2s left");
        assert_eq!(of("killed", "post-stop"), "killed, 2s left; post-stop");
    }

    #[test]
    fn no_line_is_longer_than_the_terminal_and_none_drives_it() {
        let system =
            json!({ "name": "x".repeat(63), "phase": "running", "pid": 1, "uptime_ms": 1, "stop": null });
        let services: Vec<Value> = [10, 30, 63]
            .map(|length| {
                let said = "\u{1b}[2J words ".repeat(20);
                json!({ "name": "n".repeat(length), "state": "not-started", "pid": 4_194_304, "since_ms": 86_400_000 * 999_u64, "text": said })
            })
            .to_vec();
        for colours in [false, true] {
            let text = table(&system, &services, Look { width: WIDTH, colours });
            assert!(!text.contains('\u{1b}'), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        }
        let whole = table(&system, &services, Look { width: usize::MAX, colours: false });
        assert!(whole.lines().any(|line| line.chars().count() > 120) && !whole.contains('\u{1b}'), "{whole}");
        let wide = table(&system, &services, Look { width: 120, colours: false });
        assert!(wide.lines().any(|line| line.chars().count() == 120));
    }

    #[test]
    fn colours_change_no_text() {
        let (system, services) = stopping();
        let coloured = table(&system, &services, Look { width: WIDTH, colours: true });
        assert!(coloured.contains("\u{1b}[33mstopping\u{1b}[0m"), "{coloured}");
        let plain = coloured.replace("\u{1b}[33m", "").replace("\u{1b}[32m", "").replace("\u{1b}[0m", "");
        assert_eq!(plain, table(&system, &services, PLAIN));
    }

    #[test]
    fn ready_is_a_system_of_which_all_that_is_essential_is() {
        let service = |name: &str, state: &str, essential| json!({ "name": name, "state": state, "essential": essential });
        let running = json!({ "phase": "running", "ready": true });
        let services = [service("api", "ready", true), service("extra", "failed", false)];
        assert_eq!(not_ready(&running, &services, false), None);
        assert_eq!(not_ready(&running, &services, true).unwrap(), "extra is failed");
        let starting = json!({ "phase": "starting", "ready": false });
        assert_eq!(not_ready(&starting, &services[..1], true), None);
        assert_eq!(not_ready(&starting, &services[..1], false).unwrap(), "the system is starting");
        let stopping = json!({ "phase": "stopping", "ready": false });
        assert_eq!(not_ready(&stopping, &services[..1], true).unwrap(), "the system is stopping");
    }

    #[test]
    fn times_are_short() {
        let of = [850, 12_000, 184_000, 7_500_000, 788_400_000].map(time);
        assert_eq!(of, ["850ms", "12s", "3m 4s", "2h 5m", "9d 3h"]);
    }
}
