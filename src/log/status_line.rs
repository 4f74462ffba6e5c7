use std::time::Duration;

use crate::supervisor::{Change, Kind, Notice, ServiceId, ServiceSettings, Settings, Timestamp};

/// How things are, in one line for `systemctl status`.
#[derive(Debug)]
pub struct StatusLine {
    services: Vec<Entry>,
    phase: Phase,
    is_new: bool,
}

#[derive(Debug)]
struct Entry {
    name: String,
    is_essential: bool,
    kind: Kind,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Starting,
    Ready,
    BackOff,
    Stopping { stage: Option<(usize, usize)>, until: Option<Timestamp> },
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Running,
    Stopping,
    Over(String),
}

/// How many names stand in the line; the others are counted.
const NAMES_MAX: usize = 3;

impl Entry {
    fn new(service: &ServiceSettings) -> Self {
        Self {
            name: service.name.clone(),
            is_essential: service.essential,
            kind: service.kind,
            state: State::Waiting,
        }
    }
}

impl StatusLine {
    /// The line of a system that begins to start.
    pub fn new(settings: &Settings) -> Self {
        let pseudo = [settings.stray_id(), settings.cleanup_id()];
        let real = settings.services.iter().map(Entry::new);
        let pseudo = pseudo.map(|id| Entry {
            name: settings.name(id).to_owned(),
            is_essential: false,
            kind: Kind::Task,
            state: State::Done,
        });
        Self { services: real.chain(pseudo).collect(), phase: Phase::Starting, is_new: true }
    }

    /// The settings were read anew: some services may be new.
    pub fn reconfigured(&mut self, settings: &Settings) {
        let known = self.services.len() - 2;
        let new = settings.services[known..].iter().map(Entry::new);
        self.services.splice(known..known, new);
        for (entry, service) in self.services.iter_mut().zip(&settings.services) {
            entry.is_essential = service.essential;
        }
        self.is_new = true;
    }

    /// New settings of a service hold.
    pub fn adopted(&mut self, service: ServiceId, settings: &Settings) {
        let (entry, settings) = (&mut self.services[service.index()], &settings.services[service.index()]);
        (entry.is_essential, entry.kind) = (settings.essential, settings.kind);
    }

    /// Takes in what was decided.
    pub fn hear(&mut self, notice: &Notice, now: Timestamp) {
        let stopping =
            |stage, wait: Option<Duration>| State::Stopping { stage, until: wait.map(|wait| now + wait) };
        match *notice {
            Notice::ServiceStarted { service, .. } => self.set(service, State::Starting),
            Notice::ServiceReady { service, .. } => self.set(service, State::Ready),
            Notice::RestartPlanned { service, .. } => self.set(service, State::BackOff),
            // Until it is down, what is being stopped may have left something behind.
            Notice::ServiceEnded { service, .. }
                if !matches!(self.get(service), State::BackOff | State::Stopping { .. }) =>
            {
                self.set(service, State::Done);
            }
            Notice::ServiceDown { service, .. } if self.get(service) != State::BackOff => {
                self.set(service, State::Done);
            }
            Notice::PreStopBegun { service, wait } | Notice::DrainBegun { service, wait } => {
                self.set(service, stopping(None, Some(wait)));
            }
            Notice::StageSent { service, stage, of, wait, .. }
            | Notice::StageRun { service, stage, of, wait, .. } => {
                self.set(service, stopping(Some((stage + 1, of)), wait));
            }
            Notice::WaitExtended { service, granted, .. } => {
                if let State::Stopping { stage, .. } = self.get(service) {
                    self.set(service, stopping(stage, Some(granted)));
                }
            }
            Notice::ReloadApplied { ref changes, .. } => {
                // What is not there any more is not waited for.
                for (service, _) in changes.iter().filter(|(_, change)| *change == Change::Removed) {
                    if self.get(*service) == State::Waiting {
                        self.set(*service, State::Done);
                    }
                    self.services[service.index()].is_essential = false;
                }
            }
            Notice::SystemReady { .. } => self.enter(Phase::Running),
            Notice::StopRequested { .. } => self.enter(Phase::Stopping),
            _ => {}
        }
    }

    /// It is over, and this is how it went.
    pub fn conclude(&mut self, conclusion: String) {
        self.enter(Phase::Over(conclusion));
    }

    /// The line, if anything has changed since this was last called.
    pub fn take(&mut self, now: Timestamp) -> Option<String> {
        std::mem::take(&mut self.is_new).then(|| self.line(now))
    }

    fn get(&self, id: ServiceId) -> State {
        self.services[id.index()].state
    }

    fn set(&mut self, id: ServiceId, state: State) {
        self.services[id.index()].state = state;
        self.is_new = true;
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.is_new = true;
    }

