//! Whether services are ready, and well.

use std::net::TcpListener;
use std::time::Duration;

use nix::libc::SIGTERM;

use crate::support::{Curfew, Finished, Running, exists};

/// A port that is free now.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A web server with these answers, and what its configuration says besides.
fn server(answers: &str, keys: &str) -> Curfew {
    let port = port();
    let url = format!("http://localhost:{port}/healthz");
    let keys = keys.replace("URL", &url).replace("PORT", &port.to_string());
    let config = format!(
        "[service.web]\ncommand = <serves {answers}>\nenvironment = {{ PORT = \"{port}\" }}\n{keys}\n\
         [service.late]\ncommand = <obedient>\nafter = [\"web\"]"
    );
    Curfew::run(["--grace", "TERM 5s, KILL"]).config(&config)
}

fn stop(running: Running) -> Finished {
    running.signal(SIGTERM);
    let finished = running.finish();
    finished.assert_status(0);
    finished
}

#[test]
fn a_server_is_ready_when_it_answers_with_success_and_only_then_the_next_is_started() {
    let ready = "ready = { http = \"URL\", every = \"20ms\" }";
    let running = server("after 200ms 503 404 200", ready).start();
    running.wait_for("late: ready");
    let finished = stop(running);
    let reasons: Vec<String> = finished
        .events("probe.failed")
        .iter()
        .map(|event| event["reason"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(reasons, ["connection refused", "HTTP 503 Text: the reason", "HTTP 404 Text: the reason"]);
    assert!(finished.place("asked GET /healthz HTTP/1.1, answers 200") < finished.place("late: ready"));
}

#[test]
fn a_server_that_never_becomes_ready_is_told_with_what_the_last_probe_saw() {
    let ready = "ready = { http = \"URL\", every = \"20ms\", timeout = \"400ms\" }";
    for (answers, seen) in [
        ("503", "HTTP 503 Text: the reason"),
        ("garbage", "this is no HTTP: SSH-2.0-none"),
        ("closes", "the connection was closed without an answer"),
    ] {
        let finished = server(answers, ready).finish();
        finished.assert_status(82);
        let failing = &finished.events("service.failing")[0];
        assert_eq!(failing["last_seen"], seen);
        assert_eq!(failing["message"], format!("was not ready within 400ms; the last probe saw: {seen}"));
        assert_eq!(finished.said("late: ready"), Vec::<&str>::new());
    }
}

#[test]
fn a_port_a_unix_socket_a_file_and_a_command_can_tell() {
    let running = server("200", "ready = { tcp = \"127.0.0.1:PORT\", every = \"20ms\" }").start();
    running.wait_for("late: ready");
    stop(running);

    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (file, socket) = (path("is-ready"), path("socket"));
    let config = format!(
        "[service.file]\ncommand = [\"sh\", \"-c\", \"sleep 0.1; touch {file}; exec sleep 1000\"]\n\
         ready = {{ file = \"{file}\", every = \"10ms\" }}\n\
         [service.command]\ncommand = <obedient>\nafter = [\"file\"]\n\
         ready = {{ command = [\"sh\", \"-c\", \"test -S {socket} || {{ echo no socket yet; exit 3; }}\"], every = \"10ms\" }}\n\
         [service.socket]\ncommand = <obedient>\nready = {{ tcp = \"unix:{socket}\", every = \"10ms\" }}\n\
         [service.late]\ncommand = <obedient>\nafter = [\"command\", \"socket\"]"
    );
    let running = Curfew::run(["--grace", "TERM 5s, KILL"]).config(&config).start();
    running.wait_for("socket: ready");
    running.wait_for_error_line("no socket yet");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    running.wait_for("late: ready");
    let finished = stop(running);
    let reasons: Vec<_> =
        finished.events("probe.failed").iter().map(|event| event["reason"].clone()).collect();
    assert!(reasons.contains(&"no such file or directory".into()), "{reasons:?}");
    assert!(reasons.contains(&"exit status 3: no socket yet".into()), "{reasons:?}");
}

#[test]
fn a_newline_on_a_descriptor_can_tell_whatever_its_number() {
    for (keys, number) in [("\"fd\"", 3), ("{ fd = 4 }", 4), ("{ fd = 9 }", 9)] {
        let config = format!(
            "[service.api]\ncommand = [\"bash\", \"-c\", \"sleep 0.1; echo >&{number}; exec {number}>&-; exec sleep 1000\"]\n\
             ready = {keys}\n[service.late]\ncommand = <obedient>\nafter = [\"api\"]"
        );
        let running = Curfew::run(["--grace", "TERM 5s, KILL"]).config(&config).start();
        running.wait_for("late: ready");
        let finished = stop(running);
        assert!(finished.service("api")["ready_at_ms"].as_u64() >= Some(100));
    }
}

#[test]
fn a_descriptor_that_is_closed_without_a_newline_fails_the_start_at_once() {
    for (last, status) in [("sleep 1000", 82), ("exit 3", 3)] {
        let config = format!(
            "[service.api]\ncommand = [\"bash\", \"-c\", \"echo -n soon >&3; exec 3>&-; {last}\"]\n\
             ready = {{ fd = 3, timeout = \"50s\" }}\n[service.late]\ncommand = <obedient>\nafter = [\"api\"]"
        );
        let finished = Curfew::run(["--grace", "TERM 5s, KILL"]).config(&config).finish();
        finished.assert_status(status);
        assert!(finished.took < Duration::from_secs(20), "{:?}", finished.took);
        if status == 82 {
            assert_eq!(finished.report()["cause"]["failure"], "not-ready");
            assert_eq!(
                finished.events("service.failing")[0]["message"],
                "closed its readiness descriptor without saying that it is ready"
            );
        }
        assert_eq!(finished.said("late").len(), 0);
    }
}

#[test]
fn a_service_that_turns_unhealthy_stops_the_system_or_is_restarted() {
    let keys = "ready = { http = \"URL\", every = \"10ms\" }\n\
                health = { http = \"URL\", every = \"20ms\", failures = 2 }";
    let finished = server("200 200 500 200 500 501", keys).finish();
    finished.assert_status(82);
    assert_eq!(finished.report()["cause"]["failure"], "unhealthy");
    assert_eq!(finished.events("probe.recovered").len(), 1);
    let failing = &finished.events("service.failing")[0];
    assert_eq!(
        failing["message"],
        "is unhealthy: 2 health probes failed in a row; the last probe saw: HTTP 501 Text: the reason"
    );

    let restart = format!("{keys}\nrestart = {{ when = \"on-failure\", delay = \"10ms\", limit = 1 }}");
    let finished = server("200 500", &restart).finish();
    finished.assert_status(82);
    assert_eq!(finished.service("web")["restarts"], 1);
    assert_eq!(finished.said("late: ready").len(), 1, "what comes after it is left alone");
}

#[test]
fn probes_that_hang_do_not_hold_up_a_stop() {
    let hangs = r#"{ command = ["sh", "-c", "trap '' TERM; setsid sleep 1000 & sleep 1000"] }"#;
    for keys in ["ready = { http = \"URL\" }".to_owned(), format!("ready = {hangs}")] {
        let running = server("hangs", &keys).start();
        running.wait_for("web: listening");
        if keys.contains("http") {
            running.wait_for("answers hangs");
        }
        running.signal(SIGTERM);
        let finished = running.finish();
        assert!(finished.stop_took() < Duration::from_secs(5), "{finished}");
        finished.place("web: got TERM");
    }
}

#[test]
fn a_probe_that_takes_too_long_has_failed() {
    let keys = "ready = { tcp = \"127.0.0.1:PORT\", every = \"10ms\" }\n\
                health = { http = \"URL\", every = \"10ms\", timeout = \"100ms\", failures = 2 }";
    let finished = server("hangs", keys).finish();
    finished.assert_status(82);
    assert_eq!(finished.events("service.failing")[0]["last_seen"], "no answer in time");
}

#[test]
fn what_a_command_says_is_told_in_one_short_line() {
    let config = "[service.a]\ncommand = <obedient>\n\
        ready = { command = [\"sh\", \"-c\", \"head -c 9000 /dev/zero | tr '\\\\0' x; exit 3\"], every = \"10ms\", timeout = \"300ms\" }\n\
        [service.b]\ncommand = <obedient>\nready = { command = [\"/none\"], every = \"10ms\" }";
    let finished = Curfew::run(["--grace", "TERM 5s, KILL"]).config(config).finish();
    finished.assert_status(82);
    let reasons: Vec<_> =
        finished.events("probe.failed").iter().map(|event| event["reason"].clone()).collect();
    assert!(reasons.contains(&format!("exit status 3: {}", "x".repeat(80)).into()), "{reasons:?}");
    assert!(reasons.contains(&"it could not be executed: no such file or directory".into()), "{reasons:?}");
}

#[test]
fn what_a_command_leaves_in_a_session_of_its_own_ends_with_it() {
    let curfew = Curfew::run(["--grace", "TERM 5s, KILL"]);
    let file = curfew.directory().join("pids");
    std::fs::write(&file, "").unwrap();
    let file = file.display().to_string();
    let leaves = format!(
        "n=$(grep -c . {file}); setsid sh -c 'echo $$ >> {file}; exec sleep 1000' &\n\
         while [ $(grep -c . {file}) = $n ]; do sleep 0.01; done"
    );
    let config = format!(
        "[service.a]\ncommand = <obedient>\n[service.a.health]\nevery = \"10ms\"\n\
         command = [\"sh\", \"-c\", \"\"\"{leaves}\"\"\"]"
    );
    let running = curfew.config(&config).start();
    let pids = || -> Vec<i32> {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    running.eventually("four probes", || pids().len() >= 4);
    let ended = pids()[..3].to_vec();
    for pid in &ended {
        running.eventually("what a probe has left to end", || !exists(*pid));
    }
    let finished = stop(running);
    // The last probe is ended by the stop itself, and what it has left may take a moment to die.
    let found = finished.events("stray.found");
    assert!(found.iter().all(|stray| ended.iter().all(|pid| stray["pid"] != *pid)), "{finished}");
    assert_eq!(finished.verdict(), "clean");
}
