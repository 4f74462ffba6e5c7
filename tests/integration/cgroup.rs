//! Services in cgroups of their own, and the same without: what slips away, forks too fast, is frozen, or belongs to
//! somebody else. Each test makes a cgroup of its own below that of the tests.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command};
use std::time::Duration;

use nix::libc::{self, SIGTERM};

use crate::exit_status::{as_somebody, somebody};
use crate::panic::{TRIGGER, panicking};
use crate::scarcity::with_descriptors;
use crate::support::{
    Cgroup, Curfew, Finished, Refusal, Running, children, curfew_binary, exists, fixture_binary,
    is_installed, is_root, kill, now, processes_in, skip,
};

/// What makes orphans somebody else's children.
const NO_SUBREAPER: Refusal = Refusal {
    call: libc::SYS_prctl,
    first_argument: Some(libc::PR_SET_CHILD_SUBREAPER as u32),
    errno: libc::EPERM,
};

/// Somewhere to make cgroups; says why there is nowhere.
fn cgroup() -> Option<Cgroup> {
    let result = if is_root() { Cgroup::new() } else { Err("cgroups of a test's own need root".to_owned()) };
    result.map_err(|why| skip(&why)).ok()
}

/// What curfew is, and what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Root,
    Somebody,
    PidOne,
}

/// Prepares curfew for its place, in this cgroup or, without one, told to do without. `user` is who somebody is.
fn placed(place: Place, user: u32, cgroup: Option<&Cgroup>, curfew: Curfew) -> Curfew {
    let curfew = match (cgroup, place) {
        (None, _) => curfew.arg("--cgroup").arg("off"),
        (Some(cgroup), Place::Somebody) => {
            // By default, then.
            cgroup.give_to(user);
            cgroup.around(curfew)
        }
        (Some(cgroup), _) => cgroup.around(curfew).arg("--cgroup").arg("require"),
    };
    match place {
        Place::Root => curfew,
        Place::Somebody => as_somebody(curfew, user, 3000),
        Place::PidOne => curfew.wrapped_by(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]),
    }
}

/// curfew itself, which may not be the process that the test started.
fn curfew_of(running: &Running, place: Place) -> i32 {
    if place == Place::PidOne { children(running.pid())[0] } else { running.pid() }
}

/// Every place, with a cgroup and without.
fn in_every_place(test: impl Fn(Place, Option<&Cgroup>)) {
    for place in [Place::Root, Place::Somebody, Place::PidOne] {
        if place == Place::PidOne && !is_installed("unshare") {
            skip("a pid namespace needs unshare(1)");
            continue;
        }
        if is_root() {
            test(place, None);
        } else if place == Place::Root {
            skip("this needs root");
        }
        if let Some(cgroup) = cgroup() {
            test(place, Some(&cgroup));
            assert_eq!(cgroup.names_below(), [""; 0], "curfew leaves no cgroup behind");
        }
    }
}

/// The strays of a service: the kind that each said it is, the signal it was sent last, and the one that ended it. Told by
/// the order of their pids, which is that of their starts.
fn strays(finished: &Finished, service: &str) -> Vec<(String, String)> {
    let strays = finished.service(service)["strays"].as_array().expect("a list");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("none").to_owned();
    strays.iter().map(|stray| (text(&stray["signal"]), text(&stray["end"]["signal"]))).collect()
}

fn pairs<const COUNT: usize>(signals: [&str; COUNT]) -> Vec<(String, String)> {
    signals.map(|signal| (signal.to_owned(), signal.to_owned())).to_vec()
}

