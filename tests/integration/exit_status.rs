//! The exit status: every row of the table.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use nix::libc::{self, SIGTERM};

use crate::signal_names::name;
use crate::support::{
    Curfew, Finished, carriers, children, exists, fixture_binary, is_root, kill, pause, skip,
};

/// Does something for each number, a few at a time.
fn for_each(numbers: impl IntoIterator<Item = i32>, action: impl Fn(i32) + Sync) {
    const AT_ONCE: usize = 6;
    let numbers: Vec<i32> = numbers.into_iter().collect();
    thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let (numbers, action) = (&numbers, &action);
            scope.spawn(move || {
                numbers.iter().skip(worker).step_by(AT_ONCE).for_each(|number| action(*number));
            });
        }
    });
}

/// A user nobody else is, so that limits and permissions are those of one test alone.
pub(crate) fn somebody(number: u32) -> u32 {
    200_000 + std::process::id() % 30_000 * 10 + number
}

/// Runs curfew as somebody, with a limit on how many processes that user may have.
pub(crate) fn as_somebody(curfew: Curfew, user: u32, processes: u64) -> Curfew {
    curfew.before_exec(move || {
        let limit = libc::rlimit { rlim_cur: processes, rlim_max: processes };
        // SAFETY: system calls alone, with valid arguments.
        let result = unsafe {
            libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit)
                | libc::setgroups(0, std::ptr::null())
                | libc::setgid(user)
                | libc::setuid(user)
        };
        if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    })
}

#[test]
fn one_command_that_ends_by_itself_gives_each_of_the_256_statuses() {
    for_each(0..=255, |status| {
        Curfew::run([]).fixture(&format!("answers-with {status}")).finish().assert_status(status);
    });
}

#[test]
fn a_mirrored_status_is_each_of_the_256_after_a_stop_too() {
    for_each(0..=255, |status| {
        let curfew =
            Curfew::run(["--exit-status", "mirror"]).fixture(&format!("answers-with {status} TERM")).start();
        curfew.wait_for("ready");
        curfew.signal(SIGTERM);
        curfew.finish().assert_status(status);
    });
}

/// Every signal whose default action ends a process, the two without a name included.
fn fatal_signals() -> impl Iterator<Item = i32> {
    const OTHERS: [&str; 8] = ["CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "WINCH"];
    (1..=64).filter(|number| !OTHERS.contains(&name(*number).as_str()))
}

#[test]
fn one_command_that_a_signal_ends_gives_128_plus_the_signal() {
    for_each(fatal_signals(), |signal| {
        let finished = Curfew::run([]).fixture(&format!("dies-by {}", name(signal))).finish();
        finished.assert_status(128 + signal);
        assert_eq!(finished.report()["services"][0]["end"]["signal"], name(signal));
    });
}

#[test]
fn a_mirrored_status_is_128_plus_each_fatal_signal_after_a_stop_too() {
    for_each(fatal_signals(), |signal| {
        let fixture = format!("dies-by {} on TERM", name(signal));
        let curfew = Curfew::run(["--exit-status", "mirror"]).fixture(&fixture).start();
        curfew.wait_for("ready");
        curfew.signal(SIGTERM);
        curfew.finish().assert_status(128 + signal);
    });
}

#[test]
fn a_mirrored_kill_is_137() {
    let curfew = Curfew::run(["--exit-status", "mirror", "--grace", "TERM 50ms, KILL"])
        .fixture("ignores TERM")
        .start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(137);
    assert_eq!(finished.verdict(), "killed");
}

#[test]
fn a_stop_that_is_answered_with_128_plus_a_stop_signal_is_clean_and_any_other_status_is_told() {
    for (status, expected) in
        [(0, 0), (143, 0), (130, 0), (131, 0), (129, 0), (158, 0), (1, 1), (137, 137), (255, 255)]
    {
        let curfew = Curfew::run([]).fixture(&format!("answers-with {status} TERM")).start();
        curfew.wait_for("ready");
        curfew.signal(SIGTERM);
        curfew.finish().assert_status(expected);
    }
}

#[test]
fn a_stop_that_is_answered_with_a_crash_is_told() {
    let curfew = Curfew::run([]).fixture("dies-by SEGV on TERM").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(139);
    assert_eq!(finished.report()["services"][0]["result"], "failed-stopping");
}

fn one_clear_line(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.stderr.len(), 1, "one line{finished}");
    for word in words {
        assert!(finished.stderr[0].contains(word), "{word:?} is in it{finished}");
    }
}

#[test]
fn a_command_that_is_not_there_is_127_with_one_clear_line() {
    for command in ["/nonexistent", "no-such-command-anywhere"] {
        let finished = Curfew::run([]).log(None).command([command]).finish();
        one_clear_line(finished.assert_status(127), &[command, "not found"]);
        assert_eq!(finished.report()["services"][0]["result"], "start-failed");
    }
}