    fn line(&self, now: Timestamp) -> String {
        let in_state =
            |fits: fn(&State) -> bool| self.services.iter().filter(move |entry| fits(&entry.state));
        match &self.phase {
            Phase::Starting => {
                let missing = self.services.iter().filter(|entry| {
                    entry.is_essential
                        && match entry.kind {
                            Kind::Service => entry.state != State::Ready,
                            Kind::Task => entry.state != State::Done,
                        }
                });
                format!("starting: waiting for {}", names(missing.map(|entry| entry.name.clone())))
            }
            Phase::Running => {
                let up = in_state(|state| *state == State::Ready).count();
                let other: Vec<String> = self
                    .services
                    .iter()
                    .filter_map(|entry| match entry.state {
                        State::BackOff => Some(format!("{} will be restarted", entry.name)),
                        State::Starting => Some(format!("{} is starting", entry.name)),
                        State::Stopping { .. } => Some(format!("{} is stopping", entry.name)),
                        State::Waiting | State::Ready | State::Done => None,
                    })
                    .collect();
                let up = if up == 1 { "1 service is up".to_owned() } else { format!("{up} services are up") };
                if other.is_empty() { up } else { format!("{up}; {}", names(other.into_iter())) }
            }
            Phase::Stopping => {
                let stopping = self.services.iter().filter_map(|entry| match entry.state {
                    State::Stopping { stage, until } => Some(in_words(&entry.name, stage, until, now)),
                    _ => None,
                });
                let stopping = names(stopping);
                if stopping.is_empty() {
                    "stopping".to_owned()
                } else {
                    format!("stopping: waiting for {stopping}")
                }
            }
            Phase::Over(conclusion) => format!("stopped: {conclusion}"),
        }
    }
}

/// `api, stage 2 of 3, 4 s left`.
fn in_words(name: &str, stage: Option<(usize, usize)>, until: Option<Timestamp>, now: Timestamp) -> String {
    let stage = stage.map(|(stage, of)| format!(", stage {stage} of {of}")).unwrap_or_default();
    let left = until.map(|until| {
        let left = until.since(now);
        if left < Duration::from_secs(1) {
            format!(", {} ms left", left.as_millis())
        } else {
            format!(", {} s left", left.as_millis().div_ceil(1000))
        }
    });
    format!("{name}{stage}{}", left.unwrap_or_default())
}

/// The first few, and how many more there are.
fn names(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(NAMES_MAX);
    names.truncate(NAMES_MAX);
    let mut text = names.join("; ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{Cause, Mode, Pid, Recipients, Sender, Signal, StopOrder, Target};

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::new(Duration::from_millis(milliseconds))
    }

    #[test]
    fn every_phase_is_told_in_words() {
        let services = ["api", "dashboard"].map(ServiceSettings::new).to_vec();
        let order = StopOrder::new(&[Vec::new(), Vec::new()]).unwrap();
        let mut line = StatusLine::new(&Settings::new(Mode::ManyServices, services, order));
        let [api, dashboard] = [0, 1].map(ServiceId::new);
        let pid = Pid::new(7).unwrap();
        let mut after = |notices: &[Notice], now| {
            notices.iter().for_each(|notice| line.hear(notice, now));
            line.take(now)
        };
        assert_eq!(after(&[], at(0)).unwrap(), "starting: waiting for api; dashboard");
        assert_eq!(after(&[], at(0)), None);
        let ready = |service| Notice::ServiceReady { service, pid, after: Duration::ZERO };
        assert_eq!(after(&[ready(api)], at(1)).unwrap(), "starting: waiting for dashboard");
        let all = [ready(dashboard), Notice::SystemReady { after: Duration::ZERO }];
        assert_eq!(after(&all, at(2)).unwrap(), "2 services are up");
        let restart = Notice::RestartPlanned { service: api, delay: Duration::ZERO, attempt: 1, limit: 5 };
        assert_eq!(after(&[restart], at(3)).unwrap(), "1 service is up; api will be restarted");
        let cause = Cause::Signal { signal: Signal::TERM, sender: Sender::Unknown };
        let stop = Notice::StopRequested { cause, budget: None };
        let stage = Notice::StageSent {
            service: dashboard,
            stage: 1,
            of: 3,
            signal: Signal::INT,
            recipients: Recipients::Leader(Target::Leader),
            wait: Some(Duration::from_secs(4)),
        };
        assert_eq!(
            after(&[stop, stage], at(4)).unwrap(),
            "stopping: waiting for dashboard, stage 2 of 3, 4 s left"
        );
        line.conclude("api failed with exit status 5; the rest stopped cleanly".into());
        assert_eq!(
            line.take(at(5)).unwrap(),
            "stopped: api failed with exit status 5; the rest stopped cleanly"
        );
    }
}
