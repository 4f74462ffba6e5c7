//! At a terminal: keys, job control, the window and the prompt work as without curfew.

use std::process::Stdio;
use std::time::Duration;

use nix::libc::{self, SIGTERM, SIGUSR1};

use crate::support::{
    Curfew, Finished, Running, Terminal, carriers, children, curfew_binary, exists, fixture_binary,
    is_installed, kill, now, skip, state,
};

const CTRL_BACKSLASH: &str = "\x1c";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_Z: &str = "\x1a";

/// Says what it reads, until the end of the file.
const READER: [&str; 3] = ["sed", "-u", "s/^/read: /"];

const SERVICES: &str = "service.a.command = <obedient>\nservice.b.command = <obedient>";

/// A shell in front, which gives curfew a group of its own and the foreground, and tells how it finds the terminal again.
fn under_a_shell(curfew: Curfew) -> Curfew {
    curfew.wrapped_by([fixture_binary(), "shell"])
}

/// One of the streams leads elsewhere, so that the command is in curfew's own group.
fn with_a_stream_elsewhere(curfew: Curfew) -> Curfew {
    curfew.stderr(Stdio::piped())
}

/// The curfew that a shell started.
fn child(shell: &Running) -> i32 {
    children(shell.pid())[0]
}

/// The signals that `prints-signals` told of, in order; a CONT follows every stop signal, and is left out.
fn got(finished: &Finished) -> Vec<&str> {
    let lines = finished.stdout.iter().filter_map(|line| line.split_once(": got "));
    lines.map(|(_, name)| name).filter(|name| *name != "CONT").collect()
}

// Keys.

#[test]
fn ctrl_c_reaches_the_command_and_its_end_is_curfews() {
    let mut terminal = Terminal::open();
    let curfew = Curfew::run([]).at(&mut terminal).fixture("dies-by INT on INT").start();
    curfew.wait_for(": ready");
    terminal.press(CTRL_C);
    let finished = curfew.finish();
    finished.assert_status(130);
    assert_eq!(got(&finished), ["INT"]);
    assert_eq!(finished.report()["cause"]["end"]["signal"], "INT");
}

/// An interpreter's prompt: there Ctrl-C is a key like any other.
#[test]
fn what_ctrl_c_means_is_for_the_command_to_say() {
    let mut terminal = Terminal::open();
    let curfew = Curfew::run([]).at(&mut terminal).fixture("prints-signals until QUIT").start();
    curfew.wait_for(": ready");
    for count in 1..=3 {
        terminal.press(CTRL_C);
        curfew.wait_for_many(count, ": got INT");
    }
    terminal.press(CTRL_BACKSLASH);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(got(&finished), ["INT", "INT", "INT", "QUIT"]);
    assert_eq!(finished.report()["cause"]["kind"], "service-ended");
}

#[test]
fn ctrl_c_reaches_a_command_in_curfews_own_group_once_and_is_a_stop() {
    let mut terminal = Terminal::open();
    let curfew = with_a_stream_elsewhere(Curfew::run([]).at(&mut terminal));
    let curfew = curfew.fixture("prints-signals until USR1").start();
    curfew.wait_for(": ready");
    terminal.press(CTRL_C);
    curfew.wait_for(": got INT");
    curfew.wait_for_event("stage.sent");
    curfew.signal(SIGUSR1);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(got(&finished), ["INT", "USR1"]);
    assert_eq!(finished.report()["cause"]["signal"], "INT");
    assert_eq!(finished.report()["cause"]["sender"], "terminal");
}

#[test]
fn ctrl_c_stops_a_system_of_services() {
    let mut terminal = Terminal::open();
    let curfew = Curfew::run([]).at(&mut terminal).config(SERVICES).start();
    curfew.wait_for_many(2, ": ready");
    terminal.press(CTRL_C);
    let finished = curfew.finish();
    finished.assert_status(0);
    // The schedule's signal; the key itself reaches no service.
    assert_eq!(got(&finished), ["TERM", "TERM"]);
    assert_eq!(finished.report()["cause"]["sender"], "terminal");
}

