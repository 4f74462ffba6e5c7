use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket};

/// The journal's socket for entries with fields.
///
/// Source: systemd's "Native Journal Protocol".
pub struct Journal {
    socket: OwnedFd,
    /// The field that names our unit, if we are in one.
    unit: String,
}

/// Where the journal listens for entries.
const SOCKET: &str = "/run/systemd/journal/socket";

impl Journal {
    /// The way to the journal; `None`: there is none.
    pub fn open() -> Option<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None).ok()?;
        let unit = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| unit_field(&text));
        let journal = Self { socket, unit: unit.unwrap_or_default() };
        journal.connect().ok()?;
        Some(journal)
    }

    fn connect(&self) -> nix::Result<()> {
        connect(self.socket.as_raw_fd(), &UnixAddr::new(SOCKET)?)
    }

    /// Sends an entry, whole or not at all, without waiting.
    ///
    /// # Errors
    /// EAGAIN: the journal does not keep up. EMSGSIZE: too long, which none of ours is. Others: there is none any more.
    pub(crate) fn send(&self, entry: &[u8]) -> nix::Result<usize> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let entry = &[entry, self.unit.as_bytes()].concat();
        match send(self.socket.as_raw_fd(), entry, flags) {
            // Its socket was made anew: a connection leads to the old one.
            Err(Errno::ECONNREFUSED | Errno::ENOTCONN | Errno::ECONNRESET) => {
                self.connect()?;
                send(self.socket.as_raw_fd(), entry, flags)
            }
            other => other,
        }
    }
}

impl AsFd for Journal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The field by which `journalctl --unit` finds an entry even when the journal reads it after our end: by then it cannot
/// look up any more whose process we were. It believes the field if it is from root, or from the unit's own user.
///
/// Source: systemd's `add_matches_for_unit` and `add_matches_for_user_unit`.
fn unit_field(cgroup: &str) -> Option<String> {
    let hierarchies = ["0::", "1:name=systemd:"];
    let path =
        hierarchies.iter().find_map(|start| cgroup.lines().find_map(|line| line.strip_prefix(start)))?;
    let is_unit = |name: &&str| name.ends_with(".service") || name.ends_with(".scope");
    let unit = path.split('/').rfind(is_unit)?;
    let is_users = path.contains("/user@") && !unit.starts_with("user@");
    Some(format!("OBJECT_SYSTEMD_{}UNIT={unit}\n", if is_users { "USER_" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_last_of_the_path() {
        let of = |path: &str| unit_field(&format!("4:memory:/a.service\n0::{path}\n"));
        assert_eq!(of("/system.slice/api.service").as_deref(), Some("OBJECT_SYSTEMD_UNIT=api.service\n"));
        assert_eq!(
            of("/system.slice/api.service/curfew").as_deref(),
            Some("OBJECT_SYSTEMD_UNIT=api.service\n")
        );
        let user = "/user.slice/user-7.slice/user@7.service/app.slice/api.service";
        assert_eq!(of(user).as_deref(), Some("OBJECT_SYSTEMD_USER_UNIT=api.service\n"));
        assert_eq!(of("/"), None);
        assert_eq!(unit_field(""), None);
    }
}
