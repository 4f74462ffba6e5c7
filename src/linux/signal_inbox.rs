use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::libc;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::raw::WithRawSiginfo;

use super::terminal::has_controlling_terminal;
use crate::supervisor::{Sender, Signal};

/// The signals that curfew received, with their senders.
///
/// A self-pipe, not a signalfd: it needs no signal mask, which children would inherit.
pub(crate) struct SignalInbox {
    delivery: SignalDelivery<UnixStream, WithRawSiginfo>,
    /// Whether a terminal controlled us at the beginning.
    had_terminal: bool,
}

impl SignalInbox {
    /// Installs handlers for every signal that can be handled, but for those in `leave_alone`.
    ///
    /// # Errors
    /// No descriptors or no memory.
    pub(crate) fn open(leave_alone: &[Signal]) -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let signals = Signal::all()
            .filter(|signal| {
                !is_fault(*signal) && !is_ignored_by_us(*signal) && !leave_alone.contains(signal)
            })
            .map(Signal::number);
        let delivery = SignalDelivery::with_pipe(read, write, WithRawSiginfo, signals)?;
        for signal in Signal::all().filter(|signal| is_ignored_by_us(*signal)) {
            // SAFETY: SIG_IGN is a valid disposition, and no handler of ours is replaced.
            unsafe { libc::signal(signal.number(), libc::SIG_IGN) };
        }
        Ok(Self { delivery, had_terminal: has_controlling_terminal() })
    }

    /// Takes what has come; each with its sender. Several of the same signal may have become one.
    pub(crate) fn take(&mut self) -> Vec<(Signal, Sender)> {
        let had_terminal = self.had_terminal;
        let hung_up = || had_terminal && !has_controlling_terminal();
        self.delivery
            .pending()
            .filter_map(|information| {
                let signal = Signal::from_number(information.si_signo)?;
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
        self.delivery.get_read().as_fd()
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

fn sender(information: &libc::siginfo_t) -> Sender {
    match information.si_code {
        // The kernel's own: for the signals we care for, a key or the hang-up of the terminal.
        0x80 => Sender::Terminal,
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => {
            // SAFETY: for these codes the kernel has filled in the sender's pid and uid.
            let (pid, uid) = unsafe { (information.si_pid(), information.si_uid()) };
            Sender::Process { pid, uid }
        }
        _ => Sender::Unknown,
    }
}
