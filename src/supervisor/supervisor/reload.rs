//! The configuration read anew, while services run.
//!
//! Whatever holds for a service that has a process holds to the end of that process: it is stopped by the schedule that it
//! was started with. The new settings are kept beside it, and adopted when nothing of it is left. What only says how a
//! running service is looked after is adopted at once.
//!
//! A service that is removed keeps its place, so that each of the others keeps its own; it is *retired*. Should it come
//! back, its place is there.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::super::service::{Next, Phase, Service, State};
use super::super::timers::Timer;
use super::super::{
    Change, Command, Health, Kind, NewConfiguration, Notice, PlatformMessage, ProgramChange, Purpose,
    ReadyBy, Recipients, Sender, ServiceId, ServiceSettings, Settings, Step, StopOrder, Timestamp, defaults,
};
use super::Supervisor;

/// A reload that is under way.
#[derive(Debug)]
pub(super) struct Reload {
    since: Timestamp,
    /// The configuration is being read.
    is_reading: bool,
    /// Somebody has asked for another meanwhile: the files may have changed since they were read.
    is_asked_again: bool,
    /// The platform was told that it began.
    is_told: bool,
    /// A new configuration was taken over.
    is_applied: bool,
    /// What was started or stopped by it, and is not up or down yet.
    awaited: BTreeSet<ServiceId>,
    /// What had failed for good, and is started again.
    revived: BTreeSet<ServiceId>,
    /// Those of it that did not come up.
    failed: BTreeSet<ServiceId>,
}

impl Supervisor {
    /// Somebody wants the configuration to be read anew. In a stop it is too late for that, which the caller says.
    pub(super) fn request_reload(&mut self, sender: Sender, now: Timestamp) {
        self.tell(Notice::ReloadRequested { sender });
        let is_ready = self.is_ready;
        let reload = self.reload.get_or_insert_with(|| Reload {
            since: now,
            is_reading: false,
            is_asked_again: false,
            is_told: false,
            is_applied: false,
            awaited: BTreeSet::new(),
            revived: BTreeSet::new(),
            failed: BTreeSet::new(),
        });
        // Whoever waits for this one, too, hears that it began after it was asked for. What is not ready has no reload.
        reload.is_told |= is_ready;
        if reload.is_reading {
            reload.is_asked_again = true;
        }
        let (must_read, is_told) = (!reload.is_reading, reload.is_told);
        if is_told {
            self.tell_platform(PlatformMessage::Reloading);
        }
        if must_read {
            self.read_configuration(now);
        }
    }

    fn read_configuration(&mut self, now: Timestamp) {
        if let Some(reload) = &mut self.reload {
            reload.is_reading = true;
            self.timers.set(Timer::Reading, now + defaults::RELOAD_READING);
            self.commands.push_back(Command::ReadConfiguration);
        }
    }

    /// A stop ends every reload.
    pub(super) fn abandon_reload(&mut self) {
        if self.reload.take().is_some_and(|reload| reload.is_reading) {
            self.timers.clear(Timer::Reading);
            self.commands.push_back(Command::AbandonReading);
        }
    }

    pub(super) fn on_reading_over(&mut self, now: Timestamp) {
        self.commands.push_back(Command::AbandonReading);
        let time = defaults::RELOAD_READING.as_secs();
        let reason = format!("the configuration could not be read within {time} s: does its disk answer?");
        self.on_configuration_read(Err(vec![reason]), now);
    }

    pub(super) fn on_configuration_read(
        &mut self,
        result: Result<Box<NewConfiguration>, Vec<String>>,
        now: Timestamp,
    ) {
        let Some(reload) = self.reload.as_mut().filter(|reload| reload.is_reading) else { return };
        reload.is_reading = false;
        let again = std::mem::take(&mut reload.is_asked_again);
        self.timers.clear(Timer::Reading);
        match result {
            Ok(new) => {
                reload.is_applied = true;
                self.reconfigure(*new, now);
            }
            Err(reasons) => self.tell(Notice::ReloadRefused { reasons }),
        }
        if again && self.stop.is_none() {
            self.read_configuration(now);
        }
    }

