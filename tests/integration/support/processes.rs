//! What the kernel tells of processes. The tests reap nobody but the child they started.

use std::fs;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::time::{Moment, now};

/// Sends a signal to one process. Gone is as good.
pub(crate) fn kill(pid: i32, signal: i32) {
    assert!(pid > 1, "{pid} is not a process of a test");
    // SAFETY: kill takes two integers; a pid above 1 names one process.
    unsafe { libc::kill(pid, signal) };
}

/// Waits for the end of a child of ours, without reaping it. False: the time is over.
pub(crate) fn wait_for_end(pid: i32, end: Moment) -> bool {
    ends_before(&handle_of(pid).expect("a child that is not reaped has a handle"), end)
}

/// A handle of a process, which may be somebody else's child, and be reaped by him; `None` if it is gone.
pub(crate) fn handle_of(pid: i32) -> Option<OwnedFd> {
    // SAFETY: pidfd_open takes two integers, and the descriptor is nobody else's.
    unsafe {
        let handle = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        (handle >= 0).then(|| OwnedFd::from_raw_fd(handle as i32))
    }
}

/// Waits for the end of a process, without reaping it. False: the time is over.
pub(crate) fn ends_before(handle: &OwnedFd, end: Moment) -> bool {
    loop {
        let left = end.since(now());
        if left.is_zero() {
            return false;
        }
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        if poll(&mut [PollFd::new(handle.as_fd(), PollFlags::POLLIN)], left).is_ok_and(|count| count > 0) {
            return true;
        }
    }
}

/// The living processes that carry this token in their environment: those of one run.
pub(crate) fn carriers(token: &str) -> Vec<i32> {
    let entry = format!("{}={token}\0", super::TOKEN);
    let entry = entry.as_bytes();
    fs::read_dir("/proc")
        .expect("/proc is there")
        .filter_map(|directory| directory.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| environment(*pid).windows(entry.len()).any(|window| window == entry))
        .collect()
}

/// The environment of a process as its program was given it; nothing for what is dead.
fn environment(pid: i32) -> Vec<u8> {
    let own = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    if !own.is_empty() || threads(pid) <= 1 {
        return own;
    }
    // The main thread has ended, others have not.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.flat_map(|thread| fs::read(thread.path().join("environ"))).flatten().collect()
}

/// Kills what is left of a run.
pub(crate) fn kill_carriers(token: &str) {
    // Again and again, since what is killed may be forking; bounded, since it may not be ours to kill.
    for _ in 0..100 {
        let left = carriers(token);
        if left.is_empty() {
            return;
        }
        for pid in left {
            kill(pid, libc::SIGKILL);
        }
    }
}

/// The children of a process, dead ones too.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<i32>>())
        .collect()
}

/// The state of a process, as `ps` shows it: `S` sleeps, `T` is stopped, `Z` is dead and not reaped.
pub(crate) fn state(pid: i32) -> Option<char> {
    field(pid, 3)?.chars().next()
}

/// How many threads a process has; 0 for none that is there.
fn threads(pid: i32) -> u32 {
    field(pid, 20).and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// A field of `/proc/PID/stat`, by the number that proc(5) gives it.
fn field(pid: i32, number: usize) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, which is the second, may hold anything.
    status.rsplit_once(") ")?.1.split(' ').nth(number - 3).map(str::to_owned)
}

/// Whether a process lives. One whose main thread alone has ended looks dead, and lives.
pub(crate) fn exists(pid: i32) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X') || threads(pid) > 1)
}

/// Lets everybody write there.
pub(crate) fn open_to_all(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).expect("the directory is ours");
}
