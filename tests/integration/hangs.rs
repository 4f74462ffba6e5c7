//! Who hangs in the kernel for good, and hangs whoever looks at it in the wrong way: on a file system whose server does not
//! answer, as that of a network. curfew is PID 1 of namespaces of its own, in which the server lives too: with them all of it
//! ends.

use std::fs;
use std::time::Duration;

use nix::libc::SIGTERM;

use crate::support::{
    Curfew, Finished, Running, children, fixture_binary, is_installed, is_root, kill, skip,
};

const DEADLINE: Duration = Duration::from_secs(3);

fn has_dead_disks() -> bool {
    let is_fit = is_root() && is_installed("unshare") && fs::File::open("/dev/fuse").is_ok();
    if !is_fit {
        skip("a file system that does not answer needs root, unshare(1) and /dev/fuse");
    }
    is_fit
}

/// curfew on a machine with a dead disk, and the path of a file there.
fn with_dead_disk() -> (Curfew, String) {
    let curfew = Curfew::run(["--cgroup", "off", "--deadline", "3s", "--grace", "TERM 200ms, KILL"]);
    let folder = curfew.directory().join("disk");
    fs::create_dir(&folder).expect("a directory");
    let (file, folder) = (folder.join("file"), folder.to_str().expect("a plain path").to_owned());
    let curfew = curfew.wrapped_by(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    let curfew = ["dead-disk", &folder]
        .into_iter()
        .fold(curfew.wrapped_by_word(fixture_binary()), Curfew::wrapped_by_word);
    (curfew, file.to_str().expect("a plain path").to_owned())
}

/// Stops it as soon as somebody hangs.
fn stopped(curfew: &Running) {
    curfew.eventually("somebody hangs", || descendants(curfew.pid()).into_iter().any(hangs));
    kill(children(curfew.pid())[0], SIGTERM);
}

fn descendants(pid: i32) -> Vec<i32> {
    let mut found = children(pid);
    let mut index = 0;
    while let Some(pid) = found.get(index).copied() {
        found.extend(children(pid));
        index += 1;
    }
    found
}

/// By what can be read without hanging as well: it has no program, or nothing interrupts it.
fn hangs(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let is_executing = status.contains("VmExe:\t       0 kB");
    status.starts_with("Name:\thangs\n") && (is_executing || status.contains("State:\tD"))
}

fn assert_named(finished: &Finished, service: &str) {
    finished.assert_status(81);
    assert!(finished.stop_took() < DEADLINE, "{finished}");
    let survivors = finished.events("survivor.left");
    assert_eq!(survivors.len(), 1, "{finished}");
    assert_eq!(survivors[0]["service"], service, "{finished}");
}

#[test]
fn a_leader_that_hangs_in_execve_is_named_in_time_and_blamed() {
    if !has_dead_disks() {
        return;
    }
    let (curfew, file) = with_dead_disk();
    let curfew = curfew.fixture(&format!("hangs leader execve {file}")).start();
    stopped(&curfew);
    let finished = curfew.finish();
    assert_named(&finished, "fixture");
    let blame = finished.events("service.blamed")[0]["message"].as_str().unwrap_or_default().to_owned();
    assert!(blame.contains("in execve"), "{blame}");
}

#[test]
fn a_leader_that_hangs_with_its_memory_map_locked_is_named_in_time_and_blamed() {
    if !has_dead_disks() {
        return;
    }
    let (curfew, file) = with_dead_disk();
    let curfew = curfew.fixture(&format!("hangs leader mmap {file}")).start();
    stopped(&curfew);
    let finished = curfew.finish();
    assert_named(&finished, "fixture");
    let blame = finished.events("service.blamed")[0]["message"].as_str().unwrap_or_default().to_owned();
    assert!(blame.contains("uninterruptible"), "{blame}");
}

#[test]
fn a_stray_that_hangs_is_named_in_time() {
    for place in ["execve", "mmap"] {
        if !has_dead_disks() {
            return;
        }
        let (curfew, file) = with_dead_disk();
        let curfew = curfew.fixture(&format!("hangs stray {place} {file}")).start();
        stopped(&curfew);
        assert_named(&curfew.finish(), "fixture");
    }
}

/// Whose it is can only be read where it hangs; of the other one it is known.
#[test]
fn of_many_services_a_stray_that_hangs_belongs_to_none_and_the_others_to_theirs() {
    for place in ["execve", "mmap"] {
        if !has_dead_disks() {
            return;
        }
        let (curfew, file) = with_dead_disk();
        let config =
            format!("service.a.command = <hangs stray {place} {file}>\nservice.b.command = <obedient>");
        let curfew = curfew.config(&config).start();
        curfew.wait_for("a: ready");
        curfew.wait_for("b: ready");
        stopped(&curfew);
        let finished = curfew.finish();
        assert_named(&finished, "(stray)");
        let strays = |service| finished.service(service)["strays"].as_array().map(Vec::len);
        assert_eq!((strays("a"), strays("b")), (Some(1), Some(0)), "{finished}");
        assert_eq!(finished.service("a")["strays"][0]["end"]["signal"], "TERM", "{finished}");
    }
}
