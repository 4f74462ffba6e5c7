//! The deadline that systemd sets: learnt from it, and extended with its help.

use crate::expect;
use crate::lab::{Background, Lab};
use crate::unit;

/// Starts the unit, and waits for a line of it.
#[track_caller]
fn start(lab: &Lab, name: &str, text: &str) -> Background {
    lab.systemctl(["start", name]).succeeds();
    let follower = lab.follow(name);
    follower.wait_for(text);
    follower
}

#[track_caller]
fn stop(lab: &Lab, name: &str) {
    lab.systemctl(["stop", name]).succeeds();
}

/// What the stop had, as `stop requested` says it.
fn budget(follower: &Background) -> String {
    let line = follower.wait_for("🛑 stop requested");
    line.rsplit_once("; ").map_or_else(String::new, |(_, budget)| budget.to_owned())
}

const DEAF: &str = "-- fixture ignores TERM";

#[test]
fn a_schedule_that_is_too_long_is_shrunk_to_what_systemd_grants() {
    let Some(lab) = Lab::boot() else { return };
    lab.unit("deaf.service", &unit::notify(&format!("--grace 'TERM 8s, KILL' {DEAF}"), "TimeoutStopSec=3s"));
    let follower = start(&lab, "deaf.service", ": ready");
    stop(&lab, "deaf.service");
    expect::stopped_with(&lab, "deaf.service", "exit-code", "80");
    expect::nothing_left_for_systemd(&lab, "deaf.service");
    follower.wait_for("schedule shortened");
    follower.wait_for("main thread waits");
    expect::three_lines_in_order(&lab, "deaf.service");
}

#[test]
fn a_schedule_that_fits_is_kept_whole() {
    let Some(lab) = Lab::boot() else { return };
    lab.unit("deaf.service", &unit::notify(&format!("--grace 'TERM 3s, KILL' {DEAF}"), "TimeoutStopSec=5s"));
    let follower = start(&lab, "deaf.service", ": ready");
    stop(&lab, "deaf.service");
    expect::stopped_with(&lab, "deaf.service", "exit-code", "80");
    expect::nothing_left_for_systemd(&lab, "deaf.service");
    follower.wait_for("waiting up to 3s");
}

#[test]
fn with_extend_a_schedule_that_is_too_long_takes_its_time_and_systemd_waits() {
    let Some(lab) = Lab::boot() else { return };
    let command = "-- fixture script say:up until:TERM work:6s say:saved";
    lab.unit(
        "slow.service",
        &unit::notify(&format!("--extend --grace 'TERM 8s, KILL' {command}"), "TimeoutStopSec=3s"),
    );
    let follower = start(&lab, "slow.service", ": up");
    stop(&lab, "slow.service");
    expect::stopped_with(&lab, "slow.service", "success", "0");
    expect::nothing_left_for_systemd(&lab, "slow.service");
    follower.wait_for(": saved");
}

/// The same with the deadline said outright.
#[test]
fn with_extend_and_a_configured_deadline_systemd_waits_as_well() {
    let Some(lab) = Lab::boot() else { return };
    let command = "-- fixture script say:up until:TERM work:6s say:saved";
    lab.unit(
        "slow.service",
        &unit::notify(
            &format!("--extend --deadline 3s --grace 'TERM 8s, KILL' {command}"),
            "TimeoutStopSec=3s",
        ),
    );
    let follower = start(&lab, "slow.service", ": up");
    stop(&lab, "slow.service");
    expect::stopped_with(&lab, "slow.service", "success", "0");
    expect::nothing_left_for_systemd(&lab, "slow.service");
    follower.wait_for(": saved");
}

/// Nobody hears that more time is asked for.
#[test]
fn without_a_socket_to_systemd_extend_changes_nothing() {
    let Some(lab) = Lab::boot() else { return };
    let more = "NotifyAccess=none\nTimeoutStopSec=3s";
    lab.unit("deaf.service", &unit::exec(&format!("--extend --grace 'TERM 8s, KILL' {DEAF}"), more));
    let follower = start(&lab, "deaf.service", "systemd kills us 3s");
    stop(&lab, "deaf.service");
    expect::stopped_with(&lab, "deaf.service", "exit-code", "80");
    expect::nothing_left_for_systemd(&lab, "deaf.service");
    follower.wait_for("--extend does nothing here");
}