    /// Whether everything that a reload began has come to its end.
    pub(super) fn check_reloaded(&mut self, now: Timestamp) {
        let held_up = self.held_up();
        let Some(reload) = &mut self.reload else { return };
        let (services, settings) = (&self.services, &self.settings);
        let mut failed = Vec::new();
        reload.awaited.retain(|id| {
            let service = &services[id.index()];
            let fate = match held_up.contains(id) {
                true => Fate::Failed,
                false => Fate::of(service, settings.services[id.index()].kind),
            };
            if fate == Fate::Failed {
                failed.push(*id);
            }
            fate == Fate::Open
        });
        reload.failed.extend(failed);
        if reload.is_reading || !reload.awaited.is_empty() {
            return;
        }
        let Reload { since, is_told, is_applied, .. } = *reload;
        let failed = std::mem::take(&mut reload.failed).into_iter().collect();
        self.reload = None;
        if is_applied {
            self.tell(Notice::ReloadComplete { after: now.since(since), failed });
        }
        if is_told {
            self.tell_platform(PlatformMessage::Reloaded);
        }
    }

    /// What waits to be started, and may do so for ever: for what a person stopped, or what fails again and again.
    fn held_up(&self) -> BTreeSet<ServiceId> {
        let mut held_up = BTreeSet::new();
        let is_waiting = |id: &ServiceId| self.services[id.index()].state == State::Waiting;
        if !self.reload.iter().flat_map(|reload| &reload.awaited).any(is_waiting) {
            return held_up;
        }
        for id in self.settings.order.start_order() {
            let is_in_the_way = |dependency: &ServiceId| {
                let service = &self.services[dependency.index()];
                let fails = service.state == State::BackOff && service.restarts_in_a_row > 0;
                !service.reached && (service.is_unwanted || fails || held_up.contains(dependency))
            };
            if is_waiting(id) && self.settings.order.dependencies(*id).iter().any(is_in_the_way) {
                held_up.insert(*id);
            }
        }
        held_up
    }