#[test]
fn ctrl_backslash_kills_a_system_of_services_at_once() {
    let mut terminal = Terminal::open();
    let curfew = Curfew::run([]).at(&mut terminal).config(SERVICES).start();
    curfew.wait_for_many(2, ": ready");
    terminal.press(CTRL_BACKSLASH);
    let finished = curfew.finish();
    finished.assert_status(80);
    assert!(got(&finished).is_empty(), "{finished}");
}

#[test]
fn what_is_typed_is_read_by_the_command_to_the_end_of_the_file() {
    let mut terminal = Terminal::open();
    let curfew = Curfew::run([]).at(&mut terminal).command(READER).start();
    terminal.press("one\ntwo\n");
    curfew.wait_for("read: two");
    terminal.press(CTRL_D);
    curfew.finish().assert_status(0);
}

// Job control.

/// Ctrl-Z and `fg`, three times; curfew inside of curfew too.
fn stop_and_continue(prepare: impl Fn(Curfew) -> Curfew, whose_when_stopped: &str) {
    for depth in 0..3 {
        let mut words: Vec<&str> = [curfew_binary(), "run", "--"].repeat(depth);
        words.extend(READER);
        let mut terminal = Terminal::open();
        let mut curfew = under_a_shell(prepare(Curfew::run([]).at(&mut terminal)));
        for word in std::iter::once("--").chain(words.iter().copied()) {
            curfew = curfew.arg(word);
        }
        let curfew = curfew.start();
        terminal.press("one\n");
        curfew.wait_for("read: one");
        for count in 1..=3 {
            terminal.press(CTRL_Z);
            let stopped = format!(": job stopped by STOP, the foreground was of {whose_when_stopped}");
            curfew.wait_for_many(count, &stopped);
            terminal.press("fg\n");
            terminal.press("two\n");
            curfew.wait_for_many(count, "read: two");
            // Nobody presses the next key before curfew, too, has heard that it goes on.
            curfew.eventually("everybody waits again", || {
                carriers(curfew.token()).iter().all(|pid| state(*pid) == Some('S'))
            });
        }
        terminal.press(CTRL_D);
        let finished = curfew.finish();
        finished.assert_status(0);
        assert_eq!(finished.said("read: fg").len(), 0, "the shell's line is the shell's{finished}");
        assert_eq!(finished.said(": job ended with 0, the foreground was of the job").len(), 1, "{finished}");
    }
}

#[test]
fn ctrl_z_stops_the_whole_job_and_fg_continues_it() {
    stop_and_continue(|curfew| curfew, "others");
}

#[test]
fn ctrl_z_and_fg_work_where_the_command_is_in_curfews_own_group() {
    stop_and_continue(with_a_stream_elsewhere, "the job");
}

#[test]
fn ctrl_z_and_fg_work_in_a_real_bash() {
    if !is_installed("bash") {
        return skip("bash is not installed");
    }
    let mut terminal = Terminal::open();
    // 147 is 128 and the number of STOP.
    let script = r#""$@"; echo "bash sees $?"; fg; echo "and then $?""#;
    let curfew = Curfew::run([])
        .at(&mut terminal)
        .wrapped_by(["bash", "--norc", "--noprofile", "-ic", script, "bash"])
        .command(READER)
        .start();
    terminal.press("one\n");
    curfew.wait_for("read: one");
    terminal.press(CTRL_Z);
    curfew.wait_for("bash sees 147");
    terminal.press("two\n");
    curfew.wait_for("read: two");
    terminal.press(CTRL_D);
    curfew.wait_for("and then 0");
    curfew.finish().assert_status(0);
}

