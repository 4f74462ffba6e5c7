use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, UnixAddr, connect,
    getsockopt, recv, send, socket, sockopt,
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
        let socket = begin(AddressFamily::Unix, &address).map_err(in_words)?;
        Ok(Self { socket, others: Vec::new(), question: None, is_connected: false })
    }

    pub(super) const fn interest(&self) -> Interest {
        Interest::Write
    }

    /// The descriptor is ready, or there is another one now.
    pub(super) fn go_on(&mut self) -> Progress {
        if !self.is_connected {
            let error = getsockopt(&self.socket, sockopt::SocketError).unwrap_or(0);
            if error != 0 {
                return match next_connection(&mut self.others) {
                    Ok(socket) => {
                        self.socket = socket;
                        Progress::Waits(Interest::Write)
                    }
                    Err(_) => Progress::Over(Err(in_words(Errno::from_raw(error)))),
                };
            }
            self.is_connected = true;
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
    match connect(socket.as_raw_fd(), address) {
        // EAGAIN: the queue of a Unix socket is full; the answer then is that, at once.
        Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

fn in_words(errno: Errno) -> String {
    errno.desc().to_lowercase()
}
