//! The command line, and the way from it to the process's exit status.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::api::{self, ApiOptions};
use crate::dashboard::{self, DashboardOptions};
use crate::log::Log;
use crate::misbehave::DaemonStep;
use crate::order_load::{self, OrderLoadOptions};
use crate::outcome::Outcome;
use crate::program_error::ProgramError;
use crate::verification::{self, VerificationOptions};

/// The sample system that curfew supervises: an orders API and its dashboard. Both stop properly on SIGTERM and
/// SIGINT, unless a switch makes them misbehave.
#[derive(Debug, Parser)]
#[command(name = "supervised-app", version)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take orders over HTTP, store them in SQLite and process them
    Api(ApiOptions),
    /// Show the API's figures on a web page
    Dashboard(DashboardOptions),
    /// Post orders to the API and print, as one line of JSON, what became of them
    Orders(OrderLoadOptions),
    /// Check that each acknowledged order is in the API's database
    Verify(VerificationOptions),
    /// One step of --leave-daemon
    #[command(hide = true)]
    Daemon {
        /// The step.
        step: DaemonStep,
    },
}

impl CommandLine {
    /// Does what the command line asks for.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let log = Log::new(match self.command {
            Command::Api(_) => "api",
            Command::Dashboard(_) => "dashboard",
            Command::Orders(_) => "orders",
            Command::Verify(_) => "verify",
            Command::Daemon { .. } => "daemon",
        });
        let ended = match self.command {
            Command::Api(options) => run_to_end(api::run(&options, log)),
            Command::Dashboard(options) => run_to_end(dashboard::run(&options, log)),
            Command::Orders(options) => run_to_end(order_load::run(&options, log)),
            Command::Verify(options) => verification::run(&options, log),
            Command::Daemon { step } => {
                step.run().map_err(ProgramError::LeaveDaemon).map(|()| Outcome::Success)
            }
        };
        ended
            .unwrap_or_else(|error| {
                log.warn(error);
                Outcome::Failure
            })
            .into()
    }
}

fn run_to_end(service: impl Future<Output = Result<Outcome, ProgramError>>) -> Result<Outcome, ProgramError> {
    let runtime = Runtime::new().map_err(ProgramError::Runtime)?;
    let ended = runtime.block_on(service);
    // What is still blocked now (looking up a host's name, for instance) must not hold up the exit.
    runtime.shutdown_background();
    ended
}
