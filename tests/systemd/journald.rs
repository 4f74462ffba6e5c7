//! The journal: what curfew says there, and what its services say there without it.

use std::fs;

use curfew::log::message_id;

use crate::catalog;
use crate::expect;
use crate::lab::{Entry, Lab, SHARED};
use crate::unit;

/// curfew with this much more on its command line, and in its unit.
fn unit(arguments: &str, more: &str) -> String {
    unit::exec(&format!("--deadline 10s {arguments}"), more)
}

/// Two services, each of which says something on its own.
const TWO: &str = "[service.api]\ncommand = [\"fixture\", \"script\", \"say:up\", \"until:TERM\"]\n\
    [service.dashboard]\nafter = [\"api\"]\n\
    command = [\"sh\", \"-c\", \"echo up and; echo complaining >&2; exec fixture script say:there until:TERM\"]\n";

/// Starts two services, waits for them, and stops them.
#[track_caller]
fn two_services() -> Option<Lab> {
    let lab = Lab::boot()?;
    let path = lab.file("system.toml", TWO);
    lab.unit("system.service", &unit(&format!("--config {path}"), ""));
    lab.systemctl(["start", "system.service"]).succeeds();
    lab.follow("system.service").wait_for("dashboard: there");
    lab.systemctl(["stop", "system.service"]).succeeds();
    expect::stopped_with(&lab, "system.service", "success", "0");
    Some(lab)
}

fn messages(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(Entry::message).collect()
}

#[test]
fn each_service_has_its_own_identifier() {
    let Some(lab) = two_services() else { return };
    let api = messages(&lab.journalctl(["--identifier", "api"]));
    assert_eq!(api, ["api: up", "api: got TERM"]);
    let dashboard = messages(&lab.journalctl(["--identifier", "dashboard"]));
    assert_eq!(dashboard[..2], ["up and", "complaining"], "{dashboard:?}");
    // They are the unit's all the same, and curfew's own lines have their own identifier.
    let of_unit = messages(&lab.journal("system.service"));
    assert!(of_unit.contains(&"api: up".to_owned()), "{of_unit:#?}");
    let curfew = messages(&lab.journalctl(["--identifier", "curfew"]));
    assert!(curfew.iter().any(|message| message.contains("🏁 shutdown complete")), "{curfew:#?}");
    assert!(!curfew.contains(&"api: got TERM".to_owned()), "{curfew:#?}");
}

#[test]
fn no_byte_of_a_service_passes_through_curfew() {
    let Some(lab) = Lab::boot() else { return };
    let path = lab.file("system.toml", TWO);
    lab.unit("system.service", &unit(&format!("--config {path}"), ""));
    lab.systemctl(["start", "system.service"]).succeeds();
    lab.follow("system.service").wait_for("dashboard: there");
    let descriptors = |pid: i32| -> Vec<String> {
        let directory = fs::read_dir(lab.inside(&format!("/proc/{pid}/fd"))).unwrap();
        directory
            .flatten()
            .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string()))
            .filter(|target| target.starts_with("socket:") || target.starts_with("pipe:"))
            .collect()
    };
    let curfew = descriptors(lab.show("system.service", "MainPID").parse().unwrap());
    let services = lab.processes("fixture");
    assert_eq!(services.len(), 2);
    for service in services {
        let own = descriptors(service);
        assert_eq!(own.len(), 2, "standard output and error: {own:?}");
        assert!(own.iter().all(|socket| !curfew.contains(socket)), "{own:?} {curfew:?}");
    }
}

#[test]
fn curfews_entries_have_an_id_a_priority_and_their_fields() {
    let Some(lab) = Lab::boot() else { return };
    let path = lab.file(
        "system.toml",
        "[service.api]\ngrace = \"TERM 200ms, KILL\"\ncommand = [\"fixture\", \"ignores\", \"TERM\"]\n",
    );
    lab.unit("system.service", &unit(&format!("--config {path}"), ""));
    lab.systemctl(["start", "system.service"]).succeeds();
    lab.follow("system.service").wait_for("api: ready");
    lab.systemctl(["stop", "system.service"]).succeeds();
    expect::stopped_with(&lab, "system.service", "exit-code", "80");
    let of = |event: &str| -> Vec<Entry> {
        let id = format!("MESSAGE_ID={}", message_id(event).expect("it is in the table"));
        lab.journalctl(["_SYSTEMD_UNIT=system.service", &id])
    };
    let expired = of("stage.expired");
    assert_eq!(expired.len(), 1, "{expired:#?}");
    let field = |name: &str| expired[0].field(name);
    assert_eq!(field("CURFEW_SERVICE"), "api");
    assert_eq!(field("CURFEW_SIGNAL"), "TERM");
    assert_eq!(field("CURFEW_STAGE"), "1");
    assert_eq!(field("PRIORITY"), "4", "a warning");
    assert_eq!(field("SYSLOG_IDENTIFIER"), "curfew");
    assert!(!field("CURFEW_WAITED_MS").is_empty(), "{expired:#?}");
    assert_eq!(of("stop.requested")[0].field("PRIORITY"), "6", "the course of things");
    assert_eq!(of("stop.requested")[0].field("CURFEW_SERVICE"), "");
    assert_eq!(of("service.blamed").len(), 1);
    assert_eq!(of("stop.complete")[0].field("CURFEW_VERDICT"), "killed");
    assert_eq!(of("stop.complete")[0].field("CURFEW_STATUS"), "80");
    let twice = lab.messages("system.service");
    assert_eq!(
        twice.iter().filter(|message| message.contains("🏁")).count(),
        1,
        "said once only: {twice:#?}"
    );
}

