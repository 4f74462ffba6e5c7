//! What services say of themselves, and what the service manager above is told.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use nix::libc::{SIGCONT, SIGHUP, SIGSTOP, SIGTERM};

use crate::support::{Curfew, Running, children, exists, is_root, kill, skip, state};

/// A service manager that listens.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn listen(directory: &Path) -> Self {
        Self { socket: UnixDatagram::bind(directory.join("notify")).unwrap() }
    }

    /// All that was said, after curfew has ended.
    fn heard(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut heard = Vec::new();
        let mut buffer = [0; 8192];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            heard.push(String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned());
        }
        heard
    }

    /// Waits until this is said.
    fn wait_for(&self, text: &str) -> Vec<String> {
        self.socket.set_nonblocking(false).unwrap();
        let mut heard = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            let length = self.socket.recv(&mut buffer).unwrap();
            heard.push(String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned());
            if heard.last().is_some_and(|last| last.contains(text)) {
                return heard;
            }
        }
    }
}

fn with_manager(curfew: Curfew) -> (Curfew, Manager) {
    let manager = Manager::listen(curfew.directory());
    let path = curfew.directory().join("notify").display().to_string();
    (curfew.env("NOTIFY_SOCKET", &path), manager)
}

fn place(heard: &[String], text: &str) -> usize {
    heard.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text} is not in {heard:#?}"))
}

#[test]
fn the_manager_hears_of_the_start_and_of_the_stop_in_words() {
    let config = "service.api = { command = <notifies wait=50ms READY=1>, ready = \"notify\" }\n\
                  service.late = { command = <obedient 50ms>, after = [\"api\"] }";
    let (curfew, manager) = with_manager(Curfew::run([]).config(config));
    let running = curfew.start();
    let heard = manager.wait_for("READY=1");
    assert_eq!(place(&heard, "READY=1"), heard.len() - 1);
    assert!(heard[0].starts_with("STATUS=starting: waiting for api"), "{heard:#?}");
    running.wait_for("late: ready");
    running.signal(SIGTERM);
    let finished = running.finish();
    finished.assert_status(0);
    let heard = manager.heard();
    assert!(
        place(&heard, "STOPPING=1")
            < place(&heard, "STATUS=stopping: waiting for late, stage 1 of 2, 8 s left")
    );
    assert_eq!(heard.last().unwrap(), "STATUS=stopped: clean");
    // What was meant for curfew does not reach the services: theirs is another socket.
    assert!(!heard.iter().any(|line| line.contains("MAINPID")), "{heard:#?}");
}

#[test]
fn one_command_is_ready_at_its_execution_and_cannot_speak_over_curfews_head() {
    let (curfew, manager) = with_manager(Curfew::run([]));
    let running = curfew.fixture("notifies READY=1").start();
    running.wait_for("nobody listens");
    manager.wait_for("READY=1");
    running.signal(SIGTERM);
    running.finish().assert_status(0);
    assert_eq!(manager.heard().iter().filter(|line| *line == "READY=1").count(), 0);
}

#[test]
fn the_watchdog_above_hears_that_the_loop_is_well() {
    let (curfew, manager) = with_manager(Curfew::run([]));
    let running = curfew.env("WATCHDOG_USEC", "100000").fixture("obedient").start();
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    running.signal(SIGTERM);
    running.finish().assert_status(0);
}

#[test]
fn more_time_is_asked_for_while_a_start_and_a_stop_make_progress() {
    let config = "service.api = { command = <notifies wait=300ms READY=1>, ready = \"notify\", grace = \"TERM 900ms\" }";
    let options = ["--extend=1m", "--deadline", "600ms", "--margin", "100ms"];
    let (curfew, manager) = with_manager(Curfew::run(options).config(config));
    let running = curfew.start();
    let heard = manager.wait_for("READY=1");
    assert!(place(&heard, "EXTEND_TIMEOUT_USEC=10000000") < place(&heard, "READY=1"));
    running.wait_for("api: ready");
    running.signal(SIGTERM);
    let finished = running.finish();
    finished.assert_status(0);
    // It had its whole schedule, which does not fit the deadline.
    assert_eq!(finished.events("budget.shrunk").len(), 0);
    assert!(manager.heard().iter().any(|line| line == "EXTEND_TIMEOUT_USEC=600000"));
}

