use std::collections::HashMap;
use std::time::Duration;

use super::blame::{Blame, Investigation, Progress, QuickLook, cpu_time};
use super::clock::Clock;
use super::delivery::to_child;
use super::proc_file_system;
use crate::supervisor::{Pid, ServiceId, Signal, Timestamp, defaults};

/// What is being found out about services that do not stop.
#[derive(Default)]
pub(crate) struct Inquiries {
    /// When each began to stop, and the CPU time its leader had used by then.
    measured: HashMap<ServiceId, (Timestamp, Option<Duration>)>,
    open: HashMap<ServiceId, Inquiry>,
}

enum Inquiry {
    /// A helper looks at the rest.
    Helped(Box<Investigation>),
    /// There are enough helpers already, or none could be had.
    Quick(Box<Blame>),
}

impl Inquiries {
    /// The service begins to stop.
    pub(crate) fn measure(&mut self, service: ServiceId, leader: Pid, now: Timestamp) {
        self.measured.insert(service, (now, cpu_time(leader)));
    }

    /// Looks at the service's leader. Returns the helper's pid, if there is one: a child of ours that is no stray.
    pub(crate) fn look(&mut self, service: ServiceId, leader: Pid, clock: &Clock) -> Option<Pid> {
        if !proc_file_system::is_ours() {
            return None;
        }
        let now = clock.now();
        let end = now + defaults::QUICK_LOOK;
        let (began, cpu_before) = self.measured.get(&service).copied().unwrap_or((now, None));
        let waited = now.since(began);
        let quick = QuickLook::take(leader, &|| clock.now() < end);
        self.drop_helper(service);
        if self.open.len() < defaults::HELPERS_MAX
            && let Ok(investigation) = Investigation::start(leader, quick.clone(), cpu_before, waited)
        {
            let helper = investigation.pid();
            self.open.insert(service, Inquiry::Helped(Box::new(investigation)));
            return Some(helper);
        }
        let cpu_used = cpu_before.zip(cpu_time(leader)).and_then(|(before, now)| now.checked_sub(before));
        let blame = Blame::from_quick_look(quick, cpu_used, waited);
        self.open.insert(service, Inquiry::Quick(Box::new(blame)));
        None
    }

    /// What was found. Whatever the helper still looks for comes too late.
    pub(crate) fn conclude(&mut self, service: ServiceId) -> Option<Box<Blame>> {
        match self.open.remove(&service)? {
            Inquiry::Quick(blame) => Some(blame),
            Inquiry::Helped(mut investigation) => {
                let progress = investigation.read();
                end_helper(&mut investigation);
                match progress {
                    Progress::Done(blame) => Some(blame),
                    Progress::Pending => Some(Box::new(investigation.so_far())),
                    Progress::Nothing => None,
                }
            }
        }
    }

    /// The service has ended after all: there is nobody to blame.
    pub(crate) fn drop_helper(&mut self, service: ServiceId) {
        if let Some(Inquiry::Helped(mut investigation)) = self.open.remove(&service) {
            end_helper(&mut investigation);
        }
    }

    /// Ends every helper.
    pub(crate) fn end_all(&mut self) {
        let services: Vec<ServiceId> = self.open.keys().copied().collect();
        for service in services {
            self.drop_helper(service);
        }
    }
}

/// One that is done may be reaped by now, and its pid another's.
fn end_helper(investigation: &mut Investigation) {
    if matches!(investigation.read(), Progress::Pending) {
        // It cannot fail for a child that was not reaped.
        let _ = to_child(investigation.pid(), Signal::KILL);
    }
}
