//! Reading the configuration anew, and taking it over.

use std::collections::HashMap;

use super::super::census::DEADLINE_VARIABLE;
use super::super::configuration::{ConfigurationReader, Reading, Reconfiguration};
use super::super::output::ServiceOutput;
use super::super::service_programs::ServicePrograms;
use super::super::wait_set::Ready;
use super::{Listener, Runtime, names_of};
use crate::supervisor::{Event, NewConfiguration, ProgramChange, ServiceId};

/// What a reload needs.
#[derive(Default)]
pub(super) struct Reload {
    reader: Option<Box<dyn ConfigurationReader>>,
    reading: Option<Reading>,
    /// What was read, and was not taken over yet.
    incoming: Option<Reconfiguration>,
    /// The configuration that holds, and the place of each service in it.
    latest: Option<(Reconfiguration, Vec<Option<usize>>)>,
}

impl Reload {
    /// Whether the files are being read just now.
    pub(super) const fn is_reading(&self) -> bool {
        self.reading.is_some()
    }
}

impl<L: Listener> Runtime<L> {
    /// Has the configuration read anew by `reader` when it is asked for. Without one it is refused.
    pub fn read_anew_with(&mut self, reader: Box<dyn ConfigurationReader>) {
        self.reload.reader = Some(reader);
    }

    pub(super) fn read_configuration(&mut self) {
        let Some(reader) = &self.reload.reader else {
            let reason = "there is no file to read the configuration from".to_owned();
            return self.feed(Event::ConfigurationRead(Err(vec![reason])));
        };
        let known = names_of(self.supervisor.settings());
        let is_new = |name: &str, programs: &ServicePrograms| {
            change_of(&known, &self.programs, name, programs) == ProgramChange::Process
        };
        let reading = Reading::start(reader.as_ref(), &is_new)
            .and_then(|reading| self.wait_set.add_read(&reading, Ready::Configuration).map(|()| reading));
        match reading {
            Ok(reading) => {
                self.family.helpers.insert(reading.pid());
                self.reload.reading = Some(reading);
            }
            Err(errno) => {
                let reason =
                    format!("there is no process to be had that reads the configuration: {}", errno.desc());
                self.feed(Event::ConfigurationRead(Err(vec![reason])));
            }
        }
    }

    pub(super) fn abandon_reading(&mut self) {
        if let Some(reading) = self.reload.reading.take() {
            self.wait_set.remove(&reading);
            reading.end();
        }
    }

    pub(super) fn take_configuration(&mut self) {
        let (Some(reading), Some(reader)) = (&mut self.reload.reading, &self.reload.reader) else { return };
        let Some(result) = reading.take(reader.as_ref()) else { return };
        self.abandon_reading();
        let event = result.map(|reconfiguration| {
            let settings = reconfiguration.settings.clone();
            let programs = self.program_changes(&reconfiguration);
            let executed = self.executed_otherwise(&reconfiguration);
            let later = reconfiguration.later.clone();
            self.reload.incoming = Some(reconfiguration);
            Box::new(NewConfiguration { settings, programs, executed, later })
        });
        self.handle(Event::ConfigurationRead(event));
    }

    /// For each service how what is to be executed differs from what is executed now.
    fn program_changes(&self, new: &Reconfiguration) -> Vec<ProgramChange> {
        let known = names_of(self.supervisor.settings());
        let services = new.settings.services.iter().zip(&new.programs.services);
        services
            .map(|(service, programs)| change_of(&known, &self.programs, &service.name, programs))
            .collect()
    }

    /// Of what no service executes, the keys that are not what they were.
    fn executed_otherwise(&self, new: &Reconfiguration) -> Vec<&'static str> {
        let is_cleanup_kept = match (&self.cleanup, &new.programs.cleanup) {
            (Some(old), Some(new)) => old.runs_like(new, Some(DEADLINE_VARIABLE)),
            (old, new) => old.is_none() && new.is_none(),
        };
        let keys = [("cleanup", is_cleanup_kept), ("run", self.commands == new.programs.commands)];
        keys.into_iter().filter(|(_, is_kept)| !is_kept).map(|(key, _)| key).collect()
    }

    /// The settings are new: makes room for services that are new, and takes over what is none's own.
    pub(super) fn reconfigure(&mut self, places: Vec<Option<usize>>) {
        let Some(latest) = self.reload.incoming.take() else { return };
        let settings = self.supervisor.settings();
        for place in places.iter().skip(self.programs.len()).flatten() {
            self.programs.push(latest.programs.services[*place].clone());
        }
        self.leaders.resize(settings.services.len() + 2, None);
        self.family.names = names_of(settings);
        self.commands.clone_from(&latest.programs.commands);
        self.cleanup.clone_from(&latest.programs.cleanup);
        self.listener.reconfigured(settings, &self.programs, latest.deadline_source);
        self.reload.latest = Some((latest, places));
        self.announce_outputs();
    }

    /// From now on the service is executed as the configuration read last says.
    pub(super) fn adopt(&mut self, service: ServiceId) {
        let Some((latest, places)) = &self.reload.latest else { return };
        if let Some(place) = places.get(service.index()).copied().flatten() {
            self.programs[service.index()] = latest.programs.services[place].clone();
            self.listener.adopted(service, self.supervisor.settings(), &self.programs[service.index()].main);
            self.announce_outputs();
        }
    }

    /// Who writes where, so that names are equally wide, and lines of several do not mix.
    fn announce_outputs(&mut self) {
        let settings = self.supervisor.settings();
        let services = (0..).map(ServiceId::new).zip(&self.programs);
        let outputs =
            services.map(|(id, programs)| (settings.name(id), &programs.main.output)).collect::<Vec<_>>();
        let cleanup =
            self.cleanup.iter().map(|cleanup| (settings.name(settings.cleanup_id()), &cleanup.output));
        let all: Vec<(&str, &ServiceOutput)> = outputs.into_iter().chain(cleanup).collect();
        self.output.expect(all.iter().copied());
    }
}

/// How what is to be executed for a service differs from what is executed now.
fn change_of(
    known: &HashMap<String, ServiceId>,
    programs: &[ServicePrograms],
    name: &str,
    new: &ServicePrograms,
) -> ProgramChange {
    let old = known.get(name).and_then(|id| programs.get(id.index()));
    old.map_or(ProgramChange::Process, |old| old.change_to(new))
}