/// The kernel discards Ctrl-Z where no shell could continue the job: with curfew in between, too.
#[test]
fn ctrl_z_where_nobody_could_continue_the_job_does_not_stop_it() {
    let mut terminal = Terminal::open();
    let curfew = Curfew::run([]).at(&mut terminal).command(READER).start();
    terminal.press("one\n");
    curfew.wait_for("read: one");
    terminal.press(CTRL_Z);
    terminal.press("two\n");
    curfew.wait_for("read: two");
    terminal.press(CTRL_D);
    curfew.finish().assert_status(0);
}

#[test]
fn ctrl_z_does_not_stop_a_system_of_services() {
    let mut terminal = Terminal::open();
    let curfew = under_a_shell(Curfew::run([]).at(&mut terminal)).config(SERVICES).start();
    curfew.wait_for_many(2, ": ready");
    terminal.press(CTRL_Z);
    terminal.press(CTRL_C);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert!(finished.said(": job stopped").is_empty(), "{finished}");
}

#[test]
fn a_command_in_the_background_that_reads_is_stopped_until_it_has_the_foreground() {
    let mut terminal = Terminal::open();
    let curfew = Curfew::run([]).at(&mut terminal).wrapped_by([fixture_binary(), "shell", "background"]);
    let curfew = curfew.command(READER).start();
    curfew.wait_for(": job stopped by STOP, the foreground was of the shell");
    terminal.press("fg\n");
    terminal.press("one\n");
    curfew.wait_for("read: one");
    terminal.press(CTRL_D);
    curfew.finish().assert_status(0);
}

#[test]
fn a_command_that_may_not_write_from_the_background_is_stopped_until_it_has_the_foreground() {
    let mut terminal = Terminal::open();
    terminal.stop_those_who_write_from_the_background();
    let curfew = Curfew::run([]).at(&mut terminal).wrapped_by([fixture_binary(), "shell", "background"]);
    let curfew = curfew.fixture("obedient").start();
    curfew.wait_for(": job stopped by STOP, the foreground was of the shell");
    terminal.press("fg\n");
    curfew.wait_for(": ready");
    terminal.press(CTRL_C);
    curfew.finish().assert_status(0);
}

/// Without curfew the kernel refuses the read, since nobody could continue a stopped process. (A shell's `(command &)`.)
#[test]
fn a_command_in_the_background_that_nobody_could_bring_to_the_front_gets_an_error_when_it_reads() {
    let mut terminal = Terminal::open();
    // Not before the subshell is gone: as long as it is there, its own parent could.
    let script = r#"
        set -m
        late='while kill -0 "$0" 2>/dev/null; do :; done; exec "$@"'
        ( me=$BASHPID; sh -c "$late" "$me" "$@" <&3 & ) 3<&0
        echo "bash waits"
        read line"#;
    let Some(curfew) = in_a_script(&mut terminal, script) else { return };
    let mut bash = curfew.command(["cat"]).start();
    bash.wait_for("bash waits");
    bash.wait_for("-: Input/output error");
    bash.eventually("curfew has ended", || carriers(bash.token()) == [bash.pid()]);
    terminal.press("\n");
    let finished = bash.end();
    assert_eq!(finished.report()["exit_status"], 1, "{finished}");
    assert!(finished.left.is_empty(), "{finished}");
}

#[test]
fn the_foreground_is_given_back_at_the_end() {
    // It ends by itself; it is stopped; it is killed; it cannot be executed.
    for (fixture, stop, status) in [
        ("answers-with 7", false, 7),
        ("obedient", true, 0),
        ("ignores TERM", true, 80),
        ("forks session daemon", true, 0),
    ] {
        let mut terminal = Terminal::open();
        let curfew = Curfew::run(["--grace", "TERM 200ms, KILL"]).at(&mut terminal);
        let curfew = under_a_shell(curfew).fixture(fixture).start();
        if stop {
            curfew.wait_for(": ready");
            assert_ne!(terminal.foreground(), child(&curfew), "the command has it");
            kill(child(&curfew), SIGTERM);
        }
        let finished = curfew.finish();
        finished.assert_status(status);
        let end = format!(": job ended with {status}, the foreground was of the job");
        assert_eq!(finished.said(&end).len(), 1, "{finished}");
    }
    let mut terminal = Terminal::open();
    let curfew = under_a_shell(Curfew::run([]).at(&mut terminal)).command(["/etc/passwd"]);
    let finished = curfew.finish();
    finished.assert_status(126);
    assert_eq!(finished.said(": job ended with 126, the foreground was of the job").len(), 1, "{finished}");
}

