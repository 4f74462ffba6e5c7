//! A stop asked for by systemd, told its deadline by the command line.

use crate::expect;
use crate::lab::Lab;
use crate::sample::{assert_orders_are_kept, config, orders, wait_until_it_listens};
use crate::unit;

#[test]
fn the_sample_system_stops_cleanly_and_keeps_every_order() {
    let Some(lab) = Lab::boot_with_sample_system() else { return };
    let path = lab.file("sample.toml", &config("grace = \"TERM 8s, INT 3s, KILL\"", ""));
    let arguments = format!("--deadline 15s --config {path}");
    lab.unit("sample.service", &unit::exec(&arguments, "KillMode=mixed\nTimeoutStopSec=15s"));
    lab.systemctl(["start", "sample.service"]).succeeds();
    wait_until_it_listens(&lab.follow("sample.service"));
    let orders = orders(&lab);
    lab.systemctl(["stop", "sample.service"]).succeeds();
    expect::stopped_with(&lab, "sample.service", "success", "0");
    expect::nothing_left_for_systemd(&lab, "sample.service");
    expect::three_lines_in_order(&lab, "sample.service");
    let orders = assert_orders_are_kept(&lab, orders);
    assert_eq!(orders["unknown"], 0, "{orders}");
}

/// With this KillMode systemd sends TERM to every process at once. `sleep` dies of it before curfew can ask it to.
#[test]
fn a_term_to_everybody_at_once_is_a_clean_stop_all_the_same() {
    let Some(lab) = Lab::boot_with_sample_system() else { return };
    let config = config("deadline = \"10s\"", "") + "[service.worker]\ncommand = \"sleep 1000\"\n";
    let path = lab.file("sample.toml", &config);
    let arguments = format!("--config {path}");
    lab.unit("sample.service", &unit::exec(&arguments, "KillMode=control-group\nTimeoutStopSec=10s"));
    let follower = lab.follow("sample.service");
    // systemd tells curfew first, but it is a matter of chance who acts first.
    for round in 1..=5 {
        lab.systemctl(["start", "sample.service"]).succeeds();
        follower.wait_for_several(round, "dashboard: listening");
        lab.systemctl(["stop", "sample.service"]).succeeds();
        expect::stopped_with(&lab, "sample.service", "success", "0");
        let messages = lab.messages("sample.service");
        let ends: Vec<&String> = messages.iter().filter(|message| message.contains("🏁")).collect();
        assert_eq!(ends.len(), round, "{messages:#?}");
        assert!(ends.iter().all(|message| message.contains("complete: clean")), "{messages:#?}");
    }
    expect::nothing_left_for_systemd(&lab, "sample.service");
}

#[test]
fn a_service_that_ignores_term_is_blamed_and_killed_before_systemd_would() {
    let Some(lab) = Lab::boot() else { return };
    let arguments = "--deadline 5s --grace 'TERM 3s, KILL' -- /usr/local/bin/fixture ignores TERM";
    lab.unit("deaf.service", &unit::exec(arguments, "KillMode=mixed\nTimeoutStopSec=5s"));
    lab.systemctl(["start", "deaf.service"]).succeeds();
    let follower = lab.follow("deaf.service");
    follower.wait_for("ready");
    lab.systemctl(["stop", "deaf.service"]).succeeds();
    expect::stopped_with(&lab, "deaf.service", "exit-code", "80");
    expect::nothing_left_for_systemd(&lab, "deaf.service");
    expect::three_lines_in_order(&lab, "deaf.service");
    follower.wait_for("main thread waits");
}

#[test]
fn strays_that_slipped_away_are_gone_before_curfew_is() {
    let Some(lab) = Lab::boot() else { return };
    let kinds = "session daemon ignoring daemon+ignoring session+stopped daemon+silent group nameless slow";
    let arguments = format!("--deadline 6s --grace 'TERM 2s, KILL' -- /usr/local/bin/fixture forks {kinds}");
    lab.unit("strays.service", &unit::exec(&arguments, "KillMode=mixed\nTimeoutStopSec=6s"));
    lab.systemctl(["start", "strays.service"]).succeeds();
    let follower = lab.follow("strays.service");
    follower.wait_for(": ready");
    lab.systemctl(["stop", "strays.service"]).succeeds();
    expect::stopped_with(&lab, "strays.service", "exit-code", "80");
    expect::nothing_left_for_systemd(&lab, "strays.service");
    expect::three_lines_in_order(&lab, "strays.service");
    assert_eq!(lab.processes("fixture"), [0; 0], "nobody outlives curfew");
    let gone = follower.wait_for_several(9, "a process is gone");
    assert_eq!(
        gone.iter().filter(|line| line.contains("SIGKILL")).count(),
        2,
        "those that ignore: {gone:#?}"
    );
    follower.wait_for("child slow done");
}

/// The same without curfew, so that it is known what systemd says when it finds somebody.
#[test]
fn run_bare_the_strays_are_found_and_killed_by_systemd() {
    let Some(lab) = Lab::boot() else { return };
    lab.unit(
        "bare.service",
        "[Service]\nType=exec\nExecStart=/usr/local/bin/fixture forks session daemon\nKillMode=mixed\n",
    );
    lab.systemctl(["start", "bare.service"]).succeeds();
    lab.follow("bare.service").wait_for(": ready");
    lab.systemctl(["stop", "bare.service"]).succeeds();
    expect::systemd_killed(&lab, "bare.service");
}

#[test]
fn a_service_that_fails_fails_the_unit_with_its_own_status_and_systemd_starts_it_again() {
    let Some(lab) = Lab::boot() else { return };
    let gate = lab.gate("failing");
    let arguments = format!("-- /usr/local/bin/fixture script say:up gate:{} exit:3", gate.inside);
    lab.unit("failing.service", &unit::exec(&arguments, "Restart=on-failure\nRestartSec=0\n"));
    lab.systemctl(["start", "failing.service"]).succeeds();
    let follower = lab.follow("failing.service");
    follower.wait_for(": up");
    let open = gate.open();
    follower.wait_for("status=3");
    drop(open);
    follower.wait_for_several(2, ": up");
    assert_ne!(lab.show("failing.service", "NRestarts"), "0");
}
