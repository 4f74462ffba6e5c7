//! What services say, where curfew carries it: whole lines, none lost, and nobody waits for a slow reader but the service.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::{self, SIGTERM};
use nix::pty::openpty;
use serde_json::Value;

use crate::support::{Curfew, Finished, Running, is_root, now, skip};

/// Many services; the output is carried in this way.
fn carrying(output: &str, config: &str) -> Curfew {
    Curfew::run(["--output", output]).config(config)
}

/// `service.NAME` as a task that runs this shell line. There are no single quotes in it.
fn shell(name: &str, line: &str) -> String {
    format!("[service.{name}]\ntype = \"task\"\ncommand = [\"sh\", \"-c\", '''{line}''']\n")
}

/// A service that says what it was told to say, then its last words, when it is stopped.
fn speaker(name: &str, before: &str, last_words: &str) -> String {
    let line =
        format!("trap \"{last_words}; exit 0\" TERM; {before}; echo armed; while :; do sleep 0.05; done");
    format!("[service.{name}]\ncommand = [\"sh\", \"-c\", '''{line}''']\n")
}

/// What services said on standard error, without the lines of the log.
fn said_on_error(finished: &Finished) -> Vec<&str> {
    finished.stderr.iter().map(String::as_str).filter(|line| !line.starts_with('{')).collect()
}

#[test]
fn each_line_gets_the_name_of_its_service_and_stays_on_its_stream() {
    let config = shell("api", "echo hello; echo oh >&2") + &shell("dashboard", "printf \"a\\n\\nb\\n\"");
    let finished = carrying("prefix", &config).finish();
    finished.assert_status(0);
    let mut stdout = finished.stdout.clone();
    stdout.sort();
    assert_eq!(stdout, ["api       | hello", "dashboard | ", "dashboard | a", "dashboard | b"]);
    assert_eq!(said_on_error(&finished), ["api       | oh"]);
}

#[test]
fn pieces_of_a_line_are_put_together_and_a_last_line_without_an_end_gets_one() {
    let line = "printf par; sleep 0.1; printf tial; sleep 0.1; echo .; printf last";
    let finished = carrying("prefix", &shell("a", line)).finish();
    assert_eq!(finished.stdout, ["a | partial.", "a | last"]);
}

#[test]
fn a_line_of_a_mebibyte_is_whole_and_a_longer_one_is_marked_where_it_is_cut() {
    let most = 1024 * 1024;
    for (length, lengths) in [(most, vec![most]), (2 * most + 7, vec![most, most, 7])] {
        let line = format!("echo begin; head -c {length} /dev/zero | tr \"\\\\0\" x; echo; echo end");
        let finished = carrying("prefix", &shell("a", &line)).finish();
        assert_eq!(finished.stdout.first().unwrap(), "a | begin");
        assert_eq!(finished.stdout.last().unwrap(), "a | end");
        let pieces = &finished.stdout[1..finished.stdout.len() - 1];
        let seen: Vec<usize> = pieces.iter().map(|piece| piece[4..].len()).collect();
        assert_eq!(seen, lengths);
        assert!(pieces[0].starts_with("a | x"));
        assert!(pieces[1..].iter().all(|piece| piece.starts_with("a + x")));
    }
}

#[test]
fn bytes_that_are_no_text_come_through_as_they_are() {
    let mut stdout = tempfile::tempfile().unwrap();
    let line = "printf \"\\\\000\\\\377\\\\033[31m\\\\r\\n\"";
    carrying("prefix", &shell("a", line)).stdout(stdout.try_clone().unwrap()).finish().assert_status(0);
    let mut bytes = Vec::new();
    io::Seek::rewind(&mut stdout).unwrap();
    stdout.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"a | \0\xff\x1b[31m\r\n");
}

