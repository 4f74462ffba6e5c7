mod cgroups;
mod controlling;
mod counting;
mod deaths;
mod hearing;
mod hooking;
mod listener;
mod probing;
mod reload_requests;
mod reloading;
mod signalling;
mod speaking;
mod starting;

use std::cell::Cell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;

use std::sync::Arc;
use std::time::Duration;

use controlling::Requests;
pub use listener::Listener;

use super::census::{Family, Found, RUN_VARIABLE, SERVICE_VARIABLE};
use super::clock::Clock;
use super::containment::Containment;
use super::control::{Control, ControlSocket};
use super::cookies::Cookies;
use super::deadline_guard::{DeadlineGuard, Wards};
use super::delivery::{to_group_of, to_tree_of};
use super::exec_pipe::ExecPipe;
use super::hooks::Hooks;
use super::inquiries::Inquiries;
use super::log_output::LogOutput;
use super::output::Output;
use super::pidfd::PidFd;
use super::platform::Platform;
use super::probes::Probes;
use super::proc_file_system::{self, FamilyTree, Process};
use super::ready_pipe::ReadyPipe;
use super::reap::{Children, look, reap, reap_after};
use super::service_messages::ServiceMessages;
use super::service_programs::ServicePrograms;
use super::signal_inbox::SignalInbox;
use super::spawn::Program;
use super::start_up::StartUp;
use super::sweep::kill_descendants;
use super::terminal::{has_shell, stop_self};
use super::unit_deadline::{Answer, Heard, UnitDeadline};
use super::wait_set::{Ready, WaitSet};
use crate::supervisor::{
    Command, DeadlineBasis, End, Event, HookId, Mode, Pid, Purpose, ServiceId, Settings, Signal, Supervisor,
    Timestamp, defaults,
};

/// Where curfew speaks to those above it.
pub struct Channels<'a> {
    /// The service manager's `NOTIFY_SOCKET`, if there is one.
    pub notify_socket: Option<&'a OsStr>,
    /// Where the log goes.
    pub log: LogOutput,
    /// Where requests come in, if anywhere.
    pub control: Option<ControlSocket>,
    /// The name of the system, for those who ask there.
    pub name: &'a str,
}

/// The loop: waits, turns what happened into events, and performs what the supervisor commands.
pub struct Runtime<L> {
    supervisor: Supervisor,
    programs: Vec<ServicePrograms>,
    /// The last command of all.
    cleanup: Option<Program>,
    listener: L,
    start_up: StartUp,
    cgroups: Containment,
    clock: Clock,
    wait_set: WaitSet,
    log: LogOutput,
    log_is_watched: bool,
    output: Output,
    signals: Option<SignalInbox>,
    family: Family,
    leaders: Vec<Option<Pid>>,
    exec_pipes: HashMap<ServiceId, ExecPipe>,
    /// The services whose pipes are open, in the order of their starts; some have been looked at since.
    starting: VecDeque<ServiceId>,
    /// What the last census found.
    strays: Vec<Found>,
    /// Which of them are children of ours that are not reaped, and so have their pids; and how many they were then.
    unreaped_strays: HashSet<Pid>,
    strays_counted: usize,
    /// Which of them a signal was for last.
    stray_asked_for: Cell<usize>,
    cookies: Cookies,
    /// How often they were read for the census that is wanted.
    cookie_rounds: u32,
    /// What was sent to a service, and to whom it is to be sent if they turn out to be of it.
    late_signals: Vec<(ServiceId, Signal, Vec<Found>)>,
    inquiries: Inquiries,
    /// When the service manager kills us, as it says itself.
    unit_deadline: UnitDeadline,
    deadline_is_learnt: bool,
    /// What stages may run, by name.
    commands: HashMap<Arc<str>, Vec<OsString>>,
    hooks: Hooks,
    platform: Platform,
    messages: ServiceMessages,
    probes: Probes,
    /// Probes that are commands. They are none of the supervisor's hooks.
    probe_commands: Hooks,
    /// Which of them each service waits for, and what for.
    awaited_probes: HashMap<ServiceId, (HookId, Purpose)>,
    /// How many there were.
    probe_count: u64,
    /// Nobody's strays: what ended ones had left, and was killed; and whoever is dead, and is kept from being reaped.
    already_dead: HashSet<Pid>,
    /// Leaders whose death is waited for, and whether they were sent KILL.
    watched: HashMap<ServiceId, (PidFd, bool)>,
    /// What they said last.
    last_words: HashMap<HookId, String>,
    ready_pipes: HashMap<ServiceId, ReadyPipe>,
    control: Control,
    requests: Requests,
    /// Processes that spoke for a service while its first one lived.
    heirs: HashMap<ServiceId, Process>,
    /// The last census came to nothing, for want of /proc.
    strays_are_hidden: bool,
    /// Processes that we may not signal, each told once.
    refused: HashSet<Pid>,
    census_wanted: bool,
    /// No census before this time, so that what comes and goes among thousands leaves time for everything else.
    census_after: Timestamp,
    /// From then on there is one, though more are dead than could be reaped.
    census_by: Timestamp,
    /// KILL was sent to somebody.
    has_killed: bool,
    /// There was more to reap or to count than one wake-up may take: signals and deadlines come in between.
    work_is_left: bool,
    guard: DeadlineGuard,
    /// The end that the guard watches for, how many groups it knows, and which state of those whom we inherited.
    guarded: Option<(Timestamp, usize, u64)>,
    reload: reloading::Reload,
    status: Option<u8>,
}

