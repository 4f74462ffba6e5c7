//! The control socket and those who speak to it.

mod client;
mod control_socket;

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{MsgFlags, getsockopt, send, sockopt};
use nix::unistd::geteuid;
use serde_json::Map;

use super::clock::time_of_day;
use super::wait_set::{Ready, WaitSet};
use crate::protocol::{ControlError, ErrorCode, WatchLevel, WatchedLine, error_line};
use crate::supervisor::{Sender, defaults};
use client::{Client, Interest, NextLine, Worth};

pub use control_socket::{ControlPlace, ControlSocket, NoSocket, SocketProblem};

/// Everybody who speaks to curfew. Nothing here waits for anybody, and nobody takes more than a small part of the memory
/// or of a wake-up.
#[derive(Default)]
pub(super) struct Control {
    socket: Option<ControlSocket>,
    clients: BTreeMap<u64, Client>,
    /// How many there were.
    count: u64,
    /// How many there may be.
    places: usize,
    /// Whose turn it is.
    turn: u64,
    waiting: Waiting,
}

/// Whether somebody is at the door who was not let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Waiting {
    /// Nobody, as far as is known.
    #[default]
    Nobody,
    /// Somebody, whose turn is next.
    InTurn,
    /// Somebody, for whom there is no descriptor.
    ForDescriptors,
}

impl Control {
    /// Listens at this socket, if there is one.
    ///
    /// # Errors
    /// No memory for it.
    pub(super) fn new(socket: Option<ControlSocket>, wait_set: &WaitSet) -> nix::Result<Self> {
        if let Some(socket) = &socket {
            // Told once of each who comes: where there are no descriptors, it must not wake us for ever.
            wait_set.add_edges(socket, Ready::Control)?;
        }
        // Services need descriptors, too: to be started, above all.
        let quarter = getrlimit(Resource::RLIMIT_NOFILE).map_or(usize::MAX, |(limit, _)| limit as usize / 4);
        let places = defaults::CONTROL_CLIENTS.min(quarter).max(1);
        Ok(Self { socket, places, ..Self::default() })
    }

    /// Takes in who has come.
    pub(super) fn accept(&mut self, wait_set: &WaitSet) {
        for _ in 0..ACCEPTS_AT_ONCE {
            let Some(socket) = &self.socket else { return };
            let stream = match socket.accept() {
                Ok(stream) => stream,
                Err(Errno::EAGAIN) => return self.waiting = Waiting::Nobody,
                Err(Errno::EINTR | Errno::ECONNABORTED) => continue,
                // EMFILE, ENFILE, ENOMEM, ENOBUFS: whoever is missed least gives his up.
                Err(_) if self.make_room(wait_set) => continue,
                Err(_) => return self.waiting = Waiting::ForDescriptors,
            };
            let Some(peer) = peer_of(&stream) else {
                let error = ControlError::new(
                    ErrorCode::Forbidden,
                    "only the user that curfew runs as, and root, may ask",
                    "become one of them",
                );
                refuse(&stream, &error);
                continue;
            };
            if self.clients.len() >= self.places && !self.make_room(wait_set) {
                refuse(&stream, &too_many());
                continue;
            }
            let number = self.count;
            self.count += 1;
            if wait_set.add_read(&stream, Ready::ControlClient(number)).is_ok() {
                self.clients.insert(number, Client::new(stream, peer, number));
                // Most have said already what they want.
                self.read(number);
            }
        }
        self.waiting = Waiting::InTurn;
    }

    /// Lets in who could not be let in before.
    pub(super) fn accept_again(&mut self, wait_set: &WaitSet) {
        if self.waiting != Waiting::Nobody {
            self.accept(wait_set);
        }
    }

    /// Whether there is more to do at once: somebody is to be let in, or has asked for something.
    pub(super) fn has_work(&self) -> bool {
        self.waiting == Waiting::InTurn || self.clients.values().any(Client::has_line)
    }

    /// Lets go of whoever is missed least.
    fn make_room(&mut self, wait_set: &WaitSet) -> bool {
        let least = self.clients.iter().min_by_key(|(_, client)| (client.worth(), client.active));
        match least.map(|(number, client)| (*number, client.worth())) {
            Some((number, worth)) if worth < Worth::Lasting => {
                self.let_go(number, wait_set, &too_many());
                true
            }
            Some(_) | None => false,
        }
    }

    fn let_go(&mut self, number: u64, wait_set: &WaitSet, error: &ControlError) {
        if let Some(client) = self.clients.remove(&number) {
            wait_set.remove(&client);
            refuse(&client, error);
        }
    }

    /// Takes in what a client says.
    pub(super) fn read(&mut self, number: u64) {
        let active = self.count;
        if let Some(client) = self.clients.get_mut(&number) {
            client.read();
            client.active = active;
        }
    }

