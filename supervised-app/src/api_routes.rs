//! The requests that the API answers.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::api_error::ApiError;
use crate::database::Database;
use crate::order::{NewOrder, Order};
use crate::order_store::OrderStore;
use crate::statistics::Statistics;
use crate::traffic::Traffic;

/// The largest body of a request, in bytes. An order is much smaller.
const LARGEST_BODY: usize = 16 * 1024;

/// How many orders a list has when the client does not say.
const DEFAULT_LIMIT: u32 = 100;

/// The longest list.
const LARGEST_LIMIT: u32 = 1000;

/// What the requests work on.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// Where the orders are.
    pub database: Database,
    /// To tell the worker that an order was stored.
    pub new_order: Arc<Notify>,
    /// The requests in flight.
    pub traffic: Traffic,
    /// When this run began.
    pub started: Instant,
}

/// The API's routes.
pub fn routes(state: ApiState) -> Router {
    Router::new()
        .route("/orders", post(add_order).get(list_orders))
        .route("/orders/{id}", get(show_order))
        .route("/stats", get(statistics))
        .route("/healthz", get(health))
        .fallback(async || ApiError::NoSuchPage)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(state)
}

/// The answer to a stored order.
#[derive(Serialize)]
struct Stored {
    id: i64,
}

/// 201 is a promise: it is given after the commit, never before.
async fn add_order(
    State(state): State<ApiState>,
    body: Result<Json<NewOrder>, JsonRejection>,
) -> Result<(StatusCode, Json<Stored>), ApiError> {
    let Json(order) = body?;
    order.validate()?;
    let id = state.database.run(move |store| store.add(&order)).await?;
    state.new_order.notify_one();
    Ok((StatusCode::CREATED, Json(Stored { id })))
}

#[derive(Deserialize)]
struct ListQuery {
    limit: Option<u32>,
}

async fn list_orders(
    State(state): State<ApiState>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Vec<Order>>, ApiError> {
    let Query(query) = query?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(LARGEST_LIMIT);
    Ok(Json(state.database.run(move |store| store.newest(limit)).await?))
}

async fn show_order(
    State(state): State<ApiState>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Json<Order>, ApiError> {
    let Path(id) = id?;
    let order = state.database.run(move |store| store.find(id)).await?;
    order.map(Json).ok_or(ApiError::NoSuchOrder(id))
}

async fn statistics(State(state): State<ApiState>) -> Result<Json<Statistics>, ApiError> {
    let counts = state.database.run(OrderStore::counts).await?;
    Ok(Json(Statistics {
        received: counts.received,
        processed: counts.received.saturating_sub(counts.pending),
        pending: counts.pending,
        uptime_seconds: state.started.elapsed().as_secs(),
        in_flight: state.traffic.in_flight(),
    }))
}

async fn health(State(state): State<ApiState>) -> (StatusCode, &'static str) {
    state.traffic.health()
}