#[test]
fn a_task_that_is_longer_than_the_start_timeout_gets_its_time_with_extend() {
    let Some(lab) = Lab::boot() else { return };
    let path = lab.file(
        "system.toml",
        "[service.migrate]\ntype = \"task\"\ncommand = [\"fixture\", \"script\", \"work:4s\", \"say:migrated\"]\n\
         [service.api]\nafter = [\"migrate\"]\ncommand = [\"fixture\", \"obedient\"]\n",
    );
    let more = "TimeoutStartSec=2s\nTimeoutStopSec=10s";
    lab.unit("system.service", &unit::notify(&format!("--extend --deadline 10s --config {path}"), more));
    start(&lab, "system.service", "migrate: migrated");
    stop(&lab, "system.service");
    expect::stopped_with(&lab, "system.service", "success", "0");
}

/// The same without `--extend`, so that it is known what it is good for.
#[test]
fn without_extend_such_a_task_is_too_long_for_systemd() {
    let Some(lab) = Lab::boot() else { return };
    let path = lab.file(
        "system.toml",
        "[service.migrate]\ntype = \"task\"\ncommand = [\"fixture\", \"script\", \"work:60s\"]\n",
    );
    let more = "TimeoutStartSec=1s\nTimeoutStopSec=10s";
    lab.unit("system.service", &unit::notify(&format!("--deadline 10s --config {path}"), more));
    lab.systemctl(["start", "system.service"]).fails();
    assert_eq!(lab.show("system.service", "Result"), "timeout");
    expect::nothing_left_for_systemd(&lab, "system.service");
}

#[test]
fn a_service_that_extends_its_stop_gets_the_time_and_those_behind_it_keep_theirs() {
    let Some(lab) = Lab::boot() else { return };
    // The dashboard is stopped first, and says that it needs more than its schedule has.
    let path = lab.file(
        "system.toml",
        "[service.api]\ngrace = \"TERM 4s, KILL\"\n\
         command = [\"fixture\", \"script\", \"say:up\", \"until:TERM\", \"work:1s\", \"say:saved\"]\n\
         [service.dashboard]\nafter = [\"api\"]\nnotify = true\ngrace = \"TERM 1s, KILL\"\n\
         command = [\"fixture\", \"script\", \"say:up\", \"until:TERM\", \"send:EXTEND_TIMEOUT_USEC=4000000\", \
         \"work:3s\", \"say:saved\"]\n",
    );
    lab.unit(
        "system.service",
        &unit::notify(&format!("--deadline 20s --config {path}"), "TimeoutStopSec=20s"),
    );
    let follower = start(&lab, "system.service", "dashboard: up");
    stop(&lab, "system.service");
    expect::stopped_with(&lab, "system.service", "success", "0");
    follower.wait_for("dashboard: saved");
    follower.wait_for("api: saved");
    let end = follower.wait_for("🏁 shutdown complete");
    assert!(end.contains("clean"), "{end}");
}

#[test]
fn a_drop_in_counts_and_so_does_one_that_came_while_curfew_ran() {
    let Some(lab) = Lab::boot() else { return };
    lab.unit("one.service", &unit::notify("-- fixture script say:up until:TERM", "TimeoutStopSec=10s"));
    lab.unit("one.service.d/more.conf", "[Service]\nTimeoutStopSec=40s\n");
    let follower = start(&lab, "one.service", ": up");
    follower.wait_for("systemd kills us 40s after a stop began");
    stop(&lab, "one.service");
    assert_eq!(budget(&follower), "budget 38s");
    drop(follower);
    // A stop that lasts: what came meanwhile is asked for when it begins, and waited for by nobody.
    let deaf = "--grace 'TERM 30s, KILL' -- fixture ignores TERM";
    lab.unit("two.service", &unit::notify(deaf, "TimeoutStopSec=40s"));
    let follower = start(&lab, "two.service", "systemd kills us 40s");
    lab.unit("two.service.d/more.conf", "[Service]\nTimeoutStopSec=3s\n");
    stop(&lab, "two.service");
    follower.wait_for("systemd kills us 3s after a stop began");
    assert_ne!(lab.show("two.service", "Result"), "timeout");
}

