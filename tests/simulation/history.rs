use std::fmt::Write;
use std::time::Duration;

use curfew::supervisor::{
    Cause, Command, End, Event, Notice, Pid, Recipients, ServiceId, Settings, Signal, Target, Timestamp,
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
    /// Every process that ever was; filled in at the end.
    pub(crate) processes: Vec<Process>,
    /// When the run was over or had nothing more to wait for.
    pub(crate) over: Timestamp,
    /// What the core still wanted to be woken for.
    pub(crate) armed: Option<Timestamp>,
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
        self.events().find_map(|(index, at, event)| match event {
            Event::LeaderEnded { service, end } if *service == id => Some((index, at, *end)),
            _ => None,
        })
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
            Command::Start { service } => format!("{} start", self.settings.name(*service)),
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
            Command::TakeCensus => "census".to_owned(),
            Command::Tell(notice) => format!("tell {notice:?}"),
            Command::Finish { status } => format!("finish {status}"),
        }
    }
}
