//! A small HTTP client: one request on one connection.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Where the API is, as `http://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiAddress {
    host_and_port: String,
}

/// Why a text is not the API's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not the address of an API; write it like http://127.0.0.1:8000")]
pub struct InvalidApiAddress;

impl FromStr for ApiAddress {
    type Err = InvalidApiAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.parse().map_err(|_| InvalidApiAddress)?;
        let authority = uri.authority().ok_or(InvalidApiAddress)?;
        let plain = uri.path() == "/" && uri.query().is_none() && !authority.as_str().contains('@');
        if uri.scheme_str() != Some("http") || !plain {
            return Err(InvalidApiAddress);
        }
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self { host_and_port: format!("{}:{port}", authority.host()) })
    }
}

impl fmt::Display for ApiAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}", self.host_and_port)
    }
}

/// An answer of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer. What the API made of the request differs: see each variant.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// There was no connection, so the API has not seen the request.
    #[error("cannot connect to {address}: {source}; start the API there, or give its address with --api")]
    NotConnected {
        /// The address.
        address: ApiAddress,
        /// What the system says.
        source: io::Error,
    },
    /// The connection broke with the request under way.
    #[error("the connection to {address} broke: {source}; look into the API's log")]
    Broken {
        /// The address.
        address: ApiAddress,
        /// What the HTTP client says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer did not come in time; the API may still work on it.
    #[error("no answer from {address} within {}; look into the API's log", humantime::format_duration(*.limit))]
    TooSlow {
        /// The address.
        address: ApiAddress,
        /// The time that was waited.
        limit: Duration,
    },
}

impl ApiAddress {
    /// Asks for `path`.
    pub async fn get(&self, path: &str, limit: Duration) -> Result<Answer, NoAnswer> {
        self.send(Method::GET, path, Bytes::new(), limit).await
    }

    /// Sends JSON to `path`.
    pub async fn post(&self, path: &str, json: Bytes, limit: Duration) -> Result<Answer, NoAnswer> {
        self.send(Method::POST, path, json, limit).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        json: Bytes,
        limit: Duration,
    ) -> Result<Answer, NoAnswer> {
        let exchange = async {
            let stream = TcpStream::connect(&self.host_and_port)
                .await
                .map_err(|source| NoAnswer::NotConnected { address: self.clone(), source })?;
            self.exchange(stream, method, path, json)
                .await
                .map_err(|source| NoAnswer::Broken { address: self.clone(), source })
        };
        timeout(limit, exchange).await.map_err(|_| NoAnswer::TooSlow { address: self.clone(), limit })?
    }

    async fn exchange(
        &self,
        stream: TcpStream,
        method: Method,
        path: &str,
        json: Bytes,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the exchange; its error reaches us through the answer.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host_and_port)
            .header(CONNECTION, "close")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(json))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await?.to_bytes();
        Ok(Answer { status, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_scheme_host_and_port() {
        let read = |text: &str| text.parse::<ApiAddress>().map(|address| address.to_string());
        assert_eq!(read("http://127.0.0.1:8000").as_deref(), Ok("http://127.0.0.1:8000"));
        assert_eq!(read("http://api/").as_deref(), Ok("http://api:80"));
        assert_eq!(read("http://[::1]:8000").as_deref(), Ok("http://[::1]:8000"));
        for wrong in
            ["", "127.0.0.1:8000", "https://api:8000", "http://api/stats", "http://me@api", "http://"]
        {
            assert_eq!(read(wrong), Err(InvalidApiAddress), "{wrong}");
        }
    }
}
