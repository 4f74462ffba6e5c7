use std::ffi::OsStr;
use std::time::Duration;

use nix::errno::Errno;

use super::clock::monotonic;
use super::notify_sender::{Importance, NotifySender};
use crate::protocol::{Announcement, datagram};
use crate::supervisor::{PlatformMessage, defaults};

/// The service manager above us, if there is one that listens.
#[derive(Default)]
pub(crate) struct Platform {
    sender: Option<NotifySender>,
    /// It was told that nobody hears us.
    is_unheard: bool,
}

impl Platform {
    /// The manager that `NOTIFY_SOCKET` names. One that cannot be reached is told of, and passed over.
    pub(crate) fn find(variable: Option<&OsStr>) -> Self {
        let Some(variable) = variable.filter(|variable| !variable.is_empty()) else {
            return Self::default();
        };
        match NotifySender::open(variable) {
            Ok(sender) => Self { sender: Some(sender), is_unheard: false },
            Err(errno) => {
                complain(errno);
                Self::default()
            }
        }
    }

    /// Whether anybody listens.
    pub(crate) const fn listens(&self) -> bool {
        self.sender.is_some()
    }

    /// Whether it hears us, if that is new; at first it is taken to.
    pub(crate) fn take_change(&mut self) -> Option<bool> {
        let hears = self.sender.as_ref().is_some_and(NotifySender::works);
        let is_new = std::mem::replace(&mut self.is_unheard, !hears) == hears;
        is_new.then_some(hears)
    }

    /// It hears nothing of what we tell it, though it takes it.
    pub(crate) fn give_up(&mut self) {
        if self.sender.take().is_some() {
            tracing::warn!(
                event = "notify.failed",
                "systemd does not listen to curfew: of this unit it hears only the processes that NotifyAccess= names; set \
                 NotifyAccess=all, or have curfew be the main process (`exec curfew`)"
            );
        }
    }

    /// Tells it what was decided.
    pub(crate) fn tell(&mut self, message: PlatformMessage) {
        let (announcement, importance) = match message {
            PlatformMessage::Ready | PlatformMessage::Reloaded => {
                (Announcement::Ready, Importance::MustArrive)
            }
            PlatformMessage::Stopping => (Announcement::Stopping, Importance::MustArrive),
            PlatformMessage::Reloading => {
                (Announcement::Reloading { monotonic: monotonic() }, Importance::MustArrive)
            }
            PlatformMessage::Ping => (Announcement::WatchdogAlive, Importance::Passing),
            PlatformMessage::Extend(time) => (Announcement::ExtendTimeout(time), Importance::MustArrive),
            PlatformMessage::Failed(errno) => (Announcement::Errno(errno), Importance::MustArrive),
        };
        self.send(announcement, importance);
    }

    /// Tells it how things are, in words.
    pub(crate) fn tell_status(&mut self, text: &str) {
        self.send(Announcement::Status(text), Importance::Passing);
    }

    /// Tries again what there was no room for. Returns when the next try is due.
    pub(crate) fn try_again(&mut self) -> Option<Duration> {
        let sender = self.sender.as_mut().filter(|sender| sender.keeps_something())?;
        if let Err(errno) = sender.send_kept() {
            complain(errno);
        }
        sender.keeps_something().then_some(defaults::NOTIFY_AGAIN)
    }

    fn send(&mut self, announcement: Announcement, importance: Importance) {
        let Some(sender) = &mut self.sender else { return };
        if let Err(errno) = sender.send(&datagram(&[announcement]), importance) {
            complain(errno);
        }
    }
}

fn complain(errno: Errno) {
    let why = match errno {
        Errno::ENOENT | Errno::ECONNREFUSED | Errno::ENOTDIR => {
            "nobody listens on the socket that NOTIFY_SOCKET names"
        }
        Errno::EINVAL | Errno::ENAMETOOLONG => {
            "NOTIFY_SOCKET names no socket: it is a path, or `@` and a name"
        }
        Errno::EACCES | Errno::EPERM => "we may not write to the socket that NOTIFY_SOCKET names",
        other => other.desc(),
    };
    tracing::warn!(
        event = "notify.failed",
        errno = errno as i32,
        "cannot tell the service manager anything: {why}"
    );
}
