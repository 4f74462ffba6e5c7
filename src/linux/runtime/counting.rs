//! Who is left, and whose they are. As far as only their environment tells, that takes a moment: it never holds up the loop.

use std::collections::HashSet;

use super::super::census::{Census, Found};
use super::super::delivery::is_child;
use super::super::proc_file_system::Process;
use super::super::wait_set::Ready;
use super::{Listener, Runtime};
use crate::supervisor::{Event, Pid, ServiceId, Signal, Stray, Timestamp, defaults};

impl<L: Listener> Runtime<L> {
    /// Takes the census if it is wanted: once, however many deaths asked for it.
    pub(super) fn count(&mut self) {
        let (mut attempts, mut dead_before) = (0, Vec::new());
        if !self.may_count() {
            return;
        }
        // The end of the budget has its turn: what is left by then is killed, and looked at for the last time.
        while self.census_wanted && attempts < CENSUS_ATTEMPTS && !self.is_overdue() {
            // All deaths first: a census must not count who is dead. Signals before deaths, as always.
            self.take_signals();
            self.reap_all();
            // More are dead than could be reaped: to count thousands after each few hundred of them would take for ever.
            if self.work_is_left && !self.is_worth_counting() {
                return;
            }
            if self.cookies.are_awaited() {
                // The answers bring us back here.
                return;
            }
            attempts += 1;
            let mut hidden = false;
            let began = self.clock.now();
            let goes_on = self.until_overdue();
            let census = self.family.census(&mut self.cgroups, None, &goes_on);
            let was_long = self.note_census(began);
            self.cgroups.forget_removed(&self.wait_set);
            let found = match census {
                Census::Complete(found) => found,
                Census::Hidden => {
                    hidden = true;
                    Vec::new()
                }
                // The same dead as before: somebody else traces them, and only that keeps us from reaping them.
                Census::Moving { found, dead, is_cut: false, .. }
                    if !dead.is_empty() && dead == dead_before =>
                {
                    for pid in dead {
                        self.is_held_dead(pid);
                    }
                    found
                }
                // Whoever it is, no list will ever name them. Should there be somebody after all: the end of the run kills
                // what is left in the cgroups.
                Census::Unlisted if attempts == CENSUS_ATTEMPTS => Vec::new(),
                Census::Unlisted => continue,
                // Many come and go. Those that were found can be told to stop; their ends bring us back here.
                Census::Moving { found, dead, is_cut, left_out }
                    if is_cut || !found.is_empty() && (was_long || attempts >= ATTEMPTS_IN_A_CROWD) =>
                {
                    self.with_the_unseen(found, &dead, is_cut, left_out)
                }
                // Somebody is a new process every moment. Its next death wakes us, and we look again.
                Census::Moving { dead, .. } => {
                    dead_before = dead;
                    continue;
                }
            };
            if self.cookie_rounds < defaults::COOKIES_ROUNDS && self.ask_whose(&found) {
                self.cookie_rounds += 1;
                return;
            }
            self.cookie_rounds = 0;
            if found.is_empty() {
                self.family.remembered.clear();
            }
            for Found { process, service } in &found {
                if let Some(service) = service {
                    self.family.remember(process, *service);
                }
            }
            self.strays = found;
            let children = self.strays.iter().map(|found| &found.process).filter(|process| is_child(process));
            self.unreaped_strays = children.map(|process| process.pid).collect();
            self.strays_counted = self.unreaped_strays.len();
            (self.census_wanted, self.strays_are_hidden) = (false, hidden);
            let strays = self.strays.iter().map(|found| Stray {
                pid: found.process.pid,
                service: found.service,
                name: found.process.name.clone(),
            });
            let strays = strays.collect();
            self.handle(Event::Census { strays, hidden });
        }
        self.work_is_left |= self.census_wanted && self.may_count();
    }

    /// Whether a census is not too soon behind one that took long. The last look of a stop is never too soon.
    fn may_count(&self) -> bool {
        self.clock.now() >= self.census_after || self.supervisor.is_time_up()
    }

