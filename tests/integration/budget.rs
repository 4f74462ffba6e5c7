//! The budget: however much is to be done, curfew is out before the deadline, and says what that costs.

use std::time::Duration;

use nix::libc::{self, SIGTERM};

use crate::support::{Curfew, carriers, now};

/// The example of the first issue, word for word.
#[test]
fn a_schedule_that_is_too_long_is_shortened_and_the_log_says_by_how_much() {
    let options = ["--grace", "TERM 1s, INT 1s, KILL", "--deadline", "1500ms", "--margin", "300ms"];
    let curfew = Curfew::run(options)
        .command(["sh", "-c", r#"trap "" TERM INT; echo ready; while :; do sleep 0.1; done"#])
        .start();
    curfew.wait_for("ready");
    let since = now();
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert!(finished.ended.since(since) < Duration::from_millis(1500), "{finished}");
    finished.assert_status(80);
    let shrunk = finished.events("budget.shrunk");
    assert!(!shrunk.is_empty(), "{finished}");
    assert_eq!(shrunk[0]["from_ms"], 2000);
    assert!(shrunk[0]["to_ms"].as_u64().unwrap() < 1200);
    let granted = finished.report()["services"][0]["granted_per_mille"].as_u64().unwrap();
    assert!((300..600).contains(&granted), "{granted}");
    // Both signals came all the same.
    let signals: Vec<String> = finished.stages(finished.report()["services"][0]["name"].as_str().unwrap());
    assert_eq!(signals[..2], ["TERM", "INT"]);
    assert!(signals.contains(&"KILL".to_owned()));
}

#[test]
fn a_schedule_that_fits_is_left_alone() {
    let options = ["--grace", "TERM 300ms, KILL", "--deadline", "20s"];
    let curfew = Curfew::run(options).fixture("ignores TERM").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert!(finished.events("budget.shrunk").is_empty());
    assert_eq!(finished.report()["services"][0]["granted_per_mille"], 1000);
    assert!(finished.stop_took() >= Duration::from_millis(300));
}

#[test]
fn a_quick_service_gives_its_time_back_to_the_one_before_it() {
    let curfew = Curfew::run(["--deadline", "4s", "--margin", "500ms"])
        .config(
            "service.base = { command = <ignores TERM>, grace = \"TERM 1s, KILL\" }\n\
             service.front = { command = <obedient>, grace = \"TERM 30s, KILL\", after = [\"base\"] }",
        )
        .start();
    curfew.wait_for_many(2, "ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert!(finished.service("front")["granted_per_mille"].as_u64().unwrap() < 200, "{finished}");
    let base = finished.service("base");
    assert_eq!(base["granted_per_mille"], 1000, "{finished}");
    assert_eq!(base["stages"][0]["wait_ms"], 1000);
    assert!(finished.sent_at("base", 1) - finished.sent_at("base", 0) >= 1000);
}

#[test]
fn the_deadline_holds_with_strays_and_several_levels() {
    let curfew = Curfew::run(["--grace", "TERM 5s, INT 5s, KILL", "--deadline", "2s", "--margin", "500ms"])
        .config(
            "service.base.command = <forks session+ignoring>\n\
             service.middle = { command = <ignores TERM INT>, after = [\"base\"] }\n\
             service.front = { command = <forks daemon+ignoring group+ignoring>, after = [\"middle\"] }",
        )
        .start();
    curfew.wait_for_many(3, ": ready");
    let since = now();
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert!(finished.ended.since(since) < Duration::from_secs(2), "{finished}");
    finished.assert_status(80);
}

#[test]
fn a_stop_that_uses_most_of_its_budget_is_a_near_miss() {
    let near = |fixture: &str| {
        let curfew = Curfew::run(["--grace", "TERM 1s, KILL", "--deadline", "2s", "--margin", "1s"]);
        let curfew = curfew.fixture(fixture).start();
        curfew.wait_for("ready");
        curfew.signal(SIGTERM);
        curfew.finish().report()["near_miss"].as_bool().unwrap()
    };
    // Killed when 800 ms of 1 s are over.
    assert!(near("ignores TERM"));
    assert!(!near("obedient"));
}

#[test]
fn the_deadline_of_the_environment_is_used_and_named() {
    let curfew = Curfew::run([]).env("CURFEW_DEADLINE", "30s").fixture("obedient").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    let deadline = &finished.report()["deadline"];
    assert_eq!(deadline["deadline_ms"], 30_000);
    assert_eq!(deadline["budget_ms"], 28_500);
    assert_eq!(deadline["source"], "environment");
}

#[test]
fn without_a_deadline_nothing_is_assumed() {
    let curfew =
        Curfew::run(["--deadline", "none"]).env("CURFEW_DEADLINE", "30s").fixture("obedient").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert!(finished.report()["deadline"]["deadline_ms"].is_null());
}

/// Stops one thread of a process, as a system call would that does not return.
fn hold_up(thread: i32) {
    // SAFETY: requests without data; the thread is that of a child of ours.
    unsafe {
        let none = std::ptr::null_mut::<libc::c_void>();
        assert_eq!(libc::ptrace(libc::PTRACE_SEIZE, thread, none, none), 0);
        assert_eq!(libc::ptrace(libc::PTRACE_INTERRUPT, thread, none, none), 0);
    }
}

#[test]
fn a_loop_that_is_held_up_in_a_stop_keeps_curfew_from_nothing_but_its_report() {
    let mut curfew = Curfew::run(["--grace", "TERM 500ms, KILL", "--deadline", "2s", "--margin", "400ms"])
        .config("service.a.command = <ignores TERM>\nservice.b.command = <forks stays session+ignoring>")
        .start();
    curfew.wait_for("a: ready");
    curfew.wait_for("b: ready");
    let since = now();
    curfew.signal(SIGTERM);
    curfew.wait_for_many(2, "got TERM");
    hold_up(curfew.pid());
    let finished = curfew.end();
    finished.assert_status(81);
    let took = finished.ended.since(since);
    assert!((1800..2000).contains(&took.as_millis()), "{took:?}{finished}");
    // Both are named, and were killed; but what the guard does not know of is left, and is no more than that.
    // The stray keeps the stream open, so it has no end after which everything is read.
    let line = curfew.wait_for_error_line("held up in the middle of the stop");
    assert!(line.contains("a (") && line.contains("b ("), "{finished}");
    let stray = finished.said("child session+ignoring").remove(0);
    let stray = stray.rsplit(' ').next().and_then(|pid| pid.parse::<i32>().ok()).expect("a pid");
    curfew.eventually("the others are dead", || carriers(curfew.token()).iter().all(|pid| *pid == stray));
}
