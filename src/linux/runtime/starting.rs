//! Starting processes, and how far they have come.

use std::os::fd::AsRawFd;

use nix::sys::resource::{Resource, getrlimit};

use super::super::census::{DEADLINE_VARIABLE, RUN_VARIABLE, SERVICE_VARIABLE};
use super::super::exec_pipe::ExecResult;
use super::super::identity::Identity;
use super::super::journal_stream::JournalStream;
use super::super::output::ServiceOutput;
use super::super::service_messages::IsNew;
use super::super::signal_inbox::SignalInbox;
use super::super::spawn::{Given, spawn};
use super::super::wait_set::Ready;
use super::probing::open_ready_pipe;
use super::{EXIT_STATUS_VARIABLE, Listener, Runtime, VERDICT_VARIABLE};
use crate::supervisor::{Event, Mode, ServiceId, Signal, Step, defaults};

impl<L: Listener> Runtime<L> {
    pub(super) fn start(&mut self, service: ServiceId, step: Step) {
        self.close_finished_exec_pipes();
        let name = self.supervisor.settings().name(service).to_owned();
        let messages = if step == Step::Main { self.open_messages(service, &name) } else { Vec::new() };
        let mut extra = vec![(RUN_VARIABLE, self.family.run.as_str()), (SERVICE_VARIABLE, name.as_str())];
        let (verdict, status) = self.supervisor.so_far(service);
        let (verdict, status) = (verdict.to_string(), status.map(|status| status.to_string()));
        if step == Step::PostStop {
            extra.push((VERDICT_VARIABLE, &verdict));
            extra.extend(status.as_deref().map(|status| (EXIT_STATUS_VARIABLE, status)));
        }
        extra.extend(messages.iter().map(|(name, value)| (*name, value.as_str())));
        let learnt = self.length_of_stop(service);
        extra.extend(learnt.as_deref().map(|learnt| (DEADLINE_VARIABLE, learnt)));
        // Its own command is by far the most frequent one, and its environment is long.
        let other;
        let program = match (step, self.programs.get(service.index()), &self.cleanup) {
            (Step::Main, Some(programs), _) => &programs.main,
            (_, Some(programs), _) => {
                other = programs.of_step(step);
                &other
            }
            (_, None, Some(cleanup)) => cleanup,
            (_, None, None) => return,
        };
        let ready =
            if step == Step::Main { open_ready_pipe(self.programs.get(service.index())) } else { None };
        let cgroup = self.cgroups.open(service, &name, &self.wait_set);
        // Whoever it is, it may open /dev/stdout again. That it cannot be found is told when it is to become so.
        let user = match program.output {
            ServiceOutput::Inherit | ServiceOutput::Journal | ServiceOutput::Null => None,
            ServiceOutput::Prefix(_) | ServiceOutput::Json | ServiceOutput::File(_) => {
                Identity::find(&program.setup).ok().and_then(|identity| identity.user)
            }
        };
        let streams = self.output.open(service, &name, &program.output, user, &self.wait_set);
        let spawned = streams.and_then(|streams| {
            let given = Given {
                output: streams.raw(),
                journal: (program.output == ServiceOutput::Journal).then(|| JournalStream::new(&name)),
                cgroup,
                ready: ready.as_ref().map(|(_, service_end, number)| (service_end.as_raw_fd(), *number)),
            };
            let started = spawn(program, &extra, &self.start_up.context, given);
            // As long as we have the child's end of a pipe open, it has no end.
            drop(streams);
            started
        });
        match spawned {
            Ok((pid, pipe)) => {
                self.cgroups.started(service);
                if let Some((pipe, ..)) = ready {
                    // Unwatched, it is not heard, and the start's time runs out.
                    let _ = self.wait_set.add_read(&pipe, Ready::PipeOfReadiness(service));
                    self.ready_pipes.insert(service, pipe);
                }
                self.family.leaders.insert(pid, service);
                self.family.sessions.insert(pid.number(), service);
                self.leaders[service.index()] = Some(pid);
                self.feed(Event::Forked { service, pid });
                match self.wait_set.add_read(&pipe, Ready::ExecPipe(service)) {
                    Ok(()) => {
                        self.exec_pipes.insert(service, pipe);
                        self.starting.push_back(service);
                    }
                    // Unwatched, it counts as executed; a failure shows in its exit status.
                    Err(_) => self.feed(Event::Executed { service }),
                }
            }
            Err(failure) => self.feed(Event::StartFailed { service, failure }),
        }
        // A start that was asked for may be abandoned before the next one.
        let received = self.signals.as_mut().map(SignalInbox::take).unwrap_or_default();
        for (signal, sender) in received.into_iter().filter(|(signal, _)| *signal != Signal::CHLD) {
            self.feed(Event::SignalReceived { signal, sender });
        }
    }

