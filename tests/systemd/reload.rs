//! `systemctl reload`.

use crate::lab::Lab;

/// A unit whose reload is a HUP.
const HANG_UP: &str = "Type=notify\nExecReload=/bin/kill -HUP $MAINPID";
const BEFORE: &str = "[service.api]\ncommand = [\"fixture\", \"script\", \"say:up\", \"until:TERM\"]\n";
const AFTER: &str = "[service.worker]\ncommand = [\"fixture\", \"script\", \"say:up\", \"until:TERM\"]\n";

/// A unit whose configuration has just been changed, with systemd writing down what it hears.
#[track_caller]
fn changed(kind: &str) -> Option<Lab> {
    let lab = Lab::boot()?;
    lab.hear_notifications();
    let path = lab.file("system.toml", BEFORE);
    lab.unit(
        "system.service",
        &format!(
            "[Service]\n{kind}\nNotifyAccess=main\nKillMode=mixed\n\
             ExecStart=/usr/local/bin/curfew run --deadline 10s --config {path}\n"
        ),
    );
    lab.systemctl(["start", "system.service"]).succeeds();
    lab.follow("system.service").wait_for("api: up");
    lab.file("system.toml", &format!("{BEFORE}{AFTER}"));
    Some(lab)
}

/// systemd 252 does not wait for this after `kill` has ended: what waits is a command that returns when it is over, or
/// Type=notify-reload.
#[test]
fn systemd_hears_the_beginning_and_the_end_of_a_reload() {
    let Some(lab) = changed(HANG_UP) else { return };
    let main = lab.show("system.service", "MainPID");
    lab.systemctl(["reload", "system.service"]).succeeds();
    let follower = lab.follow("system.service");
    let beginning = follower.wait_for("(RELOADING=1");
    assert!(beginning.contains("MONOTONIC_USEC="), "in the same message: {beginning}");
    follower.wait_for_several(2, "(READY=1)");
    let heard = lab.notifications("system.service");
    let of_reload: Vec<&String> = heard
        .iter()
        .filter(|message| message.contains("RELOADING=1") || message.contains("READY=1"))
        .collect();
    assert_eq!(of_reload.len(), 3, "{heard:#?}");
    assert!(of_reload[1].contains("RELOADING=1"), "{heard:#?}");
    assert_eq!(lab.show("system.service", "SubState"), "running");
    assert_eq!(lab.show("system.service", "MainPID"), main, "it is the same curfew");
}

#[test]
fn a_reload_adds_a_service_and_leaves_the_others_alone() {
    let Some(lab) = changed(HANG_UP) else { return };
    lab.systemctl(["reload", "system.service"]).succeeds();
    let follower = lab.follow("system.service");
    follower.wait_for("worker: up");
    follower.wait_for_several(2, "(READY=1)");
    assert_eq!(lab.show("system.service", "SubState"), "running");
    let messages = lab.messages("system.service");
    assert_eq!(messages.iter().filter(|message| *message == "api: up").count(), 1, "{messages:#?}");
}

#[test]
fn a_broken_configuration_is_refused_and_the_reload_is_over_all_the_same() {
    let Some(lab) = changed(HANG_UP) else { return };
    lab.file("system.toml", &format!("{BEFORE}typo = 1\n"));
    lab.systemctl(["reload", "system.service"]).succeeds();
    let follower = lab.follow("system.service");
    follower.wait_for("typo");
    follower.wait_for_several(2, "(READY=1)");
    assert_eq!(lab.show("system.service", "SubState"), "running");
}

/// From systemd 253 on, which sends the HUP itself and waits for the end of the reload.
#[test]
fn with_notify_reload_systemctl_returns_when_the_reload_is_over() {
    let Some(lab) = Lab::boot() else { return };
    let version = lab.run(["systemctl", "--version"]).succeeds().stdout;
    let version: u32 = version.split(' ').nth(1).and_then(|number| number.parse().ok()).unwrap_or(0);
    drop(lab);
    if version < 253 {
        return println!("skipped: Type=notify-reload came with systemd 253, and this is {version}");
    }
    let Some(lab) = changed("Type=notify-reload") else { return };
    lab.systemctl(["reload", "system.service"]).succeeds();
    let messages = lab.messages("system.service");
    assert!(messages.iter().any(|message| message.contains("worker")), "{messages:#?}");
}
