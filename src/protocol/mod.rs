//! What is said between curfew and others, as bytes: pure, and apart from the core's own types.

mod announcement;
mod control;
mod notify_field;
mod notify_message;
mod own_unit;
mod passed_sockets;
mod probe_target;
mod time_span;
mod unit_properties;
mod watchdog_interval;

pub use announcement::{Announcement, LONGEST_STATUS, datagram};
pub use control::{
    Answer, CONTROL_FOLDER, CONTROL_VERSION, ControlError, ErrorCode, Rejected, StatusWords, Verb,
    VerbRequest, WatchLevel, WatchedLine, Whom, answer_line, error_line, lagged_line, state_name,
    status_value, usual_control_paths,
};
pub use notify_field::NotifyField;
pub use notify_message::{LONGEST_DATAGRAM, NotifyMessage};
pub use own_unit::OwnUnit;
pub use passed_sockets::{FIRST_PASSED, is_called, names_of_passed};
pub use probe_target::{HttpTarget, ProbeTarget, TargetError, parse_address, parse_http};
pub use time_span::parse_time_span;
pub use unit_properties::UnitProperties;
pub use watchdog_interval::watchdog_interval;
