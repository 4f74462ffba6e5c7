use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::clock::Clock;
use super::inherited::Inherited;
use super::reap::has_child_in_group;
use super::scheduling::{ask_for_short_turns, run_before_others, time_in_queue};
use super::signal_mask::block_all_signals;
use super::sweep::kill_descendants;
use crate::supervisor::{STATUS_SURVIVORS, ServiceId, Timestamp, defaults};

/// A thread that ends curfew when its loop does not, so that no call of the loop can make it miss the deadline: a file of
/// /proc whose process hangs, the close of what a service has passed on, a storm of processes that leaves it no time.
///
/// It sleeps until then, and touches nothing that the loop uses.
#[derive(Default)]
pub(crate) struct DeadlineGuard {
    shared: Option<Arc<Shared>>,
    was_tried: bool,
}

#[derive(Default)]
struct Shared {
    watch: Mutex<Watch>,
    changed: Condvar,
}

/// What the thread knows.
#[derive(Default)]
struct Watch {
    /// When it ends curfew; `None`: not before a stop begins that has a deadline.
    end: Option<Timestamp>,
    wards: Wards,
    /// The exit status, once that is decided.
    status: Option<u8>,
}

/// Whom the guard kills, and whom it does not.
#[derive(Default)]
pub(crate) struct Wards {
    /// Until when it looks for those whom it does not know.
    pub(crate) sweep_end: Timestamp,
    /// The sessions and process groups that curfew made, and whose they are.
    pub(crate) sessions: HashMap<i32, ServiceId>,
    /// What they are called.
    pub(crate) names: HashMap<ServiceId, String>,
    /// The `cgroup.kill` of each service.
    pub(crate) cgroups: Vec<PathBuf>,
    /// Those whom nobody may kill.
    pub(crate) inherited: Inherited,
}

/// It writes a line, and walks maps.
const STACK: usize = 128 * 1024;

impl DeadlineGuard {
    /// Begins to watch, unless it does. Where no thread can be had, the loop has to be enough.
    pub(crate) fn begin(&mut self, clock: Clock) {
        if std::mem::replace(&mut self.was_tried, true) {
            return;
        }
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        let guard = move || {
            // Signals are for the loop.
            block_all_signals();
            ask_for_short_turns(0);
            own.keep(clock);
        };
        if thread::Builder::new().name("deadline".into()).stack_size(STACK).spawn(guard).is_ok() {
            self.shared = Some(shared);
        }
    }

    /// Whether anything is to be told to it.
    pub(crate) const fn is_there(&self) -> bool {
        self.shared.is_some()
    }

    /// A stop is under way, in which the loop has its turns as soon as the guard has: it must not even be late to end. What
    /// it forks is as it was.
    pub(crate) fn hasten_loop(&self) {
        ask_for_short_turns(libc::SCHED_FLAG_RESET_ON_FORK);
    }

    /// A stop is under way, which ends at `end` at the latest.
    pub(crate) fn watch(&self, end: Timestamp, wards: Wards) {
        let Some(shared) = &self.shared else { return };
        let mut watch = shared.lock();
        (watch.end, watch.wards) = (Some(end), wards);
        shared.changed.notify_one();
    }

    /// What is still to come is the report, and the last lines.
    pub(crate) fn decide(&self, status: u8) {
        if let Some(shared) = &self.shared {
            shared.lock().status = Some(status);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, clock: Clock) {
        let mut watch = self.lock();
        let (mut excused_until, mut waited_before) = (None::<Timestamp>, time_in_queue());
        loop {
            let Some(end) = watch.end else {
                watch = self.changed.wait(watch).unwrap_or_else(PoisonError::into_inner);
                run_before_others();
                continue;
            };
            let (now, end) = (clock.now(), excused_until.map_or(end, |until| end.max(until)));
            if now < end {
                waited_before = time_in_queue();
                let wait = self.changed.wait_timeout(watch, end.since(now));
                watch = wait.unwrap_or_else(PoisonError::into_inner).0;
            } else if now.since(end).saturating_sub(time_in_queue().saturating_sub(waited_before))
                >= defaults::GUARD_LATE
                && excused_until.is_none()
            {
                // It comes too late itself, and not for want of a processor: curfew was stopped, or frozen, as a whole, and
                // the loop has not had its turn.
                excused_until = Some(now + defaults::GUARD_AGAIN);
            } else {
                watch.act(clock);
            }
        }
    }
}

impl Watch {
    fn act(&mut self, clock: Clock) -> ! {
        if let Some(status) = self.status {
            say(
                "curfew: the deadline has come before everything was written: the report or the last lines may be missing\n",
            );
            exit(status);
        }
        let mut killed = self.wards.kill(clock);
        let others = killed.len().saturating_sub(NAMED);
        killed.truncate(NAMED);
        if others > 0 {
            killed.push(format!("{others} more"));
        }
        let whom = if killed.is_empty() { "nobody that it knows".to_owned() } else { killed.join(", ") };
        say(&format!(
            "curfew: held up in the middle of the stop, and the deadline has come: killed at the last moment, and not waited \
             for: {whom}; exit status {STATUS_SURVIVORS}\n"
        ));
        exit(STATUS_SURVIVORS)
    }
}

/// How many of those who were killed its line names.
const NAMED: usize = 32;

impl Wards {
    /// Returns who they were: services first.
    fn kill(&mut self, clock: Clock) -> Vec<String> {
        for file in &self.cgroups {
            // Gone, or out of our reach.
            let _ = std::fs::write(file, "1");
        }
        let until = self.sweep_end.max(clock.now() + defaults::GUARD_SWEEP);
        let killed = kill_descendants(&mut self.inherited, &self.sessions, &|| clock.now() < until);
        let mut groups: BTreeSet<i32> = killed.iter().map(|process| process.group).collect();
        if killed.is_empty() {
            // As PID 1, or without /proc, nobody was looked at.
            let there = self.sessions.keys().take_while(|_| clock.now() < until);
            groups.extend(there.filter(|group| has_child_in_group(**group)));
        }
        let known =
            groups.iter().filter_map(|group| Some((group, self.names.get(self.sessions.get(group)?)?)));
        let mut names: Vec<String> = known.map(|(group, name)| format!("{name} ({group})")).collect();
        let others = killed.iter().filter(|process| !self.sessions.contains_key(&process.group));
        // A name can be anything.
        let plain = |name: &str| name.replace(|letter: char| letter.is_control(), "?");
        names.extend(others.map(|process| format!("{} ({})", plain(&process.name), process.pid)));
        names
    }
}

/// Nobody is waited for who does not read.
fn say(line: &str) {
    let stream = std::io::stderr();
    let mut ready = [PollFd::new(std::os::fd::AsFd::as_fd(&stream), PollFlags::POLLOUT)];
    if poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0) {
        // SAFETY: the line is valid for reading. The lock of the stream is not taken: the loop may hold it.
        unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
    }
}

fn exit(status: u8) -> ! {
    // SAFETY: it takes an integer, ends every thread, and runs nothing of theirs.
    unsafe { libc::_exit(status.into()) }
}
