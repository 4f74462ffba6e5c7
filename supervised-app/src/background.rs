//! The work that goes on without a request: orders are processed, and the write-ahead log is kept short.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::database::{Database, DatabaseError};
use crate::log::Log;
use crate::order_store::OrderStore;

/// How often the write-ahead log is moved into the database file.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);

/// The pause after the database reported an error.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The running background tasks.
#[derive(Debug)]
pub struct Background {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    log: Log,
}

/// What the worker needs.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Where the orders are.
    pub database: Database,
    /// Told when an order was stored.
    pub new_order: Arc<Notify>,
    /// How long it takes to process one order.
    pub work_per_order: Duration,
    /// How many orders an earlier run has left.
    pub left_over: u64,
    /// Where to tell of it.
    pub log: Log,
}

impl Background {
    /// Starts the tasks.
    #[must_use]
    pub fn start(worker: Worker) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let log = worker.log;
        tasks.spawn(checkpoint(worker.database.clone(), log, stop.clone()));
        tasks.spawn(worker.process(stop.clone()));
        Self { stop, tasks, log }
    }

    /// Asks the tasks to end; does not wait.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits for the tasks' end, but not past the `deadline`: then they are dropped where they wait.
    pub async fn finish(mut self, deadline: Instant) {
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout_at(deadline, all_ended).await.is_ok() {
            self.log.tell("background tasks ended");
        } else {
            self.log
                .tell(format_args!("the drain limit ran out: {} background tasks dropped", self.tasks.len()));
            self.tasks.shutdown().await;
        }
    }
}

impl Worker {
    /// Processes one order after the other until the stop. The order at hand then simply stays pending: it is in the
    /// database, and the next run takes it up.
    async fn process(mut self, stop: CancellationToken) {
        loop {
            let step = async {
                match self.process_next().await {
                    Ok(true) => {}
                    Ok(false) => self.new_order.notified().await,
                    Err(error) => {
                        self.log.tell(format_args!("cannot process an order: {error}"));
                        sleep(RETRY_PAUSE).await;
                    }
                }
            };
            if stop.run_until_cancelled(step).await.is_none() {
                return;
            }
        }
    }

    /// Processes the oldest pending order; false where there is none.
    async fn process_next(&mut self) -> Result<bool, DatabaseError> {
        let Some(id) = self.database.run(OrderStore::next_pending).await? else {
            return Ok(false);
        };
        // What a real service would do here (reserve the goods, print the label) takes its time.
        sleep(self.work_per_order).await;
        self.database.run(move |store| store.mark_done(id)).await?;
        // The oldest come first, so the left-over ones are through when as many were processed.
        if self.left_over > 0 {
            self.left_over -= 1;
            if self.left_over == 0 {
                self.log.tell("the orders of the last run are processed");
            }
        }
        Ok(true)
    }
}

async fn checkpoint(database: Database, log: Log, stop: CancellationToken) {
    let mut ticks = interval(CHECKPOINT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let keep_short = async {
        loop {
            ticks.tick().await;
            if let Err(error) = database.run(OrderStore::checkpoint).await {
                log.tell(format_args!("cannot shorten the write-ahead log: {error}"));
            }
        }
    };
    // Cancelled between or while waiting; a checkpoint already begun ends on the database's thread.
    let _: Option<()> = stop.run_until_cancelled(keep_short).await;
}