/// What is executed.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    /// For the supervisor's services, in order.
    pub services: Vec<ServicePrograms>,
    /// What stages may run, by name.
    pub commands: HashMap<Arc<str>, Vec<OsString>>,
    /// The last command of all.
    pub cleanup: Option<Program>,
}

impl<L: Listener> Runtime<L> {
    /// Everything ready to begin; nothing is started yet.
    ///
    /// # Errors
    /// No descriptors or no memory for the loop itself.
    pub fn new(
        supervisor: Supervisor,
        Programs { services: programs, commands, cleanup }: Programs,
        mut start_up: StartUp,
        Channels { notify_socket, log, control, name }: Channels<'_>,
        clock: Clock,
        run: String,
        listener: L,
    ) -> nix::Result<Self> {
        let platform = Platform::find(notify_socket);
        let settings = supervisor.settings();
        let services = settings.services.len();
        let names = names_of(settings);
        let fallback = (settings.mode == Mode::OneCommand).then(|| ServiceId::new(0));
        let family = Family {
            inherited: std::mem::take(&mut start_up.inherited),
            names,
            run,
            fallback,
            ..Family::default()
        };
        let names_of_services = (0..services).map(|index| settings.name(ServiceId::new(index)));
        let outputs = names_of_services.zip(programs.iter().map(|programs| &programs.main.output));
        let output_of_cleanup =
            cleanup.iter().map(|cleanup| (settings.name(settings.cleanup_id()), &cleanup.output));
        let mut output = Output::default();
        output.expect(outputs.chain(output_of_cleanup));
        let wait_set = WaitSet::new()?;
        let control = Control::new(control, &wait_set)?;
        Ok(Self {
            supervisor,
            programs,
            cleanup,
            listener,
            cgroups: std::mem::take(&mut start_up.cgroups),
            start_up,
            clock,
            wait_set,
            log,
            log_is_watched: false,
            output,
            signals: None,
            family,
            leaders: vec![None; services + 2],
            exec_pipes: HashMap::new(),
            starting: VecDeque::new(),
            strays: Vec::new(),
            unreaped_strays: HashSet::new(),
            strays_counted: 0,
            stray_asked_for: Cell::new(0),
            cookies: Cookies::default(),
            cookie_rounds: 0,
            late_signals: Vec::new(),
            inquiries: Inquiries::default(),
            unit_deadline: UnitDeadline::new(),
            deadline_is_learnt: false,
            commands,
            hooks: Hooks::default(),
            platform,
            messages: ServiceMessages::default(),
            probes: Probes::default(),
            probe_commands: Hooks::default(),
            awaited_probes: HashMap::new(),
            probe_count: 0,
            already_dead: HashSet::new(),
            watched: HashMap::new(),
            last_words: HashMap::new(),
            ready_pipes: HashMap::new(),
            control,
            requests: Requests::new(name),
            heirs: HashMap::new(),
            strays_are_hidden: false,
            refused: HashSet::new(),
            census_wanted: false,
            census_after: Timestamp::ZERO,
            census_by: Timestamp::ZERO,
            has_killed: false,
            work_is_left: false,
            guard: DeadlineGuard::default(),
            guarded: None,
            reload: reloading::Reload::default(),
            status: None,
        })
    }