#[test]
fn whatever_slips_away_has_its_grace_is_ended_and_is_named() {
    const KINDS: &str = "forks session daemon ignoring stopped apart group+slow";
    in_every_place(|place, cgroup| {
        let curfew = Curfew::run(["--grace", "TERM 700ms, KILL", "--deadline", "20s"])
            .config(&format!("service.a.command = <{KINDS}>\nservice.b.command = <obedient>"));
        let curfew = placed(place, somebody(40), cgroup, curfew).start();
        curfew.wait_for("a: ready");
        curfew.wait_for("b: ready");
        if let Some(cgroup) = cgroup {
            assert_eq!(processes_in(&cgroup.below("service-a")).len(), 7, "{place:?}");
            assert_eq!(processes_in(&cgroup.below("service-b")).len(), 1, "{place:?}");
        }
        kill(curfew_of(&curfew, place), SIGTERM);
        let finished = curfew.finish();
        finished.assert_status(80);
        // The slow one ended by itself, after its work.
        let mut expected = pairs(["TERM", "TERM", "KILL", "TERM", "TERM"]);
        expected.push(("TERM".to_owned(), "none".to_owned()));
        assert_eq!(strays(&finished, "a"), expected, "{place:?} {}{finished}", cgroup.is_some());
        assert_eq!(finished.said("child group+slow done").len(), 1);
        // Nobody was killed before the time.
        let killed_after = finished.sent_at("a", 2) - finished.sent_at("a", 1);
        assert!(killed_after >= 700, "{killed_after} ms{finished}");
        assert_eq!(finished.service("a")["used"].is_object(), cgroup.is_some(), "{place:?}{finished}");
    });
}

/// Where there is no list of processes that is not too old.
#[test]
fn a_fork_storm_is_ended_inside_the_deadline() {
    in_every_place(|place, cgroup| {
        let curfew = Curfew::run(["--grace", "TERM 300ms, KILL", "--deadline", "10s"]);
        let curfew = placed(place, somebody(46), cgroup, curfew.fixture("storm 20")).start();
        curfew.wait_for(": ready");
        kill(curfew_of(&curfew, place), SIGTERM);
        let finished = curfew.finish();
        finished.assert_status(80);
        assert!(finished.stop_took() < Duration::from_secs(10), "{place:?}{:?}", finished.stop_took());
    });
}

