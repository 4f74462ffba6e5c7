//! The sample system that curfew supervises: an orders API and its dashboard, with a load generator and a check
//! that judge a stop. It is also a model of how a service should drain.

pub mod api;
pub mod api_client;
pub mod api_error;
pub mod api_routes;
pub mod background;
pub mod command_line;
pub mod dashboard;
pub mod dashboard_page;
pub mod database;
pub mod log;
pub mod misbehave;
pub mod order;
pub mod order_load;
pub mod order_store;
pub mod outcome;
pub mod program_error;
pub mod server;
pub mod statistics;
pub mod stop_signals;
pub mod traffic;
pub mod verification;
