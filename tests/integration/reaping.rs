//! Nobody outlives curfew, and nobody stays dead under it.

use std::time::Duration;

use nix::libc::{self, SIGTERM};

use crate::exit_status::Freezer;
use crate::support::{
    Curfew, Finished, carriers, children, exists, fixture_binary, is_root, kill, now, skip, state,
};

#[test]
fn two_thousand_orphans_are_reaped_while_the_command_runs() {
    let curfew = Curfew::run([]).fixture("orphans 2000").start();
    curfew.wait_for("made 2000 orphans");
    let pid = curfew.pid();
    curfew.eventually("only the command is left", || children(pid).len() == 1);
    assert_ne!(state(children(pid)[0]), Some('Z'));
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.verdict(), "clean");
}

#[test]
fn a_command_that_leaves_two_thousand_dying_orphans_gives_its_own_status() {
    let finished = Curfew::run([]).fixture("orphans 2000 exits").finish();
    finished.assert_status(0);
}

/// One signal can stand for many deaths.
#[test]
fn a_hundred_services_that_die_at_once_are_all_reaped() {
    let config: String =
        (0..100).map(|index| format!("service.s{index}.command = [\"sleep\", \"1000\"]\n")).collect();
    let curfew = Curfew::run([]).config(&config).start();
    curfew.wait_for_events(100, "service.ready");
    let services = children(curfew.pid());
    assert_eq!(services.len(), 100);
    curfew.signal(libc::SIGSTOP);
    for service in &services {
        kill(*service, libc::SIGKILL);
    }
    curfew.eventually("all are dead", || services.iter().all(|service| !exists(*service)));
    curfew.signal(libc::SIGCONT);
    let finished = curfew.finish();
    finished.assert_status(137);
    assert_eq!(finished.events("service.ended").len(), 100);
}

fn strays(finished: &Finished, service: usize) -> Vec<(String, String)> {
    let strays = finished.report()["services"][service]["strays"].as_array().unwrap().clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("none").to_owned();
    let mut pairs: Vec<_> =
        strays.iter().map(|stray| (text(&stray["name"]), text(&stray["end"]["signal"]))).collect();
    pairs.sort();
    pairs
}

