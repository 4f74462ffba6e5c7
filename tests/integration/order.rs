//! The order of a stop: the reverse of the start, at the same time where nothing stands in between.

use std::fmt::Write;
use std::time::Duration;

use nix::libc::SIGTERM;

use crate::support::{Curfew, Finished, carriers, now};

/// The one was gone before the other was told to stop; or it was killed, and on a busy machine not torn down in the time
/// that is set aside for that.
#[track_caller]
fn assert_gone_before(finished: &Finished, first: &str, second: &str) {
    let lingers = finished.events("service.lingers").iter().any(|event| event["service"] == first);
    let gone = if lingers { finished.sent_at(first, 1) } else { finished.down_at(first) };
    assert!(gone <= finished.sent_at(second, 0), "{first}, {second}{finished}");
}

#[test]
fn services_stop_in_reverse_order_each_when_the_one_after_it_is_gone() {
    let curfew = Curfew::run([])
        .config(
            "service.a.command = <obedient 100ms>\n\
             service.b = { command = <obedient 100ms>, after = [\"a\"] }\n\
             service.c = { command = <obedient 100ms>, after = [\"b\"] }",
        )
        .start();
    curfew.wait_for_many(3, "ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert!(finished.place("c: done") < finished.place("b: got TERM"));
    assert!(finished.place("b: done") < finished.place("a: got TERM"));
}

#[test]
fn services_start_in_order() {
    let curfew = Curfew::run([])
        .config(
            "service.c = { command = <obedient>, after = [\"b\"] }\n\
             service.b = { type = \"task\", command = <answers-with 0 after 200ms>, after = [\"a\"] }\n\
             service.a.command = <obedient>",
        )
        .start();
    curfew.wait_for("c: ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert!(finished.place("b: ready") < finished.place("c: ready"));
    let [a, b, c] = ["a", "b", "c"].map(|name| finished.service(name)["started_at_ms"].as_u64().unwrap());
    assert!(a <= b && b + 200 <= c, "{a} {b} {c}");
}

/// The example of the first issue.
#[test]
fn a_service_is_gone_before_what_it_depends_on_gets_its_term() {
    let config =
        "service.a.command = <obedient 2s>\nservice.b = { command = <obedient 2s>, after = [\"a\"] }";
    let curfew = Curfew::run([]).config(config).start();
    curfew.wait_for_many(2, "ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert!(finished.place("b: done") < finished.place("a: got TERM"));
    assert!(finished.down_at("b") <= finished.sent_at("a", 0));
    assert!(finished.stop_took() >= Duration::from_secs(4));
}

/// And its second half.
#[test]
fn two_services_one_after_the_other_are_down_before_a_deadline_of_three_seconds() {
    let config =
        "service.a.command = <obedient 2s>\nservice.b = { command = <obedient 2s>, after = [\"a\"] }";
    let curfew = Curfew::run(["--deadline", "3s"]).config(config).start();
    curfew.wait_for_many(2, "ready");
    let since = now();
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert!(finished.ended.since(since) < Duration::from_secs(3));
    assert_gone_before(&finished, "b", "a");
    assert!(!finished.events("budget.shrunk").is_empty());
}

#[test]
fn independent_services_stop_at_the_same_time() {
    let mut config = String::new();
    for index in 0..10 {
        writeln!(config, "service.s{index}.command = <obedient 500ms>").unwrap();
    }
    let curfew = Curfew::run([]).config(&config).start();
    curfew.wait_for_many(10, "ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    let last_term = (0..10).map(|index| finished.sent_at(&format!("s{index}"), 0)).max().unwrap();
    let first_down = (0..10).map(|index| finished.down_at(&format!("s{index}"))).min().unwrap();
    assert!(last_term < first_down, "all were told before the first was gone");
}

#[test]
fn a_stubborn_service_does_not_starve_the_others() {
    let mut config = "service.stubborn.command = <ignores TERM>\n".to_owned();
    for index in 0..9 {
        writeln!(config, "service.base{index}.command = <obedient>").unwrap();
        writeln!(config, "service.front{index} = {{ command = <obedient>, after = [\"base{index}\"] }}")
            .unwrap();
    }
    let curfew = Curfew::run(["--grace", "TERM 2s, KILL"]).config(&config).start();
    curfew.wait_for_many(19, "ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    let kill = finished.sent_at("stubborn", 1);
    for index in 0..9 {
        assert!(finished.down_at(&format!("front{index}")) <= finished.sent_at(&format!("base{index}"), 0));
        assert!(finished.down_at(&format!("base{index}")) < kill, "{finished}");
        assert_eq!(finished.stages(&format!("base{index}")), ["TERM"]);
    }
}

#[test]
fn a_stubborn_service_holds_up_only_what_it_depends_on_and_only_until_it_is_killed() {
    let curfew = Curfew::run(["--grace", "TERM 300ms, KILL"])
        .config("service.base.command = <obedient>\nservice.front = { command = <ignores TERM>, after = [\"base\"] }")
        .start();
    curfew.wait_for_many(2, "ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert_eq!(finished.stages("front"), ["TERM", "KILL"]);
    assert_eq!(finished.stages("base"), ["TERM"]);
    assert!(finished.sent_at("front", 1) <= finished.sent_at("base", 0));
    finished.place("base: done");
}

#[test]
fn ten_services_in_a_chain_are_down_before_a_short_deadline() {
    let mut config = "service.s0.command = <ignores TERM>\n".to_owned();
    for index in 1..10 {
        writeln!(config, "service.s{index} = {{ command = <ignores TERM>, after = [\"s{}\"] }}", index - 1)
            .unwrap();
    }
    let options = ["--grace", "TERM 1s, KILL", "--deadline", "3s", "--margin", "800ms"];
    let curfew = Curfew::run(options).config(&config).start();
    curfew.wait_for_many(10, "ready");
    let since = now();
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert!(finished.ended.since(since) < Duration::from_secs(3));
    finished.assert_status(80);
    for index in 0..10 {
        assert_eq!(finished.stages(&format!("s{index}")), ["TERM", "KILL"], "each had its chance{finished}");
    }
    for index in 1..10 {
        assert_gone_before(&finished, &format!("s{index}"), &format!("s{}", index - 1));
    }
}

#[test]
fn a_hundred_services_stop_together() {
    let mut config = String::new();
    for index in 0..100 {
        writeln!(config, "service.s{index}.command = <obedient 50ms>").unwrap();
    }
    let curfew = Curfew::run([]).config(&config).start();
    curfew.wait_for_many(100, "ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.verdict(), "clean");
    assert_eq!(finished.said("done").len(), 100);
}

#[test]
fn a_thousand_services_start_and_stop_and_none_is_left() {
    let mut config = String::new();
    for index in 0..1000 {
        let command = "[\"sh\", \"-c\", \"echo ready; exec sleep 1000\"]";
        writeln!(config, "service.s{index}.command = {command}").unwrap();
    }
    // A thousand lines at once are more than the log holds for a slow reader: they are read elsewhere.
    let curfew = Curfew::run([]).config(&config).start();
    curfew.wait_for_many(1000, "ready");
    assert_eq!(carriers(curfew.token()).len(), 1001);
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.verdict(), "clean");
    for service in finished.report()["services"].as_array().unwrap() {
        assert_eq!(service["result"], "stopped", "{service}");
    }
}
