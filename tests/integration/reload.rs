//! The configuration read anew, while services run.

use nix::libc::{SIGCONT, SIGHUP, SIGSTOP, SIGTERM};
use serde_json::Value;

use crate::support::{Curfew, Running, kill};

/// Services that say their own name, so that it can be seen who was started.
fn says(name: &str, word: &str) -> String {
    format!("[service.{name}]\ncommand = <script say:{word} until:TERM>\n")
}

/// Has the configuration read anew, for the how manieth time, and waits until it is over.
#[track_caller]
fn reload(curfew: &Running, text: &str, time: usize) -> Value {
    curfew.rewrite(text);
    curfew.signal(SIGHUP);
    curfew.wait_for_events(time, "reload.complete");
    curfew.wait_for_events(time, "reload.applied").remove(time - 1)
}

#[test]
fn a_reload_adds_removes_and_changes_services_and_leaves_the_others_alone() {
    let [kept, changed, gone] = ["kept", "changed", "gone"].map(|name| says(name, &format!("{name}-is-up")));
    let curfew = Curfew::run([]).config(&format!("{kept}{changed}{gone}")).start();
    for name in ["kept-is-up", "changed-is-up", "gone-is-up"] {
        curfew.wait_for(name);
    }
    let started = curfew.wait_for_events(3, "service.started");
    let pid = |name: &str| started.iter().find(|event| event["service"] == name).unwrap()["pid"].clone();
    let new = format!(
        "{kept}grace = \"TERM 3s, KILL\"\n{}after = [\"kept\"]\n{}after = [\"changed\"]\n",
        says("changed", "changed-is-other"),
        says("added", "added-is-up")
    );
    let told = reload(&curfew, &new, 1);
    let fields = ["added", "removed", "restarted", "adjusted", "kept"].map(|key| told[key].clone());
    assert_eq!(fields, ["added".into(), "gone".into(), "changed".into(), "kept".into(), Value::from(0)]);
    curfew.wait_for("added-is-up");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    // It was never started anew, and goes by its new schedule.
    assert_eq!(finished.service("kept")["pid"], pid("kept"));
    assert_ne!(finished.service("changed")["pid"], pid("changed"));
    assert_eq!(finished.said("kept-is-up").len(), 1);
    assert_eq!(finished.service("kept")["stages"][0]["wait_ms"], 3000);
    assert!(finished.place("changed-is-other") < finished.place("added-is-up"), "{finished}");
    // The stop is not about what was gone before.
    let names: Vec<&Value> =
        finished.report()["services"].as_array().unwrap().iter().map(|service| &service["name"]).collect();
    assert_eq!(names, ["kept", "changed", "added"]);
}

#[test]
fn a_broken_file_changes_nothing_and_every_error_is_told_at_its_place() {
    let [api, worker] = ["api", "worker"].map(|name| says(name, name));
    let curfew = Curfew::run([]).config(&format!("{api}{worker}")).start();
    curfew.wait_for("worker");
    curfew.rewrite(&format!("{api}typo = 1\nafter = [\"nobody\"]\n"));
    curfew.signal(SIGHUP);
    let told = curfew.wait_for_events(2, "reload.refused");
    let texts = [0, 1].map(|place| told[place]["message"].as_str().unwrap().to_owned());
    assert!(texts[0].contains("system.toml:3:1: service.api.typo: unknown key"), "{texts:?}");
    assert!(texts[1].contains("system.toml:4:") && texts[1].contains("nobody"), "{texts:?}");
    // Nor does one of which something could not be started: a typo is not to bring the system down.
    let cases = [
        ("command = \"slepp 1000\"", "service.api: cannot execute \"slepp\": command not found"),
        ("command = \"sleep 1000\"\nuser = \"no-such-user\"", "there is no such user"),
        ("command = \"sleep 1000\"\ndirectory = \"/no/such\"", "directory = \"/no/such\""),
        ("command = \"sleep 1000\"\noutput = { file = \"/no/such/file\" }", "No such file or directory"),
        ("command = \"/etc/passwd\"", "Permission denied"),
    ];
    for (count, (lines, why)) in (3..).zip(cases) {
        curfew.rewrite(&format!("[service.api]\n{lines}\n{worker}"));
        curfew.signal(SIGHUP);
        let told = curfew.wait_for_events(count, "reload.refused").remove(count - 1);
        assert!(told["message"].as_str().unwrap().contains(why), "{told}");
    }
    // Nor does one that is not there.
    std::fs::remove_file(curfew.directory().join("system.toml")).unwrap();
    curfew.signal(SIGHUP);
    let told = curfew.wait_for_events(8, "reload.refused");
    assert!(told[7]["message"].as_str().unwrap().contains("there is no such file"), "{told:?}");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    let down: Vec<String> =
        finished.events("service.ended").iter().map(|event| event["service"].to_string()).collect();
    assert_eq!(down.len(), 2, "nobody ended before: {finished}");
}