// The window.

#[test]
fn the_command_sees_the_window_and_hears_when_its_size_changes() {
    for elsewhere in [false, true] {
        let mut terminal = Terminal::open();
        let curfew = Curfew::run([]).at(&mut terminal);
        let curfew = if elsewhere { with_a_stream_elsewhere(curfew) } else { curfew };
        let curfew = curfew.fixture("watches-size").start();
        curfew.wait_for(": size 24 80");
        terminal.resize(50, 132);
        curfew.wait_for(": now 50 132");
        terminal.resize(10, 20);
        curfew.wait_for(": now 10 20");
        curfew.signal(SIGTERM);
        let finished = curfew.finish();
        finished.assert_status(0);
        // Once each, though where the group is shared curfew hears it as well.
        assert_eq!(finished.said(": now ").len(), 2, "{finished}");
    }
}

#[test]
fn stty_tells_the_size_after_a_change() {
    let mut terminal = Terminal::open();
    let curfew = Curfew::run([]).at(&mut terminal).command(["sh", "-c", "stty size; read go; stty size"]);
    let curfew = curfew.start();
    curfew.wait_for("24 80");
    terminal.resize(50, 132);
    terminal.press("\n");
    curfew.wait_for("50 132");
    curfew.finish().assert_status(0);
}

// The terminal itself, wherever the streams lead.

#[test]
fn a_password_is_asked_for_at_the_terminal() {
    for depth in 0..2 {
        let mut terminal = Terminal::open();
        let mut curfew = under_a_shell(Curfew::run([]).at(&mut terminal)).arg("--");
        for word in [curfew_binary(), "run", "--"].repeat(depth) {
            curfew = curfew.arg(word);
        }
        let curfew = curfew.arg(fixture_binary()).arg("asks-password").start();
        curfew.wait_for(": asking");
        assert!(!terminal.echoes());
        terminal.press("secret\n");
        let finished = curfew.finish();
        finished.assert_status(0);
        assert_eq!(finished.said("secret"), ["fixture: got secret"], "it is not shown{finished}");
    }
}

#[test]
fn a_password_is_asked_for_at_the_terminal_though_every_stream_leads_elsewhere() {
    let mut terminal = Terminal::open();
    let screen = terminal.screen();
    let curfew = Curfew::run([]).controlled_by(&terminal).fixture("asks-password").start();
    curfew.wait_for("fixture: asking");
    assert!(!terminal.echoes());
    assert_eq!(terminal.foreground(), curfew.pid(), "the command is in curfew's group");
    terminal.press("secret\n");
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.said("fixture: got secret").len(), 1);
    terminal.leave_to_programs();
    assert!(screen.wait_for_end(now().plus(Duration::from_secs(10))));
    assert_eq!(screen.so_far(), ["Password: "]);
}

#[test]
fn ctrl_c_stops_a_command_all_of_whose_streams_lead_elsewhere() {
    let terminal = Terminal::open();
    let curfew = Curfew::run([]).controlled_by(&terminal).fixture("obedient").start();
    curfew.wait_for("ready");
    terminal.press(CTRL_C);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(got(&finished), ["INT"]);
    assert_eq!(finished.report()["cause"]["sender"], "terminal");
}