#[test]
fn a_deadline_that_was_said_and_is_longer_than_systemds_gives_way_to_it() {
    let Some(lab) = Lab::boot() else { return };
    let deaf = "--deadline 60s --grace 'TERM 30s, KILL' -- fixture ignores TERM";
    lab.unit("deaf.service", &unit::notify(deaf, "TimeoutStopSec=4s"));
    let follower =
        start(&lab, "deaf.service", "longer than TimeoutStopSec= of the unit: systemd kills us 4s");
    stop(&lab, "deaf.service");
    expect::stopped_with(&lab, "deaf.service", "exit-code", "80");
    expect::nothing_left_for_systemd(&lab, "deaf.service");
    assert_eq!(budget(&follower), "budget 3s");
    drop(follower);
    // A drop-in alone is enough where the model unit has said it in the environment as well.
    let more = "TimeoutStopSec=40s\nEnvironment=CURFEW_DEADLINE=40s";
    lab.unit("model.service", &unit::notify("-- fixture script say:up until:TERM", more));
    lab.unit("model.service.d/more.conf", "[Service]\nTimeoutStopSec=5s\n");
    let follower = start(&lab, "model.service", "systemd kills us 5s");
    stop(&lab, "model.service");
    assert_eq!(budget(&follower), "budget 4s");
    drop(follower);
    // The shorter one that was said stays.
    lab.unit(
        "short.service",
        &unit::notify("--deadline 9s -- fixture script say:up until:TERM", "TimeoutStopSec=40s"),
    );
    let follower = start(&lab, "short.service", ": up");
    stop(&lab, "short.service");
    assert_eq!(budget(&follower), "budget 8s");
}

/// The kernel may be told to wake a process late. What the service gets is as the unit says.
#[test]
fn a_unit_whose_timers_may_be_late_stops_in_time_all_the_same() {
    let Some(lab) = Lab::boot() else { return };
    let more = "TimeoutStopSec=4s\nTimerSlackNSec=10s";
    lab.unit("late.service", &unit::notify(&format!("--grace 'TERM 1s, KILL' {DEAF}"), more));
    let follower = start(&lab, "late.service", ": ready");
    let slack = |program: &str| {
        let pid = lab.processes(program)[0];
        std::fs::read_to_string(lab.inside(&format!("/proc/{pid}/timerslack_ns"))).expect("it runs")
    };
    assert_eq!([slack("fixture"), slack("curfew_under_test")], ["10000000000\n", "50000\n"]);
    stop(&lab, "late.service");
    expect::stopped_with(&lab, "late.service", "exit-code", "80");
    expect::nothing_left_for_systemd(&lab, "late.service");
    follower.wait_for("waiting up to 1s");
}

#[test]
fn no_limit_and_zero_both_mean_that_there_is_no_deadline() {
    for limit in ["infinity", "0"] {
        let Some(lab) = Lab::boot() else { return };
        let more = format!("TimeoutStopSec={limit}");
        lab.unit("one.service", &unit::notify("-- fixture script say:up until:TERM", &more));
        let follower = start(&lab, "one.service", ": up");
        stop(&lab, "one.service");
        assert_eq!(budget(&follower), "no deadline", "{more}");
    }
}

#[test]
fn a_stop_that_comes_at_once_is_in_time_all_the_same() {
    let Some(lab) = Lab::boot() else { return };
    lab.unit("deaf.service", &unit::exec(&format!("--grace 'TERM 8s, KILL' {DEAF}"), "TimeoutStopSec=3s"));
    // Type=exec: systemd does not wait for anything but the exec.
    lab.systemctl(["start", "deaf.service"]).succeeds();
    stop(&lab, "deaf.service");
    assert_ne!(lab.show("deaf.service", "Result"), "timeout");
    expect::nothing_left_for_systemd(&lab, "deaf.service");
}

