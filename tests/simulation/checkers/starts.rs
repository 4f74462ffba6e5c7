//! When services are started, for the first time and again.

use curfew::supervisor::{Change, Command, Event, Failure, Kind, Notice, Request, ServiceId, Step};

use super::Complaint;
use super::causes::{Judged, first_cause_seen, judgements};
use crate::history::{History, What};
use crate::life::Life;

/// Why a life began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It is the first.
    First,
    /// The one before came to an end that asks for another.
    Planned,
    /// Somebody asked for a restart, or for a start of what was on its way down.
    Again,
    /// Somebody asked for a start, there.
    Wished(usize),
}

impl History {
    /// Why a life began, if there was a reason.
    pub(super) fn reason(&self, life: &Life) -> Option<Reason> {
        let before = life.number.checked_sub(1).map(|number| &self.lives(life.service)[number]);
        let since = before.map_or(0, |before| before.began);
        let wish = self.events().filter(|(index, ..)| (since..life.began).contains(index));
        let wish = wish.filter_map(|(index, _, event)| match event {
            Event::Requested(Request::Restart(service)) if *service == life.service => {
                self.epoch_at(index).has(*service).then_some((index, true))
            }
            Event::Requested(Request::Start(service) | Request::Restart(service)) => {
                let is_meant = self.epoch_at(index).has(*service)
                    && self.all_before(*service, index).contains(&life.service);
                is_meant.then_some((index, false))
            }
            _ => None,
        });
        let renewed = self.renewals(life.service).filter(|(index, _)| (since..life.began).contains(index));
        let Some(before) = before else { return Some(Reason::First) };
        // What had failed is given another chance.
        let renewed = renewed
            .filter(|(index, change)| {
                let has_failed = before.failing.is_some_and(|(failing, ..)| failing < *index);
                let is_over = !before.is_planned() && (has_failed || before.is_over_before(*index));
                *change != Change::Adjusted || is_over && before.restart_wishes.is_empty()
            })
            .map(|(index, change)| (index, matches!(change, Change::Restarted | Change::StillStopped)));
        let mut wishes: Vec<(usize, bool)> = wish.chain(renewed).collect();
        wishes.sort_unstable();
        // A wish comes before what was planned, or after it was given up.
        match wishes.last() {
            None if before.is_planned() => Some(Reason::Planned),
            None => None,
            Some((index, _)) => {
                // It was about to be started again.
                let is_again = self.renewals(life.service).any(|(of, _)| of == *index)
                    && before.restart_wishes.iter().any(|wish| wish < index);
                let was_gone = !is_again
                    && self.was_found_gone(before, *index)
                    && (!before.is_planned() || before.is_unwanted_at(*index - 1))
                    && !self.was_brought_back(before, *index);
                let restarts = wishes.iter().any(|(_, is_restart)| *is_restart);
                if before.is_planned() && before.unwanted.is_empty() && !restarts {
                    return Some(Reason::Planned);
                }
                Some(if was_gone { Reason::Wished(*index) } else { Reason::Again })
            }
        }
    }

    /// Whether somebody had asked for another life while something was left of this one, and nobody against it until this entry.
    fn was_brought_back(&self, life: &Life, until: usize) -> bool {
        let judgements = judgements(self);
        let of_it = || judgements.iter().filter(|of| (of.service, of.life) == (life.service, life.number));
        self.events().filter(|(index, ..)| (life.began..until).contains(index)).any(|(index, _, event)| {
            let asks = match event {
                Event::Requested(Request::Restart(service)) => *service == life.service,
                // What is well goes on.
                Event::Requested(Request::Start(service)) => {
                    let is_ending = life.stop_begun.is_some_and(|(begun, _)| begun < index)
                        || of_it().any(|of| of.index < index);
                    is_ending && self.all_before(*service, index).contains(&life.service)
                }
                _ => false,
            };
            let is_later = |at: usize| (index..until).contains(&at);
            asks && !self.was_found_gone(life, index)
                && !life.unwanted.iter().any(|(from, _)| is_later(*from))
                && !of_it().any(|of| of.what == Judged::Failed(Failure::NotGone) && is_later(of.index))
        })
    }

    /// When reloads changed a service, and how.
    pub(super) fn renewals(&self, id: ServiceId) -> impl Iterator<Item = (usize, Change)> {
        self.notices().flat_map(move |(index, _, notice)| {
            let changes = match notice {
                Notice::ReloadApplied { changes, .. } => changes.as_slice(),
                _ => &[],
            };
            let of = changes.iter().filter(move |(of, change)| *of == id && *change != Change::Removed);
            of.map(move |(_, change)| (index, *change))
        })
    }

