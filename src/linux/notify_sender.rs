use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, sendto, socket};

/// The way to the service manager above us: `$NOTIFY_SOCKET`.
///
/// Nothing here waits. What must arrive but does not fit now is kept, and goes ahead of what is sent next.
pub struct NotifySender {
    socket: OwnedFd,
    /// The address is looked up for each datagram, so that a socket made anew is found.
    address: UnixAddr,
    kept: VecDeque<Vec<u8>>,
    /// It failed, and this was told.
    is_broken: bool,
}

/// Whether a datagram may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// The manager acts on it: it is kept until there is room.
    MustArrive,
    /// The next one says the same, or better: a ping, a status.
    Passing,
}

/// How many datagrams are kept for a manager that does not read; then the oldest go.
const KEPT_MAX: usize = 16;

impl NotifySender {
    /// The way to the socket that the variable names: a path, or `@` and an abstract name.
    ///
    /// # Errors
    /// EINVAL: it is neither. ENAMETOOLONG. EMFILE and its like: no descriptor.
    ///
    /// Source: sd_notify(3).
    pub fn open(variable: &OsStr) -> nix::Result<Self> {
        let address = match variable.as_bytes() {
            [b'@', name @ ..] if !name.is_empty() => UnixAddr::new_abstract(name)?,
            [b'/', ..] => UnixAddr::new(variable)?,
            _ => return Err(Errno::EINVAL),
        };
        let socket = socket(
            AddressFamily::Unix,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )?;
        Ok(Self { socket, address, kept: VecDeque::new(), is_broken: false })
    }

    /// Sends a datagram, behind those that were kept.
    ///
    /// # Errors
    /// The first time that nobody takes it, why; then nothing until it works again. There is nothing to do about it
    /// but to say so.
    pub fn send(&mut self, datagram: &[u8], importance: Importance) -> Result<(), Errno> {
        if datagram.is_empty() {
            return self.send_kept();
        }
        if self.kept.is_empty() {
            match self.send_one(datagram) {
                Err(Errno::EAGAIN) => {}
                outcome => return self.told_once(outcome),
            }
        }
        if importance == Importance::MustArrive {
            if self.kept.len() >= KEPT_MAX {
                self.kept.pop_front();
            }
            self.kept.push_back(datagram.to_vec());
        }
        self.send_kept()
    }

