//! Whoever has died, and is kept from being reaped by somebody who traces it: nothing of it runs any more.

use super::super::pidfd::PidFd;
use super::super::proc_file_system::{Process, exit_status, tracer};
use super::super::reap::{decode_status, is_out_of_reach};
use super::super::wait_set::Ready;
use super::{Listener, Runtime};
use crate::supervisor::{End, Pid, ServiceId, Signal};

impl<L: Listener> Runtime<L> {
    /// A leader was sent KILL, or the wait for its end is nearly over. If somebody traces it, no signal tells of its death.
    pub(super) fn watch_death(&mut self, service: ServiceId, leader: Pid, is_killed: bool) {
        if let Some((_, was_killed)) = self.watched.get_mut(&service) {
            *was_killed |= is_killed;
        } else if let Ok(handle) = PidFd::open(leader)
            && self.wait_set.add_read(&handle, Ready::Death(service)).is_ok()
        {
            self.watched.insert(service, (handle, is_killed));
        }
    }

    /// Nothing is to be learnt about its death any more. Returns whether it was sent KILL.
    pub(super) fn forget_death(&mut self, service: ServiceId) -> bool {
        let watched = self.watched.remove(&service);
        watched.is_some_and(|(handle, is_killed)| {
            self.wait_set.remove(&handle);
            is_killed
        })
    }

    /// If its leader is dead, and somebody keeps it from being reaped, it has ended all the same.
    pub(super) fn take_for_dead(&mut self, service: ServiceId) {
        let was_killed = self.forget_death(service);
        let Some(leader) = self.leader(service).filter(|leader| self.is_held_dead(*leader)) else { return };
        // Of another user's process the kernel says 0 in any case.
        let end = match exit_status(leader) {
            None | Some(0) if was_killed => {
                End::Signaled { number: Signal::KILL.number() as u8, core_dumped: false }
            }
            status => decode_status(status.unwrap_or(0)),
        };
        self.leader_ended(service, leader, end);
    }

    /// Whether a child of ours is dead, and its tracer keeps us from reaping it. Says so, once.
    pub(super) fn is_held_dead(&mut self, pid: Pid) -> bool {
        let is_it = Process::read(pid).is_some_and(|process| process.is_dead()) && is_out_of_reach(pid);
        if is_it && self.already_dead.insert(pid) {
            let tracer = tracer(pid);
            let name = tracer.and_then(Process::read).map_or_else(String::new, |tracer| tracer.name);
            tracing::warn!(
                event = "death.held",
                pid = pid.number(),
                tracer = tracer.map(Pid::number),
                "pid {pid} is dead, and counts as gone; its tracer keeps it from being reaped: {}",
                tracer.map_or_else(|| "unknown".to_owned(), |tracer| format!("pid {tracer} ({name})")),
            );
        }
        is_it
    }
}
