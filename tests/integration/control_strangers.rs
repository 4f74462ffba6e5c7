//! Clients of the control socket that are stuck, hostile, or not let in: nobody else is the worse for them.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc::{self, SIGTERM};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::Value;

use crate::support::{Curfew, Running, client, is_root, skip};

fn started(config: &str) -> Running {
    let running = Curfew::run([]).config(config).start();
    running.wait_for_event("system.ready");
    running
}

fn connect(running: &Running) -> UnixStream {
    let stream =
        UnixStream::connect(running.directory().join("curfew/system.sock")).expect("somebody listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time");
    stream
}

/// What comes back for these bytes, to the end of the stream.
fn answers(running: &Running, bytes: &[u8]) -> Vec<Value> {
    let mut stream = connect(running);
    // Who is sent away in the middle cannot say the rest.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut text = Vec::new();
    // What was left unread is told as a reset, behind all that was said.
    let _ = stream.read_to_end(&mut text);
    let lines = String::from_utf8(text).expect("text");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn codes(answers: &[Value]) -> Vec<&str> {
    answers.iter().map(|answer| answer["error"]["code"].as_str().unwrap_or("none")).collect()
}

#[test]
fn garbage_and_requests_that_are_too_long_or_have_no_end_are_refused() {
    let running = started("service.api.command = <obedient>");
    for (bytes, expected) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], &["bad-request"][..]),
        (b"\xff\xfe\x00\n{\"version\":1,\"verb\":\"status\"}\n", &["bad-request"]),
        (b"{\"version\":1,\"verb\":\"stop\",\"all\":true}", &["bad-request"]),
        (b"{\"version\":1,\"ver", &["bad-request"]),
        (b"", &[]),
        (b"\n", &["bad-request"]),
        (b"{\"version\":2,\"verb\":\"stop\",\"all\":true}\n", &["bad-version"]),
        // One mistake is no reason to hang up, and what comes behind is answered in its turn.
        (b"{\"version\":1,\"verb\":\"x\"}\n{\"version\":1,\"verb\":\"reopen\"}\n", &["unknown-verb", "none"]),
        (&[b'['; 3000].map(|byte| byte), &["bad-request"]),
    ] {
        assert_eq!(codes(&answers(&running, bytes)), expected, "{}", String::from_utf8_lossy(bytes));
    }
    let long =
        [b"{\"version\":1,\"verb\":\"status\",\"x\":\"".to_vec(), vec![b'x'; 70_000], b"\"}\n".to_vec()]
            .concat();
    assert_eq!(codes(&answers(&running, &long)), ["too-long"]);
    assert_eq!(codes(&answers(&running, &vec![b'x'; 1 << 20])), ["too-long"]);
    // None of that has stopped anything.
    let status = &answers(&running, b"{\"version\":1,\"verb\":\"status\"}\n")[0];
    assert_eq!(status["system"]["phase"], "running");
    running.signal(SIGTERM);
    running.finish().assert_status(0);
}

#[test]
fn only_curfews_own_user_and_root_are_let_in() {
    if !is_root() {
        return skip("only root can become somebody else");
    }
    let running = started("service.api.command = <obedient>");
    let folder = running.directory().join("curfew");
    let socket = folder.join("system.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let as_nobody = || {
        let mut asking = client(running.directory(), ["status", "--control", socket.to_str().unwrap()]);
        let output = asking.uid(65534).gid(65534).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, error) = as_nobody();
    assert!(status == Some(77) && error.contains("permission denied"), "{error}");
    // Were the door open, there would still be who stands behind it.
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    let (status, error) = as_nobody();
    assert!(status == Some(77) && error.contains("only the user that curfew runs as"), "{error}");
    running.signal(SIGTERM);
    running.finish().assert_status(0);
}

