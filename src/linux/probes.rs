//! Probes of services: connections of ours in the one loop, that never wait.

mod command_result;
mod connection;
mod http_answer;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

pub(crate) use command_result::result_of_command;
pub(crate) use connection::Interest;
use connection::{Connection, Progress, in_words};

use crate::protocol::ProbeTarget;
use crate::supervisor::{Purpose, ServiceId};

/// The probes that are under way: one for a service at most.
#[derive(Default)]
pub(crate) struct Probes {
    running: HashMap<ServiceId, Probe>,
}

struct Probe {
    purpose: Purpose,
    connection: Connection,
}

/// What beginning a probe, or going on with it, came to.
#[derive(Debug)]
pub(crate) enum Step {
    /// Its descriptor is to be watched for this.
    Waits(Interest),
    /// It is over.
    Over(Purpose, Result<(), String>),
}

impl Probes {
    /// Begins a probe of something that is connected to, or a file. A command is no matter of this.
    pub(crate) fn start(&mut self, service: ServiceId, purpose: Purpose, target: &ProbeTarget) -> Step {
        let begun = match target {
            ProbeTarget::Http(target) => Connection::to_http(target),
            ProbeTarget::Tcp(addresses) => Connection::to_addresses(addresses),
            ProbeTarget::Unix(path) => Connection::to_path(path),
            ProbeTarget::File(path) => {
                // Looked at where it is, without opening it: a pipe or a device would wait. A file system whose server is
                // gone makes us wait all the same, which the documentation says.
                return Step::Over(purpose, nix::sys::stat::stat(path).map(drop).map_err(in_words));
            }
            ProbeTarget::Command(_) => Err("a command is executed, not connected to".to_owned()),
        };
        match begun {
            Ok(connection) => {
                let interest = connection.interest();
                self.running.insert(service, Probe { purpose, connection });
                Step::Waits(interest)
            }
            Err(reason) => Step::Over(purpose, Err(reason)),
        }
    }

    /// The descriptor of a probe that waits.
    pub(crate) fn descriptor(&self, service: ServiceId) -> Option<BorrowedFd<'_>> {
        self.running.get(&service).map(|probe| probe.connection.as_fd())
    }

    /// Goes on with a probe whose descriptor is ready. Before, it must be taken out of the set of what is watched: it may be
    /// another one afterwards.
    pub(crate) fn go_on(&mut self, service: ServiceId) -> Option<Step> {
        let probe = self.running.get_mut(&service)?;
        let purpose = probe.purpose;
        match probe.connection.go_on() {
            Progress::Waits(interest) => Some(Step::Waits(interest)),
            Progress::Over(result) => {
                self.running.remove(&service);
                Some(Step::Over(purpose, result))
            }
        }
    }

    /// Nobody wants to know any more.
    pub(crate) fn abandon(&mut self, service: ServiceId) {
        self.running.remove(&service);
    }
}
