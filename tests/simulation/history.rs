use std::fmt::Write;
use std::time::Duration;

use curfew::supervisor::{
    Cause, Command, Event, Notice, Pid, Recipients, ServiceId, ServiceSettings, Settings, Signal, Stage,
    StageAction, Step, Target, Timestamp,
};

use super::configuration::{Adopted, Epoch};
use super::kernel::Kernel;
use super::life::Life;
use super::process::Process;

/// All that could be seen of a run: what the core was told, what it commanded, and the kernel's truth.
#[derive(Debug)]
pub(crate) struct History {
    /// Of every service that ever was, those that held last.
    pub(crate) settings: Settings,
    /// What each service was, one after another.
    pub(crate) adopted: Vec<Vec<Adopted>>,
    /// The configurations that held, the one at the start first.
    pub(crate) epochs: Vec<Epoch>,
    /// How late curfew may be scheduled.
    pub(crate) lateness: Duration,
    /// When curfew was stopped (SIGSTOP), and until when.
    pub(crate) suspensions: Vec<(Timestamp, Timestamp)>,
    pub(crate) entries: Vec<Entry>,
    /// What is looked up often, by service.
    pub(crate) milestones: Vec<Milestones>,
    /// The lives of each service.
    pub(crate) lives: Vec<Vec<Life>>,
    /// Every process that ever was; filled in at the end.
    pub(crate) processes: Vec<Process>,
    /// When the run was over or had nothing more to wait for.
    pub(crate) over: Timestamp,
    /// What the core still wanted to be woken for.
    pub(crate) armed: Option<Timestamp>,
    /// The first thing that a status said and that was not so.
    pub(crate) untrue_status: Option<String>,
    /// It was cut off: it would have gone on.
    pub(crate) is_cut: bool,
}

/// What is looked up often, of the last life of a service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Milestones {
    /// That it is down was told there.
    pub(crate) down: Option<usize>,
    /// The signal of its first stage, as it was first told.
    pub(crate) first_signal: Option<Signal>,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: Timestamp,
    pub(crate) what: What,
    /// It came of a command at once, while others still waited to be performed.
    pub(crate) is_answer: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// The core was told this.
    Event(Event),
    /// The core commanded this; if it was a signal, these living processes got it.
    Command(Command, Vec<Pid>),
}

