//! What curfew does with each signal it receives.

use std::time::Duration;

use nix::libc::{
    SIGABRT, SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGPIPE, SIGPWR, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP,
    SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH,
};

use crate::signal_names::{name, number};
use crate::support::{Curfew, Finished, Running, pause};

/// One more than what counts as the same request.
pub(crate) const BEYOND_A_DUPLICATE: Duration = Duration::from_millis(600);

const RTMIN_3: i32 = 37;

/// What a fixture got, in order, without the CONT that follows every stop signal.
fn got(finished: &Finished, service: &str) -> Vec<String> {
    let prefix = format!("{service}: got ");
    let signals = finished.stdout.iter().filter_map(|line| line.strip_prefix(&prefix));
    signals.filter(|signal| *signal != "CONT").map(str::to_owned).collect()
}

/// What the one command got.
fn got_by_command(finished: &Finished) -> Vec<String> {
    finished
        .stdout
        .iter()
        .filter_map(|line| Some(line.split_once(": got ")?.1.to_owned()))
        .filter(|signal| signal != "CONT")
        .collect()
}

/// Every signal that a handler can be made for and that means nothing else to curfew: the faults of a program, what is
/// curfew's own (CHLD, PIPE, XFSZ), ABRT, what stops, and job control aside.
fn forwarded() -> impl Iterator<Item = i32> {
    const OTHERS: [&str; 18] = [
        "ILL", "BUS", "FPE", "SEGV", "KILL", "STOP", "CHLD", "PIPE", "XFSZ", "ABRT", "TERM", "INT", "PWR",
        "RTMIN+3", "TSTP", "TTIN", "TTOU", "CONT",
    ];
    (1..=31).chain(34..=64).filter(|number| !OTHERS.contains(&name(*number).as_str()))
}

#[test]
fn one_command_gets_every_signal_that_does_not_ask_for_a_stop() {
    let curfew = Curfew::run([]).fixture("prints-signals until TERM").start();
    curfew.wait_for("ready");
    for signal in forwarded() {
        curfew.signal(signal);
        curfew.wait_for(&format!("got {}", name(signal)));
    }
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    let expected: Vec<String> = forwarded().chain([SIGTERM]).map(name).collect();
    assert_eq!(got_by_command(&finished), expected);
    finished.assert_status(0);
}

#[test]
fn each_stop_signal_stops_one_command_with_that_same_signal() {
    for signal in [SIGTERM, SIGINT, SIGPWR, RTMIN_3] {
        let curfew = Curfew::run([]).fixture(&format!("prints-signals until {}", name(signal))).start();
        curfew.wait_for("ready");
        curfew.signal(signal);
        let finished = curfew.finish();
        finished.assert_status(0);
        assert_eq!(got_by_command(&finished), [name(signal)]);
        let cause = &finished.report()["cause"];
        assert_eq!(cause["kind"], "signal");
        assert_eq!(cause["signal"], name(signal));
        assert_eq!(cause["sender"]["pid"], std::process::id());
    }
}

#[test]
fn one_command_has_eight_seconds_after_the_signal_by_default() {
    let curfew = Curfew::run([]).fixture("obedient").start();
    curfew.wait_for("ready");
    curfew.signal(SIGINT);
    let finished = curfew.finish();
    let stages = finished.report()["services"][0]["stages"].as_array().unwrap().clone();
    assert_eq!((stages[0]["signal"].clone(), stages[0]["wait_ms"].clone()), ("INT".into(), 8000.into()));
}

/// `a` and `b` want some signals, `c` wants none.
fn three_services() -> Curfew {
    Curfew::run([]).config(
        r#"
        [service.a]
        command = <prints-signals until TERM>
        forward = ["USR1", "WINCH"]
        [service.b]
        command = <prints-signals until TERM>
        forward = ["USR1", "USR2", "HUP"]
        [service.c]
        command = <prints-signals until TERM>
        "#,
    )
}

