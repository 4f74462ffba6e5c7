use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;

use super::super::outlet::Outlet;
use super::super::wait_set::{Ready, WaitSet};
use super::stream_id::StreamId;

/// Where lines go that curfew carries: one of its own streams, or a file.
///
/// It holds at most one batch that is not written yet. Until that is, nothing more is taken from the services: their
/// pipes fill up, and it is they who wait for a slow reader.
pub(crate) struct Sink {
    target: Target,
    outlet: Outlet,
    /// A batch, and how much of it is written.
    batch: Vec<u8>,
    written: usize,
    /// How many carriers write here.
    pub(crate) writers: usize,
    /// What wants to write here when there is room.
    pub(crate) waiting: VecDeque<StreamId>,
    /// The outlet is in the wait set.
    is_watched: bool,
    /// What went before did not end with a newline.
    is_mid_line: bool,
    /// The bytes that were lost since it last worked.
    lost: u64,
}

/// What a sink is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// One of curfew's own streams.
    Own(Stream),
    /// A file.
    File(PathBuf),
}

/// One of the two streams that a process writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Who may read a new file: its owner and group. What services say is not for everybody.
const FILE_MODE: u32 = 0o640;

impl Stream {
    /// Its name, as JSON lines and messages say it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Output => "stdout",
            Self::Error => "stderr",
        }
    }
}

impl Sink {
    /// One of curfew's own streams, which it shares with others.
    pub(crate) fn of_stream(stream: Stream) -> Self {
        let outlet = match stream {
            Stream::Output => Outlet::of_stream(io::stdout().as_fd()),
            Stream::Error => Outlet::of_stream(io::stderr().as_fd()),
        };
        Self::new(Target::Own(stream), outlet)
    }

    /// A file, made if it is not there.
    ///
    /// # Errors
    /// What open(2) says.
    pub(crate) fn of_file(path: &Path) -> io::Result<Self> {
        Ok(Self::new(Target::File(path.to_owned()), Outlet::of_own(open(path)?)))
    }

    fn new(target: Target, outlet: Outlet) -> Self {
        Self {
            target,
            outlet,
            batch: Vec::new(),
            written: 0,
            writers: 0,
            waiting: VecDeque::new(),
            is_watched: false,
            is_mid_line: false,
            lost: 0,
        }
    }

