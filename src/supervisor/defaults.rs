//! Every default duration and limit, with its meaning. The documentation quotes this file.

use std::time::Duration;

use super::{GraceSchedule, Signal, StageAction};

/// The one wait of both default schedules: below the ten seconds of `docker stop`, with room for the margin.
pub const GRACE_WAIT: Duration = Duration::from_secs(8);

/// Two stop signals closer together than this are one request: `ExecStop=/bin/kill -TERM $MAINPID` makes systemd send
/// two, 0.6 ms apart.
pub const DUPLICATE_SIGNAL_WINDOW: Duration = Duration::from_millis(500);

/// A second QUIT this long after the first one, or later, means KILL now.
pub const SECOND_QUIT_AFTER: Duration = Duration::from_secs(1);

/// How long an unasked death by a stop signal is held back for the stop request that may explain it: a platform that
/// signals everybody at once may reach a service before it reaches curfew.
pub const HELD_DEATH: Duration = Duration::from_millis(100);

/// A leader that ends with success this soon after its start, and leaves processes behind, has daemonised.
pub const DAEMONISES_WITHIN: Duration = Duration::from_secs(5);

/// How long a service may take to be ready.
pub const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long to wait from one readiness probe to the next.
pub const READY_PROBE_EVERY: Duration = Duration::from_millis(250);

/// How long to wait from one health probe to the next.
pub const PROBE_EVERY: Duration = Duration::from_secs(10);

/// How long a probe may take.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// So many failed probes in a row make a service unhealthy.
pub const PROBE_FAILURES: u32 = 3;

/// How long a hook may take.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the last command of all may take.
pub const CLEANUP_TIMEOUT: Duration = Duration::from_secs(5);

/// The wait before the first restart.
pub const RESTART_DELAY: Duration = Duration::from_millis(200);

/// The longest wait before a restart.
pub const RESTART_DELAY_MAX: Duration = Duration::from_secs(30);

/// So many restarts within [`RESTART_WITHIN`].
pub const RESTART_LIMIT: u32 = 5;

/// The window in which restarts are counted.
pub const RESTART_WITHIN: Duration = Duration::from_secs(60);

/// After such a run the wait before a restart begins at the first one again.
pub const STABLE_AFTER: Duration = Duration::from_secs(60);

/// The most that the platform is asked for, if `--extend` does not say.
pub const EXTEND_MAX: Duration = Duration::from_secs(600);

/// What the platform is asked for at a time, if its own timeout is not known.
pub const EXTEND_BY: Duration = Duration::from_secs(10);

/// How long reading the configuration anew may take: it may come from a disk that hangs. The time in which nobody else is
/// held up, so it can be generous.
pub const RELOAD_READING: Duration = Duration::from_secs(10);

/// The most that each level of the stop order keeps for KILL and reaping.
pub const KILL_RESERVE_MAX: Duration = Duration::from_millis(500);

/// How long a killed process is waited for when there is no deadline at all.
pub const KILL_WAIT_WITHOUT_DEADLINE: Duration = Duration::from_secs(10);

/// What the platform had no room for is offered again after this time.
pub const NOTIFY_AGAIN: Duration = Duration::from_millis(100);

/// The most that is kept at the end of the budget to write the report.
pub const REPORT_RESERVE_MAX: Duration = Duration::from_millis(100);

/// How long writing the report may take when there is no deadline.
pub const REPORT_TIME_WITHOUT_DEADLINE: Duration = Duration::from_secs(5);

/// How long a helper may take to close the descriptors that a service has sent along with its messages, before it is killed. A
/// socket lingers as long as its owner wishes; until then the service's next messages wait.
pub const CLOSE_TIME: Duration = Duration::from_secs(1);

/// What an open wait counts for when a path is measured: it must not come out as nothing when time is short.
pub const OPEN_WAIT_NOMINAL: Duration = Duration::from_secs(1);

/// A stop that used more than this share of its budget, in percent, was a near miss.
pub const NEAR_MISS_PERCENT: u32 = 80;

/// What PID 1 assumes when it is told nothing: `docker stop` gives ten seconds.
pub const ASSUMED_DEADLINE_CONTAINER: Duration = Duration::from_secs(10);

/// What PID 1 assumes in a Kubernetes pod (`KUBERNETES_SERVICE_HOST` is set).
pub const ASSUMED_DEADLINE_KUBERNETES: Duration = Duration::from_secs(30);

/// How many strays of a service are named one by one in the log and the report; the others are counted. More would help nobody,
/// and to tell them takes as long as to kill them.
pub const STRAYS_NAMED: usize = 1024;

/// How many bytes of log lines wait for a slow reader before the oldest are dropped.
pub const LOG_RING: usize = 256 * 1024;

/// A reader of the last log lines that takes nothing for this long, in milliseconds, is not waited for.
pub const LAST_LOG_LINES: u16 = 20;

/// How long curfew's own helpers, which were killed, are waited for at the end. Where everybody waits for a processor, so do
/// they; but one that hangs in /proc cannot be killed. With a deadline at most a quarter of the margin, of which nobody
/// else takes anything then.
pub const LAST_HELPERS: Duration = Duration::from_millis(500);

/// After a census that took as long as this, which is one of thousands, as much time passes before the next one.
pub const LONG_CENSUS: Duration = Duration::from_millis(5);

