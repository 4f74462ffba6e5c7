use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::failure::Failure;
use crate::linux::clock::Clock;
use crate::supervisor::Timestamp;

/// A connection to a running curfew.
pub(super) struct Connection {
    stream: UnixStream,
    clock: Clock,
    /// When the answer must have come; `None`: it may take as long as it likes.
    end: Option<Timestamp>,
    input: Vec<u8>,
}

impl Connection {
    /// Connects to whoever listens at this path; all that follows must be over within `time`.
    pub(super) fn open(path: &Path, clock: Clock, time: Option<Duration>) -> Result<Self, Failure> {
        let shown = path.display();
        let stream = dial(path, time).map_err(|errno| match errno {
            Errno::ENOENT => Failure::Nobody(format!("{shown}: there is no such socket; is curfew running?")),
            Errno::ECONNREFUSED => {
                Failure::Nobody(format!("{shown}: nobody listens there any more; is curfew running?"))
            }
            Errno::EACCES | Errno::EPERM => Failure::Forbidden(path.to_owned()),
            Errno::EAGAIN => Failure::TimedOut,
            errno => Failure::Nobody(format!("{shown}: {}; is this the socket of a curfew?", errno.desc())),
        })?;
        let end = time.map(|time| clock.now() + time);
        Ok(Self { stream, clock, end, input: Vec::new() })
    }

    /// Sends a request. One that is not taken may have been answered all the same.
    pub(super) fn send(&mut self, line: &[u8]) -> Result<(), Failure> {
        self.bound()?;
        match self.stream.write_all(line) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(explain(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The next line, with its end.
    pub(super) fn line(&mut self) -> Result<Vec<u8>, Failure> {
        let mut scanned = 0;
        loop {
            if let Some(length) = self.input[scanned..].iter().position(|byte| *byte == b'\n') {
                return Ok(self.input.drain(..=scanned + length).collect());
            }
            scanned = self.input.len();
            let mut buffer = [0; 16 * 1024];
            match self.read(&mut buffer)? {
                0 => return Err(Failure::Ended),
                count => self.input.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// The answer has come: what follows may take as long as it likes.
    pub(super) fn wait_for_ever(&mut self) -> Result<(), Failure> {
        self.end = None;
        self.stream.set_read_timeout(None).map_err(Failure::Broken)
    }

    /// Waits until the other end is gone.
    pub(super) fn wait_for_end(&mut self) -> Result<(), Failure> {
        while self.read(&mut [0; 1024])? > 0 {}
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        loop {
            self.bound()?;
            match self.stream.read(buffer) {
                // It has said all, and was ended while something of ours was under way to it.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result.map_err(explain),
            }
        }
    }

    /// What is left of the time bounds the next call.
    fn bound(&self) -> Result<(), Failure> {
        let Some(end) = self.end else { return Ok(()) };
        let left = end.since(self.clock.now());
        if left.is_zero() {
            return Err(Failure::TimedOut);
        }
        let set =
            self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.set_write_timeout(Some(left)));
        set.map_err(Failure::Broken)
    }
}

/// Whether somebody listens there who calls himself curfew. Nothing is said to him: he may be anybody.
pub(super) fn is_curfew(path: &Path, time: Duration) -> Result<bool, Errno> {
    let stream = dial(path, Some(time))?;
    let pid = getsockopt(&stream, sockopt::PeerCredentials)?.pid();
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Ok(name.starts_with("curfew"))
}

fn dial(path: &Path, time: Option<Duration>) -> Result<UnixStream, Errno> {
    let address = UnixAddr::new(path)?;
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    if let Some(time) = time {
        let time = TimeVal::microseconds(i64::try_from(time.as_micros()).unwrap_or(i64::MAX).max(1));
        setsockopt(&socket, sockopt::SendTimeout, &time)?;
    }
    connect(socket.as_raw_fd(), &address)?;
    Ok(UnixStream::from(socket))
}

fn explain(error: std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::TimedOut,
        _ => Failure::Broken(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_answer_has_no_end_in_time() {
        let path = std::env::temp_dir().join(format!("curfew-connection-{}", std::process::id()));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut connection = Connection::open(&path, Clock::start(), Some(Duration::from_secs(60))).unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut other_end = listener.accept().unwrap().0;
        other_end.write_all(b"answer\nevent\n").unwrap();
        assert_eq!(connection.line().unwrap(), b"answer\n");
        assert!(connection.stream.read_timeout().unwrap().is_some());
        connection.wait_for_ever().unwrap();
        assert_eq!(connection.line().unwrap(), b"event\n");
        drop(other_end);
        connection.wait_for_end().unwrap();
        assert_eq!(connection.stream.read_timeout().unwrap(), None);
    }
}
