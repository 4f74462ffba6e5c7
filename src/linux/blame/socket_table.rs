use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::{Value, json};

use super::json::{number, text};
use super::text::shorten;

/// An open socket of a process, and who is at its other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SocketFacts {
    pub(super) descriptor: i32,
    /// `tcp`, `udp` or `unix`.
    pub(super) protocol: String,
    /// In the words of netstat(8): `ESTABLISHED`, `LISTEN` …
    pub(super) state: String,
    /// Its own address: a path for `unix`, empty if it has none.
    pub(super) local: String,
    /// The other end, if it is connected and can be known.
    pub(super) remote: Option<String>,
    /// Whether the other end called us: our port is one that somebody here listens on.
    pub(super) from_client: bool,
}

impl SocketFacts {
    pub(super) fn value(&self) -> Value {
        json!({
            "fd": self.descriptor,
            "protocol": self.protocol,
            "state": self.state,
            "local": self.local,
            "remote": self.remote,
            "from_client": self.from_client,
        })
    }

    pub(super) fn from_value(value: &Value) -> Option<Self> {
        Some(Self {
            descriptor: number(value, "fd")?,
            protocol: text(value, "protocol")?,
            state: text(value, "state")?,
            local: text(value, "local")?,
            remote: text(value, "remote"),
            from_client: value.get("from_client")?.as_bool()?,
        })
    }
}

impl fmt::Display for SocketFacts {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match (&self.remote, self.state.as_str(), self.local.as_str()) {
            (Some(remote), ..) if self.from_client => write!(formatter, "socket of client {remote}"),
            (Some(remote), ..) => write!(formatter, "socket to {remote}"),
            (None, "LISTEN", local) if !local.is_empty() => write!(formatter, "listening on {local}"),
            (None, _, "") => write!(formatter, "{} socket", self.protocol),
            (None, _, local) => write!(formatter, "{} socket {local}", self.protocol),
        }
    }
}

/// The sockets among `inodes`, which name each socket's descriptors, in one table of `/proc/PID/net`.
pub(super) fn sockets_in(table: &str, protocol: &str, inodes: &HashMap<u64, Vec<i32>>) -> Vec<SocketFacts> {
    if protocol == "unix" {
        let lines = table.lines().filter_map(UnixLine::parse);
        return found(lines.map(|line| (line.inode, line)), inodes, UnixLine::facts);
    }
    let lines: Vec<InternetLine> = table.lines().filter_map(InternetLine::parse).collect();
    let listening: HashSet<u16> =
        lines.iter().filter(|line| line.state == LISTEN).map(|line| line.local.port()).collect();
    found(lines.iter().map(|line| (line.inode, line)), inodes, |line, descriptor| {
        line.facts(protocol, &listening, descriptor)
    })
}

fn found<L>(
    lines: impl Iterator<Item = (u64, L)>,
    inodes: &HashMap<u64, Vec<i32>>,
    facts: impl Fn(&L, i32) -> SocketFacts,
) -> Vec<SocketFacts> {
    let mine = lines.filter_map(|(inode, line)| Some((line, *inodes.get(&inode)?.first()?)));
    mine.map(|(line, descriptor)| facts(&line, descriptor)).collect()
}

const LISTEN: u8 = 10;

/// A line of `tcp`, `tcp6`, `udp` or `udp6`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct InternetLine {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    inode: u64,
}

impl InternetLine {
    /// `0: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000 0 0 INODE …`
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        fields.next()?.strip_suffix(':')?;
        let local = address(fields.next()?)?;
        let remote = address(fields.next()?)?;
        let state = u8::from_str_radix(fields.next()?, 16).ok()?;
        let inode = fields.nth(5)?.parse().ok()?;
        Some(Self { local, remote, state, inode })
    }

    fn facts(&self, protocol: &str, listening: &HashSet<u16>, descriptor: i32) -> SocketFacts {
        let connected = self.remote.port() != 0;
        SocketFacts {
            descriptor,
            protocol: protocol.to_owned(),
            state: state_name(self.state).to_owned(),
            local: self.local.to_string(),
            remote: connected.then(|| self.remote.to_string()),
            from_client: connected && listening.contains(&self.local.port()),
        }
    }
}

/// `0100007F:1F90`: each 32 bits of the address as a number of this machine, the port as a number.
fn address(field: &str) -> Option<SocketAddr> {
    let (address, port) = field.split_once(':')?;
    // Also keeps the slices below from falling into the middle of a character.
    if !address.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |index: usize| {
        let digits = address.get(index * 8..index * 8 + 8)?;
        // The kernel printed the bytes, which are in network order, as if they were one of its own numbers.
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (index, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(index)?);
            }
            // An IPv4 peer of an IPv6 socket is known by its IPv4 address.
            IpAddr::from(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// include/net/tcp_states.h; udp uses the first and the seventh.
const fn state_name(state: u8) -> &'static str {
    match state {
        1 => "ESTABLISHED",
        2 => "SYN_SENT",
        3 => "SYN_RECV",
        4 => "FIN_WAIT1",
        5 => "FIN_WAIT2",
        6 => "TIME_WAIT",
        7 => "CLOSE",
        8 => "CLOSE_WAIT",
        9 => "LAST_ACK",
        LISTEN => "LISTEN",
        11 => "CLOSING",
        _ => "UNKNOWN",
    }
}

/// A line of `unix`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct UnixLine {
    state: &'static str,
    inode: u64,
    path: String,
}