    /// Whether a census had found nothing of a life by this entry.
    fn was_found_gone(&self, life: &Life, index: usize) -> bool {
        let Some(gone) = self.gone_at(life).filter(|_| life.is_over_before(index)) else { return false };
        let ended =
            life.runs.iter().filter_map(|run| run.ended.map(|(ended, ..)| ended).or(Some(run.started)));
        let ended = ended.max().unwrap_or(life.began);
        let told = life.ends_told.iter().map(|(told, ..)| *told).max().unwrap_or(ended);
        (ended.max(told)..index).any(|census| {
            let entry = &self.entries[census];
            entry.at >= gone && matches!(&entry.what, What::Event(Event::Census { .. }))
        })
    }

    /// Whether what comes after `id` may be started at this entry. With `since`: what counted before does not.
    fn is_reached(&self, id: ServiceId, index: usize, since: Option<usize>) -> bool {
        let settings = self.service_at(id, index);
        let since = since.unwrap_or(0);
        let lingers = self.notices().any(|(at, _, notice)| {
            at < index && matches!(notice, Notice::ServiceLingers { service, .. } if *service == id)
        });
        let mut lives = self.lives(id).iter().filter(|life| life.began < index);
        lingers
            || lives.any(|life| {
                let ended = life.end().filter(|(ended, ..)| *ended < index);
                let never_ran = life.start_failure().filter(|_| life.is_over_before(index));
                let over = ended.map(|(ended, ..)| ended).or(never_ran.map(|(failed, _)| failed));
                let has_failed = over.is_some_and(|over| over >= since)
                    && over.is_some_and(|over| !self.service_at(id, over).essential)
                    && !life.is_planned()
                    && !life.is_unwanted_at(index);
                has_failed
                    || match settings.kind {
                        Kind::Service => {
                            life.ready.is_some_and(|(ready, _)| ready < index)
                                && over.is_none_or(|over| over >= since)
                        }
                        Kind::Task => {
                            !life.was_told_before_its_end()
                                && ended.is_some_and(|(ended, _, end)| self.is_success(id, ended, end))
                        }
                    }
            })
    }
}

pub(super) fn starts(history: &History) -> Complaint {
    let stop = first_cause_seen(history).map_or(usize::MAX, |(index, _)| index);
    for (index, _, command) in history.commands() {
        let Command::Start { service, step: Step::PreStart | Step::Main } = command else { continue };
        ensure!(index < stop, "{} was started after the stop had begun", history.name(*service));
    }
    for life in history.ids().flat_map(|id| history.lives(id)) {
        let name = history.name(life.service);
        ensure!(!life.is_unwanted_at(life.began), "{name} was started, though somebody had stopped it");
        let Some(reason) = history.reason(life) else {
            return Err(format!("{name} was started once more, without a reason"));
        };
        let since = match reason {
            Reason::Planned | Reason::Again => continue,
            Reason::First => None,
            Reason::Wished(index) => Some(index),
        };
        for dependency in history.dependencies_at(life.service, life.began) {
            // A reload starts what it changes, and not what that comes after.
            let is_meant = |index: &usize| {
                matches!(history.entries[*index].what, What::Event(_))
                    || history
                        .renewals(*dependency)
                        .any(|(of, change)| of == *index && change != Change::Adjusted)
            };
            let since = since.filter(is_meant);
            ensure!(
                history.is_reached(*dependency, life.began, since),
                "{name} was started before {}",
                history.name(*dependency)
            );
        }
    }
    Ok(())
}

pub(super) fn one_leader_at_once(history: &History) -> Complaint {
    let mut leads: Vec<Option<Step>> = vec![None; history.settings.services.len() + 2];
    for (index, entry) in history.entries.iter().enumerate() {
        match &entry.what {
            What::Command(Command::Start { service, step }, _) => {
                let before = leads[service.index()].replace(*step);
                ensure!(
                    before.is_none(),
                    "{} {step} is started at {}, but {} runs",
                    history.name(*service),
                    entry.at,
                    before.map(|step| step.to_string()).unwrap_or_default()
                );
            }
            What::Event(Event::LeaderEnded { service, .. }) => leads[service.index()] = None,
            What::Event(Event::StartFailed { service, .. }) => {
                let mut runs = history.lives(*service).iter().flat_map(|life| &life.runs);
                let forked = runs.any(|run| {
                    run.failure.is_some_and(|(failed, _)| failed == index) && run.forked.is_some()
                });
                if !forked {
                    leads[service.index()] = None;
                }
            }
            What::Event(_) | What::Command(..) => {}
        }
    }
    Ok(())
}
