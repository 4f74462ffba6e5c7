//! Finding out whether services are ready, and well.

use std::fs::File;
use std::io::Read;
use std::os::fd::{OwnedFd, RawFd};

use super::super::delivery::{to_process, to_tree_of};
use super::super::hooks::{EndedHook, More};
use super::super::probes::{Interest, Step as ProbeStep, result_of_command};
use super::super::proc_file_system::{FamilyTree, Process, State};
use super::super::ready_pipe::{ReadyPipe, Word};
use super::super::service_programs::ServicePrograms;
use super::super::spawn::Program;
use super::super::wait_set::Ready;
use super::{Listener, PID_VARIABLE, PROBE_VARIABLE, RUN_VARIABLE, Runtime, SERVICE_VARIABLE};
use crate::protocol::ProbeTarget;
use crate::supervisor::{Event, HookId, HookKind, Pid, Purpose, ServiceId, ServiceMessage, Signal};

impl<L: Listener> Runtime<L> {
    pub(super) fn probe(&mut self, service: ServiceId, purpose: Purpose) {
        let Some(target) = self.programs[service.index()].target(purpose) else { return };
        if let ProbeTarget::Command(command) = target {
            let program = self.programs[service.index()].of_probe(command);
            return self.run_probe_command(service, purpose, &program);
        }
        let step = self.probes.start(service, purpose, target);
        self.conclude_probe_step(service, step);
    }

    pub(super) fn go_on_with_probe(&mut self, service: ServiceId) {
        if let Some(descriptor) = self.probes.descriptor(service) {
            self.wait_set.remove(descriptor);
        }
        if let Some(step) = self.probes.go_on(service) {
            self.conclude_probe_step(service, step);
        }
    }

    pub(super) fn conclude_probe_step(&mut self, service: ServiceId, step: ProbeStep) {
        match step {
            ProbeStep::Waits(interest) => {
                if let Some(descriptor) = self.probes.descriptor(service) {
                    // Unwatched, it counts as one that is not answered.
                    let to_write = interest == Interest::Write;
                    let _ = self.wait_set.add_connection(descriptor, Ready::Probe(service), to_write);
                }
            }
            ProbeStep::Over(purpose, result) => self.handle(Event::Probed { service, purpose, result }),
        }
    }

    pub(super) fn run_probe_command(&mut self, service: ServiceId, purpose: Purpose, program: &Program) {
        // One that KILL does not end, such as one of another user, is not joined by more and more of them.
        if self.probe_commands.has_any_of(service) {
            let result = Err("the command of the probe before has not ended".to_owned());
            return self.handle(Event::Probed { service, purpose, result });
        }
        let id = HookId::from_number(self.probe_count);
        self.probe_count += 1;
        let leader = self.leader(service).map(|leader| leader.to_string()).unwrap_or_default();
        // With the run's own name: a curfew that is part of a probe passes it on to what it starts.
        let number = format!("{}/{}", self.family.run, id.number());
        let extra = [
            (RUN_VARIABLE, self.family.run.as_str()),
            (SERVICE_VARIABLE, self.supervisor.settings().name(service)),
            (PID_VARIABLE, leader.as_str()),
            (PROBE_VARIABLE, number.as_str()),
        ];
        let what = (service, HookKind::PreStart);
        let cgroup = self.cgroups.get(service);
        match self.probe_commands.start(id, what, program, &extra, &self.start_up.context, cgroup) {
            Ok(pid) => {
                self.family.helpers.insert(pid);
                self.family.sessions.insert(pid.number(), service);
                self.awaited_probes.insert(service, (id, purpose));
                if let Some(running) = self.probe_commands.get(id) {
                    let _ = self.wait_set.add_read(running, Ready::ProbeOutput(id.number()));
                }
            }
            Err(failure) => {
                let result = result_of_command(Err(failure), None);
                self.handle(Event::Probed { service, purpose, result });
            }
        }
    }

