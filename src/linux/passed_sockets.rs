use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::protocol::{FIRST_PASSED, is_called};

/// The sockets that the service manager above listens on for our services (socket activation).
///
/// They came as descriptors 3, 4 …, which a service expects as well, but perhaps others of them. So each has a second
/// number, far up, to be copied from; the first ones are kept, so that nothing of ours gets these numbers, and both
/// close on exec.
///
/// Source: sd_listen_fds(3).
#[derive(Debug, Default)]
pub struct PassedSockets {
    sockets: Vec<PassedSocket>,
}

#[derive(Debug)]
struct PassedSocket {
    name: String,
    descriptor: OwnedFd,
}

/// What one service gets of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WantedSockets {
    /// None.
    #[default]
    None,
    /// All: one command stands for all of curfew.
    All,
    /// Those with these names, in this order.
    Named(Vec<String>),
}

/// Copies are made from here up: below any limit that is in use.
const COPIES_FROM: RawFd = 200;

impl PassedSockets {
    /// Takes what was passed: so many descriptors from 3 on. One that is not open is left out.
    pub fn take(names: &[String]) -> Self {
        let mut sockets = Vec::new();
        for (descriptor, name) in (FIRST_PASSED..).zip(names) {
            // SAFETY: only the flags of a descriptor that was passed to us change. EBADF: it is not open.
            let is_open = unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } == 0;
            match copy(descriptor).filter(|_| is_open) {
                Some(copy) => sockets.push(PassedSocket { name: name.clone(), descriptor: copy }),
                None => tracing::warn!(
                    event = "socket.missing",
                    name = name.as_str(),
                    "the socket {name} was announced as descriptor {descriptor}, but is not there"
                ),
            }
        }
        Self { sockets }
    }

    /// The descriptors that a service gets, as 3, 4 …, and their names.
    pub(crate) fn of(&self, wanted: &WantedSockets) -> Vec<(&str, RawFd)> {
        let entry = |socket: &'_ PassedSocket| socket.descriptor.as_raw_fd();
        match wanted {
            WantedSockets::None => Vec::new(),
            WantedSockets::All => {
                self.sockets.iter().map(|socket| (socket.name.as_str(), entry(socket))).collect()
            }
            WantedSockets::Named(names) => names
                .iter()
                .flat_map(|name| self.sockets.iter().filter(move |socket| is_called(&socket.name, name)))
                .map(|socket| (socket.name.as_str(), entry(socket)))
                .collect(),
        }
    }
}

fn copy(descriptor: RawFd) -> Option<OwnedFd> {
    // SAFETY: it is open, or the call below fails; it is borrowed for the call only.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) };
    // EINVAL: the limit of open files is as low as that.
    for lowest in [COPIES_FROM, FIRST_PASSED] {
        match fcntl(borrowed, FcntlArg::F_DUPFD_CLOEXEC(lowest)) {
            // SAFETY: a new descriptor, owned by nobody else.
            Ok(copy) => return Some(unsafe { OwnedFd::from_raw_fd(copy) }),
            Err(Errno::EINVAL) => {}
            Err(_) => return None,
        }
    }
    None
}
