use std::collections::VecDeque;
use std::time::Duration;

use curfew::supervisor::{
    Command, Event, Notice, Recipients, ServiceId, Settings, Signal, Step, Supervisor, Target, Timestamp,
    Verdict,
};

/// The supervisor, or the supervisor with a bug put in on purpose: so that the checkers can be seen to bite.
pub(crate) struct Core {
    supervisor: Supervisor,
    fault: Option<Fault>,
    altered: VecDeque<Command>,
    /// Deaths that it has not heard of yet.
    unheard: Vec<Event>,
    finished: bool,
}

/// A bug put into the core on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The second stage is a KILL already.
    KillsOneStageEarly,
    /// Services 0 and 1 get each other's signals.
    SwapsTheOrder,
    /// It ends as soon as it has found a stray.
    FinishesBeforeStraysAreGone,
    /// Nobody is continued.
    DropsCont,
    /// The exit status is one more.
    WrongStatus,
    /// The verdict is always clean.
    WrongVerdict,
    /// It wakes up a minute late.
    WakesLate,
    /// A leader is signalled after its death.
    SignalsTheDead,
    /// Service 1 is started when the stop begins.
    StartsAfterTheStop,
    /// Service 0 is started twice.
    StartsTwice,
    /// After KILL comes TERM again.
    LevelFalls,
    /// Survivors are not named.
    ForgetsSurvivors,
    /// Survivors are named that are dead.
    NamesTheDead,
    /// A timer is left at the end.
    LeavesATimer,
    /// Stages are not told.
    IsSilent,
    /// The waits are said to be shortened, though there is time.
    ShrinksForNothing,
    /// Stop signals are not heard.
    IsDeaf,
    /// What comes after another is started at once.
    StartsTooSoon,
    /// Deaths are learnt of with the next timer only.
    HearsDeathsLate,
    /// The first stage is left out.
    SkipsTheFirstSignal,
    /// The end is never said.
    NeverFinishes,
}

impl Core {
    pub(crate) fn new(settings: Settings, fault: Option<Fault>) -> Self {
        Self {
            supervisor: Supervisor::new(settings),
            fault,
            altered: VecDeque::new(),
            unheard: Vec::new(),
            finished: false,
        }
    }

    pub(crate) fn handle(&mut self, event: Event, now: Timestamp) {
        match (self.fault, &event) {
            (Some(Fault::IsDeaf), Event::SignalReceived { .. }) => return,
            (
                Some(Fault::StartsAfterTheStop | Fault::StartsTooSoon),
                Event::Forked { service, .. }
                | Event::Executed { service }
                | Event::LeaderEnded { service, .. },
            ) if service.index() == 1 => return,
            (Some(Fault::HearsDeathsLate), Event::LeaderEnded { .. }) => return self.unheard.push(event),
            (Some(Fault::HearsDeathsLate), Event::TimePassed)
                if self.supervisor.next_deadline() <= Some(now) =>
            {
                for death in std::mem::take(&mut self.unheard) {
                    self.supervisor.handle(death, now);
                }
            }
            (Some(Fault::StartsTwice), Event::Forked { pid, .. }) if pid.number() > 100 => return,
            _ => {}
        }
        self.supervisor.handle(event, now);
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let deadline = self.supervisor.next_deadline();
        match self.fault {
            Some(Fault::WakesLate) => deadline.map(|at| at + Duration::from_secs(60)),
            Some(Fault::LeavesATimer) if self.finished => Some(Timestamp::ZERO),
            _ => deadline,
        }
    }

    pub(crate) fn next_command(&mut self) -> Option<Command> {
        let Some(fault) = self.fault else { return self.supervisor.next_command() };
        while self.altered.is_empty() {
            let command = self.supervisor.next_command()?;
            self.finished |= matches!(command, Command::Finish { .. });
            self.alter(fault, command);
        }
        self.altered.pop_front()
    }

    fn alter(&mut self, fault: Fault, mut command: Command) {
        let other = |service: ServiceId| match service.index() {
            0 => ServiceId::new(1),
            1 => ServiceId::new(0),
            _ => service,
        };
        let mut behind = None;
        match (fault, &mut command) {
            (Fault::KillsOneStageEarly, Command::Signal { signal, .. }) if *signal == Signal::INT => {
                *signal = Signal::KILL;
            }
            (
                Fault::SwapsTheOrder,
                Command::Signal { service, .. } | Command::Tell(Notice::StageSent { service, .. }),
            ) => *service = other(*service),
            (Fault::FinishesBeforeStraysAreGone, Command::Tell(Notice::StrayFound { .. })) => {
                behind = Some(Command::Finish { status: 0 });
            }
            (Fault::DropsCont, Command::Signal { signal, .. }) if *signal == Signal::CONT => return,
            (
                Fault::WrongStatus,
                Command::Finish { status } | Command::Tell(Notice::StopComplete { status, .. }),
            ) => *status += 1,
            (Fault::WrongVerdict, Command::Tell(Notice::StopComplete { verdict, .. })) => {
                *verdict = Verdict::Clean;
            }
            (Fault::SignalsTheDead, Command::Tell(Notice::ServiceEnded { service, .. })) => {
                let (service, recipients) = (*service, Recipients::Leader(Target::Leader));
                behind = Some(Command::Signal { service, recipients, signal: Signal::TERM });
            }
            (Fault::StartsAfterTheStop, Command::Tell(Notice::StopRequested { .. })) => {
                behind = Some(Command::Start { service: ServiceId::new(1), step: Step::Main });
            }
            (Fault::StartsTooSoon, Command::Start { service, .. }) if service.index() == 0 => {
                behind = Some(Command::Start { service: ServiceId::new(1), step: Step::Main });
            }
            (Fault::StartsTwice, Command::Tell(Notice::ServiceReady { service, .. })) => {
                behind = Some(Command::Start { service: *service, step: Step::Main });
            }
            (Fault::LevelFalls, Command::Signal { service, recipients, signal })
                if *signal == Signal::KILL =>
            {
                let (service, recipients) = (*service, *recipients);
                behind = Some(Command::Signal { service, recipients, signal: Signal::TERM });
            }
            (Fault::ForgetsSurvivors, Command::Tell(Notice::Survivor { .. })) => return,
            (Fault::NamesTheDead, Command::Tell(Notice::ServiceEnded { service, pid, .. })) => {
                behind = Some(Command::Tell(Notice::Survivor { service: *service, pid: *pid }));
            }
            (Fault::NeverFinishes, Command::Finish { .. }) => return,
            (Fault::IsSilent, Command::Tell(Notice::StageSent { .. })) => return,
            (Fault::ShrinksForNothing, Command::Tell(Notice::StageSent { service, .. })) => {
                let scale = curfew::supervisor::Scale::FULL;
                let (from, to) = (Duration::from_secs(8), Duration::from_secs(8));
                behind = Some(Command::Tell(Notice::BudgetShrunk { service: *service, scale, from, to }));
            }
            (Fault::SkipsTheFirstSignal, Command::Signal { signal, .. })
                if matches!(*signal, Signal::TERM | Signal::CONT) =>
            {
                return;
            }
            _ => {}
        }
        self.altered.push_back(command);
        self.altered.extend(behind);
    }
}