#[test]
fn a_manager_that_is_not_there_is_told_of_once() {
    let running = Curfew::run([]).env("NOTIFY_SOCKET", "/nonexistent/notify").fixture("obedient").start();
    running.wait_for("ready");
    running.signal(SIGTERM);
    let finished = running.finish();
    finished.assert_status(0);
    assert_eq!(finished.events("notify.failed").len(), 1);
}

fn service(behaviour: &str, keys: &str) -> Running {
    let config = format!("service.api = {{ command = <notifies {behaviour}>, ready = \"notify\"{keys} }}");
    Curfew::run(["--grace", "TERM 5s, KILL"]).config(&config).start()
}

#[test]
fn what_comes_after_a_service_waits_for_its_word() {
    let config = "service.api = { command = <notifies wait=200ms READY=1>, ready = \"notify\" }\n\
                  service.late = { command = <obedient>, after = [\"api\"] }";
    let running = Curfew::run([]).config(config).start();
    running.wait_for("late: ready");
    running.signal(SIGTERM);
    let finished = running.finish();
    let at = |name: &str, key: &str| finished.service(name)[key].as_u64().unwrap();
    assert!(at("api", "ready_at_ms") >= at("api", "started_at_ms") + 200);
    assert!(at("late", "started_at_ms") >= at("api", "ready_at_ms"));
}

#[test]
fn a_service_that_never_says_that_it_is_ready_ends_the_system_with_82() {
    let config = "service.api = { command = <notifies>, ready = \"notify\" }";
    let config = config.replace("\"notify\"", "{ notify = true, timeout = \"200ms\" }");
    let finished = Curfew::run([]).config(&config).finish();
    finished.assert_status(82);
    let failing = &finished.events("service.failing")[0];
    assert_eq!(failing["message"], "was not ready within 200ms");
    assert_eq!(finished.report()["cause"]["failure"], "not-ready");
}

#[test]
fn status_barrier_and_nonsense_are_taken_in() {
    let running = service("STATUS=warm;READY=1 nonsense STATUS=x READY=1 barrier", "");
    running.wait_for("handled");
    running.wait_for("ready");
    running.signal(SIGTERM);
    let finished = running.finish();
    finished.assert_status(0);
    assert_eq!(finished.events("service.status").len(), 2);
    assert_eq!(finished.events("notify.nonsense").len(), 1);
    assert_eq!(finished.events("service.ready").len(), 1);
}

#[test]
fn a_service_that_gave_up_its_user_is_heard() {
    if !is_root() {
        return skip("another user needs root");
    }
    let running = service("as=65534 READY=1", "");
    running.wait_for_event("service.ready");
    running.signal(SIGTERM);
    running.finish().assert_status(0);
}

#[test]
fn a_service_that_needs_longer_gets_what_nobody_else_needs() {
    let config = "service.db = { command = <obedient>, grace = \"TERM 1s\" }\n\
                  service.api = { command = <notifies stopping EXTEND_TIMEOUT_USEC=2000000 wait=600ms>, \
                  notify = true, after = [\"db\"], grace = \"TERM 200ms\" }";
    let running = Curfew::run(["--deadline", "20s"]).config(config).start();
    running.wait_for("api: ready");
    running.signal(SIGTERM);
    let finished = running.finish();
    finished.assert_status(0);
    assert_eq!(finished.verdict(), "clean");
    let extended = &finished.events("wait.extended")[0];
    assert_eq!((&extended["asked_ms"], &extended["granted_ms"]), (&2000.into(), &2000.into()));
}

