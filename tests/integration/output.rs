//! What curfew says, where it says it, and that nobody waits for whoever reads it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::{SIGTERM, SIGUSR1};

use crate::support::{Curfew, Lines, curfew_binary, is_installed, now, skip};

#[test]
fn the_three_lines_to_watch_for_come_in_order() {
    let lines = ["🛑 stop requested", "✅ all services stopped", "🏁 shutdown complete"];
    let one = Curfew::run([]).log(None).fixture("obedient");
    let many =
        Curfew::run([]).log(None).config("service.a.command = <obedient>\nservice.b.command = <obedient>");
    for curfew in [one, many] {
        let curfew = curfew.start();
        curfew.wait_for("ready");
        curfew.signal(SIGTERM);
        let finished = curfew.finish();
        let places: Vec<usize> = lines
            .iter()
            .map(|text| {
                let places: Vec<usize> = (0..finished.stderr.len())
                    .filter(|index| finished.stderr[*index].contains(text))
                    .collect();
                assert_eq!(places.len(), 1, "{text:?} is said once{finished}");
                places[0]
            })
            .collect();
        assert!(places.is_sorted(), "{finished}");
        assert!(finished.stderr[places[0]].contains("SIGTERM"), "the cause is named{finished}");
        assert_eq!(places[2] + 1, finished.stderr.len(), "nothing comes after the last line{finished}");
    }
}