/// What it comes after is still needed by what it was.
#[test]
fn a_removed_service_is_stopped_behind_the_old_life_of_what_needed_it() {
    let api = |command: &str, after: &str| format!("[service.api]\ncommand = {command}\nafter = [{after}]\n");
    let db = says("db", "db-is-up");
    let curfew = Curfew::run([]).config(&format!("{db}{}", api("<obedient 300ms>", "\"db\""))).start();
    curfew.wait_for("api: ready");
    reload(&curfew, &api("<obedient 301ms>", ""), 1);
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    let ended = finished.events("service.ended");
    let order: Vec<&str> = ended.iter().map(|event| event["service"].as_str().unwrap()).collect();
    assert_eq!(order, ["api", "db", "api"], "{finished}");
}

#[test]
fn what_goes_on_is_sent_its_reload_signal() {
    let config = "[service.proxy]\ncommand = <script say:up until:USR2 say:reloaded until:TERM>\nreload-signal = \"USR2\"\n";
    let curfew = Curfew::run([]).config(config).start();
    curfew.wait_for("up");
    let told = reload(&curfew, config, 1);
    assert_eq!(told["kept"], 1);
    curfew.wait_for("reloaded");
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(0);
}

#[test]
fn a_changed_variable_or_file_of_variables_starts_the_service_anew_and_an_unchanged_one_does_not() {
    let curfew = Curfew::run([]);
    let file = curfew.directory().join("variables");
    std::fs::write(&file, "COLOUR=red\n").unwrap();
    let config = format!(
        "[service.api]\ncommand = <script tell-variable:COLOUR until:TERM>\nenv-file = \"{}\"\n{}",
        file.display(),
        says("other", "other-is-up")
    );
    let curfew = curfew.config(&config).start();
    curfew.wait_for("COLOUR=red");
    curfew.wait_for("other-is-up");
    assert_eq!(reload(&curfew, &config, 1)["kept"], 2);
    std::fs::write(&file, "COLOUR=blue\n").unwrap();
    let told = reload(&curfew, &config, 2);
    assert_eq!((&told["restarted"], &told["kept"]), (&"api".into(), &1.into()));
    curfew.wait_for("COLOUR=blue");
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(0);
}

#[test]
fn a_service_that_does_not_come_up_is_told_and_nobody_waits_for_it() {
    let kept = says("kept", "kept-is-up");
    let curfew = Curfew::run([]).config(&kept).start();
    curfew.wait_for("kept-is-up");
    let bad = "[service.bad]\ncommand = \"sleep 1000\"\npre-start = [\"false\"]\nessential = false\n";
    let later = format!("{}after = [\"bad\"]\n", says("later", "later-is-up"));
    curfew.rewrite(&format!("{kept}{bad}{later}"));
    curfew.signal(SIGHUP);
    let complete = curfew.wait_for_event("reload.complete");
    assert_eq!((&complete["level"], &complete["failed"]), (&"warn".into(), &"bad".into()));
    curfew.wait_for("later-is-up");
    // Mended, it comes up with the next reload.
    let good = says("bad", "bad-is-good").replace("until:TERM>", "until:TERM>\nessential = false");
    assert_eq!(reload(&curfew, &format!("{kept}{good}{later}"), 2)["restarted"], "bad");
    curfew.wait_for("bad-is-good");
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(0);
}