#[test]
fn a_service_late_for_its_watchdog_is_stopped_and_started_again_and_the_others_do_not_notice() {
    let config = "service.api = { command = <notifies READY=1>, ready = \"notify\", watchdog = \"300ms\", \
                  restart = { when = \"on-failure\", delay = \"10ms\", limit = 1 }, grace = \"TERM 5s\" }\n\
                  service.other = { command = <obedient> }";
    let running = Curfew::run([]).config(config).start();
    running.wait_for_events(2, "service.ready");
    let finished = running.finish();
    // The second time the limit is reached.
    finished.assert_status(82);
    assert_eq!(finished.report()["cause"]["failure"], "watchdog");
    assert_eq!(finished.events("restart.planned").len(), 1);
    assert_eq!(finished.service("api")["restarts"], 1);
    assert_eq!(finished.service("other")["restarts"], 0);
}

#[test]
fn a_service_that_pings_is_left_alone_and_one_that_says_it_is_not_well_is_not() {
    let pings = "WATCHDOG=1 wait=100ms ".repeat(6);
    let config = format!(
        "service.api = {{ command = <notifies READY=1 {pings}WATCHDOG=trigger>, ready = \"notify\", watchdog = \"2s\" }}"
    );
    let finished = Curfew::run(["--grace", "TERM 5s"]).config(&config).finish();
    finished.assert_status(82);
    assert_eq!(finished.events("service.failing")[0]["message"], "says that it is not well (watchdog)");
}

#[test]
fn a_service_that_goes_into_the_background_can_name_who_leads_it() {
    let running = service("fork READY=1", "");
    let pid = running.wait_for_pid("ready");
    running.wait_for_event("service.moved");
    running.signal(SIGTERM);
    let finished = running.finish();
    finished.assert_status(0);
    assert_eq!(finished.service("api")["pid"], pid);
    assert_eq!(finished.service("api")["stages"][0]["to"], "leader");
}

#[test]
fn who_leads_on_is_heard_before_the_end_of_the_first_process_though_both_are_known_at_once() {
    let config =
        "service.api = { command = <script say:here until:HUP leave say:left until:TERM>, notify = true }";
    let curfew = Curfew::run([]).config(config).start();
    curfew.wait_for("api: here");
    let first = children(curfew.pid())[0];
    // From now on it sees nothing until all has happened.
    curfew.signal(SIGSTOP);
    curfew.eventually("curfew is stopped", || state(curfew.pid()) == Some('T'));
    kill(first, SIGHUP);
    curfew.wait_for("api: left");
    curfew.eventually("the first process has ended", || !exists(first));
    curfew.signal(SIGCONT);
    let moved = curfew.wait_for_event("service.moved");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.service("api")["pid"], moved["pid"]);
    assert_eq!(finished.said("got TERM").len(), 1);
}

/// A service that has sent a socket that whoever closes it last has to wait for, ten minutes; and then does `more`. Curfew is
/// stopped, and has heard nothing of it yet.
fn with_what_lingers(more: &str) -> Running {
    let config = format!("service.api = {{ command = <notifies stopping lingering {more}>, notify = true }}");
    let options = ["--deadline", "10s", "--grace", "TERM 200ms, KILL"];
    let curfew = Curfew::run(options).config(&config).start();
    let pid = curfew.wait_for_pid("ready");
    curfew.signal(SIGSTOP);
    curfew.eventually("curfew is stopped", || state(curfew.pid()) == Some('T'));
    kill(pid, SIGTERM);
    curfew.wait_for("sent what lingers");
    curfew
}

#[test]
fn what_takes_long_to_close_keeps_nobody_from_being_killed_in_time() {
    let curfew = with_what_lingers("ignore");
    // It comes first. After that no signal wakes curfew.
    curfew.signal(SIGTERM);
    curfew.signal(SIGCONT);
    let finished = curfew.finish();
    finished.assert_status(80);
    let report = finished.report();
    assert!(report["took_ms"].as_u64() <= report["deadline"]["budget_ms"].as_u64(), "{finished}");
}

#[test]
fn what_takes_long_to_close_is_given_up_and_what_was_said_behind_it_is_heard() {
    let curfew = with_what_lingers("STATUS=behind barrier stay");
    curfew.signal(SIGCONT);
    // The barrier is behind as well.
    curfew.wait_for("handled");
    assert_eq!(curfew.wait_for_event("service.status")["status"], "behind");
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(0);
}
