//! The grace schedule: which signal goes to whom, and when.

use std::time::Duration;

use nix::libc::{SIGINT, SIGTERM};

use crate::signals::BEYOND_A_DUPLICATE;
use crate::support::{Curfew, Running, pause, state};

#[test]
fn stages_come_in_order_and_none_before_its_time() {
    let curfew = Curfew::run(["--name", "it", "--grace", "TERM 400ms, INT 300ms, QUIT 200ms, KILL"])
        .fixture("ignores TERM INT QUIT")
        .start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert_eq!(finished.verdict(), "killed");
    let service = finished.report()["services"][0].clone();
    let stages = service["stages"].as_array().unwrap();
    let signals: Vec<_> = stages.iter().map(|stage| stage["signal"].as_str().unwrap()).collect();
    assert_eq!(signals, ["TERM", "INT", "QUIT", "KILL"]);
    for (index, wait) in [400, 300, 200].into_iter().enumerate() {
        let [this, next] = [index, index + 1].map(|index| stages[index]["sent_at_ms"].as_u64().unwrap());
        assert!(next - this >= wait, "stage {} came {} ms after the one before", index + 2, next - this);
        assert_eq!(stages[index]["expired"], true);
        assert_eq!(stages[index]["wait_ms"], wait);
    }
    assert!(finished.place("got TERM") < finished.place("got INT"));
    assert!(finished.place("got INT") < finished.place("got QUIT"));
    assert_eq!(finished.events("stage.expired").len(), 3);
}

/// The example of the first issue, word for word.
#[test]
fn a_shell_that_ignores_everything_is_killed_when_its_grace_ends_and_sigkill_is_named() {
    let curfew = Curfew::run(["--grace", "TERM 1s, INT 1s, KILL"])
        .log(Some("human"))
        .command(["sh", "-c", r#"trap "" TERM INT; echo ready; while :; do sleep 0.1; done"#])
        .start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    // It was to be gone within 2.5 s; the rest is for a machine that is busy.
    assert!((2000..4000).contains(&(finished.stop_took().as_millis() as u64)), "{finished}");
    let report = finished.report().to_string();
    for signal in ["SIGTERM", "SIGINT", "SIGKILL"] {
        assert!(finished.stderr.iter().any(|line| line.contains(signal)), "{signal} is in the log{finished}");
        assert!(report.contains(signal), "{signal} is in the report");
    }
}

#[test]
fn a_wait_ends_when_the_service_is_gone() {
    let curfew = Curfew::run(["--grace", "TERM 50s, KILL"]).fixture("obedient 100ms").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.verdict(), "clean");
    assert!(finished.stop_took() >= Duration::from_millis(100));
    assert!(finished.stop_took() < Duration::from_secs(50));
    finished.place("done");
}

#[test]
fn a_program_that_needs_the_second_signal_is_escalated_and_no_failure() {
    let curfew = Curfew::run(["--grace", "TERM 100ms, INT 50s, KILL"]).fixture("ignores TERM").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.verdict(), "escalated");
}

#[test]
fn a_stopped_program_is_continued_so_that_it_can_obey() {
    let curfew = Curfew::run(["--grace", "TERM 50s, KILL"]).fixture("stops-itself").start();
    curfew.wait_for("ready");
    let child = crate::support::children(curfew.pid())[0];
    curfew.eventually("it is stopped", || state(child) == Some('T'));
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.verdict(), "clean");
    assert!(finished.place("continued by CONT") < finished.place("got TERM"));
}

#[test]
fn a_stopped_child_of_a_service_is_continued_too() {
    let curfew = Curfew::run(["--grace", "TERM 50s, KILL"])
        .fixture("forks session+stopped+slow group+stopped")
        .start();
    let children = ["child session", "child group"].map(|text| curfew.wait_for_pid(text));
    curfew.wait_for("ready");
    for child in children {
        curfew.eventually("it is stopped", || state(child) == Some('T'));
    }
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    finished.place("child session+stopped+slow done");
}