    /// Runs to the end, and returns the exit status.
    ///
    /// # Errors
    /// No descriptors for the signals. Whatever was started by then is not stopped: call [`Self::kill_everything`].
    pub fn run(&mut self) -> nix::Result<u8> {
        // Thousands of starts take a while, and a stop that comes meanwhile must be seen.
        if self.supervisor.settings().mode == Mode::ManyServices {
            self.open_signals()?;
        }
        self.note_platform();
        self.handle(Event::Begin);
        // Whoever unmounts the directory we were started in must not be held up by us.
        let _ = std::env::set_current_dir("/");
        // One command is forked first, which saves it the time: every signal is blocked, and waits.
        if self.signals.is_none() {
            self.open_signals()?;
        }
        self.count();
        loop {
            if let Some(status) = self.status {
                return Ok(status);
            }
            self.speak();
            self.tell_status();
            if self.supervisor.settings().deadline.is_some() {
                self.guard.begin(self.clock);
            }
            self.note_platform();
            let deadline = self.supervisor.next_deadline();
            let time = match deadline {
                _ if self.work_is_left => Some(Duration::ZERO),
                deadline => deadline.map(|deadline| deadline.since(self.clock.now())),
            };
            // While it is being found out whose strays are, no census is taken.
            let census = (self.census_wanted && !self.cookies.are_awaited()).then_some(self.census_after);
            let others =
                census.into_iter().chain(self.cookies.next_look()).chain(self.messages.next_deadline());
            let others = others.map(|time| time.since(self.clock.now()));
            let time = time.into_iter().chain(self.platform.try_again()).chain(others).min();
            let ready = self.wait_set.wait(time);
            self.take_in(&ready);
        }
    }

    /// The last resort after a panic: KILL to everything that descends from us, until nobody is left or can be killed.
    pub fn kill_everything(&mut self) {
        let end = self.clock.now() + defaults::LAST_RESORT;
        // Those that we know need no list, for which there may be no descriptor left.
        for leader in self.family.leaders.keys() {
            // ESRCH: gone meanwhile. EPERM: out of our reach.
            let _ = to_group_of(*leader, Signal::KILL);
        }
        loop {
            loop {
                match reap() {
                    Children::Ended(pid, _) => drop(self.family.leaders.remove(&pid)),
                    Children::Stopped(..) => {}
                    Children::None | Children::Living => break,
                }
            }
            let are_empty = self.cgroups.kill_all();
            if (look() == Children::None && are_empty) || self.clock.now() >= end {
                break;
            }
            let killed = kill_descendants(&mut self.family.inherited, &self.family.sessions, &|| {
                self.clock.now() < end
            });
            let is_over = killed.is_empty() && !FamilyTree::look().is_blind();
            if is_over && self.family.leaders.is_empty() && are_empty {
                break;
            }
            // One of them will end, and its signal ends this wait.
            self.wait_set.wait(Some(defaults::LAST_RESORT / 100));
        }
        let end = self.clock.now() + defaults::LAST_CGROUPS;
        self.cgroups.restore(&|| self.clock.now() < end);
    }

