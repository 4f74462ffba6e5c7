//! The report. That each one fits its schema is checked after every run of every test.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::libc::SIGTERM;
use serde_json::Value;

use crate::support::{Curfew, Finished, Lines, check_report, is_installed, is_root, now, skip};

fn read(path: &Path) -> Value {
    let report = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    check_report(&report);
    report
}

/// A run that is stopped, with its report there.
fn stopped(report: &str) -> Finished {
    let curfew = Curfew::run(["--report", report]).report(None).fixture("obedient").start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    curfew.finish()
}

#[test]
fn a_report_tells_the_whole_story() {
    let curfew = Curfew::run(["--name", "orchard", "--deadline", "20s"])
        .config("service.apple = { command = <ignores TERM>, grace = \"TERM 200ms, KILL\" }\nservice.pear.command = <obedient>")
        .start();
    curfew.wait_for_many(2, "ready");
    curfew.wait_for_events(2, "service.ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    let report = finished.report();
    assert_eq!(report["schema"], "curfew-report/1");
    assert_eq!(report["name"], "orchard");
    assert_eq!(report["verdict"], "killed");
    assert_eq!(report["exit_status"], 80);
    assert_eq!(report["deadline"]["source"], "configured");
    assert_eq!(report["deadline"]["deadline_ms"], 20_000);
    assert_eq!(report["cause"]["sender"]["pid"], std::process::id());
    let apple = finished.service("apple");
    assert_eq!((&apple["result"], &apple["end"]["signal"]), (&"killed".into(), &"KILL".into()));
    let pear = finished.service("pear");
    assert_eq!((&pear["result"], &pear["end"]["exit_status"]), (&"stopped".into(), &0.into()));
    let events: Vec<&str> =
        report["events"].as_array().unwrap().iter().filter_map(|event| event["event"].as_str()).collect();
    for event in
        ["service.ready", "stop.requested", "stage.sent", "stage.expired", "service.ended", "stop.complete"]
    {
        assert!(events.contains(&event), "{event} is in the report");
    }
}

#[test]
fn a_report_replaces_the_last_one_whole() {
    let directory = tempfile::tempdir().unwrap();
    let [path, link] = ["stop.json", "the-old-file"].map(|name| directory.path().join(name));
    fs::write(&path, "the last report").unwrap();
    fs::hard_link(&path, &link).unwrap();
    stopped(path.to_str().unwrap()).assert_status(0);
    read(&path);
    // A reader that had it open still reads the old one: nothing was written into it.
    assert_eq!(fs::read_to_string(&link).unwrap(), "the last report");
    assert_ne!(fs::metadata(&path).unwrap().ino(), fs::metadata(&link).unwrap().ino());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn a_link_stays_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let [target, link] = ["target.json", "link.json"].map(|name| directory.path().join(name));
    fs::write(&target, "old").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    stopped(link.to_str().unwrap()).assert_status(0);
    read(&target);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_relative_path_is_where_curfew_was_started() {
    let directory = tempfile::tempdir().unwrap();
    let curfew = Curfew::run(["--report", "stop.json"]).report(None).working_directory(directory.path());
    curfew.command(["true"]).finish().assert_status(0);
    read(&directory.path().join("stop.json"));
}

#[test]
fn a_device_is_written_in_place() {
    let finished = stopped("/dev/null");
    finished.assert_status(0);
    assert!(finished.events("report.failed").is_empty(), "{finished}");
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

/// More than a pipe holds at once, for a reader that takes its time.
#[test]
fn a_pipe_gets_the_whole_report() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    // Opened for both ways, so that this does not wait for curfew. What curfew writes ends with its last bracket.
    let pipe = fs::File::options().read(true).write(true).open(&path).unwrap();
    let lines = Lines::read(Some(pipe));
    let config: String =
        (0..200).map(|index| format!("service.s{index}.command = [\"sleep\", \"1000\"]\n")).collect();
    let curfew = Curfew::run(["--report"]).report(None).arg(&path).config(&config).start();
    curfew.wait_for_events(200, "service.ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert!(
        lines.wait_for(1, now().plus(Duration::from_secs(30)), |line| line == "}").is_some(),
        "{finished}"
    );
    let text = lines.so_far().join("\n");
    assert!(text.len() > 65_536, "it is more than a pipe holds: {}", text.len());
    check_report(
        &serde_json::from_str(&text).unwrap_or_else(|error| panic!("half a report: {error}{finished}")),
    );
}

#[test]
fn a_pipe_that_nobody_reads_does_not_hold_curfew_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let finished = stopped(path.to_str().unwrap());
    finished.assert_status(0);
    assert_eq!(finished.events("report.failed").len(), 1);
    assert!(finished.took < Duration::from_secs(15));
}

/// A path that ends in a slash.
fn in_folder(folder: &Path) -> Curfew {
    Curfew::run(["--name", "orchard", "--report", &format!("{}/", folder.display())]).report(None)
}

fn statuses_in(folder: &Path) -> Vec<Value> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| read(path)["exit_status"].clone()).collect()
}

