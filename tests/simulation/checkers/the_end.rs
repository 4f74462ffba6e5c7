//! The end of a run.

use std::collections::BTreeSet;

use curfew::supervisor::{Event, Notice, Request};

use super::Complaint;
use crate::history::{History, What};
use crate::kernel::Kernel;

pub(super) fn accounted_for(history: &History) -> Complaint {
    if history.finish().is_none() {
        return Ok(());
    }
    let named: BTreeSet<usize> = history
        .notices()
        .filter_map(|(_, _, notice)| match notice {
            Notice::Survivor { pid, .. } => Some(Kernel::index(*pid)),
            _ => None,
        })
        .collect();
    for index in &named {
        let process = &history.processes[*index];
        ensure!(process.ended.is_none(), "{} is named as a survivor, but is dead", Kernel::pid(*index));
    }
    let said = history.notices().any(|(_, _, notice)| matches!(notice, Notice::AllStopped { .. }));
    let hidden = history.notices().any(|(_, _, notice)| matches!(notice, Notice::HiddenSurvivors));
    ensure!(
        said == (named.is_empty() && !hidden),
        "all are said to be stopped: {said}, survivors: {}",
        named.len()
    );
    for (index, process) in history.processes.iter().enumerate() {
        if process.ended.is_some() {
            continue;
        }
        // Who is under a living leader that is named is named with it.
        let mut ancestor = Some(index);
        let mut is_named = false;
        while let Some(current) = ancestor {
            is_named |= named.contains(&current);
            ancestor = history.processes[current].parent;
        }
        ensure!(is_named || hidden, "{} is left and was not named", Kernel::pid(index));
    }
    Ok(())
}

pub(super) fn nothing_armed(history: &History) -> Complaint {
    let Some((finish, _, _)) = history.finish() else { return Ok(()) };
    ensure!(history.armed.is_none(), "a timer is armed for {:?}", history.armed);
    for entry in &history.entries[finish + 1..] {
        if let What::Command(command, _) = &entry.what {
            return Err(format!("{command:?} comes after the end"));
        }
    }
    Ok(())
}

pub(super) fn comes_to_an_end(history: &History) -> Complaint {
    if history.finish().is_some() {
        return Ok(());
    }
    // For ever is right only for an open stage outside a budget.
    let open = history.notices().any(|(_, _, notice)| matches!(notice, Notice::StageSent { wait: None, .. }));
    if history.stop().is_some() {
        ensure!(open && history.settings.deadline.is_none(), "it never ends");
    }
    if history.is_cut {
        return Ok(());
    }
    ensure!(history.armed.is_none(), "it is still waiting for {:?}", history.armed);
    if history.stop().is_none() {
        let runs = history.processes.iter().any(|process| process.is_leader && process.ended.is_none());
        // Somebody may start again what he has stopped.
        let is_kept =
            history.events().any(|(_, _, event)| matches!(event, Event::Requested(Request::Stop(_))));
        ensure!(runs || open || is_kept, "nothing runs, but it goes on");
    }
    Ok(())
}