    /// Where somebody is left, others may have come from him since the last look.
    fn sweep(&mut self) {
        if !self.supervisor.outcomes().iter().any(|outcome| outcome.survived) {
            return;
        }
        let now = self.clock.now();
        let end = self.supervisor.look_until(now).unwrap_or(now + defaults::LAST_RESORT);
        let (inherited, sessions) = (&mut self.family.inherited, &self.family.sessions);
        let mut found = kill_descendants(inherited, sessions, &|| self.clock.now() < end);
        let family = &self.family;
        found.retain(|Process { pid, .. }| {
            !family.leaders.contains_key(pid)
                && !family.helpers.contains(pid)
                && !family.hooks.contains(pid)
                && !self.supervisor.knows_stray(*pid)
        });
        if !found.is_empty() {
            tracing::warn!(
                event = "stray.swept",
                count = found.len(),
                "{} more were found in the last moment, sent KILL, and not waited for",
                found.len()
            );
        }
    }

    /// Tells the guard when curfew must be gone, and whom to kill then.
    fn guard_deadline(&mut self) {
        let Some(end) = self.supervisor.latest_end().filter(|_| self.guard.is_there()) else { return };
        let news = Some((end, self.family.sessions.len(), self.family.inherited.version()));
        if self.guarded != news {
            if self.guarded.is_none() {
                self.guard.hasten_loop();
            }
            self.guarded = news;
            let settings = self.supervisor.settings();
            let mut names = HashMap::new();
            for service in self.family.sessions.values() {
                names.entry(*service).or_insert_with(|| settings.name(*service).to_owned());
            }
            let wards = Wards {
                sweep_end: self.supervisor.sweep_end().unwrap_or(end),
                sessions: self.family.sessions.clone(),
                names,
                cgroups: self.cgroups.kill_files(),
                inherited: self.family.inherited.clone(),
            };
            self.guard.watch(end, wards);
        }
    }

    fn open_signals(&mut self) -> nix::Result<()> {
        let signals = SignalInbox::open(&self.start_up.leave_alone)?;
        self.wait_set.add_read(signals.as_fd(), Ready::Signals)?;
        self.signals = Some(signals);
        Ok(())
    }

    /// Turns what happened into events: signals before deaths, both before the time.
    fn take_in(&mut self, ready: &[Ready]) {
        self.work_is_left = false;
        self.take_signals();
        self.reap_all();
        for ready in ready {
            match *ready {
                Ready::ExecPipe(service) => self.look_at_exec_pipe(service),
                Ready::Death(service) => self.take_for_dead(service),
                Ready::HookOutput(number) => self.hear_hook(number),
                Ready::Message(service) => drop(self.hear_service(service)),
                Ready::Probe(service) => self.go_on_with_probe(service),
                Ready::PipeOfReadiness(service) => self.look_at_ready_pipe(service),
                Ready::ProbeOutput(number) => self.hear_probe(number),
                Ready::Cgroup(service) => self.look_at_cgroup(service),
                Ready::Output(stream) => self.output.wake(stream),
                Ready::UnitDeadline => self.learn_deadline(),
                Ready::Control => self.control.accept(&self.wait_set),
                Ready::ControlClient(number) => self.control.read(number),
                Ready::Configuration => self.take_configuration(),
                // Looked at in any case.
                Ready::Signals | Ready::LogOutput | Ready::OutputRoom | Ready::Cookies => {}
            }
        }
        if self.family.inherited.has_lost_one() {
            self.family.orphans(&FamilyTree::look(), std::process::id() as i32);
        }
        self.answer_requests();
        self.mind_helpers();
        self.hear_cookies();
        self.handle(Event::TimePassed);
        self.count();
        self.answer_those_who_wait();
    }

    fn take_signals(&mut self) {
        let received = self.signals.as_mut().map(SignalInbox::take).unwrap_or_default();
        for (signal, sender) in received {
            if signal != Signal::CHLD {
                self.handle(Event::SignalReceived { signal, sender });
            }
        }
    }