#[test]
fn a_human_line_has_a_time_a_level_and_the_service() {
    let curfew = Curfew::run([]).log(Some("human")).config("service.it.command = <obedient>").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    let line = finished.stderr.iter().find(|line| line.contains("sent SIGTERM")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert!(words[0].ends_with('Z') && words[0].contains('T'), "{line}");
    assert_eq!((words[1], words[2]), ("INFO", "it:"), "{line}");
}

#[test]
fn json_is_one_object_a_line_with_time_level_and_event() {
    let curfew = Curfew::run([]).config("service.it.command = <obedient>").start();
    curfew.wait_for("ready");
    curfew.wait_for_event("service.ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert!(!finished.stderr.is_empty());
    for line in &finished.stderr {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        let time = value["time"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z') && &time[10..11] == "T", "RFC 3339: {time}");
        assert!(["error", "warn", "info", "debug"].contains(&value["level"].as_str().unwrap()));
        assert!(value["event"].as_str().unwrap().contains('.'));
    }
    for event in [
        "service.ready",
        "stop.requested",
        "stage.sent",
        "service.ended",
        "services.stopped",
        "stop.complete",
    ] {
        assert_eq!(finished.events(event).len(), 1, "{event}{finished}");
    }
}

#[test]
fn a_log_level_leaves_out_what_is_below_it() {
    let curfew = Curfew::run(["--log-level", "error"]).log(None).fixture("obedient").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert!(finished.stderr.is_empty(), "{finished}");
    // The report has everything.
    assert!(!finished.report()["events"].as_array().unwrap().is_empty());
}

#[test]
fn a_command_that_ends_well_by_itself_is_not_talked_about() {
    let finished = Curfew::run([]).log(None).command(["echo", "hello"]).finish();
    assert_eq!(finished.stdout, ["hello"]);
    assert!(finished.stderr.is_empty(), "{finished}");
}

#[test]
fn nothing_is_ever_said_on_standard_output() {
    let curfew = Curfew::run(["--grace", "TERM 100ms, KILL"])
        .config("service.a.command = [\"sleep\", \"1000\"]\nservice.b.command = [\"sh\", \"-c\", \"trap '' TERM; echo armed >&2; while :; do sleep 0.05; done\"]")
        .start();
    curfew.wait_for_error_line("armed");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert!(finished.stdout.is_empty(), "{finished}");
}

/// Both ends of a pipe that is full, so that whoever writes to it waits.
fn full_pipe() -> (io::PipeReader, OwnedFd) {
    let (read, write) = io::pipe().unwrap();
    let mut write = File::from(OwnedFd::from(write));
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while write.write(&[b'x'; 4096]).is_ok() {}
    while write.write(b"x").is_ok() {}
    fcntl(&write, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (read, write.into())
}

#[test]
fn a_stuck_reader_of_the_log_does_not_delay_the_stop() {
    let one = Curfew::run([]).fixture("obedient");
    let many = Curfew::run([]).config("service.a.command = <obedient>\nservice.b.command = <obedient>");
    for curfew in [one, many] {
        let (mut read, write) = full_pipe();
        let curfew = curfew.stderr(write).start();
        curfew.wait_for("ready");
        curfew.signal(SIGTERM);
        let finished = curfew.finish();
        finished.assert_status(0);
        assert!(finished.took < Duration::from_secs(20));
        // Not one byte of the log is in the pipe: it was full all the time.
        let mut rest = String::new();
        read.read_to_string(&mut rest).unwrap();
        assert!(rest.bytes().all(|byte| byte == b'x'), "{rest}");
    }
}

#[test]
fn what_could_not_be_said_is_said_when_the_reader_is_back() {
    let (read, write) = full_pipe();
    let curfew = Curfew::run([]).stderr(write).fixture("prints-signals until TERM").start();
    curfew.wait_for("ready");
    for _ in 0..3 {
        curfew.signal(SIGUSR1);
    }
    curfew.wait_for("got USR1");
    let reader = thread::spawn(move || io::read_to_string(read).unwrap());
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(0);
    let text = reader.join().unwrap();
    for event in ["service.ready", "signal.forwarded", "stop.requested", "stop.complete"] {
        assert!(text.contains(event), "{event} is there");
    }
}

#[test]
fn a_log_that_nobody_reads_any_more_does_not_end_curfew() {
    let (read, write) = io::pipe().unwrap();
    let curfew = Curfew::run([]).stderr(write).config("service.a.command = <obedient 50ms>").start();
    curfew.wait_for("ready");
    drop(read);
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    finished.place("a: done");
}

#[test]
fn the_flags_of_a_descriptor_that_services_share_are_not_changed() {
    let (read, write) = io::pipe().unwrap();
    let ours = write.try_clone().unwrap();
    let reader = thread::spawn(move || io::read_to_string(read).unwrap());
    let curfew = Curfew::run([]).stderr(write).config("service.a.command = <obedient>").start();
    curfew.wait_for("ready");
    let flags = || OFlag::from_bits_truncate(fcntl(&ours, FcntlArg::F_GETFL).unwrap());
    assert!(!flags().contains(OFlag::O_NONBLOCK));
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(0);
    assert!(!flags().contains(OFlag::O_NONBLOCK));
    drop(ours);
    assert!(reader.join().unwrap().contains("stop.complete"), "something was said meanwhile");
}

#[test]
fn the_log_goes_to_a_file_a_socket_and_a_device_too() {
    let run = |stderr: Stdio| {
        let curfew = Curfew::run([]).stderr(stderr).fixture("obedient").start();
        curfew.wait_for("ready");
        curfew.signal(SIGTERM);
        curfew.finish().assert_status(0);
    };
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"what was there\n").unwrap();
    run(file.try_clone().unwrap().into());
    let mut text = String::new();
    io::Seek::rewind(&mut file).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("what was there\n") && text.contains("stop.complete"), "{text}");

    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    run(OwnedFd::from(theirs).into());
    text.clear();
    ours.read_to_string(&mut text).unwrap();
    assert!(text.contains("stop.complete"), "{text}");

    run(File::options().write(true).open("/dev/full").unwrap().into());
}

/// Runs a shell line with `$CURFEW` in it, and returns what it printed.
fn shell(shell: &str, line: &str) -> String {
    let since = now();
    let mut command = Command::new(shell);
    command.args(["-c", line]).env("CURFEW", curfew_binary()).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(now().since(since) < Duration::from_secs(30), "it ended by itself");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_pipe_sees_the_end_of_the_command() {
    if !is_installed("bash") {
        return skip("bash is not installed");
    }
    // `yes` dies of its broken pipe: curfew holds nothing open, and gives it the default disposition.
    let line = r#"timeout 20 "$CURFEW" run -- yes 2>/dev/null | head -1; echo "${PIPESTATUS[0]}""#;
    assert_eq!(shell("bash", line), "y\n141\n");
    assert_eq!(shell("bash", r#"timeout 20 "$CURFEW" run -- sh -c 'echo a; echo b' | cat"#), "a\nb\n");
}

/// The reader of a pipe does not wait for curfew when the command has closed its own end.
#[test]
fn a_command_that_closes_its_output_early_ends_the_pipe() {
    let (read, write) = io::pipe().unwrap();
    let curfew = Curfew::run([])
        .stdout(write)
        .command(["sh", "-c", "echo a; exec >/dev/null; exec sleep 1000"])
        .start();
    // It comes to its end though curfew and the command live.
    let lines = Lines::read(Some(read));
    assert!(lines.wait_for_end(now().plus(Duration::from_secs(30))), "the pipe has come to its end");
    assert_eq!(lines.so_far(), ["a"]);
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(0);
}

#[test]
fn a_substituted_process_can_be_read() {
    if !is_installed("bash") {
        return skip("bash is not installed");
    }
    let text = shell(
        "bash",
        r#"timeout 20 "$CURFEW" run -- cat <(echo from a process) /dev/fd/9 9< <(echo and another)"#,
    );
    assert_eq!(text, "from a process\nand another\n");
}

#[test]
fn output_that_a_command_writes_after_term_is_not_lost() {
    let curfew = Curfew::run([])
        .command(["sh", "-c", "trap 'seq 1 20000; exit 0' TERM; echo ready; while :; do sleep 0.05; done"])
        .start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.stdout.len(), 20_001);
}

/// A guard against a test that tests nothing: the pipe is really full.
#[test]
fn a_full_pipe_is_full() {
    let (_read, write) = full_pipe();
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    assert_eq!(nix::unistd::write(&write, b"x"), Err(nix::errno::Errno::EAGAIN));
    assert!(write.as_raw_fd() > 2);
}
