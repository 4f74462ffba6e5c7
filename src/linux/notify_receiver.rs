use std::ffi::OsString;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, bind, getsockname, getsockopt, recv, setsockopt,
    socket, sockopt,
};
use nix::unistd::geteuid;
use nix::{getsockopt_impl, setsockopt_impl, sockopt_impl};

use crate::protocol::{LONGEST_DATAGRAM, NotifyMessage};
use crate::supervisor::Pid;

/// The `NOTIFY_SOCKET` of one service: what is sent there is about that service.
///
/// Its name is abstract. A path would have to be in a folder that a service's user may enter, is out of reach in a
/// chroot or another mount namespace, needs a writable place, which a container need not have, and is left behind when
/// curfew is killed. An abstract name has none of these cares, and goes away by itself. What it costs: a service in a
/// network namespace of its own does not reach it, and everybody in ours does. So the sender is looked at, which the
/// kernel tells.
///
/// Source: unix(7), sd_notify(3).
#[derive(Debug)]
pub struct NotifyReceiver {
    socket: OwnedFd,
    name: Vec<u8>,
    /// The service's user, if it is not curfew's own.
    user: Option<u32>,
    discarded: Discarded,
    /// How many datagrams were heard, but are still there, as descriptors came along with the first of them.
    held: usize,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Nothing more, for now.
    Nothing,
    /// A message from the service.
    Message {
        /// The process that sent it. It may be gone by now.
        sender: Pid,
        /// What it says.
        message: NotifyMessage,
    },
    /// Something that is none, or from somebody else. It was counted.
    Nonsense,
}

/// How much was thrown away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    /// Lines that make no sense.
    pub malformed: u64,
    /// Datagrams that are too long.
    pub too_long: u64,
    /// Datagrams from somebody who does not speak for the service.
    pub forged: u64,
}

/// How many datagrams of one service are read before others have their turn: the rest wakes the loop again.
pub const DATAGRAMS_AT_ONCE: u32 = 64;

impl NotifyReceiver {
    /// A socket for this service of this run, which `user` may write to, besides root and curfew's own user.
    ///
    /// # Errors
    /// No descriptors or no memory.
    pub fn open(run: &str, service: &str, user: Option<u32>) -> nix::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        // Before there is a name: no datagram comes without its sender.
        setsockopt(&socket, sockopt::PassCred, &true)?;
        let readable = UnixAddr::new_abstract(format!("curfew/{run}/{service}").as_bytes());
        let bound = readable.and_then(|address| bind(socket.as_raw_fd(), &address));
        if bound.is_err() {
            // The name is too long, or somebody else has it: the kernel chooses one that is free.
            bind(socket.as_raw_fd(), &UnixAddr::new_unnamed())?;
        }
        let address: UnixAddr = getsockname(socket.as_raw_fd())?;
        let name = address.as_abstract().ok_or(Errno::EADDRNOTAVAIL)?.to_vec();
        Ok(Self { socket, name, user, discarded: Discarded::default(), held: 0 })
    }

    /// The value of `NOTIFY_SOCKET` for the service.
    pub fn variable(&self) -> OsString {
        OsString::from_vec([b"@", self.name.as_slice()].concat())
    }

    /// How much was thrown away so far.
    pub fn discarded(&self) -> Discarded {
        self.discarded
    }

    /// Hears one datagram, without waiting. Handle it wholly before you hear the next: taking a `BARRIER=1` tells its
    /// sender that everything before it was handled.
    ///
    /// What has no descriptors with it is taken. Everything else is held: who takes it closes them, and that
    /// may take as long as a service wishes.
    ///
    /// `leader` is trusted whoever it has become: a program may give up its user by itself.
    pub fn receive(&mut self, leader: Option<Pid>) -> Received {
        // One byte more than is read: who fills it has sent too much.
        let mut buffer = [0; LONGEST_DATAGRAM + 1];
        let Some(datagram) = look_at_next(&self.socket, &mut buffer) else {
            return Received::Nothing;
        };
        let Datagram { length, pid, uid, has_descriptors } = datagram;
        if has_descriptors || self.held > 0 {
            self.hold(length, buffer.len());
        } else {
            // The very one that was looked at: nobody else takes any.
            take(self.socket.as_fd());
        }
        let is_trusted =
            |pid: Pid| uid == 0 || uid == geteuid().as_raw() || Some(uid) == self.user || Some(pid) == leader;
        // A sender without a pid is outside our pid namespace: nothing that we started.
        let Some(sender) = Pid::new(pid).filter(|pid| is_trusted(*pid)) else {
            self.discarded.forged += 1;
            return Received::Nonsense;
        };
        if length > LONGEST_DATAGRAM {
            self.discarded.too_long += 1;
            return Received::Nonsense;
        }
        let message = NotifyMessage::parse(&buffer[..length]);
        self.discarded.malformed += u64::from(message.malformed);
        if message.fields.is_empty() && message.malformed > 0 {
            return Received::Nonsense;
        }
        Received::Message { sender, message }
    }
}

