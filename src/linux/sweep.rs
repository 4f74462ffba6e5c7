//! The last sweep, when nobody's grace counts any more.

use std::collections::{HashMap, HashSet};

use super::delivery::{kill_group_of_stray, to_group_of, to_process, to_unlisted};
use super::inherited::Inherited;
use super::proc_file_system::{FamilyTree, Process};
use crate::supervisor::{Pid, ServiceId, Signal};

/// Sends KILL to whoever descends from us and is not among the inherited, until nobody is found who was not sent it, or until
/// `goes_on` says no. Returns whom it found. `sessions`: those of our leaders, which are the numbers of their groups as well.
///
/// Whoever was sent KILL forks no more. So each is sent it before his children are looked up: none comes after that look, and
/// those of whoever ends meanwhile have come to us by the next round.
pub(crate) fn kill_descendants(
    inherited: &mut Inherited,
    sessions: &HashMap<i32, ServiceId>,
    goes_on: &dyn Fn() -> bool,
) -> Vec<Process> {
    let me = std::process::id() as i32;
    let mut found = Vec::new();
    let (mut killed, mut groups, mut dead) = (HashSet::new(), HashSet::new(), HashSet::new());
    loop {
        let tree = FamilyTree::look();
        if me == 1 || tree.is_blind() {
            to_unlisted(sessions.keys().copied(), Signal::KILL);
            return found;
        }
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
                    match Pid::new(process.group).filter(|_| sessions.contains_key(&process.group)) {
                        Some(leader) => drop(to_group_of(leader, Signal::KILL)),
                        None => kill_group_of_stray(&process, false),
                    }
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