#[test]
fn json_is_an_object_for_each_line() {
    let line = "printf \"say \\\"hi\\\"\\t\\\\377\\n\"; echo oh >&2";
    let finished = carrying("json", &shell("a", line)).log(Some("human")).finish();
    finished.assert_status(0);
    let object = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let said = object(&finished.stdout[0]);
    assert_eq!(finished.stdout.len(), 1);
    assert_eq!(
        (&said["service"], &said["stream"], &said["line"]),
        (&"a".into(), &"stdout".into(), &"say \"hi\"\t\u{fffd}".into())
    );
    let time = said["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
    let said = finished.stderr.iter().find(|line| line.starts_with('{')).unwrap();
    assert_eq!(object(said)["stream"], "stderr");
}

#[test]
fn null_says_nothing_and_one_command_can_be_carried_too() {
    let finished = carrying("null", &shell("a", "echo hello; echo oh >&2")).finish();
    finished.assert_status(0);
    assert!(finished.stdout.is_empty() && said_on_error(&finished).is_empty(), "{finished}");
    let finished = Curfew::run(["--output", "prefix"]).command(["sh", "-c", "echo hello; exit 3"]).finish();
    finished.assert_status(3);
    assert_eq!(finished.stdout, ["sh | hello"]);
}

#[test]
fn a_services_own_output_goes_before_the_option() {
    let config = shell("a", "echo hello") + "output = \"inherit\"\n" + &shell("b", "echo hello");
    let mut finished = carrying("prefix", &config).finish();
    finished.stdout.sort();
    assert_eq!(finished.stdout, ["b | hello", "hello"]);
}

/// nginx and others are told to write to /dev/stdout: a service that is somebody else may open it.
#[test]
fn a_service_of_another_user_can_open_its_streams_again() {
    if !is_root() {
        return skip("another user can be had by root only");
    }
    let config = shell("a", "echo hello >/dev/stdout; echo oh >/dev/stderr; id -u")
        + "user = \"65534\"\ngroup = \"65534\"\n";
    let finished = carrying("prefix", &config).finish();
    finished.assert_status(0);
    assert_eq!(finished.stdout, ["a | hello", "a | 65534"]);
    assert_eq!(said_on_error(&finished), ["a | oh"]);
}

/// Ten services that write so many lines each, of all lengths, to both streams, as fast as they can.
fn ten_noisy_services(lines: usize) -> Curfew {
    let program = format!(
        "BEGIN {{ for (i = 1; i <= {lines}; i++) printf(\"%d %0*d .\\n\", i, i % 300 + 1, 0) \
         > (i % 2 ? \"/dev/stdout\" : \"/dev/stderr\") }}\n"
    );
    let curfew = Curfew::run(["--output", "prefix"]).env("NO_COLOR", "1");
    let path = curfew.directory().join("noisy.awk");
    fs::write(&path, program).unwrap();
    let line = format!("awk -f {}", path.display());
    curfew.config(&(0..10).map(|index| shell(&format!("s{index}"), &line)).collect::<String>())
}

/// Reads all that those services and the log say, a little at a time, and checks that every line is whole.
#[track_caller]
fn check_noise(stream: impl Read, curfew: &Running, lines: usize) {
    let mut counts = [[0, 0]; 10].map(|last: [usize; 2]| (last, 0));
    let mut events = 0;
    let stream = BufReader::with_capacity(512, stream);
    // A terminal that everybody has closed gives an error.
    for (index, line) in stream.lines().map_while(Result::ok).enumerate() {
        if index % 50 == 0 && events < 200 {
            // One more line of the log.
            curfew.signal(libc::SIGUSR2);
        }
        let line = line.trim_end_matches('\r');
        if line.starts_with('{') {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            events += 1;
            continue;
        }
        let (name, text) = line.split_once(" | ").unwrap_or_else(|| panic!("{line}"));
        let words: Vec<&str> = text.split(' ').collect();
        let [number, zeros, "."] = words[..] else { panic!("{line}") };
        let number: usize = number.parse().unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(zeros.len() == number % 300 + 1 && zeros.bytes().all(|byte| byte == b'0'), "{line}");
        let (last, count) = &mut counts[name[1..].parse::<usize>().unwrap()];
        let last = &mut last[number % 2];
        assert!(*last < number, "the lines of a stream stay in order: {line}");
        *last = number;
        *count += 1;
    }
    assert!(counts.iter().all(|(_, count)| *count == lines), "{counts:?}");
    assert!(events > 20, "the log was among them");
}

/// Standard output and standard error are the same pipe, so that the log goes there too.
#[test]
fn lines_of_ten_noisy_services_and_of_the_log_never_mix() {
    const LINES: usize = 3000;
    let (read, write) = io::pipe().unwrap();
    let error = write.try_clone().unwrap();
    let curfew = ten_noisy_services(LINES).stdout(write).stderr(error).start();
    check_noise(read, &curfew, LINES);
    curfew.finish().assert_status(0);
}

/// A terminal takes lines in part, where a pipe takes short ones whole or not at all.
#[test]
fn nor_do_they_at_a_terminal() {
    const LINES: usize = 600;
    let (master, slave) = terminal();
    let curfew = ten_noisy_services(LINES).stdout(slave.try_clone().unwrap()).stderr(slave).start();
    check_noise(master, &curfew, LINES);
    curfew.finish().assert_status(0);
}

#[test]
fn last_words_after_term_are_not_lost() {
    for output in ["prefix", "json"] {
        let curfew = carrying(output, &speaker("a", ":", "seq 1 20000")).start();
        curfew.wait_for("armed");
        curfew.signal(SIGTERM);
        let finished = curfew.finish();
        finished.assert_status(0);
        assert_eq!(finished.stdout.len(), 20_001);
        assert!(finished.stdout.last().unwrap().contains("20000"));
    }
}

/// The reader is slow: it begins to read when the service is gone, and takes a little at a time.
#[test]
fn a_slow_reader_gets_the_last_words_too() {
    let (read, write) = io::pipe().unwrap();
    // More than the reader's pipe holds, and less than fits in it and the service's together.
    let curfew = carrying("prefix", &speaker("a", ":", "seq 1 15000; echo said >&2")).stdout(write).start();
    let mut lines = BufReader::with_capacity(64, read).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "a | armed");
    curfew.signal(SIGTERM);
    curfew.wait_for_error_line("a | said");
    let count = lines.inspect(|line| assert!(line.starts_with("a | "))).count();
    curfew.finish().assert_status(0);
    assert_eq!(count, 15_000);
}

