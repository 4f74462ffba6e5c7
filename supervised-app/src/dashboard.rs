//! The dashboard: one page with the API's figures.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use clap::Args;
use humantime::parse_duration;

use crate::api_client::{ApiAddress, NoAnswer};
use crate::dashboard_page::render;
use crate::log::Log;
use crate::misbehave::Misbehaviour;
use crate::outcome::Outcome;
use crate::program_error::ProgramError;
use crate::server::{Listener, Server, drain_deadline};
use crate::statistics::Statistics;
use crate::traffic::Traffic;

/// How long the API may take to answer. Less than the usual drain limit, so that a slow API does not hold up a stop.
const API_LIMIT: Duration = Duration::from_secs(1);

/// The options of the dashboard.
#[derive(Debug, Clone, Args)]
pub struct DashboardOptions {
    /// Where to listen; port 0 takes a free one, which the first line tells
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8001")]
    pub listen: SocketAddr,
    /// Where the API is
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000")]
    pub api: ApiAddress,
    /// How long a stop may wait for requests in flight
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    pub drain_limit: Duration,
    /// Faults to switch on
    #[command(flatten)]
    pub misbehaviour: Misbehaviour,
}

/// Why there are no figures to show.
#[derive(Debug, thiserror::Error)]
pub enum NoFigures {
    /// The API gives no answer.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The API refuses.
    #[error("the API answers {0}; look into the API's log")]
    Refused(StatusCode),
    /// The answer is something else.
    #[error("the answer is not understood: {0}; check that --api leads to the orders API")]
    NotUnderstood(#[from] serde_json::Error),
}

#[derive(Debug, Clone)]
struct DashboardState {
    api: ApiAddress,
    traffic: Traffic,
}

/// Runs the dashboard until a stop signal.
pub async fn run(options: &DashboardOptions, log: Log) -> Result<Outcome, ProgramError> {
    let misbehaviour = &options.misbehaviour;
    let mut signals = misbehaviour.stop_signals()?;
    let listener = Listener::bind(options.listen).await?;
    misbehaviour.at_start(log)?;
    let traffic = Traffic::default();
    let state = DashboardState { api: options.api.clone(), traffic: traffic.clone() };
    let server = Server::start(listener, routes(state), traffic, log);

    let signal = signals.next().await;
    log.tell(format_args!("stop requested ({signal})"));
    signals.tell_repeats(log);
    misbehaviour.at_stop(log).await;

    let deadline = drain_deadline(options.drain_limit);
    server.stop_accepting().await.finish(deadline).await;
    misbehaviour.at_drain(log).await;
    log.tell("bye");
    Ok(misbehaviour.at_end(Outcome::Success))
}

fn routes(state: DashboardState) -> Router {
    Router::new().route("/", get(page)).route("/healthz", get(health)).with_state(state)
}

/// The page is there even when the API is not: then it says so.
async fn page(State(state): State<DashboardState>) -> impl IntoResponse {
    let figures = figures(&state.api).await;
    ([(header::CACHE_CONTROL, "no-store")], Html(render(&state.api, &figures)))
}

async fn health(State(state): State<DashboardState>) -> (StatusCode, &'static str) {
    state.traffic.health()
}

async fn figures(api: &ApiAddress) -> Result<Statistics, NoFigures> {
    let answer = api.get("/stats", API_LIMIT).await?;
    if answer.status != StatusCode::OK {
        return Err(NoFigures::Refused(answer.status));
    }
    Ok(serde_json::from_slice(&answer.body)?)
}