    /// Tries again to send what was kept.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_kept(&mut self) -> Result<(), Errno> {
        while let Some(datagram) = self.kept.front() {
            match self.send_one(datagram) {
                Err(Errno::EAGAIN) => return Ok(()),
                // It is lost, and not worth a second try: whoever comes next has not heard the first half.
                Err(errno) => {
                    self.kept.clear();
                    return self.told_once(Err(errno));
                }
                Ok(()) => {
                    self.is_broken = false;
                    self.kept.pop_front();
                }
            }
        }
        Ok(())
    }

    /// Whether something waits for room. The kernel does not say when there is some: try again after a while.
    pub fn keeps_something(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Whether the last datagram that was not kept has arrived, or there was none.
    pub fn works(&self) -> bool {
        !self.is_broken
    }

    fn send_one(&self, datagram: &[u8]) -> Result<(), Errno> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        loop {
            match sendto(self.socket.as_raw_fd(), datagram, &self.address, flags) {
                Err(Errno::EINTR) => {}
                // No memory for it now: as good as no room.
                Err(Errno::ENOBUFS | Errno::ENOMEM) => return Err(Errno::EAGAIN),
                outcome => return outcome.map(drop),
            }
        }
    }

    fn told_once(&mut self, outcome: Result<(), Errno>) -> Result<(), Errno> {
        match outcome {
            Ok(()) => self.is_broken = false,
            Err(errno) if !self.is_broken => {
                self.is_broken = true;
                return Err(errno);
            }
            Err(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::path::PathBuf;

    use super::*;

    /// A path that nobody else uses, free again at the end.
    struct FreePath(PathBuf);

    impl FreePath {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("curfew-notify-{name}-{}", std::process::id())))
        }
    }

    impl Drop for FreePath {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    /// A manager's socket under an abstract name, and the way to it.
    fn manager(test: &str) -> (UnixDatagram, NotifySender) {
        let name = format!("curfew-notify-{test}-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        (socket, NotifySender::open(format!("@{name}").as_ref()).unwrap())
    }

    fn received(socket: &UnixDatagram) -> Vec<u8> {
        let mut buffer = [0; 256];
        let count = socket.recv(&mut buffer).unwrap_or_default();
        buffer[..count].to_vec()
    }

    fn fill(sender: &NotifySender) {
        while sender.send_one(b"x").is_ok() {}
    }

    #[test]
    fn a_path_and_an_abstract_name_are_reached() {
        let path = FreePath::new("reached");
        let socket = UnixDatagram::bind(&path.0).unwrap();
        let mut sender = NotifySender::open(path.0.as_os_str()).unwrap();
        sender.send(b"READY=1", Importance::MustArrive).unwrap();
        assert_eq!(received(&socket), b"READY=1");

        let (socket, mut sender) = manager("reached");
        sender.send(b"STOPPING=1", Importance::Passing).unwrap();
        assert_eq!(received(&socket), b"STOPPING=1");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for variable in ["", "@", "relative", "vsock:2:1234"] {
            assert_eq!(NotifySender::open(variable.as_ref()).err(), Some(Errno::EINVAL), "{variable}");
        }
        for long in ["/", "@"].map(|start| format!("{start}{}", "x".repeat(200))) {
            assert_eq!(NotifySender::open(long.as_ref()).err(), Some(Errno::ENAMETOOLONG));
        }
    }

    #[test]
    fn a_failure_is_told_once_and_a_new_socket_is_found() {
        let path = FreePath::new("anew");
        let mut sender = NotifySender::open(path.0.as_os_str()).unwrap();
        let mut send = |text: &[u8]| sender.send(text, Importance::MustArrive);
        assert_eq!(send(b"a"), Err(Errno::ENOENT));
        assert_eq!(send(b"b"), Ok(()));
        let socket = UnixDatagram::bind(&path.0).unwrap();
        assert_eq!(send(b"c"), Ok(()));
        assert_eq!(received(&socket), b"c");
        drop(socket);
        assert_eq!(send(b"d"), Err(Errno::ECONNREFUSED));
        assert_eq!(send(b"e"), Ok(()));
        std::fs::remove_file(&path.0).unwrap();
        let socket = UnixDatagram::bind(&path.0).unwrap();
        assert_eq!(send(b"f"), Ok(()));
        assert_eq!(received(&socket), b"f");
    }

    #[test]
    fn a_manager_that_does_not_read_gets_later_what_matters() {
        let (socket, mut sender) = manager("slow");
        fill(&sender);
        sender.send(b"READY=1", Importance::MustArrive).unwrap();
        sender.send(b"WATCHDOG=1", Importance::Passing).unwrap();
        sender.send(b"STOPPING=1", Importance::MustArrive).unwrap();
        assert!(sender.keeps_something());
        let mut heard = Vec::new();
        while sender.keeps_something() {
            heard.push(received(&socket));
            sender.send_kept().unwrap();
        }
        heard.extend(std::iter::from_fn(|| Some(received(&socket)).filter(|datagram| !datagram.is_empty())));
        heard.retain(|datagram| datagram != b"x");
        assert_eq!(heard, [b"READY=1".to_vec(), b"STOPPING=1".to_vec()]);
    }

    #[test]
    fn only_so_much_is_kept_and_the_newest_of_it() {
        let (_socket, mut sender) = manager("kept");
        fill(&sender);
        for number in 1..=100_u8 {
            sender.send(&[number], Importance::MustArrive).unwrap();
        }
        assert_eq!((sender.kept.len(), &sender.kept[KEPT_MAX - 1]), (KEPT_MAX, &vec![100]));
    }

    #[test]
    fn what_was_kept_is_given_up_with_its_manager() {
        let (socket, mut sender) = manager("gone");
        fill(&sender);
        sender.send(b"READY=1", Importance::MustArrive).unwrap();
        drop(socket);
        assert_eq!(sender.send_kept(), Err(Errno::ECONNREFUSED));
        assert!(!sender.keeps_something());
    }
}
