use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::AsFd;

use super::delivery::to_child;
use super::helper::Helper;
use super::notify_receiver::{Discarded, NotifyReceiver, Received, take_heard};
use crate::protocol::NotifyField;
use crate::supervisor::{Pid, ServiceId, ServiceMessage, Signal, Timestamp, defaults};

/// What services say of themselves, each on a socket of its own.
#[derive(Default)]
pub(crate) struct ServiceMessages {
    receivers: HashMap<ServiceId, NotifyReceiver>,
    /// What was thrown away of each, as far as it was told.
    told: HashMap<ServiceId, Discarded>,
    /// The services of which somebody takes what came with descriptors: one for each, so that who holds it up holds up its own
    /// messages. The next ones stay in the socket until then, and its senders wait.
    takers: HashMap<ServiceId, Taker>,
    /// Those for which none could be had, and when that is tried again.
    without: HashMap<ServiceId, Timestamp>,
    /// Nobody starts any more.
    is_over: bool,
}

/// A helper that takes what came with descriptors.
struct Taker {
    helper: Helper,
    /// So many datagrams.
    count: usize,
    /// When it gets KILL. `None`: it got it, and is not long any more, or no signal ends it.
    end: Option<Timestamp>,
}

/// What is to be done about the socket of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taking {
    /// Nobody needs to be asked to take anything.
    NotNeeded,
    /// This helper takes what was heard: a child of ours that is no stray.
    By(Pid),
    /// Somebody does, or will: for now nothing is to be read.
    Later,
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

    /// The socket of a service.
    pub(crate) fn receiver(&self, service: ServiceId) -> Option<&NotifyReceiver> {
        self.receivers.get(&service)
    }

    /// Hears one message of a service: `None` if there is none, nothing if it made no sense. That is counted, and told the
    /// first time.
    ///
    /// Handle it wholly before you hear the next: see [`NotifyReceiver::receive`].
    pub(crate) fn hear(
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

/// What came with descriptors: who takes that closes them, and may be held up by it.
impl ServiceMessages {
    /// Has a helper take what was heard of a service and is still there, if there is any.
    pub(crate) fn begin_taking(&mut self, service: ServiceId, now: Timestamp) -> Taking {
        let Some(receiver) = self.receivers.get(&service).filter(|receiver| receiver.held() > 0) else {
            return Taking::NotNeeded;
        };
        if self.is_over || self.takers.contains_key(&service) {
            return Taking::Later;
        }
        let (socket, count) = (receiver.as_fd(), receiver.held());
        let Ok(helper) = Helper::start_with(Some(socket), 0, |_| take_heard(socket, count)) else {
            // No process, no memory, no descriptor: there will be some again.
            self.without.insert(service, now + defaults::NOTIFY_AGAIN);
            return Taking::Later;
        };
        let pid = helper.pid();
        self.without.remove(&service);
        self.takers.insert(service, Taker { helper, count, end: Some(now + defaults::CLOSE_TIME) });
        Taking::By(pid)
    }

    /// A helper was reaped. Returns whose messages it took.
    pub(crate) fn helper_ended(&mut self, pid: Pid) -> Option<ServiceId> {
        let service = *self.takers.iter().find(|(_, taker)| taker.helper.pid() == pid)?.0;
        let taker = self.takers.remove(&service)?;
        self.receivers.get_mut(&service)?.helper_ended(taker.count);
        Some(service)
    }

    /// Ends the helpers that take too long. Returns the services that have none and should.
    pub(crate) fn mind_helpers(&mut self, now: Timestamp) -> Vec<ServiceId> {
        for taker in self.takers.values_mut() {
            if taker.end.is_some_and(|end| now >= end) {
                taker.kill();
            }
        }
        self.without.extract_if(|_, again| now >= *again).map(|(service, _)| service).collect()
    }

    /// When [`Self::mind_helpers`] is to be called.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let ends = self.takers.values().filter_map(|taker| taker.end);
        ends.chain(self.without.values().copied()).min()
    }

    /// The end: ends every helper, and starts no more.
    pub(crate) fn end_helpers(&mut self) {
        self.is_over = true;
        self.without.clear();
        for taker in self.takers.values_mut() {
            taker.kill();
        }
    }
}

impl Taker {
    /// ESRCH: it has ended, and was reaped.
    fn kill(&mut self) {
        self.end = None;
        let _ = to_child(self.helper.pid(), Signal::KILL);
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
