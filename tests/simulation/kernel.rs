use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use curfew::supervisor::{
    End, HookId, Mode, Pid, Purpose, Recipients, ServiceId, ServiceMessage, Signal, StartFailure, StartStep,
    Step, Stray, Target, Timestamp,
};

use super::broken_core::Core;
use super::process::{Answer, Behaviour, Bond, Fork, How, Origin, Process, Reaction, Saying, Start, When};

/// The pid of the first process; the others follow, and none comes twice.
const FIRST_PID: i32 = 100;

/// The fake kernel: processes, their families, and what will become of them.
#[derive(Debug)]
pub(crate) struct Kernel {
    mode: Mode,
    service_count: usize,
    blind: bool,
    pub(crate) processes: Vec<Process>,
    living: BTreeSet<usize>,
    happenings: BTreeMap<(Timestamp, u64), Happening>,
    happening_count: u64,
    /// The leaders that were not reaped.
    leaders: Vec<Option<usize>>,
    /// Dead children of curfew, in the order of their deaths.
    pub(crate) reapable: Vec<usize>,
    /// What the exec pipes say.
    pub(crate) exec_results: Vec<(ServiceId, Result<(), StartFailure>)>,
    /// The leaders that were stopped, and not yet told.
    pub(crate) stopped_leaders: Vec<(ServiceId, Signal)>,
    last_census: Vec<usize>,
    /// What leaders said, and which of their processes said it.
    pub(crate) said: Vec<(usize, ServiceMessage)>,
    /// The probes that are under way: their numbers.
    probes: BTreeMap<ServiceId, u64>,
    /// What came back from probes.
    pub(crate) answers: Vec<(ServiceId, Purpose, Result<(), String>)>,
}

/// A dead child of curfew, as it is reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaped {
    /// It led this service.
    Leader(ServiceId, End),
    /// It led this service, which another leads now.
    Predecessor(ServiceId, Pid),
    /// It was none of ours.
    Stray(End),
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    Says(usize, usize),
    Answers(ServiceId, u64, Purpose, Answer),
    Executes(usize),
    FailsToStart(usize, StartFailure),
    Ends(usize, End),
    Forks(usize, usize),
}

impl Kernel {
    pub(crate) fn new(mode: Mode, service_count: usize, blind: bool) -> Self {
        Self {
            mode,
            service_count,
            blind,
            processes: Vec::new(),
            living: BTreeSet::new(),
            happenings: BTreeMap::new(),
            happening_count: 0,
            leaders: vec![None; service_count + 2],
            reapable: Vec::new(),
            exec_results: Vec::new(),
            stopped_leaders: Vec::new(),
            last_census: Vec::new(),
            said: Vec::new(),
            probes: BTreeMap::new(),
            answers: Vec::new(),
        }
    }

    /// There are so many services more. Before a stop nothing is known of the pseudo-services, which give way.
    pub(crate) fn make_room(&mut self, new: usize) {
        for _ in 0..new {
            self.leaders.insert(self.service_count, None);
            self.service_count += 1;
        }
    }

    pub(crate) fn pid(index: usize) -> Pid {
        Pid::new(FIRST_PID + index as i32).expect("above 1")
    }

    pub(crate) const fn index(pid: Pid) -> usize {
        (pid.number() - FIRST_PID) as usize
    }

    pub(crate) fn next_happening(&self) -> Option<Timestamp> {
        self.happenings.first_key_value().map(|((at, _), _)| *at)
    }

