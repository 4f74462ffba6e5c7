//! What is wrong before anything starts, and what there is to read.

use nix::libc::SIGTERM;

use crate::support::{Curfew, Finished};

fn text(finished: &Finished) -> String {
    finished.stderr.join("\n")
}

/// Nothing was started, nothing was said on standard output.
#[track_caller]
fn assert_refused(finished: &Finished, status: i32, words: &[&str]) {
    finished.assert_status(status);
    assert!(finished.stdout.is_empty(), "{finished}");
    for word in words {
        assert!(text(finished).contains(word), "{word:?} is said{finished}");
    }
}

#[test]
fn a_schedule_that_cannot_be_read_is_64_with_a_caret_under_the_place() {
    let finished = Curfew::bare(["run", "--grace", "TERM 10x", "--", "true"]).finish();
    assert_refused(&finished, 64, &["10x"]);
    let lines = &finished.stderr;
    let index =
        lines.iter().position(|line| line.contains("TERM 10x") && !line.contains("error")).expect("the text");
    let column = lines[index].find("10x").unwrap();
    let caret = lines[index + 1].find('^').unwrap_or_else(|| panic!("a caret in the next line{finished}"));
    assert_eq!(lines[index + 1].trim_end().rfind('^').map(|end| end - caret + 1), Some(3), "{finished}");
    assert_eq!(caret, column, "{finished}");
}

#[test]
fn wrong_usage_is_64_and_says_what_would_be_right() {
    let cases: [(&[&str], &[&str]); 9] = [
        (&["run", "--grace", "TERM 10", "--", "true"], &["10s"]),
        (&["run", "--grace", "TREM 10s", "--", "true"], &["TREM", "TERM"]),
        (&["run", "--grace", "TERM 0s", "--", "true"], &["0s"]),
        (&["run", "--grace", "KILL, TERM 1s", "--", "true"], &["KILL"]),
        (&["run", "--grace", "STOP 1s", "--", "true"], &["STOP"]),
        (&["run", "--deadline", "0s", "--", "true"], &["none"]),
        (&["run", "--deadline", "5s", "--margin", "5s", "--", "true"], &["margin"]),
        (&["run", "--gracee", "TERM 1s", "--", "true"], &["--grace"]),
        (&["run"], &["COMMAND"]),
    ];
    for (arguments, words) in cases {
        let mut curfew = Curfew::bare([]);
        for argument in arguments {
            curfew = curfew.arg(argument);
        }
        assert_refused(&curfew.finish(), 64, words);
    }
}

#[test]
fn a_misspelt_key_is_78_with_file_line_and_the_nearest_key() {
    let finished = Curfew::run([]).config("[service.a]\ncomand = \"true\"\n").finish();
    assert_refused(&finished, 78, &["comand", "`command`", "system.toml:2"]);
}

#[test]
fn every_error_of_a_configuration_is_told_at_once() {
    let finished = Curfew::run([])
        .config(
            "grace = \"TERM 10x\"\n\
             [service.a]\n\
             command = \"true\"\n\
             after = [\"b\", \"nobody\"]\n\
             colour = \"red\"\n\
             [service.b]\n\
             command = \"true\"\n\
             after = [\"a\"]\n",
        )
        .finish();
    assert_refused(
        &finished,
        78,
        &["10x", "nobody", "colour", "system.toml:1", "system.toml:4", "system.toml:5"],
    );
    assert!(finished.report()["errors"].as_array().unwrap().len() >= 3, "{finished}");
}

#[test]
fn a_cycle_is_told_as_a_cycle() {
    let finished = Curfew::run([])
        .config("service.a = { command = \"true\", after = [\"b\"] }\nservice.b = { command = \"true\", after = [\"a\"] }")
        .finish();
    assert_refused(&finished, 78, &["a → b → a"]);
}

#[test]
fn a_file_that_is_not_there_is_78() {
    let finished = Curfew::run(["--config", "/nonexistent/system.toml"]).log(None).finish();
    assert_refused(&finished, 78, &["/nonexistent/system.toml"]);
}

#[test]
fn help_and_version_are_on_standard_output_with_status_0() {
    for (arguments, word) in
        [(&["--help"][..], "run"), (&["run", "--help"], "--grace"), (&["--version"], "curfew")]
    {
        let mut curfew = Curfew::bare([]);
        for argument in arguments {
            curfew = curfew.arg(argument);
        }
        let finished = curfew.finish();
        finished.assert_status(0);
        assert!(finished.stderr.is_empty(), "{finished}");
        assert!(finished.stdout.join("\n").contains(word), "{finished}");
    }
}

#[test]
fn an_unknown_variable_of_curfew_is_a_warning_with_the_nearest_name() {
    let finished = Curfew::run([]).env("CURFEW_GRAZE", "TERM 1s").command(["true"]).finish();
    finished.assert_status(0);
    let warning = finished.stderr.iter().find(|line| line.contains("CURFEW_GRAZE")).expect("a warning");
    assert!(warning.contains("warn") && warning.contains("CURFEW_GRACE"), "{finished}");
}

#[test]
fn a_wrong_variable_is_named_as_where_the_error_is() {
    let finished = Curfew::bare(["run", "--", "true"]).env("CURFEW_GRACE", "TERM 10x").finish();
    assert_refused(&finished, 64, &["10x", "CURFEW_GRACE"]);
}

#[test]
fn a_flag_beats_the_environment_and_the_environment_beats_the_file() {
    let report_of = |curfew: Curfew| {
        let curfew = curfew.start();
        curfew.wait_for("ready");
        curfew.signal(SIGTERM);
        curfew.finish().report()["deadline"]["deadline_ms"].as_u64().unwrap()
    };
    let config = "deadline = \"20s\"\nservice.a.command = <obedient>";
    assert_eq!(report_of(Curfew::run([]).config(config)), 20_000);
    assert_eq!(report_of(Curfew::run([]).config(config).env("CURFEW_DEADLINE", "25s")), 25_000);
    let all = Curfew::run(["--deadline", "28s"]).config(config).env("CURFEW_DEADLINE", "25s");
    assert_eq!(report_of(all), 28_000);
}

#[test]
fn a_command_without_run_is_the_same() {
    Curfew::bare(["--", "sh", "-c", "exit 9"]).finish().assert_status(9);
    Curfew::bare(["--exit-status", "mirror", "--", "sh", "-c", "exit 9"]).finish().assert_status(9);
}

#[test]
fn services_can_be_given_without_a_file() {
    let service = |name: &str| format!("{name}={} obedient", crate::support::fixture_binary());
    let curfew = Curfew::run(["--grace", "b=TERM 3s, KILL"])
        .arg("--service")
        .arg(service("a"))
        .arg("--service")
        .arg(service("b"))
        .start();
    curfew.wait_for("a: ready");
    curfew.wait_for("b: ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert_eq!(finished.service("a")["stages"][0]["wait_ms"], 8000);
    assert_eq!(finished.service("b")["stages"][0]["wait_ms"], 3000);
}

#[test]
fn an_environment_file_is_read() {
    let curfew = Curfew::run([]);
    let file = curfew.directory().join("settings.env");
    std::fs::write(&file, "FRUIT=\"apple pie\"\n# nothing\nexport TREE=oak\n").unwrap();
    let finished = curfew.arg("--env-file").arg(&file).command(["sh", "-c", "echo $FRUIT, $TREE"]).finish();
    assert_eq!(finished.stdout, ["apple pie, oak"]);
}
