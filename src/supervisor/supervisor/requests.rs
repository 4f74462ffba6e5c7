//! Signals to curfew: what each asks for.

use super::super::service::State;
use super::super::stop::Repeat;
use super::super::{
    Cause, Command, IgnoredBecause, Level, Mode, Notice, Recipients, Seat, Sender, ServiceId, Signal, Step,
    Target, Timestamp,
};
use super::Supervisor;

impl Supervisor {
    pub(super) fn on_signal(&mut self, received: Signal, sender: Sender, now: Timestamp) {
        let sent = match self.settings.map.get(&received) {
            Some(None) => {
                return self.tell(Notice::SignalIgnored {
                    signal: received,
                    sender,
                    reason: IgnoredBecause::Dropped,
                });
            }
            Some(Some(other)) => *other,
            None => received,
        };
        match self.request(received, sender) {
            Asked::Stop => self.on_stop_signal(received, sent, sender, now),
            Asked::Abort => {
                self.request_stop(Cause::Signal { signal: received, sender }, now);
                self.hasten(Level::KillNow, received, now);
            }
            Asked::Forward => self.forward(received, sent, sender),
            Asked::Reopen => {
                self.commands.push_back(Command::ReopenOutput);
                // A service may have files of its own to reopen.
                if self.settings.services.iter().any(|service| service.forward.contains(received)) {
                    self.forward(received, sent, sender);
                }
            }
            Asked::Suspend => self.suspend(received, sender),
            Asked::Resume => {
                self.suspending = false;
                self.commands.push_back(Command::Resume { service: ServiceId::new(0) });
            }
            Asked::Reload if self.stop.is_some() => self.tell(Notice::SignalIgnored {
                signal: received,
                sender,
                reason: IgnoredBecause::AlreadyStopping,
            }),
            Asked::Reload => self.request_reload(sender, now),
            Asked::Nothing => {}
        }
    }

    /// What a signal to curfew asks for.
    fn request(&self, signal: Signal, sender: Sender) -> Asked {
        if self.settings.stop_signals.contains(signal) {
            return Asked::Stop;
        }
        match (signal, self.settings.mode) {
            (Signal::CHLD | Signal::PIPE, _) => Asked::Nothing,
            (Signal::ABRT, _) => Asked::Abort,
            (Signal::HUP, _) if sender == Sender::Terminal => Asked::Stop,
            (Signal::HUP, Mode::ManyServices) if self.settings.reloadable => Asked::Reload,
            (Signal::HUP | Signal::QUIT, Mode::ManyServices) => Asked::Stop,
            (Signal::TSTP | Signal::TTIN | Signal::TTOU | Signal::ALRM, Mode::ManyServices) => Asked::Nothing,
            (Signal::TSTP | Signal::TTIN | Signal::TTOU, Mode::OneCommand) => Asked::Suspend,
            (Signal::CONT, Mode::OneCommand) => Asked::Resume,
            // To one command it is the command's own, which may die of it.
            (Signal::USR1, Mode::ManyServices) if self.settings.has_output_files => Asked::Reopen,
            (_, Mode::OneCommand | Mode::ManyServices) => Asked::Forward,
        }
    }

    /// Whoever asks for a stop with a signal that means something else gets none.
    pub(super) fn on_platform_stops_with(&mut self, signal: Signal) {
        let asked = self.request(signal, Sender::Unknown);
        if self.stop.is_none() && !matches!(asked, Asked::Stop | Asked::Abort) {
            self.tell(Notice::StopUnheard { signal });
        }
    }

    pub(super) fn on_stop_signal(&mut self, received: Signal, sent: Signal, sender: Sender, now: Timestamp) {
        let Some(stop) = &mut self.stop else {
            self.request_stop_sending(Cause::Signal { signal: received, sender }, sent, now);
            if received == Signal::QUIT && sender == Sender::Terminal {
                self.hasten(Level::KillNow, received, now);
            }
            return;
        };
        let ignored = |reason| Notice::SignalIgnored { signal: received, sender, reason };
        let current = stop.level;
        match stop.repeat(received, sender, now) {
            Repeat::Duplicate => self.tell(ignored(IgnoredBecause::Duplicate)),
            Repeat::Hasten(level) if level >= current => self.hasten(level, received, now),
            Repeat::Hasten(_) | Repeat::Nothing => self.tell(ignored(IgnoredBecause::AlreadyStopping)),
        }
    }

    /// Somebody wants the job to pause. The command is stopped with the signal that nobody can ignore: TSTP itself is
    /// discarded where no shell is left in the session. We follow when it has stopped.
    pub(super) fn suspend(&mut self, received: Signal, sender: Sender) {
        let service = ServiceId::new(0);
        let runs = self.services[service.index()].runs();
        // A command that the key has reached stops, or does not: an editor puts the screen in order first.
        if self.stop.is_some() || !runs || self.reached_command(received, sender) {
            return;
        }
        self.suspending = true;
        self.commands.push_back(Command::Signal {
            service,
            recipients: Recipients::Leader(Target::Group),
            signal: Signal::STOP,
        });
        self.tell(Notice::SignalForwarded { service, received, sent: Signal::STOP });
    }

    /// One command was stopped: so are we, or the shell would wait for ever. Without a shell nobody would continue us, and
    /// Ctrl-Z is to do nothing, as the kernel has it for a command that no shell waits for. In a stop it is only slow, and
    /// gets CONT.
    pub(super) fn on_leader_stopped(&mut self, id: ServiceId, signal: Signal, has_shell: bool) {
        let runs = self.services[id.index()].runs();
        if self.settings.mode != Mode::OneCommand || self.stop.is_some() || !runs {
            return;
        }
        let at_terminal = self.settings.seat != Seat::NoTerminal;
        if self.suspending || (at_terminal && has_shell) {
            self.commands.push_back(Command::StopSelf);
        } else if at_terminal && signal == Signal::TSTP {
            self.commands.push_back(Command::Resume { service: id });
        }
    }

    /// Whether the terminal has sent this signal to the one command already: a key's signal goes to the whole group, a
    /// hang-up to the leader of the session alone.
    pub(super) fn reached_command(&self, signal: Signal, sender: Sender) -> bool {
        self.settings.seat == Seat::SharedGroup && sender == Sender::Terminal && signal != Signal::HUP
    }

    pub(super) fn forward(&mut self, received: Signal, sent: Signal, sender: Sender) {
        if self.reached_command(received, sender) {
            return;
        }
        let mut forwarded = false;
        for index in 0..self.settings.services.len() {
            let settings = &self.settings.services[index];
            let service = &self.services[index];
            let runs =
                (service.runs() || matches!(service.state, State::Stopping(_))) && service.step == Step::Main;
            if !settings.forward.contains(received) || !runs || self.services[index].leader.is_none() {
                continue;
            }
            forwarded = true;
            let service = ServiceId::new(index);
            let recipients = Recipients::Leader(settings.signal_target);
            self.commands.push_back(Command::Signal { service, recipients, signal: sent });
            self.tell(Notice::SignalForwarded { service, received, sent });
        }
        if !forwarded {
            let reason = IgnoredBecause::NotForwarded;
            self.tell(Notice::SignalIgnored { signal: received, sender, reason });
        }
    }
}

/// What a signal to curfew asks for.
enum Asked {
    Stop,
    Abort,
    Forward,
    Reopen,
    Suspend,
    Resume,
    Reload,
    Nothing,
}