/// A leader that stays until INT, a worker in its group, and one in a session of its own. Each worker says when it has
/// obeyed TERM. TERM is followed by INT when a person asks for haste.
fn with_target(options: [&str; 2], first: &[&str]) -> Vec<String> {
    let curfew = Curfew::run(options).fixture("forks stays group+slow session+slow").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    curfew.wait_for("got TERM");
    for text in first {
        curfew.wait_for(text);
    }
    next_stage(&curfew);
    let finished = curfew.finish();
    finished.assert_status(0);
    finished.stdout.iter().filter(|line| line.contains("done") || line.contains("got INT")).cloned().collect()
}

fn next_stage(curfew: &Running) {
    // Sooner, it would count as the same request.
    pause(BEYOND_A_DUPLICATE);
    curfew.signal(SIGINT);
    curfew.wait_for("got INT");
}

fn position(lines: &[String], text: &str) -> usize {
    lines
        .iter()
        .position(|line| line.contains(text))
        .unwrap_or_else(|| panic!("{text:?} is not in {lines:?}"))
}

#[test]
fn a_stage_for_the_leader_leaves_its_workers_alone() {
    for options in
        [["--grace", "TERM 50s, INT 50s, KILL"], ["--grace", "TERM@leader 50s, INT@leader 50s, KILL"]]
    {
        let lines = with_target(options, &[]);
        assert_eq!(position(&lines, "got INT"), 0, "{lines:?}");
        // What the leader leaves behind begins the schedule for itself.
        position(&lines, "group+slow done");
        position(&lines, "session+slow done");
    }
}

#[test]
fn a_stage_for_the_group_reaches_the_workers_in_it() {
    let lines = with_target(["--grace", "TERM@group 50s, INT 50s, KILL"], &["group+slow done"]);
    let interrupt = position(&lines, "got INT");
    assert!(position(&lines, "group+slow done") < interrupt, "{lines:?}");
    assert!(position(&lines, "session+slow done") > interrupt, "{lines:?}");
}

#[test]
fn a_stage_for_all_reaches_every_descendant() {
    let lines =
        with_target(["--grace", "TERM@all 50s, INT 50s, KILL"], &["group+slow done", "session+slow done"]);
    assert_eq!(position(&lines, "got INT"), 2, "{lines:?}");
}

#[test]
fn a_default_target_holds_for_stages_that_name_none() {
    let curfew = Curfew::run(["--grace", "TERM 50s, INT 50s, KILL", "--signal-target", "all"])
        .fixture("forks stays group+slow session+slow")
        .start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    curfew.wait_for("group+slow done");
    curfew.wait_for("session+slow done");
    next_stage(&curfew);
    let finished = curfew.finish();
    assert!(finished.place("session+slow done") < finished.place("got INT"));
}

#[test]
fn the_last_stage_may_last_for_ever() {
    let curfew =
        Curfew::run(["--name", "it", "--grace", "TERM 100ms, INT"]).fixture("ignores TERM INT").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    curfew.wait_for("got INT");
    // The only way out is a person.
    next_stage(&curfew);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert!(finished.report()["services"][0]["stages"][1]["wait_ms"].is_null());
}

#[test]
fn a_drain_comes_before_the_first_signal_of_a_service_that_was_up() {
    let curfew = Curfew::run([])
        .config("service.a = { command = <obedient>, drain = \"400ms\" }\nservice.b.command = <obedient>")
        .start();
    curfew.wait_for_many(2, "ready");
    curfew.wait_for_events(2, "service.ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert!(finished.place("b: got TERM") < finished.place("a: got TERM"));
    assert!(finished.sent_at("a", 0) >= finished.sent_at("b", 0) + 400, "{finished}");
    assert_eq!(finished.events("drain.begun").len(), 1);
}

#[test]
fn kill_alone_is_a_schedule() {
    let curfew = Curfew::run(["--grace", "KILL"]).fixture("prints-signals").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert!(finished.said("got").is_empty());
}
