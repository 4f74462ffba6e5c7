//! What a child is given, and what it is not.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;

use nix::libc::{self, SIGKILL, SIGTERM};
use tempfile::TempDir;

use crate::support::{Curfew, Finished, children, exists};

/// A line of `/proc/PID/status`, read by a program that changes nothing of it.
fn status_of(finished: &Finished, key: &str) -> String {
    let line = finished.stdout.iter().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_else(|| panic!("{key} is missing{finished}")).trim().to_owned()
}

fn descriptors(finished: &Finished) -> Vec<(i32, String)> {
    let lines = finished.stdout.iter().filter_map(|line| line.split_once(": fd "));
    let pairs = lines.filter_map(|(_, rest)| rest.split_once(' '));
    pairs.map(|(number, target)| (number.parse().unwrap(), target.to_owned())).collect()
}

fn numbers(finished: &Finished) -> Vec<i32> {
    descriptors(finished).into_iter().map(|(number, _)| number).collect()
}

/// Everything that a careless parent leaves behind: all signals blocked, and all ignored that can be.
pub(crate) fn with_signals_blocked_and_ignored(curfew: Curfew) -> Curfew {
    curfew.before_exec(|| {
        // SAFETY: system calls alone, with valid arguments.
        unsafe {
            let mut all = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
            // The kernel's own structure: the C library would refuse 32 and 33, which other programs leave ignored.
            let ignore = [libc::SIG_IGN as u64, 0, 0, 0];
            for signal in (1..=64).filter(|signal| *signal != libc::SIGHUP) {
                libc::syscall(libc::SYS_rt_sigaction, signal, ignore.as_ptr(), std::ptr::null::<u64>(), 8);
            }
        }
        Ok::<(), io::Error>(())
    })
}

#[test]
fn children_start_with_an_empty_mask_and_default_dispositions_whatever_curfew_was_given() {
    for careless in [false, true] {
        let curfew = Curfew::run([]).command(["cat", "/proc/self/status"]);
        let curfew = if careless { with_signals_blocked_and_ignored(curfew) } else { curfew };
        let finished = curfew.finish();
        finished.assert_status(0);
        for key in ["SigBlk:", "SigIgn:", "SigCgt:", "SigPnd:", "ShdPnd:"] {
            assert_eq!(status_of(&finished, key), "0000000000000000", "{key} {careless}");
        }
    }
}

#[test]
fn services_start_with_an_empty_mask_and_default_dispositions_too() {
    let curfew =
        Curfew::run([]).config("service.a = { type = \"task\", command = [\"cat\", \"/proc/self/status\"] }");
    let finished = with_signals_blocked_and_ignored(curfew).finish();
    for key in ["SigBlk:", "SigIgn:", "SigCgt:"] {
        assert_eq!(status_of(&finished, key), "0000000000000000", "{key}");
    }
}

#[test]
fn a_hang_up_that_nohup_ignores_stays_ignored_for_curfew_and_its_children() {
    let curfew = Curfew::run([]).wrapped_by(["nohup"]).command(["cat", "/proc/self/status"]);
    assert_eq!(status_of(&curfew.finish(), "SigIgn:"), "0000000000000001");
    let curfew = Curfew::run([]).wrapped_by(["nohup"]).fixture("prints-state stays").start();
    curfew.wait_for("ready");
    curfew.signal(libc::SIGHUP);
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert_eq!(finished.report()["cause"]["signal"], "TERM");
}

#[test]
fn a_child_has_a_session_and_a_group_of_its_own() {
    let one = Curfew::run([]).fixture("prints-state");
    let many = Curfew::run([]).config("service.a = { type = \"task\", command = <prints-state> }");
    for curfew in [one, many] {
        let curfew = curfew.start();
        let parent = curfew.pid();
        let finished = curfew.finish();
        let pid = finished.state("pid");
        assert_eq!((finished.state("sid"), finished.state("pgid")), (pid, pid));
        assert_eq!(finished.state("ppid"), parent.to_string());
    }
}

