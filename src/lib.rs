//! curfew: a process supervisor that brings every process down before the platform's SIGKILL.
//!
//! ```text
//! main → run → arguments → config ──► supervisor   decides: pure, no system, no clock
//!         │                               ▲
//!         └──► supervise ──► linux ───────┘          performs and observes: the loop
//!                  │           └──► protocol          what is said to others, as bytes: pure
//!                  └───────► reporter → log, report   says what happened
//!         run → client ──► protocol                   talks to a curfew that runs
//! ```
//!
//! `ARCHITECTURE.md` has the whole picture. The library exists for the binary and for the tests; its interface is not
//! stable.

pub mod arguments;
mod client;
pub mod config;
pub mod error;
pub mod linux;
pub mod log;
mod nearest;
mod programs;
pub mod protocol;
mod reader;
pub mod report;
pub mod reporter;
mod run;
pub mod supervise;
pub mod supervisor;

pub use run::run;