#[test]
fn a_command_that_cannot_be_executed_is_126_with_one_clear_line() {
    for command in ["/etc/passwd", "/tmp"] {
        let finished = Curfew::run([]).log(None).command([command]).finish();
        one_clear_line(finished.assert_status(126), &[command]);
    }
}

#[test]
fn a_script_without_its_interpreter_is_126_and_the_line_says_what_is_missing() {
    let curfew = Curfew::run([]).log(None);
    let script = curfew.directory().join("script");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let finished = curfew.command([script.to_str().unwrap()]).finish();
    one_clear_line(finished.assert_status(126), &["interpreter"]);
}

#[test]
fn a_script_without_a_first_line_is_run_by_the_shell() {
    let curfew = Curfew::run([]);
    let script = curfew.directory().join("script");
    fs::write(&script, "echo \"$0 $1\"; exit 5\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let finished = curfew.command([script.to_str().unwrap(), "word"]).finish();
    finished.assert_status(5);
    assert_eq!(finished.stdout, [format!("{} word", script.display())]);
}

#[test]
fn a_service_that_cannot_be_executed_gives_its_status_and_the_others_are_stopped() {
    for (command, status) in [("/nonexistent", 127), ("/etc/passwd", 126)] {
        let finished = Curfew::run([])
            .config(&format!(
                "service.good.command = <obedient>\n[service.bad]\nafter = [\"good\"]\ncommand = [{command:?}]"
            ))
            .finish();
        finished.assert_status(status);
        assert_eq!(finished.service("good")["result"], "stopped");
        assert_eq!(finished.report()["cause"]["service"], "bad");
    }
}

#[test]
fn a_refused_fork_before_anything_ran_is_71() {
    if !is_root() {
        return skip("only root can become a user with a limit of its own");
    }
    let curfew = as_somebody(Curfew::run([]), somebody(1), 1).fixture("obedient");
    let finished = curfew.finish();
    finished.assert_status(71);
    assert_eq!(finished.report()["services"][0]["start_failure"]["step"], "fork");
}

#[test]
fn a_refused_fork_after_others_ran_is_82_and_they_are_stopped() {
    if !is_root() {
        return skip("only root can become a user with a limit of its own");
    }
    let curfew = Curfew::run([]).config(
        "service.first.command = <obedient>\n[service.second]\nafter = [\"first\"]\ncommand = <obedient>",
    );
    let finished = as_somebody(curfew, somebody(2), 2).finish();
    finished.assert_status(82);
    assert_eq!(finished.service("first")["result"], "stopped");
}

#[test]
fn what_had_to_be_killed_is_80_and_a_failure_while_stopping_comes_before_it() {
    let config = "service.bad.command = <ignores TERM>\nservice.good.command = <answers-with STATUS TERM>";
    for (status, expected) in [("0", 80), ("9", 9)] {
        let curfew =
            Curfew::run(["--grace", "TERM 100ms, KILL"]).config(&config.replace("STATUS", status)).start();
        curfew.wait_for_many(2, "ready");
        curfew.signal(SIGTERM);
        let finished = curfew.finish();
        finished.assert_status(expected);
        assert_eq!(finished.verdict(), "killed");
    }
}

/// A program that becomes another user, as `su` does, cannot be signalled by a curfew that is nobody special.
#[test]
fn what_may_not_be_signalled_is_a_survivor_that_is_named_and_81() {
    for with_child in [false, true] {
        what_may_not_be_signalled(with_child);
    }
}

fn what_may_not_be_signalled(with_child: bool) {
    if !is_root() {
        return skip("only root can make a program that is root's");
    }
    let curfew = Curfew::run(["--grace", "TERM 100ms, KILL", "--deadline", "1s", "--margin", "200ms"]);
    // Root's sleep, for everybody.
    let program = curfew.directory().join("fixture-of-root");
    fs::copy(fixture_binary(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let user = somebody(3);
    let command =
        [program.to_str().unwrap(), "becomes-root", if with_child { "with-child" } else { "alone" }];
    let mut curfew = as_somebody(curfew, user, 1000).command(command).start();
    let survivor = curfew.wait_for_pid("ready");
    let child = with_child.then(|| curfew.wait_for_pid("child"));
    curfew.signal(SIGTERM);
    // The survivor holds the log open: it has no end to wait for.
    curfew.wait_for_event("stop.complete");
    let finished = curfew.end();
    let left: HashSet<i32> = carriers(curfew.token()).into_iter().collect();
    let survivors = [Some(survivor), child].into_iter().flatten();
    for pid in survivors.clone() {
        // Ours to kill, since nobody else can.
        kill(pid, libc::SIGKILL);
    }
    finished.assert_status(81);
    assert_eq!(left, survivors.clone().collect());
    assert_eq!(finished.report()["survivors"][0]["pid"], survivor);
    assert_eq!(finished.verdict(), "survivors");
    assert_eq!(finished.events("signal.refused").len(), survivors.clone().count(), "said once{finished}");
    assert_eq!(finished.events("survivor.left").len(), 1);
    // Nobody is said to be killed who was not.
    assert!(finished.events("stray.killed").is_empty(), "{finished}");
    assert!(finished.stop_took().as_millis() < 1000);
    curfew.eventually("the survivors are gone", || survivors.clone().all(|pid| !exists(pid)));
}

/// A freezer of the first version of cgroups: what is in it is not even ended by KILL until somebody thaws it.
pub(crate) struct Freezer(std::path::PathBuf);

impl Freezer {
    /// One of this name; `None`: this machine has none, or not for us.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let path = std::path::Path::new("/sys/fs/cgroup/freezer")
            .join(format!("curfew-test-{name}-{}", std::process::id()));
        fs::create_dir(&path).ok()?;
        Some(Self(path))
    }

    pub(crate) fn freeze(&self, pid: i32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
        fs::write(self.0.join("freezer.state"), "FROZEN").unwrap();
    }

    pub(crate) fn is_frozen(&self) -> bool {
        fs::read_to_string(self.0.join("freezer.state")).is_ok_and(|state| state.trim() == "FROZEN")
    }

    pub(crate) fn thaw(&self) {
        let _ = fs::write(self.0.join("freezer.state"), "THAWED");
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.thaw();
        // EBUSY: whoever was in it is on its way out.
        while fs::remove_dir(&self.0).is_err() && self.0.exists() {
            pause(std::time::Duration::from_millis(5));
        }
    }
}

#[test]
fn what_even_kill_does_not_end_is_named_and_81_inside_the_budget() {
    let Some(freezer) = Freezer::new("survivor") else {
        return skip("only a freezer of cgroup v1, as root, makes a process that KILL does not end");
    };
    let config = "service.frozen = { command = <obedient>, grace = \"TERM 200ms, KILL\" }\n\
                  service.other = { command = <obedient>, after = [\"frozen\"] }";
    let mut curfew = Curfew::run(["--deadline", "3s", "--margin", "1s"]).config(config).start();
    curfew.wait_for_many(2, "ready");
    let frozen = children(curfew.pid())[0];
    freezer.freeze(frozen);
    curfew.eventually("it is frozen", || freezer.is_frozen());
    curfew.signal(SIGTERM);
    // The survivor holds the log open: it has no end to wait for.
    curfew.wait_for_event("stop.complete");
    let finished = curfew.end();
    let left = carriers(curfew.token());
    freezer.thaw();
    finished.assert_status(81);
    assert_eq!(left, [frozen]);
    assert_eq!(finished.report()["survivors"][0]["pid"], frozen);
    assert!(finished.stop_took().as_millis() < 3000, "{finished}");
    finished.place("other: done");
    curfew.eventually("KILL ends it once it is thawed", || !exists(frozen));
}

#[test]
fn the_culprit_gives_the_status_whatever_the_others_do() {
    for (culprit, status) in
        [("answers-with 3 USR1", 3), ("dies-by SEGV on USR1", 139), ("answers-with 143 USR1", 143)]
    {
        let curfew = Curfew::run(["--grace", "TERM 100ms, KILL"])
            .config(&format!(
                "service.culprit = {{ command = <{culprit}>, forward = [\"USR1\"] }}\n\
                 service.stubborn.command = <ignores TERM>\n\
                 service.bad.command = <answers-with 4 TERM>"
            ))
            .start();
        curfew.wait_for_many(3, "ready");
        curfew.signal(libc::SIGUSR1);
        let finished = curfew.finish();
        finished.assert_status(status);
        assert_eq!(finished.report()["cause"]["kind"], "service-failed");
        assert_eq!(finished.report()["cause"]["service"], "culprit");
    }
}

#[test]
fn of_several_failures_while_stopping_the_first_gives_the_status() {
    let curfew = Curfew::run([])
        .config(
            "service.base.command = <answers-with 5 TERM>\n\
             [service.front]\nafter = [\"base\"]\ncommand = <answers-with 6 TERM>",
        )
        .start();
    curfew.wait_for_many(2, "ready");
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(6);
}

#[test]
fn an_interrupted_task_gives_128_plus_the_signal() {
    let one = Curfew::run(["--task"]).fixture("answers-with 143 TERM");
    let many = Curfew::run([]).config("service.it = { type = \"task\", command = <prints-state stays> }");
    for curfew in [one, many] {
        let curfew = curfew.start();
        curfew.wait_for("ready");
        curfew.signal(SIGTERM);
        let finished = curfew.finish();
        finished.assert_status(143);
        assert_eq!(finished.verdict(), "interrupted");
    }
}

#[test]
fn a_task_that_finishes_while_it_is_being_stopped_is_done() {
    let curfew = Curfew::run(["--task"]).fixture("obedient 50ms").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.report()["services"][0]["result"], "done");
}

#[test]
fn a_system_whose_tasks_are_all_done_is_0() {
    let finished = Curfew::run([])
        .config(
            "service.a = { type = \"task\", command = <answers-with 0> }\n\
             service.b = { type = \"task\", command = <answers-with 0>, after = [\"a\"] }",
        )
        .finish();
    finished.assert_status(0);
    assert_eq!(finished.report()["cause"]["kind"], "nothing-left");
}

#[test]
fn a_failed_task_stops_the_system_and_what_comes_after_it_is_never_started() {
    let finished = Curfew::run([])
        .config(
            "service.other.command = <obedient>\n\
             service.migrate = { type = \"task\", command = <answers-with 4>, after = [\"other\"] }\n\
             service.api = { command = <obedient>, after = [\"migrate\"] }",
        )
        .finish();
    finished.assert_status(4);
    assert_eq!(finished.service("api")["result"], "not-started");
    assert_eq!(finished.service("other")["result"], "stopped");
    assert!(finished.said("api: ").is_empty());
}

#[test]
fn a_service_that_ends_well_but_unasked_stops_the_system_with_0() {
    let finished = Curfew::run([])
        .config("service.a.command = <answers-with 0>\nservice.b.command = <obedient>")
        .finish();
    finished.assert_status(0);
    assert_eq!(finished.report()["cause"]["kind"], "service-ended");
    assert_eq!(finished.service("b")["result"], "stopped");
}

#[test]
fn what_is_not_essential_may_fail_and_a_system_without_anything_essential_left_is_0() {
    let optional = "service.optional = { command = <answers-with 3>, essential = false }\n";
    let curfew = Curfew::run([]).config(&format!("{optional}service.it.command = <obedient>")).start();
    curfew.wait_for("it: ready");
    curfew.wait_for_event("service.ended");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.report()["cause"]["kind"], "signal");
    assert_eq!(finished.service("optional")["result"], "failed");

    let finished = Curfew::run([]).config(optional).finish();
    finished.assert_status(0);
    assert_eq!(finished.report()["cause"]["kind"], "nothing-left");
}

