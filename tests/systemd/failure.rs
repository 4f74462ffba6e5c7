//! The failure that curfew exists for: a system that does not stop, under a unit as it is often written.

use crate::lab::Lab;

/// A unit as it is often written: a stop signal of its own in front of systemd's, a limit, and only the main process is told.
fn unit(command: &str) -> String {
    format!(
        "[Service]\nType=exec\nExecStart={command}\nExecStop=/bin/kill -TERM $MAINPID\nKillMode=mixed\n\
         TimeoutStopSec=3s\n"
    )
}

/// systemd's word for a SIGKILL of its own.
const SYSTEMD_KILLS: &str = "with signal SIGKILL";

#[test]
fn run_bare_a_service_that_hangs_ends_in_systemds_timeout_and_sigkill() {
    let Some(lab) = Lab::boot_with_sample_system() else { return };
    lab.unit("bare.service", &unit("/usr/local/bin/supervised-app api --database /tmp/orders.db --hang"));
    lab.systemctl(["start", "bare.service"]).succeeds();
    lab.follow("bare.service").wait_for("api: listening");
    lab.systemctl(["stop", "bare.service"]).succeeds();
    assert_eq!(lab.show("bare.service", "Result"), "timeout");
    let messages = lab.messages("bare.service");
    assert!(messages.iter().any(|message| message.contains(SYSTEMD_KILLS)), "{messages:#?}");
}

#[test]
fn with_curfew_in_front_the_service_that_hangs_is_killed_by_curfew_and_80_says_so() {
    let Some(lab) = Lab::boot_with_sample_system() else { return };
    lab.unit(
        "guarded.service",
        &unit(
            "/usr/local/bin/curfew run --deadline 3s --grace 'TERM 1s, KILL' -- \
             supervised-app api --database /tmp/orders.db --hang",
        ),
    );
    lab.systemctl(["start", "guarded.service"]).succeeds();
    lab.follow("guarded.service").wait_for("api: listening");
    lab.systemctl(["stop", "guarded.service"]).succeeds();
    assert_eq!(lab.show("guarded.service", "Result"), "exit-code");
    assert_eq!(lab.show("guarded.service", "ExecMainStatus"), "80");
    let messages = lab.messages("guarded.service");
    assert!(!messages.iter().any(|message| message.contains(SYSTEMD_KILLS)), "{messages:#?}");
}