/// Somebody who is none of ours holds the pipe of a service open, and writes and writes.
#[test]
fn whoever_holds_a_pipe_open_does_not_keep_curfew_from_leaving() {
    const MOST: usize = 512 * 1024 * 1024;
    for output in ["prefix", "file=said.log"] {
        let curfew = Curfew::run(["--output", output]);
        let folder = curfew.directory().to_owned();
        let config = speaker("a", "echo pid $$ >&2", ":") + "environment = { LC_ALL = \"C\" }\n";
        let null = File::options().write(true).open("/dev/null").unwrap();
        let curfew = curfew.config(&config).working_directory(&folder).stdout(null).start();
        let pid = match output {
            "prefix" => pid_at_end(&curfew.wait_for_error_line("| pid")),
            _ => pid_at_end(&wait_for_in(&curfew, &folder.join("said.log"), "pid")),
        };
        let pipe = File::options().write(true).open(format!("/proc/{pid}/fd/1")).unwrap();
        let (is_over, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        // More of them than curfew can keep up with; and not for ever, should it try to.
        let writers: Vec<_> = (0..3)
            .map(|_| {
                let (mut pipe, is_over) = (pipe.try_clone().unwrap(), Arc::clone(&is_over));
                let written = Arc::clone(&written);
                thread::spawn(move || {
                    let lines = b"from outside\n".repeat(5000);
                    while !is_over.load(Ordering::Relaxed)
                        && written.fetch_add(lines.len(), Ordering::Relaxed) < MOST
                        && pipe.write_all(&lines).is_ok()
                    {}
                })
            })
            .collect();
        curfew.signal(SIGTERM);
        let finished = curfew.finish();
        is_over.store(true, Ordering::Relaxed);
        drop(pipe);
        for writer in writers {
            writer.join().unwrap();
        }
        assert!(written.load(Ordering::Relaxed) < MOST, "curfew left while they were writing");
        finished.assert_status(0);
    }
}

fn pid_at_end(line: &str) -> i32 {
    line.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

/// Waits until a line with this text is in the file, and returns the line.
#[track_caller]
fn wait_for_in(curfew: &Running, path: &Path, text: &str) -> String {
    let mut found = None;
    curfew.eventually(&format!("{text:?} in {}", path.display()), || {
        let content = fs::read_to_string(path).unwrap_or_default();
        found = content.lines().find(|line| line.contains(text)).map(str::to_owned);
        found.is_some()
    });
    found.unwrap()
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

/// `yes` cannot be held up but by its pipe: it is, and curfew is not.
#[test]
fn a_stuck_reader_holds_up_the_service_and_not_the_stop() {
    let (_read, write) = full_pipe();
    let config = "service.noisy.command = [\"yes\"]\nservice.good.command = <obedient>";
    let curfew = carrying("prefix", config).stdout(write).start();
    curfew.wait_for_events(2, "service.ready");
    let noisy = crate::support::children(curfew.pid())
        .into_iter()
        .find(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "yes\n"))
        .unwrap();
    // It sleeps: whoever only looks at its state sees it run now and then.
    let used = |pid: i32| {
        fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().split(' ').nth(13).unwrap().to_owned()
    };
    let mut before = None;
    curfew.eventually("the service waits", || {
        let now = (used(noisy), crate::support::state(noisy));
        crate::support::pause(Duration::from_millis(20));
        let is_same = before.replace(now.clone()) == Some(now.clone());
        is_same && now.1 == Some('S')
    });
    assert!(peak_memory(curfew.pid()) < 24 * 1024, "{} KiB", peak_memory(curfew.pid()));
    let since = now();
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert!(finished.ended.since(since) < Duration::from_secs(5), "{finished}");
    assert!(finished.stop_took() < Duration::from_secs(5), "{finished}");
    // What could not be delivered is told.
    assert_eq!(finished.events("output.lost").len(), 1, "{finished}");
}

/// In KiB.
fn peak_memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_reader_that_comes_back_finds_every_line() {
    let (mut read, write) = full_pipe();
    let config = shell("a", "seq 1 100000; echo said >&2");
    let curfew = carrying("prefix", &config).stdout(write).start();
    curfew.wait_for_event("service.ready");
    let mut text = Vec::new();
    read.read_to_end(&mut text).unwrap();
    let finished = curfew.finish();
    finished.assert_status(0);
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<&str> = text.trim_start_matches('x').lines().collect();
    assert_eq!(lines.len(), 100_000);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("a | {}", index + 1));
    }
    // It was held up until then.
    assert_eq!(said_on_error(&finished), ["a | said"]);
}