/// What comes with descriptors is left for a helper to take.
impl NotifyReceiver {
    /// How many datagrams, the first ones that are there, were heard and are to be [taken](take_heard) by a helper.
    pub(crate) const fn held(&self) -> usize {
        self.held
    }

    /// Leaves a datagram where it is, and goes on behind it.
    fn hold(&mut self, length: usize, room: usize) {
        let behind = match self.held {
            0 => Some(length),
            // The kernel has gone on as far as there was room.
            _ if length > room => Some(self.heard() + (length - room)),
            _ => None,
        };
        if let Some(behind) = behind {
            self.look_from(i32::try_from(behind).unwrap_or(i32::MAX));
        }
        self.held += 1;
    }

    fn look_from(&self, place: i32) {
        // EINTR: a helper was just taking one. Nothing else is expected.
        while setsockopt(&self.socket, PeekOffset, &place) == Err(Errno::EINTR) {}
    }

    /// How many bytes of what is there were heard already. The kernel keeps the count, whoever takes them.
    fn heard(&self) -> usize {
        getsockopt(&self.socket, PeekOffset).ok().and_then(|heard| usize::try_from(heard).ok()).unwrap_or(0)
    }

    /// A helper that was to take so many is no more. If it was killed, it may not have come that far.
    pub(crate) fn helper_ended(&mut self, asked_for: usize) {
        self.held = self.held.saturating_sub(asked_for);
        match (self.held, self.heard()) {
            (_, 0) => {
                self.held = 0;
                self.look_from(-1);
            }
            (0, _) => self.held = 1,
            (_, _) => {}
        }
    }
}

/// Takes the first datagrams, and with them closes the descriptors that came along: that can take as long as a service
/// wishes (a socket that lingers, with its reader gone). Only for a helper.
pub(crate) fn take_heard(socket: BorrowedFd, count: usize) {
    for _ in 0..count {
        take(socket);
    }
}

/// Takes the first datagram, whatever it is.
///
/// There is no room for descriptors, so that the kernel closes them at once, on our way out of the call. That is all that a
/// barrier asks for, and none can leak, not even where we are out of descriptors ourselves.
fn take(socket: BorrowedFd) {
    // EAGAIN: there is none. EINTR: it is looked at again.
    let _ = recv(socket.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT);
}

// SO_PEEK_OFF: where MSG_PEEK looks, in bytes from the first that is there; -1: always at the first datagram.
sockopt_impl!(PeekOffset, Both, libc::SOL_SOCKET, libc::SO_PEEK_OFF, i32);

impl AsFd for NotifyReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Room for the sender's credentials and for nothing else.
// SAFETY: arithmetic.
const CONTROL_LENGTH: usize = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) } as usize;

/// What the kernel writes the credentials into, aligned as it wants it.
#[repr(C)]
union Control {
    _align: libc::cmsghdr,
    bytes: [u8; CONTROL_LENGTH],
}

/// What is known of a datagram besides what it says.
struct Datagram {
    length: usize,
    /// 0: not known.
    pid: i32,
    uid: u32,
    has_descriptors: bool,
}