    fn reap_all(&mut self) {
        for count in 0..DEATHS_AT_ONCE {
            if count > 0 && self.is_overdue() {
                break;
            }
            // Most deaths need no look first, and it has its price.
            let is_wanted = self.has_killed || !(self.hooks.is_empty() && self.probe_commands.is_empty());
            let reaped = match is_wanted {
                true => reap_after(|pid, end| self.look_at_the_dead(pid, end)),
                false => reap(),
            };
            let (pid, end) = match reaped {
                Children::None | Children::Living => return,
                Children::Ended(pid, end) => (pid, end),
                Children::Stopped(pid, signal) => {
                    if let Some(service) = self.family.leaders.get(&pid).copied() {
                        self.handle(Event::LeaderStopped { service, signal, has_shell: has_shell() });
                    }
                    continue;
                }
            };
            if let Some(service) = self.family.leaders.get(&pid).copied() {
                self.leader_ended(service, pid, end);
            } else if let Some(ended) = self.hooks.ended(pid, end) {
                self.family.hooks.remove(&pid);
                self.hook_ended(ended);
            } else if let Some(ended) = self.probe_commands.ended(pid, end) {
                self.family.helpers.remove(&pid);
                self.probe_command_ended(ended);
            } else if self.family.helpers.remove(&pid) {
                self.helper_ended(pid);
            } else if !self.family.inherited.reaped(pid) {
                self.already_dead.remove(&pid);
                self.unreaped_strays.remove(&pid);
                self.family.remembered.remove(&pid);
                self.handle(Event::StrayEnded { pid, end });
            }
        }
        self.work_is_left = true;
    }

    fn leader_ended(&mut self, service: ServiceId, pid: Pid, end: End) {
        // What it said is older than its end, and may say who leads from now on.
        self.hear_all_of(service);
        self.family.leaders.remove(&pid);
        self.forget_death(service);
        // How far it came is told before its death.
        self.look_at_exec_pipe(service);
        self.exec_pipes.remove(&service);
        self.leaders[service.index()] = None;
        self.inquiries.drop_helper(service);
        if let Some(heir) = self.heir(service) {
            self.family.leaders.insert(heir, service);
            self.leaders[service.index()] = Some(heir);
            return self.handle(Event::LeaderMoved { service, pid: heir });
        }
        self.handle(Event::LeaderEnded { service, end });
    }

    /// As long as it is not reaped a process has a name, and the group that it made is its own.
    fn look_at_the_dead(&mut self, pid: Pid, end: End) {
        if self.hooks.contains(pid) || self.probe_commands.contains(pid) {
            // What a hook leaves in its group ends with it. ESRCH: it made no group.
            let _ = to_group_of(pid, Signal::KILL);
            return;
        }
        let family = &self.family;
        let is_known = family.leaders.contains_key(&pid)
            || family.helpers.contains(&pid)
            || family.inherited.contains(pid)
            || self.already_dead.contains(&pid)
            || self.supervisor.knows_stray(pid);
        // A /proc that is not ours shows a stranger under its number.
        if is_known || end.signal() != Some(Signal::KILL) || !proc_file_system::is_ours() {
            return;
        }
        // Whoever was in a leader's group, but not under it any more, died of its KILL and was never seen.
        let is_ours = |process: &Process| !family.inherited.is_one(process, &family.sessions);
        let Some(process) = Process::read(pid).filter(is_ours) else { return };
        let service = family.service_of(&process, &self.cgroups).or(family.fallback);
        let service = service.unwrap_or_else(|| self.supervisor.settings().stray_id());
        self.handle(Event::KilledWithLeader { service, processes: vec![(pid, process.name)] });
    }

    /// Hands an event to the supervisor, and performs what it commands; a census is taken later, in [`Self::count`].
    fn handle(&mut self, event: Event) {
        self.feed(event);
        while let Some(command) = self.supervisor.next_command() {
            self.perform(command);
        }
    }

    fn is_overdue(&self) -> bool {
        self.supervisor.is_overdue(self.clock.now())
    }

    /// Says no when the time is over in which processes may be looked at.
    fn until_overdue(&self) -> impl Fn() -> bool + use<L> {
        let clock = self.clock;
        let end = self.supervisor.look_until(clock.now());
        move || end.is_none_or(|end| clock.now() < end)
    }

    fn feed(&mut self, event: Event) {
        let now = self.clock.now();
        self.listener.time(now);
        self.supervisor.handle(event, now);
        // Before anything is done about it.
        self.guard_deadline();
    }