#[test]
fn a_folder_keeps_every_report() {
    let folder = tempfile::tempdir().unwrap();
    in_folder(folder.path()).command(["true"]).finish().assert_status(0);
    in_folder(folder.path()).command(["/nonexistent"]).finish().assert_status(127);
    assert_eq!(statuses_in(folder.path()), [0, 127]);
}

#[test]
fn a_folder_keeps_the_report_of_a_wrong_configuration_too() {
    let folder = tempfile::tempdir().unwrap();
    in_folder(folder.path()).config("service.a.comand = \"true\"").finish().assert_status(78);
    assert_eq!(statuses_in(folder.path()), [78]);
}

/// `/dev/termination-log` of Kubernetes: a file that is mounted, and cannot be replaced.
#[test]
fn a_mounted_file_is_written_in_place() {
    if !is_root() || !is_installed("unshare") || !is_installed("mount") {
        return skip("a mount of its own needs root, unshare(1) and mount(8)");
    }
    let directory = tempfile::tempdir().unwrap();
    let [outside, inside] = ["outside", "inside"].map(|name| directory.path().join(name));
    fs::write(&outside, "x".repeat(100_000)).unwrap();
    fs::write(&inside, "not this one").unwrap();
    let script = r#"mount --bind "$1" "$2" && shift 2 && exec "$@""#;
    let [from, to] = [&outside, &inside].map(|path| path.to_str().unwrap());
    let finished = Curfew::run(["--report", to])
        .report(None)
        .wrapped_by(["unshare", "--mount", "sh", "-c", script, "sh", from, to])
        .fixture("answers-with 3")
        .finish();
    finished.assert_status(3);
    assert_eq!(read(&outside)["exit_status"], 3);
    assert_eq!(fs::read_to_string(&inside).unwrap(), "not this one");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn a_path_that_cannot_be_written_is_one_clear_line_and_changes_no_status() {
    for path in ["/nonexistent/stop.json", "/proc/stop.json", "/dev/full"] {
        let finished = Curfew::run(["--report", path])
            .report(None)
            .log(Some("human"))
            .fixture("answers-with 3")
            .finish();
        finished.assert_status(3);
        let (errors, others): (Vec<&String>, Vec<&String>) = finished
            .stderr
            .iter()
            .filter(|line| line.contains("report"))
            .partition(|line| line.contains("ERROR"));
        assert_eq!(errors.len(), 1, "{finished}");
        assert!(errors[0].contains(path), "{finished}");
        // What can be known at the start is told there, while it can be changed.
        let known = if path == "/nonexistent/stop.json" { 1 } else { 0 };
        assert_eq!(others.len(), known, "{finished}");
        assert!(
            others.iter().all(|line| line.contains("there is no folder /nonexistent; make it")),
            "{finished}"
        );
    }
    // After a stop too.
    let finished = stopped("/nonexistent/stop.json");
    finished.assert_status(0);
    assert_eq!(finished.events("report.failed").len(), 1);
}

#[test]
fn a_start_that_fails_is_reported() {
    let finished = Curfew::run([]).command(["/nonexistent"]).finish();
    assert_eq!(finished.report()["exit_status"], 127);
    assert_eq!(finished.report()["cause"]["start_failure"]["step"], "execute");
}

#[test]
fn a_configuration_that_is_wrong_is_reported() {
    let finished = Curfew::run([]).config("service.a.comand = \"true\"").finish();
    finished.assert_status(78);
    let report = finished.report();
    assert_eq!(report["exit_status"], 78);
    let errors = report["errors"].as_array().unwrap();
    assert!(errors.iter().any(|error| error.as_str().unwrap().contains("comand")), "{report}");
    assert!(report["verdict"].is_null());
}
