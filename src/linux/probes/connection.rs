use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike,
    SockaddrStorage, UnixAddr, connect, getpeername, getsockname, getsockopt, recv, send, setsockopt,
    shutdown, socket, sockopt,
};

use super::http_answer::{HttpAnswer, Reading};
use crate::protocol::HttpTarget;

/// A connection that is being made, and perhaps a question on it. It never waits.
pub(super) struct Connection {
    socket: OwnedFd,
    /// Other addresses, if nobody answers at this one.
    others: Vec<SocketAddr>,
    question: Option<Question>,
    is_connected: bool,
}

struct Question {
    request: Vec<u8>,
    sent: usize,
    answer: HttpAnswer,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
}

/// How far it came.
pub(super) enum Progress {
    Waits(Interest),
    Over(Result<(), String>),
}

impl Connection {
    pub(super) fn to_http(target: &HttpTarget) -> Result<Self, String> {
        let HttpTarget { addresses, host, path, status } = target;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: curfew/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            env!("CARGO_PKG_VERSION")
        );
        let question = Question { request: request.into_bytes(), sent: 0, answer: HttpAnswer::new(*status) };
        let connection = Self::to_addresses(addresses)?;
        Ok(Self { question: Some(question), ..connection })
    }

    pub(super) fn to_addresses(addresses: &[SocketAddr]) -> Result<Self, String> {
        let mut others = addresses.to_vec();
        others.reverse();
        let socket = next_connection(&mut others)?;
        Ok(Self { socket, others, question: None, is_connected: false })
    }

    pub(super) fn to_path(path: &Path) -> Result<Self, String> {
        let address = UnixAddr::new(path).map_err(in_words)?;
        let socket = begin(AddressFamily::Unix, &address).map_err(|errno| match errno {
            Errno::EAGAIN => "too many connections wait for it to accept them".to_owned(),
            errno => in_words(errno),
        })?;
        Ok(Self { socket, others: Vec::new(), question: None, is_connected: false })
    }

    pub(super) const fn interest(&self) -> Interest {
        Interest::Write
    }

    /// The descriptor is ready, or there is another one now.
    pub(super) fn go_on(&mut self) -> Progress {
        if !self.is_connected {
            match result_of_connecting(&self.socket) {
                Ok(Connected::Yes) => self.is_connected = true,
                Ok(Connected::NotYet) => return Progress::Waits(Interest::Write),
                Err(errno) => {
                    return match next_connection(&mut self.others) {
                        Ok(socket) => {
                            self.socket = socket;
                            Progress::Waits(Interest::Write)
                        }
                        Err(_) => Progress::Over(Err(in_words(errno))),
                    };
                }
            }
        }
        let Some(question) = &mut self.question else { return Progress::Over(Ok(())) };
        while question.sent < question.request.len() {
            let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
            match send(self.socket.as_raw_fd(), &question.request[question.sent..], flags) {
                Ok(count) => question.sent += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Progress::Waits(Interest::Write),
                Err(errno) => return Progress::Over(Err(in_words(errno))),
            }
        }
        let mut buffer = [0; 2048];
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(count) => {
                    if let Reading::Over(result) = question.answer.take(&buffer[..count]) {
                        return Progress::Over(result);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Progress::Waits(Interest::Read),
                Err(errno) => return Progress::Over(Err(in_words(errno))),
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether a connection is made.
#[derive(Debug, PartialEq, Eq)]
enum Connected {
    Yes,
    /// The readiness that brought us here was that of an earlier connection.
    NotYet,
}

fn result_of_connecting(socket: &OwnedFd) -> nix::Result<Connected> {
    match getsockopt(socket, sockopt::SocketError)? {
        0 => {}
        error => return Err(Errno::from_raw(error)),
    }
    let peer = match getpeername::<SockaddrStorage>(socket.as_raw_fd()) {
        Ok(peer) => peer,
        Err(Errno::ENOTCONN) => return Ok(Connected::NotYet),
        Err(errno) => return Err(errno),
    };
    // Where nobody listens at a port of the range that outgoing connections have theirs from, one in some ten thousands
    // gets that very port as its own, and is connected to itself (RFC 9293, simultaneous open).
    let is_internet = matches!(peer.family(), Some(AddressFamily::Inet | AddressFamily::Inet6));
    if is_internet && getsockname::<SockaddrStorage>(socket.as_raw_fd())? == peer {
        // Closed in the ordinary way it would keep the service from the port for a minute.
        let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        let _ = setsockopt(socket, sockopt::Linger, &at_once);
        return Err(Errno::ECONNREFUSED);
    }
    Ok(Connected::Yes)
}

/// Begins with the next address of which the beginning does not fail; the last one's reason if there is none.
fn next_connection(addresses: &mut Vec<SocketAddr>) -> Result<OwnedFd, String> {
    let mut reason = "no address is left".to_owned();
    while let Some(address) = addresses.pop() {
        let begun = match address {
            SocketAddr::V4(address) => begin(AddressFamily::Inet, &SockaddrIn::from(address)),
            SocketAddr::V6(address) => begin(AddressFamily::Inet6, &SockaddrIn6::from(address)),
        };
        match begun {
            Ok(socket) => return Ok(socket),
            Err(errno) => reason = in_words(errno),
        }
    }
    Err(reason)
}

fn begin(family: AddressFamily, address: &dyn SockaddrLike) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Stream, flags, None)?;
    if family == AddressFamily::Unix {
        // A service could send descriptors along with its answer, and to close these takes as long as it wishes. So nothing
        // comes back at all: before the connection, for afterwards would be too late.
        shutdown(socket.as_raw_fd(), Shutdown::Read)?;
    }
    match connect(socket.as_raw_fd(), address) {
        // EAGAIN: the queue of a Unix socket is full, which is the answer then, at once.
        Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

/// As people say it.
pub(super) fn in_words(errno: Errno) -> String {
    errno.desc().to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

    use nix::sys::socket::bind;

    use super::*;

    /// One that waits.
    fn tcp_socket() -> OwnedFd {
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap()
    }

    #[test]
    fn a_connection_to_itself_is_none_and_leaves_the_port_free() {
        let socket = tcp_socket();
        bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address: SockaddrIn = getsockname(socket.as_raw_fd()).unwrap();
        connect(socket.as_raw_fd(), &address).unwrap();
        assert_eq!(result_of_connecting(&socket), Err(Errno::ECONNREFUSED));
        drop(socket);
        // Without SO_REUSEADDR, which the standard library's listener sets.
        bind(tcp_socket().as_raw_fd(), &address).expect("nothing waits at the port");
    }

    #[test]
    fn readiness_of_an_earlier_connection_does_not_make_one() {
        let socket = tcp_socket();
        assert_eq!(result_of_connecting(&socket), Ok(Connected::NotYet));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!() };
        connect(socket.as_raw_fd(), &SockaddrIn::from(address)).unwrap();
        assert_eq!(result_of_connecting(&socket), Ok(Connected::Yes));
    }
}