    fn perform(&mut self, command: Command) {
        match command {
            Command::Start { service, step } => self.start(service, step),
            Command::Probe { service, purpose } => self.probe(service, purpose),
            Command::AbandonProbe { service } => self.abandon_probe(service),
            Command::TellPlatform(message) => {
                // What it is told is behind what was said before: whoever waits for it finds it in the log.
                self.write_log();
                self.platform.tell(message);
                if let Some(hears) = self.platform.take_change() {
                    self.feed(Event::PlatformHears(hears));
                }
            }
            Command::Signal { service, recipients, signal } => self.signal(service, recipients, signal),
            Command::Resume { service } => self.resume(service),
            Command::StopSelf => {
                self.write_log();
                stop_self();
            }
            Command::Measure { service } => {
                if let Some(leader) = self.leader(service) {
                    self.inquiries.measure(service, leader, self.clock.now());
                }
                if self.listener.wants_figures() {
                    self.cgroups.note_figures(service);
                }
            }
            Command::Look { service } => {
                if let Some(leader) = self.leader(service) {
                    self.watch_death(service, leader, false);
                    self.family.helpers.extend(self.inquiries.look(service, leader, &self.clock));
                }
            }
            Command::Blame { service } => {
                if let Some(blame) = self.inquiries.conclude(service) {
                    self.listener.blame(service, &blame.sentence(), blame.report_value());
                }
            }
            Command::RunHook { hook, service, kind } => self.run_hook(hook, service, kind),
            Command::EndHook { hook } => {
                if let Some(hook) = self.hooks.get(hook) {
                    // What is refused is told when it is left over.
                    to_tree_of(hook.pid, Signal::KILL, &self.until_overdue());
                }
            }
            Command::ReadConfiguration => self.read_configuration(),
            Command::AbandonReading => self.abandon_reading(),
            Command::Reconfigure { places } => self.reconfigure(places),
            Command::Adopt { service } => self.adopt(service),
            Command::ReopenOutput => self.output.reopen(&self.wait_set),
            Command::LearnDeadline => self.ask_deadline(),
            Command::TakeCensus => self.census_wanted = true,
            Command::Tell(notice) => {
                self.requests.hear(&notice, self.supervisor.settings());
                self.listener.hear(&notice);
            }
            Command::Finish { status } => {
                self.sweep();
                self.guard.decide(status);
                self.give_terminal_back();
                self.inquiries.end_all();
                self.messages.end_helpers();
                self.cookies.end();
                self.carry_last_words();
                self.unit_deadline.end();
                // The lines so far are out before the disk is touched.
                self.write_log();
                self.tell_figures();
                self.remove_cgroups_of_services();
                self.listener.time(self.clock.now());
                for line in self.listener.finish(status) {
                    self.log.push(line);
                }
                let stall = Duration::from_millis(defaults::LAST_LOG_LINES.into());
                let time_left = self.patience(stall);
                self.log.flush_all(time_left);
                self.tell_status();
                self.see_helpers_off();
                self.remove_cgroups();
                self.say_goodbye();
                self.status = Some(status);
            }
        }
    }

    /// Nobody outlives us, our own helpers included. They are killed already; one that hangs in /proc is not waited for.
    fn see_helpers_off(&mut self) {
        let margin = self.supervisor.settings().deadline.map(|deadline| deadline.margin);
        let most = margin.map_or(defaults::LAST_HELPERS, |margin| defaults::LAST_HELPERS.min(margin / 4));
        let end = self.clock.now() + most;
        loop {
            self.take_signals();
            self.reap_all();
            if self.family.helpers.is_empty() || self.clock.now() >= end {
                return;
            }
            // The end of one of them is a signal.
            self.wait_set.wait(Some(end.since(self.clock.now())));
        }
    }

    /// Whether the platform hears us counts for what it is asked.
    fn note_platform(&mut self) {
        if let Some(hears) = self.platform.take_change() {
            self.handle(Event::PlatformHears(hears));
        }
    }

    /// Tells the platform how things are, if that is new.
    fn tell_status(&mut self) {
        if self.platform.listens()
            && let Some(status) = self.listener.take_status()
        {
            self.platform.tell_status(&status);
        }
    }