#[test]
fn statuses_and_signals_can_be_declared_a_success() {
    let curfew = Curfew::run(["--success", "3"]).fixture("answers-with 3 TERM").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(0);
    // One command that ends by itself gives its own status all the same.
    Curfew::run(["--success", "3"]).fixture("answers-with 3").finish().assert_status(3);
    let finished = Curfew::run([])
        .config("service.a = { command = <answers-with 3>, success = [3] }\nservice.b.command = <obedient>")
        .finish();
    finished.assert_status(0);
}

/// A platform that signals everybody at once may reach the service first.
#[test]
fn a_death_by_a_stop_signal_right_before_the_request_is_no_failure() {
    let curfew = Curfew::run([]).config("service.a.command = <dies-by TERM on USR1>").start();
    curfew.wait_for("ready");
    let service = crate::support::children(curfew.pid())[0];
    curfew.signal(libc::SIGSTOP);
    kill(service, libc::SIGUSR1);
    curfew.eventually("the service is dead", || !exists(service));
    curfew.signal(SIGTERM);
    curfew.signal(libc::SIGCONT);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.report()["cause"]["kind"], "signal");
}

#[test]
fn a_death_by_a_stop_signal_waits_a_moment_for_the_request_that_explains_it() {
    // The moment is a tenth of a second. Should this test not be scheduled in time, it tries again.
    let mut last = None;
    for _ in 0..10 {
        let curfew = Curfew::run([]).config("service.a.command = <dies-by TERM on USR1>").start();
        curfew.wait_for("ready");
        kill(crate::support::children(curfew.pid())[0], libc::SIGUSR1);
        curfew.wait_for_event("service.end-held");
        curfew.signal(SIGTERM);
        let finished = curfew.finish();
        if finished.code() == 0 {
            assert_eq!(finished.report()["cause"]["kind"], "signal");
            return;
        }
        last = Some(finished);
    }
    panic!("the request came in time ten times{}", last.expect("there were ten"));
}

#[test]
fn a_death_by_a_stop_signal_that_nobody_explains_is_a_failure() {
    let curfew = Curfew::run([]).config("service.a.command = <dies-by TERM on USR1>").start();
    curfew.wait_for("ready");
    kill(crate::support::children(curfew.pid())[0], libc::SIGUSR1);
    let finished = curfew.finish();
    finished.assert_status(143);
    assert_eq!(finished.report()["cause"]["kind"], "service-failed");
}
