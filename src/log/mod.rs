//! What curfew says: notices become tracing events, events become records, records become lines.

mod collector;
mod crowd;
mod foreground;
mod journal_entry;
mod message_id;
mod narrator;
mod program_words;
mod record;
mod status_line;

pub use collector::Collector;
pub use crowd::{Crowd, MoreStrays};
pub use message_id::{MESSAGE_IDS, message_id};
pub(crate) use narrator::DEADLINE_IS_ASKED;
pub use narrator::Narrator;
pub use program_words::ProgramWords;
pub(crate) use record::milliseconds;
pub use record::{Level, LineFormat, Record};
pub use status_line::StatusLine;
