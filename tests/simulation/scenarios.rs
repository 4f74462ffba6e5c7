//! Hand-written scenarios, with exact times. Every checker is on in each.

mod budget;
mod deadline;
mod exit_status;
mod extension;
mod foresight;
mod grace;
mod health;
mod hooks;
mod order;
mod platform;
mod readiness;
mod reload;
mod reload_in_between;
mod restarts;
mod signals;
mod starting;
mod steps;
mod strays;
mod tasks;
mod the_end;
mod watchdog;
mod wishes;
