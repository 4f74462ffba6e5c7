use std::collections::HashMap;
use std::ffi::OsString;

use super::notify_receiver::{Discarded, NotifyReceiver, Received};
use crate::protocol::NotifyField;
use crate::supervisor::{Pid, ServiceId, ServiceMessage};

/// What services say of themselves, each on a socket of its own.
#[derive(Default)]
pub(crate) struct ServiceMessages {
    receivers: HashMap<ServiceId, NotifyReceiver>,
    /// What was thrown away of each, as far as it was told.
    told: HashMap<ServiceId, Discarded>,
}

/// Something that a service said.
#[derive(Debug)]
pub(crate) enum Said {
    /// The supervisor decides about it.
    Message(ServiceMessage),
    /// Another process speaks for the service from now on.
    MainPid(Pid),
}

impl ServiceMessages {
    /// The socket of a service; made at its first start, kept over its restarts.
    ///
    /// # Errors
    /// No descriptors or no memory.
    pub(crate) fn open(
        &mut self,
        run: &str,
        service: ServiceId,
        name: &str,
        user: Option<u32>,
    ) -> nix::Result<(&NotifyReceiver, IsNew)> {
        use std::collections::hash_map::Entry;
        match self.receivers.entry(service) {
            Entry::Occupied(entry) => Ok((entry.into_mut(), IsNew::No)),
            Entry::Vacant(entry) => Ok((entry.insert(NotifyReceiver::open(run, name, user)?), IsNew::Yes)),
        }
    }

    /// The value of its `NOTIFY_SOCKET`.
    pub(crate) fn variable(&self, service: ServiceId) -> Option<OsString> {
        self.receivers.get(&service).map(NotifyReceiver::variable)
    }

    /// Takes one message of a service: `None` if there is none, nothing if it made no sense. That is counted, and told the
    /// first time.
    ///
    /// Handle it wholly before you take the next: see [`NotifyReceiver::receive`].
    pub(crate) fn take(
        &mut self,
        service: ServiceId,
        name: &str,
        leader: Option<Pid>,
    ) -> Option<impl Iterator<Item = Said> + use<>> {
        let receiver = self.receivers.get_mut(&service)?;
        let received = receiver.receive(leader);
        let discarded = receiver.discarded();
        let before = self.told.insert(service, discarded).unwrap_or_default();
        if before == Discarded::default() && discarded != before {
            let Discarded { malformed, too_long, forged } = discarded;
            tracing::warn!(
                event = "notify.nonsense",
                service = name,
                malformed,
                too_long,
                forged,
                "something on its NOTIFY_SOCKET was ignored: {malformed} malformed, {too_long} too long, {forged} from \
                 somebody else; further ones are counted only"
            );
        }
        let fields = match received {
            Received::Nothing => return None,
            Received::Nonsense => Vec::new(),
            Received::Message { message, .. } => message.fields,
        };
        Some(fields.into_iter().filter_map(meaning))
    }
}

/// Whether a socket was made just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IsNew {
    Yes,
    No,
}

fn meaning(field: NotifyField) -> Option<Said> {
    Some(Said::Message(match field {
        NotifyField::Ready => ServiceMessage::Ready,
        NotifyField::Reloading => ServiceMessage::Reloading,
        NotifyField::Stopping => ServiceMessage::Stopping,
        NotifyField::Status(text) => ServiceMessage::Status(text),
        NotifyField::WatchdogAlive => ServiceMessage::Alive,
        NotifyField::WatchdogTrigger => ServiceMessage::Trouble,
        NotifyField::WatchdogInterval(interval) => ServiceMessage::WatchdogEvery(interval),
        NotifyField::ExtendTimeout(time) => ServiceMessage::Extend(time),
        NotifyField::MainPid(pid) => return Some(Said::MainPid(pid)),
        // Nothing follows from them: a barrier is lifted when it is taken, descriptors are not kept.
        NotifyField::Monotonic(_)
        | NotifyField::Errno(_)
        | NotifyField::ExitStatus(_)
        | NotifyField::Barrier
        | NotifyField::StoreDescriptors => return None,
    }))
}
