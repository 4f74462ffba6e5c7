use std::time::Duration;

use curfew::supervisor::{
    End, HookId, ServiceId, ServiceMessage, Signal, SignalSet, StartFailure, StartStep, Step, Timestamp,
};

/// What a fake process does: data, so that it can be printed, made at random and made smaller.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Behaviour {
    /// How its life begins; only a leader's matters.
    pub(crate) start: Start,
    /// What it does when it is asked to end.
    pub(crate) reaction: Reaction,
    /// The signals that it does not heed. CONT never asks for anything.
    pub(crate) ignores: SignalSet,
    /// How many signals it takes until it reacts.
    pub(crate) needs: u32,
    /// It ends by itself, so long after its command was executed.
    pub(crate) unasked: Option<(Duration, End)>,
    /// It is stopped, as by Ctrl-Z, from its beginning.
    pub(crate) stopped: bool,
    /// How long the kernel takes to end it after KILL. `None`: it never can (uninterruptible sleep).
    pub(crate) teardown: Option<Duration>,
    /// We may not signal it (EPERM).
    pub(crate) forbidden: bool,
    /// Whether it waits for its children that end.
    pub(crate) reaps: bool,
    /// What it forks.
    pub(crate) forks: Vec<Fork>,
    /// What it says of itself; only a leader's words are heard.
    pub(crate) says: Vec<Saying>,
    /// What probes see that ask whether it is ready: from so long after its exec on. Nothing: it is, at once.
    pub(crate) readiness: Vec<(Duration, Answer)>,
    /// What probes see that ask whether it is well.
    pub(crate) health: Vec<(Duration, Answer)>,
}

/// What a process says of itself, and when.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Saying {
    /// So long after its beginning, or when it is first asked to end.
    pub(crate) when: When,
    pub(crate) message: ServiceMessage,
}

/// What comes back from a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// After so long: it is well.
    Well(Duration),
    /// After so long: it is not, and shows this status.
    Sick(Duration, u16),
    /// Nothing, ever.
    Never,
}

/// From the fork of a leader to its exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// It executes its command, so long after the fork.
    Executes(Duration),
    /// A step fails, so long after the fork.
    Fails(Duration, StartStep, bool),
    /// There is no fork at all.
    ForkRefused,
    /// The exec never comes back: a dead network file system.
    Hangs,
}

/// What a process does when it is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Nothing.
    Ignores,
    /// It ends, so long after it was asked.
    Ends(Duration, How),
}

/// How a process that was asked to end does so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// By the signal: it has no handler.
    BySignal,
    /// With 128 + the signal's number, as Java does.
    Exits128,
    /// With this status.
    Exits(u8),
    /// By another signal: SEGV in the middle of its clean-up.
    Crashes(Signal),
}

/// A child, and when it comes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fork {
    pub(crate) when: When,
    pub(crate) bond: Bond,
    pub(crate) child: Behaviour,
}

/// When a process forks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// So long after its own beginning.
    After(Duration),
    /// When it is first asked to end.
    AtSignal,
    /// As the last thing it does.
    AtDeath,
}

/// What ties a child to its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bond {
    /// An ordinary child, in the same process group.
    SameGroup,
    /// A child in a session of its own.
    OwnSession,
    /// A child in a session of its own, and nothing but its parent tells whose it is.
    Anonymous,
    /// Forked twice: a child of curfew, which can tell whose it was.
    Daemon,
    /// Forked twice, and nothing tells whose it was.
    Hidden,
    /// A child that will lead the service when the leader ends, which has said so (`MAINPID=`).
    Heir,
}

impl Behaviour {
    /// Ends `after` it was asked to, with status 0.
    pub(crate) fn obeys(after: Duration) -> Self {
        Self {
            start: Start::Executes(Duration::ZERO),
            reaction: Reaction::Ends(after, How::Exits(0)),
            ignores: [Signal::USR1, Signal::USR2, Signal::WINCH].into_iter().collect(),
            needs: 1,
            unasked: None,
            stopped: false,
            teardown: Some(Duration::ZERO),
            forbidden: false,
            reaps: true,
            forks: Vec::new(),
            says: Vec::new(),
            readiness: Vec::new(),
            health: Vec::new(),
        }
    }

    /// Only KILL ends it.
    pub(crate) fn stubborn() -> Self {
        Self { reaction: Reaction::Ignores, ..Self::obeys(Duration::ZERO) }
    }

    /// Not even KILL ends it.
    pub(crate) fn unkillable() -> Self {
        Self { teardown: None, ..Self::stubborn() }
    }

    /// Ends by itself.
    pub(crate) fn ends(after: Duration, end: End) -> Self {
        Self { unasked: Some((after, end)), ..Self::obeys(Duration::ZERO) }
    }