    /// What it is.
    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }

    /// Whether what was written last is no whole line.
    pub(crate) const fn is_mid_line(&self) -> bool {
        self.is_mid_line
    }

    /// Whether everything is written, and another batch may come.
    pub(crate) const fn is_free(&self) -> bool {
        self.batch.is_empty()
    }

    /// Whether somebody writes here, or something is still to be written. Curfew's own streams stay.
    pub(crate) const fn is_needed(&self) -> bool {
        self.writers > 0 || !self.is_free() || matches!(self.target, Target::Own(_))
    }

    /// Writes what can be written now, and keeps the rest. The sink must be free.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        debug_assert!(self.is_free(), "one batch after the other");
        // A line that was torn by a full disk is ended before the next one begins.
        if self.lost > 0 && self.is_mid_line && self.write_now(b"\n") == 0 {
            self.batch.push(b'\n');
            self.batch.extend_from_slice(bytes);
            return;
        }
        let written = self.write_batch(bytes);
        self.batch.extend_from_slice(&bytes[written..]);
    }

    /// Goes on with the batch that is not written yet. Returns whether the sink is free.
    pub(crate) fn flush(&mut self) -> bool {
        if !self.is_free() {
            let batch = std::mem::take(&mut self.batch);
            self.written += self.write_batch(&batch[self.written..]);
            if self.written < batch.len() {
                self.batch = batch;
            } else {
                self.written = 0;
            }
        }
        self.is_free()
    }

    /// Wakes the loop when there is room again.
    pub(crate) fn watch(&mut self, wait_set: &WaitSet) {
        if !self.is_watched
            && let Some(descriptor) = self.outlet.waits_on()
        {
            // Edge-triggered and left in the set: it wakes us when there is room again, and never otherwise.
            self.is_watched = wait_set.add_write(descriptor, Ready::OutputRoom).is_ok();
        }
    }

    /// See [`Outlet::wait_for_room`].
    pub(crate) fn wait_for_room(&self, milliseconds: u16) -> bool {
        self.outlet.wait_for_room(milliseconds)
    }

    /// Gives up the batch that is not written yet, and tells what was lost.
    pub(crate) fn give_up(&mut self) {
        let left = self.batch.len() - self.written;
        (self.batch, self.written) = (Vec::new(), 0);
        if left > 0 {
            self.lose(left, Some("nobody read it in time"));
        }
    }

    /// Opens the file anew, whatever now has its name; the old one stays if that fails. Nothing is half written: a file
    /// always has whole lines.
    pub(crate) fn reopen(&mut self, wait_set: &WaitSet) {
        let Target::File(path) = self.target.clone() else { return };
        match self.open_anew(&path, wait_set) {
            Ok(()) => {
                tracing::info!(event = "output.reopened", path = %path.display(), "reopened {}", path.display());
            }
            Err(error) => tracing::error!(
                event = "output.failed",
                path = %path.display(),
                errno = error.raw_os_error(),
                "cannot reopen {}: {error}; what services say still goes to the file it was",
                path.display()
            ),
        }
    }

    /// As [`Self::reopen`], without a word.
    ///
    /// # Errors
    /// What open(2) says.
    pub(crate) fn open_anew(&mut self, path: &Path, wait_set: &WaitSet) -> io::Result<()> {
        let file = open(path)?;
        if let Some(old) = self.outlet.waits_on() {
            wait_set.remove(old);
        }
        (self.outlet, self.is_watched) = (Outlet::of_own(file), false);
        if !self.is_free() {
            self.watch(wait_set);
        }
        Ok(())
    }

    /// As [`Self::write_now`], and tells if that works again. A full disk that takes but a few bytes does not.
    fn write_batch(&mut self, bytes: &[u8]) -> usize {
        let lost_before = self.lost;
        let count = self.write_now(bytes);
        if count == bytes.len() && self.lost == lost_before {
            self.works_again();
        }
        count
    }

    /// Returns how many bytes are dealt with: written, or lost for good.
    fn write_now(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            match self.outlet.write(&bytes[written..]) {
                Ok(count) => {
                    written += count;
                    if let Some(last) = written.checked_sub(1) {
                        self.is_mid_line = bytes[last] != b'\n';
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return written,
                // Nobody reads any more, or the disk is full. A service is not held up by that, nor does it die of it: it
                // would not if it wrote to the full disk itself, and at a stop it still has to come to its end.
                Err(errno) => {
                    self.lose(bytes.len() - written, Some(errno.desc()));
                    return bytes.len();
                }
            }
        }
        written
    }

    fn lose(&mut self, count: usize, reason: Option<&str>) {
        let is_first = self.lost == 0;
        self.lost += count as u64;
        if is_first && let Some(reason) = reason {
            let target = self.words();
            tracing::warn!(
                event = "output.lost",
                target = target,
                "cannot write what services say to {target}: {reason}; it is thrown away until that works again"
            );
        }
    }

    fn works_again(&mut self) {
        if self.lost > 0 {
            let target = self.words();
            tracing::warn!(
                event = "output.resumed",
                target = target,
                bytes = self.lost,
                "writing to {target} works again; {} bytes were lost",
                self.lost
            );
            self.lost = 0;
        }
    }

    fn words(&self) -> String {
        match &self.target {
            Target::Own(Stream::Output) => "standard output".to_owned(),
            Target::Own(Stream::Error) => "standard error".to_owned(),
            Target::File(path) => path.display().to_string(),
        }
    }
}

/// Appending: whoever truncates the file (logrotate's `copytruncate`) leaves no hole in it, and nobody's lines are
/// written over.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(FILE_MODE)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}