#[test]
fn no_service_has_the_terminal() {
    let mut terminal = Terminal::open();
    let curfew = under_a_shell(Curfew::run([]).at(&mut terminal))
        .config(
            "service.a.command = <obedient>\n\
             service.b = { command = <asks-password>, essential = false }\n\
             service.c = { command = [\"cat\"], essential = false }",
        )
        .start();
    curfew.wait_for("a: ready");
    curfew.wait_for("b: there is no terminal");
    curfew.wait_for_many(2, "service.ended");
    assert_eq!(terminal.foreground(), child(&curfew));
    terminal.press("typed\n");
    terminal.press(CTRL_C);
    let finished = curfew.finish();
    finished.assert_status(0);
    // The other line is what the terminal itself shows of the keys.
    assert_eq!(finished.said("typed").len(), 1, "no service reads it{finished}");
    assert_eq!(finished.service("c")["end"]["exit_status"], 0);
    assert_eq!(finished.said(": job ended with 0, the foreground was of the job").len(), 1, "{finished}");
}

#[test]
fn nobody_is_stopped_for_what_a_system_of_services_writes() {
    for place in ["foreground", "background"] {
        let mut terminal = Terminal::open();
        terminal.stop_those_who_write_from_the_background();
        let curfew = Curfew::run([]).at(&mut terminal);
        let curfew = match place {
            "foreground" => under_a_shell(curfew),
            _ => curfew.wrapped_by([fixture_binary(), "shell", "background"]),
        };
        let curfew = curfew.config(SERVICES).start();
        curfew.wait_for_many(2, ": ready");
        curfew.wait_for_many(2, "service.ready");
        kill(child(&curfew), SIGTERM);
        let finished = curfew.finish();
        finished.assert_status(0);
        assert_eq!(got(&finished), ["TERM", "TERM"]);
        assert_eq!(finished.said("stop.complete").len(), 1, "{finished}");
        assert!(finished.said(": job stopped").is_empty(), "{place}{finished}");
    }
}

/// The command has the foreground, so curfew itself writes from the background.
#[test]
fn curfew_is_not_stopped_for_what_it_logs_beside_its_command() {
    let mut terminal = Terminal::open();
    terminal.stop_those_who_write_from_the_background();
    let curfew = under_a_shell(Curfew::run([]).at(&mut terminal)).fixture("obedient").start();
    curfew.wait_for(": ready");
    curfew.wait_for("service.ready");
    terminal.press(CTRL_C);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.said("stop.complete").len(), 1, "{finished}");
    assert!(finished.said(": job stopped").is_empty(), "{finished}");
}

// Pipelines.

/// curfew's command line as `"$@"` in a script of bash, at a terminal.
fn in_a_script(terminal: &mut Terminal, script: &str) -> Option<Curfew> {
    if !is_installed("bash") {
        skip("bash is not installed");
        return None;
    }
    let curfew = Curfew::run([]).at(terminal);
    Some(curfew.wrapped_by(["bash", "--norc", "--noprofile", "-c", script, "bash"]))
}

#[test]
fn a_command_whose_reader_is_gone_ends_as_without_curfew() {
    let mut terminal = Terminal::open();
    let script =
        r#""$@" | head -n 1; statuses="${PIPESTATUS[*]}"; echo "statuses $statuses"; exit "${statuses% *}""#;
    let Some(curfew) = in_a_script(&mut terminal, script) else { return };
    let finished = curfew.command(["yes"]).finish();
    finished.assert_status(128 + libc::SIGPIPE);
    assert_eq!(finished.said("statuses"), ["statuses 141 0"]);
    assert_eq!(finished.stdout.iter().filter(|line| *line == "y").count(), 1, "{finished}");
}