    pub(super) fn hear_probe(&mut self, number: u64) {
        let id = HookId::from_number(number);
        let Some((running, lines, more)) = self.probe_commands.read(id) else { return };
        if more == More::Never {
            self.wait_set.remove(running);
        }
        if let Some(last) = lines.into_iter().next_back() {
            self.last_words.insert(id, last);
        }
    }

    pub(super) fn probe_command_ended(&mut self, ended: EndedHook) {
        let EndedHook { hook, running, result, lines } = ended;
        self.wait_set.remove(&running);
        let before = self.last_words.remove(&hook);
        let last = lines.into_iter().next_back().or(before);
        let service = running.service;
        // There are many in the life of a service, and others get their numbers. What is left of it has a cookie.
        self.family.sessions.remove(&running.pid.number());
        self.kill_what_probes_left();
        // One that was abandoned has nothing more to say.
        let Some((_, purpose)) = self.awaited_probes.get(&service).copied().filter(|(id, _)| *id == hook)
        else {
            return;
        };
        self.awaited_probes.remove(&service);
        let result = result_of_command(result, last.as_deref());
        self.handle(Event::Probed { service, purpose, result });
    }

    /// What ended probes have left outside of their groups. It is ours by now, and known by its environment: there are many
    /// probes in the life of a service, and each would leave something more.
    fn kill_what_probes_left(&mut self) {
        let tree = FamilyTree::look();
        let mut left = self.family.orphans(&tree, std::process::id() as i32);
        left.retain(|pid| {
            let probe = variable_of(*pid, PROBE_VARIABLE);
            let number = probe.as_deref().and_then(|probe| {
                probe.strip_prefix(self.family.run.as_str())?.strip_prefix('/')?.parse().ok()
            });
            number.is_some_and(|number| self.probe_commands.get(HookId::from_number(number)).is_none())
        });
        for process in tree.descendants(left) {
            // What is refused is told when it is left over.
            if to_process(&process, Signal::KILL).is_ok() {
                self.already_dead.insert(process.pid);
            }
        }
    }

    pub(super) fn abandon_probe(&mut self, service: ServiceId) {
        if let Some(descriptor) = self.probes.descriptor(service) {
            self.wait_set.remove(descriptor);
        }
        self.probes.abandon(service);
        if let Some((id, _)) = self.awaited_probes.remove(&service)
            && let Some(running) = self.probe_commands.get(id)
        {
            // What is refused is told when it is left over.
            to_tree_of(running.pid, Signal::KILL, &self.until_overdue());
        }
    }

    pub(super) fn look_at_ready_pipe(&mut self, service: ServiceId) {
        let Some(pipe) = self.ready_pipes.get(&service) else { return };
        let message = match pipe.look() {
            Word::None => return,
            Word::Ready => ServiceMessage::Ready,
            Word::Closed => ServiceMessage::NeverReady,
        };
        self.wait_set.remove(pipe);
        self.ready_pipes.remove(&service);
        self.handle(Event::Notified { service, message });
    }
}

/// The pipe on which a service says that it is ready, its end of it, and the number that it expects it under.
pub(super) fn open_ready_pipe(programs: Option<&ServicePrograms>) -> Option<(ReadyPipe, OwnedFd, RawFd)> {
    let number = programs?.ready_descriptor?;
    // Without one it is not heard, and the start's time runs out.
    let (pipe, service_end) = ReadyPipe::open().ok()?;
    Some((pipe, service_end, number))
}

/// A variable of another process's environment, as it was when its program was executed. Who hangs in the kernel may hang
/// whoever reads it, and is not asked: it is looked at again after the next probe.
fn variable_of(pid: Pid, name: &str) -> Option<String> {
    Process::read(pid).filter(|process| process.state != State::Uninterruptible)?;
    let mut environment = Vec::new();
    // An environment is limited to a few MiB by the kernel; more than 1 MiB of it is not read.
    File::open(format!("/proc/{pid}/environ")).ok()?.take(1 << 20).read_to_end(&mut environment).ok()?;
    let prefix = format!("{name}=");
    let entry = environment.split(|byte| *byte == 0).find(|entry| entry.starts_with(prefix.as_bytes()))?;
    String::from_utf8(entry[prefix.len()..].to_vec()).ok()
}
