//! The unit files that are shipped: they are accepted without a remark, and they do what they are for.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use crate::expect;
use crate::lab::{Lab, SHARED};
use crate::sample::{orders, wait_until_it_listens};

/// A lab in which the documented command has installed everything.
#[track_caller]
fn installed() -> Option<Lab> {
    let lab = Lab::boot_with_sample_system()?;
    // The source tree, as far as the command needs it, with what `cargo build --release` would have left.
    let shared = lab.directory();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    let to = shared.join("source/deploy/systemd");
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    let release = shared.join("source/target/release");
    fs::create_dir_all(&release).unwrap();
    symlink("/opt/under-test/curfew_under_test", release.join("curfew")).unwrap();
    symlink("/opt/under-test/supervised-app", release.join("supervised-app")).unwrap();
    // The links that the lab has at their place are no files that could be replaced.
    lab.run(["rm", "/usr/local/bin/curfew", "/usr/local/bin/supervised-app"]).succeeds();
    let outcome = lab.run([&format!("{SHARED}/source/deploy/systemd/install.sh")]).succeeds();
    assert_eq!(outcome.stderr, "", "it has no complaint");
    Some(lab)
}

#[test]
fn systemd_has_no_remark_on_any_of_them() {
    let Some(lab) = installed() else { return };
    for unit in ["sample.service", "one-command.service"] {
        let verified =
            lab.run(["systemd-analyze", "verify", &format!("/etc/systemd/system/{unit}")]).succeeds();
        assert_eq!(verified.stderr, "", "{unit}");
    }
    let unit = "/etc/systemd/user/sample-user.service";
    let verified =
        lab.run(["env", "XDG_RUNTIME_DIR=/run", "systemd-analyze", "--user", "verify", unit]).succeeds();
    assert_eq!(verified.stderr, "", "{unit}");
}

/// A remark would be seen.
#[test]
fn systemd_remarks_on_a_key_that_it_does_not_know() {
    let Some(lab) = Lab::boot() else { return };
    lab.unit("odd.service", "[Service]\nExecStart=/bin/true\nKillMod=mixed\n");
    let verified = lab.run(["systemd-analyze", "verify", "/etc/systemd/system/odd.service"]);
    assert!(verified.stderr.contains("KillMod"), "{verified:#?}");
}

#[test]
fn the_sample_systems_unit_starts_stops_and_keeps_every_order_and_the_report() {
    let Some(lab) = installed() else { return };
    lab.systemctl(["start", "sample.service"]).succeeds();
    // Everything is ready when this returns, so the first order is taken.
    let first = lab.run(["supervised-app", "orders", "--count", "1"]).succeeds().stdout;
    assert!(first.contains("\"refused\":0"), "{first}");
    lab.run(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8001"]).succeeds();
    assert_eq!(lab.show("sample.service", "ActiveState"), "active");
    let orders = orders(&lab);
    lab.systemctl(["stop", "sample.service"]).succeeds();
    expect::stopped_with(&lab, "sample.service", "success", "0");
    expect::nothing_left_for_systemd(&lab, "sample.service");
    expect::three_lines_in_order(&lab, "sample.service");
    // It knew how long it had: 30 s, of which 1.5 s are its margin.
    lab.follow("sample.service").wait_for("; budget 28s 500ms");
    let acknowledged = lab.file("acknowledged.json", &orders.finish().succeeds().stdout);
    let database = "/var/lib/sample/orders.db";
    lab.run(["supervised-app", "verify", "--database", database, "--acknowledged", &acknowledged]).succeeds();
    let report =
        fs::read_to_string(lab.inside("/var/lib/private/sample/stop.json")).expect("there is a report");
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["verdict"], "clean");
}

#[test]
fn the_sample_systems_unit_is_started_again_when_a_service_dies() {
    let Some(lab) = installed() else { return };
    lab.systemctl(["start", "sample.service"]).succeeds();
    let follower = lab.follow("sample.service");
    wait_until_it_listens(&follower);
    lab.run(["pkill", "--signal", "KILL", "--full", "supervised-app api"]).succeeds();
    follower.wait_for("status=137");
    follower.wait_for_several(2, "api: listening");
    assert_eq!(lab.show("sample.service", "NRestarts"), "1");
    expect::nothing_left_for_systemd(&lab, "sample.service");
}