#[test]
fn five_hundred_clients_half_of_them_stuck_or_sending_garbage_neither_delay_a_stop_nor_lock_anybody_out() {
    const CLIENTS: usize = 500;
    let config = "service.db.command = <obedient>\n\
                  service.api = { command = <ignores TERM>, after = [\"db\"], grace = \"TERM 2s, KILL\" }";
    let running = Curfew::run(["--deadline", "10s", "--margin", "1s"]).config(config).start();
    running.wait_for("api: ready");
    running.signal(SIGTERM);
    running.wait_for("got TERM");
    let mut kept = Vec::new();
    for index in 0..CLIENTS {
        let mut stream = connect(&running);
        // Most are sent away while they still speak.
        let _ = match index % 4 {
            // Says nothing, ever.
            0 => Ok(()),
            1 => stream.write_all(&[b'x'; 5000]),
            2 => stream.write_all(b"{\"version\":1,\"verb\":\"watch\",\"level\":\"debug\"}\n"),
            // Asks and asks, and never reads.
            _ => stream.write_all(&b"{\"version\":1,\"verb\":\"status\"}\n".repeat(100)),
        };
        kept.push(stream);
        if index % 50 == 0 {
            let output = client(running.directory(), ["status"]).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("awaiting api"), "{text}{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let finished = running.finish();
    drop(kept);
    finished.assert_status(80);
    assert_eq!(finished.stages("api"), ["TERM", "KILL"]);
    // Its own budget, by its own account: 9 s, of which the stage takes 2.
    let stop = &finished.events("stop.complete")[0];
    assert_eq!((&stop["near_miss"], &stop["budget_ms"]), (&false.into(), &9000.into()), "{finished}");
    assert!(finished.stop_took() < Duration::from_millis(9000), "{finished}");
}

#[test]
fn clients_leave_services_the_descriptors_that_they_need() {
    let config = "service.db.command = <obedient>\nservice.api = { command = <obedient>, after = [\"db\"] }";
    let few = ["sh", "-c", "ulimit -Sn 32; ulimit -Hn 32; exec \"$@\"", "sh"];
    let running = Curfew::run([]).config(config).wrapped_by(few).start();
    running.wait_for_event("system.ready");
    let kept: Vec<UnixStream> = (0..100).map(|_| connect(&running)).collect();
    for _ in 0..2 {
        let request = b"{\"version\":1,\"verb\":\"restart\",\"all\":true,\"wait\":true}\n";
        assert_eq!(answers(&running, request)[0]["ok"], true);
    }
    drop(kept);
    running.signal(SIGTERM);
    running.finish().assert_status(0);
}

#[test]
fn no_more_than_half_of_the_places_are_for_those_who_wait() {
    let running = started("service.api = { command = <obedient> }");
    let watch = b"{\"version\":1,\"verb\":\"watch\"}\n";
    let mut watchers: Vec<BufReader<UnixStream>> = Vec::new();
    let mut said = Vec::new();
    for _ in 0..33 {
        let mut stream = connect(&running);
        stream.write_all(watch).unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        said.push(serde_json::from_str::<Value>(&line).unwrap());
        watchers.push(reader);
    }
    assert!(said[..32].iter().all(|answer| answer["ok"] == true));
    assert_eq!(said[32]["error"]["code"], "busy");
    // A place that becomes free can be had.
    drop(watchers);
    running.eventually("a place", || {
        let mut stream = connect(&running);
        stream.write_all(watch).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.contains("\"ok\":true")
    });
    running.signal(SIGTERM);
    running.finish().assert_status(0);
}

/// What curfew does not take, the kernel would close in its name.
#[test]
fn nobody_can_send_descriptors_along_with_a_request() {
    let running = started("service.api.command = <obedient>");
    let stream = connect(&running);
    let text = [std::io::IoSlice::new(b"{\"version\":1,\"verb\":\"reopen\"}\n")];
    let descriptors = [stream.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let sent = sendmsg::<()>(stream.as_raw_fd(), &text, &rights, MsgFlags::empty(), None);
    if can_refuse_descriptors(&stream) {
        assert_eq!(sent, Err(Errno::EPERM));
    } else {
        skip("the kernel is older than 6.16, and cannot refuse descriptors");
    }
    assert_eq!(codes(&answers(&running, b"{\"version\":1,\"verb\":\"reopen\"}\n")), ["none"]);
    running.signal(SIGTERM);
    running.finish().assert_status(0);
}

/// Whether the kernel knows SO_PASSRIGHTS (83), as it is asked of our own end.
fn can_refuse_descriptors(stream: &UnixStream) -> bool {
    let (mut value, mut length) = (0_i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: a value, and its length.
    let result = unsafe {
        libc::getsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, 83, (&raw mut value).cast(), &raw mut length)
    };
    result == 0
}
