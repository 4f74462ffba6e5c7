//! Sockets that the service manager above listens on (socket activation).

use std::net::TcpListener;
use std::os::fd::AsRawFd;

use nix::libc::{self, SIGTERM};

use crate::support::Curfew;

/// Passes listeners as descriptors 3, 4 …, as a service manager does: the shell says which pid they are for.
fn passing(curfew: Curfew, names: &str) -> (Curfew, Vec<u16>) {
    let listeners: Vec<TcpListener> =
        names.split(':').map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    let script =
        format!("export LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={names}; exec \"$@\"", listeners.len());
    let curfew = curfew.wrapped_by(["sh", "-c", &script, "sh"]).before_exec(move || {
        // First far up, so that none is overwritten before it is copied.
        // SAFETY: copies of descriptors that are open; async-signal-safe.
        unsafe {
            let copies: [i32; 2] = std::array::from_fn(|index| match listeners.get(index) {
                Some(listener) => libc::fcntl(listener.as_raw_fd(), libc::F_DUPFD, 300),
                None => -1,
            });
            for (target, copy) in (3..).zip(copies.into_iter().filter(|copy| *copy >= 0)) {
                libc::dup2(copy, target);
                libc::close(copy);
            }
        }
        Ok(())
    });
    (curfew, ports)
}

#[test]
fn one_command_gets_every_socket_under_its_own_pid() {
    let (curfew, ports) = passing(Curfew::run([]), "http:admin");
    let running = curfew.fixture("passed-sockets").start();
    running.wait_for("ready");
    running.signal(SIGTERM);
    let finished = running.finish();
    finished.assert_status(0);
    finished.place("mine true, count 2, names http:admin");
    finished.place(&format!("descriptor 3 listens on {}", ports[0]));
    finished.place(&format!("descriptor 4 listens on {}", ports[1]));
    finished.place("others []");
}

#[test]
fn each_service_gets_the_sockets_it_asks_for_and_no_other() {
    let config = "service.admin = { command = <passed-sockets>, sockets = [\"admin\"] }\n\
                  service.both = { command = <passed-sockets>, sockets = [\"admin\", \"http\"] }\n\
                  service.none = { command = <passed-sockets> }";
    let (curfew, ports) = passing(Curfew::run([]).config(config), "http.socket:admin");
    let running = curfew.start();
    running.wait_for_many(3, "ready");
    running.signal(SIGTERM);
    let finished = running.finish();
    finished.assert_status(0);
    for line in [
        "admin: mine true, count 1, names admin",
        &format!("admin: descriptor 3 listens on {}", ports[1]),
        "both: mine true, count 2, names admin:http.socket",
        &format!("both: descriptor 3 listens on {}", ports[1]),
        &format!("both: descriptor 4 listens on {}", ports[0]),
        "none: mine false, count none, names none",
    ] {
        finished.place(line);
    }
    assert_eq!(finished.said("others []").len(), 3, "{finished}");
}

#[test]
fn a_socket_stays_over_a_restart() {
    let config = "service.web = { command = <passed-sockets>, sockets = [\"http\"], \
                  restart = { when = \"on-failure\", delay = \"1ms\" } }";
    let (curfew, _) = passing(Curfew::run([]).config(config), "http");
    let running = curfew.start();
    running.wait_for("ready");
    crate::support::kill(crate::support::children(running.pid())[0], libc::SIGKILL);
    running.wait_for_many(2, "mine true, count 1");
    running.wait_for_many(2, "ready");
    running.signal(SIGTERM);
    running.finish().assert_status(0);
}

#[test]
fn sockets_for_another_process_are_not_passed_on() {
    let running =
        Curfew::run([]).env("LISTEN_PID", "1").env("LISTEN_FDS", "1").fixture("passed-sockets").start();
    running.wait_for("mine false, count none, names none");
    running.signal(SIGTERM);
    running.finish().assert_status(0);
}

#[test]
fn who_asks_for_sockets_where_none_are_passed_is_told_once() {
    let config = "service.web = { command = <obedient>, sockets = [\"http\"] }\n\
                  service.admin = { command = <obedient>, sockets = [\"admin\"] }\nservice.db.command = <obedient>";
    let curfew = Curfew::run([]).config(config).start();
    curfew.wait_for_event("system.ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    let told = finished.events("socket.none");
    let told: Vec<_> = told.iter().map(|event| event["message"].as_str().unwrap()).collect();
    assert_eq!(told, ["curfew was passed no socket (by a .socket unit, say), and has none for web, admin"]);
}