#[test]
fn the_sample_systems_unit_is_not_started_again_with_a_wrong_configuration() {
    let Some(lab) = installed() else { return };
    lab.write("/etc/curfew/sample.toml", "typo = 1\n");
    lab.systemctl(["start", "sample.service"]).fails();
    expect::stopped_with(&lab, "sample.service", "exit-code", "78");
    assert_eq!(lab.show("sample.service", "ActiveState"), "failed");
    assert_eq!(lab.show("sample.service", "NRestarts"), "0");
}

#[test]
fn the_unit_for_one_command_starts_stops_and_keeps_every_order() {
    let Some(lab) = installed() else { return };
    lab.systemctl(["start", "one-command.service"]).succeeds();
    let follower = lab.follow("one-command.service");
    follower.wait_for("api: listening");
    follower.wait_for("systemd kills us 30s after a stop began");
    let orders = orders(&lab);
    lab.systemctl(["stop", "one-command.service"]).succeeds();
    expect::stopped_with(&lab, "one-command.service", "success", "0");
    expect::nothing_left_for_systemd(&lab, "one-command.service");
    expect::three_lines_in_order(&lab, "one-command.service");
    let acknowledged = lab.file("acknowledged.json", &orders.finish().succeeds().stdout);
    let database = "/var/lib/one-command/orders.db";
    lab.run(["supervised-app", "verify", "--database", database, "--acknowledged", &acknowledged]).succeeds();
}

#[test]
fn the_users_unit_starts_and_stops() {
    let Some(lab) = installed() else { return };
    lab.start_user_manager();
    lab.as_user(["systemctl", "--user", "start", "sample-user.service"]).succeeds();
    wait_until_it_listens(&lab.follow_user());
    lab.as_user(["systemctl", "--user", "stop", "sample-user.service"]).succeeds();
    let shown =
        lab.as_user(["systemctl", "--user", "show", "--property", "Result,ExecMainStatus", "sample-user"]);
    assert_eq!(shown.succeeds().stdout, "Result=success\nExecMainStatus=0");
    assert_eq!(lab.processes("supervised-app"), [0; 0]);
}

/// What the comment in the unit says about services that have users of their own.
#[test]
fn with_the_capabilities_that_the_unit_names_curfew_stops_services_of_other_users() {
    let Some(lab) = installed() else { return };
    let unit = fs::read_to_string(lab.inside("/etc/systemd/system/sample.service")).unwrap();
    let capabilities = unit.lines().find_map(|line| line.strip_prefix("# CapabilityBoundingSet="));
    let capabilities = capabilities.expect("the comment names them").trim_end_matches('.');
    lab.unit(
        "sample.service.d/users.conf",
        &format!(
            "[Service]\nDynamicUser=no\nNoNewPrivileges=no\nCapabilityBoundingSet={capabilities}\nTimeoutStopSec=10s\n"
        ),
    );
    lab.write(
        "/etc/curfew/sample.toml",
        "deadline = \"10s\"\nreport = \"stop.json\"\n\
         [service.api]\nuser = \"lab\"\ngrace = \"TERM 1s, KILL\"\n\
         command = [\"fixture\", \"forks\", \"session\", \"daemon+ignoring\"]\n\
         [service.deaf]\nuser = \"nobody\"\ngrace = \"TERM 1s, KILL\"\ncommand = [\"fixture\", \"ignores\", \"TERM\"]\n",
    );
    lab.systemctl(["start", "sample.service"]).succeeds();
    let follower = lab.follow("sample.service");
    follower.wait_for("api: ready");
    follower.wait_for("deaf: ready");
    lab.systemctl(["stop", "sample.service"]).succeeds();
    expect::stopped_with(&lab, "sample.service", "exit-code", "80");
    expect::nothing_left_for_systemd(&lab, "sample.service");
    follower.wait_for("deaf: main thread waits");
    follower.wait_for_several(2, "a process is gone");
    assert_eq!(lab.processes("fixture"), [0; 0]);
}
