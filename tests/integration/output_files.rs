//! Services whose output goes to files: rotated, truncated, shared, on a full disk.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::libc::{self, SIGHUP, SIGTERM, SIGUSR1};

use crate::support::{Curfew, Running, is_root};

/// A curfew that is started in a folder of its own, with this configuration.
fn in_folder(config: &str) -> (Curfew, PathBuf) {
    let curfew = Curfew::run([]);
    let folder = curfew.directory().to_owned();
    (curfew.config(config).working_directory(&folder), folder)
}

/// A service that counts, a line each, until it is stopped; then it says the number it came to.
fn counter(name: &str, file: &str) -> String {
    let line = "trap \"stopped=1\" TERM; n=0; while [ -z \"$stopped\" ]; do n=$((n+1)); echo line $n; done; \
                echo last $n";
    format!("[service.{name}]\ncommand = [\"sh\", \"-c\", '''{line}''']\noutput = {{ file = \"{file}\" }}\n")
}

/// Waits until a file has this text.
#[track_caller]
fn wait_for_in(curfew: &Running, path: &Path, text: &str) {
    curfew.eventually(&format!("{text:?} in {}", path.display()), || {
        fs::read(path).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    });
}

/// The end of curfew, and what the files have to say, which go with the run.
fn stop(mut curfew: Running, files: &[PathBuf]) -> (crate::support::Finished, Vec<String>) {
    curfew.signal(SIGTERM);
    let finished = curfew.end();
    finished.check();
    let texts = files.iter().map(|file| String::from_utf8(fs::read(file).unwrap()).unwrap()).collect();
    (finished, texts)
}

/// The numbers of the lines, which all must be whole.
#[track_caller]
fn numbers(text: &str) -> Vec<usize> {
    text.lines()
        .filter_map(|line| line.strip_prefix("line "))
        .map(|number| number.parse().unwrap_or_else(|error| panic!("{error}: {number:?}")))
        .collect()
}

/// It writes in blocks that end anywhere in a line.
#[test]
fn a_file_that_was_moved_away_is_reopened_and_no_line_is_lost_or_torn() {
    const LINES: usize = 3_000_000;
    let line = format!(
        "trap \"exit 0\" TERM; seq -f \"line %.0f\" {LINES}; echo last; while :; do sleep 0.05; done"
    );
    let config = format!(
        "[service.a]\ncommand = [\"sh\", \"-c\", \'\'\'{line}\'\'\']\noutput = {{ file = \"a.log\" }}\n"
    );
    let (curfew, folder) = in_folder(&config);
    let curfew = curfew.start();
    let path = folder.join("a.log");
    let mut files = Vec::new();
    loop {
        curfew
            .eventually("something in the new file", || fs::metadata(&path).is_ok_and(|file| file.len() > 0));
        let moved = folder.join(format!("a.log.{}", files.len()));
        fs::rename(&path, &moved).unwrap();
        curfew.signal(SIGUSR1);
        files.push(moved);
        curfew.wait_for_events(files.len(), "output.reopened");
        // From now on nothing comes to the old one.
        if fs::read(&files[files.len() - 1]).unwrap().ends_with(b"last\n") {
            break;
        }
    }
    files.push(path);
    let (finished, texts) = stop(curfew, &files);
    finished.assert_status(0);
    assert!(files.len() > 5, "it was moved away many times while the service wrote");
    assert!(
        texts.iter().all(|text| text.is_empty() || text.ends_with('\n')),
        "every file ends with a whole line"
    );
    let numbers = numbers(&texts.concat());
    assert!(numbers.iter().copied().eq(1..=LINES), "the lines are all there, and in order");
}

#[test]
fn a_truncated_file_has_no_hole() {
    let (curfew, folder) = in_folder(&counter("a", "a.log"));
    let curfew = curfew.start();
    let path = folder.join("a.log");
    wait_for_in(&curfew, &path, "line 1000\n");
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    wait_for_in(&curfew, &path, "line");
    let (finished, texts) = stop(curfew, &[path]);
    finished.assert_status(0);
    assert!(!texts[0].contains('\0'));
    assert!(texts[0].contains("\nlast "));
}