#[test]
fn what_a_command_leaves_behind_gets_the_schedule_for_itself_and_is_named() {
    let curfew = Curfew::run(["--grace", "TERM 300ms, KILL"])
        .fixture("forks session daemon group daemon+ignoring group+ignoring")
        .start();
    curfew.wait_for(": ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    let expected =
        ["KILL", "KILL", "TERM", "TERM", "TERM"].map(|signal| ("fixture".to_owned(), signal.to_owned()));
    assert_eq!(strays(&finished, 0), expected);
    assert_eq!(finished.events("stray.found").len(), 5);
    assert_eq!(finished.events("stray.ended").len(), 5);
}

#[test]
fn what_is_killed_with_its_leader_is_named() {
    let curfew = Curfew::run(["--grace", "TERM 100ms, KILL"])
        .fixture("forks stays session daemon group group+ignoring")
        .start();
    curfew.wait_for(": ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert_eq!(strays(&finished, 0), ["KILL"; 4].map(|signal| ("fixture".to_owned(), signal.to_owned())));
    // The daemon is not under the leader any more: it is found when that is gone.
    assert_eq!(finished.events("stray.killed").len(), 3);
    assert_eq!(finished.events("stray.found").len(), 1);
}

/// Of such a daemon only the environment tells whose it is.
#[test]
fn a_daemon_is_signalled_with_all_of_its_service_while_the_leader_lives() {
    let config = "service.a = { command = <forks stays daemon+slow>, grace = \"TERM@all 10m, KILL\" }\n\
                  service.b.command = <obedient>";
    let curfew = Curfew::run(["--cgroup", "off", "--deadline", "none"]).config(config).start();
    curfew.wait_for("a: ready");
    curfew.wait_for("b: ready");
    let started = curfew.wait_for_events(2, "service.started");
    let started = started.iter().find(|event| event["service"] == "a").expect("it was");
    let leader = started["pid"].as_i64().expect("a pid") as i32;
    curfew.signal(SIGTERM);
    curfew.wait_for("a: child daemon+slow done");
    assert!(exists(leader));
    kill(leader, libc::SIGINT);
    curfew.finish().assert_status(0);
}

/// Children of ours that no list ever named, since they are in the group of a leader that lives: each dies at a moment of its
/// own, and often just when curfew looks for the dead.
#[test]
fn all_that_are_killed_in_a_stop_are_named_though_nobody_had_seen_them() {
    const COUNT: usize = 1000;
    let curfew = Curfew::run(["--cgroup", "off", "--deadline", "none"]);
    let diary = curfew.directory().join("diary");
    let tree = format!("plain+ignores(plain+quick+storm={COUNT})");
    let config = format!(
        "service.a = {{ command = <ignores TERM>, grace = \"TERM 10ms, KILL\" }}\n\
         service.b = {{ command = <tree {} {tree}>, grace = \"TERM 1m, KILL\" }}",
        diary.display()
    );
    let curfew = curfew.config(&config).start();
    curfew.wait_for("a: ready");
    let entered = || std::fs::read_to_string(&diary).unwrap_or_default();
    curfew.eventually("everybody is there", || entered().matches("born").count() == COUNT + 2);
    curfew.signal(SIGTERM);
    // From now on curfew kills.
    curfew.eventually("one service is down", || children(curfew.pid()).len() == COUNT + 1);
    let pids: Vec<i32> = entered()
        .lines()
        .filter_map(|line| line.strip_prefix("born ")?.split(' ').next()?.parse().ok())
        .collect();
    let (leader, others) = (pids[0], pids[1..].iter().filter(|pid| exists(**pid)));
    for pid in others {
        kill(*pid, libc::SIGKILL);
        curfew.eventually("it is dead", || !exists(*pid));
    }
    kill(leader, libc::SIGKILL);
    let finished = curfew.finish();
    assert_eq!(strays(&finished, 1).len(), COUNT);
}

/// More than are named one by one.
#[test]
fn thousands_of_strays_are_ended_in_time_and_those_that_are_not_named_are_counted() {
    const COUNT: usize = 3000;
    const NAMED: usize = 1024;
    let curfew = Curfew::run(["--cgroup", "off", "--grace", "WINCH 100ms, KILL", "--deadline", "8s"]);
    let diary = curfew.directory().join("diary");
    let tree = format!("plain(plain+quick+storm={COUNT})");
    let curfew = curfew.fixture(&format!("tree {} {tree}", diary.display())).start();
    let entered = || std::fs::read_to_string(&diary).unwrap_or_default();
    curfew.eventually("everybody is there", || entered().matches("born").count() == COUNT + 2);
    let leader = entered().split(' ').nth(1).and_then(|pid| pid.parse().ok()).expect("a pid");
    kill(leader, SIGTERM);
    let finished = curfew.finish();
    // Its own status, always.
    finished.assert_status(0);
    assert_eq!(finished.verdict(), "killed");
    assert!(finished.stop_took() < Duration::from_secs(7), "{:?}", finished.stop_took());
    assert_eq!(strays(&finished, 0), vec![("fixture".to_owned(), "KILL".to_owned()); NAMED]);
    let service = &finished.report()["services"][0];
    let more = serde_json::json!({"count": COUNT - NAMED, "killed": COUNT - NAMED, "left": 0});
    assert_eq!(service["more_strays"], more);
    let told = finished.events("stray.more");
    assert_eq!((told.len(), &told[0]["count"]), (1, &more["count"]), "{told:?}");
    assert_eq!(finished.events("stray.ended").len(), NAMED);
}

#[test]
fn strays_that_obey_are_no_reason_to_complain() {
    let curfew = Curfew::run([]).fixture("forks session daemon group").start();
    curfew.wait_for(": ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.verdict(), "clean");
}

#[test]
fn a_stray_gets_its_whole_grace() {
    let curfew = Curfew::run([]).fixture("forks session+slow daemon+slow group+slow").start();
    curfew.wait_for(": ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.said(" done").len(), 3, "{finished}");
    assert!(finished.stop_took() >= Duration::from_millis(300));
}

/// The leader is gone, its group is not.
#[test]
fn a_command_that_ends_by_itself_takes_what_it_left_behind_with_it() {
    let finished = Curfew::run(["--grace", "TERM 200ms, KILL"])
        .fixture("forks exits group daemon session+ignoring")
        .finish();
    // Its own status, always.
    finished.assert_status(0);
    assert_eq!(strays(&finished, 0).len(), 3);
    assert_eq!(finished.verdict(), "killed");
}

/// A program that cleans its environment (sudo, cron) cannot be told by its cookie.
#[test]
fn a_daemon_without_an_environment_is_found_all_the_same() {
    let one = Curfew::run([]).fixture("forks daemon+silent+nameless session+nameless");
    let many = Curfew::run([]).config(
        "service.a.command = <forks daemon+silent+nameless session+nameless>\nservice.b.command = <obedient>",
    );
    for curfew in [one, many] {
        let curfew = curfew.start();
        let strays = ["child daemon", "child session"].map(|text| curfew.wait_for_pid(text));
        curfew.wait_for(": ready");
        curfew.signal(SIGTERM);
        let finished = curfew.finish();
        let left = strays.map(exists);
        for stray in strays {
            // Only what is left; a pid that was freed a moment ago is not given away again so soon.
            if exists(stray) {
                kill(stray, libc::SIGKILL);
            }
        }
        assert_eq!(left, [false, false], "{finished}");
        finished.assert_status(0);
    }
}

/// KILL does not end a service for so long that the turn of what belongs to none comes; then it ends all the same, and the
/// command after its end leaves somebody behind: it is not to hear what those hear.
#[test]
fn what_belongs_to_none_is_stopped_without_the_strays_of_a_service_that_is_not_down() {
    let Some(freezer) = Freezer::new("slow") else {
        return skip("only a freezer of cgroup v1, as root, makes a process that KILL does not end");
    };
    let fixture = fixture_binary();
    // The end of the orphan has curfew look who is there.
    let script = format!("{fixture} forks exits apart; exec {fixture} orphans 1");
    let config = format!(
        "grace = \"TERM 2s, INT 60s, KILL\"\n\
         service.other = {{ command = <forks session+nameless+ignoring>, grace = \"TERM 30s\" }}\n\
         [service.slow]\ncommand = <obedient>\nafter = [\"other\"]\ngrace = \"TERM 100ms, KILL\"\n\
         post-stop = {{ command = [\"sh\", \"-c\", \"{script}\"], timeout = \"60s\" }}"
    );
    let curfew = Curfew::run(["--cgroup", "off", "--deadline", "none"]).config(&config).start();
    curfew.wait_for("other: ready");
    curfew.wait_for("slow: ready");
    let slow = curfew.wait_for_events(2, "service.started")[1]["pid"].as_i64().unwrap();
    freezer.freeze(slow as i32);
    curfew.eventually("it is frozen", || freezer.is_frozen());
    curfew.signal(SIGTERM);
    let stages = curfew.wait_for_events(4, "stage.sent");
    assert_eq!(stages[3]["service"], "(stray)", "{stages:?}");
    freezer.thaw();
    let left_behind = curfew.wait_for_pid("child apart");
    curfew.wait_for("made 1 orphans");
    let stages = curfew.wait_for_events(5, "stage.sent");
    assert_eq!((&stages[4]["service"], &stages[4]["signal"]), (&"(stray)".into(), &"INT".into()));
    curfew.signal(libc::SIGINT);
    let finished = curfew.finish();
    finished.assert_status(80);
    let of_it = |event: &str| {
        let mut events = finished.events(event);
        events.retain(|event| event["pid"] == left_behind);
        assert_eq!(events.len(), 1, "{finished}");
        events.remove(0)
    };
    assert_eq!(of_it("stray.found")["service"], "slow");
    assert_eq!(of_it("stray.ended")["signal"], "KILL");
}

/// The main thread of a program can end before the others: then the program lives, though it looks dead.
#[test]
fn a_stray_whose_main_thread_has_ended_is_found_and_ended() {
    let curfew = Curfew::run(["--grace", "TERM 300ms, KILL", "--deadline", "10s"])
        .fixture("forks session+headless daemon+headless+ignoring")
        .start();
    curfew.wait_for(": ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    let expected = ["KILL", "TERM"].map(|signal| ("fixture".to_owned(), signal.to_owned()));
    assert_eq!(strays(&finished, 0), expected);
}

/// Its session is its own, its environment cannot be read, and the parent that told whose it is has ended.
#[test]
fn a_stray_stays_with_its_service_when_nothing_tells_any_more_whose_it_is() {
    let curfew = Curfew::run(["--grace", "TERM 300ms, KILL", "--deadline", "10s"]);
    let diary = curfew.directory().join("diary");
    let tree = "plain(plain+group(plain+session+headless+ignores))";
    let config = format!("service.a.command = <tree {} {tree}>", diary.display());
    let curfew = curfew.config(&config).start();
    let born = || std::fs::read_to_string(&diary).unwrap_or_default().lines().count();
    curfew.eventually("everybody is there", || born() == 3);
    let headless = || carriers(curfew.token()).into_iter().find(|pid| state(*pid) == Some('Z'));
    curfew.eventually("a main thread has ended", || headless().is_some());
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    let expected = ["KILL", "none"].map(|signal| ("fixture".to_owned(), signal.to_owned()));
    assert_eq!(strays(&finished, 0), expected);
    assert_eq!(finished.report()["services"].as_array().unwrap().len(), 1, "{finished}");
}

#[test]
fn the_group_of_a_shell_that_ignores_term_is_gone_with_it() {
    let curfew = Curfew::run(["--grace", "TERM 200ms, KILL"])
        .command(["sh", "-c", "trap '' TERM; sleep 1000 & sleep 1000 & echo ready; wait; wait"])
        .start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
}

#[test]
fn strays_of_one_service_are_gone_before_what_it_depends_on_is_told_to_stop() {
    let curfew = Curfew::run([])
        .config(
            "service.base.command = <obedient>\n\
             service.front = { command = <forks daemon+slow session+slow>, after = [\"base\"] }",
        )
        .start();
    curfew.wait_for_many(2, ": ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert!(finished.place("child daemon+slow done") < finished.place("base: got TERM"), "{finished}");
    assert!(finished.place("child session+slow done") < finished.place("base: got TERM"), "{finished}");
    assert_eq!(finished.service("front")["strays"].as_array().unwrap().len(), 2);
}

#[test]
fn processes_that_are_made_during_the_stop_are_ended_too() {
    let script = "trap '' TERM; echo ready; while :; do setsid sleep 1000 & sleep 0.01; done";
    let curfew = Curfew::run(["--grace", "TERM 300ms, KILL"]).command(["sh", "-c", script]).start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
}

/// A process that is a new one every moment, so that a list of processes is always too old.
#[test]
fn a_process_that_forks_and_exits_all_the_time_is_caught() {
    let curfew = Curfew::run(["--grace", "TERM 300ms, KILL", "--deadline", "10s"]).fixture("hops").start();
    curfew.wait_for(": ready");
    let since = now();
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert!(finished.ended.since(since) < Duration::from_secs(10));
    finished.assert_status(80);
}

#[test]
fn a_stray_that_holds_the_output_open_does_not_keep_curfew_from_leaving() {
    let curfew = Curfew::run(["--grace", "TERM 200ms, KILL"]).fixture("forks exits daemon+ignoring").start();
    curfew.wait_for("child daemon");
    curfew.finish().assert_status(0);
}

#[test]
fn a_stray_that_ends_while_its_service_runs_is_reaped_quietly() {
    let curfew = Curfew::run([]).config("service.a.command = <forks daemon session>").start();
    let daemon = curfew.wait_for_pid("child daemon");
    curfew.wait_for("a: ready");
    kill(daemon, libc::SIGKILL);
    curfew.eventually("it is reaped", || state(daemon).is_none());
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(0);
}

/// Traces a process, without holding it up. It is let go when the thread that calls this ends.
fn trace(pid: i32) {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: it takes integers and null pointers.
    let result = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, none, none) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_leader_that_is_dead_and_that_its_tracer_keeps_from_being_reaped_has_ended() {
    if !is_root() {
        return skip("to trace the child of another process needs root");
    }
    let curfew = Curfew::run(["--grace", "TERM 400ms, KILL", "--deadline", "20s"])
        .config("service.a.command = <ignores TERM>\nservice.b.command = <obedient>")
        .start();
    curfew.wait_for_many(2, ": ready");
    let started = curfew.wait_for_event("service.started");
    assert_eq!(started["service"], "a");
    let leader = started["pid"].as_i64().expect("a pid") as i32;
    trace(leader);
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert!(finished.stop_took().as_millis() < 5000, "{finished}");
    let held = finished.events("death.held").remove(0);
    // SAFETY: it only asks. Who traces is a thread.
    let tracer = unsafe { libc::gettid() };
    assert_eq!((&held["pid"], &held["tracer"]), (&leader.into(), &tracer.into()), "{finished}");
    assert_eq!(finished.service("a")["end"]["signal"], "KILL", "{finished}");
}