    pub(crate) fn how(mut self, how: How) -> Self {
        self.reaction = match self.reaction {
            Reaction::Ignores => Reaction::Ends(Duration::ZERO, how),
            Reaction::Ends(after, _) => Reaction::Ends(after, how),
        };
        self
    }

    pub(crate) fn ignoring(mut self, signals: &[Signal]) -> Self {
        signals.iter().for_each(|signal| self.ignores.insert(*signal));
        self
    }

    pub(crate) fn torn_down_in(self, teardown: Duration) -> Self {
        Self { teardown: Some(teardown), ..self }
    }

    pub(crate) fn starting(self, start: Start) -> Self {
        Self { start, ..self }
    }

    /// Says this so long after its beginning.
    pub(crate) fn saying(mut self, after: Duration, message: ServiceMessage) -> Self {
        self.says.push(Saying { when: When::After(after), message });
        self
    }

    /// Says this when it is first asked to end.
    pub(crate) fn answering(mut self, message: ServiceMessage) -> Self {
        self.says.push(Saying { when: When::AtSignal, message });
        self
    }

    /// Says that it is well, so often and at such intervals.
    pub(crate) fn pinging(self, every: Duration, times: u32) -> Self {
        (1..=times).fold(self, |this, time| this.saying(every * time, ServiceMessage::Alive))
    }

    /// From so long after its exec on, probes of its readiness see this.
    pub(crate) fn ready_after(mut self, after: Duration, answer: Answer) -> Self {
        self.readiness.push((after, answer));
        self
    }

    /// From so long after its exec on, probes of its health see this.
    pub(crate) fn seen_as(mut self, after: Duration, answer: Answer) -> Self {
        self.health.push((after, answer));
        self
    }

    pub(crate) fn forking(mut self, when: When, bond: Bond, child: Self) -> Self {
        self.forks.push(Fork { when, bond, child });
        self
    }
}

/// A fake process and all that is true of it. It stays on record after its end.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) behaviour: Behaviour,
    /// The service that it truly came from.
    pub(crate) service: ServiceId,
    /// In which life of the service, from 0.
    pub(crate) life: usize,
    /// What it is, or descends from.
    pub(crate) origin: Origin,
    pub(crate) is_leader: bool,
    /// It will lead when its parent ends.
    pub(crate) is_heir: bool,
    pub(crate) born: Timestamp,
    /// It is a command that runs beside a leader.
    pub(crate) hook: Option<HookId>,
    /// Whether it can be told whose it is.
    pub(crate) is_hidden: bool,
    /// The parent's index; `None`: curfew.
    pub(crate) parent: Option<usize>,
    /// Who forked it, if it was no daemon.
    pub(crate) mother: Option<usize>,
    pub(crate) children: Vec<usize>,
    /// The index of the process that made its group.
    pub(crate) group: usize,
    /// When it executed its command.
    pub(crate) executed_at: Option<Timestamp>,
    pub(crate) is_stopped: bool,
    /// What waits for it to be continued.
    pub(crate) pending: Vec<Signal>,
    /// How often it was asked to end.
    pub(crate) asked: u32,
    /// It has taken a KILL: nothing changes that any more.
    pub(crate) is_doomed: bool,
    /// Somebody else than curfew has signalled it.
    pub(crate) is_disturbed: bool,
    /// What curfew sent, and when.
    pub(crate) from_curfew: Vec<(Timestamp, Signal)>,
    pub(crate) ended: Option<(Timestamp, End)>,
}

/// What a process is, or descends from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// What runs as a leader.
    Step(Step),
    /// A command that runs beside a leader.
    Hook,
}

impl Process {
    /// What its end looks like to wait(2) when this signal made it end.
    pub(crate) fn end_by(how: How, signal: Signal) -> End {
        let by = |signal: Signal| End::Signaled { number: signal.number() as u8, core_dumped: false };
        match how {
            How::BySignal => by(signal),
            How::Exits128 => End::Exited((128 + signal.number()) as u8),
            How::Exits(status) => End::Exited(status),
            How::Crashes(other) => by(other),
        }
    }

    pub(crate) fn was_sent_kill(&self) -> bool {
        self.from_curfew.iter().any(|(_, signal)| *signal == Signal::KILL)
    }

    /// Whether curfew's KILL is what ended it.
    pub(crate) fn was_killed(&self) -> bool {
        self.was_sent_kill() && self.ended.is_some_and(|(_, end)| end.signal() == Some(Signal::KILL))
    }
}

impl Start {
    /// What the exec pipe says of a failure.
    pub(crate) const fn failure(step: StartStep, not_found: bool) -> StartFailure {
        StartFailure { step, errno: if not_found { 2 } else { 13 }, not_found, which: 0 }
    }
}
