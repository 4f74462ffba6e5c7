//! `Delegate=yes`: a control group of curfew's own.

use std::fs;

use crate::expect;
use crate::lab::Lab;
use crate::unit;

/// A unit whose control group is curfew's to divide.
fn unit(arguments: &str, more: &str) -> String {
    unit::notify(
        &format!("--deadline 8s {arguments}"),
        &format!(
            "Delegate=yes
{more}"
        ),
    )
}

/// The control group of a process below that of this unit.
fn control_group(lab: &Lab, pid: i32, unit: &str) -> String {
    let text = fs::read_to_string(lab.inside(&format!("/proc/{pid}/cgroup"))).expect("it lives");
    let group = text.lines().find_map(|line| line.strip_prefix("0::")).expect("there is a unified hierarchy");
    let (_, below) = group.split_once(unit).unwrap_or_else(|| panic!("{pid} is in {group}"));
    below.to_owned()
}

const STRAYS: &str = "[service.api]\ngrace = \"TERM 1s, KILL\"\n\
    command = [\"fixture\", \"forks\", \"session\", \"daemon+ignoring\", \"nameless\"]\n\
    [service.worker]\ncommand = [\"fixture\", \"obedient\"]\n";

#[test]
fn a_delegated_unit_stops_like_any_other() {
    let Some(lab) = Lab::boot() else { return };
    let path = lab.file("system.toml", STRAYS);
    for (name, more) in [("root.service", ""), ("user.service", "DynamicUser=yes")] {
        lab.unit(name, &unit(&format!("--config {path}"), more));
        lab.systemctl(["start", name]).succeeds();
        lab.follow(name).wait_for("api: ready");
        lab.systemctl(["stop", name]).succeeds();
        expect::stopped_with(&lab, name, "exit-code", "80");
        expect::nothing_left_for_systemd(&lab, name);
        expect::three_lines_in_order(&lab, name);
        assert_eq!(lab.processes("fixture"), [0; 0]);
        let group = lab.inside(&format!("/sys/fs/cgroup/system.slice/{name}"));
        assert!(!group.exists(), "{} is left", group.display());
    }
}

#[test]
fn each_service_has_a_group_of_its_own_and_its_strays_cannot_leave_it() {
    let Some(lab) = Lab::boot() else { return };
    let path = lab.file("system.toml", STRAYS);
    for (name, more) in [("root.service", ""), ("user.service", "DynamicUser=yes")] {
        lab.unit(name, &unit(&format!("--cgroup require --config {path}"), more));
        lab.systemctl(["start", name]).succeeds();
        let follower = lab.follow(name);
        follower.wait_for("api: ready");
        follower.wait_for("worker: ready");
        let curfew = lab.show(name, "MainPID").parse().expect("it runs");
        let own = control_group(&lab, curfew, name);
        let mut groups: Vec<String> =
            lab.processes("fixture").into_iter().map(|pid| control_group(&lab, pid, name)).collect();
        // The leader of api, two strays that are fixtures (the third is `sleep`), and worker.
        assert_eq!(groups.len(), 4, "{groups:?}");
        groups.sort();
        groups.dedup();
        assert_eq!(groups.len(), 2, "one for each service: {groups:?}");
        assert!(!groups.contains(&own), "and curfew in neither: {own} {groups:?}");
        assert!(groups.iter().all(|group| group.len() > 1), "below the unit: {groups:?}");
        lab.systemctl(["stop", name]).succeeds();
        expect::stopped_with(&lab, name, "exit-code", "80");
        expect::nothing_left_for_systemd(&lab, name);
        assert_eq!(lab.processes("fixture"), [0; 0]);
    }
}
