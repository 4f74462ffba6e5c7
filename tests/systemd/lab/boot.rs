use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Uid;
use tempfile::TempDir;

use super::{Lab, PATIENCE, programs};
use crate::lines::Lines;
use crate::time::now;

const KEEPER: &str = include_str!("keeper.sh");
const INIT: &str = include_str!("init.sh");
const SYSTEMD: &str = "/lib/systemd/systemd";

/// Boots a systemd, or says why that is not possible here.
///
/// # Panics
/// If everything is there, and it does not come up all the same.
pub(super) fn boot() -> Result<Lab, String> {
    if !Uid::effective().is_root() {
        return Err("it takes root".to_owned());
    }
    for program in [SYSTEMD, "/usr/bin/unshare", "/usr/bin/nsenter", "/usr/bin/setpriv"] {
        if !Path::new(program).exists() {
            return Err(format!("{program} is not installed"));
        }
    }
    let control_groups = control_groups().ok_or("no cgroup v2 is mounted")?;
    // The keeper removes it, also when this process has no time to.
    let directory = TempDir::with_prefix("curfew-lab-").expect("a temporary directory").keep();
    for name in ["image", "inside"] {
        fs::create_dir(directory.join(name)).expect("the directory is ours");
    }
    // systemd tells whoever started it when it is up, as its services tell it.
    let booted = UnixDatagram::bind(directory.join("inside/booted")).expect("a socket");
    let mut keeper = keeper(&control_groups, &directory);
    let mut first_line = String::new();
    let mut stdout = BufReader::new(keeper.stdout.take().expect("it is a pipe"));
    let _ = stdout.read_line(&mut first_line);
    let complaints = Lines::read(keeper.stderr.take());
    let namespace: Option<i32> = first_line.trim().parse().ok();
    let is_up = namespace.is_some_and(|pid| wait_until_up(&booted, pid));
    let systemd = namespace.and_then(first_child);
    let lab = Lab { directory, keeper, systemd: systemd.unwrap_or(0), complaints };
    if is_up && systemd.is_some() {
        return Ok(lab);
    }
    let complaints = lab.complaints.clone();
    drop(lab);
    complaints.wait_for_end(now().plus(PATIENCE));
    let complaints = complaints.so_far().join("; ");
    // A script that stopped half-way has said what it was not allowed to do.
    assert!(!complaints.is_empty(), "systemd did not come up, and nobody said why");
    Err(complaints)
}

/// A name for a new control group right below the root of the hierarchy.
fn control_groups() -> Option<PathBuf> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    let mount = line.split(' ').nth(4)?;
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    Some(Path::new(mount).join(format!("curfew-lab.{}.{number}", std::process::id())))
}

fn keeper(control_group: &Path, directory: &Path) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", KEEPER, "keeper"]).arg(control_group).arg(directory).arg(INIT).arg(programs());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: system calls that take integers. A Ctrl-C is for the tests, and it is their end that ends the keeper.
    // Descriptors that the tests were given, those of a job server for instance, are not for it.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            Ok(())
        })
    };
    command.spawn().expect("there is a shell")
}

/// Waits for systemd's word that it is up. False: the namespace ended before that, or the time is over.
fn wait_until_up(booted: &UnixDatagram, namespace: i32) -> bool {
    // SAFETY: pidfd_open takes two integers, and the descriptor is nobody else's.
    let namespace = unsafe {
        let descriptor = libc::syscall(libc::SYS_pidfd_open, namespace, 0);
        if descriptor < 0 {
            return false;
        }
        OwnedFd::from_raw_fd(descriptor as i32)
    };
    let end = now().plus(PATIENCE);
    let mut message = [0; 4096];
    loop {
        let left = PollTimeout::try_from(end.since(now())).unwrap_or(PollTimeout::MAX);
        let mut ready = [booted.as_fd(), namespace.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        if poll(&mut ready, left).unwrap_or(0) < 1 || ready[1].any() == Some(true) {
            return false;
        }
        let count = booted.recv(&mut message).unwrap_or(0);
        if String::from_utf8_lossy(&message[..count]).lines().any(|line| line == "READY=1") {
            return true;
        }
    }
}

fn first_child(pid: i32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