    /// Takes the next line that somebody sent: from each in turn.
    pub(super) fn next_line(&mut self) -> Option<(u64, Sender, Vec<u8>)> {
        loop {
            let mut in_turn = self.clients.range(self.turn..).chain(self.clients.range(..self.turn));
            let number = in_turn.find(|(_, client)| client.has_line()).map(|(number, _)| *number)?;
            self.turn = number + 1;
            let client = self.clients.get_mut(&number)?;
            match client.next_line() {
                NextLine::Line(line) => return Some((number, client.peer, line)),
                NextLine::TooLong => {
                    let problem = format!("the request is longer than {} bytes", defaults::CONTROL_REQUEST);
                    let error = ControlError::new(ErrorCode::TooLong, problem, "ask for less at a time");
                    self.reject(number, &error);
                }
                NextLine::Broken => {
                    let cure = "end each request with a newline";
                    let error = ControlError::new(ErrorCode::BadRequest, "the request has no end", cure);
                    self.reject(number, &error);
                }
                NextLine::None => return None,
            }
        }
    }

    /// Refuses what makes no sense, and lets go of who said it.
    pub(super) fn reject(&mut self, number: u64, error: &ControlError) {
        if let Some(client) = self.clients.get_mut(&number) {
            client.say(&error_line(None, None, error, Map::new()));
            client.dismiss();
        }
    }

    /// Answers a client.
    pub(super) fn say(&mut self, number: u64, line: &[u8]) {
        if let Some(client) = self.clients.get_mut(&number) {
            client.say(line);
        }
    }

    /// It has asked for something that makes sense.
    pub(super) fn has_asked(&mut self, number: u64) {
        if let Some(client) = self.clients.get_mut(&number) {
            client.has_asked = true;
        }
    }

    /// Whether one more may wait or watch. There is always room left for those who ask and go.
    pub(super) fn has_room_to_last(&self, number: u64) -> bool {
        let others = self.clients.iter().filter(|(other, client)| **other != number && client.lasts());
        others.count() < self.places.div_ceil(2)
    }

    /// It hears of events from now on.
    pub(super) fn watch(&mut self, number: u64, level: WatchLevel) {
        if let Some(client) = self.clients.get_mut(&number) {
            client.watch(level);
        }
    }

    /// So many more of its requests wait.
    pub(super) fn begin_wait(&mut self, number: u64) {
        if let Some(client) = self.clients.get_mut(&number) {
            client.waits += 1;
        }
    }

    /// One of its requests waits no more.
    pub(super) fn end_wait(&mut self, number: u64) {
        if let Some(client) = self.clients.get_mut(&number) {
            client.waits = client.waits.saturating_sub(1);
        }
    }

    /// Whether it is still there.
    pub(super) fn is_there(&self, number: u64) -> bool {
        self.clients.contains_key(&number)
    }

    /// The least grave events that anybody wants to hear of.
    pub(super) fn watched_level(&self) -> Option<WatchLevel> {
        self.clients.values().filter_map(Client::watched_level).max()
    }

    /// Hands events to those who watch.
    pub(super) fn publish(&mut self, events: &[WatchedLine]) {
        for client in self.clients.values_mut() {
            for event in events {
                client.publish(event, time_in_words);
            }
        }
    }

    /// Sends what there is room for, and lets go of those who have all.
    pub(super) fn flush(&mut self, wait_set: &WaitSet) {
        self.clients.retain(|number, client| {
            client.flush(time_in_words);
            let is_done = client.is_done();
            if is_done {
                wait_set.remove(&*client);
            } else {
                let wanted = client.wanted();
                if std::mem::replace(&mut client.interest, wanted) != wanted {
                    let Interest { read, write } = wanted;
                    // ENOMEM: it is not heard, and makes room when there are too many.
                    let _ = wait_set.change(&*client, Ready::ControlClient(*number), read, write);
                }
            }
            !is_done
        });
    }

    /// The end: nobody new comes. Who is there sees the end of the stream when curfew is gone.
    pub(super) fn close(&mut self, wait_set: &WaitSet) {
        if let Some(socket) = &mut self.socket {
            wait_set.remove(&*socket);
            socket.remove();
        }
    }
}

/// How many are let in in one wake-up.
const ACCEPTS_AT_ONCE: u32 = 64;

fn too_many() -> ControlError {
    ControlError::new(ErrorCode::Busy, "there are too many clients", "ask again")
}

/// As far as it goes at once: whoever does not read must not hold us up.
fn refuse(stream: &impl std::os::fd::AsFd, error: &ControlError) {
    let line = error_line(None, None, error, Map::new());
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let _ = send(stream.as_fd().as_raw_fd(), &line, flags);
}

/// Who is at the other end, if he may ask for anything.
fn peer_of(stream: &OwnedFd) -> Option<Sender> {
    let peer = getsockopt(stream, sockopt::PeerCredentials).ok()?;
    let (pid, uid) = (peer.pid(), peer.uid());
    (uid == 0 || uid == geteuid().as_raw()).then_some(Sender::Process { pid, uid })
}

fn time_in_words() -> String {
    humantime::format_rfc3339_millis(time_of_day()).to_string()
}