#[test]
fn a_reload_in_a_stop_is_refused_and_a_stop_in_a_reload_is_on_time() {
    let slow = "[service.slow]\ncommand = <obedient 400ms>\n";
    let curfew = Curfew::run(["--deadline", "5s"]).config(slow).start();
    curfew.wait_for("slow: ready");
    // Its old life is on its way down when the stop comes.
    curfew.rewrite(&format!("[service.slow]\ncommand = <obedient 401ms>\n{}", says("added", "added-is-up")));
    curfew.signal(SIGHUP);
    curfew.wait_for("slow: got TERM");
    curfew.signal(SIGTERM);
    curfew.wait_for_event("stop.requested");
    curfew.signal(SIGHUP);
    curfew.wait_for_event("signal.ignored");
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.said("slow: ready").len(), 1, "nothing is started any more: {finished}");
    assert_eq!(finished.events("reload.requested").len(), 1);
}

/// The files may have changed between two requests: the last state counts.
#[test]
fn many_reloads_at_once_end_with_what_the_file_says_at_last() {
    let config = |number: u32| says("api", &format!("version-{number}"));
    let curfew = Curfew::run([]).config(&config(0)).start();
    curfew.wait_for("version-0");
    for number in 1..=20 {
        curfew.rewrite(&config(number));
        curfew.signal(SIGHUP);
    }
    curfew.wait_for("version-20");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.said("version-20").len(), 1);
}

/// It may come from a disk that hangs.
#[test]
fn a_configuration_that_cannot_be_read_holds_up_nobody_and_no_stop() {
    let curfew = Curfew::run(["--deadline", "5s"]).config(&says("api", "api-is-up")).start();
    curfew.wait_for("api-is-up");
    // Whoever opens this waits for a writer.
    let path = curfew.directory().join("system.toml");
    std::fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    curfew.signal(SIGHUP);
    curfew.wait_for_event("reload.requested");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.verdict(), "clean");
}

/// The reader is a process of curfew's own: it is neither a stray nor waited for.
#[test]
fn the_reading_process_is_no_stray() {
    let curfew = Curfew::run([]).config(&says("api", "api-is-up")).start();
    curfew.wait_for("api-is-up");
    for time in 1..=20 {
        reload(&curfew, &says("api", "api-is-up"), time);
    }
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert!(finished.events("stray.found").is_empty(), "{finished}");
}

#[test]
fn names_before_lines_are_as_wide_as_the_longest_service_of_now() {
    let curfew = Curfew::run([]).config(&format!("output = \"prefix\"\n{}", says("api", "one"))).start();
    curfew.wait_for("api | api: one");
    let long = says("a-long-name", "two");
    reload(&curfew, &format!("output = \"prefix\"\n{}{long}", says("api", "three")), 1);
    curfew.wait_for("api         | api: three");
    curfew.wait_for("a-long-name | a-long-name: two");
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(0);
}

#[test]
fn what_only_counts_at_the_start_is_told() {
    let api = says("api", "api-is-up");
    let curfew = Curfew::run([]).config(&format!("name = \"one\"\n{api}")).start();
    curfew.wait_for("api-is-up");
    reload(&curfew, &format!("name = \"two\"\ncgroup = \"off\"\n{api}"), 1);
    assert_eq!(curfew.wait_for_event("reload.later")["keys"], "name, cgroup");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert_eq!(finished.report()["name"], "one");
}

/// Curfew that was stopped wakes up to several things at once.
#[test]
fn a_reload_and_a_stop_that_come_together_are_a_stop() {
    let curfew = Curfew::run([]).config(&says("api", "api-is-up")).start();
    curfew.wait_for("api-is-up");
    curfew.rewrite(&says("api", "api-is-other"));
    kill(curfew.pid(), SIGSTOP);
    curfew.signal(SIGHUP);
    curfew.signal(SIGTERM);
    kill(curfew.pid(), SIGCONT);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert!(finished.said("api-is-other").is_empty(), "{finished}");
}