/// Whether it is beaten or not: curfew is out in time.
#[test]
fn a_storm_without_any_bound_does_not_keep_curfew_past_its_deadline() {
    if !is_root() || !is_installed("setpriv") || !is_installed("prlimit") {
        return skip("a storm in a namespace of another user needs root, setpriv(1) and prlimit(1)");
    }
    let user = somebody(48).to_string();
    let identity = ["--reuid", "--regid"].map(|option| format!("{option}={user}"));
    let curfew = Curfew::run(["--cgroup", "off", "--grace", "TERM 300ms, KILL", "--deadline", "3s"])
        .wrapped_by(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"])
        // Not curfew is PID 1, which the kernel itself would end everybody with.
        .wrapped_by_word("sh")
        .wrapped_by_word("-c")
        .wrapped_by_word("\"$@\"; exit $?")
        .wrapped_by_word("sh")
        .wrapped_by_word("setpriv")
        .wrapped_by_word(&identity[0])
        .wrapped_by_word(&identity[1])
        .wrapped_by_word("--clear-groups")
        .wrapped_by_word("prlimit")
        .wrapped_by_word("--nproc=200")
        .report(None)
        .fixture("storm endless")
        .start();
    curfew.wait_for(": ready");
    let pid = children(children(curfew.pid())[0])[0];
    let since = now();
    kill(pid, SIGTERM);
    curfew.eventually("curfew is gone", || !exists(pid));
    let took = now().since(since);
    let finished = curfew.finish();
    assert!([80, 81].contains(&finished.code()), "{finished}");
    // On a machine that has other work, too, curfew has to wait for its turn among them all, and so has this test. Where
    // nothing ends the loop, a storm takes several times as long as it may.
    assert!(took < Duration::from_secs(9), "{took:?}{finished}");
}

/// The stop of a service with so many cgroups below its own.
fn stop_with_cgroups_below(cgroup: &Cgroup, count: u32, options: [&str; 4]) -> Finished {
    let curfew = Curfew::run(["--cgroup", "require", "--grace", "TERM 100ms, KILL"])
        .config(&format!("service.a.command = <makes-cgroups {count}>"));
    let curfew = options.into_iter().fold(curfew, Curfew::arg);
    let curfew = cgroup.around(curfew).start();
    curfew.wait_for("a: ready");
    curfew.signal(SIGTERM);
    curfew.finish()
}

#[test]
fn what_a_service_made_below_its_cgroup_is_removed_with_it() {
    let Some(cgroup) = cgroup() else { return };
    // More than are ever looked into.
    let finished = stop_with_cgroups_below(&cgroup, 2000, ["--deadline", "1m", "--margin", "5s"]);
    finished.assert_status(80);
    assert_eq!(finished.events("cgroup.left").len(), 0, "{finished}");
    assert_eq!(cgroup.names_below(), [""; 0]);
}

/// Whatever was made, curfew does not stay for it longer than it may.
#[test]
fn what_a_service_made_below_its_cgroup_is_left_if_there_is_no_time_and_the_report_tells() {
    let Some(cgroup) = cgroup() else { return };
    // A short budget, that is used up, and a long margin, so that a slow machine is in time all the same.
    let finished = stop_with_cgroups_below(&cgroup, 20_000, ["--deadline", "10s", "--margin", "9900ms"]);
    finished.assert_status(80);
    let left = |event: &&serde_json::Value| event["event"] == "cgroup.left";
    let events = finished.report()["events"].as_array().unwrap();
    assert_eq!(events.iter().filter(left).count(), 1, "{finished}");
    assert_eq!(finished.events("cgroup.left").len(), 1, "{finished}");
    assert_eq!(cgroup.names_below(), ["service-a"]);
}

/// One that ignores TERM while it forks: KILL finds its leader alive.
#[test]
fn a_leader_is_killed_with_all_that_is_in_its_cgroup() {
    let Some(cgroup) = cgroup() else { return };
    let curfew = Curfew::run(["--cgroup", "require", "--grace", "TERM 100ms, KILL"])
        .config("service.a.command = <forks stays session daemon daemon+ignoring>");
    let curfew = cgroup.around(curfew).start();
    curfew.wait_for("a: ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    // Those that are under the leader no more are known as well, and die at the same time.
    assert_eq!(strays(&finished, "a"), pairs(["KILL"; 3]));
    assert_eq!(finished.events("stray.killed").len(), 3, "{finished}");
    assert_eq!(cgroup.names_below(), [""; 0]);
}

#[test]
fn what_belongs_to_root_cannot_be_signalled_but_killed_with_its_cgroup() {
    let Some(cgroup) = cgroup() else { return };
    let user = somebody(41);
    cgroup.give_to(user);
    let curfew = Curfew::run(["--grace", "TERM 100ms, KILL", "--deadline", "10s"]);
    let program = curfew.directory().join("fixture-of-root");
    fs::copy(fixture_binary(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let curfew = cgroup.around(curfew).command([program.to_str().unwrap(), "becomes-root"]);
    let curfew = as_somebody(curfew, user, 1000).start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert_eq!(finished.verdict(), "killed");
    assert_eq!(finished.events("signal.refused").len(), 1, "TERM was{finished}");
    assert_eq!(cgroup.names_below(), [""; 0]);
}

/// Nobody tells curfew of the death of a process that is not its child: only the cgroup does.
#[test]
fn without_a_subreaper_daemons_are_found_in_the_cgroup_and_their_end_is_seen() {
    let Some(cgroup) = cgroup() else { return };
    let curfew = Curfew::run(["--cgroup", "require", "--grace", "TERM 30s, KILL"])
        .config("service.a.command = <forks daemon daemon+slow>\nservice.b.command = <obedient>");
    let curfew = cgroup.around(curfew).before_exec(|| NO_SUBREAPER.take_effect()).start();
    curfew.wait_for("a: ready");
    curfew.wait_for("b: ready");
    curfew.wait_for_event("subreaper.refused");
    let daemons = processes_in(&cgroup.below("service-a"));
    assert!(daemons.iter().filter(|pid| children(curfew.pid()).contains(pid)).count() == 1, "{daemons:?}");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    let expected = vec![("TERM".to_owned(), "none".to_owned()); 2];
    assert_eq!(strays(&finished, "a"), expected, "{finished}");
    assert_eq!(finished.said("child daemon+slow done").len(), 1);
    // Else it would have waited for the end of the stage.
    assert!(finished.stop_took() < Duration::from_secs(20), "{finished}");
    assert_eq!(cgroup.names_below(), [""; 0]);
}

#[test]
fn without_a_subreaper_a_storm_is_killed_by_the_kernel() {
    let Some(cgroup) = cgroup() else { return };
    let curfew = Curfew::run(["--cgroup", "require", "--grace", "TERM 200ms, KILL", "--deadline", "10s"])
        .fixture("storm 10");
    let curfew = cgroup.around(curfew).before_exec(|| NO_SUBREAPER.take_effect()).start();
    curfew.wait_for(": ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert!(finished.stop_took() < Duration::from_secs(10), "{finished}");
    assert_eq!(cgroup.names_below(), [""; 0]);
}

/// A process that somebody put there, as with `docker exec` or `systemd-run --scope` gone wrong: killed at the end of the
/// test in any case.
struct Foreigner(Child);

impl Foreigner {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().expect("sleep is there"))
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Foreigner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn whoever_is_put_into_the_cgroup_of_a_service_is_stopped_with_it() {
    let Some(cgroup) = cgroup() else { return };
    let mut foreigner = Foreigner::new();
    let curfew = Curfew::run(["--cgroup", "require"])
        .config("service.a.command = <obedient>\nservice.b = { command = <obedient>, after = [\"a\"] }");
    let curfew = cgroup.around(curfew).start();
    curfew.wait_for("b: ready");
    fs::write(cgroup.below("service-a").join("cgroup.procs"), foreigner.pid().to_string()).unwrap();
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.service("a")["strays"][0]["pid"], foreigner.pid());
    assert_eq!(strays(&finished, "a"), [("TERM".to_owned(), "none".to_owned())]);
    let end = foreigner.0.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&end), Some(SIGTERM));
    assert_eq!(cgroup.names_below(), [""; 0]);
}

#[test]
fn whoever_left_the_cgroup_of_its_service_is_stopped_all_the_same() {
    let Some(cgroup) = cgroup() else { return };
    let curfew = Curfew::run(["--cgroup", "require"])
        .config("service.a.command = <forks session daemon>\nservice.b.command = <obedient>");
    let curfew = cgroup.around(curfew).start();
    curfew.wait_for("a: ready");
    curfew.wait_for("b: ready");
    let elsewhere = cgroup.below("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for pid in processes_in(&cgroup.below("service-a")) {
        fs::write(elsewhere.join("cgroup.procs"), pid.to_string()).unwrap();
    }
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(strays(&finished, "a"), pairs(["TERM"; 2]));
    assert_eq!(cgroup.names_below(), ["elsewhere"]);
}

#[test]
fn a_cgroup_that_somebody_removes_is_done_without_and_made_again() {
    let Some(cgroup) = cgroup() else { return };
    let curfew = Curfew::run(["--cgroup", "require"]).config(
        "service.a.command = <forks session daemon>\n\
         service.b = { command = <obedient>, restart = { when = \"always\", delay = \"1ms\" } }",
    );
    let curfew = cgroup.around(curfew).start();
    curfew.wait_for("a: ready");
    curfew.wait_for("b: ready");
    let leader = processes_in(&cgroup.below("service-b"))[0];
    for name in ["service-a", "service-b"] {
        for pid in processes_in(&cgroup.below(name)) {
            fs::write(cgroup.path().join("cgroup.procs"), pid.to_string()).unwrap();
        }
        fs::remove_dir(cgroup.below(name)).unwrap();
    }
    kill(leader, libc::SIGKILL);
    curfew.wait_for_many(2, "b: ready");
    assert_eq!(processes_in(&cgroup.below("service-b")).len(), 1);
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(strays(&finished, "a"), pairs(["TERM"; 2]));
    assert_eq!(finished.events("cgroup.removed").len(), 2, "said once each{finished}");
    assert_eq!(cgroup.names_below(), [""; 0]);
}

#[test]
fn a_frozen_service_is_thawed_so_that_it_can_obey() {
    let Some(cgroup) = cgroup() else { return };
    let curfew = Curfew::run(["--cgroup", "require", "--grace", "TERM 30s, KILL"])
        .config("service.a.command = <forks daemon>\nservice.b.command = <obedient>");
    let curfew = cgroup.around(curfew).start();
    curfew.wait_for("a: ready");
    curfew.wait_for("b: ready");
    freeze(&curfew, &cgroup.below("service-a"));
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.events("cgroup.thawed").len(), 1);
    assert!(finished.stop_took() < Duration::from_secs(20), "{finished}");
}

/// Not by curfew, which knows nothing of that cgroup; but KILL ends what is frozen.
#[test]
fn a_service_that_is_frozen_elsewhere_is_killed_when_its_time_is_over() {
    let Some(cgroup) = cgroup() else { return };
    let frozen = cgroup.below("frozen");
    fs::create_dir(&frozen).unwrap();
    let curfew = Curfew::run(["--cgroup", "off", "--grace", "TERM 300ms, KILL", "--deadline", "10s"])
        .config("service.a.command = <obedient>");
    let curfew = cgroup.around(curfew).start();
    curfew.wait_for("a: ready");
    fs::write(frozen.join("cgroup.procs"), children(curfew.pid())[0].to_string()).unwrap();
    freeze(&curfew, &frozen);
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(80);
}

fn freeze(curfew: &Running, cgroup: &std::path::Path) {
    fs::write(cgroup.join("cgroup.freeze"), "1").unwrap();
    let events = || fs::read_to_string(cgroup.join("cgroup.events")).unwrap();
    curfew.eventually("it is frozen", || events().contains("frozen 1"));
}

/// An old kernel, or the sandbox of a container, has no clone3(2).
#[test]
fn where_a_child_cannot_begin_in_its_cgroup_it_joins_by_itself() {
    let Some(cgroup) = cgroup() else { return };
    let refusal = Refusal { call: libc::SYS_clone3, first_argument: None, errno: libc::ENOSYS };
    let curfew = Curfew::run(["--cgroup", "require"]).config(
        "service.a.command = <forks daemon>\nservice.b = { command = <obedient>, pre-start = [\"true\"] }",
    );
    let curfew = cgroup.around(curfew).before_exec(move || refusal.take_effect()).start();
    curfew.wait_for("a: ready");
    curfew.wait_for("b: ready");
    assert_eq!(processes_in(&cgroup.below("service-a")).len(), 2);
    assert_eq!(processes_in(&cgroup.below("service-b")).len(), 1);
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.events("cgroup.refused").len(), 0, "{finished}");
    assert_eq!(cgroup.names_below(), [""; 0]);
}