#[test]
fn a_command_reads_what_a_process_substitution_gives_it() {
    let mut terminal = Terminal::open();
    let Some(curfew) = in_a_script(&mut terminal, r#""$@" <(date +"it is %Y")"#) else { return };
    let finished = curfew.command(["cat"]).finish();
    finished.assert_status(0);
    assert_eq!(finished.said("it is 2").len(), 1, "{finished}");
}

#[test]
fn a_pager_in_the_same_pipeline_keeps_the_terminal() {
    let pager = format!("'{}' pager", fixture_binary());
    for script in [
        // In the group of the script; in a group of their own; and with all of curfew's streams at the terminal.
        format!(r#""$@" | {pager}; exit "${{PIPESTATUS[0]}}""#),
        format!(r#"set -m; "$@" | {pager}; exit "${{PIPESTATUS[0]}}""#),
        format!(r#"echo line | {pager} & "$@"; status=$?; wait; exit $status"#),
    ] {
        let beside = script.starts_with("echo");
        let mut terminal = Terminal::open();
        let Some(curfew) = in_a_script(&mut terminal, &script) else { return };
        let curfew = if beside { curfew.fixture("obedient") } else { curfew.command(["yes", "line"]) };
        let curfew = curfew.start();
        curfew.wait_for(": page line");
        if beside {
            curfew.wait_for("fixture: ready");
        }
        terminal.press("x");
        curfew.wait_for(": key x");
        terminal.press("q");
        curfew.wait_for(": key q");
        if beside {
            let pids = carriers(curfew.token());
            let is_curfew = |pid: &&i32| {
                std::fs::read_link(format!("/proc/{pid}/exe"))
                    .is_ok_and(|exe| exe.ends_with("curfew_under_test"))
            };
            kill(*pids.iter().find(is_curfew).expect("curfew runs"), SIGTERM);
        }
        let finished = curfew.finish();
        finished.assert_status(if beside { 0 } else { 128 + libc::SIGPIPE });
    }
}

// The end of the terminal.

#[test]
fn a_terminal_that_hangs_up_stops_the_command() {
    for elsewhere in [false, true] {
        let mut terminal = Terminal::open();
        let curfew = Curfew::run([]).at(&mut terminal);
        let curfew = if elsewhere { with_a_stream_elsewhere(curfew) } else { curfew };
        let curfew = curfew.fixture("forks session daemon").start();
        curfew.wait_for(": ready");
        terminal.hang_up();
        let finished = curfew.finish();
        finished.assert_status(0);
        assert_eq!(finished.report()["cause"]["signal"], "HUP");
        assert_eq!(finished.report()["cause"]["sender"], "terminal");
    }
}

/// From a process it would be a request to read the file again.
#[test]
fn a_terminal_that_hangs_up_stops_a_system_of_services() {
    let mut terminal = Terminal::open();
    let curfew = Curfew::run([]).at(&mut terminal).config(SERVICES).start();
    curfew.wait_for_many(2, ": ready");
    terminal.hang_up();
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.report()["cause"]["signal"], "HUP");
    for service in ["a", "b"] {
        assert_eq!(finished.service(service)["end"]["exit_status"], 0);
    }
}

/// Closes the window of a shell: the kernel tells the shell, and when that is gone, the foreground.
fn hang_up_a_shell(curfew: Curfew, mut terminal: Terminal) {
    let mut shell = curfew.at(&mut terminal).start();
    shell.wait_for(": ready");
    let curfew = child(&shell);
    terminal.hang_up();
    shell.end();
    shell.eventually("curfew ends as well", || !exists(curfew));
    assert_eq!(carriers(shell.token()), Vec::<i32>::new());
}

#[test]
fn the_window_of_a_shell_that_is_closed_stops_what_runs_in_it() {
    let terminal = Terminal::open;
    hang_up_a_shell(under_a_shell(Curfew::run([])).fixture("forks session daemon"), terminal());
    hang_up_a_shell(under_a_shell(Curfew::run([])).config(SERVICES), terminal());
    if !is_installed("bash") {
        return skip("bash is not installed");
    }
    let bash = ["bash", "--norc", "--noprofile", "-ic", r#""$@"; true"#, "bash"];
    hang_up_a_shell(Curfew::run([]).wrapped_by(bash).fixture("forks session daemon"), terminal());
    hang_up_a_shell(Curfew::run([]).wrapped_by(bash).config(SERVICES), terminal());
}
