use std::ffi::CString;
use std::os::fd::RawFd;
use std::sync::OnceLock;

use nix::libc;

use crate::protocol::OwnUnit;

/// What a child says first on a stream of the journal: who it is. Everything it writes behind that is a line of its own
/// there, without passing through curfew.
///
/// Source: systemd's `connect_journal_socket`; systemd.exec(5), `StandardOutput=journal`.
#[derive(Clone, Debug)]
pub(crate) struct JournalStream {
    header: CString,
}

/// The unit of the system's manager that we run in; empty if there is none, or if nobody would believe us. It does not
/// change.
fn unit_of_ours() -> &'static str {
    static UNIT: OnceLock<String> = OnceLock::new();
    UNIT.get_or_init(|| {
        let unit = || OwnUnit::of_cgroup(&std::fs::read_to_string("/proc/self/cgroup").ok()?);
        let is_believed = nix::unistd::geteuid().is_root();
        // A user's unit has another field, which is not told here.
        let unit = is_believed.then(unit).flatten().filter(|unit| !unit.is_of_user);
        unit.map(|unit| unit.name).unwrap_or_default()
    })
}

/// Where the journal listens for streams.
const SOCKET: &[u8] = b"/run/systemd/journal/stdout";

impl JournalStream {
    /// A stream under this identifier.
    pub(crate) fn new(identifier: &str) -> Self {
        // journald looks up the unit of whoever writes when it reads: by then a short one has ended, and has none. What stands
        // here counts instead, if root says it. 6 is `info`, and a line may say otherwise (`<3>…`); no line is passed on to
        // syslog, the kernel or the console.
        let header = format!("{identifier}\n{}\n6\n1\n0\n0\n0\n", unit_of_ours());
        Self { header: CString::new(header).unwrap_or_default() }
    }

    /// Connects, and gives the stream this number. False: there is no journal, or it is stuck; then nothing has changed.
    /// It never waits.
    ///
    /// # Safety
    /// Only in a child just forked: the number's descriptor is replaced. Everything here is async-signal-safe.
    pub(crate) unsafe fn connect(&self, number: RawFd) -> bool {
        // SAFETY: all zeros is a valid address.
        let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        for (place, byte) in address.sun_path.iter_mut().zip(SOCKET) {
            *place = byte.cast_signed();
        }
        let header = self.header.as_bytes();
        // SAFETY: the address and the header are valid for reading, and as long as said; the socket is ours.
        unsafe {
            let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            let socket = libc::socket(libc::AF_UNIX, kind, 0);
            if socket < 0 {
                return false;
            }
            let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
            // EAGAIN: its queue is full, so it is stuck. ENOENT: there is none.
            let is_connected = libc::connect(socket, (&raw const address).cast(), length) == 0
                && libc::write(socket, header.as_ptr().cast(), header.len()) == header.len() as isize
                && libc::shutdown(socket, libc::SHUT_RD) == 0
                // A program does not expect that its output does not wait.
                && libc::fcntl(socket, libc::F_SETFL, 0) == 0
                && libc::dup2(socket, number) == number;
            libc::close(socket);
            is_connected
        }
    }
}