    /// The new configuration takes the place of the old one, with the least disturbance.
    fn reconfigure(&mut self, new: NewConfiguration, now: Timestamp) {
        let NewConfiguration { settings: new, programs, executed, later } = new;
        let before = self.settings.services.len();
        let places = self.places(&new);
        self.make_room(&places, &new);
        let changes: Vec<(ServiceId, Option<Change>)> = (0..places.len())
            .map(|index| {
                let id = ServiceId::new(index);
                let change = match places[index] {
                    _ if index >= before || self.is_back(id, places[index]) => Some(Change::Added),
                    Some(place) => self.change(id, &new.services[place], programs[place]),
                    None => (!self.services[index].is_retired).then_some(Change::Removed),
                };
                (id, change)
            })
            .collect();
        let in_use = places.iter().filter(|place| place.is_some()).count();
        let is_change = |change: &Option<Change>| change.is_some_and(|change| change != Change::Removed);
        let kept = in_use - changes.iter().filter(|(_, change)| is_change(change)).count();
        let told = changes.iter().filter_map(|(id, change)| Some((*id, (*change)?))).collect();
        for (id, change) in &changes {
            if let Some(place) = places[id.index()] {
                let service = &mut self.services[id.index()];
                // What differs from an earlier reload that is not adopted yet is told apart from what runs.
                service.pending = change.is_some().then(|| Box::new(new.services[place].clone()));
            }
        }
        self.settings.order = self.merged_order(&places, &new);
        let system = self.changed_for_all(&new, &executed);
        self.take_over(new, now);
        let is_deadline_new = system.iter().any(|key| matches!(*key, "deadline" | "margin"));
        let deadline = is_deadline_new.then_some(self.settings.deadline);
        self.commands.push_back(Command::Reconfigure { places });
        self.tell(Notice::ReloadApplied { changes: told, kept, system, deadline, later });
        // First what has no process: what is to start is counted anew then, before anything that runs can become ready.
        let (at_rest, busy): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(id, change)| {
            matches!(change, Some(Change::Added | Change::Removed)) || self.is_at_rest(*id)
        });
        let is_other =
            |change: &Option<Change>| matches!(change, Some(Change::Restarted | Change::StillStopped));
        for (id, change) in &busy {
            match change {
                change if is_other(change) => self.expect_anew(*id),
                Some(Change::Adjusted) if self.has_failed_for_good(*id) => self.give_another_chance(*id),
                _ => {}
            }
        }
        for (id, change) in &at_rest {
            match change {
                Some(Change::Added) => self.add(*id, now),
                Some(Change::Removed) => self.retire(*id),
                Some(Change::Restarted | Change::StillStopped) => self.renew_at_rest(*id, now),
                Some(Change::Adjusted) => self.adjust_at_rest(*id),
                None => {}
            }
        }
        self.recount_awaited();
        for (id, change) in &busy {
            match change {
                Some(Change::Restarted | Change::StillStopped) => self.renew(*id, now),
                Some(Change::Adjusted) => self.adjust(*id, now),
                Some(Change::Added | Change::Removed) | None => {}
            }
            if !is_other(change) {
                self.send_reload_signal(*id);
            }
        }
        self.start_what_waits_for_nobody();
        // Nothing may be in the way any more of what is to stop.
        for index in 0..self.settings.services.len() {
            if self.services[index].is_unwanted {
                self.stop_unwanted(ServiceId::new(index), now);
            }
        }
        for (id, change) in at_rest.into_iter().chain(busy) {
            self.await_change(id, change);
        }
        self.check_ready(now);
        self.check_nothing_left(now);
    }

    /// Whether it has no process, and none of it is on its way down.
    fn is_at_rest(&self, id: ServiceId) -> bool {
        matches!(self.services[id.index()].state, State::Waiting | State::BackOff | State::Down)
    }

    /// The reload is complete when this has come to its end.
    fn await_change(&mut self, id: ServiceId, change: Option<Change>) {
        let is_started = self.services[id.index()].state != State::Down;
        let Some(reload) = &mut self.reload else { return };
        let is_awaited = match change {
            Some(Change::Added | Change::Restarted | Change::StillStopped | Change::Removed) => true,
            // It had failed, and is given another chance.
            Some(Change::Adjusted) => is_started && reload.revived.contains(&id),
            None => false,
        };
        if is_awaited {
            reload.awaited.insert(id);
            // How an earlier change of it went is of no interest any more.
            reload.failed.remove(&id);
        }
    }

    /// The place of each service in the new configuration, the new ones behind those that are known.
    fn places(&self, new: &Settings) -> Vec<Option<usize>> {
        let known: HashMap<&str, usize> = self
            .settings
            .services
            .iter()
            .enumerate()
            .map(|(index, old)| (old.name.as_str(), index))
            .collect();
        let mut places = vec![None; known.len()];
        for (place, service) in new.services.iter().enumerate() {
            match known.get(service.name.as_str()) {
                Some(index) => places[*index] = Some(place),
                None => places.push(Some(place)),
            }
        }
        places
    }

    /// Makes the new services known. The pseudo-services stand behind the last one and give way: before a stop nothing is
    /// known of them that could be mixed up.
    fn make_room(&mut self, places: &[Option<usize>], new: &Settings) {
        let pseudo = [self.settings.stray_id(), self.settings.cleanup_id()];
        debug_assert!(
            pseudo.iter().all(|id| self.services[id.index()].state == State::Down
                && !self.uncounted.contains(id)
                && self.timers.get(Timer::Wait(*id)).is_none()),
            "a pseudo-service is in use before a stop"
        );
        for place in &places[self.settings.services.len()..] {
            let at = self.settings.services.len();
            let settings = &new.services[place.expect("a new service has its place")];
            self.settings.services.push(settings.clone());
            self.services.insert(at, Service::new(0));
        }
    }

    /// Whether a service that was removed is there again, and has to be started for that. If it has not even begun to stop,
    /// it just goes on.
    fn is_back(&mut self, id: ServiceId, place: Option<usize>) -> bool {
        let kind = self.kind(id);
        let service = &mut self.services[id.index()];
        if place.is_none() || !service.is_retired {
            return false;
        }
        service.is_retired = false;
        service.is_unwanted = false;
        // A task is done when it has ended.
        service.reached = service.state == State::Up && kind == Kind::Service;
        !service.runs()
    }

    /// What is new for a service that is known.
    fn change(&self, id: ServiceId, new: &ServiceSettings, program: ProgramChange) -> Option<Change> {
        let old = &self.settings.services[id.index()];
        let is_unwanted = self.services[id.index()].is_unwanted;
        // What it has in its environment, or what its end means, holds as long as it lives.
        if program == ProgramChange::Process || old.kind != new.kind || old.watchdog != new.watchdog {
            return Some(if is_unwanted { Change::StillStopped } else { Change::Restarted });
        }
        (old != new || program == ProgramChange::Beside).then_some(Change::Adjusted)
    }

    /// Who is started after whom from now on. One that is retired, or has a process of before, still stops in the order of
    /// before: what it came after waits for it. That must not make a circle with what is new.
    fn merged_order(&self, places: &[Option<usize>], new: &Settings) -> StopOrder {
        let known = |index: usize| index < self.settings.services.len() && index < places.len();
        let mut at_place = vec![ServiceId::new(0); new.services.len()];
        for (index, place) in places.iter().enumerate() {
            if let Some(place) = place {
                at_place[*place] = ServiceId::new(index);
            }
        }
        let now: Vec<Vec<ServiceId>> = places
            .iter()
            .map(|place| {
                let dependencies = place.map(|place| new.order.dependencies(ServiceId::new(place)));
                dependencies.unwrap_or_default().iter().map(|of| at_place[of.index()]).collect()
            })
            .collect();
        let before = |index: usize| match self.settings.order.start_order().len() > index {
            true => self.settings.order.dependencies(ServiceId::new(index)),
            false => &[],
        };
        let is_old = |one: usize, other: usize| {
            let is_removed = places[one].is_none() || places[other].is_none();
            // Of what is down nothing needs an order.
            let is_down = [one, other].into_iter().any(|index| self.services[index].state == State::Down);
            is_removed && !is_down
        };
        let old: Vec<(usize, ServiceId)> = (0..places.len())
            .flat_map(|index| before(index).iter().map(move |of| (index, *of)))
            .filter(|(index, of)| known(of.index()) && is_old(*index, of.index()))
            .collect();
        let mut merged = now;
        for (index, of) in &old {
            merged[*index].push(*of);
        }
        if let Ok(order) = StopOrder::new(&merged) {
            return order;
        }
        // As much of the old order as goes with the new one.
        for (index, of) in old.iter().rev() {
            let position = merged[*index].iter().rposition(|other| other == of);
            merged[*index].remove(position.expect("it was put there"));
        }
        for (index, of) in old {
            merged[index].push(of);
            if StopOrder::new(&merged).is_err() {
                merged[index].pop();
            }
        }
        StopOrder::new(&merged).expect("the order of a valid configuration has no circle")
    }

    /// The keys that are new for the whole system. What the platform told of its deadline is no setting.
    fn changed_for_all(&self, new: &Settings, executed: &[&'static str]) -> Vec<&'static str> {
        let old = &self.settings;
        let length = |settings: &Settings| settings.deadline.map(|deadline| deadline.deadline);
        let is_deadline_new = (old.deadline_basis, old.asks_platform)
            != (new.deadline_basis, new.asks_platform)
            || (self.learnt.is_none() && length(old) != length(new));
        let is_new = |key| executed.contains(&key);
        let keys = [
            ("grace", old.stray_grace != new.stray_grace),
            ("deadline", is_deadline_new),
            ("margin", old.margin != new.margin),
            ("extend", old.extend != new.extend),
            ("stop-signals", old.stop_signals != new.stop_signals),
            ("map", old.map != new.map),
            ("cleanup", old.cleanup != new.cleanup || is_new("cleanup")),
            ("run", is_new("run")),
        ];
        keys.into_iter().filter(|(_, is_new)| *is_new).map(|(key, _)| key).collect()
    }

    /// What holds for the whole system.
    fn take_over(&mut self, new: Settings, now: Timestamp) {
        let Settings {
            mode: _,
            services: _,
            order: _,
            deadline,
            deadline_basis,
            margin,
            asks_platform,
            stray_grace,
            stop_signals,
            map,
            seat: _,
            reloadable: _,
            has_output_files,
            exit_status,
            cleanup,
            extend,
            platform_watchdog: _,
            seed: _,
        } = new;
        self.stray_settings.grace.clone_from(&stray_grace);
        self.cleanup_settings.hooks.post_stop = cleanup;
        let is_to_be_asked = asks_platform && !self.settings.asks_platform;
        self.settings.deadline_basis = deadline_basis;
        self.settings.margin = margin;
        self.settings.asks_platform = asks_platform;
        self.settings.stray_grace = stray_grace;
        self.settings.stop_signals = stop_signals;
        self.settings.map = map;
        self.settings.has_output_files = has_output_files;
        self.settings.exit_status = exit_status;
        self.settings.cleanup = cleanup;
        self.settings.extend = extend;
        if !asks_platform || is_to_be_asked {
            self.learnt = None;
        }
        // What the platform has told still counts.
        self.settings.deadline = match self.learnt {
            Some(length) => self.deadline_that_counts(length).0,
            None => deadline,
        };
        if is_to_be_asked {
            self.ask_deadline();
        }
        if !self.is_ready {
            self.ask_for_time(now);
        }
    }

    /// A service that was not there, or is there again.
    fn add(&mut self, id: ServiceId, now: Timestamp) {
        let service = &mut self.services[id.index()];
        service.reached = false;
        service.is_done = false;
        service.restarts.clear();
        service.restarts_in_a_row = 0;
        match service.state {
            // It has just been made room for.
            State::Waiting => {
                self.waiting += 1;
                service.pending = None;
            }
            State::Down => {
                service.state = State::Waiting;
                self.waiting += 1;
                self.adopt(id);
            }
            // It is on its way down, and comes back.
            State::Held | State::Ended | State::Stopping(_) | State::BackOff => {
                service.next = Next::Restart(Duration::ZERO);
                self.bound_wait_for_restart(id, now);
            }
            State::Preparing | State::Starting | State::Unready | State::Up => {
                unreachable!("what runs needs no start")
            }
        }
    }

    /// A service that is not to be there any more. It is stopped behind everything that still needs it.
    fn retire(&mut self, id: ServiceId) {
        let service = &mut self.services[id.index()];
        service.is_retired = true;
        service.is_unwanted = true;
        service.pending = None;
        // Nobody waits for it.
        service.reached = true;
        if service.state == State::Waiting {
            service.state = State::Down;
            self.waiting -= 1;
        }
        if service.state == State::Down {
            service.forget_outcome();
        }
    }

    /// Something else is to be executed for the service: it has its restarts anew, and what is added and comes after it
    /// waits for what is new.
    fn expect_anew(&mut self, id: ServiceId) {
        let service = &mut self.services[id.index()];
        service.restarts.clear();
        service.restarts_in_a_row = 0;
        if !service.is_unwanted {
            service.reached = false;
        }
    }

    /// Something else is to be executed for a service that has no process.
    fn renew_at_rest(&mut self, id: ServiceId, now: Timestamp) {
        self.expect_anew(id);
        self.adopt(id);
        let service = &mut self.services[id.index()];
        match service.state {
            State::BackOff => self.timers.set(Timer::Wait(id), now),
            // Perhaps it is down since it was wrong. What a person stopped stays down.
            State::Down if !service.is_unwanted => self.revive(id),
            _ => {}
        }
    }

    /// Only how a service is looked after has changed that has no process.
    fn adjust_at_rest(&mut self, id: ServiceId) {
        let (has_failed, was_essential) = (self.has_failed_for_good(id), self.settings_of(id).essential);
        self.adopt(id);
        let is_down = self.services[id.index()].state == State::Down;
        if has_failed || (is_down && self.is_missed(id, was_essential)) {
            self.give_another_chance(id);
        }
    }

    /// It failed for good, or is missing, and is not what it was any more.
    fn give_another_chance(&mut self, id: ServiceId) {
        self.expect_anew(id);
        match self.services[id.index()].state {
            State::Down => self.revive(id),
            _ => self.services[id.index()].next = Next::Restart(Duration::ZERO),
        }
        if let Some(reload) = &mut self.reload {
            reload.revived.insert(id);
        }
    }

    /// It is down, and is to be started.
    fn revive(&mut self, id: ServiceId) {
        let service = &mut self.services[id.index()];
        (service.state, service.is_done) = (State::Waiting, false);
        self.waiting += 1;
    }

    /// Whether it is down, or will be, and was not to be, and has not just done its work.
    fn has_failed_for_good(&self, id: ServiceId) -> bool {
        let service = &self.services[id.index()];
        let has_failed = service.has_failed
            || service.outcome.start_failure.is_some()
            || service.outcome.end.is_some_and(|end| !self.is_success(id, end));
        let stays_down = match service.state {
            State::Down => true,
            // Nobody waits for what nothing can end.
            State::Ended | State::Stopping(_) => service.next == Next::Down && !service.is_given_up(),
            _ => false,
        };
        stays_down && !service.is_unwanted && !service.is_done && has_failed
    }

    /// Something else is to be executed for a service that runs, or is on its way down.
    fn renew(&mut self, id: ServiceId, now: Timestamp) {
        let service = &mut self.services[id.index()];
        // It comes back as what is new if somebody starts it.
        if service.is_unwanted {
            service.early_end = None;
            return;
        }
        service.next = Next::Restart(Duration::ZERO);
        match (service.state, service.outcome.end) {
            (State::Held, Some(end)) => self.conclude_end(id, end, false, now),
            (State::Held | State::Ended | State::Stopping(_), _) => {
                // What its end meant is of no interest any more.
                service.early_end = None;
                self.bound_wait_for_restart(id, now);
            }
            _ => self.begin_stop(id, now),
        }
    }

    /// Only how the service is looked after has changed, and it runs or is on its way down.
    fn adjust(&mut self, id: ServiceId, now: Timestamp) {
        // Its stop goes on as it began.
        if !self.services[id.index()].runs() {
            return;
        }
        let (ready, health) = (self.settings_of(id).ready.by, self.settings_of(id).health);
        let limit = self.time_to_be_done(id);
        self.adopt(id);
        let service = &self.services[id.index()];
        let is_expected = service.state != State::Up || self.kind(id) == Kind::Task;
        let new_limit = self.time_to_be_done(id);
        match (new_limit, service.forked) {
            (Some(time), Some(forked)) if is_expected && new_limit != limit => {
                self.timers.set(Timer::Start(id), forked + time);
            }
            // What prepares its start still has its old time.
            (None, _) if service.state != State::Preparing => self.timers.clear(Timer::Start(id)),
            _ => {}
        }
        match service.state {
            State::Unready => self.adjust_readiness(id, ready, now),
            State::Up => self.adjust_health(id, health, now),
            _ => {}
        }
    }

    /// Perhaps it shows in another way that it is ready, or need not show it any more.
    fn adjust_readiness(&mut self, id: ServiceId, before: ReadyBy, now: Timestamp) {
        match self.settings_of(id).ready.by {
            by if by == before => {}
            ReadyBy::Execution => self.become_ready(id, now),
            ReadyBy::Probe => self.probe(id, Purpose::Ready, now),
            ReadyBy::Notify | ReadyBy::Descriptor => self.forget_probe(id),
        }
    }

    /// Perhaps its health is asked for from now on, or oftener, or not any more.
    fn adjust_health(&mut self, id: ServiceId, before: Option<Health>, now: Timestamp) {
        match (before, self.settings_of(id).health) {
            (_, None) => self.forget_probe(id),
            (Some(before), Some(health)) if before.every == health.every => {}
            // The next one comes by the new interval.
            (Some(_), Some(_)) if self.timers.get(Timer::Probe(id)).is_none() => {}
            (_, Some(health)) => self.timers.set(Timer::Probe(id), now + health.every),
        }
    }

    /// What the last reload says of the service holds from now on. Nothing of it is left, or it goes on under them.
    pub(super) fn adopt(&mut self, id: ServiceId) {
        if let Some(settings) = self.services[id.index()].pending.take() {
            self.settings.services[id.index()] = *settings;
            self.commands.push_back(Command::Adopt { service: id });
        }
    }

    /// Nothing of the service is left: what it is to be from now on holds. In a stop there is no such thing.
    pub(super) fn adopt_when_gone(&mut self, id: ServiceId) {
        if self.stop.is_some() {
            return;
        }
        let was_essential = self.settings_of(id).essential;
        self.adopt(id);
        if self.services[id.index()].next == Next::Down && self.is_missed(id, was_essential) {
            self.give_another_chance(id);
        }
    }

    /// Of what has become essential nothing is well as long as it is down.
    fn is_missed(&self, id: ServiceId, was_essential: bool) -> bool {
        let service = &self.services[id.index()];
        !was_essential && self.settings_of(id).essential && !service.is_unwanted && !service.is_done
    }

    /// It goes on as it is, and may have a configuration of its own.
    fn send_reload_signal(&mut self, id: ServiceId) {
        let service = &self.services[id.index()];
        let goes_on = matches!(service.state, State::Unready | State::Up)
            && service.step == Step::Main
            && !service.is_unwanted;
        let settings = self.settings_of(id);
        if let (true, Some(_), Some(signal)) = (goes_on, service.leader, settings.reload_signal) {
            let recipients = Recipients::Leader(settings.signal_target);
            self.commands.push_back(Command::Signal { service: id, recipients, signal });
            self.tell(Notice::SignalForwarded { service: id, received: signal, sent: signal });
        }
    }
}

/// What became of a service that a reload started or stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// That is not known yet.
    Open,
    /// It is up, or down, as it should be.
    Settled,
    /// It is not up.
    Failed,
}

impl Fate {
    fn of(service: &Service, kind: Kind) -> Self {
        let is_wanted = !service.is_unwanted;
        match service.state {
            State::Up if is_wanted && kind == Kind::Service && service.pending.is_none() => Self::Settled,
            State::Down if !is_wanted || service.is_done => Self::Settled,
            State::Down => Self::Failed,
            // It has failed, and is tried again.
            State::BackOff if service.restarts_in_a_row > 0 => Self::Failed,
            State::Stopping(Phase::Lingering) if service.is_given_up() => Self::Failed,
            State::Waiting
            | State::Preparing
            | State::Starting
            | State::Unready
            | State::Up
            | State::Held
            | State::Ended
            | State::Stopping(_)
            | State::BackOff => Self::Open,
        }
    }
}
