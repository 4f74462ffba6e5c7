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
mod starts;
mod telling;
mod the_end;
mod time;

use super::history::History;

type Complaint = Result<(), String>;
type Checker = (&'static str, fn(&History) -> Complaint);

/// Every checker, by name.
const CHECKERS: [Checker; 17] = [
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
];

/// What each checker has to complain about.
pub(crate) fn complaints(history: &History) -> Vec<(&'static str, String)> {
    CHECKERS
        .iter()
        .filter_map(|(name, checker)| checker(history).err().map(|complaint| (*name, complaint)))
        .collect()
}