    /// As much time as a long census took is left for others. Returns whether it was one.
    fn note_census(&mut self, began: Timestamp) -> bool {
        let now = self.clock.now();
        let took = now.since(began);
        let was_long = took >= defaults::LONG_CENSUS;
        if was_long {
            self.census_after = now + took;
        }
        self.census_by = now + took * LONG_BEHIND;
        was_long
    }

    /// Whether so many of those who were counted last are gone that another count costs less than what they did.
    fn is_worth_counting(&self) -> bool {
        self.unreaped_strays.len() <= self.strays_counted / 2
            || self.clock.now() >= self.census_by
            || self.supervisor.is_time_up()
    }

    /// With those who are known, and not proved to be gone: who has just died is still to be reaped, and whoever was not looked
    /// at is still there. Our children among these are told to stop with the others.
    fn with_the_unseen(
        &self,
        mut found: Vec<Found>,
        dead: &[Pid],
        is_cut: bool,
        left_out: Vec<Pid>,
    ) -> Vec<Found> {
        let seen: HashSet<Pid> = found.iter().map(|found| found.process.pid).collect();
        let dead: HashSet<Pid> = dead.iter().copied().collect();
        let unseen = self.strays.iter().filter(|known| {
            let pid = &known.process.pid;
            let is_reaped = is_child(&known.process) && !self.unreaped_strays.contains(pid);
            !seen.contains(pid) && !is_reaped && (is_cut || dead.contains(pid))
        });
        found.extend(unseen.cloned());
        let known: HashSet<Pid> = self.strays.iter().map(|known| known.process.pid).collect();
        let unknown = left_out.into_iter().filter(|pid| !seen.contains(pid) && !known.contains(pid));
        found.extend(unknown.map(|pid| {
            let process = Process::not_looked_at(pid);
            let service = self.family.known_service_of(&process).or(self.family.fallback);
            Found { process, service }
        }));
        found
    }

    /// Asks whose these are, where that is not known. Returns whether answers are to come.
    pub(super) fn ask_whose(&mut self, found: &[Found]) -> bool {
        // One command has no others that it could be told from: all is its own.
        if self.family.fallback.is_some() {
            return false;
        }
        let unread = self.family.unread(found);
        let now = self.clock.now();
        let time_left = self.supervisor.time_left(now).map(|left| left / 8);
        let longest = time_left.into_iter().chain([defaults::COOKIES_MAX]).min().unwrap_or_default();
        if unread.is_empty() || longest.is_zero() || self.cookies.are_awaited() {
            return self.cookies.are_awaited();
        }
        let (run, names) = (&self.family.run, &self.family.names);
        let Some(helper) = self.cookies.ask(unread, run, names, now, now + longest) else { return false };
        self.family.helpers.insert(helper);
        if let Some(pipe) = self.cookies.waiting_on() {
            // Unwatched, it is heard when its time is over.
            let _ = self.wait_set.add_read(pipe, Ready::Cookies);
        }
        true
    }

    /// Whoever of them turns out to be of the service gets the signal then.
    pub(super) fn signal_later(&mut self, service: ServiceId, signal: Signal, found: &[Found]) {
        if self.ask_whose(found) {
            let unknown = found.iter().filter(|found| found.service.is_none()).cloned().collect();
            self.late_signals.push((service, signal, unknown));
        }
    }

    /// The answers, once no more is to come.
    pub(super) fn hear_cookies(&mut self) {
        let Some(answers) = self.cookies.take_answers(self.clock.now()) else { return };
        for (pid, birth, service) in answers {
            self.family.remembered.insert(pid, (birth, service));
        }
        for (service, signal, unknown) in std::mem::take(&mut self.late_signals) {
            let is_of =
                |found: &&Found| self.family.service_of(&found.process, &self.cgroups) == Some(service);
            let refused = self.to_all_found(&unknown.iter().filter(is_of).collect::<Vec<_>>(), signal);
            self.note_refused(service, refused);
        }
    }
}

/// How often a census is begun anew in one wake-up, if what there is to count comes and goes too fast.
const CENSUS_ATTEMPTS: u32 = 20;
/// The same, once somebody was found.
const ATTEMPTS_IN_A_CROWD: u32 = 3;
/// After so many times what a census took there is another one, though more are dead than can be reaped.
const LONG_BEHIND: u32 = 8;
