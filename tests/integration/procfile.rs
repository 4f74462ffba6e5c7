//! A Procfile, as foreman's and honcho's users know it.

use std::fs;

use nix::libc::SIGTERM;

use crate::support::Curfew;

#[test]
fn services_of_a_procfile_have_their_ports_and_variables_and_stop_properly() {
    let directory = tempfile::tempdir().unwrap();
    let procfile = "# comment\n\n\
         web: sh -c 'trap \"echo web done; exit 0\" TERM; echo web on $PORT for $STAGE; while :; do sleep 0.01; done'\n\
         Worker: echo worker on $PORT | cat; sleep 1000 | cat\n";
    fs::write(directory.path().join("Procfile"), procfile).unwrap();
    fs::write(directory.path().join(".env"), "STAGE=test\nPORT=7000\n").unwrap();
    let curfew = Curfew::run(["--procfile", "Procfile", "--grace", "TERM 5s, KILL"])
        .working_directory(directory.path())
        .start();
    curfew.wait_for("web on 7000 for test");
    curfew.wait_for("worker on 7100");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    finished.place("web done");
    // The whole pipeline of the worker heard the signal.
    assert_eq!(finished.verdict(), "clean");
    assert_eq!(finished.service("worker")["stages"][0]["to"], "group");
}

#[test]
fn what_is_wrong_in_a_procfile_is_told_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("Procfile"), "web run\nweb:\n: x\na: b\nA: b\n").unwrap();
    let finished =
        Curfew::bare(["run", "--procfile", "Procfile"]).working_directory(directory.path()).finish();
    finished.assert_status(78);
    let lines = [
        "Procfile:1:1: there is no `:`",
        "Procfile:2:1: web has no command",
        "Procfile:3:1: `` is no name",
        "Procfile:5:1: there are two services `a`",
    ];
    for line in lines {
        assert!(finished.stderr.iter().any(|said| said.starts_with(line)), "{line}{finished}");
    }
    fs::write(directory.path().join("Procfile"), "a: true\nb: true\n").unwrap();
    let curfew = Curfew::bare(["run", "--procfile", "Procfile"]).env("PORT", "65500");
    let finished = curfew.working_directory(directory.path()).finish();
    finished.assert_status(78);
    let line = "Procfile:2:1: there is no port 65600 for b; start with a lower PORT than 65500";
    assert!(finished.stderr.iter().any(|said| said.starts_with(line)), "{finished}");
    let finished = Curfew::bare(["run", "--procfile", "Procfile", "--", "ls"]).finish();
    finished.assert_status(64);
}
