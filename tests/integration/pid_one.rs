//! curfew as the first process of a pid namespace, as in a container; beside tini and dumb-init, which it replaces there.

use std::process::Command;

use nix::libc::{self, SIGTERM};

use crate::signal_names::{name, number};
use crate::support::{
    Curfew, Finished, Running, children, curfew_binary, is_installed, is_root, kill, skip, state,
};

/// What makes the namespaces: root may simply do it, anybody else may try with a user namespace of his own.
fn namespaces() -> Vec<&'static str> {
    let mut words = vec!["unshare", "--pid", "--fork", "--kill-child"];
    if !is_root() {
        words.extend(["--user", "--map-root-user"]);
    }
    words
}

/// Whether namespaces can be made here; says why not.
fn namespaces_work() -> bool {
    if !is_installed("unshare") {
        skip("a pid namespace needs unshare(1)");
        return false;
    }
    let words = namespaces();
    let output = Command::new(words[0]).args(&words[1..]).args(["--mount-proc", "true"]).output();
    let why = match output {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    skip(&format!("no pid namespace can be made here: {why}"));
    false
}

/// As PID 1 of a namespace of its own, with a /proc that shows it. Not this process is signalled, but its child.
fn as_pid_one(curfew: Curfew) -> Curfew {
    wrapped(curfew, &["--mount-proc"])
}

/// As PID 1, after a script has changed what it finds: in a mount namespace of its own.
fn as_pid_one_after(curfew: Curfew, script: &str) -> Curfew {
    wrapped(curfew, &["--mount-proc", "sh", "-c", &format!("set -e; {script}"), "sh"])
}

fn wrapped(mut curfew: Curfew, further: &[&str]) -> Curfew {
    for word in namespaces().iter().chain(further) {
        curfew = curfew.wrapped_by_word(word);
    }
    curfew
}

/// The first process of the namespace.
fn init(running: &Running) -> i32 {
    children(running.pid())[0]
}

#[test]
fn pid_one_stops_when_it_is_asked_to() {
    if !namespaces_work() {
        return;
    }
    for signal in [SIGTERM, libc::SIGINT] {
        let curfew = as_pid_one(Curfew::run([])).fixture("obedient").start();
        curfew.wait_for("ready");
        kill(init(&curfew), signal);
        let finished = curfew.finish();
        finished.assert_status(0);
        assert_eq!(finished.report()["pid"], 1);
        // Nobody told, so the ten seconds of `docker stop` are assumed.
        assert_eq!(finished.report()["deadline"]["source"], "assumed");
        assert_eq!(finished.report()["deadline"]["deadline_ms"], 10_000);
    }
}

#[test]
fn the_deadline_that_pid_one_assumes_is_not_extended() {
    if !namespaces_work() {
        return;
    }
    let curfew = as_pid_one(Curfew::run(["--extend", "--grace", "TERM 14s, KILL"]));
    let curfew = curfew.fixture("obedient").start();
    curfew.wait_for("ready");
    kill(init(&curfew), SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.events("extend.unheard").len(), 1);
    assert_eq!(finished.events("stop.requested")[0]["budget_ms"], 9000);
}

#[test]
fn pid_one_stops_a_system_of_services_in_order() {
    if !namespaces_work() {
        return;
    }
    let config =
        "service.base.command = <obedient>\nservice.front = { command = <obedient>, after = [\"base\"] }";
    let curfew = as_pid_one(Curfew::run([])).config(config).start();
    curfew.wait_for_many(2, ": ready");
    kill(init(&curfew), SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert!(finished.place("front: done") < finished.place("base: got TERM"), "{finished}");
}

#[test]
fn pid_one_reaps_twenty_thousand_orphans_and_no_zombie_stays() {
    if !namespaces_work() {
        return;
    }
    let curfew = as_pid_one(Curfew::run([])).fixture("orphans 20000").start();
    curfew.wait_for("made 20000 orphans");
    let init = init(&curfew);
    curfew.eventually("only the command is left", || children(init).len() == 1);
    assert_eq!(state(children(init)[0]), Some('S'));
    kill(init, SIGTERM);
    curfew.finish().assert_status(0);
}

#[test]
fn pid_one_ends_what_was_left_behind_before_the_kernel_would() {
    if !namespaces_work() {
        return;
    }
    let curfew = as_pid_one(Curfew::run(["--grace", "TERM 400ms, KILL"]))
        .fixture("forks daemon+slow session+slow daemon+ignoring session")
        .start();
    curfew.wait_for(": ready");
    kill(init(&curfew), SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    // They had their grace: the kernel, which kills what is left when PID 1 ends, found nobody.
    assert_eq!(finished.said(" done").len(), 2, "{finished}");
    let strays = finished.report()["services"][0]["strays"].as_array().unwrap();
    assert_eq!(strays.len(), 4);
    assert!(strays.iter().all(|stray| stray["ended_at_ms"].is_u64()), "{finished}");
}

#[test]
fn pid_one_works_with_closed_streams() {
    if namespaces_work() {
        let closed = "exec \"$@\" <&- >&- 2>&-";
        as_pid_one_after(Curfew::run([]), closed).fixture("answers-with 7").finish().assert_status(7);
        let curfew = as_pid_one_after(Curfew::run([]), closed).fixture("prints-signals until TERM").start();
        // It says nothing that could be heard.
        curfew.eventually("the command is ready", || {
            let below = children(curfew.pid()).first().map(|init| children(*init)).unwrap_or_default();
            below.into_iter().any(is_a_fixture_with_handlers)
        });
        kill(init(&curfew), SIGTERM);
        let finished = curfew.finish();
        finished.assert_status(0);
        assert_eq!(finished.verdict(), "clean");
    }
}

/// Whether a process is our fixture, and has handlers for signals by now.
fn is_a_fixture_with_handlers(pid: i32) -> bool {
    let executable = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    executable.ends_with("fixture")
        && status.lines().any(|line| line.starts_with("SigCgt:") && !line.ends_with("\t0000000000000000"))
}

#[test]
fn pid_one_works_with_a_read_only_root() {
    if !namespaces_work() {
        return;
    }
    let read_only = "mount -o bind,remount,ro /; exec \"$@\"";
    let bare = || as_pid_one_after(Curfew::run([]).report(None), read_only);
    let script = "(echo >/curfew-was-here) 2>/dev/null || exit 7";
    bare().command(["sh", "-c", script]).finish().assert_status(7);
    // The report cannot be written: that is said, and changes nothing.
    let curfew = bare().arg("--report").arg("/curfew-report.json").fixture("obedient").start();
    curfew.wait_for("ready");
    kill(init(&curfew), SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert!(finished.stderr.iter().any(|line| line.contains("/curfew-report.json")), "{finished}");
}

/// What is mounted there instead is empty.
const WITHOUT_PROC: &str = "mount -t tmpfs none /proc; exec \"$@\"";

#[test]
fn pid_one_works_without_proc() {
    if !namespaces_work() {
        return;
    }
    let bare = || as_pid_one_after(Curfew::run([]), WITHOUT_PROC);
    bare().command(["sh", "-c", "test ! -e /proc/self && exit 7"]).finish().assert_status(7);
    for (fixture, ready) in [("obedient", "ready"), ("orphans 2000", "made 2000 orphans")] {
        let curfew = bare().fixture(fixture).start();
        curfew.wait_for(ready);
        let init = init(&curfew);
        curfew.eventually("only the command is left", || children(init).len() == 1);
        kill(init, SIGTERM);
        let finished = curfew.finish();
        finished.assert_status(0);
        assert_eq!(finished.verdict(), "clean");
    }
    let curfew = bare().config("service.a.command = <obedient>\nservice.b.command = <ignores TERM>");
    let curfew = curfew.arg("--grace").arg("TERM 200ms, KILL").start();
    curfew.wait_for_many(2, ": ready");
    kill(init(&curfew), SIGTERM);
    curfew.finish().assert_status(80);
}

/// `unshare --pid` without `--mount-proc`: /proc shows the processes of the outer namespace under the numbers of ours.
#[test]
fn a_proc_of_another_pid_namespace_is_not_believed() {
    if !namespaces_work() {
        return;
    }
    let curfew = Curfew::run(["--grace", "TERM 200ms, KILL", "--deadline", "5s"]);
    let finished = wrapped(curfew, &[]).command(["sh", "-c", "setsid sleep 1000 & exit 3"]).finish();
    finished.assert_status(3);
    assert_eq!(finished.events("stray.found"), Vec::<serde_json::Value>::new(), "strangers are no strays");
    assert_eq!(finished.events("stray.hidden").len(), 1);
    assert_eq!(finished.report()["survivors"], serde_json::json!([]));
}

/// Our pid 3 is a kernel thread out there.
#[test]
fn what_is_killed_where_proc_is_that_of_others_does_not_get_their_names() {
    if !namespaces_work() {
        return;
    }
    let curfew = Curfew::run(["--grace", "TERM 200ms, KILL", "--deadline", "5s"]);
    let curfew = wrapped(curfew, &[]).fixture("forks stays session+ignoring daemon").start();
    curfew.wait_for("ready");
    kill(init(&curfew), SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert_eq!(finished.events("stray.killed"), Vec::<serde_json::Value>::new(), "nobody is known by name");
    let ended = finished.events("stray.ended");
    assert_eq!(ended.iter().filter(|ended| ended["service"] == "(stray)").count(), 2, "{finished}");
}

/// A mount namespace in which /proc is not there at all.
fn without_proc<const COUNT: usize>(curfew: Curfew, unshare: [&str; COUNT]) -> Curfew {
    let mut words = vec!["unshare", "--mount"];
    words.extend(unshare);
    words.extend(["sh", "-c", "umount -l /proc && exec \"$@\"", "sh"]);
    words.into_iter().fold(curfew, Curfew::wrapped_by_word)
}

#[test]
fn pid_one_without_proc_gives_what_is_left_its_grace_and_leaves_nobody() {
    if !namespaces_work() {
        return;
    }
    let curfew = Curfew::run(["--grace", "TERM 2s, KILL", "--deadline", "20s"]);
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

// Beside those it replaces: `curfew -- command` in the place of `tini -- command`.

/// An init that runs one command.
#[derive(Clone, Copy, PartialEq)]
enum Init {
    Curfew,
    /// With `--exit-status mirror`: the command's own status, even after a stop.
    Mirror,
    Tini,
    Dumb,
}

impl Init {
    /// Those that are there; says which are not.
    fn all() -> Vec<Self> {
        let mut all = vec![Self::Curfew, Self::Mirror];
        for (init, program) in [(Self::Tini, "tini"), (Self::Dumb, "dumb-init")] {
            match is_installed(program) {
                true => all.push(init),
                false => skip(&format!("the part with {program}: it is not installed")),
            }
        }
        all
    }

    /// As PID 1, before a command.
    fn prepare(self) -> Curfew {
        let (program, options): (_, &[&str]) = match self {
            Self::Curfew => (curfew_binary(), &[]),
            Self::Mirror => (curfew_binary(), &["run", "--exit-status", "mirror"]),
            Self::Tini => ("tini", &[]),
            Self::Dumb => ("dumb-init", &[]),
        };
        let curfew = options.iter().fold(Curfew::bare([]), |curfew, option| curfew.arg(*option));
        as_pid_one(curfew.program(program))
    }

    fn run(self, fixture: &str) -> Finished {
        self.prepare().fixture(fixture).finish()
    }

    /// Starts the command, sends a signal to the init when it is ready, and waits for the end.
    fn run_with_signal(self, fixture: &str, signal: i32) -> Finished {
        let running = self.prepare().fixture(fixture).start();
        running.wait_for("ready");
        kill(init(&running), signal);
        running.finish()
    }
}

#[test]
fn a_command_that_ends_by_itself_gives_the_status_it_gives_under_other_inits() {
    if !namespaces_work() {
        return;
    }
    for init in Init::all() {
        for status in [0, 1, 2, 42, 64, 80, 81, 126, 127, 128, 130, 143, 254, 255] {
            init.run(&format!("answers-with {status}")).assert_status(status);
        }
        for signal in ["HUP", "INT", "ABRT", "KILL", "USR1", "SEGV", "TERM", "RTMIN+3"] {
            let status = 128 + number(signal).unwrap();
            init.run(&format!("dies-by {signal}")).assert_status(status);
        }
    }
}

#[test]
fn a_command_that_cannot_be_executed_is_127_or_126_as_under_tini() {
    if !namespaces_work() {
        return;
    }
    // dumb-init gives 2 for both.
    for init in Init::all().into_iter().filter(|init| *init != Init::Dumb) {
        init.prepare().command(["/no/such/command"]).finish().assert_status(127);
        init.prepare().command(["/etc/passwd"]).finish().assert_status(126);
    }
}

#[test]
fn signals_reach_the_command_as_under_other_inits() {
    if !namespaces_work() {
        return;
    }
    let signals = [
        "HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM", "STKFLT", "URG", "XCPU", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "RTMIN", "RTMIN+3", "RTMIN+15", "RTMIN+30",
    ];
    for signal in signals.map(|signal| number(signal).unwrap()) {
        for init in Init::all() {
            let finished = init.run_with_signal(&format!("prints-signals until {}", name(signal)), signal);
            finished.assert_status(0);
            assert_eq!(finished.said(&format!("got {}", name(signal))).len(), 1, "{finished}");
        }
    }
}

/// After a stop that was asked for, the one difference: for curfew it is a success, unless it is to be a mirror.
#[test]
fn a_stop_is_a_success_and_as_under_other_inits_in_the_mirror() {
    if !namespaces_work() {
        return;
    }
    let term = 128 + SIGTERM;
    for init in Init::all() {
        let expected = if init == Init::Curfew { 0 } else { term };
        init.run_with_signal("dies-by TERM on TERM", SIGTERM).assert_status(expected);
        init.run_with_signal("answers-with 143 TERM", SIGTERM).assert_status(expected);
        init.run_with_signal("answers-with 3 TERM", SIGTERM).assert_status(3);
        init.run_with_signal("obedient 50ms", SIGTERM).assert_status(0);
    }
}

#[test]
fn orphans_are_reaped_as_under_other_inits() {
    if !namespaces_work() {
        return;
    }
    for kind in Init::all() {
        let running = kind.prepare().fixture("orphans 500").start();
        running.wait_for("made 500 orphans");
        let init = init(&running);
        running.eventually("only the command is left", || children(init).len() == 1);
        kill(init, SIGTERM);
        let expected = if kind == Init::Curfew { 0 } else { 128 + SIGTERM };
        running.finish().assert_status(expected);
    }
}