    /// Lets the next thing happen.
    pub(crate) fn happen(&mut self) {
        let Some(((at, _), happening)) = self.happenings.pop_first() else { return };
        match happening {
            Happening::Executes(index) if self.lives(index) => {
                self.processes[index].executed_at = Some(at);
                self.exec_results.push((self.processes[index].service, Ok(())));
                self.begin_life(index, at);
            }
            Happening::FailsToStart(index, failure) if self.lives(index) => {
                self.exec_results.push((self.processes[index].service, Err(failure)));
                self.die(index, End::Exited(if failure.not_found { 127 } else { 126 }), at);
            }
            // What has taken a KILL runs no more, even if it cannot be torn down.
            Happening::Forks(index, fork) if self.lives(index) && !self.processes[index].is_doomed => {
                let fork = self.processes[index].behaviour.forks[fork].clone();
                self.fork(index, &fork, at);
            }
            Happening::Says(index, saying)
                if self.lives(index)
                    && !self.processes[index].is_doomed
                    && !self.processes[index].is_stopped =>
            {
                let message = self.processes[index].behaviour.says[saying].message.clone();
                self.said.push((index, message));
            }
            Happening::Answers(service, number, purpose, answer)
                if self.probes.get(&service) == Some(&number) =>
            {
                self.probes.remove(&service);
                let result = match answer {
                    Answer::Sick(_, status) => Err(format!("status {status}")),
                    Answer::Well(_) | Answer::Never => Ok(()),
                };
                self.answers.push((service, purpose, result));
            }
            // Once it has taken a KILL, nothing else ends it.
            Happening::Ends(index, end)
                if self.lives(index)
                    && (!self.processes[index].is_doomed || end.signal() == Some(Signal::KILL)) =>
            {
                self.die(index, end, at);
            }
            _ => {}
        }
    }

    /// Whether there is anything that would wake curfew.
    pub(crate) fn has_news(&self) -> bool {
        !self.reapable.is_empty()
            || !self.exec_results.is_empty()
            || !self.stopped_leaders.is_empty()
            || !self.said.is_empty()
            || !self.answers.is_empty()
    }

    /// Begins a probe. What it will see is settled now.
    pub(crate) fn probe(&mut self, service: ServiceId, purpose: Purpose, number: u64, now: Timestamp) {
        let Some(leader) = self.leader(service).map(|leader| &self.processes[leader]) else { return };
        let answers = match purpose {
            Purpose::Ready => &leader.behaviour.readiness,
            Purpose::Health => &leader.behaviour.health,
        };
        let age = now.since(leader.executed_at.unwrap_or(now));
        let latest = answers.iter().rev().find(|(from, _)| *from <= age).map(|(_, answer)| *answer);
        let answer = match latest.unwrap_or(Answer::Well(Duration::ZERO)) {
            _ if leader.is_stopped => Answer::Never,
            answer => answer,
        };
        self.probes.insert(service, number);
        if let Answer::Well(after) | Answer::Sick(after, _) = answer {
            self.later(now + after, Happening::Answers(service, number, purpose, answer));
        }
    }

    /// Nobody wants to know any more.
    pub(crate) fn abandon_probe(&mut self, service: ServiceId) {
        self.probes.remove(&service);
        self.answers.retain(|(of, _, _)| *of != service);
    }

    /// Forks a leader.
    pub(crate) fn start(
        &mut self,
        service: ServiceId,
        step: Step,
        life: usize,
        behaviour: &Behaviour,
        now: Timestamp,
    ) -> Result<Pid, StartFailure> {
        let start = behaviour.start;
        if start == Start::ForkRefused {
            return Err(StartFailure::new(StartStep::Fork, 11));
        }
        let index = self.add(behaviour.clone(), service, None, now);
        self.processes[index].is_leader = true;
        self.processes[index].life = life;
        self.processes[index].origin = Origin::Step(step);
        self.leaders[service.index()] = Some(index);
        match start {
            Start::Executes(after) => self.later(now + after, Happening::Executes(index)),
            Start::Fails(after, step, not_found) => {
                self.later(now + after, Happening::FailsToStart(index, Start::failure(step, not_found)));
            }
            Start::ForkRefused | Start::Hangs => {}
        }
        Ok(Self::pid(index))
    }

    /// Forks a hook; it executes its command at once.
    pub(crate) fn start_hook(
        &mut self,
        hook: HookId,
        service: ServiceId,
        life: usize,
        behaviour: &Behaviour,
        now: Timestamp,
    ) -> Result<Pid, StartFailure> {
        if behaviour.start == Start::ForkRefused {
            return Err(StartFailure::new(StartStep::Fork, 11));
        }
        let index = self.add(behaviour.clone(), service, None, now);
        self.processes[index].hook = Some(hook);
        self.processes[index].life = life;
        self.processes[index].origin = Origin::Hook;
        self.processes[index].executed_at = Some(now);
        self.begin_life(index, now);
        Ok(Self::pid(index))
    }