#[test]
fn services_get_the_signals_that_they_list_and_no_others() {
    let curfew = three_services().start();
    curfew.wait_for_many(3, "ready");
    for (signal, services) in [(SIGUSR1, &["a", "b"][..]), (SIGWINCH, &["a"]), (SIGUSR2, &["b"])] {
        curfew.signal(signal);
        for service in services {
            curfew.wait_for(&format!("{service}: got {}", name(signal)));
        }
    }
    curfew.signal(number("RTMIN+7").unwrap());
    curfew.wait_for_event("signal.ignored");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(got(&finished, "a"), ["USR1", "WINCH", "TERM"]);
    assert_eq!(got(&finished, "b"), ["USR1", "USR2", "TERM"]);
    assert_eq!(got(&finished, "c"), ["TERM"]);
}

#[test]
fn a_system_of_services_is_not_moved_by_job_control_pipes_and_alarms() {
    let curfew = three_services().start();
    curfew.wait_for_many(3, "ready");
    for signal in [SIGTSTP, SIGTTIN, SIGTTOU, SIGPIPE, SIGALRM, SIGCHLD] {
        curfew.signal(signal);
    }
    // It still does its work.
    curfew.signal(SIGUSR2);
    curfew.wait_for("b: got USR2");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(got(&finished, "a"), ["TERM"]);
}

#[test]
fn a_pipe_signal_does_not_end_one_command_or_curfew() {
    let curfew = Curfew::run([]).fixture("prints-signals until TERM").start();
    curfew.wait_for("ready");
    curfew.signal(SIGPIPE);
    curfew.signal(SIGCHLD);
    curfew.signal(SIGUSR1);
    curfew.wait_for("got USR1");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert_eq!(got_by_command(&finished), ["USR1", "TERM"]);
}

#[test]
fn hup_without_a_file_and_quit_stop_a_system_of_services() {
    for signal in [SIGHUP, SIGQUIT] {
        let service = format!("a={} obedient", crate::support::fixture_binary());
        let curfew = Curfew::run([]).arg("--service").arg(service).start();
        curfew.wait_for("a: ready");
        curfew.signal(signal);
        let finished = curfew.finish();
        finished.assert_status(0);
        assert_eq!(finished.report()["cause"]["signal"], name(signal));
        assert_eq!(finished.stages("a"), ["TERM"]);
    }
}

#[test]
fn hup_with_a_file_does_not_stop_a_system_of_services() {
    let curfew = three_services().start();
    curfew.wait_for_many(3, "ready");
    curfew.signal(SIGHUP);
    curfew.wait_for_event("reload.complete");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert_eq!(finished.report()["cause"]["signal"], "TERM");
}

#[test]
fn a_map_changes_what_is_sent_and_not_whether_curfew_stops() {
    let curfew = Curfew::run(["--map", "USR1=USR2", "--map", "HUP=none", "--map", "TERM=QUIT"])
        .fixture("prints-signals until QUIT")
        .start();
    curfew.wait_for("ready");
    curfew.signal(SIGHUP);
    curfew.signal(SIGUSR1);
    curfew.wait_for("got USR2");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(got_by_command(&finished), ["USR2", "QUIT"]);
    assert_eq!(finished.report()["cause"]["signal"], "TERM");
}

#[test]
fn a_stop_signal_that_is_mapped_to_nothing_does_nothing() {
    let curfew = Curfew::run(["--map", "TERM=none"]).fixture("prints-signals until INT").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    assert_eq!(curfew.wait_for_event("signal.ignored")["signal"], "TERM");
    curfew.signal(SIGINT);
    let finished = curfew.finish();
    assert_eq!(got_by_command(&finished), ["INT"]);
}

#[test]
fn other_stop_signals_take_the_place_of_the_usual_ones() {
    let curfew = Curfew::run(["--stop-signals", "USR1"]).fixture("prints-signals until USR1").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    curfew.wait_for("got TERM");
    curfew.signal(SIGUSR1);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.report()["cause"]["signal"], "USR1");
}

#[test]
fn two_thousand_rapid_signals_neither_crash_nor_confuse() {
    let curfew = Curfew::run([]).fixture("prints-signals until TERM").start();
    curfew.wait_for("ready");
    let signals = [SIGUSR1, SIGUSR2, SIGWINCH, SIGHUP, number("RTMIN+5").unwrap()];
    for index in 0..2000 {
        curfew.signal(signals[index % signals.len()]);
    }
    // Of one kind many may become one, but none goes missing altogether.
    for signal in signals {
        curfew.wait_for(&format!("got {}", name(signal)));
    }
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(0);
}

