//! Why a subcommand could not do its work.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a subcommand could not do its work. Each message ends with the cure.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The runtime's threads could not be started.
    #[error("cannot start the threads: {0}; raise the limit of threads (`ulimit -u`)")]
    Runtime(#[source] io::Error),
    /// The handlers of SIGTERM and SIGINT could not be set up.
    #[error("cannot handle SIGTERM and SIGINT: {0}; raise the limit of open files (`ulimit -n`)")]
    Signals(#[source] io::Error),
    /// The address is taken.
    #[error(
        "cannot listen on {0}: address already in use; stop the other program or choose another port with --listen"
    )]
    AddressInUse(SocketAddr),
    /// The port is one of those that only root may use.
    #[error("cannot listen on {0}: permission denied; choose a port of 1024 or higher with --listen")]
    ListenNotPermitted(SocketAddr),
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {address}: {source}; give an address of this machine with --listen")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The database file cannot be used.
    #[error("cannot open the database {}: {source}; give --database a file in a folder that can be written", path.display())]
    OpenDatabase {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file with the acknowledged orders cannot be read.
    #[error("cannot read {}: {source}; give --acknowledged the line that `supervised-app orders` printed", path.display())]
    ReadAcknowledged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// `--leave-daemon` could not leave its daemon.
    #[error("cannot leave a daemon behind: {0}; run without --leave-daemon")]
    LeaveDaemon(#[source] io::Error),
}

impl ProgramError {
    /// The error for an `address` that the system would not let us listen on.
    #[must_use]
    pub fn listen(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse(address),
            io::ErrorKind::PermissionDenied => Self::ListenNotPermitted(address),
            _ => Self::Listen { address, source },
        }
    }
}