    fn ask_deadline(&mut self) {
        let helper = match self.unit_deadline.ask() {
            Ok(Some(helper)) => helper,
            Ok(None) => return,
            Err(_) => return self.hear_deadline(Answer::Nothing),
        };
        self.family.helpers.insert(helper);
        self.listener.deadline_is_asked(true);
        let is_watched = self
            .unit_deadline
            .waiting_on()
            .is_some_and(|pipe| self.wait_set.add_read(pipe, Ready::UnitDeadline).is_ok());
        if !is_watched {
            // Nobody would hear the answer.
            self.unit_deadline.end();
            self.hear_deadline(Answer::Nothing);
        }
    }

    fn learn_deadline(&mut self) {
        if let Some(answer) = self.unit_deadline.take_answer() {
            self.hear_deadline(answer);
        }
    }

    fn hear_deadline(&mut self, answer: Answer) {
        self.listener.deadline_is_asked(false);
        match answer {
            Answer::Ours { deadline, signal, heard } => {
                self.deadline_is_learnt = true;
                self.handle(Event::DeadlineLearnt { deadline });
                if let Some(signal) = signal {
                    self.handle(Event::PlatformStopsWith(signal));
                }
                if heard == Heard::No {
                    self.platform.give_up();
                    self.note_platform();
                }
            }
            Answer::NotStopped(kill_mode) => tracing::warn!(
                event = "deadline.unknown",
                "with KillMode={kill_mode} systemd stops the process that started curfew, and not curfew; have curfew be the \
                 main process of its unit (`exec curfew`)"
            ),
            Answer::NotOurs => tracing::debug!(
                event = "deadline.unknown",
                "curfew was not started by the main process of its unit: the unit's TimeoutStopSec= is not taken for its own"
            ),
            // What was said holds, and is all that there is to know where systemd cannot be asked.
            Answer::Nothing
                if matches!(self.supervisor.settings().deadline_basis, DeadlineBasis::Said(_)) =>
            {
                tracing::debug!(
                    event = "deadline.unknown",
                    "systemd does not tell when it kills us: the deadline that was said counts"
                );
            }
            Answer::Nothing => tracing::warn!(
                event = "deadline.unknown",
                "systemd does not tell when it kills us: `systemctl show` did not answer; say it with --deadline"
            ),
        }
    }

    fn leader(&self, service: ServiceId) -> Option<Pid> {
        self.leaders.get(service.index()).copied().flatten()
    }

    fn write_log(&mut self) {
        self.log.hold(self.output.is_busy_on_standard_error());
        for line in self.listener.take_lines() {
            self.log.push(line);
        }
        self.log.flush();
        if self.log.is_empty() {
            let dropped = self.log.take_dropped();
            if dropped > 0 {
                tracing::warn!(
                    event = "log.dropped",
                    lines = dropped,
                    "log lines were lost: nobody read them in time"
                );
                for line in self.listener.take_lines() {
                    self.log.push(line);
                }
                self.log.flush();
            }
        } else if !self.log_is_watched
            && let Some(descriptor) = self.log.waiting_on()
        {
            // Edge-triggered and left in the set: it wakes us when there is room again, and never otherwise.
            self.log_is_watched = self.wait_set.add_write(descriptor, Ready::LogOutput).is_ok();
        }
    }
}

/// The services by name, and the last command of all: whose a process is that names its service.
fn names_of(settings: &Settings) -> HashMap<String, ServiceId> {
    let services = (0..settings.services.len()).map(ServiceId::new).chain([settings.cleanup_id()]);
    services.map(|id| (settings.name(id).to_owned(), id)).collect()
}

/// How many deaths are taken in before signals and deadlines have their turn again.
const DEATHS_AT_ONCE: u32 = 512;

/// The variable that names the leader to a hook.
const PID_VARIABLE: &str = "CURFEW_PID";
/// The variable that tells a probe's command its number, by which all that it starts is known.
const PROBE_VARIABLE: &str = "CURFEW_PROBE";

/// What tells a command after the end how it went, and with which status.
const VERDICT_VARIABLE: &str = "CURFEW_VERDICT";
const EXIT_STATUS_VARIABLE: &str = "CURFEW_EXIT_STATUS";