/// Looks at the next datagram, which stays where it is.
///
/// The descriptors that came with it stay there as well, so that nothing is closed by it. None arrives: there is no room for
/// them, which the kernel says.
fn look_at_next(socket: &OwnedFd, buffer: &mut [u8]) -> Option<Datagram> {
    let mut part = IoSliceMut::new(buffer);
    let mut control = Control { bytes: [0; CONTROL_LENGTH] };
    // SAFETY: zeros are a valid header.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = (&raw mut part).cast();
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = CONTROL_LENGTH as _;
    // With the first it is the true length that is returned.
    let flags = libc::MSG_TRUNC | libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    let length = loop {
        // SAFETY: an IoSliceMut is an iovec; the buffer and the control area are ours for the call, and as long as said.
        let result = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
        match Errno::result(result) {
            Ok(length) => break length as usize,
            Err(Errno::EINTR) => {}
            // EAGAIN: there is none.
            Err(_) => return None,
        }
    };
    let has_descriptors = header.msg_flags & libc::MSG_CTRUNC != 0;
    // SAFETY: the kernel has filled in the header and the area, or set its length to zero, which gives a null pointer.
    let first = unsafe { libc::CMSG_FIRSTHDR(&raw const header).as_ref() };
    let credentials = first
        .filter(|first| first.cmsg_level == libc::SOL_SOCKET && first.cmsg_type == libc::SCM_CREDENTIALS)
        // SAFETY: a message of this type carries a ucred; where it stands it need not be aligned.
        .map(|first| unsafe { libc::CMSG_DATA(first).cast::<libc::ucred>().read_unaligned() });
    let (pid, uid) = credentials.map_or((0, 0), |credentials| (credentials.pid, credentials.uid));
    Some(Datagram { length, pid, uid, has_descriptors })
}

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, Read};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrLike, sendmsg};
    use nix::unistd::pipe;

    use super::*;
    use crate::protocol::NotifyField;

    fn receiver(test: &str) -> NotifyReceiver {
        NotifyReceiver::open(&format!("test-{}", std::process::id()), test, None).unwrap()
    }

    fn address(receiver: &NotifyReceiver) -> UnixAddr {
        UnixAddr::new_abstract(&receiver.name).unwrap()
    }

    fn send(receiver: &NotifyReceiver, text: &[u8]) {
        let name = SocketAddr::from_abstract_name(&receiver.name).unwrap();
        UnixDatagram::unbound().unwrap().send_to_addr(text, &name).unwrap();
    }

    fn send_with(receiver: &NotifyReceiver, text: &[u8], descriptors: &[i32]) {
        let socket = UnixDatagram::unbound().unwrap();
        let rights = [ControlMessage::ScmRights(descriptors)];
        let text = [IoSlice::new(text)];
        let address = address(receiver);
        sendmsg(socket.as_raw_fd(), &text, &rights, MsgFlags::empty(), Some(&address)).unwrap();
    }

    fn me() -> Pid {
        Pid::new(std::process::id() as i32).unwrap()
    }

    fn said(receiver: &mut NotifyReceiver) -> Vec<NotifyField> {
        match receiver.receive(None) {
            Received::Message { sender, message } => {
                assert_eq!(sender, me());
                message.fields
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_service_says_arrives_in_order() {
        let mut receiver = receiver("order");
        assert!(receiver.variable().to_str().unwrap().starts_with("@curfew/test-"));
        assert_eq!(receiver.receive(None), Received::Nothing);
        send(&receiver, b"STATUS=warming up");
        send(&receiver, b"READY=1");
        assert_eq!(said(&mut receiver), [NotifyField::Status("warming up".into())]);
        assert_eq!(said(&mut receiver), [NotifyField::Ready]);
        assert_eq!(receiver.receive(None), Received::Nothing);
    }

    #[test]
    fn a_name_that_is_taken_or_too_long_is_replaced() {
        let first = receiver("taken");
        let mut second = receiver("taken");
        assert_ne!(first.name, second.name);
        send(&second, b"READY=1");
        assert_eq!(said(&mut second), [NotifyField::Ready]);
        let mut long = receiver(&"x".repeat(200));
        send(&long, b"READY=1");
        assert_eq!(said(&mut long), [NotifyField::Ready]);
    }

    #[test]
    fn a_barrier_is_lifted_when_it_is_taken_and_not_before() {
        let mut receiver = receiver("barrier");
        let (read, write) = pipe().unwrap();
        send(&receiver, b"READY=1");
        send_with(&receiver, b"BARRIER=1", &[write.as_raw_fd()]);
        drop(write);
        let mut read = std::fs::File::from(read);
        let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&read, flags).unwrap();
        let mut is_lifted = || read.read(&mut [0]).is_ok_and(|count| count == 0);
        assert!(!is_lifted());
        assert_eq!(said(&mut receiver), [NotifyField::Ready]);
        assert!(!is_lifted());
        assert_eq!(said(&mut receiver), [NotifyField::Barrier]);
        // Not by us: what it takes to close a descriptor is not known.
        assert!(!is_lifted());
        assert_eq!(receiver.receive(None), Received::Nothing);
        take_held(&mut receiver);
        assert!(is_lifted());
    }

    /// What a helper does.
    fn take_held(receiver: &mut NotifyReceiver) {
        let held = receiver.held();
        take_heard(receiver.as_fd(), held);
        receiver.helper_ended(held);
        assert_eq!(receiver.held(), 0);
    }

    #[test]
    fn what_is_held_is_heard_once_and_so_is_what_comes_behind_it() {
        let mut receiver = receiver("held");
        let (_, write) = pipe().unwrap();
        let long = [b"STATUS=".to_vec(), vec![b'x'; 3 * LONGEST_DATAGRAM]].concat();
        // Empty, too long, and in the middle: each in its place.
        send_with(&receiver, b"", &[write.as_raw_fd()]);
        send(&receiver, b"READY=1");
        send(&receiver, &long);
        send_with(&receiver, &long, &[write.as_raw_fd()]);
        send(&receiver, b"");
        send(&receiver, b"STOPPING=1");
        assert_eq!(said(&mut receiver), []);
        assert_eq!(said(&mut receiver), [NotifyField::Ready]);
        assert_eq!(receiver.receive(None), Received::Nonsense);
        assert_eq!(receiver.receive(None), Received::Nonsense);
        assert_eq!(said(&mut receiver), []);
        assert_eq!(said(&mut receiver), [NotifyField::Stopping]);
        assert_eq!(receiver.receive(None), Received::Nothing);
        // More comes while a helper is about to take what was heard; it is killed in the middle.
        assert_eq!(receiver.held(), 6);
        send(&receiver, b"STATUS=more");
        take_heard(receiver.as_fd(), 2);
        assert_eq!(said(&mut receiver), [NotifyField::Status("more".into())]);
        receiver.helper_ended(6);
        assert_eq!(receiver.held(), 1);
        assert_eq!(receiver.receive(None), Received::Nothing);
        take_heard(receiver.as_fd(), 1);
        receiver.helper_ended(1);
        assert_eq!(receiver.held(), 1);
        take_heard(receiver.as_fd(), 4);
        receiver.helper_ended(1);
        assert_eq!(receiver.held(), 0);
        // As it was before.
        send(&receiver, b"READY=1");
        assert_eq!(said(&mut receiver), [NotifyField::Ready]);
        assert_eq!(receiver.held(), 0);
    }

    #[test]
    fn no_descriptor_arrives_whatever_is_sent() {
        let mut receiver = receiver("descriptors");
        let (mut read, write) = std::io::pipe().unwrap();
        // The most that the kernel lets through in one message (unix(7), SCM_MAX_FD).
        for text in [&b"FDSTORE=1\nFDNAME=x"[..], b"nonsense", b""] {
            send_with(&receiver, text, &vec![write.as_raw_fd(); 253]);
        }
        drop(write);
        assert_eq!(said(&mut receiver), [NotifyField::StoreDescriptors]);
        assert_eq!(receiver.receive(None), Received::Nonsense);
        assert_eq!(said(&mut receiver), []);
        take_held(&mut receiver);
        // Every copy of the pipe's end is closed: this ends.
        assert_eq!(read.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn what_is_too_long_or_senseless_is_counted_and_the_next_one_is_read() {
        let mut receiver = receiver("nonsense");
        send(&receiver, &vec![b'x'; LONGEST_DATAGRAM + 1]);
        send(&receiver, &[b"STATUS=".to_vec(), vec![b'x'; 100_000]].concat());
        send(&receiver, b"\xff\xfe");
        send(&receiver, b"READY=0\nSTATUS=fine");
        send(&receiver, &[b"STATUS=".to_vec(), vec![b'x'; LONGEST_DATAGRAM - 7]].concat());
        for _ in 0..3 {
            assert_eq!(receiver.receive(None), Received::Nonsense);
        }
        assert_eq!(said(&mut receiver), [NotifyField::Status("fine".into())]);
        assert_eq!(said(&mut receiver), [NotifyField::Status("x".repeat(LONGEST_DATAGRAM - 7))]);
        assert_eq!(receiver.discarded(), Discarded { malformed: 2, too_long: 2, forged: 0 });
    }

    /// Sends as somebody else, from a child that gives up its user.
    fn send_as(uid: u32, receiver: &NotifyReceiver, text: &[u8]) -> Pid {
        let address = address(receiver);
        let socket = UnixDatagram::unbound().unwrap();
        // SAFETY: system calls only in the child, which ends by _exit.
        unsafe {
            match libc::fork() {
                0 => {
                    let (name, length) = (address.as_ptr().cast(), address.len());
                    let sent = libc::syscall(libc::SYS_setuid, uid) == 0
                        && libc::sendto(
                            socket.as_raw_fd(),
                            text.as_ptr().cast(),
                            text.len(),
                            0,
                            name,
                            length,
                        ) >= 0;
                    libc::_exit(i32::from(!sent));
                }
                child => {
                    let mut status = 0;
                    assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
                    assert_eq!(status, 0);
                    Pid::new(child).unwrap()
                }
            }
        }
    }

    #[test]
    fn only_the_services_own_user_and_its_leader_are_heard() {
        if !geteuid().is_root() {
            println!("skipped: only root can send as somebody else");
            return;
        }
        let mut receiver = receiver("users");
        receiver.user = Some(4242);
        let own = send_as(4242, &receiver, b"STATUS=own");
        let leader = send_as(4343, &receiver, b"STATUS=leader");
        send_as(4343, &receiver, b"STATUS=forged");
        let heard: Vec<Received> = (0..3).map(|_| receiver.receive(Some(leader))).collect();
        let says = |sender, status: &str| Received::Message {
            sender,
            message: NotifyMessage { fields: vec![NotifyField::Status(status.into())], malformed: 0 },
        };
        assert_eq!(heard, [says(own, "own"), says(leader, "leader"), Received::Nonsense]);
        assert_eq!(receiver.discarded().forged, 1);
    }
}