/// With KillMode=control-group, the default, systemd asks everybody of a unit to stop, and kills everybody.
#[test]
fn behind_a_shell_curfew_has_the_deadline_of_the_unit() {
    let Some(lab) = Lab::boot() else { return };
    let shell = "/bin/sh -c 'curfew run --grace \"TERM 8s, KILL\" -- fixture ignores TERM; exit 0'";
    lab.unit("shell.service", &format!("[Service]\nExecStart={shell}\nTimeoutStopSec=3s\n"));
    let follower = start(&lab, "shell.service", "systemd kills us 3s after a stop began");
    stop(&lab, "shell.service");
    follower.wait_for("🏁 shutdown complete");
    assert_ne!(lab.show("shell.service", "Result"), "timeout");
    expect::nothing_left_for_systemd(&lab, "shell.service");
    expect::three_lines_in_order(&lab, "shell.service");
}

/// Nobody asks curfew to stop there, so it says so while there is time.
#[test]
fn behind_a_shell_that_alone_is_stopped_curfew_says_so() {
    let Some(lab) = Lab::boot() else { return };
    let shell = "/bin/sh -c 'curfew run -- fixture obedient; exit 0'";
    lab.unit("shell.service", &format!("[Service]\nExecStart={shell}\nKillMode=mixed\n"));
    let follower = start(&lab, "shell.service", ": ready");
    follower.wait_for("with KillMode=mixed systemd stops the process that started curfew, and not curfew");
}

#[test]
fn a_unit_of_a_distant_relative_tells_nothing_about_its_deadline() {
    let Some(lab) = Lab::boot() else { return };
    let shell = "/bin/sh -c 'sh -c \"curfew run -- fixture script say:up until:TERM; exit 0\"; exit 0'";
    lab.unit("shell.service", &format!("[Service]\nExecStart={shell}\nTimeoutStopSec=5s\n"));
    let follower = start(&lab, "shell.service", ": up");
    stop(&lab, "shell.service");
    assert_eq!(budget(&follower), "no deadline");
}

/// The main process is the one in the file, whoever systemd executed.
#[test]
fn a_unit_that_forks_tells_its_deadline_to_the_main_process() {
    let Some(lab) = Lab::boot() else { return };
    let shell =
        "/bin/sh -c 'curfew run --grace \"TERM 8s, KILL\" -- fixture ignores TERM & echo $$! >/run/one.pid'";
    let more = "Type=forking\nPIDFile=/run/one.pid\nKillMode=mixed\nTimeoutStopSec=3s";
    lab.unit("one.service", &format!("[Service]\nExecStart={shell}\n{more}\n"));
    let follower = start(&lab, "one.service", ": ready");
    stop(&lab, "one.service");
    expect::stopped_with(&lab, "one.service", "exit-code", "80");
    expect::nothing_left_for_systemd(&lab, "one.service");
    follower.wait_for("systemd kills us 3s after a stop began");
}

#[test]
fn what_runs_before_the_main_process_has_the_deadline_of_the_unit() {
    let Some(lab) = Lab::boot() else { return };
    let before = "/usr/local/bin/curfew run --grace 'TERM 8s, KILL' -- fixture ignores TERM";
    lab.unit(
        "one.service",
        &format!(
            "[Service]\nExecStartPre={before}\nExecStart=/bin/true\nKillMode=mixed\nTimeoutStopSec=3s\n"
        ),
    );
    lab.systemctl(["start", "--no-block", "one.service"]).succeeds();
    let follower = lab.follow("one.service");
    follower.wait_for("systemd kills us 3s after a stop began");
    stop(&lab, "one.service");
    assert_ne!(lab.show("one.service", "Result"), "timeout");
    expect::nothing_left_for_systemd(&lab, "one.service");
    expect::three_lines_in_order(&lab, "one.service");
}

/// systemd takes what curfew sends, and throws it away: it says so, and does not count on more time.
#[test]
fn whom_systemd_does_not_hear_it_gives_no_more_time() {
    let Some(lab) = Lab::boot() else { return };
    let shell = "/bin/sh -c 'curfew run --extend --grace \"TERM 8s, KILL\" -- fixture ignores TERM; exit 0'";
    let more = "NotifyAccess=main\nTimeoutStopSec=3s";
    lab.unit("shell.service", &format!("[Service]\nExecStart={shell}\n{more}\n"));
    let follower = start(&lab, "shell.service", "systemd does not listen to curfew");
    follower.wait_for("--extend does nothing here");
    stop(&lab, "shell.service");
    follower.wait_for("🏁 shutdown complete");
    assert_ne!(lab.show("shell.service", "Result"), "timeout");
    expect::nothing_left_for_systemd(&lab, "shell.service");
}

