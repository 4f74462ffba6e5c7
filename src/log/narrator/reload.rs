//! What is said of a configuration that is read anew.

use super::{Narrator, describe_sender, words};
use crate::log::record::milliseconds;
use crate::supervisor::{Change, Deadline, Notice, ServiceId};

impl Narrator {
    /// Says what was decided about a reload.
    pub(super) fn tell_of_reload(&self, notice: &Notice) {
        match *notice {
            Notice::ReloadRequested { sender } => {
                tracing::info!(event = "reload.requested", "reload requested{}", describe_sender(sender));
            }
            Notice::ReloadRefused { ref reasons } => {
                for reason in reasons {
                    tracing::error!(event = "reload.refused", "nothing is reloaded: {reason}");
                }
            }
            Notice::ReloadApplied { ref changes, kept, ref system, deadline, ref later } => {
                let of = |wanted| self.names_with(changes, wanted);
                let [added, removed, restarted, still_stopped, adjusted] = [
                    Change::Added,
                    Change::Removed,
                    Change::Restarted,
                    Change::StillStopped,
                    Change::Adjusted,
                ]
                .map(of);
                let parts = [
                    ("added", &added),
                    ("removed", &removed),
                    ("started anew", &restarted),
                    ("changed, but still stopped", &still_stopped),
                    ("adjusted", &adjusted),
                ];
                let mut text: Vec<String> = parts
                    .iter()
                    .filter(|(_, names)| !names.is_empty())
                    .map(|(what, names)| format!("{what}: {names}"))
                    .collect();
                let system = system.join(", ");
                if !system.is_empty() {
                    text.push(format!("changed for the whole system: {system}"));
                }
                if let Some(deadline) = deadline {
                    text.push(describe_deadline(deadline));
                }
                if text.is_empty() {
                    text.push("nothing has changed".to_owned());
                }
                tracing::info!(
                    event = "reload.applied",
                    added = some(&added),
                    removed = some(&removed),
                    restarted = some(&restarted),
                    still_stopped = some(&still_stopped),
                    adjusted = some(&adjusted),
                    kept,
                    system = some(&system),
                    "configuration reloaded; {}",
                    text.join("; ")
                );
                if !later.is_empty() {
                    tracing::warn!(
                        event = "reload.later",
                        keys = later.join(", ").as_str(),
                        "changed, but only counts when curfew is started again: {}",
                        later.join(", ")
                    );
                }
            }
            Notice::ReloadComplete { after, ref failed } => {
                let after_ms = milliseconds(after);
                if failed.is_empty() {
                    tracing::info!(
                        event = "reload.complete",
                        after_ms,
                        "reload complete after {}",
                        words(after)
                    );
                    return;
                }
                let names = failed.iter().map(|service| self.name(*service)).collect::<Vec<_>>().join(", ");
                tracing::warn!(
                    event = "reload.complete",
                    after_ms,
                    failed = names.as_str(),
                    "reload complete after {}, but not well: {names}",
                    words(after)
                );
            }
            // Everything else is told elsewhere.
            _ => debug_assert!(false, "{notice:?} is not of a reload"),
        }
    }

    fn names_with(&self, changes: &[(ServiceId, Change)], wanted: Change) -> String {
        let of = changes.iter().filter(|(_, change)| *change == wanted);
        of.map(|(service, _)| self.name(*service)).collect::<Vec<_>>().join(", ")
    }
}

/// `deadline 30s, budget 28s 500ms`.
fn describe_deadline(deadline: Option<Deadline>) -> String {
    deadline.map_or_else(
        || "no deadline".to_owned(),
        |deadline| format!("deadline {}, budget {}", words(deadline.deadline), words(deadline.budget())),
    )
}

/// Only what there is is a field.
fn some(names: &str) -> Option<&str> {
    (!names.is_empty()).then_some(names)
}