    /// How long the service may take to stop, if that is known better than when its environment was made.
    fn length_of_stop(&self, service: ServiceId) -> Option<String> {
        let is_told = self.programs.get(service.index()).is_none_or(|programs| programs.is_told_deadline);
        if !self.deadline_is_learnt || is_told {
            return None;
        }
        let settings = self.supervisor.settings();
        let length = settings.services[service.index()].length_of_stop(settings.deadline)?;
        Some(humantime::format_duration(length).to_string())
    }

    /// What a service is told of the socket on which it can say things of itself.
    fn open_messages(&mut self, service: ServiceId, name: &str) -> Vec<(&'static str, String)> {
        if !self.programs.get(service.index()).is_some_and(|programs| programs.notify) {
            return Vec::new();
        }
        let user = Identity::find(&self.programs[service.index()].main.setup)
            .ok()
            .and_then(|identity| identity.user);
        match self.messages.open(&self.family.run, service, name, user) {
            Ok((receiver, IsNew::Yes)) => {
                // Unwatched, it is not heard, and the start's time runs out.
                let _ = self.wait_set.add_read(receiver, Ready::Message(service));
            }
            Ok((_, IsNew::No)) => {}
            Err(errno) => tracing::error!(
                event = "notify.refused",
                service = name,
                errno = errno as i32,
                "there is no socket for its messages: {}",
                errno.desc()
            ),
        }
        let socket = self.messages.variable(service).and_then(|name| name.into_string().ok());
        let mut variables: Vec<_> = socket.map(|socket| ("NOTIFY_SOCKET", socket)).into_iter().collect();
        if let Some(watchdog) = self.supervisor.settings().services[service.index()].watchdog {
            variables.push(("WATCHDOG_USEC", watchdog.as_micros().to_string()));
        }
        variables
    }

    pub(super) fn look_at_exec_pipe(&mut self, service: ServiceId) {
        if let Some(event) = self.progress_of(service) {
            self.handle(event);
        }
    }

    /// How far a start came, if that is new.
    fn progress_of(&mut self, service: ServiceId) -> Option<Event> {
        let pipe = self.exec_pipes.get(&service)?;
        let event = match pipe.look() {
            ExecResult::Pending => return None,
            ExecResult::Executed => Event::Executed { service },
            ExecResult::Failed(failure) => Event::StartFailed { service, failure },
        };
        self.wait_set.remove(pipe);
        self.exec_pipes.remove(&service);
        if matches!(event, Event::Executed { .. }) {
            let leader = self.leader(service);
            self.cgroups.check_joined(service, leader);
        }
        if matches!(event, Event::Executed { .. }) && self.supervisor.settings().mode == Mode::OneCommand {
            self.start_up.let_go_of_streams();
        }
        Some(event)
    }

    /// Each child inherits every open pipe, and closes it again: thousands of starts at once must not have thousands
    /// of pipes open, and where descriptors are few, the next start needs them.
    fn close_finished_exec_pipes(&mut self) {
        let eighth = getrlimit(Resource::RLIMIT_NOFILE).map_or(usize::MAX, |(soft, _)| soft as usize / 8);
        let most = defaults::STARTS_AT_ONCE.min(eighth).max(1);
        while let Some(oldest) = self.starting.front().copied() {
            if let Some(pipe) = self.exec_pipes.get(&oldest) {
                let is_one_too_many = self.exec_pipes.len() >= most;
                if is_one_too_many {
                    pipe.wait(defaults::WAIT_FOR_START);
                }
                let event = match self.progress_of(oldest) {
                    Some(event) => event,
                    None if is_one_too_many => self.give_up_exec_pipe(oldest),
                    None => return,
                };
                self.feed(event);
            }
            self.starting.pop_front();
        }
    }

    /// Unwatched, a start counts as done; a failure shows in its exit status.
    fn give_up_exec_pipe(&mut self, service: ServiceId) -> Event {
        if let Some(pipe) = self.exec_pipes.remove(&service) {
            self.wait_set.remove(&pipe);
        }
        Event::Executed { service }
    }
}
