use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// What a probe looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeTarget {
    /// An HTTP server: a GET must be answered with a status of success.
    Http(HttpTarget),
    /// Something that accepts connections.
    Tcp(Vec<SocketAddr>),
    /// Something that accepts connections on a Unix socket.
    Unix(PathBuf),
    /// A file that must be there.
    File(PathBuf),
    /// A command that must end with 0.
    Command(Vec<OsString>),
}

/// A page of an HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    /// Where the server listens: tried in this order. `localhost` is two addresses.
    pub addresses: Vec<SocketAddr>,
    /// The server as it is called in the request.
    pub host: String,
    /// The path, with what follows it.
    pub path: String,
    /// The status that is success; `None`: 200 to 399.
    pub status: Option<u16>,
}

/// Why a text is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// Not `http://`.
    Scheme,
    /// A name, which would have to be looked up; or nothing at all.
    Host,
    /// No port, or one that there is not.
    Port,
    /// A user in the address, a blank, or another character that has no place in it.
    Character,
}

impl TargetError {
    /// What is wrong, and what to write instead.
    pub const fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::Scheme => ("this is no http:// address", "write http://127.0.0.1:8000/healthz"),
            Self::Host => (
                "the host is neither an IP address nor localhost",
                "write 127.0.0.1, [::1] or localhost: names are not looked up, since that could hold up a stop",
            ),
            Self::Port => ("the port is missing or wrong", "write host:port, the port from 1 to 65535"),
            Self::Character => {
                ("a character in it has no place in an address", "write http://127.0.0.1:8000/healthz")
            }
        }
    }
}

/// Reads `http://127.0.0.1:8000/healthz`; without a port 80.
///
/// # Errors
/// What is wrong with it.
pub fn parse_http(text: &str) -> Result<HttpTarget, TargetError> {
    let rest = text.strip_prefix("http://").ok_or(TargetError::Scheme)?;
    if rest.contains(|character: char| {
        character.is_whitespace() || character.is_control() || !character.is_ascii()
    }) {
        return Err(TargetError::Character);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    if host.contains('@') || path.contains('#') {
        return Err(TargetError::Character);
    }
    let addresses = parse_address(host).or_else(|error| match error {
        TargetError::Port if !host.ends_with(':') && !has_port(host) => parse_address(&format!("{host}:80")),
        other => Err(other),
    })?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(HttpTarget { addresses, host: host.to_owned(), path, status: None })
}

fn has_port(host: &str) -> bool {
    match host.rsplit_once(']') {
        Some((_, rest)) => rest.contains(':'),
        None => host.contains(':'),
    }
}

/// Reads `127.0.0.1:5432`, `[::1]:5432` or `localhost:5432`, which is both.
///
/// # Errors
/// What is wrong with it.
pub fn parse_address(text: &str) -> Result<Vec<SocketAddr>, TargetError> {
    let (host, port) = if has_port(text) {
        let (host, port) = text.rsplit_once(':').ok_or(TargetError::Port)?;
        (host, port.parse().ok().filter(|port| *port != 0))
    } else {
        (text, None)
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let hosts: Vec<IpAddr> = match host {
        "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        other => vec![other.parse().map_err(|_| TargetError::Host)?],
    };
    let port: u16 = port.ok_or(TargetError::Port)?;
    Ok(hosts.into_iter().map(|host| SocketAddr::new(host, port)).collect())
}

impl fmt::Display for ProbeTarget {
    /// In a few words.
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Http(target) => write!(formatter, "http://{}{}", target.host, target.path),
            Self::Tcp(addresses) => match addresses.first() {
                Some(address) => write!(formatter, "tcp {address}"),
                None => formatter.write_str("tcp"),
            },
            Self::Unix(path) => write!(formatter, "socket {}", path.display()),
            Self::File(path) => write!(formatter, "file {}", path.display()),
            Self::Command(command) => {
                write!(
                    formatter,
                    "command {}",
                    command.first().map(|word| word.to_string_lossy()).unwrap_or_default()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_without_looking_up_names() {
        let target = parse_http("http://127.0.0.1:8000/healthz?x=1").unwrap();
        assert_eq!((target.host.as_str(), target.path.as_str()), ("127.0.0.1:8000", "/healthz?x=1"));
        assert_eq!(target.addresses, ["127.0.0.1:8000".parse().unwrap()]);
        assert_eq!(parse_http("http://[::1]/").unwrap().addresses, ["[::1]:80".parse().unwrap()]);
        assert_eq!(parse_http("http://localhost").unwrap().addresses.len(), 2);
        assert_eq!(parse_http("http://localhost").unwrap().path, "/");
        assert_eq!(parse_http("http://127.0.0.1?a").unwrap().path, "/?a");
        for (text, error) in [
            ("https://127.0.0.1", TargetError::Scheme),
            ("127.0.0.1:80", TargetError::Scheme),
            ("http://api:8000/", TargetError::Host),
            ("http://", TargetError::Host),
            ("http://me@127.0.0.1/", TargetError::Character),
            ("http://127.0.0.1/a b", TargetError::Character),
            ("http://127.0.0.1/\r\nX: y", TargetError::Character),
            ("http://127.0.0.1:0/", TargetError::Port),
            ("http://127.0.0.1:70000/", TargetError::Port),
            ("http://127.0.0.1:/", TargetError::Port),
        ] {
            assert_eq!(parse_http(text), Err(error), "{text}");
        }
        assert_eq!(parse_address("127.0.0.1"), Err(TargetError::Port));
        assert_eq!(parse_address("db:5432"), Err(TargetError::Host));
        assert_eq!(parse_address("[::1]:5432").unwrap(), ["[::1]:5432".parse().unwrap()]);
    }
}
