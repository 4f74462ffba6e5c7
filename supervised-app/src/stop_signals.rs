//! The signals that ask for a stop.

use std::fmt;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::log::Log;

/// A signal that asks for a stop. Both ask for the very same stop; the name is for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM: what a supervisor or a container platform sends.
    Terminate,
    /// SIGINT: what Ctrl-C sends.
    Interrupt,
}

impl fmt::Display for StopSignal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}

/// The handlers of the signals that ask for a stop. Once set up they stay for the life of the process, so that a
/// second signal cannot end a drain early.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Sets up the handlers. Must come before anything that a stop has to clean up.
    pub fn handle() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = self.interrupt.recv() => StopSignal::Interrupt,
        }
    }

    /// From now on only tells of further signals: the stop has begun and takes the time it takes.
    pub fn tell_repeats(mut self, log: Log) {
        tokio::spawn(async move {
            loop {
                let signal = self.next().await;
                log.tell(format_args!("{signal} again, already stopping"));
            }
        });
    }
}