#[test]
fn services_that_share_a_file_do_not_tear_each_others_lines() {
    let line = "for i in $(seq 3000); do echo line $i; done; printf no-end";
    let config: String = (0..6)
        .map(|index| {
            format!("[service.s{index}]\ntype = \"task\"\ncommand = [\"sh\", \"-c\", '''{line}''']\n")
        })
        .collect();
    let (curfew, folder) = in_folder(&(String::from("output = { file = \"all.log\" }\n") + &config));
    let mut curfew = curfew.start();
    let finished = curfew.end();
    finished.check();
    finished.assert_status(0);
    let text = fs::read_to_string(folder.join("all.log")).unwrap();
    assert_eq!(numbers(&text).len(), 6 * 3000);
    assert_eq!(text.lines().filter(|line| *line == "no-end").count(), 6);
    assert_eq!(text.lines().count(), 6 * 3001);
}

#[test]
fn usr1_reopens_files_and_reaches_the_services_that_ask_for_it() {
    let config = "service.a = { command = <prints-signals until TERM>, forward = [\"USR1\"] }\n\
                  service.b = { command = [\"sleep\", \"1000\"], output = { file = \"b.log\" } }\n";
    let (curfew, folder) = in_folder(config);
    let curfew = curfew.start();
    curfew.wait_for("ready");
    curfew.wait_for_events(2, "service.ready");
    let path = folder.join("b.log");
    fs::rename(&path, folder.join("b.log.1")).unwrap();
    curfew.signal(SIGUSR1);
    curfew.wait_for("got USR1");
    let event = curfew.wait_for_event("output.reopened");
    assert!(event["path"].as_str().unwrap().ends_with("/b.log"), "{event}");
    assert!(path.exists());
    let (finished, _) = stop(curfew, &[]);
    finished.assert_status(0);
    assert!(finished.events("signal.ignored").is_empty(), "{finished}");
}

#[test]
fn a_file_that_cannot_be_reopened_stays_the_one_it_was() {
    let (curfew, folder) = in_folder(&counter("a", "logs/a.log"));
    fs::create_dir(folder.join("logs")).unwrap();
    let curfew = curfew.start();
    wait_for_in(&curfew, &folder.join("logs/a.log"), "line");
    fs::rename(folder.join("logs"), folder.join("moved")).unwrap();
    curfew.signal(SIGUSR1);
    let event = curfew.wait_for_event("output.failed");
    assert_eq!(event["errno"], libc::ENOENT);
    let (finished, texts) = stop(curfew, &[folder.join("moved/a.log")]);
    finished.assert_status(0);
    assert!(texts[0].contains("\nlast "));
}

#[test]
fn a_file_that_cannot_be_opened_is_a_failed_start_that_names_it() {
    let config = "service.a = { command = <obedient>, output = { file = \"not-there/a.log\" } }";
    let (curfew, _) = in_folder(config);
    let finished = curfew.finish();
    finished.assert_status(126);
    let events = finished.events("output.failed");
    assert!(events[0]["message"].as_str().unwrap().contains("not-there/a.log"), "{finished}");
    assert!(events[0]["message"].as_str().unwrap().contains("No such file"), "{finished}");
    assert_eq!(finished.events("service.start-failed")[0]["step"], "streams", "{finished}");
}