#[test]
fn journalctl_explains_curfews_entries() {
    let Some(lab) = two_services() else { return };
    catalog::install(&lab);
    let unit = "_SYSTEMD_UNIT=system.service";
    let english = catalog::explained(&lab, "en_US", unit);
    for subject in ["Subject: The system is being stopped", "Subject: The stop is complete"] {
        assert!(english.contains(subject), "{english}");
    }
    assert!(!english.contains("@CURFEW_"), "{english}");
    if catalog::has_russian(&lab) {
        let russian = catalog::explained(&lab, "ru_RU", unit);
        for subject in ["Subject: Система останавливается", "Subject: Остановка закончена"]
        {
            assert!(russian.contains(subject), "{russian}");
        }
    }
}

#[test]
fn in_the_journal_a_line_has_no_time_of_its_own_and_in_a_file_it_has() {
    let Some(lab) = Lab::boot() else { return };
    lab.unit("journal.service", &unit("-- fixture obedient", ""));
    let to_file = format!("StandardError=append:{SHARED}/stderr.log");
    lab.unit("file.service", &unit("-- fixture obedient", &to_file));
    for name in ["journal.service", "file.service"] {
        lab.systemctl(["start", name]).succeeds();
        lab.follow(name).wait_for(": ready");
        lab.systemctl(["stop", name]).succeeds();
        expect::stopped_with(&lab, name, "success", "0");
    }
    expect::three_lines_in_order(&lab, "journal.service");
    let messages = lab.messages("journal.service");
    let end = messages.iter().find(|message| message.contains("🏁 shutdown complete"));
    assert!(end.is_some_and(|message| !message.starts_with("20")), "{messages:#?}");
    // JOURNAL_STREAM is there, for standard output; standard error is another matter.
    let text = fs::read_to_string(lab.directory().join("stderr.log")).unwrap();
    let end = text.lines().find(|line| line.contains("🏁 shutdown complete"));
    assert!(end.is_some_and(|line| line.starts_with("20")), "{text}");
    let messages = lab.messages("file.service");
    assert!(!messages.iter().any(|message| message.contains("🏁")), "{messages:#?}");
}

#[test]
fn a_journald_that_starts_anew_loses_nothing() {
    let Some(lab) = Lab::boot() else { return };
    let gate = lab.gate("gate");
    let path = lab.file(
        "system.toml",
        &format!(
            "[service.api]\n\
             command = [\"fixture\", \"script\", \"say:up\", \"gate:{}\", \"say:still there\", \"until:TERM\"]\n",
            gate.inside
        ),
    );
    lab.unit("system.service", &unit(&format!("--config {path}"), ""));
    lab.systemctl(["start", "system.service"]).succeeds();
    lab.follow("system.service").wait_for("api: up");
    lab.systemctl(["restart", "systemd-journald.service"]).succeeds();
    let _open = gate.open();
    lab.follow("system.service").wait_for("api: still there");
    lab.systemctl(["stop", "system.service"]).succeeds();
    expect::stopped_with(&lab, "system.service", "success", "0");
    expect::three_lines_in_order(&lab, "system.service");
}

/// journald looks up whose a line is when it reads it.
#[test]
fn what_a_task_said_that_is_gone_when_journald_reads_it_is_the_units_all_the_same() {
    let Some(lab) = Lab::boot() else { return };
    let config = "[service.task]\ntype = \"task\"\ncommand = [\"echo\", \"LASTWORD\"]\n\
                  [service.api]\nafter = [\"task\"]\ncommand = [\"fixture\", \"obedient\"]\n";
    let path = lab.file("system.toml", config);
    lab.unit("system.service", &unit::notify(&format!("--config {path}"), ""));
    let signal = |name| lab.systemctl(["kill", "--signal", name, "systemd-journald.service"]).succeeds();
    signal("STOP");
    // It returns when the task is done.
    lab.systemctl(["start", "system.service"]).succeeds();
    signal("CONT");
    lab.follow("system.service").wait_for("LASTWORD");
    lab.systemctl(["stop", "system.service"]).succeeds();
}

#[test]
fn a_journald_that_hangs_delays_no_stop_and_gets_the_lines_later() {
    let Some(lab) = Lab::boot() else { return };
    lab.unit("one.service", &unit("-- fixture obedient", "TimeoutStopSec=10s"));
    lab.systemctl(["start", "one.service"]).succeeds();
    lab.follow("one.service").wait_for(": ready");
    let signal = |signal: &str| {
        lab.systemctl(["kill", "--signal", signal, "--kill-whom", "main", "systemd-journald.service"])
            .succeeds();
    };
    signal("STOP");
    lab.systemctl(["stop", "one.service"]).succeeds();
    expect::stopped_with(&lab, "one.service", "success", "0");
    signal("CONT");
    expect::nothing_left_for_systemd(&lab, "one.service");
    expect::three_lines_in_order(&lab, "one.service");
}
