//! What systemd hears from curfew (sd_notify), and what it makes of it.

use crate::expect;
use crate::lab::Lab;
use crate::unit;

#[test]
fn systemctl_start_returns_when_every_service_is_ready_and_not_before() {
    let Some(lab) = Lab::boot() else { return };
    let gate = lab.gate("gate");
    let path = lab.file(
        "system.toml",
        &format!(
            "[service.api]\nready = \"notify\"\n\
             command = [\"fixture\", \"script\", \"say:starting\", \"gate:{}\", \"send:READY=1\", \"until:TERM\"]\n\
             [service.worker]\nafter = [\"api\"]\ncommand = [\"fixture\", \"obedient\"]\n",
            gate.inside
        ),
    );
    lab.unit("system.service", &unit::notify(&format!("--deadline 10s --config {path}"), ""));
    let start = lab.start(["systemctl", "start", "system.service"]);
    let follower = lab.follow("system.service");
    follower.wait_for("api: starting");
    assert_eq!(lab.show("system.service", "ActiveState"), "activating");
    let text = lab.show("system.service", "StatusText");
    assert!(text.starts_with("starting: waiting for api"), "{text}");
    let open = gate.open();
    start.finish().succeeds();
    drop(open);
    assert_eq!(lab.show("system.service", "ActiveState"), "active");
    let status = lab.systemctl(["status", "system.service"]).succeeds().stdout;
    let text = lab.show("system.service", "StatusText");
    assert!(status.contains(&format!("Status: \"{text}\"")) && text.contains('2'), "{text}: {status}");
    lab.systemctl(["stop", "system.service"]).succeeds();
    expect::stopped_with(&lab, "system.service", "success", "0");
    expect::nothing_left_for_systemd(&lab, "system.service");
    expect::three_lines_in_order(&lab, "system.service");
}

#[test]
fn the_status_line_tells_whom_the_stop_waits_for() {
    let Some(lab) = Lab::boot() else { return };
    lab.hear_notifications();
    let path = lab.file(
        "system.toml",
        "[service.api]\ngrace = \"TERM 500ms, INT 20s, KILL\"\n\
         command = [\"fixture\", \"script\", \"say:up\", \"until:INT\", \"say:leaving\"]\n",
    );
    lab.unit(
        "system.service",
        &unit::notify(&format!("--deadline 30s --config {path}"), "TimeoutStopSec=30s"),
    );
    lab.systemctl(["start", "system.service"]).succeeds();
    lab.follow("system.service").wait_for("api: up");
    lab.systemctl(["stop", "system.service"]).succeeds();
    expect::stopped_with(&lab, "system.service", "success", "0");
    let heard = lab.notifications("system.service");
    let place = |text: &str| {
        heard
            .iter()
            .position(|message| message.contains(text))
            .unwrap_or_else(|| panic!("{text}: {heard:#?}"))
    };
    let places = [
        place("READY=1"),
        place("STOPPING=1"),
        place("STATUS=stopping: waiting for api, stage 1 of 3"),
        place("STATUS=stopping: waiting for api, stage 2 of 3"),
        place("STATUS=stopped"),
    ];
    assert!(places.is_sorted(), "{heard:#?}");
}

#[test]
fn a_stop_that_a_service_caused_is_told_to_systemd_at_once() {
    let Some(lab) = Lab::boot() else { return };
    let (leave, finish) = (lab.gate("leave"), lab.gate("finish"));
    let path = lab.file(
        "system.toml",
        &format!(
            "[service.api]\ncommand = [\"fixture\", \"script\", \"gate:{}\", \"exit:3\"]\n\
             [service.worker]\ncommand = [\"fixture\", \"script\", \"say:up\", \"until:TERM\", \"gate:{}\"]\n",
            leave.inside, finish.inside
        ),
    );
    lab.unit(
        "system.service",
        &unit::notify(&format!("--deadline 30s --config {path}"), "TimeoutStopSec=30s"),
    );
    lab.systemctl(["start", "system.service"]).succeeds();
    let follower = lab.follow("system.service");
    follower.wait_for("worker: up");
    let _leave = leave.open();
    follower.wait_for("worker: got TERM");
    // Its clock runs: nobody has asked it to stop the unit.
    assert_eq!(lab.show("system.service", "SubState"), "stop-sigterm");
    let _finish = finish.open();
    follower.wait_for("system.service: Failed with result");
    expect::stopped_with(&lab, "system.service", "exit-code", "3");
    expect::nothing_left_for_systemd(&lab, "system.service");
}

#[test]
fn a_start_that_fails_tells_systemd_the_error_number() {
    let Some(lab) = Lab::boot() else { return };
    let path = lab.file("system.toml", "[service.api]\ncommand = [\"/nonexistent/api\"]\n");
    lab.unit("system.service", &unit::notify(&format!("--deadline 10s --config {path}"), ""));
    lab.systemctl(["start", "system.service"]).fails();
    expect::stopped_with(&lab, "system.service", "exit-code", "127");
    assert_eq!(lab.show("system.service", "StatusErrno"), "2", "ENOENT");
}

#[test]
fn one_command_is_started_for_systemd_when_it_is_executed() {
    let Some(lab) = Lab::boot() else { return };
    lab.unit("one.service", &unit::notify("--deadline 10s -- fixture script until:TERM", ""));
    lab.systemctl(["start", "one.service"]).succeeds();
    assert_eq!(lab.show("one.service", "SubState"), "running");
    lab.systemctl(["stop", "one.service"]).succeeds();
    expect::stopped_with(&lab, "one.service", "success", "0");
}

#[test]
fn a_service_cannot_speak_to_systemd_over_curfews_head() {
    let Some(lab) = Lab::boot() else { return };
    lab.hear_notifications();
    let path = lab.file(
        "system.toml",
        "[service.api]\nnotify = true\n\
         command = [\"fixture\", \"script\", \"send:STATUS=mine;MAINPID=1\", \"say:sent\", \"until:TERM\"]\n\
         [service.mute]\n\
         command = [\"fixture\", \"script\", \"tell-variable:NOTIFY_SOCKET\", \"tell-variable:WATCHDOG_USEC\", \
         \"until:TERM\"]\n",
    );
    lab.unit("system.service", &unit::notify(&format!("--deadline 10s --config {path}"), "WatchdogSec=60s"));
    lab.systemctl(["start", "system.service"]).succeeds();
    let follower = lab.follow("system.service");
    follower.wait_for("api: sent");
    follower.wait_for("mute: NOTIFY_SOCKET is not set");
    follower.wait_for("mute: WATCHDOG_USEC is not set");
    lab.systemctl(["stop", "system.service"]).succeeds();
    expect::stopped_with(&lab, "system.service", "success", "0");
    let heard = lab.notifications("system.service");
    assert!(!heard.iter().any(|message| message.contains("mine")), "{heard:#?}");
}
