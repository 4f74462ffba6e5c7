//! What curfew was started with, and by whom: it works all the same.

use std::io;
use std::time::Duration;

use nix::libc::{self, SIGTERM};

use crate::child_setup::with_signals_blocked_and_ignored;
use crate::support::{Curfew, Running, TOKEN, Terminal, children, exists, kill, state};

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

/// Whoever starts curfew in another way than the ordinary one means what curfew starts, too, to the end.
#[test]
fn what_runs_in_a_stop_has_the_scheduling_policy_that_curfew_was_started_with() {
    static PRIORITY: i32 = 0;
    let script = "set -- $(cat /proc/$$/stat); shift 40; echo policy $1";
    let config = format!("[service.a]\ncommand = <obedient>\npost-stop = [\"sh\", \"-c\", \"{script}\"]");
    let curfew = Curfew::run(["--deadline", "30s"]).config(&config).before_exec(|| {
        // SAFETY: the parameter is valid for reading; 0 is this thread.
        unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_BATCH, &raw const PRIORITY) };
        Ok::<(), io::Error>(())
    });
    let curfew = curfew.start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    finished.place(&format!("policy {}", libc::SCHED_BATCH));
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

/// With an inherited child that has a child of its own when curfew begins. How that is started: `setsid`, say.
pub(crate) fn with_a_family(curfew: Curfew, how: &str) -> Curfew {
    let silent = "</dev/null >/dev/null 2>&1";
    let family = format!(
        "{how} sleep 1000 {silent} & echo \"grandchild $!\"; echo \"inherited $$\"; echo >\"$0\"; \
         exec sleep 1000 {silent}"
    );
    let script =
        format!("mkfifo \"$0\"; env -u {TOKEN} sh -c '{family}' \"$0\" & read line <\"$0\"; exec \"$@\"");
    let fifo = curfew.directory().join("fifo").display().to_string();
    curfew.wrapped_by(["sh", "-c", &script, &fifo])
}

/// A process that is not for curfew to end.
struct Stranger(i32);

impl Drop for Stranger {
    fn drop(&mut self) {
        kill(self.0, libc::SIGKILL);
    }
}

/// The inherited child ends, and leaves its own to curfew.
fn orphan(curfew: &Running) -> Stranger {
    let grandchild = Stranger(curfew.wait_for_pid("grandchild"));
    kill(curfew.wait_for_pid("inherited"), libc::SIGKILL);
    curfew.eventually("it is curfew's child", || children(curfew.pid()).contains(&grandchild.0));
    grandchild
}

#[test]
fn what_an_inherited_child_leaves_behind_is_neither_signalled_nor_waited_for() {
    let one = || Curfew::run([]).fixture("obedient");
    let many = || Curfew::run([]).config("service.a.command = <obedient>");
    for how in ["", "setsid"] {
        for curfew in [one(), many()] {
            let curfew = with_a_family(curfew, how).start();
            curfew.wait_for("ready");
            let grandchild = orphan(&curfew);
            curfew.signal(SIGTERM);
            let finished = curfew.finish();
            assert!(exists(grandchild.0), "it is not ours to end{finished}");
            finished.assert_status(0);
            assert_eq!(finished.verdict(), "clean");
            assert_eq!(finished.events("stray.found").len(), 0);
        }
    }
}

#[test]
fn beside_what_an_inherited_child_left_a_stray_without_an_environment_is_found() {
    for config in ["", "service.b.command = <obedient>\n"] {
        let config = format!("{config}service.a.command = <forks daemon+nameless>");
        let curfew = with_a_family(Curfew::run(["--cgroup", "off"]).config(&config), "setsid").start();
        let stray = curfew.wait_for_pid("child daemon+nameless");
        curfew.wait_for("a: ready");
        let grandchild = orphan(&curfew);
        curfew.signal(SIGTERM);
        let finished = curfew.finish();
        let lives = exists(stray);
        kill(stray, libc::SIGKILL);
        assert!(!lives && exists(grandchild.0), "the one, and not the other{finished}");
        assert_eq!(finished.events("stray.found").len(), 1);
    }
}

/// Then its session tells nothing.
#[test]
fn at_a_terminal_what_the_command_leaves_is_told_from_what_an_inherited_child_left() {
    let mut terminal = Terminal::open();
    let curfew = Curfew::run([]).at(&mut terminal).stderr(std::process::Stdio::piped());
    // It is not to end with the session either.
    let curfew = with_a_family(curfew, "nohup").fixture("forks group").start();
    curfew.wait_for(": ready");
    let grandchild = orphan(&curfew);
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert!(exists(grandchild.0), "it is not ours to end{finished}");
    finished.assert_status(0);
    assert_eq!(finished.events("stray.found").len(), 1);
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