#[test]
fn a_child_works_where_curfew_was_started_and_curfew_itself_pins_no_directory() {
    let place = TempDir::new().unwrap();
    let path = fs::canonicalize(place.path()).unwrap();
    let curfew = Curfew::run([]).working_directory(&path).fixture("prints-state stays").start();
    curfew.wait_for("ready");
    assert_eq!(fs::read_link(format!("/proc/{}/cwd", curfew.pid())).unwrap().to_str(), Some("/"));
    curfew.signal(SIGTERM);
    assert_eq!(curfew.finish().state("cwd"), path.to_str().unwrap());
}

#[test]
fn a_child_works_in_the_directory_that_was_asked_for() {
    let place = TempDir::new().unwrap();
    let path = fs::canonicalize(place.path()).unwrap();
    let finished = Curfew::run(["--directory"]).arg(&path).fixture("prints-state").finish();
    assert_eq!(finished.state("cwd"), path.to_str().unwrap());
}

#[test]
fn a_directory_that_is_not_there_is_126_and_the_step_is_named() {
    let finished = Curfew::run(["--directory", "/nonexistent"]).fixture("prints-state").finish();
    finished.assert_status(126);
    assert_eq!(finished.report()["services"][0]["start_failure"]["step"], "directory");
}

#[test]
fn a_relative_command_is_found_from_where_curfew_was_started() {
    let place = TempDir::new().unwrap();
    std::os::unix::fs::symlink("/bin/true", place.path().join("program")).unwrap();
    Curfew::run([]).working_directory(place.path()).command(["./program"]).finish().assert_status(0);
}

#[test]
fn services_get_the_signal_they_want_when_curfew_dies() {
    for (wanted, signal) in [("TERM", "TERM"), ("KILL", "KILL"), ("none", "0")] {
        let mut curfew = Curfew::run([])
            .config(&format!("service.a = {{ command = <prints-state stays>, parent-death = {wanted:?} }}"))
            .start();
        curfew.wait_for("ready");
        let child = children(curfew.pid())[0];
        curfew.signal(SIGKILL);
        let finished = curfew.end();
        assert_eq!(finished.state("parent-death"), signal);
        if wanted == "none" {
            assert!(exists(child));
        } else {
            curfew.eventually("the service is gone too", || !exists(child));
        }
    }
}

#[test]
fn services_have_the_limit_of_open_files_that_curfew_was_given() {
    let with_limit = |curfew: Curfew| {
        curfew.before_exec(|| {
            let limit = libc::rlimit { rlim_cur: 200, rlim_max: 4000 };
            // SAFETY: a system call with a valid argument.
            match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        })
    };
    let many = Curfew::run([]).config("service.a.command = <prints-state stays>");
    let one = Curfew::run([]).fixture("prints-state stays");
    for (curfew, own) in [(many, 4000), (one, 200)] {
        let curfew = with_limit(curfew).start();
        curfew.wait_for("ready");
        let limits = fs::read_to_string(format!("/proc/{}/limits", curfew.pid())).unwrap();
        let open_files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert_eq!(open_files.split_whitespace().nth(3), Some(own.to_string().as_str()), "curfew's own");
        curfew.signal(SIGTERM);
        assert_eq!(curfew.finish().state("open-files"), "200 4000");
    }
}