impl History {
    /// Everything told, in order.
    pub(crate) fn notices(&self) -> impl Iterator<Item = (usize, Timestamp, &Notice)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| match &entry.what {
            What::Command(Command::Tell(notice), _) => Some((index, entry.at, notice)),
            What::Command(..) | What::Event(_) => None,
        })
    }

    /// Every signal sent, in order: the entry, the time, the service, the recipients, the signal and who got it.
    pub(crate) fn signals(
        &self,
    ) -> impl Iterator<Item = (usize, Timestamp, ServiceId, Recipients, Signal, &[Pid])> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| match &entry.what {
            What::Command(Command::Signal { service, recipients, signal }, hit) => {
                Some((index, entry.at, *service, *recipients, *signal, hit.as_slice()))
            }
            What::Command(..) | What::Event(_) => None,
        })
    }

    /// Every event, in order.
    pub(crate) fn events(&self) -> impl Iterator<Item = (usize, Timestamp, &Event)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| match &entry.what {
            What::Event(event) => Some((index, entry.at, event)),
            What::Command(..) => None,
        })
    }

    /// When the stop began, and why.
    pub(crate) fn stop(&self) -> Option<(usize, Timestamp, Cause)> {
        self.notices().find_map(|(index, at, notice)| match notice {
            Notice::StopRequested { cause, .. } => Some((index, at, *cause)),
            _ => None,
        })
    }

    /// The end, and the exit status.
    pub(crate) fn finish(&self) -> Option<(usize, Timestamp, u8)> {
        self.entries.iter().enumerate().find_map(|(index, entry)| match &entry.what {
            What::Command(Command::Finish { status }, _) => Some((index, entry.at, *status)),
            _ => None,
        })
    }

    /// The settings of a service at this entry.
    pub(crate) fn service_at(&self, id: ServiceId, index: usize) -> &ServiceSettings {
        &self.adopted_at(id, index).settings
    }

    /// What a service was at this entry.
    pub(crate) fn adopted_at(&self, id: ServiceId, index: usize) -> &Adopted {
        let adopted = &self.adopted[id.index()];
        let held = adopted.iter().rfind(|of| of.from <= index).or(adopted.first());
        held.expect("it was there at some time")
    }

    /// The last entry at which the settings of this life held: what is adopted right before the next is the next one's.
    pub(crate) fn adopted_until(&self, life: &Life) -> usize {
        let ended = life.end().map(|(ended, ..)| ended).or(life.start_failure().map(|(failed, _)| failed));
        let begun = life.stop_begun.map(|(begun, _)| begun);
        [ended, begun].into_iter().flatten().min().unwrap_or(usize::MAX)
    }

    /// What a service comes after at this entry.
    pub(crate) fn dependencies_at(&self, id: ServiceId, index: usize) -> &[ServiceId] {
        self.epoch_at(index).dependencies(id)
    }

    /// What comes after a service at this entry.
    pub(crate) fn dependents_at(&self, id: ServiceId, index: usize) -> Vec<ServiceId> {
        self.epoch_at(index).dependents(id)
    }

    /// The configuration that held at this entry.
    pub(crate) fn epoch_at(&self, index: usize) -> &Epoch {
        self.epochs.iter().rfind(|epoch| epoch.from <= index).expect("the first holds from the start")
    }

    /// Whether there was a reload.
    pub(crate) const fn is_reloaded(&self) -> bool {
        self.epochs.len() > 1
    }

    /// Whether no stage before this one sends a signal.
    pub(crate) fn is_first_signal(&self, id: ServiceId, index: usize, stage: usize) -> bool {
        let stages = self.stages(id, index);
        stages[..stage.min(stages.len())].iter().all(|stage| matches!(stage.action, StageAction::Run(_)))
    }

    /// The stages of a service before KILL, at this entry.
    pub(crate) fn stages(&self, id: ServiceId, index: usize) -> &[Stage] {
        match self.settings.services.get(id.index()) {
            Some(_) => self.service_at(id, index).grace.stages(),
            None if id == self.settings.stray_id() => self.settings.stray_grace.stages(),
            None => &[],
        }
    }

    /// Notes what is looked up often.
    pub(crate) fn note_milestones(&mut self) {
        self.note_lives();
        self.milestones = vec![Milestones::default(); self.settings.services.len() + 2];
        for (index, Entry { what, .. }) in self.entries.iter().enumerate() {
            match what {
                What::Command(Command::Start { service, step }, _) if *step != Step::PostStop => {
                    self.milestones[service.index()] = Milestones::default();
                }
                What::Command(Command::Tell(Notice::ServiceDown { service, .. }), _) => {
                    self.milestones[service.index()].down.get_or_insert(index);
                }
                What::Command(Command::Tell(Notice::StageSent { service, stage, signal, .. }), _)
                    if self.is_first_signal(*service, index, *stage) =>
                {
                    self.milestones[service.index()].first_signal.get_or_insert(*signal);
                }
                What::Event(_) | What::Command(..) => {}
            }
        }
    }

    pub(crate) fn process(&self, pid: Pid) -> &Process {
        &self.processes[Kernel::index(pid)]
    }

    /// Everything, a line each.
    pub(crate) fn trace(&self) -> String {
        let mut trace = String::new();
        for entry in &self.entries {
            let _ = match &entry.what {
                What::Event(event) => writeln!(trace, "{}   {event:?}", entry.at),
                What::Command(command, hit) => {
                    writeln!(trace, "{} {}", entry.at, self.command_line(command, hit))
                }
            };
        }
        let _ = writeln!(trace, "{} over, armed: {:?}", self.over, self.armed);
        trace
    }

    /// Every signal sent, a line each, without the CONT that follows each stop signal.
    pub(crate) fn signal_lines(&self) -> Vec<String> {
        let line = |entry: &Entry| match &entry.what {
            What::Command(command @ Command::Signal { signal, .. }, hit) if *signal != Signal::CONT => {
                Some(format!("{} {}", entry.at, self.command_line(command, hit)))
            }
            _ => None,
        };
        self.entries.iter().filter_map(line).collect()
    }

    /// Every command, as the trace has it.
    pub(crate) fn command_lines(&self) -> Vec<(Timestamp, String)> {
        let line = |entry: &Entry| match &entry.what {
            What::Command(command, hit) => Some((entry.at, self.command_line(command, hit))),
            What::Event(_) => None,
        };
        self.entries.iter().filter_map(line).collect()
    }

    fn command_line(&self, command: &Command, hit: &[Pid]) -> String {
        match command {
            Command::Start { service, step: Step::Main } => format!("{} start", self.settings.name(*service)),
            Command::Start { service, step } => format!("{} {step}", self.settings.name(*service)),
            Command::Probe { service, purpose } => {
                format!("{} probe {purpose:?}", self.settings.name(*service))
            }
            Command::AbandonProbe { service } => format!("{} abandon probe", self.settings.name(*service)),
            Command::TellPlatform(message) => format!("tell platform {message:?}"),
            Command::Signal { service, recipients, signal } => {
                let name = self.settings.name(*service);
                let to = match recipients {
                    Recipients::Leader(Target::Leader) => "leader",
                    Recipients::Leader(Target::Group) => "group",
                    Recipients::Leader(Target::All) => "all",
                    Recipients::Strays => "strays",
                    Recipients::Stray(_) => "stray",
                };
                let hit: Vec<String> = hit.iter().map(Pid::to_string).collect();
                let hit = if hit.is_empty() { "nobody".to_owned() } else { hit.join(" ") };
                format!("{name} {signal} → {to} {hit}")
            }
            Command::Resume { service } => format!("{} resume", self.settings.name(*service)),
            Command::StopSelf => "stop self".to_owned(),
            Command::Measure { service } => format!("{} measure", self.settings.name(*service)),
            Command::Look { service } => format!("{} look", self.settings.name(*service)),
            Command::Blame { service } => format!("{} blame", self.settings.name(*service)),
            Command::RunHook { service, kind, .. } => format!("{} {kind}", self.settings.name(*service)),
            Command::EndHook { hook } => format!("end hook {}", hook.number()),
            Command::ReadConfiguration => "read configuration".to_owned(),
            Command::AbandonReading => "abandon reading".to_owned(),
            Command::Reconfigure { places } => format!("reconfigure {places:?}"),
            Command::Adopt { service } => format!("{} adopts", self.settings.name(*service)),
            Command::ReopenOutput => "reopen output".to_owned(),
            Command::LearnDeadline => "learn deadline".to_owned(),
            Command::TakeCensus => "census".to_owned(),
            Command::Tell(notice) => format!("tell {notice:?}"),
            Command::Finish { status } => format!("finish {status}"),
        }
    }
}
