use std::fs::{File, OpenOptions};
use std::path::PathBuf;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{Lab, SHARED};

/// A FIFO that a program inside waits at until the test opens it.
pub(crate) struct Gate {
    /// Where it is on this side.
    path: PathBuf,
    /// Where it is inside.
    pub(crate) inside: String,
}

impl Gate {
    /// Lets through whoever waits, or comes while the result lives.
    #[must_use = "it is shut again when this is dropped"]
    pub(crate) fn open(&self) -> File {
        // For both ways: so this does not wait for a reader.
        OpenOptions::new().read(true).write(true).open(&self.path).expect("the FIFO is there")
    }
}

impl Lab {
    /// A gate of this name.
    pub(crate) fn gate(&self, name: &str) -> Gate {
        let path = self.directory().join(name);
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("the shared directory is writable");
        Gate { path, inside: format!("{SHARED}/{name}") }
    }
}