    /// KILL to a hook, and to all that descends from it.
    pub(crate) fn end_hook(&mut self, hook: HookId, now: Timestamp) {
        let is_hook = |index: &usize| self.processes[*index].hook == Some(hook);
        let Some(root) = self.living.iter().copied().find(is_hook) else { return };
        let in_tree = |index: &usize| self.processes[*index].group == root || self.descends(*index, root);
        let tree: Vec<usize> = self.living.iter().copied().filter(in_tree).collect();
        for index in tree {
            self.deliver(index, Signal::KILL, now);
        }
    }

    /// KILL to what a hook that ended left in its group.
    pub(crate) fn end_group(&mut self, leader: usize, now: Timestamp) {
        let in_group = |index: &usize| self.processes[*index].group == leader;
        let group: Vec<usize> = self.living.iter().copied().filter(in_group).collect();
        for index in group {
            self.deliver(index, Signal::KILL, now);
        }
    }

    /// The leader that was not reaped yet.
    pub(crate) fn leader(&self, service: ServiceId) -> Option<usize> {
        self.leaders.get(service.index()).copied().flatten()
    }

    /// Sends a signal, as the runtime would; `core` knows with whom strays are stopped. Returns who was there to get it, and
    /// who may not be signalled.
    pub(crate) fn signal(
        &mut self,
        core: &Core,
        service: ServiceId,
        recipients: Recipients,
        signal: Signal,
        now: Timestamp,
    ) -> (Vec<Pid>, Vec<Pid>) {
        let targets: Vec<usize> = match (recipients, self.leader(service)) {
            (Recipients::Leader(Target::Leader), Some(leader)) => vec![leader],
            (Recipients::Leader(Target::Group), Some(leader)) => {
                let group = self.processes[leader].group;
                self.living.iter().copied().filter(|index| self.processes[*index].group == group).collect()
            }
            (Recipients::Leader(Target::All), Some(leader)) => {
                let descends = |index: usize| !self.blind && self.descends(index, leader);
                let group = self.processes[leader].group;
                let in_tree = |index: &usize| self.processes[*index].group == group || descends(*index);
                self.living.iter().copied().filter(in_tree).collect()
            }
            (Recipients::Leader(_), None) => Vec::new(),
            (Recipients::Strays, _) => {
                if self.blind && service.index() == self.service_count {
                    // As PID 1: everybody.
                    self.living.iter().copied().collect()
                } else {
                    let mine = |index: &usize| core.stopped_with(self.attribution(*index)) == service;
                    self.last_census.iter().copied().filter(mine).collect()
                }
            }
            (Recipients::Stray(pid), _) => {
                self.last_census.iter().copied().filter(|index| Self::pid(*index) == pid).collect()
            }
        };
        let (mut hit, mut refused) = (Vec::new(), Vec::new());
        for index in targets {
            if !self.lives(index) {
                continue;
            }
            if self.processes[index].behaviour.forbidden {
                refused.push(Self::pid(index));
            } else {
                hit.push(Self::pid(index));
                self.processes[index].from_curfew.push((now, signal));
                self.deliver(index, signal, now);
            }
        }
        (hit, refused)
    }

