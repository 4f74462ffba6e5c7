//! The thin layer over Linux: it performs and observes. No policy, no durations of its own.

mod blame;
mod census;
pub mod clock;
mod delivery;
mod exec_pipe;
mod hooks;
mod inquiries;
mod log_output;
mod notify_receiver;
mod notify_sender;
mod pidfd;
mod platform;
mod proc_file_system;
mod reap;
mod report_file;
mod runtime;
mod service_messages;
mod service_programs;
mod signal_inbox;
mod signal_mask;
mod spawn;
mod start_up;
mod terminal;
mod wait_set;

pub use log_output::{is_written_to_journal, write_plainly};
pub use notify_receiver::{DATAGRAMS_AT_ONCE, Discarded, NotifyReceiver, Received};
pub use notify_sender::{Importance, NotifySender};
pub use report_file::{MayWait, write_report};
pub use runtime::{Listener, Programs, Runtime};
pub use service_programs::ServicePrograms;
pub use signal_mask::{block_all_signals, interruptible};
pub use spawn::Program;
pub use start_up::StartUp;
