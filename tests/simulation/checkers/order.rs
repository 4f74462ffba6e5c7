//! The order of a stop.

use std::collections::{BTreeMap, BTreeSet};

use curfew::supervisor::{Notice, Recipients, ServiceId, Signal, Timestamp};

use super::Complaint;
use crate::history::History;

pub(super) fn stop_order(history: &History) -> Complaint {
    let Some((stop, _, _)) = history.stop() else { return Ok(()) };
    let reserve = history.reserve_at_least();
    let mut begun = BTreeSet::new();
    let mut killed: BTreeMap<ServiceId, Timestamp> = BTreeMap::new();
    let mut down: BTreeMap<ServiceId, usize> = BTreeMap::new();
    for (index, at, notice) in history.notices() {
        let (id, of_leader, is_kill) = match notice {
            Notice::PreStopBegun { service, .. } | Notice::DrainBegun { service, .. } => {
                (*service, true, false)
            }
            Notice::StageRun { service, .. } => (*service, true, false),
            Notice::StageSent { service, recipients, signal, .. } => {
                let is_kill = *signal == Signal::KILL;
                if is_kill {
                    killed.entry(*service).or_insert(at);
                }
                (*service, matches!(recipients, Recipients::Leader(_)), is_kill)
            }
            // Only commands were left of it, which are killed unsaid.
            Notice::ServiceLingers { service, waited } => {
                killed.entry(*service).or_insert_with(|| at.before(*waited));
                continue;
            }
            Notice::ServiceDown { service, .. } => {
                down.insert(*service, index);
                continue;
            }
            _ => continue,
        };
        let name = history.name(id);
        // Strays whose leader is gone begin on their own; so does what runs after the end.
        let began_before = history.life_at(id, index).is_some_and(|life| {
            life.stop_begun.is_some_and(|(begun, _)| begun < stop) || life.is_over_before(index)
        });
        if index < stop || is_kill && history.kill_is_due(index, at) || !begun.insert(id) || began_before {
            continue;
        }
        let dependents: Vec<ServiceId> = if history.is_stray_service(id) {
            history.ids().collect()
        } else if of_leader && history.is_service(id) {
            history.settings.order.dependents(id).to_vec()
        } else {
            Vec::new()
        };
        for dependent in dependents {
            let Some(life) = history.last_life(dependent) else { continue };
            let is_down = down.get(&dependent).is_some_and(|told| *told > life.began);
            let given_up = killed.get(&dependent).is_some_and(|since| at.since(*since) >= reserve);
            ensure!(
                given_up || is_down || history.is_gone(dependent, at),
                "{name} is signalled at {at}, before {} is down",
                history.name(dependent)
            );
        }
    }
    Ok(())
}