/// Opens the null device as this descriptor, for curfew to inherit.
fn with_descriptor(curfew: Curfew, number: i32) -> Curfew {
    let null = fs::File::open("/dev/null").unwrap();
    curfew.before_exec(move || {
        // SAFETY: dup2 takes two integers; the first is open.
        match unsafe { libc::dup2(null.as_raw_fd(), number) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    })
}

#[test]
fn one_command_inherits_every_descriptor_and_gets_none_of_curfews_own() {
    let curfew =
        with_descriptor(with_descriptor(Curfew::run([]), 7), 42).fixture("prints-state stays").start();
    curfew.wait_for("ready");
    curfew.wait_for_event("service.ready");
    // curfew has let go of what it does not need itself, its standard output included.
    assert!(!fs::exists(format!("/proc/{}/fd/7", curfew.pid())).unwrap());
    assert!(!fs::exists(format!("/proc/{}/fd/42", curfew.pid())).unwrap());
    for stream in [0, 1] {
        let link = fs::read_link(format!("/proc/{}/fd/{stream}", curfew.pid())).unwrap();
        assert_eq!(link.to_str(), Some("/dev/null"));
    }
    curfew.signal(SIGTERM);
    assert_eq!(numbers(&curfew.finish()), [0, 1, 2, 7, 42]);
}

#[test]
fn services_get_null_as_standard_input_and_no_descriptor_beyond_the_streams() {
    let (read, write) = io::pipe().unwrap();
    let curfew = with_descriptor(Curfew::run([]), 7)
        .stdin(read)
        .config("service.a = { type = \"task\", command = <prints-state> }\nservice.b.command = <obedient>");
    let curfew = curfew.start();
    curfew.wait_for("a: ready");
    curfew.wait_for("b: ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    drop(write);
    assert_eq!(numbers(&finished), [0, 1, 2]);
    assert_eq!(descriptors(&finished)[0].1, "/dev/null");
}

#[test]
fn one_command_reads_curfews_standard_input() {
    let (read, mut write) = io::pipe().unwrap();
    let curfew = Curfew::run([]).stdin(read).command(["cat"]).start();
    io::Write::write_all(&mut write, b"a line\n").unwrap();
    drop(write);
    assert_eq!(curfew.finish().stdout, ["a line"]);
}

fn variables(finished: &Finished) -> Vec<(String, String)> {
    let lines = finished.stdout.iter().filter_map(|line| line.split_once(": env ")?.1.split_once('='));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn variable(finished: &Finished, wanted: &str) -> Option<String> {
    variables(finished).into_iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
}

#[test]
fn a_child_learns_its_run_and_its_service_and_keeps_the_rest_of_the_environment() {
    let finished = Curfew::run([])
        .env("FRUIT", "apple = pear")
        .config("service.a-1 = { type = \"task\", command = <prints-state> }")
        .finish();
    assert_eq!(variable(&finished, "FRUIT").as_deref(), Some("apple = pear"));
    assert_eq!(variable(&finished, "CURFEW_SERVICE").as_deref(), Some("a-1"));
    assert_eq!(variable(&finished, "CURFEW_RUN").as_deref(), finished.report()["run"].as_str());
}

#[test]
fn curfews_own_variables_are_used_and_not_passed_on() {
    let finished = Curfew::run([])
        .env("CURFEW_NAME", "orchard")
        .env("CURFEW_GRACE", "TERM 3s, KILL")
        .env("CURFEW_RUN", "of another curfew")
        .env("CURFEW_SERVICE", "of another curfew")
        .fixture("prints-state")
        .finish();
    assert_eq!(finished.report()["name"], "orchard");
    let mut left: Vec<String> = variables(&finished)
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("CURFEW_"))
        .collect();
    left.sort();
    left.retain(|name| name != "CURFEW_DEADLINE");
    assert_eq!(left, ["CURFEW_RUN", "CURFEW_SERVICE"]);
    assert_ne!(variable(&finished, "CURFEW_RUN").as_deref(), Some("of another curfew"));
}

#[test]
fn a_child_learns_how_long_its_own_schedule_is() {
    let finished = Curfew::run(["--grace", "TERM 12s, INT 3s, KILL"]).fixture("prints-state").finish();
    let deadline = variable(&finished, "CURFEW_DEADLINE").expect("a nested curfew would want to know");
    assert_eq!(deadline, "15s");
}
