use std::time::Duration;

use curfew::supervisor::{
    Deadline, GraceSchedule, NewConfiguration, ProgramChange, ServiceId, ServiceSettings, Settings, StopOrder,
};

use super::process::Behaviour;
use super::spec::{ServiceSpec, Spec};

/// What there is to be read when the configuration is read anew.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// How long that takes; `None`: it never comes to an end.
    pub(crate) takes: Option<Duration>,
    /// What is read; `None`: it is wrong.
    pub(crate) configuration: Option<Configuration>,
}

/// What of a configuration can be changed while services run.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    /// Its services, each `after` others of this list.
    pub(crate) services: Vec<ServiceSpec>,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) margin: Option<Duration>,
    /// Whether the platform is asked for its deadline.
    pub(crate) asks_platform: bool,
    pub(crate) stray_grace: Option<GraceSchedule>,
    pub(crate) cleanup: Option<(Duration, Behaviour)>,
    pub(crate) extend: Option<Duration>,
}

impl Reading {
    /// Something is read at once.
    pub(crate) const fn of(configuration: Configuration) -> Self {
        Self { takes: Some(Duration::ZERO), configuration: Some(configuration) }
    }

    /// Something is read at once that is wrong.
    pub(crate) const fn broken() -> Self {
        Self { takes: Some(Duration::ZERO), configuration: None }
    }

    pub(crate) fn taking(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.takes = time.into();
        self
    }
}

impl Configuration {
    /// As the supervisor wants it.
    pub(crate) fn settings(&self, spec: &Spec) -> Settings {
        let services = self.services.iter().map(|service| service.settings.clone()).collect();
        let order = StopOrder::new(&self.after()).expect("no cycle");
        let mut settings = Settings::new(spec.mode, services, order);
        settings.deadline = self.deadline;
        settings.margin = self.margin;
        settings.asks_platform = self.asks_platform;
        if let Some(grace) = &self.stray_grace {
            settings.stray_grace = grace.clone();
        }
        settings.exit_status = spec.policy;
        settings.seat = spec.seat;
        settings.reloadable = spec.reloadable;
        settings.has_output_files = spec.has_output_files;
        settings.map.clone_from(&spec.map);
        settings.cleanup = self.cleanup.as_ref().map(|(time, _)| *time);
        settings.extend = self.extend;
        settings.deadline_basis = spec.deadline_basis;
        settings.platform_watchdog = spec.platform_watchdog;
        settings.seed = spec.jitter;
        settings
    }

    /// What each service is after.
    pub(crate) fn after(&self) -> Vec<Vec<ServiceId>> {
        let after = self.services.iter().map(|service| &service.after);
        after.map(|after| after.iter().copied().map(ServiceId::new).collect()).collect()
    }

    /// As the core is told of it, while this is what runs.
    pub(crate) fn told(&self, spec: &Spec, running: &[ServiceSpec]) -> NewConfiguration {
        let change = |service: &ServiceSpec| {
            let old = running.iter().find(|old| old.settings.name == service.settings.name);
            match old {
                Some(old) if old.version != service.version => ProgramChange::Process,
                Some(old) if old.version_beside != service.version_beside => ProgramChange::Beside,
                Some(_) => ProgramChange::None,
                None => ProgramChange::Process,
            }
        };
        NewConfiguration {
            settings: self.settings(spec),
            programs: self.services.iter().map(change).collect(),
            executed: Vec::new(),
            later: Vec::new(),
        }
    }
}

/// The configuration that holds, as it can be told from what was read and commanded.
#[derive(Debug)]
pub(crate) struct Held {
    /// What is executed for each service.
    pub(crate) programs: Vec<ServiceSpec>,
    pub(crate) cleanup: Option<Behaviour>,
    /// What was read, and not taken over yet.
    pub(crate) incoming: Option<Configuration>,
    /// What was taken over last, and the place of each service in it.
    latest: Option<(Configuration, Vec<Option<usize>>)>,
}

/// From an entry of the history on, this configuration holds.
#[derive(Clone, Debug)]
pub(crate) struct Epoch {
    pub(crate) from: usize,
    /// What each service comes after; `None`: it is not there.
    pub(crate) after: Vec<Option<Vec<ServiceId>>>,
    /// What each service is to be, once nothing is left of what it was.
    pub(crate) wanted: Vec<Option<Adopted>>,
}

