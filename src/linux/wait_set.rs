use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::output::StreamId;
use crate::supervisor::ServiceId;

/// What the loop waits for: one epoll.
pub(crate) struct WaitSet {
    epoll: Epoll,
}

/// What became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// A signal came.
    Signals,
    /// The log can take more.
    LogOutput,
    /// A service says something of itself.
    Message(ServiceId),
    /// A probe of a service can go on.
    Probe(ServiceId),
    /// A service says on its pipe that it is ready.
    PipeOfReadiness(ServiceId),
    /// A command that probes a service says something. Its number.
    ProbeOutput(u64),
    /// The service manager answers when it kills us.
    UnitDeadline,
    /// The configuration is read anew.
    Configuration,
    /// A helper says whose strays are.
    Cookies,
    /// The exec pipe of a service.
    ExecPipe(ServiceId),
    /// Somebody came into the empty cgroup of a service, or the last one went.
    Cgroup(ServiceId),
    /// The leader of a service is dead.
    Death(ServiceId),
    /// A hook says something. Its number.
    HookOutput(u64),
    /// Somebody comes to the control socket.
    Control,
    /// A client of the control socket can go on. Its number.
    ControlClient(u64),
    /// What curfew carries has room where it goes.
    OutputRoom,
    /// A pipe that curfew carries from.
    Output(StreamId),
}

const SIGNALS: u64 = 0;
const LOG_OUTPUT: u64 = 1;
const OUTPUT_ROOM: u64 = 2;
const UNIT_DEADLINE: u64 = 3;
const CONTROL: u64 = 5;
const CONFIGURATION: u64 = 4;
const COOKIES: u64 = 6;
const FIRST_EXEC_PIPE: u64 = 16;
const FIRST_HOOK_OUTPUT: u64 = 1 << 32;
const FIRST_MESSAGE: u64 = 2 << 32;
const FIRST_PROBE: u64 = 3 << 32;
const FIRST_READY_PIPE: u64 = 4 << 32;
const FIRST_PROBE_OUTPUT: u64 = 5 << 32;
const FIRST_CGROUP: u64 = 6 << 32;
const FIRST_DEATH: u64 = 7 << 32;
const FIRST_CONTROL_CLIENT: u64 = 8 << 32;
const FIRST_OUTPUT: u64 = 1 << 48;

impl Ready {
    fn token(self) -> u64 {
        match self {
            Self::Signals => SIGNALS,
            Self::LogOutput => LOG_OUTPUT,
            Self::UnitDeadline => UNIT_DEADLINE,
            Self::Configuration => CONFIGURATION,
            Self::Cookies => COOKIES,
            Self::ExecPipe(service) => FIRST_EXEC_PIPE + service.index() as u64,
            Self::Probe(service) => FIRST_PROBE + service.index() as u64,
            Self::PipeOfReadiness(service) => FIRST_READY_PIPE + service.index() as u64,
            Self::ProbeOutput(number) => FIRST_PROBE_OUTPUT + number,
            Self::Message(service) => FIRST_MESSAGE + service.index() as u64,
            Self::Cgroup(service) => FIRST_CGROUP + service.index() as u64,
            Self::Death(service) => FIRST_DEATH + service.index() as u64,
            Self::HookOutput(hook) => FIRST_HOOK_OUTPUT + hook,
            Self::OutputRoom => OUTPUT_ROOM,
            Self::Control => CONTROL,
            Self::ControlClient(number) => FIRST_CONTROL_CLIENT + number,
            Self::Output(stream) => FIRST_OUTPUT + stream.number(),
        }
    }