/// Such a stop would end in systemd's SIGKILL.
#[test]
fn a_stop_signal_of_systemds_that_is_none_of_curfews_is_told_at_the_start() {
    let Some(lab) = Lab::boot() else { return };
    let file = lab.file("many.toml", "[service.a]\ncommand = [\"fixture\", \"obedient\"]\n");
    let config = format!("--config {file}");
    let said = |name: &str, arguments: &str, signal: &str| {
        lab.unit(name, &unit::notify(arguments, &format!("KillSignal={signal}\nTimeoutStopSec=1s")));
        start(&lab, name, "systemd kills us");
        stop(&lab, name);
        let messages = lab.messages(name);
        messages.iter().any(|line| line.contains(&format!("asks for a stop with {signal} (KillSignal=)")))
    };
    let one = "-- fixture script until:HUP";
    assert!(said("many.service", &config, "SIGHUP"));
    assert!(said("one.service", one, "SIGHUP"));
    assert!(!said("taken.service", &format!("--stop-signals HUP {one}"), "SIGHUP"));
    for signal in ["SIGTERM", "SIGINT", "SIGQUIT", "SIGABRT"] {
        assert!(!said("stopping.service", &config, signal), "{signal}");
    }
}

/// No descriptor is left to ask with.
#[test]
fn a_unit_that_cannot_be_asked_is_told_of() {
    let Some(lab) = Lab::boot() else { return };
    lab.unit("few.service", &unit::exec("--config /run/lab/few.toml", "LimitNOFILE=12"));
    lab.file("few.toml", "[service.a]\ncommand = [\"fixture\", \"obedient\"]\n");
    start(&lab, "few.service", "systemd does not tell when it kills us");
}

#[test]
fn an_unprivileged_user_of_the_unit_learns_it_over_the_bus() {
    let Some(lab) = Lab::boot() else { return };
    // As on any machine: systemd is on the bus.
    lab.systemctl(["start", "dbus.service"]).succeeds();
    // It comes there a moment after the bus.
    let is_there = "until busctl status org.freedesktop.systemd1; do sleep 0.05; done";
    lab.run(["timeout", "60", "sh", "-c", is_there]).succeeds();
    let more = "TimeoutStopSec=20s\nUser=lab";
    lab.unit("one.service", &unit::notify("-- fixture script say:up until:TERM", more));
    let follower = start(&lab, "one.service", ": up");
    follower.wait_for("systemd kills us 20s");
    stop(&lab, "one.service");
    assert_eq!(budget(&follower), "budget 19s");
}

/// A dynamic user may not be able to ask: dbus-daemon before 1.15 does not know it, and hangs up.
#[test]
fn a_unit_with_a_dynamic_user_can_say_its_deadline() {
    let Some(lab) = Lab::boot() else { return };
    let more = "TimeoutStopSec=20s\nEnvironment=CURFEW_DEADLINE=20s\nDynamicUser=yes";
    lab.unit("one.service", &unit::notify("-- fixture script say:up until:TERM", more));
    let follower = start(&lab, "one.service", ": up");
    stop(&lab, "one.service");
    expect::stopped_with(&lab, "one.service", "success", "0");
    assert_eq!(budget(&follower), "budget 19s");
}

#[test]
fn without_a_bus_there_is_no_deadline_and_the_start_is_not_held_up() {
    let Some(lab) = Lab::boot() else { return };
    let more = "TimeoutStopSec=20s\nDynamicUser=yes\nInaccessiblePaths=/run/dbus /run/systemd/private";
    lab.unit("one.service", &unit::notify("-- fixture script say:up until:TERM", more));
    let follower = start(&lab, "one.service", ": up");
    stop(&lab, "one.service");
    expect::stopped_with(&lab, "one.service", "success", "0");
    assert_eq!(budget(&follower), "no deadline");
}
