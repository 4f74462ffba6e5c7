//! Two watchdogs: systemd's over curfew, and curfew's over its services.

use crate::expect;
use crate::lab::Lab;
use crate::unit;

#[test]
fn curfew_says_that_it_is_well_while_its_loop_is() {
    let Some(lab) = Lab::boot() else { return };
    lab.hear_notifications();
    lab.unit("one.service", &unit::notify("--deadline 10s -- fixture obedient", "WatchdogSec=1s"));
    lab.systemctl(["start", "one.service"]).succeeds();
    let follower = lab.follow("one.service");
    // More than a whole interval.
    follower.wait_for_several(5, "(WATCHDOG=1)");
    assert_eq!(lab.show("one.service", "SubState"), "running");
    lab.systemctl(["stop", "one.service"]).succeeds();
    expect::stopped_with(&lab, "one.service", "success", "0");
}

#[test]
fn systemd_acts_when_curfew_itself_hangs() {
    let Some(lab) = Lab::boot() else { return };
    let more = "WatchdogSec=1s\nTimeoutAbortSec=1s";
    lab.unit("one.service", &unit::notify("--deadline 10s -- fixture obedient", more));
    lab.systemctl(["start", "one.service"]).succeeds();
    lab.systemctl(["kill", "--signal", "STOP", "--kill-whom", "main", "one.service"]).succeeds();
    lab.follow("one.service").wait_for("Failed with result 'watchdog'");
    assert_eq!(lab.processes("fixture"), [0; 0]);
}

/// A healthy curfew that systemd takes for a stuck one: it kills everything and says so, as systemd wants it.
#[test]
fn at_systemds_abort_curfew_takes_everything_with_it() {
    let Some(lab) = Lab::boot() else { return };
    let arguments = "--deadline 10s -- fixture forks session daemon ignoring";
    lab.unit("one.service", &unit::notify(arguments, ""));
    lab.systemctl(["start", "one.service"]).succeeds();
    let follower = lab.follow("one.service");
    follower.wait_for(": ready");
    lab.systemctl(["kill", "--signal", "ABRT", "--kill-whom", "main", "one.service"]).succeeds();
    follower.wait_for("one.service: Failed with result");
    expect::nothing_left_for_systemd(&lab, "one.service");
    assert_eq!(lab.processes("fixture"), [0; 0]);
}

#[test]
fn a_service_that_is_late_for_its_own_watchdog_is_curfews_matter_alone() {
    let Some(lab) = Lab::boot() else { return };
    let path = lab.file(
        "system.toml",
        "[service.api]\nwatchdog = \"1s\"\nrestart = \"on-failure\"\n\
         command = [\"fixture\", \"script\", \"tell-variable:WATCHDOG_USEC\", \"pings:6:250ms\", \"say:stuck\", \
         \"until:TERM\"]\n\
         [service.dashboard]\ncommand = [\"fixture\", \"obedient\"]\n",
    );
    lab.unit("system.service", &unit::notify(&format!("--deadline 10s --config {path}"), "WatchdogSec=10s"));
    lab.systemctl(["start", "system.service"]).succeeds();
    let follower = lab.follow("system.service");
    follower.wait_for("dashboard: ready");
    follower.wait_for("api: WATCHDOG_USEC=1000000");
    follower.wait_for("api: stuck");
    follower.wait_for("did not say within 1s that it is well (watchdog)");
    // It is started again; nobody else notices.
    follower.wait_for_several(2, "api: WATCHDOG_USEC");
    assert_eq!(lab.show("system.service", "ActiveState"), "active");
    assert_eq!(lab.show("system.service", "NRestarts"), "0");
    lab.systemctl(["stop", "system.service"]).succeeds();
    let messages = lab.messages("system.service");
    assert_eq!(messages.iter().filter(|message| message.contains("dashboard: ready")).count(), 1);
}

#[test]
fn a_service_that_is_late_and_may_not_restart_stops_the_system_with_82() {
    let Some(lab) = Lab::boot() else { return };
    let path = lab.file(
        "system.toml",
        "[service.api]\nwatchdog = \"500ms\"\n\
         command = [\"fixture\", \"script\", \"pings:1:1ms\", \"until:TERM\"]\n\
         [service.dashboard]\ncommand = [\"fixture\", \"obedient\"]\n",
    );
    lab.unit("system.service", &unit::notify(&format!("--deadline 10s --config {path}"), "WatchdogSec=10s"));
    lab.systemctl(["start", "system.service"]).succeeds();
    lab.follow("system.service").wait_for("system.service: Failed with result");
    expect::stopped_with(&lab, "system.service", "exit-code", "82");
    expect::nothing_left_for_systemd(&lab, "system.service");
    expect::three_lines_in_order(&lab, "system.service");
}
