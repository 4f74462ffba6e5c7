//! Those who talk to a running curfew: `curfew status` and its like, and a client written from the document alone.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use nix::libc::SIGTERM;
use serde_json::Value;

use crate::support::{Curfew, Lines, Running, client, is_installed, skip};

const TWO: &str = "service.db = { command = <obedient> }\n\
                   service.api = { command = <obedient>, after = [\"db\"] }";

/// A service that takes note of TERM, and ends when somebody opens its gate.
fn patient(curfew: Curfew, config: &str) -> (Curfew, Gate) {
    let gate = curfew.directory().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).expect("a gate");
    let service = format!("<script say:ready until:TERM gate:{}>", gate.display());
    (curfew.config(&config.replace("<patient>", &service)), Gate(gate))
}

struct Gate(PathBuf);

impl Gate {
    fn open(&self) {
        drop(std::fs::OpenOptions::new().write(true).open(&self.0).expect("somebody waits at it"));
    }
}

fn started(config: &str) -> Running {
    let running = Curfew::run([]).config(config).start();
    running.wait_for_event("system.ready");
    running
}

/// What a client that was run to its end said, and its exit status.
struct Said {
    status: i32,
    out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        Self {
            status: output.status.code().expect("an exit status"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }

    #[track_caller]
    fn is(&self, status: i32, out: &str) {
        assert_eq!((self.status, self.out.as_str()), (status, out), "{}", self.err);
    }

    #[track_caller]
    fn fails(&self, status: i32, why: &str) {
        assert!(self.status == status && self.err.contains(why), "{}: {}{}", self.status, self.out, self.err);
    }
}

fn ask<const COUNT: usize>(running: &Running, arguments: [&str; COUNT]) -> Said {
    Said::of(client(running.directory(), arguments).output().expect("the client runs"))
}

fn begin<const COUNT: usize>(running: &Running, arguments: [&str; COUNT]) -> Child {
    client(running.directory(), arguments).spawn().expect("the client runs")
}

fn status(running: &Running) -> Value {
    serde_json::from_str(&ask(running, ["status", "--json"]).out).expect("JSON")
}

fn service(running: &Running, name: &str) -> Value {
    let status = status(running);
    let services = status["services"].as_array().expect("a list");
    services.iter().find(|service| service["name"] == name).expect("it is there").clone()
}

fn end(running: Running) {
    running.signal(SIGTERM);
    running.finish().assert_status(0);
}

#[test]
fn a_line_of_the_table_is_whole_where_no_terminal_ends_it() {
    let name = "x".repeat(63);
    let running = started(&format!("name = \"{name}\"\n{TWO}"));
    let heading = format!("{name} is running, up ");
    let table = ask(&running, ["status"]);
    assert!(table.out.starts_with(&heading), "{}", table.out);
    assert!(
        !table.out.contains('…') && table.out.contains(&format!(", pid {}\n", running.pid())),
        "{}",
        table.out
    );
    end(running);
}

#[test]
fn status_is_a_table_or_json_or_metrics_or_an_exit_status() {
    let running = started(TWO);
    let table = ask(&running, ["status"]);
    assert_eq!(table.status, 0, "{}", table.err);
    assert!(table.out.starts_with("system is running, up "), "{}", table.out);
    assert!(!table.out.contains('\u{1b}'), "{}", table.out);
    for name in ["db", "api"] {
        assert!(
            table.out.lines().any(|line| line.starts_with(name) && line.contains("ready")),
            "{}",
            table.out
        );
    }
    let json = status(&running);
    assert_eq!(json["system"]["pid"], running.pid());
    assert_eq!((&json["system"]["phase"], &json["system"]["ready"]), (&"running".into(), &true.into()));
    let metrics = ask(&running, ["status", "--openmetrics"]).out;
    assert!(metrics.contains("curfew_service_ready{system=\"system\",service=\"api\"} 1\n"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"));
    ask(&running, ["status", "--ready"]).is(0, "ready\n");
    ask(&running, ["stop", "api", "--wait"]).is(0, "api: stopped\n");
    ask(&running, ["status", "--ready"]).is(1, "not ready: api is stopped\n");
    ask(&running, ["status", "--ready", "db"]).is(0, "ready\n");
    ask(&running, ["status", "aip"]).fails(1, "there is no service `aip`; did you mean `api`?");
    let unknown = ask(&running, ["status", "aip", "--json"]);
    unknown.fails(1, "did you mean `api`?");
    assert_eq!(unknown.out, "", "nothing that a program could take for an answer");
    let one: Value = serde_json::from_str(&ask(&running, ["status", "api", "--json"]).out).expect("JSON");
    let names: Vec<&Value> =
        one["services"].as_array().expect("a list").iter().map(|service| &service["name"]).collect();
    assert_eq!((names, &one["system"]["name"]), (vec![&Value::from("api")], &"system".into()));
    end(running);
}

#[test]
fn each_verb_does_what_it_says_and_waits_if_it_is_told_to() {
    let running = started(TWO);
    let pid = service(&running, "api")["pid"].clone();
    ask(&running, ["restart", "api", "--wait"]).is(0, "api: ready\n");
    assert_ne!(service(&running, "api")["pid"], pid);
    // What comes after it is stopped first.
    ask(&running, ["stop", "db", "--wait"]).is(0, "db: stopped\n");
    assert_eq!(service(&running, "api")["state"], "stopped");
    ask(&running, ["start", "api", "--wait"]).is(0, "api: ready\n");
    assert_eq!(service(&running, "db")["state"], "ready");
    // Without waiting the answer comes at once.
    ask(&running, ["restart", "api", "db"]).is(0, "api: asked\ndb: asked\n");
    running.wait_for_events(7, "service.ready");
    ask(&running, ["stop", "api"]).is(0, "api: asked\n");
    running.wait_for_events(3, "service.down");
    ask(&running, ["start", "--all", "--wait"]).is(0, "db: ready\napi: ready\n");
    ask(&running, ["restart", "--all", "--wait"]).is(0, "db: ready\napi: ready\n");
    ask(&running, ["reopen"]).is(0, "");
    let stopped = ask(&running, ["stop", "--all", "--wait"]);
    stopped.is(0, "stopped: clean, exit status 0\n");
    let finished = running.finish();
    finished.assert_status(0);
    assert!(finished.events("stop.requested")[0]["cause"].as_str().unwrap().contains("control socket"));
}

#[test]
fn a_start_of_all_leaves_a_task_that_is_done_alone() {
    let task = "service.migrate = { type = \"task\", command = [\"true\"] }\n";
    let running = started(&(task.to_owned() + TWO));
    ask(&running, ["stop", "db", "--wait"]).is(0, "db: stopped\n");
    ask(&running, ["start", "--all", "--wait"]).is(0, "db: ready\napi: ready\n");
    ask(&running, ["start", "migrate", "--wait"]).is(0, "migrate: done\n");
    running.signal(SIGTERM);
    let finished = running.finish();
    finished.assert_status(0);
    let started = finished.events("service.started");
    assert_eq!(started.iter().filter(|event| event["service"] == "migrate").count(), 2, "{finished}");
}

#[test]
fn a_stop_that_is_not_waited_for_is_answered_at_once() {
    let (curfew, gate) =
        patient(Curfew::run([]), "service.api = { command = <patient>, grace = \"TERM 5m\" }");
    let running = curfew.start();
    running.wait_for("api: ready");
    ask(&running, ["stop", "--all"]).is(0, "");
    running.wait_for("got TERM");
    gate.open();
    running.finish().assert_status(0);
}

#[test]
fn a_signal_reaches_the_services_own_process() {
    let running =
        started("service.api = { command = <prints-signals until TERM> }\nservice.db.command = <obedient>");
    running.wait_for("api: ready");
    ask(&running, ["signal", "api", "SIGUSR1"]).is(0, "api: sent\n");
    running.wait_for("USR1");
    ask(&running, ["signal", "api", "USR9"]).fails(64, "unknown signal `USR9`");
    ask(&running, ["stop", "api", "--wait"]).is(0, "api: stopped\n");
    ask(&running, ["signal", "api", "USR1"]).fails(1, "api has no process that could be sent a signal");
    end(running);
}

#[test]
fn what_cannot_be_done_is_refused_with_its_cure() {
    let running = started(TWO);
    ask(&running, ["stop", "aip"])
        .fails(1, "there is no service `aip`; did you mean `api`? There are: db, api");
    ask(&running, ["restart", "worker"]).fails(1, "there is no service `worker`; there are: db, api");
    ask(&running, ["stop"]).fails(64, "no service is named");
    ask(&running, ["stop", "--all", "api"]).fails(64, "cannot be used with");
    ask(&running, ["status", "--timeout", "5"]).fails(64, "--timeout");
    ask(&running, ["watch", "--level", "wran"]).fails(64, "did you mean `warn`?");
    ask(&running, ["reload", "api"]).fails(64, "reload: unexpected argument `api`; it takes no names");
    ask(&running, ["stauts"]).fails(64, "did you mean `curfew status`?");
    end(running);
    let running = Curfew::run(["--service", "api=sleep 1000", "--name", "system"]).start();
    running.wait_for_event("system.ready");
    ask(&running, ["reload"])
        .fails(1, "there is no configuration file to read anew; start curfew with --config");
    end(running);
}

#[test]
fn reload_says_what_became_of_each_service_or_what_is_wrong() {
    let running = started(TWO);
    ask(&running, ["reload"]).is(0, "nothing has changed; 2 services go on\n");
    // What is none's own is named; of the commands that no service executes, too.
    let top = "deadline = \"20s\"\nstop-signals = [\"TERM\", \"USR2\"]\ncleanup.command = \"true\"\n";
    running.rewrite(&format!("{top}{TWO}"));
    ask(&running, ["reload"]).is(0, "changed for the whole system: deadline, stop-signals, cleanup\n");
    let told = running.wait_for_events(2, "reload.applied").pop().unwrap();
    assert_eq!(told["system"], "deadline, stop-signals, cleanup");
    let message = told["message"].as_str().unwrap();
    assert!(message.ends_with("; deadline 20s, budget 19s"), "{message}");
    running.rewrite(&format!("{}{TWO}", top.replace("true", "/bin/true")));
    ask(&running, ["reload"]).is(0, "changed for the whole system: cleanup\n");
    running.rewrite(TWO);
    ask(&running, ["reload"]).is(0, "changed for the whole system: deadline, stop-signals, cleanup\n");
    // What somebody stopped is not started by a change.
    ask(&running, ["stop", "api", "--wait"]).is(0, "api: stopped\n");
    running.rewrite(&TWO.replace("[\"db\"]", "[\"db\"], environment = { A = \"b\" }"));
    ask(&running, ["reload"]).is(0, "api: still-stopped\n");
    assert_eq!(service(&running, "api")["state"], "stopped");
    let web = "service.web = { command = <obedient>, after = [\"db\"] }";
    running.rewrite(&format!(
        "name = \"other\"\n{web}\nservice.db = {{ command = <obedient>, grace = \"INT 1s\" }}"
    ));
    ask(&running, ["reload", "--wait"]).is(
        0,
        "db: adjusted\napi: removed\nweb: added\n\
         changed, but only counts when curfew is started again: name\n",
    );
    // With --wait it is gone, and nobody knows it any more; what came is up.
    assert_eq!(service(&running, "web")["state"], "ready");
    ask(&running, ["start", "api"]).fails(1, "there is no service `api`");
    let names = ask(&running, ["status", "--json"]).out;
    assert!(!names.contains("\"api\""), "{names}");
    running.rewrite("service.db = { command = <obedient>, typo = 1 }");
    let refused = ask(&running, ["reload"]);
    refused.fails(1, "nothing is reloaded: ");
    refused.fails(1, "system.toml:1:");
    refused.fails(1, "service.db.typo: unknown key");
    running.rewrite("service.db.command = \"slepp 9\"");
    ask(&running, ["reload"]).fails(1, "service.db: cannot execute \"slepp\": command not found");
    assert_eq!(service(&running, "web")["state"], "ready");
    // What does not come up is an error with --wait, and without it is not waited for.
    let broken = "service.bad = { command = \"sleep 9\", pre-start = [\"false\"], essential = false }\nservice.db.command = <obedient>";
    running.rewrite(broken);
    ask(&running, ["reload", "--wait"]).fails(1, "reloaded, but not up: bad");
    running.rewrite(&broken.replace("sleep 9", "sleep 10"));
    ask(&running, ["reload"]).is(0, "bad: restarted\n");
    // It must not fail in the middle of the stop.
    running.wait_for_events(2, "hook.ended");
    end(running);
}

#[test]
fn a_reload_that_a_stop_overtakes_says_so() {
    let (curfew, gate) = patient(Curfew::run([]), "service.api.command = <patient>");
    let running = curfew.start();
    running.wait_for("api: ready");
    running.rewrite("service.api.command = <obedient>");
    let reload = begin(&running, ["reload", "--wait"]);
    running.wait_for("got TERM");
    running.signal(SIGTERM);
    running.wait_for_event("stop.requested");
    Said::of(reload.wait_with_output().expect("it ends")).fails(1, "the system is being stopped");
    ask(&running, ["reload"]).fails(1, "the system is being stopped: SIGTERM from pid ");
    gate.open();
    running.finish().assert_status(0);
}

#[test]
fn a_reload_that_brings_the_system_down_says_by_what() {
    let running = started("service.web.command = <obedient>");
    running.rewrite(
        "service.web.command = <obedient>\n\
         service.bad = { command = <obedient>, pre-start = [\"false\"] }",
    );
    let why = "reloaded, but the system is being stopped: bad could not be started: pre-start failed with exit status 1; the \
               log has the reason";
    ask(&running, ["reload", "--wait"]).fails(1, why);
    running.finish().assert_status(1);
}

#[test]
fn who_is_asked_for_something_says_whom_it_waits_for() {
    let config = "service.db = { command = <patient>, grace = \"TERM 1m\" }\n\
                  service.api = { command = <obedient>, after = [\"db\"] }";
    let (curfew, gate) = patient(Curfew::run([]), config);
    let running = curfew.start();
    running.wait_for("api: ready");
    ask(&running, ["stop", "db"]).is(0, "db: asked; waits for api\n");
    running.wait_for("got TERM");
    ask(&running, ["start", "api"]).is(0, "api: asked; waits for db\n");
    running.signal(SIGTERM);
    running.wait_for_event("stop.requested");
    gate.open();
    running.finish().assert_status(0);
}

#[test]
fn a_start_that_comes_to_nothing_says_why() {
    let failing = "service.db = { command = <obedient> }\n\
                   service.api = { command = \"/nonexistent/api\", essential = false }";
    let running = started(failing);
    let said = ask(&running, ["start", "api", "--wait"]);
    said.fails(1, "api: it failed: start");
    assert_eq!(said.out, "api: failed\n");
    end(running);
}

#[test]
fn in_the_middle_of_a_stop_status_says_who_is_awaited_and_all_else_is_refused() {
    let config = "service.db = { command = <obedient> }\n\
                  service.api = { command = <patient>, after = [\"db\"], grace = \"TERM 1m, INT 1m\" }";
    let (curfew, gate) = patient(Curfew::run(["--deadline", "5m"]), config);
    let running = curfew.start();
    running.wait_for("api: ready");
    let mut waiting = begin(&running, ["stop", "--all", "--wait"]);
    running.wait_for("got TERM");
    let json = status(&running);
    let stop = &json["system"]["stop"];
    assert!(stop["cause"].as_str().unwrap().contains("control socket"), "{json}");
    assert!(stop["left_ms"].as_u64() <= stop["budget_ms"].as_u64() && stop["left_ms"].is_u64(), "{json}");
    assert_eq!(service(&running, "db")["awaits"], serde_json::json!(["api"]));
    let api = service(&running, "api");
    assert_eq!((&api["state"], &api["stop"]["signal"]), (&"stopping".into(), &"TERM".into()));
    assert!(api["stop"]["left_ms"].as_u64().is_some_and(|left| left <= 60_000), "{api}");
    let table = ask(&running, ["status"]).out;
    assert!(table.contains("awaiting api") && table.contains("stage 1 of 3 (TERM)"), "{table}");
    ask(&running, ["status", "--ready"]).is(1, "not ready: api is stopping\n");
    for verb in ["start", "restart", "stop"] {
        ask(&running, [verb, "db"]).fails(1, "the system is being stopped");
    }
    // Whoever asks for the stop again has it.
    ask(&running, ["stop", "--all"]).is(0, "");
    assert!(waiting.try_wait().unwrap().is_none());
    gate.open();
    running.finish().assert_status(0);
    Said::of(waiting.wait_with_output().unwrap()).is(0, "stopped: clean, exit status 0\n");
}

#[test]
fn an_answer_that_does_not_come_in_time_is_not_waited_for() {
    let config =
        "service.api = { command = <patient>, grace = \"TERM 5m\" }\nservice.db.command = <obedient>";
    let (curfew, gate) = patient(Curfew::run([]), config);
    let running = curfew.start();
    running.wait_for("api: ready");
    ask(&running, ["stop", "api", "--wait", "--timeout", "50ms"]).fails(75, "no answer in time");
    running.wait_for("got TERM");
    gate.open();
    running.wait_for_event("service.down");
    end(running);
}

#[test]
fn the_one_that_is_meant_is_found_by_its_name_or_by_being_the_only_one() {
    let running = started(TWO);
    let folder = running.directory().display().to_string();
    let second = Curfew::run(["--name", "other"]).config("service.x.command = <obedient>");
    let second = second.env("XDG_RUNTIME_DIR", &folder).start();
    second.wait_for_event("system.ready");
    ask(&running, ["status"])
        .fails(64, "there are 2 curfews; say which one is meant with --name or --control: other (");
    let named = |name| ask(&running, ["status", "--json", "--name", name]);
    assert!(named("other").out.contains("\"name\":\"other\""));
    named("othr").fails(69, "there is no curfew called `othr`; did you mean `other`?");
    let socket = format!("{folder}/curfew/other.sock");
    assert!(ask(&running, ["status", "--json", "--control", &socket]).out.contains("\"name\":\"other\""));
    let by_variable =
        client(running.directory(), ["status", "--json"]).env("CURFEW_CONTROL", &socket).output();
    assert!(Said::of(by_variable.unwrap()).out.contains("\"name\":\"other\""));
    end(second);
    assert_eq!(ask(&running, ["status"]).status, 0);
    ask(&running, ["status", "--control", &socket]).fails(69, "there is no such socket");
    let directory = tempfile::tempdir().unwrap();
    end(running);
    Said::of(client(directory.path(), ["status", "--name", "nobody"]).output().unwrap())
        .fails(69, "no curfew");
}

#[test]
fn two_of_one_name_never_share_and_what_is_left_of_a_dead_one_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("curfew");
    std::fs::create_dir(&folder).unwrap();
    let socket = folder.join("system.sock");
    // As a curfew that was killed leaves it.
    drop(UnixListener::bind(&socket).unwrap());
    let start = || {
        let curfew = Curfew::run([]).config(TWO).env("XDG_RUNTIME_DIR", directory.path().to_str().unwrap());
        let running = curfew.start();
        running.wait_for_event("system.ready");
        running
    };
    let first = start();
    let pid = |path: &Path| -> Value {
        let output = client(path, ["status", "--json"]).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        answer["system"]["pid"].clone()
    };
    assert_eq!(pid(directory.path()), first.pid());
    let second = start();
    let warning = second.wait_for_event("control.taken");
    assert_eq!(warning["level"], "warn");
    assert_eq!(pid(directory.path()), first.pid());
    end(second);
    // Its end has taken nothing away from the first.
    assert_eq!(pid(directory.path()), first.pid());
    end(first);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn one_command_has_a_socket_only_where_it_is_told_to() {
    let running = Curfew::run([]).fixture("obedient").start();
    running.wait_for("ready");
    assert!(!running.directory().join("curfew").exists());
    end(running);
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("x.sock");
    let running = Curfew::run(["--control", socket.to_str().unwrap()]).fixture("obedient").start();
    running.wait_for("ready");
    let output =
        client(directory.path(), ["status", "--control", socket.to_str().unwrap()]).output().unwrap();
    assert!(Said::of(output).out.contains("is running"));
    // A place that was asked for and cannot be had is an error.
    let taken = Curfew::bare(["run", "--control", socket.to_str().unwrap()]).fixture("obedient").finish();
    taken.assert_status(71);
    assert!(taken.stderr.join("\n").contains("--control: another curfew answers at"), "{taken}");
    assert!(taken.said("ready").is_empty());
    end(running);
    assert!(!socket.exists());
    let nowhere = Curfew::bare(["run", "--control", "/nonexistent/x.sock"]).fixture("obedient").finish();
    nowhere.assert_status(71);
}

#[test]
fn services_are_not_told_of_the_socket_and_none_where_none_is_wanted() {
    let running =
        Curfew::run(["--control", "none"]).config("service.a.command = <prints-state stays>").start();
    running.wait_for("a: ready");
    assert!(!running.directory().join("curfew").exists());
    running.signal(SIGTERM);
    let finished = running.finish();
    assert!(finished.said("CURFEW_CONTROL").is_empty());
}

#[test]
fn watch_tells_every_event_to_the_end_of_the_run() {
    let running = started(TWO);
    let mut watcher = begin(&running, ["watch", "--level", "debug"]);
    let lines = Lines::read(watcher.stdout.take());
    running.wait_for_event("control.request");
    ask(&running, ["restart", "api", "--wait"]).is(0, "api: ready\n");
    running.signal(SIGTERM);
    let finished = running.finish();
    assert!(watcher.wait().unwrap().success());
    assert!(lines.wait_for_end(crate::support::now().plus(std::time::Duration::from_secs(60))));
    let heard = lines.so_far();
    // The same as in the log, from the first one on that came after the request.
    let logged: Vec<&String> = finished.stderr.iter().filter(|line| line.starts_with('{')).collect();
    let from = logged.iter().position(|line| **line == heard[0]).expect("the log has the first one");
    assert_eq!(heard.iter().collect::<Vec<_>>(), logged[from..], "{finished}");
    assert!(heard.last().unwrap().contains("stop.complete"), "{heard:#?}");
}

#[test]
fn watch_works_in_a_pipe_that_has_seen_enough() {
    let running = started(TWO);
    let mut watcher = begin(&running, ["watch"]);
    let mut reader = BufReader::new(watcher.stdout.take().unwrap());
    running.wait_for_event("control.request");
    let mut line = String::new();
    ask(&running, ["restart", "api"]).is(0, "api: asked\n");
    reader.read_line(&mut line).unwrap();
    assert!(serde_json::from_str::<Value>(&line).unwrap()["event"].is_string(), "{line}");
    drop(reader);
    ask(&running, ["restart", "api", "--wait"]).is(0, "api: ready\n");
    let said = Said::of(watcher.wait_with_output().unwrap());
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    if is_installed("jq") {
        let mut watcher = begin(&running, ["watch"]);
        let mut jq = std::process::Command::new("jq");
        let jq = jq.args(["--unbuffered", "-r", ".event"]).stdin(watcher.stdout.take().unwrap());
        let mut jq = jq.stdout(Stdio::piped()).spawn().unwrap();
        let lines = Lines::read(jq.stdout.take());
        running.wait_for_events(4, "control.request");
        end(running);
        assert!(watcher.wait().unwrap().success() && jq.wait().unwrap().success());
        assert!(lines.wait_for_end(crate::support::now().plus(std::time::Duration::from_secs(60))));
        assert_eq!(lines.so_far().last().map(String::as_str), Some("stop.complete"));
    } else {
        skip("there is no jq");
        end(running);
    }
}

/// Written from docs/control-protocol.md alone.
const PYTHON: &str = r#"
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.connect(sys.argv[1])
lines = s.makefile("r", encoding="utf-8")
def ask(verb, **keys):
    request = {"version": 1, "id": verb, "verb": verb, **keys}
    s.sendall((json.dumps(request) + "\n").encode())
    answer = json.loads(lines.readline())
    assert answer["version"] == 1 and answer["id"] == verb, answer
    return answer
status = ask("status")
assert status["ok"] and status["system"]["phase"] == "running", status
assert [(s["name"], s["state"]) for s in status["services"]] == [("db", "ready"), ("api", "ready")], status
assert ask("restart", services=["api"], wait=True)["results"] == [{"service": "api", "outcome": "ready"}]
assert ask("stop", services=["api"])["results"] == [{"service": "api", "outcome": "asked"}]
no = ask("start", services=["nobody"])
assert not no["ok"] and no["error"]["code"] == "unknown-service" and no["error"]["cure"], no
no = ask("dance")
assert no["error"]["code"] == "unknown-verb", no
assert ask("start", services=["api"], wait=True)["ok"]
assert ask("signal", services=["db"], signal="CONT")["results"][0]["outcome"] == "sent"
assert ask("reopen")["ok"]
w = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
w.connect(sys.argv[1])
w.sendall(b'{"version":1,"verb":"watch","level":"info"}\n')
events = w.makefile("r", encoding="utf-8")
assert json.loads(events.readline())["ok"]
end = ask("stop", all=True, wait=True)
assert end["ok"] and end["verdict"] == "clean" and end["exit_status"] == 0, end
names = [json.loads(line)["event"] for line in events]
assert "stop.requested" in names and names[-1] == "stop.complete", names
assert lines.readline() == ""
print("all is well")
"#;

#[test]
fn a_client_written_from_the_document_alone_works() {
    if !is_installed("python3") {
        return skip("there is no python3");
    }
    let running = started(TWO);
    let socket = running.directory().join("curfew/system.sock");
    let python = std::process::Command::new("python3").args(["-c", PYTHON]).arg(&socket).output().unwrap();
    running.finish().assert_status(0);
    Said::of(python).is(0, "all is well\n");
}

#[test]
fn bash_completes_verbs_options_and_the_names_of_services() {
    let running = started(TWO);
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(crate::support::curfew_binary(), directory.path().join("curfew")).unwrap();
    let complete = |words: &str| {
        let script = format!(
            "source <(curfew completions bash); COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _curfew; echo \"${{COMPREPLY[*]}}\""
        );
        let mut bash = std::process::Command::new("bash");
        let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap_or_default());
        bash.args(["--norc", "-c", &script]).env("PATH", path).env("XDG_RUNTIME_DIR", running.directory());
        Said::of(bash.env_remove("CURFEW_CONTROL").output().unwrap())
    };
    complete("curfew st").is(0, "status stop start\n");
    complete("curfew stop \"\"").is(0, "db api\n");
    complete("curfew restart --wait db a").is(0, "api\n");
    complete("curfew status --openm").is(0, "--openmetrics\n");
    complete("curfew stop --name \"\"").is(0, "system\n");
    end(running);
}
