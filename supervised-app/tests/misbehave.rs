//! Each switch does what it says.

mod support;

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::Signal::{SIGABRT, SIGINT, SIGKILL, SIGTERM};
use nix::sys::signal::kill;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use support::{Folder, Running, ended_by, process_fields};

/// The API and the dashboard, each with the switches.
fn both(folder: &Folder, switches: &[&str]) -> [Running; 2] {
    [folder.api(switches), folder.dashboard("http://127.0.0.1:9", switches)]
}

#[test]
fn ignore_term_ignores_both_signals() {
    let folder = Folder::new();
    for mut service in both(&folder, &["--ignore-term"]) {
        // An ignored signal is discarded as it is sent: nothing is pending once `signal` returns.
        service.signal(SIGTERM);
        service.signal(SIGINT);
        assert_eq!(service.get("/healthz").body, "ok");
        service.signal(SIGKILL);
        assert_eq!(ended_by(service.wait()), Some(SIGKILL));
    }
}

#[test]
fn drain_slowly_delays_the_end() {
    let folder = Folder::new();
    for mut service in both(&folder, &["--drain-slowly", "1h", "--drain-limit", "10ms"]) {
        service.signal(SIGTERM);
        service.wait_for("misbehaving: draining for 1h");
        assert!(service.is_running());
    }
    for mut service in both(&folder, &["--drain-slowly", "10ms"]) {
        assert!(service.stop(SIGTERM).iter().any(|line| line.ends_with("misbehaving: draining for 10ms")));
    }
}

#[test]
fn hang_never_ends() {
    let folder = Folder::new();
    for mut service in both(&folder, &["--hang"]) {
        service.signal(SIGTERM);
        service.wait_for("misbehaving: a thread never returns");
        service.signal(SIGTERM);
        service.wait_for("SIGTERM again, already stopping");
        assert!(service.is_running());
    }
}

#[test]
fn exit_with_sets_the_status_of_a_proper_stop() {
    let folder = Folder::new();
    for mut service in both(&folder, &["--exit-with", "143"]) {
        service.signal(SIGINT);
        assert_eq!(service.wait().code(), Some(143));
        assert!(service.seen.last().is_some_and(|line| line.ends_with(": bye")), "{:?}", service.seen);
    }
}

#[test]
fn crash_after_aborts() {
    let folder = Folder::new();
    for service in [&["api", "--database", "orders.db"][..], &["dashboard"]] {
        let mut command = folder.command(service);
        command.args(["--listen", "127.0.0.1:0", "--crash-after", "10ms"]);
        // The crash may come before the service listens.
        let mut service = Running::start_quiet(command);
        assert_eq!(ended_by(service.wait()), Some(SIGABRT));
        assert!(service.seen.iter().any(|line| line.ends_with("misbehaving: crashing after 10ms")));
    }
}

/// Kills the daemon and takes its exit status, which nobody else would.
struct Daemon(String);

impl Drop for Daemon {
    fn drop(&mut self) {
        let Ok(pid) = self.0.parse().map(Pid::from_raw) else {
            return;
        };
        if kill(pid, SIGKILL).is_ok() {
            let _ = waitpid(pid, None);
        }
    }
}

#[test]
fn leave_daemon_leaves_a_process_in_another_session() {
    // What the services leave behind becomes ours, in place of init's.
    set_child_subreaper(true).expect("Linux 3.4");
    let folder = Folder::new();
    for mut service in both(&folder, &["--leave-daemon"]) {
        let pid = service.seen.iter().find_map(|line| line.split("left a daemon behind, pid ").nth(1));
        let daemon = Daemon(pid.expect("a pid").to_owned());
        service.stop(SIGTERM);

        let fields = process_fields(&daemon.0);
        let (parent, session) = (&fields[1], &fields[3]);
        assert_eq!(*parent, std::process::id().to_string(), "it has not lost its parent");
        assert_ne!(*session, process_fields("self")[3], "the session is ours");
    }
}
