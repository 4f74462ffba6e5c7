//! A stop at every point of the start.

use std::io;
use std::time::Duration;

use nix::libc::{self, SIGINT, SIGTERM};

use crate::signal_names::name;
use crate::support::{Curfew, Finished, children, pause};

/// A run that was stopped while it started: as asked and without a trace, or, before `main`, as any program is.
fn check(finished: &Finished) {
    match finished.status.code() {
        Some(status) => {
            finished.check();
            assert_eq!(status, 0, "{finished}");
            assert_eq!(finished.report()["cause"]["kind"], "signal", "{finished}");
        }
        None => {
            // Nothing of curfew ran yet: the signal did what it does to every program.
            assert!(finished.stderr.is_empty() && finished.stdout.is_empty(), "{finished}");
            assert!(finished.left.is_empty() && finished.report.is_none(), "{finished}");
        }
    }
}

#[test]
fn a_term_at_any_moment_of_the_start_stops_what_has_started_and_nothing_is_left() {
    let mut stopped = 0;
    for round in 0..100 {
        let mut curfew = Curfew::run([])
            .config(
                "service.a.command = [\"sleep\", \"1000\"]\n\
                 service.b = { command = [\"sleep\", \"1000\"], after = [\"a\"] }\n\
                 service.t = { type = \"task\", command = [\"sleep\", \"0.002\"], after = [\"b\"] }\n\
                 service.c = { command = [\"sleep\", \"1000\"], after = [\"t\"] }",
            )
            .start();
        // The moment itself is what is tested: there is nothing to wait for.
        pause(Duration::from_micros(200 * round));
        curfew.signal(SIGTERM);
        let finished = curfew.end();
        stopped += i32::from(finished.status.code().is_some());
        match finished.status.code() {
            // The task was in the middle of its work.
            Some(143) => assert_eq!(finished.verdict(), "interrupted", "{finished}"),
            _ => check(&finished),
        }
    }
    assert!(stopped > 20, "only {stopped} of 100 signals came after the beginning");
}

#[test]
fn a_term_at_any_moment_of_the_start_stops_one_command() {
    for round in 0..100 {
        let mut curfew = Curfew::run([]).command(["sleep", "1000"]).start();
        // As above.
        pause(Duration::from_micros(150 * round));
        curfew.signal(SIGTERM);
        check(&curfew.end());
    }
}

/// Blocks a signal and sends it to ourselves: it waits, also through exec, for whoever unblocks it.
fn pending(curfew: Curfew, signal: i32) -> Curfew {
    curfew.before_exec(move || {
        // SAFETY: system calls alone, with valid arguments.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, signal);
            libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            libc::raise(signal);
        }
        Ok::<(), io::Error>(())
    })
}

#[test]
fn a_stop_signal_that_came_before_there_was_a_handler_counts() {
    for signal in [SIGTERM, SIGINT] {
        for curfew in [
            Curfew::run([]).command(["sleep", "1000"]),
            // Its child has not yet made the group that the signal is for.
            Curfew::run(["--signal-target", "group"]).command(["sleep", "1000"]),
            Curfew::run([]).config("service.a.command = [\"sleep\", \"1000\"]"),
        ] {
            let finished = pending(curfew, signal).finish();
            finished.assert_status(0);
            assert_eq!(finished.report()["cause"]["signal"], name(signal));
            assert_eq!(finished.verdict(), "clean");
        }
    }
}

/// The child looks for its program in thousands of places: it is between fork and exec for a while.
fn with_a_long_way_to_exec() -> Curfew {
    let mut path = "/nonexistent/directory:".repeat(5000);
    path.push_str("/bin:/usr/bin");
    Curfew::run([]).env("PATH", &path)
}

#[test]
fn a_term_between_fork_and_exec_is_not_lost() {
    for round in 0..20 {
        let curfew = with_a_long_way_to_exec().command(["sleep", "1000"]).start();
        curfew.wait_for_event("service.started");
        // The moment itself is what is tested: there is nothing to wait for.
        pause(Duration::from_micros(100 * round));
        curfew.signal(SIGTERM);
        let finished = curfew.finish();
        finished.assert_status(0);
        assert_eq!(finished.verdict(), "clean", "{finished}");
    }
}

#[test]
fn a_term_between_fork_and_exec_stops_a_system_too() {
    for round in 0..20 {
        let curfew = with_a_long_way_to_exec()
            .config(
                "service.a.command = [\"sleep\", \"1000\"]\n\
                 service.b.command = [\"sleep\", \"1000\"]\n\
                 service.c = { command = [\"sleep\", \"1000\"], after = [\"a\", \"b\"] }",
            )
            .start();
        curfew.wait_for_event("service.started");
        // As above.
        pause(Duration::from_micros(200 * round));
        curfew.signal(SIGTERM);
        let finished = curfew.finish();
        finished.assert_status(0);
        assert_eq!(finished.verdict(), "clean", "{finished}");
    }
}

#[test]
fn nothing_is_started_once_a_stop_has_begun() {
    let curfew = Curfew::run([])
        .config(
            "service.slow = { type = \"task\", command = <obedient 300ms> }\n\
             service.next = { command = <obedient>, after = [\"slow\"] }",
        )
        .start();
    curfew.wait_for("slow: ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    // The task was done, with success, in the course of the stop.
    finished.place("slow: done");
    assert!(finished.said("next: ").is_empty(), "{finished}");
    assert_eq!(finished.service("next")["result"], "not-started");
}

#[test]
fn a_stop_that_a_service_caused_during_the_start_is_complete() {
    let finished = Curfew::run([])
        .config(
            "service.a.command = <obedient>\n\
             service.b = { command = <answers-with 3>, after = [\"a\"] }\n\
             service.c = { command = <obedient>, after = [\"b\"] }\n\
             service.d.command = <obedient>",
        )
        .finish();
    finished.assert_status(3);
    for service in ["a", "d"] {
        assert_eq!(finished.service(service)["result"], "stopped", "{finished}");
    }
}

#[test]
fn a_command_that_ends_at_once_is_not_lost() {
    for _ in 0..50 {
        let finished = Curfew::run([]).command(["true"]).finish();
        finished.assert_status(0);
    }
}

#[test]
fn curfew_has_one_child_for_one_command() {
    let curfew = Curfew::run([]).fixture("obedient").start();
    curfew.wait_for("ready");
    assert_eq!(children(curfew.pid()).len(), 1);
    curfew.signal(SIGTERM);
    curfew.finish();
}
