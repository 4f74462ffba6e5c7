//! The promises, checked on what can be seen: commands, notices, and the fake kernel's truth. Nothing here uses the
//! core's arithmetic; where a formula is needed, it is the one in the design, written once more.

/// Complains, unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($complaint:tt)+) => {
        if !$condition {
            return Err(format!($($complaint)+));
        }
    };
}

mod causes;
mod facts;
mod grace;
mod order;
mod outcomes;
mod platform;
mod probes;
mod reloads;
mod restarts;
mod starts;
mod steps;
mod telling;
mod the_end;
mod time;
mod waits;
mod wishes;

use curfew::supervisor::Event;

use super::history::History;

type Complaint = Result<(), String>;
type Checker = (&'static str, fn(&History) -> Complaint);

/// Every checker, by name.
const CHECKERS: [Checker; 39] = [
    ("starts follow their dependencies, once, and never after a stop began", starts::starts),
    ("the stop begins at its first cause, and only then", causes::first_cause),
    ("exit comes inside the budget", time::inside_the_budget),
    ("nobody is killed before its grace has ended", grace::whole_grace),
    ("nobody is killed unasked", grace::asked_before_killed),
    ("nothing is shortened that would have fitted", time::no_needless_shrinking),
    ("a dependency is signalled when its dependents are down or given up", order::stop_order),
    ("levels never fall", grace::levels_never_fall),
    ("no signal goes to a process that was reaped", grace::no_signal_to_the_dead),
    ("CONT follows every stop signal", grace::continued),
    ("the exit status follows from the outcomes", outcomes::exit_status),
    ("the verdict follows from the outcomes", outcomes::verdict),
    ("at the end everybody is dead or named", the_end::accounted_for),
    ("at the end nothing is armed", the_end::nothing_armed),
    ("obedient processes stop in the time of the slowest", time::no_time_lost),
    ("what is told is what was done", telling::told_truly),
    ("it comes to an end", the_end::comes_to_an_end),
    ("a service has one leader at a time", starts::one_leader_at_once),
    ("restarts are planned as configured", restarts::planned_as_configured),
    (
        "a service is started again when all of it is gone and its delay is over",
        restarts::after_the_last_is_gone,
    ),
    ("commands around a service run at their place, once in each life", steps::at_their_place),
    ("commands around a service take no longer than they may", steps::no_longer_than_they_may),
    ("the cleanup comes last, and once", steps::cleanup_comes_last),
    ("probes are made one at a time, where they belong", probes::one_at_a_time_where_they_belong),
    ("unhealthy is who failed too many probes", probes::unhealthy_after_so_many),
    ("who must be ready or done by a time is, or fails", waits::ready_or_done_in_time),
    ("who is late for its watchdog fails, and nobody else", waits::watchdogs_are_heard),
    ("more time is given to who asks for it", waits::extended_as_asked),
    ("READY and STOPPING are said once, at their time", platform::ready_and_stopping_once),
    ("pings come in time", platform::pings),
    ("the platform is asked for time before it runs out", platform::time_is_asked_for),
    ("services are stopped as they are asked to be", wishes::stopped_as_asked),
    ("a request in a stop is refused, and that is told", wishes::refused_in_a_stop),
    ("whoever asks how things are is told the truth", telling::status_is_true),
    ("every reload has an end", reloads::has_an_end),
    ("what a reload leaves alone is left alone", reloads::kept_is_left_alone),
    ("every life begins as the configuration read last says", reloads::started_as_read_last),
    ("a changed service is another when all of it is gone", reloads::adopted_when_gone),
    ("what is removed is stopped behind what came after it", reloads::removed_in_order),
];

/// What each checker has to complain about.
pub(crate) fn complaints(history: &History) -> Vec<(&'static str, String)> {
    // These know the deadline from the settings: where the platform tells it, the scenario says what is to come of it. So it
    // is where the platform hears us again in the middle of a stop.
    let stop = history.stop().map(|(stop, ..)| stop);
    let learnt = history.events().any(|(index, _, event)| match event {
        Event::DeadlineLearnt { .. } => true,
        Event::PlatformHears(true) => stop.is_some_and(|stop| index > stop),
        _ => false,
    });
    let of_deadline = ["exit comes inside the budget", "what is told is what was done"];
    // Where it ceases to, what was granted is taken back.
    let taken_back = history.unheard_in_the_stop().is_some();
    let of_waits = [
        "nobody is killed before its grace has ended",
        "nobody is killed unasked",
        "nothing is shortened that would have fitted",
        "a dependency is signalled when its dependents are down or given up",
    ];
    // These know of one set of settings for each life: where a reload changes them in the middle of it, the scenario says
    // what is to come of it.
    let reloaded = history.is_reloaded();
    let of_settings = [
        "nothing is shortened that would have fitted",
        "obedient processes stop in the time of the slowest",
        "probes are made one at a time, where they belong",
        "unhealthy is who failed too many probes",
        "the platform is asked for time before it runs out",
    ];
    CHECKERS
        .iter()
        .filter(|(name, _)| !(learnt && of_deadline.contains(name)))
        .filter(|(name, _)| !(reloaded && of_settings.contains(name)))
        .filter(|(name, _)| !((learnt || taken_back) && of_waits.contains(name)))
        .filter_map(|(name, checker)| checker(history).err().map(|complaint| (*name, complaint)))
        .collect()
}
