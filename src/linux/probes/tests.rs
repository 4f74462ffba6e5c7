use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Backlog, listen, setsockopt, sockopt};

use super::*;
use crate::protocol::{parse_address, parse_http};

fn service() -> ServiceId {
    ServiceId::new(7)
}

/// Waits for the probe as the loop does, to its end.
fn wait(probes: &mut Probes, mut step: Step) -> Result<(), String> {
    loop {
        match step {
            Step::Over(purpose, result) => {
                assert_eq!(purpose, Purpose::Health);
                assert!(probes.descriptor(service()).is_none(), "nothing is left of it");
                return result;
            }
            Step::Waits(interest) => {
                let flags = if interest == Interest::Write { PollFlags::POLLOUT } else { PollFlags::POLLIN };
                let descriptor = probes.descriptor(service()).expect("it waits for something");
                poll(&mut [PollFd::new(descriptor, flags)], PollTimeout::NONE).unwrap();
                step = probes.go_on(service()).expect("it is under way");
            }
        }
    }
}

fn probe(target: &ProbeTarget) -> Result<(), String> {
    let mut probes = Probes::default();
    let step = probes.start(service(), Purpose::Health, target);
    wait(&mut probes, step)
}

fn http(listener: &TcpListener) -> ProbeTarget {
    let port = listener.local_addr().unwrap().port();
    ProbeTarget::Http(parse_http(&format!("http://127.0.0.1:{port}/health?all")).unwrap())
}

/// Takes one connection, hands it to `server` in a thread, and probes. Returns what came of both.
fn probe_server<T: Send>(server: impl FnOnce(TcpStream) -> T + Send) -> (Result<(), String>, T) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = http(&listener);
    std::thread::scope(|scope| {
        let server = scope.spawn(move || server(listener.accept().unwrap().0));
        let result = probe(&target);
        (result, server.join().unwrap())
    })
}

fn request(connection: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte).unwrap();
        request.extend(byte);
    }
    String::from_utf8(request).unwrap()
}

#[test]
fn a_page_is_asked_for_as_servers_expect_it() {
    let (result, (request, host)) = probe_server(|mut connection| {
        let request = request(&mut connection);
        connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        (request, connection.local_addr().unwrap())
    });
    assert_eq!(result, Ok(()));
    assert!(request.starts_with("GET /health?all HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nHost: {host}\r\n")), "{request}");
    assert!(request.contains("\r\nConnection: close\r\n"), "{request}");
}

#[test]
fn a_server_that_answers_in_pieces_is_not_hung_up_on() {
    let (result, end) = probe_server(|mut connection| {
        request(&mut connection);
        for piece in ["HTTP/1.1 200 OK\r\n", "Content-Length: 8\r\n", "\r\n", "all ", "well"] {
            connection.write_all(piece.as_bytes()).unwrap();
        }
        connection.read(&mut [0]).map_err(|error| error.kind())
    });
    assert_eq!(result, Ok(()));
    assert_eq!(end, Ok(0), "an ordinary end, not a reset");
}

#[test]
fn the_reason_of_a_failure_is_told_even_if_it_comes_late() {
    let (result, ()) = probe_server(|mut connection| {
        request(&mut connection);
        setsockopt(&connection, sockopt::TcpNoDelay, &true).unwrap();
        connection.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 11\r\n\r\n").unwrap();
        connection.write_all(b"no database").unwrap();
    });
    assert_eq!(result, Err("HTTP 503 Service Unavailable: no database".to_owned()));
}

#[test]
fn servers_that_hang_up_are_told() {
    let (result, ()) = probe_server(drop);
    let reasons = ["the connection was closed without an answer", "connection reset by peer", "broken pipe"];
    assert!(reasons.contains(&result.clone().unwrap_err().as_str()), "{result:?}");
    let (result, ()) = probe_server(|mut connection| {
        request(&mut connection);
    });
    assert_eq!(result, Err("the connection was closed without an answer".to_owned()));
    let (result, _) = probe_server(|mut connection| {
        request(&mut connection);
        connection.write_all(&b"x".repeat(1 << 20))
    });
    assert_eq!(result, Err(format!("this is no HTTP: {}", "x".repeat(80))));
}

#[test]
fn who_listens_is_found_and_who_does_not_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = ProbeTarget::Tcp(parse_address(&format!("127.0.0.1:{port}")).unwrap());
    assert_eq!(probe(&target), Ok(()));
    let page = http(&listener);
    drop(listener);
    assert_eq!(probe(&target), Err("connection refused".to_owned()));
    assert_eq!(probe(&page), Err("connection refused".to_owned()));
}

#[test]
fn localhost_is_whichever_address_answers() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        eprintln!("skipped: there is no IPv6 here");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let target = ProbeTarget::Tcp(parse_address(&format!("localhost:{port}")).unwrap());
    assert_eq!(probe(&target), Ok(()));
    drop(listener);
    assert_eq!(probe(&target), Err("connection refused".to_owned()));
}

#[test]
fn nothing_comes_back_through_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("curfew-probe-back-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let mut probes = Probes::default();
    let step = probes.start(service(), Purpose::Health, &ProbeTarget::Unix(path.clone()));
    let (mut connection, _) = listener.accept().unwrap();
    std::fs::remove_file(&path).unwrap();
    // Nor do descriptors.
    assert_eq!(connection.write(b"hello").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(wait(&mut probes, step), Ok(()));
}

#[test]
fn a_unix_socket_is_connected_to() {
    let directory = std::env::temp_dir().join(format!("curfew-probes-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("socket");
    let target = ProbeTarget::Unix(path.clone());
    assert_eq!(probe(&target), Err("no such file or directory".to_owned()));
    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(probe(&target), Ok(()));
    // Nobody accepts: a short queue is full soon, and who comes then is not kept waiting.
    listen(&listener, Backlog::new(1).unwrap()).unwrap();
    let last = (0..4).find_map(|_| probe(&target).err());
    assert_eq!(last.as_deref(), Some("too many connections wait for it to accept them"));
    drop(listener);
    assert_eq!(probe(&target), Err("connection refused".to_owned()));
    let long = ProbeTarget::Unix(directory.join("x".repeat(200)));
    assert_eq!(probe(&long), Err("file name too long".to_owned()));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_file_is_there_if_what_it_leads_to_is() {
    let directory = std::env::temp_dir().join(format!("curfew-files-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let target = |path: &Path| ProbeTarget::File(path.to_owned());
    let (file, link) = (directory.join("ready"), directory.join("link"));
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert_eq!(probe(&target(&file)), Err("no such file or directory".to_owned()));
    assert_eq!(probe(&target(&link)), Err("no such file or directory".to_owned()));
    std::fs::write(&file, "").unwrap();
    assert_eq!(probe(&target(&file)), Ok(()));
    assert_eq!(probe(&target(&link)), Ok(()));
    assert_eq!(probe(&target(&file.join("below"))), Err("not a directory".to_owned()));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn what_is_abandoned_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut probes = Probes::default();
    assert!(matches!(
        probes.start(service(), Purpose::Health, &http(&listener)),
        Step::Waits(Interest::Write)
    ));
    let (mut connection, _) = listener.accept().unwrap();
    probes.abandon(service());
    assert!(probes.descriptor(service()).is_none());
    assert!(probes.go_on(service()).is_none());
    assert_eq!(connection.read(&mut [0]).unwrap(), 0);
}
