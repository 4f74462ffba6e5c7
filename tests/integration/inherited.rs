//! What curfew was started with, and by whom: it works all the same.

use std::io;
use std::time::Duration;

use nix::libc::{self, SIGTERM};

use crate::child_setup::with_signals_blocked_and_ignored;
use crate::support::{Curfew, TOKEN, children, exists, is_installed, is_root, kill, skip, state};

/// With one signal ignored or blocked, as a careless parent leaves it.
fn with(curfew: Curfew, signal: i32, blocked: bool) -> Curfew {
    curfew.before_exec(move || {
        // SAFETY: system calls alone, with valid arguments.
        unsafe {
            if blocked {
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&raw mut set);
                libc::sigaddset(&raw mut set, signal);
                libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            } else {
                libc::signal(signal, libc::SIG_IGN);
            }
        }
        Ok::<(), io::Error>(())
    })
}

#[test]
fn curfew_stops_when_it_was_started_with_term_blocked_or_ignored() {
    for blocked in [true, false] {
        let curfew = with(Curfew::run([]), SIGTERM, blocked).fixture("obedient").start();
        curfew.wait_for("ready");
        curfew.signal(SIGTERM);
        let finished = curfew.finish();
        finished.assert_status(0);
        assert_eq!(finished.verdict(), "clean");
    }
}

#[test]
fn curfew_sees_how_its_children_end_when_it_was_started_with_chld_ignored_or_blocked() {
    for blocked in [true, false] {
        with(Curfew::run([]), libc::SIGCHLD, blocked)
            .fixture("answers-with 7 after 50ms")
            .finish()
            .assert_status(7);
        let curfew = with(Curfew::run([]), libc::SIGCHLD, blocked)
            .config("service.a.command = <answers-with 3 TERM>\nservice.b.command = <obedient>")
            .start();
        curfew.wait_for_many(2, "ready");
        curfew.signal(SIGTERM);
        curfew.finish().assert_status(3);
    }
}

/// While the others are forked, the first has long ended.
#[test]
fn an_end_before_curfew_has_its_handlers_is_seen_when_chld_was_ignored() {
    let mut config = "service.first.command = [\"sh\", \"-c\", \"exit 3\"]\n".to_owned();
    for index in 0..60 {
        config.push_str(&format!("service.s{index}.command = [\"sleep\", \"1000\"]\n"));
    }
    let finished = with(Curfew::run([]), libc::SIGCHLD, false).config(&config).finish();
    finished.assert_status(3);
    assert_eq!(finished.report()["cause"]["service"], "first");
}

#[test]
fn curfew_works_when_every_signal_was_blocked_and_ignored() {
    let curfew = with_signals_blocked_and_ignored(Curfew::run([]));
    let curfew = curfew.config("service.a.command = <obedient>\nservice.b.command = <obedient>").start();
    curfew.wait_for_many(2, "ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.verdict(), "clean");
}

/// Closes some of the standard streams.
fn without_streams(curfew: Curfew, closed: &[i32]) -> Curfew {
    let closed = closed.to_vec();
    curfew.before_exec(move || {
        for stream in &closed {
            // SAFETY: close takes an integer.
            unsafe { libc::close(*stream) };
        }
        Ok::<(), io::Error>(())
    })
}

const COMBINATIONS: [&[i32]; 7] = [&[0], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2]];

#[test]
fn curfew_works_with_any_of_its_streams_closed() {
    for closed in COMBINATIONS {
        let finished = without_streams(Curfew::run([]), closed).command(["sh", "-c", "exit 7"]).finish();
        finished.assert_status(7);
        let config = "service.a.command = <answers-with 6 after 50ms>\nservice.b.command = <obedient>";
        let finished = without_streams(Curfew::run([]).config(config), closed).finish();
        finished.assert_status(6);
        assert_eq!(finished.service("b")["result"], "stopped");
    }
}

#[test]
fn with_streams_closed_nothing_of_curfews_own_ends_up_in_their_place() {
    for closed in COMBINATIONS {
        // The command writes where its streams should be; the report must still be one.
        let script = "echo out; echo err >&2; cat >/dev/null; exit 0";
        without_streams(Curfew::run([]), closed).command(["sh", "-c", script]).finish().check();
    }
}

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

#[test]
fn children_that_curfew_inherited_are_neither_signalled_nor_waited_for() {
    let script =
        format!("env -u {TOKEN} sleep 1000 </dev/null >/dev/null 2>&1 & echo \"inherited $!\"; exec \"$@\"");
    for stop in [true, false] {
        let fixture = if stop { "obedient" } else { "answers-with 5 after 100ms" };
        let curfew = Curfew::run([]).wrapped_by(["sh", "-c", &script, "sh"]).fixture(fixture).start();
        let inherited = curfew.wait_for_pid("inherited");
        curfew.wait_for("ready");
        if stop {
            curfew.signal(SIGTERM);
        }
        let finished = curfew.finish();
        let lives = exists(inherited);
        kill(inherited, libc::SIGKILL);
        assert!(lives, "it is not ours to end{finished}");
        finished.assert_status(if stop { 0 } else { 5 });
        assert_eq!(finished.report()["services"][0]["strays"].as_array().unwrap().len(), 0);
    }
}

#[test]
fn a_child_that_curfew_inherited_is_reaped_when_it_ends() {
    let script = format!("env -u {TOKEN} sleep 1000 & echo \"inherited $!\"; exec \"$@\"");
    let curfew = Curfew::run([]).wrapped_by(["sh", "-c", &script, "sh"]).fixture("obedient").start();
    let inherited = curfew.wait_for_pid("inherited");
    curfew.wait_for("ready");
    kill(inherited, libc::SIGKILL);
    curfew.eventually("it is reaped", || state(inherited).is_none());
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(0);
}

/// A curfew under a curfew: the inner one is a service like any other.
#[test]
fn a_curfew_inside_a_curfew_stops_with_it() {
    let curfew = Curfew::run([])
        .command([
            crate::support::curfew_binary(),
            "run",
            "--",
            crate::support::fixture_binary(),
            "forks",
            "session",
        ])
        .start();
    curfew.wait_for(": ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.verdict(), "clean");
    assert!(finished.stop_took() < Duration::from_secs(8));
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
