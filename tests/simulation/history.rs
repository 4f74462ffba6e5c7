use std::fmt::Write;
use std::time::Duration;

use curfew::supervisor::{
    Cause, Command, End, Event, Notice, Pid, Recipients, ServiceId, Settings, Signal, StageAction,
    StartFailure, Step, Target, Timestamp,
};

use super::kernel::Kernel;
use super::process::Process;

/// All that could be seen of a run: what the core was told, what it commanded, and the kernel's truth.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) settings: Settings,
    /// How late curfew may be scheduled.
    pub(crate) lateness: Duration,
    /// When curfew was stopped (SIGSTOP), and until when.
    pub(crate) suspensions: Vec<(Timestamp, Timestamp)>,
    pub(crate) entries: Vec<Entry>,
    /// What is looked up often, by service.
    pub(crate) milestones: Vec<Milestones>,
    /// Every process that ever was; filled in at the end.
    pub(crate) processes: Vec<Process>,
    /// When the run was over or had nothing more to wait for.
    pub(crate) over: Timestamp,
    /// What the core still wanted to be woken for.
    pub(crate) armed: Option<Timestamp>,
    /// It was cut off: it would have gone on.
    pub(crate) is_cut: bool,
}

/// Where in the history the first of its kind stands, for one service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Milestones {
    pub(crate) started: Option<usize>,
    pub(crate) executed: Option<usize>,
    pub(crate) start_failure: Option<(usize, StartFailure)>,
    pub(crate) leader_end: Option<(usize, Timestamp, End)>,
    pub(crate) down: Option<usize>,
    /// Each time its end was told, and how.
    pub(crate) ends_told: Vec<(Timestamp, End)>,
    /// The signal of its first stage, as it was first told.
    pub(crate) first_signal: Option<Signal>,
    /// The index of its leader among the processes.
    pub(crate) leader: Option<usize>,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: Timestamp,
    pub(crate) what: What,
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

    /// How the leader of a service ended, as it was told.
    pub(crate) fn leader_end(&self, id: ServiceId) -> Option<(usize, Timestamp, End)> {
        self.milestones[id.index()].leader_end
    }

    /// Whether no stage before this one sends a signal.
    pub(crate) fn is_first_signal(&self, id: ServiceId, stage: usize) -> bool {
        let grace = self.settings.services.get(id.index()).map(|service| &service.grace);
        let stages = grace.unwrap_or(&self.settings.stray_grace).stages();
        stages[..stage.min(stages.len())].iter().all(|stage| matches!(stage.action, StageAction::Run(_)))
    }

    /// Notes what is looked up often.
    pub(crate) fn note_milestones(&mut self) {
        self.milestones = vec![Milestones::default(); self.settings.services.len() + 2];
        for (index, Entry { at, what }) in self.entries.iter().enumerate() {
            match what {
                What::Command(Command::Start { service, .. }, _) => {
                    self.milestones[service.index()].started.get_or_insert(index);
                }
                What::Command(Command::Tell(Notice::ServiceDown { service, .. }), _) => {
                    self.milestones[service.index()].down.get_or_insert(index);
                }
                What::Command(Command::Tell(Notice::ServiceEnded { service, end, .. }), _) => {
                    self.milestones[service.index()].ends_told.push((*at, *end));
                }
                What::Command(Command::Tell(Notice::StageSent { service, stage, signal, .. }), _)
                    if self.is_first_signal(*service, *stage) =>
                {
                    self.milestones[service.index()].first_signal.get_or_insert(*signal);
                }
                What::Event(Event::Executed { service }) => {
                    self.milestones[service.index()].executed.get_or_insert(index);
                }
                What::Event(Event::StartFailed { service, failure }) => {
                    self.milestones[service.index()].start_failure.get_or_insert((index, *failure));
                }
                What::Event(Event::LeaderEnded { service, end }) => {
                    self.milestones[service.index()].leader_end.get_or_insert((index, *at, *end));
                }
                What::Event(_) | What::Command(..) => {}
            }
        }
        for (index, process) in self.processes.iter().enumerate().filter(|(_, process)| process.is_leader) {
            self.milestones[process.service.index()].leader.get_or_insert(index);
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
            Command::TakeCensus => "census".to_owned(),
            Command::Tell(notice) => format!("tell {notice:?}"),
            Command::Finish { status } => format!("finish {status}"),
        }
    }
}
