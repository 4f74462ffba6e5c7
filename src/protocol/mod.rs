//! What is said between curfew and others, as bytes: pure, and apart from the core's own types.

mod announcement;
mod notify_field;
mod notify_message;
mod watchdog_interval;

pub use announcement::{Announcement, LONGEST_STATUS, datagram};
pub use notify_field::NotifyField;
pub use notify_message::{LONGEST_DATAGRAM, NotifyMessage};
pub use watchdog_interval::watchdog_interval;
