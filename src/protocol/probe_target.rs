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
    /// `https://`.
    Encrypted,
    /// A user in the address.
    User,
    /// A name, which would have to be looked up; or nothing at all.
    Host,
    /// No port, or one that there is not.
    Port,
    /// A path that is none.
    Path,
    /// A blank, or another character that has no place in an address.
    Character,
}

impl TargetError {
    /// What is wrong, and what to write instead.
    pub const fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::Scheme => ("this is no http:// address", "write http://127.0.0.1:8000/healthz"),
            Self::Encrypted => {
                ("probes speak no TLS", "write http://…, or command = [\"curl\", \"-fsS\", \"https://…\"]")
            }
            Self::User => (
                "a user has no place in it: no password is sent",
                "leave it out, or write command = [\"curl\", \"-fsS\", \"http://…\"]",
            ),
            Self::Host => (
                "the host is neither an IP address nor localhost",
                "write 127.0.0.1, [::1] or localhost: names are not looked up, since that could hold up a stop",
            ),
            Self::Port => ("the port is missing or wrong", "write host:port, the port from 1 to 65535"),
            Self::Path => ("the path is empty", "write unix:/run/x.sock"),
            Self::Character => (
                "a character in it has no place in an address",
                "write a blank or an umlaut as its bytes, such as %20, and leave out what comes from # on",
            ),
        }
    }
}

/// Reads `http://127.0.0.1:8000/healthz`; without a port 80.
///
/// # Errors
/// What is wrong with it.
pub fn parse_http(text: &str) -> Result<HttpTarget, TargetError> {
    let rest = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => return Err(TargetError::Encrypted),
        _ => return Err(TargetError::Scheme),
    };
    if !rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(TargetError::Character);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return Err(TargetError::User);
    }
    let (hosts, port) = split_port(authority)?;
    let addresses = with_port(&hosts, port.unwrap_or(HTTP_PORT));
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(HttpTarget { addresses, host: authority.to_owned(), path, status: None })
}

const HTTP_PORT: u16 = 80;

/// Reads `127.0.0.1:5432`, `[::1]:5432` or `localhost:5432`, which is both.
///
/// # Errors
/// What is wrong with it.
pub fn parse_address(text: &str) -> Result<Vec<SocketAddr>, TargetError> {
    let (hosts, port) = split_port(text)?;
    Ok(with_port(&hosts, port.ok_or(TargetError::Port)?))
}

fn with_port(hosts: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    hosts.iter().map(|host| SocketAddr::new(*host, port)).collect()
}

/// The addresses of a host, and its port if there is one. In `::1:80` nobody can say which part is the port: an IPv6
/// address stands in brackets, and nothing else does.
fn split_port(text: &str) -> Result<(Vec<IpAddr>, Option<u16>), TargetError> {
    let (hosts, rest): (Vec<IpAddr>, _) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((host, rest)) => (vec![IpAddr::V6(host.parse().map_err(|_| TargetError::Host)?)], rest),
        None => {
            let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            let hosts = match host {
                host if host.eq_ignore_ascii_case("localhost") => {
                    vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
                }
                host => vec![IpAddr::V4(host.parse().map_err(|_| TargetError::Host)?)],
            };
            (hosts, rest)
        }
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        None => return Err(TargetError::Host),
        Some(port) => Some(parse_port(port).ok_or(TargetError::Port)?),
    };
    Ok((hosts, port))
}

fn parse_port(text: &str) -> Option<u16> {
    // A sign would be understood too.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port != 0)
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
        assert_eq!(parse_http("HTTP://LocalHost:8000").unwrap().addresses[1], "[::1]:8000".parse().unwrap());
        for (text, error) in [
            ("https://127.0.0.1", TargetError::Encrypted),
            ("ftp://127.0.0.1", TargetError::Scheme),
            ("127.0.0.1:80", TargetError::Scheme),
            ("http://api:8000/", TargetError::Host),
            ("http://", TargetError::Host),
            ("http:///x", TargetError::Host),
            ("http://:80/", TargetError::Host),
            ("http://::1/", TargetError::Host),
            ("http://[127.0.0.1]/", TargetError::Host),
            ("http://[::1]x/", TargetError::Host),
            ("http://[::1", TargetError::Host),
            ("http://127.0.0.1./", TargetError::Host),
            ("http://[fe80::1%eth0]/", TargetError::Host),
            ("http://me@127.0.0.1/", TargetError::User),
            ("http://me:secret@127.0.0.1/", TargetError::User),
            ("http://127.0.0.1/a b", TargetError::Character),
            ("http://127.0.0.1/ä", TargetError::Character),
            ("http://127.0.0.1/#top", TargetError::Character),
            ("http://127.0.0.1/\r\nX: y", TargetError::Character),
            ("http://127.0.0.1:0/", TargetError::Port),
            ("http://127.0.0.1:70000/", TargetError::Port),
            ("http://127.0.0.1:+80/", TargetError::Port),
            ("http://127.0.0.1:80:80/", TargetError::Port),
            ("http://127.0.0.1:/", TargetError::Port),
        ] {
            assert_eq!(parse_http(text), Err(error), "{text}");
        }
        for (text, error) in [
            ("127.0.0.1", TargetError::Port),
            ("127.0.0.1:", TargetError::Port),
            ("127.0.0.1:-1", TargetError::Port),
            ("[::1]", TargetError::Port),
            ("db:5432", TargetError::Host),
            ("5432", TargetError::Host),
            (":5432", TargetError::Host),
            ("::1:5432", TargetError::Host),
            ("", TargetError::Host),
        ] {
            assert_eq!(parse_address(text), Err(error), "{text}");
        }
        assert_eq!(parse_address("[::1]:5432").unwrap(), ["[::1]:5432".parse().unwrap()]);
    }
}
