//! A user's own systemd.

use crate::lab::Lab;
use crate::unit;

#[track_caller]
fn stopped_with(lab: &Lab, unit: &str, result: &str, status: &str) {
    let show = |property: &str| {
        let shown = lab.as_user(["systemctl", "--user", "show", "--value", "--property", property, unit]);
        shown.succeeds().stdout.trim().to_owned()
    };
    assert_eq!([show("Result"), show("ExecMainStatus")], [result, status]);
}

/// A lab in which the user's manager runs, and has this unit.
#[track_caller]
fn with_user_unit(text: &str) -> Option<Lab> {
    let lab = Lab::boot()?;
    lab.write("/etc/systemd/user/one.service", text);
    lab.start_user_manager();
    Some(lab)
}

#[test]
fn a_users_unit_starts_and_stops() {
    let arguments = "--deadline 5s -- fixture forks session daemon slow";
    let Some(lab) = with_user_unit(&unit::notify(arguments, "TimeoutStopSec=5s")) else { return };
    lab.as_user(["systemctl", "--user", "start", "one.service"]).succeeds();
    let follower = lab.follow_user();
    follower.wait_for(": ready");
    lab.as_user(["systemctl", "--user", "stop", "one.service"]).succeeds();
    stopped_with(&lab, "one.service", "success", "0");
    follower.wait_for_several(3, "a process is gone");
    follower.wait_for("child slow done");
    assert_eq!(lab.processes("fixture"), [0; 0]);
}

#[test]
fn the_deadline_is_learnt_from_the_users_manager() {
    let text = unit::notify("-- fixture script say:up until:TERM", "TimeoutStopSec=20s");
    let Some(lab) = with_user_unit(&text) else { return };
    lab.as_user(["systemctl", "--user", "start", "one.service"]).succeeds();
    let follower = lab.follow_user();
    follower.wait_for("systemd kills us 20s after a stop began");
    lab.as_user(["systemctl", "--user", "stop", "one.service"]).succeeds();
    let line = follower.wait_for("🛑 stop requested");
    assert!(line.ends_with("budget 19s"), "{line}");
}

/// The end of the session, or of the machine.
#[test]
fn the_end_of_the_users_manager_is_a_clean_stop() {
    let text =
        unit::notify("--deadline 5s -- fixture script say:up until:TERM say:saved", "TimeoutStopSec=5s")
            + "[Install]\nWantedBy=default.target\n";
    let Some(lab) = with_user_unit(&text) else { return };
    lab.as_user(["systemctl", "--user", "start", "one.service"]).succeeds();
    let follower = lab.follow_user();
    follower.wait_for(": up");
    lab.stop_user_manager();
    follower.wait_for(": saved");
    let end = follower.wait_for("🏁 shutdown complete");
    assert!(end.contains("clean"), "{end}");
}