/// How large a file may be that this process writes, in bytes: the limit is as good as a full disk. 0: curfew itself.
fn limit_files(pid: i32, size: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: size, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: a system call with a valid argument, and nowhere to put the old limit.
    match unsafe { libc::prlimit(pid, libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// No service is held up by a full disk, and none is ended by it. When there is room again, it goes on with a whole line.
#[test]
fn a_full_disk_loses_what_does_not_fit_and_says_so() {
    const SIZE: usize = 100_003;
    let (curfew, folder) = in_folder(&counter("a", "a.log"));
    let path = folder.join("a.log");
    let curfew = curfew.before_exec(|| limit_files(0, SIZE as u64)).report(None).start();
    let event = curfew.wait_for_event("output.lost");
    assert!(event["message"].as_str().unwrap().contains("too large"), "{event}");
    assert_eq!(fs::metadata(&path).unwrap().len(), SIZE as u64);
    // It runs on: what it says is taken, and thrown away.
    limit_files(curfew.pid(), libc::RLIM_INFINITY).unwrap();
    let event = curfew.wait_for_event("output.resumed");
    assert!(event["bytes"].as_u64().unwrap() > 0, "{event}");
    let (finished, texts) = stop(curfew, &[path]);
    finished.assert_status(0);
    let (before, after) = texts[0].split_at(SIZE);
    let after =
        if before.ends_with('\n') { after } else { after.strip_prefix('\n').expect("the torn line ends") };
    let (before, _torn) = before.rsplit_once('\n').unwrap();
    let (before, after) = (numbers(before), numbers(after));
    assert!(before.iter().copied().eq(1..=before.len()));
    assert!(after[0] > before.len() + 1, "something was lost");
    assert!(after.is_sorted_by(|one, next| *next == one + 1), "nothing after it was");
    assert!(texts[0].ends_with(&format!("last {}\n", after[after.len() - 1])));
    assert_eq!(finished.events("output.lost").len(), 1);
}

#[test]
fn a_device_that_is_full_holds_nobody_up() {
    let (curfew, _) = in_folder(
        "service.a = { type = \"task\", command = [\"seq\", \"300000\"], output = { file = \"/dev/full\" } }",
    );
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.events("output.lost").len(), 1, "{finished}");
    assert!(finished.events("output.resumed").is_empty(), "{finished}");
}

/// As root: the service itself could not open the file.
#[test]
fn a_file_is_opened_by_curfew_and_not_by_the_service() {
    if !is_root() {
        return crate::support::skip("another user can be had by root only");
    }
    let command =
        "[\"setpriv\", \"--reuid\", \"65534\", \"--regid\", \"65534\", \"--clear-groups\", \"id\", \"-u\"]";
    if !crate::support::is_installed("setpriv") {
        return crate::support::skip("setpriv is not installed");
    }
    let config = format!(
        "service.a = {{ type = \"task\", command = {command}, output = {{ file = \"own/a.log\" }} }}"
    );
    let (curfew, folder) = in_folder(&config);
    fs::create_dir(folder.join("own")).unwrap();
    let mut curfew = curfew.start();
    let finished = curfew.end();
    finished.check();
    finished.assert_status(0);
    assert_eq!(fs::read_to_string(folder.join("own/a.log")).unwrap(), "65534\n");
}

/// The files that curfew has open here.
fn open_files(curfew: &Running) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{}/fd", curfew.pid())).unwrap();
    let links = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let names = links.filter_map(|link| Some(link.strip_prefix(curfew.directory()).ok()?.to_owned()));
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.contains("of-"));
    names.sort();
    names
}

#[test]
fn a_file_is_closed_with_its_last_writer_and_opened_by_each_new_one() {
    let service = |name: &str, word: &str, file: &str| {
        let command = format!("<script say:{word} until:TERM>");
        format!("[service.{name}]\ncommand = {command}\noutput = {{ file = \"of-{file}\" }}\n")
    };
    let (curfew, folder) =
        in_folder(&(service("a", "first", "a") + &service("b", "first", "b") + &service("c", "first", "b")));
    let curfew = curfew.start();
    for file in ["of-a", "of-b"] {
        wait_for_in(&curfew, &folder.join(file), "first");
    }
    // One is gone, one is a new process, and one goes on.
    for file in ["of-a", "of-b"] {
        fs::rename(folder.join(file), folder.join(format!("moved-{file}"))).unwrap();
    }
    curfew.rewrite(&(service("b", "second", "b") + &service("c", "first", "b")));
    curfew.signal(SIGHUP);
    wait_for_in(&curfew, &folder.join("of-b"), "second");
    curfew.eventually("the file of the one that is gone to be closed", || open_files(&curfew) == ["of-b"]);
    curfew.wait_for_event("reload.complete");
    curfew.signal(SIGUSR1);
    curfew.wait_for_event("output.reopened");
    assert!(!folder.join("of-a").exists(), "nobody writes to it");
    let (finished, _) = stop(curfew, &[]);
    finished.assert_status(0);
    assert_eq!(finished.events("output.reopened").len(), 1, "{finished}");
}
