//! How the API stops.

mod support;

use nix::sys::signal::Signal;
use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGTERM};
use support::{Connection, Finished, Folder, Running, ended_by};

const ORDER: &str = r#"{"item": "coffee", "quantity": 3}"#;

/// Three requests are half-way in when the signal comes: all of them get their answer, and keep their word.
fn requests_in_flight_are_answered(signal: Signal) {
    let folder = Folder::new();
    let mut api = folder.api(&["--drain-limit", "1h"]);
    let mut acknowledged = vec![api.order()];
    let mut clients: Vec<_> = (0..3).map(|_| Connection::open(&api)).collect();
    for client in &mut clients {
        client.begin_post("/orders", ORDER);
    }

    api.signal(signal);
    api.wait_for("stopped accepting, 3 requests in flight");
    // Impatience does not shorten the drain.
    for repeated in [SIGTERM, SIGINT] {
        api.signal(repeated);
        api.wait_for("again, already stopping");
    }
    for client in &mut clients {
        client.send(ORDER);
        let answer = client.answer();
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert!(answer.closes_connection(), "{}", answer.head);
        acknowledged.push(answer.id());
    }

    let status = api.wait();
    assert_eq!(status.code(), Some(0));
    let name = signal.as_str();
    assert_eq!(
        api.lines_since_stop(),
        [
            format!("api: stop requested ({name})").as_str(),
            "api: stopped accepting, 3 requests in flight",
            "api: SIGTERM again, already stopping",
            "api: SIGINT again, already stopping",
            "api: background tasks ended",
            "api: database closed",
            "api: bye",
        ]
    );
    let verified = folder.verify(&acknowledged);
    assert_eq!(
        verified.output, "verify: all 4 acknowledged orders are in orders.db\n",
        "{}",
        verified.errors
    );
    assert_eq!(verified.status.code(), Some(0));
    assert!(!folder.file("orders.db-wal").exists(), "the write-ahead log is left over");
}

#[test]
fn sigterm_answers_the_requests_in_flight() {
    requests_in_flight_are_answered(SIGTERM);
}

#[test]
fn sigint_answers_the_requests_in_flight() {
    requests_in_flight_are_answered(SIGINT);
}

#[test]
fn idle_connections_do_not_hold_up_the_stop() {
    let folder = Folder::new();
    let mut api = folder.api(&["--drain-limit", "1h"]);
    let mut kept_alive = Connection::open(&api);
    assert_eq!(kept_alive.get("/healthz").body, "ok");
    let mut silent = Connection::open(&api);

    let lines = api.stop(SIGTERM);
    assert_eq!(lines[1], "api: stopped accepting, 0 requests in flight");
    assert!(kept_alive.is_closed());
    assert!(silent.is_closed());
}