#[test]
fn a_service_that_is_not_let_into_its_cgroup_runs_without_and_that_is_told_once() {
    let Some(cgroup) = cgroup() else { return };
    let user = somebody(48);
    cgroup.give_to(user);
    let curfew = Curfew::run([]).config(
        "service.a = { command = <forks daemon>, restart = { when = \"always\", delay = \"1ms\", limit = 9 } }",
    );
    let curfew = as_somebody(cgroup.around(curfew), user, 1000).start();
    curfew.wait_for("a: ready");
    let leaf = cgroup.below("service-a");
    let leader = curfew.wait_for_event("service.started")["pid"].as_i64().unwrap() as i32;
    std::os::unix::fs::chown(leaf.join("cgroup.procs"), Some(0), Some(0)).unwrap();
    kill(leader, libc::SIGKILL);
    curfew.wait_for_many(2, "a: ready");
    assert_eq!(processes_in(&leaf), [0; 0]);
    let leader = curfew.wait_for_events(2, "service.started")[1]["pid"].as_i64().unwrap() as i32;
    kill(leader, libc::SIGKILL);
    curfew.wait_for_many(3, "a: ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.events("cgroup.refused").len(), 1, "{finished}");
    assert_eq!(strays(&finished, "a"), pairs(["TERM"]));
    assert_eq!(cgroup.names_below(), [""; 0]);
}

/// Its environment is empty, its session its own, its parent gone.
#[test]
fn a_daemon_that_says_nothing_of_itself_is_told_by_its_cgroup() {
    let Some(cgroup) = cgroup() else { return };
    let curfew = Curfew::run(["--cgroup", "require"])
        .config("service.a.command = <forks daemon+nameless+silent>\nservice.b.command = <obedient>");
    let curfew = cgroup.around(curfew).start();
    curfew.wait_for("a: ready");
    curfew.wait_for("b: ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(strays(&finished, "a"), pairs(["TERM"]), "{finished}");
}

/// As many cgroups as there may be: the rest of the services does without.
#[test]
fn a_service_for_which_there_is_no_cgroup_left_is_found_by_descent() {
    let Some(cgroup) = cgroup() else { return };
    // One for curfew, one for a service.
    fs::write(cgroup.path().join("cgroup.max.descendants"), "2").unwrap();
    let curfew = Curfew::run(["--cgroup", "require"]).config(
        "service.a.command = <forks daemon>\n\
         service.b = { command = <forks daemon>, after = [\"a\"], restart = { when = \"always\", delay = \"1ms\" } }",
    );
    let curfew = cgroup.around(curfew).start();
    curfew.wait_for("a: ready");
    curfew.wait_for("b: ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    let refused = finished.events("cgroup.refused");
    assert_eq!(refused.len(), 1, "{finished}");
    assert_eq!(refused[0]["service"], "b");
    assert_eq!((strays(&finished, "a"), strays(&finished, "b")), (pairs(["TERM"]), pairs(["TERM"])));
    assert!(finished.service("a")["used"].is_object() && finished.service("b")["used"].is_null());
    assert_eq!(cgroup.names_below(), [""; 0]);
}

#[test]
fn a_cgroup_is_kept_over_restarts_and_counts_all_runs() {
    let Some(cgroup) = cgroup() else { return };
    let busy = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; echo ready; trap 'exit 3' USR1; \
                while :; do sleep 0.01; done";
    let curfew = Curfew::run(["--cgroup", "require"]).config(&format!(
        "[service.a]\n\
         command = [\"sh\", \"-c\", {busy:?}]\n\
         forward = [\"USR1\"]\n\
         restart = {{ when = \"always\", delay = \"1ms\" }}\n\
         pre-stop = [\"true\"]\n\
         post-stop = [\"true\"]"
    ));
    let curfew = cgroup.around(curfew).start();
    curfew.wait_for("ready");
    let leaf = cgroup.below("service-a");
    let inode = || fs::metadata(&leaf).unwrap().ino();
    let used = || {
        let text = fs::read_to_string(leaf.join("cpu.stat")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap();
        line.parse::<u64>().unwrap() / 1000
    };
    let (first, used_first) = (inode(), used());
    assert!(used_first > 0);
    curfew.signal(libc::SIGUSR1);
    curfew.wait_for_many(2, "ready");
    assert_eq!(inode(), first);
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    let used = &finished.service("a")["used"];
    assert!(used["cpu_ms"].as_u64().unwrap() > used_first, "{used} after {used_first}{finished}");
    assert_eq!(finished.service("a")["restarts"], 1);
    assert_eq!(cgroup.names_below(), [""; 0]);
}

#[test]
fn what_was_given_to_root_is_used_without_asking_and_what_was_not_is_left_alone() {
    for is_given in [false, true] {
        let Some(cgroup) = cgroup() else { return };
        if is_given && !cgroup.mark_as_delegated() {
            return skip("this file system has no marks for cgroups");
        }
        let curfew = cgroup.around(Curfew::run([])).config("service.a.command = <obedient>").start();
        curfew.wait_for("a: ready");
        assert_eq!(cgroup.below("service-a").exists(), is_given);
        curfew.signal(SIGTERM);
        let finished = curfew.finish();
        finished.assert_status(0);
        let event = if is_given { "cgroup.divided" } else { "cgroup.none" };
        assert_eq!(finished.events(event).len(), 1, "{finished}");
        assert_eq!(cgroup.names_below(), [""; 0]);
    }
}

#[test]
fn it_can_be_switched_off_everywhere() {
    let Some(cgroup) = cgroup() else { return };
    let user = somebody(42);
    cgroup.give_to(user);
    let flag = Curfew::run(["--cgroup", "off"]).config("service.a.command = <obedient>");
    let variable = Curfew::run([]).env("CURFEW_CGROUP", "off").config("service.a.command = <obedient>");
    let key = Curfew::run([]).config("cgroup = \"off\"\nservice.a.command = <obedient>");
    for curfew in [flag, variable, key] {
        let curfew = as_somebody(cgroup.around(curfew), user, 1000).start();
        curfew.wait_for("a: ready");
        assert_eq!(cgroup.names_below(), [""; 0]);
        curfew.signal(SIGTERM);
        curfew.finish().assert_status(0);
    }
}

#[test]
fn without_a_cgroup_that_is_required_nothing_is_started_and_the_cure_is_told() {
    let Some(cgroup) = cgroup() else { return };
    let curfew = Curfew::run(["--cgroup", "require"]).log(None).fixture("obedient");
    let finished = as_somebody(cgroup.around(curfew), somebody(43), 1000).finish();
    finished.assert_status(71);
    assert_eq!(finished.stdout, [""; 0], "nothing is started");
    let [line] = &finished.stderr[..] else { panic!("one line{finished}") };
    assert!(line.starts_with("curfew: --cgroup require: ") && line.contains("Delegate=yes"), "{line}");
    let errors = finished.report()["errors"].as_array().unwrap();
    assert!(errors[0].as_str().unwrap().contains("Delegate=yes"), "{errors:?}");
}

/// A curfew that is a service of another one finds its cgroup given to its user.
#[test]
fn a_curfew_inside_a_curfew_divides_its_own_cgroup() {
    let Some(cgroup) = cgroup() else { return };
    let user = somebody(44);
    cgroup.give_to(user);
    let inner = format!(
        "[{:?}, \"run\", \"--service\", \"in={} forks daemon+ignoring\", \"--grace\", \"TERM 100ms, KILL\"]",
        curfew_binary(),
        fixture_binary()
    );
    let curfew = Curfew::run(["--grace", "TERM 30s, KILL"]).config(&format!("service.out.command = {inner}"));
    let curfew = as_somebody(cgroup.around(curfew), user, 1000).start();
    curfew.wait_for("in: ready");
    assert_eq!(processes_in(&cgroup.below("service-out/service-in")).len(), 2);
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    // The inner one had to kill, and says so.
    assert_eq!(finished.service("out")["end"]["exit_status"], 80, "{finished}");
    finished.assert_status(80);
    assert_eq!(strays(&finished, "out"), [], "the inner one left nobody{finished}");
    assert_eq!(cgroup.names_below(), [""; 0]);
}

/// KILL ends an inner curfew, and with it what only that one would have found.
#[test]
fn cgroups_that_a_service_makes_are_killed_and_removed_with_its_own() {
    let Some(cgroup) = cgroup() else { return };
    let user = somebody(45);
    cgroup.give_to(user);
    let leaf = cgroup.below("service-a");
    let script = format!(
        "mkdir -p {leaf}/x/y && (echo 0 >{leaf}/x/y/cgroup.procs; trap '' TERM; echo ready; exec sleep 1000)",
        leaf = leaf.display()
    );
    let curfew = Curfew::run(["--grace", "TERM 100ms, KILL"])
        .config(&format!("service.a.command = [\"sh\", \"-c\", {script:?}]"));
    let curfew = as_somebody(cgroup.around(curfew), user, 1000).start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert_eq!(cgroup.names_below(), [""; 0]);
}

#[test]
fn after_a_bug_in_curfew_the_cgroups_are_killed_and_removed() {
    let Some(cgroup) = cgroup() else { return };
    if !cgroup.mark_as_delegated() {
        return skip("this file system has no marks for cgroups");
    }
    let curfew =
        panicking(TRIGGER, ["forks", "daemon+ignoring", "session+ignoring"]).env("WITH_CGROUPS", "1");
    let curfew = cgroup.around(curfew).before_exec(|| NO_SUBREAPER.take_effect()).start();
    curfew.wait_for("first: ready");
    curfew.wait_for("second: ready");
    assert_eq!(processes_in(&cgroup.below("service-first")).len(), 3);
    fs::write(curfew.directory().join(TRIGGER), "").unwrap();
    curfew.signal(SIGTERM);
    // The daemons are not its children: only their cgroup leads to them.
    curfew.finish().assert_status(70);
    assert_eq!(cgroup.names_below(), [""; 0]);
}

/// As in a container whose runtime gives it a cgroup namespace: its root is the container's own.
#[test]
fn in_a_container_the_root_of_its_namespace_is_divided_if_it_can_be_written() {
    if !is_installed("unshare") {
        return skip("a container needs unshare(1)");
    }
    for (script, is_writable) in [("true", true), ("mount -o remount,bind,ro $point", false)] {
        let Some(cgroup) = cgroup() else { return };
        // Where the tests found it, so that curfew does not see the one from outside as well.
        let point = cgroup.mount_point();
        let script = format!(
            "set -e; point={}; umount $point; mount -t cgroup2 none $point; {script}; exec \"$@\"",
            point.to_str().expect("a path")
        );
        let curfew = Curfew::run(["--grace", "TERM 200ms, KILL"])
            .config("service.a.command = <forks session daemon+ignoring>")
            .wrapped_by([
                "unshare",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "--cgroup",
                "sh",
                "-c",
            ])
            .wrapped_by_word(&script)
            .wrapped_by_word("sh");
        let curfew = cgroup.around(curfew).start();
        curfew.wait_for("a: ready");
        assert_eq!(cgroup.below("service-a").exists(), is_writable);
        kill(children(curfew.pid())[0], SIGTERM);
        let finished = curfew.finish();
        finished.assert_status(80);
        assert_eq!(strays(&finished, "a"), pairs(["TERM", "KILL"]));
        let reason = finished.events("cgroup.none");
        assert_eq!(reason.len(), usize::from(!is_writable), "{finished}");
        assert!(
            reason.iter().all(|event| event["message"].as_str().unwrap().contains("read-only")),
            "{reason:?}"
        );
        assert_eq!(cgroup.names_below(), [""; 0]);
    }
}

/// With `hidepid`, /proc does not show what belongs to somebody else: descent ends there.
#[test]
fn a_stray_that_proc_hides_is_found_in_the_cgroup_and_killed_with_it() {
    let Some(cgroup) = cgroup() else { return };
    if !is_installed("unshare") || !is_installed("setpriv") {
        return skip("this needs unshare(1) and setpriv(1)");
    }
    let user = somebody(47);
    cgroup.give_to(user);
    let curfew = Curfew::run(["--grace", "TERM 200ms, KILL", "--deadline", "10s"]);
    let program = curfew.directory().join("fixture-of-root");
    fs::copy(fixture_binary(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let script = "set -e; mount -t proc -o hidepid=2 proc /proc; exec \"$@\"";
    let service = format!("{} becomes-root & trap 'exit 0' TERM; wait", program.display());
    let curfew = curfew
        .config(&format!("service.a.command = [\"sh\", \"-c\", {service:?}]"))
        .wrapped_by([
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
            "setpriv",
        ])
        .wrapped_by_word(&format!("--reuid={user}"))
        .wrapped_by_word(&format!("--regid={user}"))
        .wrapped_by_word("--clear-groups");
    let curfew = cgroup.around(curfew).start();
    let stray = curfew.wait_for_pid("ready");
    kill(children(curfew.pid())[0], SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert_eq!(finished.service("a")["strays"][0]["pid"], stray, "{finished}");
    assert_eq!(strays(&finished, "a"), pairs(["KILL"]));
    assert_eq!(finished.events("signal.refused").len(), 1, "TERM was{finished}");
    assert_eq!(cgroup.names_below(), [""; 0]);
}

#[test]
fn a_reload_makes_and_empties_cgroups_as_services_come_and_go() {
    let Some(cgroup) = cgroup() else { return };
    let says = |name: &str| format!("[service.{name}]\ncommand = <script say:{name}-is-up until:TERM>\n");
    let curfew = Curfew::run(["--cgroup", "require"]).config(&format!("{}{}", says("api"), says("gone")));
    let curfew = cgroup.around(curfew).start();
    for name in ["api-is-up", "gone-is-up"] {
        curfew.wait_for(name);
    }
    curfew.rewrite(&format!("{}{}", says("api"), says("new")));
    curfew.signal(libc::SIGHUP);
    curfew.wait_for("new-is-up");
    curfew.wait_for_event("reload.complete");
    assert_eq!(processes_in(&cgroup.below("service-new")).len(), 1, "{:?}", cgroup.names_below());
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(0);
    assert_eq!(cgroup.names_below(), [""; 0], "curfew leaves no cgroup behind");
}

/// Each cgroup costs a descriptor as long as its service is there.
#[test]
fn with_few_descriptors_services_go_without_a_cgroup_rather_than_not_at_all() {
    let config: String =
        (0..40).map(|index| format!("service.s{index}.command = [\"/bin/sleep\", \"1000\"]\n")).collect();
    for limit in [48, 56, 72] {
        let start = |curfew: Curfew| {
            let curfew = with_descriptors(curfew.report(None), limit).config(&config).start();
            curfew.wait_for_events(40, "service.ready");
            curfew.signal(SIGTERM);
            let finished = curfew.finish();
            finished.assert_status(0);
            finished
        };
        start(Curfew::run(["--cgroup", "off"]));
        let Some(cgroup) = cgroup() else { return };
        let finished = start(cgroup.around(Curfew::run(["--cgroup", "require"])));
        assert!(finished.events("cgroup.refused").len() <= 1, "it is said once{finished}");
        assert_eq!(cgroup.names_below(), [""; 0], "with {limit} descriptors{finished}");
    }
}