#[test]
fn a_reader_that_went_away_ends_no_service() {
    let (read, write) = io::pipe().unwrap();
    let config = speaker("a", ":", "for i in 1 2 3; do echo bye; done; echo done >&2");
    let curfew = carrying("prefix", &config).stdout(write).start();
    let mut lines = BufReader::new(read).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "a | armed");
    drop(lines);
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.verdict(), "clean");
    assert_eq!(said_on_error(&finished), ["a | done"]);
    assert_eq!(finished.events("output.lost").len(), 1, "{finished}");
}

#[test]
fn the_flags_of_the_streams_that_it_carries_to_are_not_changed() {
    let (read, write) = io::pipe().unwrap();
    let ours = write.try_clone().unwrap();
    let curfew = carrying("prefix", &speaker("a", ":", ":")).stdout(write).start();
    let mut lines = BufReader::new(read).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "a | armed");
    let flags = OFlag::from_bits_truncate(fcntl(&ours, FcntlArg::F_GETFL).unwrap());
    assert!(!flags.contains(OFlag::O_NONBLOCK));
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(0);
}

#[test]
fn a_file_gets_both_streams_in_order_byte_by_byte_behind_what_was_there() {
    let curfew = Curfew::run([]);
    let folder = curfew.directory().to_owned();
    fs::write(folder.join("old.log"), "before\n").unwrap();
    let line = "for i in 1 2 3; do echo out $i; echo err $i >&2; done; printf \"\\\\000no end\"";
    let config = shell("a", line)
        + "output = { file = \"old.log\" }\n"
        + &shell("b", "echo hello")
        + "output = { file = \"new.log\" }\n";
    let curfew = curfew.config(&config).working_directory(&folder);
    // Whatever this test was started with.
    let curfew = curfew.before_exec(|| {
        // SAFETY: it takes an integer, and cannot fail.
        unsafe { libc::umask(0o022) };
        Ok(())
    });
    let finished = curfew.start();
    let finished = {
        // The files are gone with the run.
        let path = folder.join("old.log");
        wait_for_in(&finished, &path, "no end");
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "before\nout 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n\0no end");
        let path = folder.join("new.log");
        wait_for_in(&finished, &path, "hello");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o640);
        finished.finish()
    };
    finished.assert_status(0);
    assert!(finished.stdout.is_empty(), "{finished}");
}

/// A terminal: what is written to it is returned when everybody has closed it.
fn terminal() -> (File, OwnedFd) {
    let ends = openpty(None, None).unwrap();
    (ends.master.into(), ends.slave)
}

