//! When a service that ended is started again, and how often.

use std::time::Duration;

use curfew::supervisor::{Cause, Change, Failure, Kind, Notice, RestartWhen, ServiceId, Timestamp};

use super::Complaint;
use super::causes::{Judged, Judgement, judgements};
use super::starts::Reason;
use crate::history::History;
use crate::life::{Life, Plan};

/// After such a run delays begin at the first one again.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// Each end that asks for a restart is planned to lead to one, and no other; no oftener than allowed.
pub(super) fn planned_as_configured(history: &History) -> Complaint {
    let judgements = judgements(history);
    let last = history.stop().map_or(usize::MAX, |(index, _, _)| index);
    for id in history.ids() {
        let name = history.name(id);
        let mut counted: Vec<Timestamp> = Vec::new();
        let mut in_a_row = 0;
        for life in history.lives(id) {
            if matches!(history.reason(life), Some(Reason::Wished(_))) {
                // Somebody gave it another chance.
                (counted, in_a_row) = (Vec::new(), 0);
            }
            let since = life.number.checked_sub(1).map_or(0, |before| history.lives(id)[before].began);
            let is_renewed = |(index, change): (usize, Change)| {
                // Only what had failed is given another chance by another way to look after it.
                let had_failed = |before: &Life| {
                    let is_failing = before.failing.is_some_and(|(failing, ..)| failing < index);
                    !before.is_planned() && (is_failing || before.is_over_before(index))
                };
                let before = life.number.checked_sub(1).map(|of| &history.lives(id)[of]);
                let is_chance = change != Change::Adjusted || before.is_some_and(had_failed);
                is_chance && (since..life.began).contains(&index)
            };
            if history.renewals(id).any(is_renewed) {
                (counted, in_a_row) = (Vec::new(), 0);
            }
            ensure!(life.plans.len() <= 1, "{name} is judged {} times in one life", life.plans.len());
            let judgement = judgements.iter().find(|of| {
                (of.service, of.life) == (id, life.number) && of.what != Judged::Failed(Failure::NotGone)
            });
            let asks = judgement.is_some_and(|judgement| asks_for_another(history, life, judgement));
            let Some((index, at, plan)) = life.plans.first().copied() else {
                // Another has stopped the system in the same moment.
                let others = history.stop().is_some_and(|(_, _, cause)| culprit(cause) != Some(id));
                let too_late =
                    others && judgement.is_some_and(|of| history.handling(of.index).contains(&last));
                ensure!(!asks || too_late, "{name} is not started again, though it should be");
                continue;
            };
            ensure!(asks, "{name} is planned to be started again, though nothing asks for it");
            ensure!(index < last, "{name} is planned to be started again in a stop");
            let settings = history.service_at(id, index);
            let restart = settings.restart;
            if settings.kind == Kind::Service {
                counted.retain(|since| at.since(*since) < restart.within);
            }
            let run = life.work().and_then(|run| run.forked);
            if run.is_some_and(|forked| at.since(forked) >= STABLE_AFTER) {
                in_a_row = 0;
            }
            match plan {
                Plan::Limit => ensure!(
                    counted.len() >= restart.limit as usize,
                    "{name} is given up after {} of {} restarts",
                    counted.len(),
                    restart.limit
                ),
                Plan::Restart(delay) => {
                    ensure!(
                        counted.len() < restart.limit as usize,
                        "{name} is started again for the {}th time within {:?}",
                        counted.len() + 1,
                        restart.within
                    );
                    let full = restart.delay.saturating_mul(1 << in_a_row.min(30)).min(restart.delay_max);
                    ensure!(
                        delay <= full && delay >= full / 4 * 3,
                        "{name} is started again after {delay:?}, not up to a quarter less than {full:?}"
                    );
                    counted.push(at);
                    in_a_row += 1;
                }
            }
        }
    }
    Ok(())
}

/// Whether the settings ask for another life after this.
fn asks_for_another(history: &History, life: &Life, judgement: &Judgement) -> bool {
    let settings = history.service_at(life.service, judgement.index);
    let has_failed = matches!(judgement.what, Judged::Failed(_));
    let is_done = matches!(judgement.what, Judged::Done(_));
    !life.is_unwanted_at(judgement.index)
        && match settings.restart.when {
            RestartWhen::Never => false,
            RestartWhen::OnFailure => has_failed,
            RestartWhen::Always => !is_done,
        }
}

/// A life begins when nothing is left of the one before, and its delay is over; and then it does begin.
pub(super) fn after_the_last_is_gone(history: &History) -> Complaint {
    let is_blind = history.notices().any(|(_, _, notice)| *notice == Notice::StraysHidden);
    for id in history.ids() {
        let name = history.name(id);
        for (life, next) in history.lives(id).iter().zip(history.lives(id).iter().skip(1)) {
            let at = history.entries[next.began].at;
            let Some(gone) = history.gone_at(life).filter(|gone| *gone <= at) else {
                ensure!(is_blind, "{name} is started again at {at}, before all of it is gone");
                continue;
            };
            let Some(Reason::Planned) = history.reason(next) else { continue };
            let Some((_, planned, Plan::Restart(delay))) = life.plans.first() else { continue };
            // A death may be held back before it is judged.
            let gone = gone.max(*planned);
            ensure!(at >= gone + *delay, "{name} is started again at {at}, before its delay is over");
            ensure!(
                is_blind || !history.is_exact() || at == gone + *delay,
                "{name} is started again at {at}, and not at {}",
                gone + *delay
            );
        }
        let Some(life) = history.last_life(id) else { continue };
        let is_waited_for = history.stop().is_none()
            && life.is_planned()
            && life.unwanted.is_empty()
            && !history.is_cut
            && history.gone_at(life).is_some();
        ensure!(!is_waited_for, "{name} was to be started again, but is not");
    }
    Ok(())
}

impl History {
    /// When the last process of a life ended that could be told to be of it; `None`: not yet.
    pub(super) fn gone_at(&self, life: &Life) -> Option<Timestamp> {
        let mut gone = self.entries[life.began].at;
        for process in &self.processes {
            if (process.service, process.life) == (life.service, life.number) && self.shows(process) {
                gone = gone.max(process.ended?.0);
            }
        }
        Some(gone)
    }

    /// Whether something of a life could not be killed in time.
    pub(super) fn lingers(&self, life: &Life) -> bool {
        self.notices().any(|(index, _, notice)| {
            (life.began..life.until).contains(&index)
                && matches!(notice, Notice::ServiceLingers { service, .. } if *service == life.service)
        })
    }
}

/// Who the system stops for.
const fn culprit(cause: Cause) -> Option<ServiceId> {
    match cause {
        Cause::ServiceEnded { service, .. } | Cause::ServiceFailed { service, .. } => Some(service),
        Cause::Signal { .. } | Cause::Request { .. } | Cause::NothingLeft => None,
    }
}