/// A guard of the deadline that wakes up so much too late was not scheduled itself.
pub const GUARD_LATE: Duration = Duration::from_millis(100);

/// What the loop gets, once, if curfew as a whole was not scheduled when its deadline came.
pub const GUARD_AGAIN: Duration = Duration::from_secs(2);

/// How long the guard of the deadline, if it comes late, looks for those whom it does not know, to kill them: a moment past the
/// deadline is better than a process that is left.
pub const GUARD_SWEEP: Duration = Duration::from_millis(100);

/// How long a cgroup whose last process is just dying is waited for, before curfew leaves it behind.
pub const LAST_CGROUPS: Duration = Duration::from_millis(20);

/// How long curfew may take at most to remove what services made below their cgroups; as long as the budget lasts, or
/// [`LAST_CGROUPS`] if it is used up. The rest is left behind.
pub const CGROUP_REMOVAL: Duration = Duration::from_secs(5);

/// The longest line, in bytes, that curfew carries in one piece. A service takes this much memory while such a line
/// comes.
pub const OUTPUT_LINE_MAX: usize = 1024 * 1024;

/// How long a slow reader of services' last words is waited for at the end, if there is no deadline; else as long as
/// there is time.
pub const OUTPUT_LAST_WORDS: Duration = Duration::from_secs(5);

/// How long it is waited for if there is no time left.
pub const OUTPUT_LAST_WORDS_LATE: Duration = Duration::from_millis(20);

/// A reader that takes nothing for this long does not read.
pub const OUTPUT_STALL: Duration = Duration::from_millis(100);

/// How long everything is killed, again and again, after a bug in curfew itself.
pub const LAST_RESORT: Duration = Duration::from_secs(2);

/// How long before the end of a stage's wait curfew looks at what a service does; at most a quarter of the wait. After
/// the next signal it may be too late: what is killed can no longer be looked at.
pub const LOOK_AHEAD: Duration = Duration::from_millis(200);

/// How long curfew itself may look. A helper process looks at the rest, and may take until the wait is over.
pub const QUICK_LOOK: Duration = Duration::from_millis(20);

/// How long a helper that finds out whose strays are may say nothing, before it is looked whether it hangs.
pub const COOKIES_LOOK: Duration = Duration::from_millis(50);

/// How long it may take altogether; in a stop no more than an eighth of the time that is left. Who is not known by then
/// belongs to the service under which it was found, or to none.
pub const COOKIES_MAX: Duration = Duration::from_millis(500);

/// How often strays that have come meanwhile are asked for as well, before a count of them is concluded.
pub const COOKIES_ROUNDS: u32 = 3;

/// How many helpers look at the same time; of other services only a quick look is taken.
pub const HELPERS_MAX: usize = 8;

/// How many starts are on their way between fork and exec at the same time, and watched; fewer where there are few
/// descriptors, of which each takes one.
pub const STARTS_AT_ONCE: usize = 256;

/// How long one that is in the way of the next start may still take. Then it is no longer watched: that it failed shows in
/// its exit status alone.
pub const WAIT_FOR_START: Duration = Duration::from_millis(10);

/// How many clients of the control socket there are at the same time; fewer where there are few descriptors. Half of them
/// may wait for something to happen, or watch: the rest is for those who ask and go.
pub const CONTROL_CLIENTS: usize = 64;

/// The longest request on the control socket, in bytes.
pub const CONTROL_REQUEST: usize = 64 * 1024;

/// How many bytes of events are kept for a client that watches and does not read; more are left out.
pub const CONTROL_WATCH_BUFFER: usize = 256 * 1024;

/// How many requests are answered before signals, deaths and deadlines have their turn again.
pub const CONTROL_REQUESTS_AT_ONCE: u32 = 8;

/// How long a client waits for an answer that needs no waiting.
pub const CLIENT_PATIENCE: Duration = Duration::from_secs(5);

/// How long whoever completes a word, or looks for a curfew, waits for one that does not answer.
pub const COMPLETION_PATIENCE: Duration = Duration::from_millis(500);

/// The margin kept free before a deadline: 5 %, at least one second, at most a quarter of the deadline.
pub fn margin(deadline: Duration) -> Duration {
    (deadline / 20).max(Duration::from_secs(1)).min(deadline / 4)
}

/// `TERM 8s, KILL`: the schedule of a service that has none of its own.
pub fn grace_for_services() -> GraceSchedule {
    GraceSchedule::single(StageAction::Fixed(Signal::TERM), GRACE_WAIT)
}

/// The signal that curfew received, 8 s, KILL: the schedule of one command.
pub fn grace_for_one_command() -> GraceSchedule {
    GraceSchedule::single(StageAction::Received, GRACE_WAIT)
}

/// TERM, INT, PWR (LXC, Proxmox) and RTMIN+3 (a container manager that takes us for systemd).
pub fn stop_signals() -> super::SignalSet {
    [Signal::TERM, Signal::INT, Signal::PWR, Signal::RTMIN_3].into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_a_twentieth_but_a_second_at_least_and_a_quarter_at_most() {
        let margin_of = |seconds| margin(Duration::from_secs(seconds));
        assert_eq!(margin_of(90), Duration::from_millis(4500));
        assert_eq!(margin_of(10), Duration::from_secs(1));
        assert_eq!(margin_of(2), Duration::from_millis(500));
    }
}
