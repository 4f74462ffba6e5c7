//! What is said on the control socket: requests and answers, each a JSON object on a line of its own.
//!
//! `docs/control-protocol.md` says it for those who write clients.

mod answer;
mod control_error;
mod control_path;
mod request;
mod status_value;
mod watch_level;

pub use answer::{Answer, answer_line, error_line, lagged_line};
pub use control_error::{ControlError, ErrorCode};
pub use control_path::{CONTROL_FOLDER, usual_control_paths};
pub use request::{Rejected, Verb, VerbRequest, Whom};
pub use status_value::{StatusWords, state_name, status_value};
pub use watch_level::{WatchLevel, WatchedLine};

/// The version of the protocol. What is only added leaves it as it is.
pub const CONTROL_VERSION: u64 = 1;