    /// A signal from somebody else.
    pub(crate) fn deliver(&mut self, index: usize, signal: Signal, now: Timestamp) {
        if !self.lives(index) {
            return;
        }
        let process = &mut self.processes[index];
        if signal == Signal::KILL {
            let already = std::mem::replace(&mut process.is_doomed, true);
            if let (false, Some(teardown)) = (already, process.behaviour.teardown) {
                self.later(now + teardown, Happening::Ends(index, Process::end_by(How::BySignal, signal)));
            }
            return;
        }
        if signal == Signal::CONT {
            if std::mem::take(&mut process.is_stopped) {
                for signal in std::mem::take(&mut process.pending) {
                    self.deliver(index, signal, now);
                }
            }
            return;
        }
        let ignored = process.behaviour.ignores.contains(signal);
        if signal == Signal::STOP || (signal == Signal::TSTP && !ignored) {
            let already = std::mem::replace(&mut process.is_stopped, true);
            if process.is_leader && !already {
                self.stopped_leaders.push((process.service, signal));
            }
            return;
        }
        if process.is_stopped {
            process.pending.push(signal);
            return;
        }
        if process.is_doomed || process.behaviour.start == Start::Hangs && process.is_leader {
            return;
        }
        if process.is_leader && process.executed_at.is_none() {
            // Between fork and exec every signal has its default action.
            self.die(index, Process::end_by(How::BySignal, signal), now);
            return;
        }
        if process.behaviour.ignores.contains(signal) {
            return;
        }
        process.asked += 1;
        let (asked, needs, reaction) = (process.asked, process.behaviour.needs, process.behaviour.reaction);
        if asked == 1 {
            self.fork_all(index, When::AtSignal, now);
            if self.processes[index].is_leader {
                let says = self.processes[index].behaviour.says.iter();
                let now_said = says.filter(|saying| saying.when == When::AtSignal);
                self.said.extend(now_said.map(|saying| (index, saying.message.clone())));
            }
        }
        if let (Reaction::Ends(after, how), true) = (reaction, asked == needs.max(1)) {
            self.later(now + after, Happening::Ends(index, Process::end_by(how, signal)));
        }
    }

    /// A signal from the terminal, to a whole group.
    pub(crate) fn deliver_to_group(&mut self, service: ServiceId, signal: Signal, now: Timestamp) {
        let Some(leader) = self.leader(service) else { return };
        let living: Vec<usize> = self.living.iter().copied().collect();
        for index in living {
            if self.processes[index].group == leader {
                self.processes[index].is_disturbed = true;
                self.deliver(index, signal, now);
            }
        }
    }

    /// Reaps a dead child of curfew.
    pub(crate) fn reap(&mut self, index: usize) -> Reaped {
        self.reapable.retain(|other| *other != index);
        let process = &self.processes[index];
        let (_, end) = process.ended.expect("it is dead");
        if !process.is_leader {
            return Reaped::Stray(end);
        }
        let service = process.service;
        let is_heir =
            |heir: &usize| self.processes[*heir].is_heir && self.processes[*heir].mother == Some(index);
        let heir = self.living.iter().copied().find(is_heir);
        self.leaders[service.index()] = heir;
        let Some(heir) = heir else { return Reaped::Leader(service, end) };
        self.processes[heir].is_leader = true;
        self.processes[heir].executed_at = Some(self.processes[heir].born);
        Reaped::Predecessor(service, Self::pid(heir))
    }

    /// Every living descendant that is not under a living leader.
    pub(crate) fn census(&mut self) -> (Vec<Stray>, bool) {
        if self.blind {
            self.last_census.clear();
            let others = self.leaders.iter().flatten().count()
                + self.living.iter().filter(|index| self.processes[**index].hook.is_some()).count();
            return (Vec::new(), others == 0 && !self.living.is_empty());
        }
        self.last_census =
            self.living.iter().copied().filter(|index| !self.is_under_a_leader(*index)).collect();
        let stray = |index: &usize| Stray {
            pid: Self::pid(*index),
            service: self.attribution(*index),
            name: format!("stray-{index}"),
        };
        (self.last_census.iter().map(stray).collect(), false)
    }

    /// Whether `index` is, or descends from, `ancestor`.
    pub(crate) fn descends(&self, index: usize, ancestor: usize) -> bool {
        let mut current = Some(index);
        while let Some(process) = current {
            if process == ancestor {
                return true;
            }
            current = self.processes[process].parent;
        }
        false
    }

    fn is_under_a_leader(&self, index: usize) -> bool {
        let process = &self.processes[index];
        match process.parent {
            Some(parent) => self.is_under_a_leader(parent),
            None => process.is_leader || process.hook.is_some(),
        }
    }

    /// It is known from now on whose these are.
    pub(crate) fn remember(&mut self, pids: &[Pid]) {
        for (index, process) in self.processes.iter_mut().enumerate() {
            process.is_hidden &= !pids.contains(&Self::pid(index));
        }
    }

    /// What the runtime can tell: with one command, all belongs to it.
    fn attribution(&self, index: usize) -> Option<ServiceId> {
        let process = &self.processes[index];
        (!process.is_hidden || self.mode == Mode::OneCommand).then_some(process.service)
    }

