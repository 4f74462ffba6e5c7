//! What many tests expect of a unit after its stop.

use crate::lab::Lab;

/// systemd's words for a SIGKILL of its own.
const SYSTEMD_KILLS: &str = "Killing process ";
/// systemd's words for a process that it finds when curfew is gone.
const SYSTEMD_FINDS: &str = "left-over process";

/// The lines that tell of a stop.
const THREE_LINES: [&str; 3] = ["🛑 stop requested", "✅ all services stopped", "🏁 shutdown complete"];

/// The unit was stopped with this result and exit status of its main process.
#[track_caller]
pub(crate) fn stopped_with(lab: &Lab, unit: &str, result: &str, status: &str) {
    let seen = [lab.show(unit, "Result"), lab.show(unit, "ExecMainStatus")];
    assert_eq!(seen, [result, status], "the result and the exit status of {unit}");
}

/// systemd had to kill nobody, and found nobody when curfew was gone.
#[track_caller]
pub(crate) fn nothing_left_for_systemd(lab: &Lab, unit: &str) {
    let messages = lab.messages(unit);
    let has = |words: &str| messages.iter().any(|message| message.contains(words));
    assert!(!has(SYSTEMD_KILLS) && !has(SYSTEMD_FINDS), "{messages:#?}");
}

/// systemd killed somebody.
#[track_caller]
pub(crate) fn systemd_killed(lab: &Lab, unit: &str) {
    let messages = lab.messages(unit);
    assert!(messages.iter().any(|message| message.contains(SYSTEMD_KILLS)), "{messages:#?}");
}

/// The three lines are in the journal, each once and in their order.
#[track_caller]
pub(crate) fn three_lines_in_order(lab: &Lab, unit: &str) {
    let messages = lab.messages(unit);
    let found: Vec<&str> = messages
        .iter()
        .filter_map(|message| THREE_LINES.iter().copied().find(|line| message.contains(line)))
        .collect();
    assert_eq!(found, THREE_LINES, "{messages:#?}");
}
