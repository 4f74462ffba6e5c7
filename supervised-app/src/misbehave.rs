//! Faults to switch on, so that what curfew protects from can be seen. A good service has nothing of the kind.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;
use humantime::{format_duration, parse_duration};
use nix::sys::signal::{SigHandler, Signal, signal};
use tokio::time::sleep;

use crate::log::Log;
use crate::outcome::Outcome;
use crate::program_error::ProgramError;
use crate::stop_signals::{StopSignal, StopSignals};

/// The switches, for the API and the dashboard alike. Without any of them the service behaves.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Misbehaviour")]
pub struct Misbehaviour {
    /// Ignore SIGTERM and SIGINT wholly. Imitates a shell script as the container's first process, which never passes
    /// the signal on, or a library that has taken the signals over: only SIGKILL ends the process
    #[arg(long)]
    pub ignore_term: bool,
    /// Let the drain take this long, whatever the drain limit. Imitates long downloads, or a batch job that must come
    /// to its end
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub drain_slowly: Option<Duration>,
    /// At the stop signal let a thread block for ever, so that the process never exits. Imitates a Flask server thread
    /// that never returns, or a deadlock in a clean-up handler
    #[arg(long)]
    pub hang: bool,
    /// Stop properly, but with this exit status. Imitates Java (143), Node (1) and others that report a stop they were
    /// asked for as a failure
    #[arg(long, value_name = "CODE")]
    pub exit_with: Option<u8>,
    /// Abort after this time. Imitates a crash: a segmentation fault, a failed assertion, the memory limit
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub crash_after: Option<Duration>,
    /// Leave a daemon behind: a double-forked process in a session of its own, which only sleeps. Imitates helpers that
    /// outlive their parent: build daemons, browsers, tunnels
    #[arg(long)]
    pub leave_daemon: bool,
}

impl Misbehaviour {
    /// What goes wrong at the start.
    pub fn at_start(&self, log: Log) -> Result<(), ProgramError> {
        if self.leave_daemon {
            let pid = leave_daemon().map_err(ProgramError::LeaveDaemon)?;
            log.tell(format_args!("misbehaving: left a daemon behind, pid {pid}"));
        }
        if let Some(delay) = self.crash_after {
            tokio::spawn(async move {
                sleep(delay).await;
                log.tell(format_args!("misbehaving: crashing after {}", format_duration(delay)));
                std::process::abort();
            });
        }
        Ok(())
    }

    /// Handles the stop signals, or does not.
    pub fn stop_signals(&self) -> Result<MaybeStopSignals, ProgramError> {
        if !self.ignore_term {
            return StopSignals::handle().map(MaybeStopSignals::Handled).map_err(ProgramError::Signals);
        }
        for ignored in [Signal::SIGTERM, Signal::SIGINT] {
            // SAFETY: SIG_IGN runs no code of ours, and no handler that it replaces was set by this process.
            unsafe { signal(ignored, SigHandler::SigIgn) }
                .map_err(|error| ProgramError::Signals(io::Error::from(error)))?;
        }
        Ok(MaybeStopSignals::Ignored)
    }

    /// What goes wrong as soon as the stop is requested.
    pub async fn at_stop(&self, log: Log) {
        if self.hang {
            log.tell("misbehaving: a thread never returns");
            // The result is waited for in vain.
            let _: Result<(), _> = tokio::task::spawn_blocking(|| {
                loop {
                    std::thread::park();
                }
            })
            .await;
        }
    }

    /// What goes wrong during the drain.
    pub async fn at_drain(&self, log: Log) {
        if let Some(delay) = self.drain_slowly {
            log.tell(format_args!("misbehaving: draining for {}", format_duration(delay)));
            sleep(delay).await;
        }
    }

    /// How the process ends, where it should have ended with `outcome`.
    #[must_use]
    pub fn at_end(&self, outcome: Outcome) -> Outcome {
        self.exit_with.map_or(outcome, Outcome::Status)
    }
}

/// The stop signals, unless they are ignored.
#[derive(Debug)]
pub enum MaybeStopSignals {
    /// As it should be.
    Handled(StopSignals),
    /// With `--ignore-term`.
    Ignored,
}

impl MaybeStopSignals {
    /// Waits for a stop signal, for ever where they are ignored.
    pub async fn next(&mut self) -> StopSignal {
        match self {
            Self::Handled(signals) => signals.next().await,
            Self::Ignored => std::future::pending().await,
        }
    }

    /// From now on only tells of further signals.
    pub fn tell_repeats(self, log: Log) {
        if let Self::Handled(signals) = self {
            signals.tell_repeats(log);
        }
    }
}

/// The two steps of becoming a daemon, each a process of its own: started from scratch, for a fork of a process with
/// threads is not safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DaemonStep {
    /// Takes a new session, starts the second step, prints its pid and ends.
    Leave,
    /// Sleeps. Its parent has ended, so it belongs to init (or to a subreaper) now.
    Sleep,
}

impl DaemonStep {
    /// Does the step.
    pub fn run(self) -> io::Result<()> {
        match self {
            Self::Leave => {
                nix::unistd::setsid()?;
                println_pid(
                    own_command(Self::Sleep)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?.id(),
                );
                Ok(())
            }
            Self::Sleep => loop {
                std::thread::park();
            },
        }
    }
}

fn println_pid(pid: u32) {
    crate::log::write_line(io::stdout(), pid);
}

fn own_command(step: DaemonStep) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("daemon").arg(match step {
        DaemonStep::Leave => "leave",
        DaemonStep::Sleep => "sleep",
    });
    command.stdin(Stdio::null());
    Ok(command)
}

fn leave_daemon() -> io::Result<String> {
    let left = own_command(DaemonStep::Leave)?.stderr(Stdio::inherit()).output()?;
    if left.status.success() {
        Ok(String::from_utf8_lossy(&left.stdout).trim().to_owned())
    } else {
        Err(io::Error::other(format!("the process in between ended with {}", left.status)))
    }
}