    fn lives(&self, index: usize) -> bool {
        self.processes[index].ended.is_none()
    }

    fn later(&mut self, at: Timestamp, happening: Happening) {
        self.happening_count += 1;
        self.happenings.insert((at, self.happening_count), happening);
    }

    fn add(
        &mut self,
        behaviour: Behaviour,
        service: ServiceId,
        parent: Option<usize>,
        now: Timestamp,
    ) -> usize {
        let index = self.processes.len();
        let is_stopped = behaviour.stopped;
        self.processes.push(Process {
            behaviour,
            service,
            life: 0,
            origin: Origin::Step(Step::Main),
            is_leader: false,
            is_heir: false,
            born: now,
            hook: None,
            is_hidden: false,
            parent,
            mother: parent,
            children: Vec::new(),
            group: index,
            executed_at: None,
            is_stopped,
            pending: Vec::new(),
            asked: 0,
            is_doomed: false,
            is_disturbed: false,
            from_curfew: Vec::new(),
            ended: None,
        });
        self.living.insert(index);
        index
    }

    fn begin_life(&mut self, index: usize, now: Timestamp) {
        let process = &self.processes[index];
        let timed: Vec<(usize, Duration)> = process
            .behaviour
            .forks
            .iter()
            .enumerate()
            .filter_map(|(fork, Fork { when, .. })| match when {
                When::After(after) => Some((fork, *after)),
                When::AtSignal | When::AtDeath => None,
            })
            .collect();
        let says: Vec<(usize, Duration)> = (process.behaviour.says.iter().enumerate())
            .filter_map(|(saying, Saying { when, .. })| match when {
                When::After(after) => Some((saying, *after)),
                When::AtSignal | When::AtDeath => None,
            })
            .collect();
        let is_leader = process.is_leader;
        if let Some((after, end)) = process.behaviour.unasked {
            self.later(now + after, Happening::Ends(index, end));
        }
        for (fork, after) in timed {
            self.later(now + after, Happening::Forks(index, fork));
        }
        for (saying, after) in says.into_iter().filter(|_| is_leader) {
            self.later(now + after, Happening::Says(index, saying));
        }
    }

    fn fork_all(&mut self, index: usize, when: When, now: Timestamp) {
        let forks: Vec<Fork> =
            self.processes[index].behaviour.forks.iter().filter(|fork| fork.when == when).cloned().collect();
        for fork in &forks {
            self.fork(index, fork, now);
        }
    }

    fn fork(&mut self, parent: usize, fork: &Fork, now: Timestamp) {
        let (service, life, origin, hidden, group) = {
            let parent = &self.processes[parent];
            (parent.service, parent.life, parent.origin, parent.is_hidden, parent.group)
        };
        let ties = matches!(fork.bond, Bond::SameGroup | Bond::OwnSession | Bond::Anonymous | Bond::Heir);
        let child = self.add(fork.child.clone(), service, ties.then_some(parent), now);
        (self.processes[child].life, self.processes[child].origin) = (life, origin);
        self.processes[child].is_heir = fork.bond == Bond::Heir && self.processes[parent].is_leader;
        self.processes[child].is_hidden = hidden || matches!(fork.bond, Bond::Hidden | Bond::Anonymous);
        if matches!(fork.bond, Bond::SameGroup | Bond::Heir) {
            self.processes[child].group = group;
        }
        if ties {
            self.processes[parent].children.push(child);
        }
        self.begin_life(child, now);
    }

    fn die(&mut self, index: usize, end: End, now: Timestamp) {
        if !self.processes[index].is_doomed {
            self.fork_all(index, When::AtDeath, now);
        }
        self.living.remove(&index);
        self.processes[index].ended = Some((now, end));
        for child in std::mem::take(&mut self.processes[index].children) {
            self.processes[child].parent = None;
            if !self.lives(child) {
                self.reapable.push(child);
            }
        }
        match self.processes[index].parent {
            None => self.reapable.push(index),
            Some(parent) if self.processes[parent].behaviour.reaps => {
                self.processes[parent].children.retain(|child| *child != index);
            }
            // A zombie, until its parent ends.
            Some(_) => {}
        }
    }
}
