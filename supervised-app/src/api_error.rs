//! Why the API refuses a request.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::database::DatabaseError;
use crate::order::InvalidOrder;

/// Why the API refuses a request. The client reads the message in `{"error": …}`.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The body is no order at all.
    #[error("{}; send JSON like {{\"item\": \"tea\", \"quantity\": 2}}", .0.body_text())]
    Body(#[from] JsonRejection),
    /// The body is an order that makes no sense.
    #[error(transparent)]
    Order(#[from] InvalidOrder),
    /// The id in the path is no number.
    #[error("{}; ask for a number, as in /orders/1", .0.body_text())]
    Id(#[from] PathRejection),
    /// The query is not understood.
    #[error("{}; ask for a number, as in /orders?limit=10", .0.body_text())]
    Query(#[from] QueryRejection),
    /// There is no such order.
    #[error("there is no order {0}; GET /orders lists those there are")]
    NoSuchOrder(i64),
    /// There is no such page.
    #[error("there is nothing here; try /orders, /stats or /healthz")]
    NoSuchPage,
    /// The database gives no answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

#[derive(Serialize)]
struct Body {
    error: String,
}

impl ApiError {
    /// The HTTP status that fits.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Body(rejection) => rejection.status(),
            Self::Order(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Id(_) | Self::Query(_) => StatusCode::BAD_REQUEST,
            Self::NoSuchOrder(_) | Self::NoSuchPage => StatusCode::NOT_FOUND,
            Self::Database(DatabaseError::Closed) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Database(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status(), Json(Body { error: self.to_string() })).into_response()
    }
}