fn read_terminal(mut terminal: File) -> String {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    // EIO: nobody has its other side open.
    while let Ok(count @ 1..) = terminal.read(&mut buffer) {
        text.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}

#[test]
fn at_a_terminal_services_have_coloured_names_by_default() {
    let config = shell("api", "echo hello; echo oh >&2") + &shell("dashboard", "echo hello");
    for (variable, value, is_coloured) in [("X", "", true), ("NO_COLOR", "1", false), ("TERM", "dumb", false)]
    {
        let (master, slave) = terminal();
        let ours = slave.try_clone().unwrap();
        let curfew = Curfew::run([]).log(None).env("TERM", "xterm").env(variable, value).config(&config);
        let reader = thread::spawn(move || read_terminal(master));
        curfew.stdout(slave.try_clone().unwrap()).stderr(slave).finish().assert_status(0);
        drop(ours);
        let text = reader.join().unwrap();
        let mut lines: Vec<&str> = text.lines().filter(|line| line.contains('|')).collect();
        lines.sort_unstable();
        let expected = match is_coloured {
            true => [
                "\x1b[0;33mdashboard |\x1b[0m hello",
                "\x1b[0;36mapi       |\x1b[0m hello",
                "\x1b[0;36mapi       |\x1b[0m oh",
            ],
            false => ["api       | hello", "api       | oh", "dashboard | hello"],
        };
        assert_eq!(lines, expected, "{text}");
        assert!(text.contains("🏁"), "{text}");
    }
}

#[test]
fn off_a_terminal_and_for_one_command_output_is_untouched_by_default() {
    let finished = Curfew::run([]).config(&shell("a", "echo hello; test -t 1 || printf untouched")).finish();
    assert_eq!(finished.stdout, ["hello", "untouched"]);
    let (master, slave) = terminal();
    let reader = thread::spawn(move || read_terminal(master));
    let curfew = Curfew::run([]).log(None).command(["sh", "-c", "test -t 1 && echo at a terminal"]);
    curfew.stdout(slave.try_clone().unwrap()).stderr(slave).finish().assert_status(0);
    assert_eq!(reader.join().unwrap(), "at a terminal\n");
}

/// Much more than fits anywhere, through a name before each line, into a pipe; and into a file.
#[test]
fn sixty_four_mebibytes_pass_whole_and_take_no_memory() {
    const LINES: u64 = 700_000;
    let config =
        shell("a", &format!("seq -f \"%099.0f\" {LINES}")) + "[service.b]\ncommand = [\"sleep\", \"1000\"]\n";
    let (read, write) = io::pipe().unwrap();
    let curfew = carrying("prefix", &config).stdout(write).start();
    let mut count = 0;
    for line in BufReader::new(read).lines().map(Result::unwrap) {
        count += 1;
        let number = line.strip_prefix("a | ").and_then(|text| text.parse::<u64>().ok());
        assert_eq!(number, Some(count), "{line}");
        if count == LINES {
            break;
        }
    }
    curfew.wait_for_event("service.ended");
    assert!(peak_memory(curfew.pid()) < 24 * 1024, "{} KiB", peak_memory(curfew.pid()));
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(0);

    let curfew = Curfew::run(["--output", "file=all.log"]).config(&config);
    let folder = curfew.directory().to_owned();
    let mut curfew = curfew.working_directory(&folder).start();
    curfew.wait_for_event("service.ended");
    let path = folder.join("all.log");
    let size = 100 * LINES;
    curfew.eventually("all of it is in the file", || fs::metadata(&path).unwrap().len() == size);
    assert!(peak_memory(curfew.pid()) < 24 * 1024, "{} KiB", peak_memory(curfew.pid()));
    curfew.signal(SIGTERM);
    curfew.end().assert_status(0);
    let lines = BufReader::new(File::open(path).unwrap()).lines().map(Result::unwrap);
    let whole = lines.zip(1..).filter(|(line, number): &(String, u64)| line.parse() == Ok(*number)).count();
    assert_eq!(whole as u64, LINES);
}

#[test]
fn without_descriptors_for_pipes_services_start_all_the_same() {
    let config: String = (0..40).map(|index| shell(&format!("s{index}"), "echo hello; sleep 0.3")).collect();
    let curfew = carrying("prefix", &config).before_exec(|| {
        let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
        // SAFETY: a system call with a valid argument.
        match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    });
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.said("hello").len(), 40);
    assert!(finished.said(" | hello").len() > 5, "{finished}");
    assert_eq!(finished.events("output.uncarried").len(), 1, "{finished}");
}

/// A guard against a test that tests nothing: the pipe is really full.
#[test]
fn a_full_pipe_is_full() {
    let (_read, write) = full_pipe();
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    assert_eq!(nix::unistd::write(&write, b"x"), Err(nix::errno::Errno::EAGAIN));
    assert!(write.as_raw_fd() > 2);
}
