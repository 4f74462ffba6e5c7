//! The load generator: posts orders and counts what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use humantime::parse_duration;
use hyper::StatusCode;
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::api_client::{Answer, ApiAddress, NoAnswer};
use crate::log::{Log, write_line};
use crate::order::NewOrder;
use crate::outcome::Outcome;
use crate::program_error::ProgramError;
use crate::stop_signals::StopSignals;

/// How many orders are posted when nothing is said.
const DEFAULT_COUNT: u64 = 100;

/// How long an answer may take. Longer than any drain worth the name, so that a slow answer is not taken for none.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// The pause after a refusal: a server that is gone should not be hammered.
const REFUSED_PAUSE: Duration = Duration::from_millis(10);

/// The options of the load generator.
#[derive(Debug, Clone, Args)]
pub struct OrderLoadOptions {
    /// Where the API is
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000")]
    pub api: ApiAddress,
    /// How many orders to post in all [default: 100, or without end with --for or --until-refused]
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Post orders for this long
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// End at the first refusal: when the API has stopped
    #[arg(long)]
    pub until_refused: bool,
    /// How many clients post at the same time
    #[arg(long, value_name = "C", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub clients: u16,
}

/// What became of the orders: the one line that the load generator prints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLoadResult {
    /// The ids of those answered with 201: the API has promised to keep them.
    pub acknowledged: Vec<i64>,
    /// Turned away before they were taken: no connection, or 503.
    pub refused: u64,
    /// Unclear: another answer, or none in time.
    pub unknown: u64,
    /// The connection broke with the order under way, without an answer.
    pub dropped: u64,
}

/// What became of one order.
enum Fate {
    Acknowledged(i64),
    Refused,
    Unknown,
    Dropped,
}

#[derive(Deserialize)]
struct Stored {
    id: i64,
}

/// Posts orders until there are enough, the time is over, or a signal comes; then prints the result.
pub async fn run(options: &OrderLoadOptions, log: Log) -> Result<Outcome, ProgramError> {
    let mut signals = StopSignals::handle().map_err(ProgramError::Signals)?;
    let unlimited = options.duration.is_some() || options.until_refused;
    let count = options.count.unwrap_or(if unlimited { u64::MAX } else { DEFAULT_COUNT });
    let load = Arc::new(Load {
        api: options.api.clone(),
        until_refused: options.until_refused,
        left: AtomicU64::new(count),
        acknowledged: AtomicU64::new(0),
        end: CancellationToken::new(),
        log,
    });
    let mut clients: JoinSet<OrderLoadResult> =
        (0..options.clients).map(|_| Arc::clone(&load).post()).collect();
    let ender = load.end.clone();
    let duration = options.duration.unwrap_or(Duration::MAX);
    tokio::spawn(async move {
        tokio::select! {
            () = sleep(duration) => {}
            _ = signals.next() => {}
        }
        ender.cancel();
    });

    let mut result = OrderLoadResult::default();
    while let Some(ended) = clients.join_next().await {
        result.add(ended.unwrap_or_default());
    }
    result.acknowledged.sort_unstable();
    write_line(std::io::stdout(), json(&result));
    Ok(Outcome::Success)
}

/// What the clients share.
struct Load {
    api: ApiAddress,
    until_refused: bool,
    left: AtomicU64,
    acknowledged: AtomicU64,
    end: CancellationToken,
    log: Log,
}

impl Load {
    /// One client: posts one order after the other. An order under way is always waited for.
    async fn post(self: Arc<Self>) -> OrderLoadResult {
        let mut result = OrderLoadResult::default();
        while !self.end.is_cancelled() && self.take_one() {
            match self.post_one().await {
                Fate::Acknowledged(id) => {
                    result.acknowledged.push(id);
                    if self.acknowledged.fetch_add(1, Ordering::Relaxed) == 0 {
                        self.log.warn("first order acknowledged");
                    }
                }
                Fate::Refused => {
                    result.refused += 1;
                    if self.until_refused {
                        self.end.cancel();
                    }
                    sleep(REFUSED_PAUSE).await;
                }
                Fate::Unknown => result.unknown += 1,
                Fate::Dropped => result.dropped += 1,
            }
        }
        result
    }

    /// Takes one of the orders that are left to post.
    fn take_one(&self) -> bool {
        self.left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    async fn post_one(&self) -> Fate {
        let order = NewOrder { item: "load".to_owned(), quantity: 1 };
        match self.api.post("/orders", Bytes::from(json(&order)), ANSWER_LIMIT).await {
            Ok(Answer { status: StatusCode::CREATED, body }) => serde_json::from_slice(&body)
                .map_or(Fate::Unknown, |stored: Stored| Fate::Acknowledged(stored.id)),
            Ok(Answer { status: StatusCode::SERVICE_UNAVAILABLE, .. })
            | Err(NoAnswer::NotConnected { .. }) => Fate::Refused,
            Ok(_) | Err(NoAnswer::TooSlow { .. }) => Fate::Unknown,
            Err(NoAnswer::Broken { .. }) => Fate::Dropped,
        }
    }
}

impl OrderLoadResult {
    fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.dropped += other.dropped;
    }
}

/// Writes numbers, texts and lists as JSON, which cannot fail.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