    fn from_token(token: u64) -> Self {
        match token {
            SIGNALS => Self::Signals,
            LOG_OUTPUT => Self::LogOutput,
            OUTPUT_ROOM => Self::OutputRoom,
            UNIT_DEADLINE => Self::UnitDeadline,
            CONTROL => Self::Control,
            CONFIGURATION => Self::Configuration,
            COOKIES => Self::Cookies,
            stream @ FIRST_OUTPUT.. => Self::Output(StreamId::new(stream - FIRST_OUTPUT)),
            number @ FIRST_CONTROL_CLIENT.. => Self::ControlClient(number - FIRST_CONTROL_CLIENT),
            service @ FIRST_DEATH.. => Self::Death(ServiceId::new((service - FIRST_DEATH) as usize)),
            service @ FIRST_CGROUP.. => Self::Cgroup(ServiceId::new((service - FIRST_CGROUP) as usize)),
            number @ FIRST_PROBE_OUTPUT.. => Self::ProbeOutput(number - FIRST_PROBE_OUTPUT),
            service @ FIRST_READY_PIPE.. => {
                Self::PipeOfReadiness(ServiceId::new((service - FIRST_READY_PIPE) as usize))
            }
            service @ FIRST_PROBE.. => Self::Probe(ServiceId::new((service - FIRST_PROBE) as usize)),
            service @ FIRST_MESSAGE.. => Self::Message(ServiceId::new((service - FIRST_MESSAGE) as usize)),
            hook @ FIRST_HOOK_OUTPUT.. => Self::HookOutput(hook - FIRST_HOOK_OUTPUT),
            other => Self::ExecPipe(ServiceId::new((other - FIRST_EXEC_PIPE) as usize)),
        }
    }
}

impl WaitSet {
    /// An empty set.
    ///
    /// # Errors
    /// No descriptors or no memory.
    pub(crate) fn new() -> nix::Result<Self> {
        Ok(Self { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)? })
    }

    /// Waits for something to read.
    pub(crate) fn add_read(&self, descriptor: impl AsFd, ready: Ready) -> nix::Result<()> {
        self.epoll.add(descriptor, EpollEvent::new(EpollFlags::EPOLLIN, ready.token()))
    }

    /// Waits for an exceptional state: a change of a kernel's file that can always be read.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC: nothing left for it.
    pub(crate) fn add_priority(&self, descriptor: impl AsFd, ready: Ready) -> nix::Result<()> {
        self.epoll.add(descriptor, EpollEvent::new(EpollFlags::EPOLLPRI, ready.token()))
    }

    /// Waits for something new to read: once read until nothing is left, it is ready again when more comes.
    pub(crate) fn add_edges(&self, descriptor: impl AsFd, ready: Ready) -> nix::Result<()> {
        self.epoll.add(descriptor, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, ready.token()))
    }

    /// Waits, once, for room to write. EPERM: a regular file, which always has.
    pub(crate) fn add_write(&self, descriptor: impl AsFd, ready: Ready) -> nix::Result<()> {
        self.epoll.add(descriptor, EpollEvent::new(EpollFlags::EPOLLOUT | EpollFlags::EPOLLET, ready.token()))
    }

    /// Waits for room to write, or for the end of a connection that is being made.
    pub(crate) fn add_connection(
        &self,
        descriptor: impl AsFd,
        ready: Ready,
        to_write: bool,
    ) -> nix::Result<()> {
        let flags = if to_write { EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
        self.epoll.add(descriptor, EpollEvent::new(flags, ready.token()))
    }

    /// Waits for something else than before from a descriptor that is in the set. Of its end it tells in any case.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC: nothing left for it.
    pub(crate) fn change(
        &self,
        descriptor: impl AsFd,
        ready: Ready,
        to_read: bool,
        to_write: bool,
    ) -> nix::Result<()> {
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, to_read);
        flags.set(EpollFlags::EPOLLOUT, to_write);
        self.epoll.modify(descriptor, &mut EpollEvent::new(flags, ready.token()))
    }

    /// Waits for nothing more from this descriptor.
    pub(crate) fn remove(&self, descriptor: impl AsFd) {
        // ENOENT or EBADF: it is not in the set any more, which is what was asked.
        let _ = self.epoll.delete(descriptor);
    }

    /// Waits until something is ready, or the time is over; for ever without a time.
    pub(crate) fn wait(&self, time: Option<Duration>) -> Vec<Ready> {
        let timeout = time.map_or(EpollTimeout::NONE, |time| {
            // Rounded up: waking up before a deadline would only mean to wait again.
            let milliseconds = time.as_nanos().div_ceil(1_000_000);
            EpollTimeout::try_from(milliseconds.min(i32::MAX as u128) as i32).unwrap_or(EpollTimeout::MAX)
        });
        let mut events = [EpollEvent::empty(); 64];
        match self.epoll.wait(&mut events, timeout) {
            Ok(count) => events[..count].iter().map(|event| Ready::from_token(event.data())).collect(),
            // Somebody stopped us, and let us go on.
            Err(Errno::EINTR) => Vec::new(),
            Err(errno) => panic!("epoll_wait: {errno}"),
        }
    }
}
