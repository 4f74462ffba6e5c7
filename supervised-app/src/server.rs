//! Accepts connections, serves them, and drains them.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::log::Log;
use crate::program_error::ProgramError;
use crate::traffic::Traffic;

/// How long a client that has just connected may take to send its first byte once the service drains. It was let
/// in, so its request is most likely on the way.
const FIRST_BYTE_GRACE: Duration = Duration::from_millis(100);

/// How long a client may take to send the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// The pause after a failed accept, most often for want of file descriptors: trying at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The longest time that is still worth counting; more would overflow the clock.
const LONGEST_DRAIN: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// When a drain that begins now has to be over.
#[must_use]
pub fn drain_deadline(limit: Duration) -> Instant {
    Instant::now() + limit.min(LONGEST_DRAIN)
}

/// An address that is listened on; clients may connect, and wait until they are served.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens on `address`. For port 0 the system chooses a port.
    pub async fn bind(address: SocketAddr) -> Result<Self, ProgramError> {
        let refused = |source| ProgramError::listen(address, source);
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, address })
    }
}

/// A running HTTP server.
#[derive(Debug)]
pub struct Server {
    traffic: Traffic,
    stop: CancellationToken,
    accepting: JoinHandle<JoinSet<()>>,
    log: Log,
}

impl Server {
    /// Starts to serve `routes` to those who connect, and says where.
    #[must_use]
    pub fn start(listener: Listener, routes: Router, traffic: Traffic, log: Log) -> Self {
        let stop = CancellationToken::new();
        let routes = routes.layer(from_fn_with_state(traffic.clone(), Traffic::count));
        let accepting = tokio::spawn(accept(listener.listener, routes, stop.clone(), log));
        log.tell(format_args!("listening on {}", listener.address));
        Self { traffic, stop, accepting, log }
    }

    /// Stops accepting. Requests in flight go on.
    pub async fn stop_accepting(self) -> Drain {
        self.traffic.start_draining();
        self.stop.cancel();
        // The task that accepts fails only if it panicked; then its connections are gone already.
        let connections = self.accepting.await.unwrap_or_default();
        let in_flight = self.traffic.in_flight();
        self.log.tell(format_args!("stopped accepting, {} in flight", requests(in_flight)));
        Drain { traffic: self.traffic, connections, log: self.log }
    }
}

/// The connections of a server that accepts no more.
#[derive(Debug)]
pub struct Drain {
    traffic: Traffic,
    connections: JoinSet<()>,
    log: Log,
}

impl Drain {
    /// Waits until each request has its answer, but not past the `deadline`: then cuts off what is left.
    pub async fn finish(mut self, deadline: Instant) {
        let all_ended = async { while self.connections.join_next().await.is_some() {} };
        if timeout_at(deadline, all_ended).await.is_ok() {
            return;
        }
        self.log.tell(format_args!(
            "the drain limit ran out: {} still in flight, open connections are cut off: {}",
            requests(self.traffic.in_flight()),
            self.connections.len()
        ));
        self.connections.shutdown().await;
    }
}

fn requests(count: usize) -> String {
    if count == 1 { "1 request".to_owned() } else { format!("{count} requests") }
}

/// Takes connections until the stop; returns those that are still open.
async fn accept(listener: TcpListener, routes: Router, stop: CancellationToken, log: Log) -> JoinSet<()> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, routes.clone(), stop.clone()));
                }
                Err(error) => {
                    log.tell(format_args!("cannot accept a connection: {error}"));
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    for stream in waiting_connections(listener) {
        connections.spawn(serve(stream, routes.clone(), stop.clone()));
    }
    connections
}

/// Takes the connections that the kernel has completed but we have not accepted yet, then closes the listener. Their
/// clients believe they are connected; closing right away would reset them. One that is completed between the last
/// accept and the close is still reset: without help from outside (a load balancer that has looked elsewhere, a socket
/// that the supervisor keeps open) that instant cannot be closed.
fn waiting_connections(listener: TcpListener) -> Vec<TcpStream> {
    let mut waiting = Vec::new();
    let Ok(listener) = listener.into_std() else {
        return waiting;
    };
    // Tokio's listeners do not block, so this ends when none is waiting.
    while let Ok((stream, _)) = listener.accept() {
        if stream.set_nonblocking(true).is_ok() {
            waiting.extend(TcpStream::from_std(stream));
        }
    }
    waiting
}

/// Serves one connection until its end; once the stop is requested, until the end of its request.
async fn serve(stream: TcpStream, routes: Router, stop: CancellationToken) {
    // Looking at the first byte is certain, other than the system's word that there is something to read. Its error, if
    // any, comes again when the connection is served.
    let mut first_byte = [0];
    tokio::select! {
        biased;
        _ = stream.peek(&mut first_byte) => {}
        () = stop.cancelled() => {
            if timeout(FIRST_BYTE_GRACE, stream.peek(&mut first_byte)).await.is_err() {
                return;
            }
        }
    }
    // Small answers must not wait for the acknowledgement of the one before; not vital, so an error is no matter.
    let _ = stream.set_nodelay(true);
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
    );
    // The connection is polled first: what has arrived is read, and so in flight, before an idle one is closed.
    // A connection that breaks is the client's affair: its request was not acknowledged.
    tokio::select! {
        biased;
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
