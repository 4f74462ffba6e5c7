//! The failure that curfew exists for: a system that does not stop, under a unit as it is often written.

use crate::expect;
use crate::lab::Lab;
use crate::sample::{API, assert_orders_are_kept, config, orders, wait_until_it_listens};

/// A unit as it is often written: a command that sends TERM in front of the TERM that systemd sends anyway, only the main
/// process is told, and there is a limit.
fn unit(command: &str) -> String {
    format!(
        "[Service]\nType=exec\nExecStart={command}\nExecStop=/bin/kill -TERM $MAINPID\nKillMode=mixed\n\
         TimeoutStopSec=4s\n"
    )
}

#[test]
fn run_bare_a_service_that_hangs_ends_in_systemds_timeout_and_sigkill() {
    let Some(lab) = Lab::boot_with_sample_system() else { return };
    lab.unit("bare.service", &unit(&format!("{API} --hang")));
    lab.systemctl(["start", "bare.service"]).succeeds();
    lab.follow("bare.service").wait_for("api: listening");
    lab.systemctl(["stop", "bare.service"]).succeeds();
    assert_eq!(lab.show("bare.service", "Result"), "timeout");
    expect::systemd_killed(&lab, "bare.service");
}

#[test]
fn run_bare_a_system_that_leaves_a_daemon_behind_has_it_killed_without_a_grace() {
    let Some(lab) = Lab::boot_with_sample_system() else { return };
    lab.unit("bare.service", &unit(&format!("{API} --leave-daemon")));
    lab.systemctl(["start", "bare.service"]).succeeds();
    lab.follow("bare.service").wait_for("api: listening");
    lab.systemctl(["stop", "bare.service"]).succeeds();
    expect::systemd_killed(&lab, "bare.service");
}

#[test]
fn with_curfew_in_front_a_service_that_hangs_is_killed_in_time_and_80_says_so() {
    let Some(lab) = Lab::boot_with_sample_system() else { return };
    let path = lab.file("sample.toml", &config("grace = \"TERM 1s, KILL\"", "--hang --leave-daemon"));
    lab.unit("guarded.service", &unit(&format!("/usr/local/bin/curfew run --deadline 4s --config {path}")));
    lab.systemctl(["start", "guarded.service"]).succeeds();
    let follower = lab.follow("guarded.service");
    wait_until_it_listens(&follower);
    let orders = orders(&lab);
    lab.systemctl(["stop", "guarded.service"]).succeeds();
    expect::stopped_with(&lab, "guarded.service", "exit-code", "80");
    expect::nothing_left_for_systemd(&lab, "guarded.service");
    expect::three_lines_in_order(&lab, "guarded.service");
    follower.wait_for("api: sent SIGKILL");
    assert_eq!(lab.processes("supervised-app").len(), 0, "but for the orders, and they have ended");
    assert_orders_are_kept(&lab, orders);
}

#[test]
fn with_curfew_in_front_a_service_that_hears_another_signal_only_is_a_success() {
    let Some(lab) = Lab::boot_with_sample_system() else { return };
    // It ignores TERM and INT: systemd would have had to kill it.
    let path = lab.file("sample.toml", &config("grace = \"TERM 500ms, QUIT 2s, KILL\"", "--ignore-term"));
    lab.unit("guarded.service", &unit(&format!("/usr/local/bin/curfew run --deadline 4s --config {path}")));
    lab.systemctl(["start", "guarded.service"]).succeeds();
    wait_until_it_listens(&lab.follow("guarded.service"));
    lab.systemctl(["stop", "guarded.service"]).succeeds();
    expect::stopped_with(&lab, "guarded.service", "success", "0");
    expect::nothing_left_for_systemd(&lab, "guarded.service");
    let messages = lab.messages("guarded.service");
    let end = messages.iter().find(|message| message.contains("🏁 shutdown complete"));
    assert!(end.is_some_and(|message| message.contains("escalated")), "{messages:#?}");
}

#[test]
fn the_two_terms_of_such_a_unit_are_one_request() {
    let Some(lab) = Lab::boot_with_sample_system() else { return };
    let path = lab.file("sample.toml", &config("grace = \"TERM 3s, INT 1s, KILL\"", "--drain-slowly 1s"));
    lab.unit(
        "guarded.service",
        &unit(&format!("/usr/local/bin/curfew run --deadline 6s --config {path}"))
            .replace("TimeoutStopSec=4s", "TimeoutStopSec=6s"),
    );
    lab.systemctl(["start", "guarded.service"]).succeeds();
    wait_until_it_listens(&lab.follow("guarded.service"));
    lab.systemctl(["stop", "guarded.service"]).succeeds();
    expect::stopped_with(&lab, "guarded.service", "success", "0");
    expect::three_lines_in_order(&lab, "guarded.service");
    let messages = lab.messages("guarded.service");
    let end = messages.iter().find(|message| message.contains("🏁 shutdown complete"));
    assert!(end.is_some_and(|message| message.contains("clean")), "{messages:#?}");
    let asked = messages.iter().filter(|message| message.contains("api: stop requested")).count();
    assert_eq!(asked, 1, "the API was asked once: {messages:#?}");
    assert!(!messages.iter().any(|message| message.contains("stage 2 of")), "{messages:#?}");
}