#[test]
fn two_thousand_rapid_stop_signals_are_one_request() {
    let curfew = Curfew::run([]).fixture("prints-signals until USR1").start();
    curfew.wait_for("ready");
    for index in 0..2000 {
        curfew.signal([SIGTERM, SIGPWR, RTMIN_3][index % 3]);
    }
    curfew.wait_for("got ");
    curfew.signal(SIGUSR1);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.events("stop.requested").len(), 1);
    // The one stop signal that came first, and what ended it.
    assert_eq!(got_by_command(&finished).len(), 2, "{finished}");
}

#[test]
fn a_stop_signal_and_an_interrupt_at_once_are_one_request() {
    // What comes together is taken in by number: the interrupt comes second here, as a person's would.
    let curfew = Curfew::run(["--stop-signals", "HUP,INT", "--grace", "TERM 30s, QUIT 30s, KILL"])
        .fixture("prints-signals until USR1")
        .start();
    curfew.wait_for("ready");
    stop_and_continue(&curfew, &[SIGHUP, SIGINT]);
    assert_eq!(curfew.wait_for_event("signal.ignored")["signal"], "INT");
    curfew.wait_for("got TERM");
    curfew.signal(SIGUSR1);
    let finished = curfew.finish();
    assert_eq!(got_by_command(&finished), ["TERM", "USR1"]);
    assert_eq!(finished.report()["cause"]["signal"], "HUP");
}

/// Lets these signals arrive together: curfew is stopped while they are sent.
fn stop_and_continue(curfew: &Running, signals: &[i32]) {
    curfew.signal(SIGSTOP);
    curfew.eventually("curfew is stopped", || crate::support::state(curfew.pid()) == Some('T'));
    for signal in signals {
        curfew.signal(*signal);
    }
    curfew.signal(SIGCONT);
}

#[test]
fn a_second_interrupt_leads_to_the_next_stage_at_once_and_a_second_term_to_nothing() {
    let curfew =
        Curfew::run(["--grace", "TERM 40s, QUIT 40s, KILL"]).fixture("ignores TERM QUIT INT").start();
    curfew.wait_for("ready");
    curfew.signal(SIGINT);
    curfew.wait_for("got TERM");
    // Sooner, it would count as the same request.
    pause(BEYOND_A_DUPLICATE);
    curfew.signal(SIGTERM);
    assert_eq!(curfew.wait_for_event("signal.ignored")["signal"], "TERM");
    // Again.
    pause(BEYOND_A_DUPLICATE);
    curfew.signal(SIGINT);
    curfew.wait_for("got QUIT");
    // And again.
    pause(BEYOND_A_DUPLICATE);
    curfew.signal(SIGINT);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert_eq!(got_by_command(&finished), ["TERM", "QUIT"]);
    assert_eq!(finished.events("stop.escalated").len(), 2);
    assert!(finished.stop_took() < Duration::from_secs(40));
}

#[test]
fn a_second_quit_kills_a_system_of_services_at_once() {
    let curfew = Curfew::run(["--grace", "TERM 40s, KILL"])
        .config("service.a.command = <ignores TERM>\nservice.b.command = <ignores TERM>")
        .start();
    curfew.wait_for_many(2, "ready");
    curfew.signal(SIGQUIT);
    curfew.wait_for_many(2, "got TERM");
    // A person who means it waits a second.
    pause(Duration::from_millis(1100));
    curfew.signal(SIGQUIT);
    let finished = curfew.finish();
    finished.assert_status(80);
    for service in ["a", "b"] {
        assert_eq!(finished.stages(service), ["TERM", "KILL"]);
    }
    assert!(finished.stop_took() < Duration::from_secs(40));
}

#[test]
fn abort_kills_everything_at_once_and_writes_the_report() {
    for curfew in
        [Curfew::run([]).fixture("obedient"), Curfew::run([]).config("service.a.command = <obedient>")]
    {
        let curfew = curfew.start();
        curfew.wait_for("ready");
        curfew.signal(SIGABRT);
        let finished = curfew.finish();
        finished.assert_status(80);
        assert_eq!(finished.report()["cause"]["signal"], "ABRT");
        assert!(finished.said("got").is_empty());
    }
}
