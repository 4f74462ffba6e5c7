//! The figures of the API.

use serde::{Deserialize, Serialize};

/// What `GET /stats` answers and the dashboard shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// All orders ever stored.
    pub received: u64,
    /// Those of them that are processed.
    pub processed: u64,
    /// Those of them that are not.
    pub pending: u64,
    /// How long this run of the API has lasted.
    pub uptime_seconds: u64,
    /// Requests that have no answer yet, the one for these figures included.
    pub in_flight: usize,
}
