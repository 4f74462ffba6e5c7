//! Commands that run beside services.

use super::super::census::{RUN_VARIABLE, SERVICE_VARIABLE};
use super::super::hooks::{EndedHook, More};
use super::super::wait_set::Ready;
use super::{Listener, PID_VARIABLE, Runtime};
use crate::supervisor::{Event, HookId, HookKind, ServiceId};

impl<L: Listener> Runtime<L> {
    pub(super) fn run_hook(&mut self, hook: HookId, service: ServiceId, kind: HookKind) {
        let settings = self.supervisor.settings();
        let stage = match &kind {
            HookKind::Stage(name) => self.commands.get(name),
            HookKind::PreStart | HookKind::PreStop | HookKind::PostStop => None,
        };
        let program = self.programs[service.index()].of_hook(&kind, stage);
        let leader = self.leader(service).map(|leader| leader.to_string()).unwrap_or_default();
        let extra = [
            (RUN_VARIABLE, self.family.run.as_str()),
            (SERVICE_VARIABLE, settings.name(service)),
            (PID_VARIABLE, leader.as_str()),
        ];
        let cgroup = self.cgroups.get(service);
        match self.hooks.start(hook, (service, kind), &program, &extra, &self.start_up.context, cgroup) {
            Ok(pid) => {
                self.family.hooks.insert(pid);
                self.family.sessions.insert(pid.number(), service);
                if let Some(running) = self.hooks.get(hook) {
                    // Unwatched, it is read at its end, and held up by a full pipe until then.
                    let _ = self.wait_set.add_read(running, Ready::HookOutput(hook.number()));
                }
                self.feed(Event::HookForked { hook, pid });
            }
            Err(failure) => self.feed(Event::HookEnded { hook, result: Err(failure) }),
        }
    }

    pub(super) fn hear_hook(&mut self, number: u64) {
        let Some((hook, lines, more)) = self.hooks.read(HookId::from_number(number)) else { return };
        for line in lines {
            self.listener.hook_output(hook.service, &hook.kind, &line);
        }
        if more == More::Never {
            self.wait_set.remove(hook);
        }
    }

    pub(super) fn hook_ended(&mut self, ended: EndedHook) {
        let EndedHook { hook, running, result, lines } = ended;
        self.wait_set.remove(&running);
        for line in lines {
            self.listener.hook_output(running.service, &running.kind, &line);
        }
        self.handle(Event::HookEnded { hook, result });
    }
}
