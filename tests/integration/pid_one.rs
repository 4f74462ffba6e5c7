//! curfew as the first process of a pid namespace, as in a container.

use nix::libc::{self, SIGTERM};

use crate::support::{Curfew, children, is_installed, is_root, kill, skip};

/// curfew as PID 1 of a namespace of its own. It is not this process that is signalled, but its child.
fn as_pid_one(curfew: Curfew) -> Curfew {
    curfew.wrapped_by(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"])
}

fn namespaces_work() -> bool {
    if !is_root() || !is_installed("unshare") {
        skip("a pid namespace needs root and unshare(1)");
        return false;
    }
    let output =
        std::process::Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]).output();
    if output.is_ok_and(|output| output.status.success()) {
        return true;
    }
    skip("no pid namespace can be made here");
    false
}

#[test]
fn pid_one_stops_when_it_is_asked_to() {
    if !namespaces_work() {
        return;
    }
    for signal in [SIGTERM, libc::SIGINT] {
        let curfew = as_pid_one(Curfew::run([])).fixture("obedient").start();
        curfew.wait_for("ready");
        kill(children(curfew.pid())[0], signal);
        let finished = curfew.finish();
        finished.assert_status(0);
        assert_eq!(finished.report()["pid"], 1);
        // Nobody told, so the ten seconds of `docker stop` are assumed.
        assert_eq!(finished.report()["deadline"]["source"], "assumed");
        assert_eq!(finished.report()["deadline"]["deadline_ms"], 10_000);
    }
}

#[test]
fn pid_one_gives_the_status_of_its_command() {
    if namespaces_work() {
        as_pid_one(Curfew::run([])).fixture("answers-with 42").finish().assert_status(42);
    }
}

#[test]
fn pid_one_reaps_orphans_and_ends_daemons() {
    if !namespaces_work() {
        return;
    }
    let curfew = as_pid_one(Curfew::run([])).fixture("orphans 200").start();
    curfew.wait_for("made 200 orphans");
    let init = children(curfew.pid())[0];
    curfew.eventually("every orphan is reaped", || children(init).len() == 1);
    kill(init, SIGTERM);
    curfew.finish().assert_status(0);

    let curfew = as_pid_one(Curfew::run(["--grace", "TERM 200ms, KILL"]))
        .fixture("forks daemon+ignoring session")
        .start();
    curfew.wait_for(": ready");
    kill(children(curfew.pid())[0], SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert_eq!(finished.report()["services"][0]["strays"].as_array().unwrap().len(), 2);
}

/// `unshare --pid` without `--mount-proc`: /proc shows the processes of the outer namespace under the numbers of ours.
#[test]
fn a_proc_of_another_pid_namespace_is_not_believed() {
    if !namespaces_work() {
        return;
    }
    let curfew = Curfew::run(["--grace", "TERM 200ms, KILL", "--deadline", "5s"])
        .wrapped_by(["unshare", "--pid", "--fork", "--kill-child"])
        .command(["sh", "-c", "setsid sleep 1000 & exit 3"]);
    let finished = curfew.finish();
    finished.assert_status(3);
    assert_eq!(finished.events("stray.found"), Vec::<serde_json::Value>::new(), "strangers are no strays");
    assert_eq!(finished.events("stray.hidden").len(), 1);
    assert_eq!(finished.report()["survivors"], serde_json::json!([]));
}

/// A mount namespace in which /proc is not there at all.
fn without_proc<const COUNT: usize>(curfew: Curfew, unshare: [&str; COUNT]) -> Curfew {
    let mut words = vec!["unshare", "--mount"];
    words.extend(unshare);
    words.extend(["sh", "-c", "umount -l /proc && exec \"$@\"", "sh"]);
    words.into_iter().fold(curfew, Curfew::wrapped_also_by)
}

#[test]
fn pid_one_without_proc_gives_what_is_left_its_grace_and_leaves_nobody() {
    if !namespaces_work() {
        return;
    }
    let curfew = Curfew::run(["--grace", "TERM 300ms, KILL", "--deadline", "20s"]);
    let curfew = without_proc(curfew, ["--pid", "--fork", "--kill-child"])
        .fixture("forks exits daemon session+slow daemon+ignoring group+stopped");
    let finished = curfew.finish();
    // The command's own status; the log and the report say what was left.
    finished.assert_status(0);
    assert_eq!(finished.verdict(), "killed");
    assert_eq!(finished.events("stray.hidden").len(), 1);
    let strays = finished.report()["services"][1]["strays"].as_array().unwrap().clone();
    assert_eq!(strays.len(), 4, "{finished}");
    assert_eq!(strays.iter().filter(|stray| stray["end"]["signal"] == "KILL").count(), 1, "{finished}");
}

#[test]
fn without_proc_the_groups_of_services_are_signalled() {
    if !namespaces_work() {
        return;
    }
    let curfew = Curfew::run(["--grace", "TERM 300ms, KILL", "--deadline", "20s"]);
    let finished = without_proc(curfew, []).fixture("forks exits group group+ignoring").finish();
    finished.assert_status(0);
    assert_eq!(finished.verdict(), "killed");
    assert_eq!(finished.report()["services"][1]["strays"].as_array().unwrap().len(), 2, "{finished}");
}
