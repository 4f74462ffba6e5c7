//! The orders API: how it starts, and the one path on which it stops.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use humantime::parse_duration;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::api_routes::{ApiState, routes};
use crate::background::{Background, Worker};
use crate::database::Database;
use crate::log::Log;
use crate::misbehave::Misbehaviour;
use crate::order_store::OrderStore;
use crate::outcome::Outcome;
use crate::program_error::ProgramError;
use crate::server::{Listener, Server, drain_deadline};
use crate::traffic::Traffic;

/// The options of the API.
#[derive(Debug, Clone, Args)]
pub struct ApiOptions {
    /// Where to listen; port 0 takes a free one, which the first line tells
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// The database file; created where there is none
    #[arg(long, value_name = "PATH")]
    pub database: PathBuf,
    /// How long a stop may wait for requests in flight and background tasks. Closing the database comes on top (2s at
    /// most)
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    pub drain_limit: Duration,
    /// How long the worker takes to process one order
    #[arg(long, value_name = "DURATION", default_value = "20ms", value_parser = parse_duration)]
    pub work_per_order: Duration,
    /// Faults to switch on
    #[command(flatten)]
    pub misbehaviour: Misbehaviour,
}

/// Runs the API until a stop signal.
pub async fn run(options: &ApiOptions, log: Log) -> Result<Outcome, ProgramError> {
    let misbehaviour = &options.misbehaviour;
    // Signals first: one that comes during the start must lead to a proper stop as well.
    let mut signals = misbehaviour.stop_signals()?;
    let listener = Listener::bind(options.listen).await?;
    let (store, left_over) = open(&options.database)
        .map_err(|source| ProgramError::OpenDatabase { path: options.database.clone(), source })?;
    if left_over > 0 {
        log.tell(format_args!("orders of the last run still to process: {left_over}"));
    }
    let database = Database::start(store)?;
    misbehaviour.at_start(log)?;

    let new_order = Arc::new(Notify::new());
    let background = Background::start(Worker {
        database: database.clone(),
        new_order: Arc::clone(&new_order),
        work_per_order: options.work_per_order,
        left_over,
        log,
    });
    let traffic = Traffic::default();
    let state =
        ApiState { database: database.clone(), new_order, traffic: traffic.clone(), started: Instant::now() };
    let server = Server::start(listener, routes(state), traffic, log);

    let signal = signals.next().await;
    log.tell(format_args!("stop requested ({signal})"));
    signals.tell_repeats(log);
    misbehaviour.at_stop(log).await;

    let deadline = drain_deadline(options.drain_limit);
    // The order matters: no new work, then the work at hand, then what the work needs.
    let drain = server.stop_accepting().await;
    background.stop();
    drain.finish(deadline).await;
    misbehaviour.at_drain(log).await;
    background.finish(deadline).await;
    let outcome = close(&database, log).await;
    log.tell("bye");
    Ok(misbehaviour.at_end(outcome))
}

/// Closes the database. Each acknowledged order was committed before its answer, so all of them are durable however
/// the drain went, and the limit running out is no failure. A database that cannot be closed is: its disk may be
/// broken, and then we cannot vouch for anything.
async fn close(database: &Database, log: Log) -> Outcome {
    match database.close().await {
        Ok(()) => {
            log.tell("database closed");
            Outcome::Success
        }
        Err(error) => {
            log.tell(format_args!("database not closed: {error}"));
            Outcome::Failure
        }
    }
}

/// Opens the database; tells how many orders an earlier run has left. Blocks, so it belongs before the service begins.
fn open(path: &Path) -> rusqlite::Result<(OrderStore, u64)> {
    let mut store = OrderStore::open(path)?;
    let left_over = store.counts()?.pending;
    Ok((store, left_over))
}
