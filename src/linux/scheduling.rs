//! How soon a thread of curfew's own has its turn on a processor.

use std::time::Duration;

use nix::libc;

/// Everybody else has had his time when this thread runs, and it runs for a moment: it has its turn before them, where it may.
pub(crate) fn run_before_others() {
    if !is_scheduled_as_usual() {
        return;
    }
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: a valid structure; 0 is this thread. (The function of some C libraries only says that it does nothing.) EPERM:
    // short turns have to be enough.
    unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_FIFO, &raw const lowest) };
}

/// Whoever gave us another policy, real time say, meant it, and for what we start in a stop as well.
fn is_scheduled_as_usual() -> bool {
    // SAFETY: it takes an integer; 0 is this thread. (The function of some C libraries only says that it does nothing.)
    unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) == libc::c_long::from(libc::SCHED_OTHER) }
}

/// This thread runs for a moment: so it may have its turn at once, among thousands who run for longer. `flags` are those of
/// sched_setattr(2).
pub(crate) fn ask_for_short_turns(flags: i32) {
    if !is_scheduled_as_usual() {
        return;
    }
    // SAFETY: zeros are a valid sched_attr: the ordinary policy.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    attributes.size = size_of::<libc::sched_attr>() as u32;
    // SAFETY: getpriority takes integers.
    attributes.sched_nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    if flags != 0 && attributes.sched_nice < 0 {
        // What is forked would lose its priority; and the turns come soon enough.
        return;
    }
    attributes.sched_flags = flags as u64;
    // The least that the kernel knows, in nanoseconds. Before Linux 6.12 it means nothing.
    attributes.sched_runtime = 100_000;
    // SAFETY: a valid structure, which says how long it is; 0 is this thread. Refused, it waits for longer.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}

/// How long this thread has waited for a processor so far; nothing where the kernel does not tell.
pub(crate) fn time_in_queue() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    // The time it ran, the time it waited, and how often it ran.
    let waited = text.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok());
    let nanoseconds: u64 = waited.unwrap_or(0);
    Duration::new(nanoseconds / 1_000_000_000, (nanoseconds % 1_000_000_000) as u32)
}
