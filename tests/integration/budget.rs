//! The budget: however much is to be done, curfew is out before the deadline, and says what that costs.

use std::time::Duration;

use nix::libc::{self, SIGTERM};

use crate::inherited::with_a_family;
use crate::support::{Curfew, TOKEN, carriers, exists, kill, now, state};

/// The example of the first issue, word for word.
#[test]
fn a_schedule_that_is_too_long_is_shortened_and_the_log_says_by_how_much() {
    let options = ["--grace", "TERM 1s, INT 1s, KILL", "--deadline", "1500ms", "--margin", "300ms"];
    let curfew = Curfew::run(options)
        .command(["sh", "-c", r#"trap "" TERM INT; echo ready; while :; do sleep 0.1; done"#])
        .start();
    curfew.wait_for("ready");
    let since = now();
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert!(finished.ended.since(since) < Duration::from_millis(1500), "{finished}");
    finished.assert_status(80);
    let shrunk = finished.events("budget.shrunk");
    assert!(!shrunk.is_empty(), "{finished}");
    assert_eq!(shrunk[0]["from_ms"], 2000);
    assert!(shrunk[0]["to_ms"].as_u64().unwrap() < 1200);
    let granted = finished.report()["services"][0]["granted_per_mille"].as_u64().unwrap();
    assert!((300..600).contains(&granted), "{granted}");
    // Both signals came all the same.
    let signals: Vec<String> = finished.stages(finished.report()["services"][0]["name"].as_str().unwrap());
    assert_eq!(signals[..2], ["TERM", "INT"]);
    assert!(signals.contains(&"KILL".to_owned()));
}

#[test]
fn a_schedule_that_fits_is_left_alone() {
    let options = ["--grace", "TERM 300ms, KILL", "--deadline", "20s"];
    let curfew = Curfew::run(options).fixture("ignores TERM").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert!(finished.events("budget.shrunk").is_empty());
    assert_eq!(finished.report()["services"][0]["granted_per_mille"], 1000);
    assert!(finished.stop_took() >= Duration::from_millis(300));
}

#[test]
fn a_quick_service_gives_its_time_back_to_the_one_before_it() {
    let curfew = Curfew::run(["--deadline", "4s", "--margin", "500ms"])
        .config(
            "service.base = { command = <ignores TERM>, grace = \"TERM 1s, KILL\" }\n\
             service.front = { command = <obedient>, grace = \"TERM 30s, KILL\", after = [\"base\"] }",
        )
        .start();
    curfew.wait_for_many(2, "ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert!(finished.service("front")["granted_per_mille"].as_u64().unwrap() < 200, "{finished}");
    let base = finished.service("base");
    assert_eq!(base["granted_per_mille"], 1000, "{finished}");
    assert_eq!(base["stages"][0]["wait_ms"], 1000);
    assert!(finished.sent_at("base", 1) - finished.sent_at("base", 0) >= 1000);
}

#[test]
fn the_deadline_holds_with_strays_and_several_levels() {
    let curfew = Curfew::run(["--grace", "TERM 5s, INT 5s, KILL", "--deadline", "2s", "--margin", "500ms"])
        .config(
            "service.base.command = <forks session+ignoring>\n\
             service.middle = { command = <ignores TERM INT>, after = [\"base\"] }\n\
             service.front = { command = <forks daemon+ignoring group+ignoring>, after = [\"middle\"] }",
        )
        .start();
    curfew.wait_for_many(3, ": ready");
    let since = now();
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert!(finished.ended.since(since) < Duration::from_secs(2), "{finished}");
    finished.assert_status(80);
}

#[test]
fn a_stop_that_uses_most_of_its_budget_is_a_near_miss() {
    let near = |fixture: &str| {
        let curfew = Curfew::run(["--grace", "TERM 1s, KILL", "--deadline", "2s", "--margin", "1s"]);
        let curfew = curfew.fixture(fixture).start();
        curfew.wait_for("ready");
        curfew.signal(SIGTERM);
        curfew.finish().report()["near_miss"].as_bool().unwrap()
    };
    // Killed when 800 ms of 1 s are over.
    assert!(near("ignores TERM"));
    assert!(!near("obedient"));
}

#[test]
fn the_deadline_of_the_environment_is_used_and_named() {
    let curfew = Curfew::run([]).env("CURFEW_DEADLINE", "30s").fixture("obedient").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    let deadline = &finished.report()["deadline"];
    assert_eq!(deadline["deadline_ms"], 30_000);
    assert_eq!(deadline["budget_ms"], 28_500);
    assert_eq!(deadline["source"], "environment");
}

#[test]
fn without_a_deadline_nothing_is_assumed() {
    let curfew =
        Curfew::run(["--deadline", "none"]).env("CURFEW_DEADLINE", "30s").fixture("obedient").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert!(finished.report()["deadline"]["deadline_ms"].is_null());
}

/// Stops one thread of a process, as a system call would that does not return.
fn hold_up(thread: i32) {
    // SAFETY: requests without data; the thread is that of a child of ours.
    unsafe {
        let none = std::ptr::null_mut::<libc::c_void>();
        assert_eq!(libc::ptrace(libc::PTRACE_SEIZE, thread, none, none), 0);
        assert_eq!(libc::ptrace(libc::PTRACE_INTERRUPT, thread, none, none), 0);
    }
}

#[test]
fn a_loop_that_is_held_up_in_a_stop_keeps_curfew_from_nothing_but_its_report() {
    let mut curfew = Curfew::run(["--grace", "TERM 500ms, KILL", "--deadline", "2s", "--margin", "400ms"])
        .config("service.a.command = <ignores TERM>\nservice.b.command = <forks stays session+ignoring>")
        .start();
    curfew.wait_for("a: ready");
    curfew.wait_for("b: ready");
    let since = now();
    curfew.signal(SIGTERM);
    curfew.wait_for_many(2, "got TERM");
    hold_up(curfew.pid());
    let stray = curfew.wait_for_pid("child session+ignoring");
    let finished = curfew.end();
    finished.assert_status(81);
    let took = finished.ended.since(since);
    assert!((1800..2000).contains(&took.as_millis()), "{took:?}{finished}");
    // Nobody is left, whom the guard did not know either; and all are named.
    let line = curfew.wait_for_error_line("held up in the middle of the stop");
    assert!(
        ["a (", "b (", &format!("fixture ({stray})")].iter().all(|name| line.contains(name)),
        "{finished}"
    );
    curfew.eventually("all are dead", || carriers(curfew.token()).is_empty());
}

#[test]
fn a_loop_that_is_held_up_leaves_those_alone_whom_curfew_inherited() {
    let curfew = Curfew::run(["--deadline", "1s", "--cgroup", "off"]);
    let curfew = curfew
        .config("service.a.command = <forks stays session+ignoring>\nservice.b.command = <ignores TERM>");
    let mut curfew = with_a_family(curfew, "setsid").start();
    curfew.wait_for("a: ready");
    curfew.wait_for("b: ready");
    let (inherited, grandchild) = (curfew.wait_for_pid("inherited"), curfew.wait_for_pid("grandchild"));
    curfew.signal(SIGTERM);
    curfew.wait_for_many(2, "got TERM");
    hold_up(curfew.pid());
    let finished = curfew.end();
    let are_alive = [inherited, grandchild].map(exists);
    for pid in [inherited, grandchild] {
        kill(pid, libc::SIGKILL);
    }
    finished.assert_status(81);
    assert_eq!(are_alive, [true; 2], "they are not ours to end{finished}");
    curfew.eventually("all others are dead", || carriers(curfew.token()).is_empty());
}

/// Whoever became one of them in the middle of the stop, too.
#[test]
fn a_loop_that_is_held_up_leaves_those_alone_whom_an_inherited_child_left_meanwhile() {
    let silent = "</dev/null >/dev/null 2>&1";
    let family = format!(
        "echo \"inherited $$\"; echo >\"$0\"; read go <\"$0\"; sleep 1000 {silent} & echo \"late $!\"; \
         exec sleep 1000 {silent}"
    );
    let script = format!(
        "mkfifo \"$0\"; env -u {TOKEN} setsid sh -c '{family}' \"$0\" & read line <\"$0\"; exec \"$@\""
    );
    let curfew =
        Curfew::run(["--deadline", "3s", "--cgroup", "off"]).config("service.a.command = <ignores TERM>");
    let fifo = curfew.directory().join("fifo");
    let curfew = curfew.wrapped_by(["sh", "-c", &script, fifo.to_str().expect("a plain path")]);
    let mut curfew = curfew.start();
    curfew.wait_for("a: ready");
    let inherited = curfew.wait_for_pid("inherited");
    // curfew has looked already: it has not seen this one below the other.
    std::fs::write(&fifo, "go\n").expect("its reader");
    let late = curfew.wait_for_pid("late");
    curfew.signal(SIGTERM);
    curfew.wait_for("got TERM");
    kill(inherited, libc::SIGKILL);
    curfew.eventually("it is reaped", || state(inherited).is_none());
    // The answer comes when curfew has looked who was left.
    curfew.signal(libc::SIGHUP);
    curfew.wait_for_event("signal.ignored");
    hold_up(curfew.pid());
    let finished = curfew.end();
    let lives = exists(late);
    kill(late, libc::SIGKILL);
    finished.assert_status(81);
    assert!(lives, "it is not ours to end{finished}");
}

/// Stops a thread as soon as it is about to make this system call, which it makes after `act`.
fn hold_up_at(thread: i32, system_call: libc::c_long, act: impl FnOnce()) {
    let (none, mut act) = (std::ptr::null_mut::<libc::c_void>(), Some(act));
    // SAFETY: requests with valid arguments; the thread is that of a child of ours.
    unsafe {
        assert_eq!(libc::ptrace(libc::PTRACE_SEIZE, thread, none, libc::PTRACE_O_TRACESYSGOOD), 0);
        assert_eq!(libc::ptrace(libc::PTRACE_INTERRUPT, thread, none, none), 0);
        loop {
            let mut status = 0;
            assert_eq!(libc::waitpid(thread, &raw mut status, libc::__WALL), thread);
            assert!(libc::WIFSTOPPED(status), "it ended before");
            let (signal, is_event) = (libc::WSTOPSIG(status), status >> 16 != 0);
            let is_call = signal == libc::SIGTRAP | 0x80;
            if is_call {
                let mut information: libc::ptrace_syscall_info = std::mem::zeroed();
                let size = size_of_val(&information);
                libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size, &raw mut information);
                if information.op == libc::PTRACE_SYSCALL_INFO_ENTRY
                    && information.u.entry.nr == system_call as u64
                {
                    return;
                }
            }
            let delivered = if is_call || is_event { 0 } else { signal };
            assert_eq!(libc::ptrace(libc::PTRACE_SYSCALL, thread, none, delivered), 0);
            if let Some(act) = act.take() {
                act();
            }
        }
    }
}

#[test]
fn curfew_ends_in_time_even_if_it_is_held_up_behind_the_stop_and_the_status_stays() {
    let curfew = Curfew::run(["--grace", "TERM 100ms, KILL", "--deadline", "1s"]);
    let mut curfew = curfew.fixture("ignores TERM").start();
    curfew.wait_for("ready");
    let since = now();
    hold_up_at(curfew.pid(), libc::SYS_exit_group, || curfew.signal(SIGTERM));
    let finished = curfew.end();
    finished.assert_status(80);
    let took = finished.ended.since(since);
    assert!((900..1000).contains(&took.as_millis()), "{took:?}{finished}");
    curfew.wait_for_error_line("the deadline has come before everything was written");
}