#[test]
fn a_request_on_its_way_is_answered_and_told_that_the_service_drains() {
    let folder = Folder::new();
    let mut api = folder.api(&["--drain-limit", "1h"]);
    let mut client = Connection::open(&api);
    client.send("GET /healthz HTTP/1.1\r\n");

    api.signal(SIGTERM);
    api.wait_for("stopped accepting");
    client.send("host: test\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.body.as_str()), (503, "draining"));
    assert!(answer.closes_connection());
    assert_eq!(api.wait().code(), Some(0));
}

#[test]
fn the_drain_limit_cuts_off_a_request_that_never_ends() {
    let folder = Folder::new();
    let mut api = folder.api(&["--drain-limit", "10ms"]);
    let acknowledged = [api.order()];
    let mut stuck = Connection::open(&api);
    stuck.begin_post("/orders", ORDER);

    let lines = api.stop(SIGTERM);
    assert_eq!(
        lines,
        [
            "api: stop requested (SIGTERM)",
            "api: stopped accepting, 1 request in flight",
            "api: the drain limit ran out: 1 request still in flight, open connections are cut off: 1",
            "api: background tasks ended",
            "api: database closed",
            "api: bye",
        ]
    );
    assert!(stuck.is_closed());
    assert_eq!(folder.verify(&acknowledged).status.code(), Some(0));
}

#[test]
fn pending_orders_are_processed_after_the_next_start() {
    let folder = Folder::new();
    let mut api = folder.api(&["--work-per-order", "1h"]);
    let ids = [api.order(), api.order(), api.order()];
    api.stop(SIGTERM);

    let mut api = folder.api(&["--work-per-order", "0s"]);
    assert!(
        api.seen.contains(&"api: orders of the last run still to process: 3".to_owned()),
        "{:?}",
        api.seen
    );
    api.wait_for("the orders of the last run are processed");
    for id in ids {
        assert_eq!(api.get(&format!("/orders/{id}")).json()["state"], "done");
    }
    let statistics = api.get("/stats").json();
    assert_eq!((&statistics["processed"], &statistics["pending"]), (&3.into(), &0.into()));
    api.stop(SIGTERM);
}

/// Starts a load and waits until it flows.
fn load(folder: &Folder, api: &Running) -> Running {
    let mut load = Running::start_quiet(folder.command(&["orders", "--until-refused", "--api", &api.url()]));
    load.wait_for("first order acknowledged");
    load
}

/// Waits for the load's end and checks its result against the database.
fn judge(folder: &Folder, load: &mut Running) -> serde_json::Value {
    assert_eq!(load.wait().code(), Some(0));
    let line = load.seen.iter().find(|line| line.starts_with('{')).expect("a result");
    std::fs::write(folder.file("result.json"), line).expect("a file in our folder");
    let verified =
        Finished::of(folder.command(&["verify", "--database", "orders.db", "--acknowledged", "result.json"]));
    assert_eq!(verified.status.code(), Some(0), "{}", verified.errors);
    serde_json::from_str(line).expect("JSON")
}

#[test]
fn a_stop_under_load_loses_nothing() {
    let folder = Folder::new();
    let mut api = folder.api(&[]);
    let mut load = load(&folder, &api);
    api.stop(SIGTERM);
    let result = judge(&folder, &mut load);
    assert_eq!(result["unknown"], 0, "{result}");
}

#[test]
fn even_a_kill_under_load_loses_nothing_acknowledged() {
    let folder = Folder::new();
    let mut api = folder.api(&[]);
    let mut load = load(&folder, &api);
    api.signal(SIGKILL);
    assert_eq!(ended_by(api.wait()), Some(SIGKILL));
    judge(&folder, &mut load);
}

#[test]
fn a_missing_order_is_named() {
    let folder = Folder::new();
    let mut api = folder.api(&[]);
    let id = api.order();
    api.stop(SIGTERM);
    let verified = folder.verify(&[id, 77, id, 78]);
    assert_eq!(verified.status.code(), Some(1));
    assert!(
        verified.errors.contains("of 4 acknowledged orders, 2 are not in orders.db: 77, 78;"),
        "{}",
        verified.errors
    );
    assert!(verified.errors.contains(&format!("acknowledged more than once: {id};")), "{}", verified.errors);
}

#[test]
fn nobody_needs_to_read_the_log() {
    let folder = Folder::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = folder.command(&["api", "--listen", "127.0.0.1:0", "--database", "orders.db"]);
    command.stdout(writer.try_clone().expect("a pipe's end")).stderr(writer);
    // Once the database exists, the signal handlers do.
    let mut child = ChildGuard(command.spawn().expect("the program starts"));
    while !folder.file("orders.db").exists() {
        std::thread::yield_now();
    }
    let pid = i32::try_from(child.0.id()).expect("a pid");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), SIGTERM).expect("our own child");
    assert_eq!(child.0.wait().expect("our own child").code(), Some(0));
}

/// Kills a child that the test leaves behind.
struct ChildGuard(std::process::Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
