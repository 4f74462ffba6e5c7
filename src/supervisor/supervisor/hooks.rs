//! Commands that run beside a leader.

use super::super::service::{Phase, State};
use super::super::{Command, End, HookId, HookKind, Notice, Pid, ServiceId, StartFailure, Timestamp};
use super::Supervisor;

/// A command that runs beside a leader, until its end is told.
#[derive(Debug)]
pub(super) struct Hook {
    service: ServiceId,
    kind: HookKind,
    /// `None`: it is not forked yet.
    pid: Option<Pid>,
    /// Its time was over, and it was killed.
    dismissed: bool,
}

impl Supervisor {
    pub(super) fn run_hook(&mut self, service: ServiceId, kind: HookKind) {
        let id = self.next_hook;
        self.next_hook = id.next();
        self.hooks.insert(id, Hook { service, kind: kind.clone(), pid: None, dismissed: false });
        self.commands.push_back(Command::RunHook { hook: id, service, kind });
    }

    pub(super) fn on_hook_forked(&mut self, id: HookId, pid: Pid) {
        if let Some(hook) = self.hooks.get_mut(&id) {
            hook.pid = Some(pid);
        }
    }

    pub(super) fn on_hook_ended(&mut self, id: HookId, result: Result<End, StartFailure>, now: Timestamp) {
        let Some(Hook { service, kind, dismissed, .. }) = self.hooks.remove(&id) else { return };
        let is_pre_stop = kind == HookKind::PreStop;
        self.tell(Notice::HookEnded { service, kind, result, dismissed });
        let of = &self.services[service.index()];
        if is_pre_stop && of.state == State::Stopping(Phase::PreStop) && of.leader.is_some() {
            self.begin_drain(service, now);
        }
        // It was the last thing that the service, or the whole system, waited for; or it has left children to us.
        if !self.uncounted.is_empty() {
            self.ask_census();
        }
        self.check_finished(now);
    }

    /// What its hooks were for is over: their time is, too.
    pub(super) fn dismiss_hooks(&mut self, service: ServiceId) {
        for (id, hook) in &mut self.hooks {
            if hook.service == service && !std::mem::replace(&mut hook.dismissed, true) {
                self.commands.push_back(Command::EndHook { hook: *id });
            }
        }
    }

    pub(super) fn has_hooks(&self, service: ServiceId) -> bool {
        self.hooks.values().any(|hook| hook.service == service)
    }

    /// The processes of a service's hooks.
    pub(super) fn hook_pids(&self, service: ServiceId) -> impl Iterator<Item = Pid> {
        self.hooks.values().filter(move |hook| hook.service == service).filter_map(|hook| hook.pid)
    }
}
