//! What curfew says: notices become tracing events, events become records, records become lines.

mod collector;
mod foreground;
mod narrator;
mod record;

pub use collector::Collector;
pub use narrator::Narrator;
pub(crate) use narrator::failure_name;
pub(crate) use record::milliseconds;
pub use record::{Level, LineFormat, Record};
