//! When the system has nothing left to give: no descriptors, no /proc, no time on the processor.

use std::io;
use std::io::Read;
use std::time::Duration;

use nix::libc::{self, SIGCONT, SIGKILL, SIGSTOP, SIGTERM};

use crate::inherited::with_a_family;
use crate::support::{Curfew, Refusal, is_installed, is_root, kill, now, pause, skip, state};

/// With so many descriptors at most, soft and hard.
pub(crate) fn with_descriptors(curfew: Curfew, limit: u64) -> Curfew {
    curfew.before_exec(move || {
        let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
        // SAFETY: a system call with a valid argument.
        match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    })
}

#[test]
fn with_few_descriptors_one_command_runs_or_curfew_says_why_not() {
    let mut ran = 0;
    for limit in 4..=24 {
        // The shell itself needs few; the report one more than curfew has for sure.
        let finished = with_descriptors(Curfew::run([]).report(None), limit)
            .log(Some("human"))
            .command(["/bin/sh", "-c", "exit 7"])
            .finish();
        match finished.code() {
            7 => ran += 1,
            71 => assert!(!finished.stderr.is_empty(), "with {limit} descriptors{finished}"),
            other => panic!("{other} with {limit} descriptors{finished}"),
        }
    }
    assert!(ran >= 8, "only {ran} of 21 limits were enough");
}

#[test]
fn with_few_descriptors_many_services_run_and_stop_or_none_is_left() {
    let config: String =
        (0..40).map(|index| format!("service.s{index}.command = [\"/bin/sleep\", \"1000\"]\n")).collect();
    for limit in [8, 10, 12, 16, 24, 64] {
        let mut curfew = with_descriptors(Curfew::run([]).report(None), limit).config(&config).start();
        // It may end by itself at any moment.
        pause(Duration::from_millis(100));
        curfew.signal(SIGTERM);
        let finished = curfew.end();
        finished.check();
        assert!([0, 71, 82, 143].contains(&finished.code()), "with {limit} descriptors{finished}");
        if limit == 64 {
            finished.assert_status(0);
        }
    }
}

/// Runs curfew where /proc is empty, in a mount namespace of its own.
fn without_proc(curfew: Curfew) -> Curfew {
    curfew.wrapped_by(["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"])
}

#[test]
fn without_proc_commands_and_services_run_and_stop() {
    if !is_root() || !is_installed("unshare") {
        return skip("hiding /proc needs root and unshare(1)");
    }
    without_proc(Curfew::run([])).fixture("answers-with 7").finish().assert_status(7);
    let config =
        "service.a.command = <obedient>\nservice.b = { command = <answers-with 143 TERM>, after = [\"a\"] }";
    let curfew = without_proc(Curfew::run([]).config(config)).start();
    curfew.wait_for_many(2, "ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.verdict(), "clean");
}

/// As before Linux 5.3, and in some sandboxes. Before 6.9 they have no numbers that tell one process from another.
#[test]
fn without_handles_of_processes_strays_are_found_told_apart_and_stopped() {
    let refusal = Refusal { call: libc::SYS_pidfd_open, first_argument: None, errno: libc::ENOSYS };
    let config =
        "service.a.command = <forks session daemon daemon+ignoring>\nservice.b.command = <forks daemon>";
    let curfew = Curfew::run(["--cgroup", "off", "--grace", "TERM 300ms, KILL"]).config(config);
    let curfew = curfew.before_exec(move || refusal.take_effect()).start();
    curfew.wait_for_many(2, ": ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    let ends = |service| {
        let strays = finished.service(service)["strays"].as_array().cloned().unwrap_or_default();
        strays.iter().map(|stray| stray["end"]["signal"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ends("a"), ["\"TERM\"", "\"TERM\"", "\"KILL\""], "{finished}");
    assert_eq!(ends("b"), ["\"TERM\""], "{finished}");
}

#[test]
fn a_curfew_that_was_not_scheduled_until_its_deadline_still_leaves_nobody() {
    for is_with_a_family in [false, true] {
        let curfew = Curfew::run(["--grace", "TERM 5s, KILL", "--deadline", "1s"]).config(
            "service.a.command = <ignores TERM>\n\
             service.b = { command = <forks daemon+ignoring>, after = [\"a\"] }",
        );
        // With inherited children each look is news for the guard, which ends nothing sooner for that.
        let curfew = if is_with_a_family { with_a_family(curfew, "setsid") } else { curfew };
        let curfew = curfew.start();
        curfew.wait_for_many(2, ": ready");
        let inherited =
            ["inherited", "grandchild"].map(|name| is_with_a_family.then(|| curfew.wait_for_pid(name)));
        curfew.signal(SIGTERM);
        curfew.wait_for("b: got TERM");
        curfew.signal(SIGSTOP);
        curfew.eventually("curfew is stopped", || state(curfew.pid()) == Some('T'));
        // The deadline passes while curfew cannot do anything: that is what is tested.
        pause(Duration::from_millis(1200));
        let since = now();
        curfew.signal(SIGCONT);
        let finished = curfew.finish();
        for pid in inherited.into_iter().flatten() {
            kill(pid, SIGKILL);
        }
        finished.assert_status(80);
        assert!(now().since(since) < Duration::from_secs(5), "there is no time left{finished}");
    }
}

#[test]
fn lines_that_are_too_many_for_a_stuck_reader_are_dropped_whole_and_counted() {
    let (mut read, write) = io::pipe().unwrap();
    let config: String = (0..600)
        .map(|index| {
            format!("service.s{index}.command = [\"sh\", \"-c\", \"echo ready; exec sleep 1000\"]\n")
        })
        .collect();
    let curfew = Curfew::run([]).stderr(write).config(&config).start();
    // Nobody reads: each service is worth some lines at its start, and some at its end.
    curfew.wait_for_many(600, "ready");
    curfew.signal(SIGTERM);
    curfew.eventually("the services are gone", || crate::support::children(curfew.pid()).len() < 10);
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        read.read_to_string(&mut text).map(|_| text).unwrap()
    });
    curfew.finish().assert_status(0);
    let text = reader.join().unwrap();
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    assert!(text.len() < 600 * 1024);
}
