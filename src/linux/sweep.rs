//! The last sweep, when nobody's grace counts any more.

use std::collections::{HashMap, HashSet};

use super::delivery::{kill_group_of_stray, to_process, to_unlisted};
use super::inherited::Inherited;
use super::proc_file_system::{FamilyTree, Process};
use crate::supervisor::{ServiceId, Signal};

/// Sends KILL to whoever descends from us and is not among the inherited, until nobody is found who was not sent it, or until
/// `goes_on` says no. Those of `sessions` come first. Returns whom it found.
///
/// Whoever was sent KILL forks no more. So each is sent it before his children are looked up: none comes after that look, and
/// those of whoever ends meanwhile have come to us by the next round.
pub(crate) fn kill_descendants(
    inherited: &mut Inherited,
    sessions: &HashMap<i32, ServiceId>,
    goes_on: &dyn Fn() -> bool,
) -> Vec<Process> {
    to_unlisted(sessions.keys().copied(), Signal::KILL);
    let me = std::process::id() as i32;
    let mut found = Vec::new();
    // All are sent it already, and the kernel ends them with us in any case.
    if me == 1 {
        return found;
    }
    let (mut killed, mut groups, mut dead) = (HashSet::new(), HashSet::new(), HashSet::new());
    loop {
        let tree = FamilyTree::look();
        let mut open = tree.children(me);
        inherited.look_at(&tree, &open, sessions);
        open.retain(|pid| !inherited.contains(*pid));
        let (mut seen, mut parents) = (HashSet::new(), HashSet::from([me]));
        let mut is_over = true;
        while let Some(pid) = open.pop() {
            if !goes_on() {
                return found;
            }
            if !seen.insert(pid) {
                continue;
            }
            let Some(process) = Process::read(pid).filter(|process| !process.is_dead()) else {
                // Whoever came from him has come to us, perhaps since our list was made.
                is_over &= !dead.insert(pid);
                continue;
            };
            if !parents.contains(&process.parent) {
                // Another one has its pid since it was listed; or it has another parent by now.
                is_over = false;
                continue;
            }
            parents.insert(pid.number());
            let is_new = killed.insert((pid, process.birth));
            if is_new {
                if groups.insert(process.group) {
                    kill_group_of_stray(&process, false);
                }
                // ESRCH: gone meanwhile. EPERM: out of our reach.
                let _ = to_process(&process, Signal::KILL);
            }
            open.extend(tree.children_of(&process));
            if is_new {
                is_over = false;
                found.push(process);
            }
        }
        if is_over {
            return found;
        }
    }
}
