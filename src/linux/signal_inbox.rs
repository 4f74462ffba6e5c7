use std::os::fd::{AsFd, BorrowedFd};

use nix::libc;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};

use super::signal_mask::block;
use super::terminal::has_controlling_terminal;
use crate::supervisor::{Sender, Signal};

/// The signals that curfew received, with their senders.
///
/// They stay blocked, and the kernel keeps them until they are read: none interrupts anything, none is lost for want of
/// room, and a process that is forked has no handler of curfew's to run. Whatever is executed gets an empty mask.
pub(crate) struct SignalInbox {
    signals: SignalFd,
    /// Whether a terminal controlled us at the beginning.
    had_terminal: bool,
}

/// How many are taken at once: a storm of them leaves time for everything else. The kernel gives those with low numbers
/// first, which are all that stop curfew but for real-time ones.
const AT_ONCE: usize = 64;

impl SignalInbox {
    /// Receives every signal that can be received, but for those in `leave_alone`; lets the others through.
    ///
    /// # Errors
    /// No descriptors or no memory.
    pub(crate) fn open(leave_alone: &[Signal]) -> nix::Result<Self> {
        let is_received = |signal: &Signal| {
            !is_fault(*signal) && !is_ignored_by_us(*signal) && !leave_alone.contains(signal)
        };
        let received = set_of(Signal::all().filter(is_received));
        let signals = SignalFd::with_flags(&received, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        for signal in Signal::all().filter(|signal| is_ignored_by_us(*signal)) {
            // SAFETY: SIG_IGN is a valid disposition, and no handler of ours is replaced.
            unsafe { libc::signal(signal.number(), libc::SIG_IGN) };
        }
        block(&received);
        Ok(Self { signals, had_terminal: has_controlling_terminal() })
    }

    /// Takes what has come; each with its sender. Several of the same signal may have become one.
    pub(crate) fn take(&mut self) -> Vec<(Signal, Sender)> {
        let had_terminal = self.had_terminal;
        let hung_up = || had_terminal && !has_controlling_terminal();
        // Nothing but EAGAIN can be told: the descriptor is ours, and what is read into is large enough.
        let received = std::iter::from_fn(|| self.signals.read_signal().ok().flatten());
        received
            .take(AT_ONCE)
            .filter_map(|information| {
                let signal = Signal::from_number(information.ssi_signo.cast_signed())?;
                // A shell whose window is closed passes on what the kernel told it, and its signal comes before the
                // kernel's own, or in its place.
                let sender = match sender(&information) {
                    Sender::Process { .. } if signal == Signal::HUP && hung_up() => Sender::Terminal,
                    sender => sender,
                };
                Some((signal, sender))
            })
            .collect()
    }
}

impl AsFd for SignalInbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

fn set_of(signals: impl Iterator<Item = Signal>) -> SigSet {
    // SAFETY: the set is valid for writing, every number is one of a signal, and what results is a set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, signal.number());
        }
        SigSet::from_sigset_t_unchecked(set)
    }
}

/// Faults of the program itself, and what cannot be handled.
fn is_fault(signal: Signal) -> bool {
    matches!(
        signal.number(),
        libc::SIGKILL | libc::SIGSTOP | libc::SIGILL | libc::SIGFPE | libc::SIGSEGV | libc::SIGBUS
    )
}

/// A write to a pipe without a reader, to a terminal from the background, or past the limit of a file's size, is an
/// error we look at, or none at all. It is ours, and nobody else's: such a signal is not forwarded.
fn is_ignored_by_us(signal: Signal) -> bool {
    matches!(signal, Signal::PIPE | Signal::TTIN | Signal::TTOU) || signal.number() == libc::SIGXFSZ
}

fn sender(information: &siginfo) -> Sender {
    match information.ssi_code {
        // The kernel's own: for the signals we care for, a key or the hang-up of the terminal.
        0x80 => Sender::Terminal,
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => {
            Sender::Process { pid: information.ssi_pid.cast_signed(), uid: information.ssi_uid }
        }
        _ => Sender::Unknown,
    }
}
