//! How many requests are in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

/// Counts the requests in flight and knows whether the service drains. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    in_flight: AtomicUsize,
    draining: AtomicBool,
}

impl Traffic {
    /// How many requests have begun and have no answer yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    /// Whether a stop was requested.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::SeqCst)
    }

    /// From now on each answer ends its connection.
    pub fn start_draining(&self) {
        self.shared.draining.store(true, Ordering::SeqCst);
    }

    /// The answer to a health check. A load balancer that asks during the drain learns to look elsewhere.
    #[must_use]
    pub fn health(&self) -> (StatusCode, &'static str) {
        if self.is_draining() {
            (StatusCode::SERVICE_UNAVAILABLE, "draining")
        } else {
            (StatusCode::OK, "ok")
        }
    }

    /// Middleware: counts the request, and tells a client of a draining service not to send another one here.
    pub async fn count(State(traffic): State<Self>, request: Request, next: Next) -> Response {
        let _counted = Counted::new(Arc::clone(&traffic.shared));
        let mut response = next.run(request).await;
        if traffic.is_draining() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// One counted request. Dropped with the request, even when its connection breaks half-way.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: Arc<Shared>) -> Self {
        shared.in_flight.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