/// From an entry of the history on, a service is this.
#[derive(Clone, Debug)]
pub(crate) struct Adopted {
    pub(crate) from: usize,
    pub(crate) version: u32,
    pub(crate) settings: ServiceSettings,
}

impl Adopted {
    pub(crate) fn new(from: usize, service: &ServiceSpec) -> Self {
        Self { from, version: service.version, settings: service.settings.clone() }
    }

    /// Whether the process would be another.
    pub(crate) fn is_other_process(&self, other: &Self) -> bool {
        (self.version, self.settings.kind, self.settings.watchdog)
            != (other.version, other.settings.kind, other.settings.watchdog)
    }
}

impl Epoch {
    pub(crate) fn first(spec: &Spec) -> Self {
        Self {
            from: 0,
            after: spec.configuration().after().into_iter().map(Some).collect(),
            wanted: spec.services.iter().map(|service| Some(Adopted::new(0, service))).collect(),
        }
    }

    /// Whether there is such a service.
    pub(crate) fn has(&self, id: ServiceId) -> bool {
        self.after.get(id.index()).is_some_and(Option::is_some)
    }

    pub(crate) fn dependencies(&self, id: ServiceId) -> &[ServiceId] {
        self.after.get(id.index()).and_then(Option::as_deref).unwrap_or_default()
    }

    pub(crate) fn dependents(&self, id: ServiceId) -> Vec<ServiceId> {
        let of =
            self.after.iter().enumerate().filter(|(_, after)| after.iter().flatten().any(|of| *of == id));
        of.map(|(index, _)| ServiceId::new(index)).collect()
    }
}

impl Held {
    pub(crate) fn new(spec: &Spec) -> Self {
        Self {
            programs: spec.services.clone(),
            cleanup: spec.cleanup.as_ref().map(|(_, behaviour)| behaviour.clone()),
            incoming: None,
            latest: None,
        }
    }

    /// What was read last holds from this entry on. Returns how many services are new.
    pub(crate) fn take_over(
        &mut self,
        places: &[Option<usize>],
        spec: &Spec,
        from: usize,
        settings: &mut Settings,
    ) -> (usize, Epoch) {
        let latest = self.incoming.take().expect("something was read");
        let new = latest.settings(spec);
        let before = self.programs.len();
        for place in places[before..].iter().flatten() {
            self.programs.push(latest.services[*place].clone());
            settings.services.push(new.services[*place].clone());
        }
        let id_at = |place: usize| {
            ServiceId::new(places.iter().position(|of| *of == Some(place)).expect("each place is somebody's"))
        };
        let of_place = latest.after();
        let after: Vec<Option<Vec<ServiceId>>> = places
            .iter()
            .map(|place| place.map(|place| of_place[place].iter().map(|id| id_at(id.index())).collect()))
            .collect();
        let all: Vec<Vec<ServiceId>> = after.iter().map(|after| after.clone().unwrap_or_default()).collect();
        settings.order = StopOrder::new(&all).expect("no cycle");
        settings.deadline = new.deadline;
        settings.margin = new.margin;
        settings.asks_platform = new.asks_platform;
        settings.stray_grace = new.stray_grace;
        settings.cleanup = new.cleanup;
        settings.extend = new.extend;
        self.cleanup = latest.cleanup.as_ref().map(|(_, behaviour)| behaviour.clone());
        let wanted = |place: &Option<usize>| place.map(|place| Adopted::new(from, &latest.services[place]));
        let wanted = places.iter().map(wanted).collect();
        self.latest = Some((latest, places.to_vec()));
        (self.programs.len() - before, Epoch { from, after, wanted })
    }

    /// From now on this service is executed and looked after as was read last. Returns whether its program is another.
    pub(crate) fn adopt(&mut self, service: ServiceId) -> bool {
        let (latest, places) = self.latest.as_ref().expect("something was taken over");
        let place = places[service.index()].expect("it is not removed");
        let new = latest.services[place].clone();
        let old = std::mem::replace(&mut self.programs[service.index()], new);
        old.version != self.programs[service.index()].version
    }
}