impl UnixLine {
    /// `NUM: REFCOUNT PROTOCOL FLAGS TYPE ST INODE [PATH]`; a path may hold spaces.
    fn parse(line: &str) -> Option<Self> {
        let mut rest = line;
        let mut field = || {
            let trimmed = rest.trim_start();
            let (field, after) = trimmed.split_at(trimmed.find(' ').unwrap_or(trimmed.len()));
            rest = after;
            Some(field).filter(|field| !field.is_empty())
        };
        field()?.strip_suffix(':')?;
        let _references = field()?;
        let _protocol = field()?;
        let flags = u32::from_str_radix(field()?, 16).ok()?;
        let _kind = field()?;
        let state = field()?;
        let inode = field()?.parse().ok()?;
        let state = match (flags & ACCEPTS_CONNECTIONS != 0, state) {
            (true, _) => "LISTEN",
            (false, "03") => "ESTABLISHED",
            (false, "02") => "CONNECTING",
            (false, _) => "UNCONNECTED",
        };
        Some(Self { state, inode, path: shorten(rest.strip_prefix(' ').unwrap_or(""), LONGEST_PATH) })
    }

    fn facts(&self, descriptor: i32) -> SocketFacts {
        SocketFacts {
            descriptor,
            protocol: "unix".to_owned(),
            state: self.state.to_owned(),
            local: self.path.clone(),
            remote: None,
            from_client: false,
        }
    }
}

/// `__SO_ACCEPTCON`.
const ACCEPTS_CONNECTIONS: u32 = 1 << 16;
const LONGEST_PATH: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel of this machine would print it: the table is in its byte order.
    fn hex(bytes: &[u8]) -> String {
        bytes
            .chunks_exact(4)
            .map(|four| format!("{:08X}", u32::from_ne_bytes([four[0], four[1], four[2], four[3]])))
            .collect()
    }

    fn line(local: &str, remote: &str, state: &str, inode: u64) -> String {
        format!(
            "   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000  1000  0 {inode} 1 0 20 4 0\n"
        )
    }

    #[test]
    fn a_connection_has_its_two_ends() {
        let localhost = hex(&[127, 0, 0, 1]);
        let peer = hex(&[10, 0, 0, 7]);
        let table = line(&format!("{localhost}:C001"), &format!("{peer}:1538"), "01", 42);
        let sockets = sockets_in(&table, "tcp", &HashMap::from([(42, vec![5, 9]), (43, vec![6])]));
        assert_eq!(sockets.len(), 1);
        assert_eq!(sockets[0].local, "127.0.0.1:49153");
        assert_eq!(sockets[0].remote.as_deref(), Some("10.0.0.7:5432"));
        assert_eq!((sockets[0].descriptor, sockets[0].state.as_str()), (5, "ESTABLISHED"));
        assert_eq!(sockets[0].to_string(), "socket to 10.0.0.7:5432");
    }

    #[test]
    fn who_called_us_is_a_client() {
        let nobody = hex(&[0; 4]);
        let localhost = hex(&[127, 0, 0, 1]);
        let table = line(&format!("{nobody}:1F90"), &format!("{nobody}:0000"), "0A", 1)
            + &line(&format!("{localhost}:1F90"), &format!("{localhost}:D431"), "01", 2);
        let sockets = sockets_in(&table, "tcp", &HashMap::from([(1, vec![3]), (2, vec![4])]));
        assert_eq!(sockets[0].to_string(), "listening on 0.0.0.0:8080");
        assert!(!sockets[0].from_client);
        assert!(sockets[1].from_client);
        assert_eq!(sockets[1].to_string(), "socket of client 127.0.0.1:54321");
    }

    #[test]
    fn an_ipv6_address_is_put_together_from_four_numbers() {
        let bytes: Ipv6Addr = "2001:db8::1:2".parse().unwrap();
        assert_eq!(
            address(&format!("{}:0050", hex(&bytes.octets()))).unwrap().to_string(),
            "[2001:db8::1:2]:80"
        );
        let mapped: Ipv6Addr = "::ffff:192.0.2.3".parse().unwrap();
        assert_eq!(address(&format!("{}:0050", hex(&mapped.octets()))).unwrap().to_string(), "192.0.2.3:80");
        // As seen on a little-endian machine.
        if cfg!(target_endian = "little") {
            let seen = "B80D0120000000000000000002000100:01BB";
            assert_eq!(address(seen).unwrap().to_string(), "[2001:db8::1:2]:443");
            assert_eq!(address("0100007F:1538").unwrap().to_string(), "127.0.0.1:5432");
        }
    }

    #[test]
    fn malformed_internet_lines_are_left_out() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        for line in [
            head,
            "",
            "0:",
            "0: 0100007F:1F90",
            "0: 01:1 01:1 01 0 0 0 0 0 1",
            "0: ääää:1F90 0100007F:1 01 a b c d e 7",
        ] {
            assert_eq!(InternetLine::parse(line), None, "{line}");
        }
        for field in [
            "",
            ":",
            "0100007F",
            "0100007F:",
            "0100007F:10000",
            "0100007:1",
            "0100007G:1",
            "ääää:1",
            "+100007F:1",
        ] {
            assert_eq!(address(field), None, "{field}");
        }
    }

    #[test]
    fn unix_sockets_have_a_path_or_none() {
        let table = "\
Num       RefCount Protocol Flags    Type St Inode Path
000000006e48e296: 00000003 00000000 00000000 0001 03 1769118
000000007b262165: 00000002 00000000 00010000 0001 01  1769 /run/a b.sock
ffff: 1 2
";
        let sockets = sockets_in(table, "unix", &HashMap::from([(1_769_118, vec![7]), (1769, vec![8])]));
        assert_eq!(sockets.len(), 2);
        assert_eq!(sockets[0].to_string(), "unix socket");
        assert_eq!(sockets[1].to_string(), "listening on /run/a b.sock");
        for facts in sockets {
            assert_eq!(SocketFacts::from_value(&facts.value()), Some(facts));
        }
    }
}
