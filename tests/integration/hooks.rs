//! Commands that run beside a service, and leaders that go into the background.

use std::os::unix::process::ExitStatusExt;

use nix::libc::{SIGABRT, SIGTERM};

use crate::support::{Curfew, Finished, curfew_binary, exists};

/// A service that ignores TERM, and a stage that runs this command.
fn dumped(command: &str, grace: &str) -> Finished {
    let config = format!(
        "run.dump.command = {command}\n[service.api]\ncommand = <ignores TERM INT>\ngrace = \"{grace}\""
    );
    let curfew = Curfew::run(["--deadline", "30s"]).config(&config).start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    finished
}

fn said(finished: &Finished) -> Vec<String> {
    let events = finished.events("hook.output");
    events.iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_stage_runs_a_command_that_is_told_of_the_service_and_heard_in_the_log() {
    let script = r#"["sh", "-c", "echo of $CURFEW_SERVICE $CURFEW_PID; kill -0 $CURFEW_PID && printf lives >&2; exit 3"]"#;
    let finished = dumped(script, "TERM 100ms, run:dump 2s, KILL");
    let service = finished.report()["services"][0].clone();
    let pid = service["pid"].as_i64().unwrap();
    assert_eq!(said(&finished), [format!("run:dump: of api {pid}"), "run:dump: lives".to_owned()]);
    assert_eq!(service["stages"][1]["run"], "dump");
    assert_eq!(service["stages"][1]["wait_ms"], 2000);
    assert_eq!(service["hooks"][0]["end"]["exit_status"], 3);
    assert_eq!(service["hooks"][0]["killed"], false);
    assert!(finished.stop_took().as_millis() >= 2100, "the stage lasts its wait");
}

#[test]
fn a_command_that_hangs_is_killed_with_all_that_it_started_when_its_stage_is_over() {
    let script = r#"["sh", "-c", "trap '' TERM; setsid sleep 1000 & sleep 1000 & echo started; sleep 1000"]"#;
    let finished = dumped(script, "TERM 50ms, run:dump 500ms, KILL");
    assert_eq!(said(&finished), ["run:dump: started"]);
    assert_eq!(finished.report()["services"][0]["hooks"][0]["killed"], true);
}

/// Scripts lead to it: what one curfew tells its hooks is named as an option of the other is.
#[test]
fn a_hook_may_be_a_curfew_itself() {
    let nested = format!(r#"["{}", "run", "--exit-status", "verdict", "--", "true"]"#, curfew_binary());
    let bare = nested.replace("\"--exit-status\", \"verdict\", ", "");
    let config = format!(
        "service.a = {{ command = [\"true\"], type = \"task\", post-stop = {bare} }}\ncleanup.command = {nested}"
    );
    let finished = Curfew::run([]).config(&config).finish();
    finished.assert_status(0);
    let failed = |event: &serde_json::Value| event["level"] != "debug";
    assert!(!finished.events("hook.ended").iter().any(failed), "{finished}");
    assert_eq!(said(&finished), [""; 0], "{finished}");
}

#[test]
fn what_a_command_leaves_in_its_group_ends_with_it() {
    let finished = dumped(r#"["sh", "-c", "sleep 1000 & echo $!"]"#, "run:dump 500ms, KILL");
    let pid: i32 = said(&finished)[0].rsplit(' ').next().unwrap().parse().unwrap();
    assert!(!exists(pid));
    assert_eq!(finished.events("stray.found").len(), 0, "{finished}");
}

#[test]
fn a_command_that_says_too_much_holds_nothing_up() {
    let command = r#"["sh", "-c", "yes 'a line' | head -c 20000000; echo the end >&2"]"#;
    let config = format!(
        "run.dump.command = {command}\nservice.api = {{ command = <ignores TERM>, grace = \"run:dump 5m, KILL\" }}"
    );
    let curfew = Curfew::run([]).config(&config).start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    // However long it takes on this machine.
    curfew.wait_for_event("hook.ended");
    curfew.signal(SIGABRT);
    let finished = curfew.finish();
    finished.assert_status(80);
    let said = said(&finished);
    let (last, lines) = said.split_last().unwrap();
    assert_eq!(last, "run:dump: … and more, which is left out");
    assert!(lines.len() < 10_000 && lines.iter().all(|line| line == "run:dump: a line"), "{}", said.len());
    assert_eq!(finished.report()["services"][0]["hooks"][0]["killed"], false, "it came to its end");
}

#[test]
fn a_command_that_is_not_there_is_told_and_the_stop_goes_on() {
    let finished = dumped(r#"["/nonexistent/dump"]"#, "run:dump 100ms, TERM 100ms");
    let ended = &finished.events("hook.ended")[0];
    assert_eq!(ended["level"], "error");
    assert_eq!(ended["errno"], 2);
    assert_eq!(finished.report()["services"][0]["hooks"][0]["start_failure"]["step"], "execute");
}

#[test]
fn a_service_that_daemonises_is_an_error_that_names_the_cure() {
    let config = "service.web.command = <forks exits daemon>\nservice.other.command = <obedient>";
    let finished = Curfew::run(["--grace", "TERM 5s, KILL"]).config(config).finish();
    finished.assert_status(82);
    let event = &finished.events("service.daemonised")[0];
    assert_eq!((&event["service"], &event["processes"]), (&"web".into(), &1.into()));
    assert!(event["message"].as_str().unwrap().contains("stay in the foreground"), "{event}");
    assert_eq!(finished.report()["cause"]["failure"], "daemonised");
    assert_eq!(finished.verdict(), "clean");
}

/// `curfew run --config <(generate)`, and the generator hangs.
#[test]
fn a_configuration_that_never_comes_does_not_keep_a_signal_from_ending_curfew() {
    let curfew = Curfew::run([]).report(None).log(None);
    let path = curfew.directory().join("system.fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let curfew = curfew.arg("--config").arg(path.clone()).start();
    // It opens as soon as curfew reads, and says nothing.
    let writer = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    drop(writer);
    assert_eq!(finished.status.signal(), Some(SIGTERM), "{finished}");
}
