//! What services say, where curfew carries it: from a pipe of each to one of its own streams, or to a file.
//!
//! ```text
//!   service ──pipe──► Carrier ──► LineBuffer ──► Dress ──► Sink ──► terminal, pipe, file
//!                     64 KiB       whole lines    name,     one batch
//!                     at a time                   JSON
//! ```
//!
//! Nothing here waits, and nothing piles up. A sink that cannot write holds one batch, and its carriers take no more: the
//! pipes fill up, and the services wait for the slow reader, as they would if they wrote to it themselves. In each
//! wake-up a bounded amount is carried, so that signals, deaths and deadlines have their turn.
//!
//! The pipes are watched edge-triggered: one that is known to have more is in the queue, or with the sink that it waits
//! for, and reading it until it is empty arms it again.
//!
//! A file gets its bytes by read(2) and write(2). splice(2) would save a copy, but cannot append, so that a truncated or
//! shared file would be damaged; it does not see where lines end, so that a reopened file would begin with half a line;
//! and it was measured to be slower (`benches/output.rs`).

mod carrier;
mod child_streams;
mod dress;
mod label;
mod line_buffer;
mod service_output;
mod sink;
mod stream_id;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::uid_t;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::fstat;
use nix::unistd::{Uid, fchown, pipe2};

pub(crate) use child_streams::ChildStreams;
pub use service_output::{Colours, ServiceOutput};
pub(crate) use stream_id::StreamId;

use super::clock::time_of_day;
use super::wait_set::{Ready, WaitSet};
use crate::supervisor::{ServiceId, StartFailure, StartStep, defaults};
use carrier::{Carrier, Progress, Workbench};
use dress::Dress;
use label::Palette;
use sink::{Sink, Stream, Target};

/// All that is carried in a run.
pub(crate) struct Output {
    palette: Palette,
    /// Files that several services write to.
    shared_files: HashSet<PathBuf>,
    /// By numbers that are not given twice: a file's sink is closed when nobody writes to it any more.
    sinks: BTreeMap<usize, Sink>,
    next_sink: usize,
    carriers: HashMap<StreamId, Carrier>,
    /// Those that have something to carry, and do not wait for a sink.
    queue: VecDeque<StreamId>,
    /// Those in the queue, and those that wait.
    queued: HashSet<StreamId>,
    next: StreamId,
    null: Option<OwnedFd>,
    workbench: Workbench,
    /// The limit of open files.
    most_descriptors: u64,
    /// It was said that a service inherits.
    is_lack_told: bool,
}

/// Around a new pipe.
struct Place<'a> {
    /// Who its other end is for, if not for who curfew is.
    user: Option<uid_t>,
    /// Where ours is watched.
    wait_set: &'a WaitSet,
}

/// How many batches are carried before signals, deaths and deadlines have their turn again: at 300 MB/s less than a
/// millisecond.
const BATCHES_AT_ONCE: u32 = 4;

/// Descriptors that are not used up for output: a start needs some, and so do a look into /proc and the report.
const DESCRIPTORS_KEPT: u64 = 32;

impl Default for Output {
    /// Nothing is carried yet, and nobody expected.
    fn default() -> Self {
        Self {
            palette: Palette::new([]),
            shared_files: HashSet::new(),
            sinks: BTreeMap::new(),
            next_sink: 0,
            carriers: HashMap::new(),
            queue: VecDeque::new(),
            queued: HashSet::new(),
            next: StreamId::FIRST,
            null: None,
            workbench: Workbench::default(),
            most_descriptors: getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft),
            is_lack_told: false,
        }
    }
}

impl Output {
    /// These are all the services there will be: their names, and where their output leads. What is carried already goes on
    /// as it began.
    pub(crate) fn expect<'a>(
        &mut self,
        services: impl Iterator<Item = (&'a str, &'a ServiceOutput)> + Clone,
    ) {
        let mut files = HashSet::new();
        self.shared_files.clear();
        for (_, output) in services.clone() {
            if let ServiceOutput::File(path) = output
                && !files.insert(path)
            {
                self.shared_files.insert(path.clone());
            }
        }
        let prefixed = services.filter(|(_, output)| matches!(output, ServiceOutput::Prefix(_)));
        self.palette = Palette::new(prefixed.map(|(name, _)| name));
    }

    /// Prepares what a service writes to. `user` is who it will be, if not who curfew is.
    ///
    /// # Errors
    /// Its file cannot be opened, or there is no /dev/null. That there is no pipe to be had is no reason not to start: then
    /// it inherits.
    pub(crate) fn open(
        &mut self,
        service: ServiceId,
        name: &str,
        output: &ServiceOutput,
        user: Option<uid_t>,
        wait_set: &WaitSet,
    ) -> Result<ChildStreams, StartFailure> {
        let place = Place { user, wait_set };
        let streams = match output {
            // To the journal the child connects itself.
            ServiceOutput::Inherit | ServiceOutput::Journal => Ok(ChildStreams::default()),
            ServiceOutput::Null => {
                let null = self.null().map_err(|error| failed(&error))?;
                null.try_clone().and_then(ChildStreams::both)
            }
            ServiceOutput::File(path) => {
                let sink = self.sink_of_file(path, wait_set).map_err(|error| {
                    tracing::error!(
                        event = "output.failed",
                        service = name,
                        path = %path.display(),
                        errno = error.raw_os_error(),
                        "cannot open {}: {error}; `output` must name a file that curfew may write to",
                        path.display()
                    );
                    failed(&error)
                })?;
                let dress = Dress::Plain { ends_last_line: self.shared_files.contains(path) };
                self.carry_to(sink, dress, &place).and_then(ChildStreams::both)
            }
            ServiceOutput::Prefix(colours) => {
                let label = self.palette.label(name, service.index());
                let dress =
                    |stream| Dress::prefix(&label, *colours == Colours::Allowed && is_terminal(stream));
                self.carry_to_own(dress, &place)
            }
            ServiceOutput::Json => self.carry_to_own(|stream| Dress::json(name, stream), &place),
        };
        Ok(streams.unwrap_or_else(|error| {
            self.tell_lack(name, &error);
            ChildStreams::default()
        }))
    }

    /// A pipe has something, or has come to its end.
    pub(crate) fn wake(&mut self, id: StreamId) {
        // It may have ended since.
        if self.carriers.contains_key(&id) && self.queued.insert(id) {
            self.queue.push_back(id);
        }
    }

    /// Whether half a line may stand on standard error.
    pub(crate) fn is_busy_on_standard_error(&self) -> bool {
        self.own_sink(Stream::Error).is_some_and(|sink| !self.sinks[&sink].is_free())
    }

    /// Goes on with what could not be written before, and closes the files that nobody writes to any more.
    pub(crate) fn flush(&mut self) {
        self.sinks.retain(|_, sink| {
            sink.flush();
            sink.is_needed()
        });
    }

    /// Carries a bounded amount. Returns whether there is more to carry now. Nothing goes to standard error while the log
    /// has half a line there.
    pub(crate) fn carry(&mut self, wait_set: &WaitSet, log_is_mid_line: bool) -> bool {
        if self.carriers.is_empty() {
            return false;
        }
        let held = if log_is_mid_line { self.own_sink(Stream::Error) } else { None };
        self.requeue(held);
        let mut time = String::new();
        let mut batches = BATCHES_AT_ONCE;
        while batches > 0
            && let Some(id) = self.queue.pop_front()
        {
            let Some(carrier) = self.carriers.get_mut(&id) else { continue };
            let Some(sink) = self.sinks.get_mut(&carrier.sink) else { continue };
            if !sink.is_free() || held == Some(carrier.sink) {
                sink.waiting.push_back(id);
                continue;
            }
            if carrier.wants_time() && time.is_empty() {
                time = time_in_words();
            }
            batches -= 1;
            match carrier.carry(sink, &time, &mut self.workbench) {
                Progress::More => self.queue.push_back(id),
                Progress::Idle => drop(self.queued.remove(&id)),
                Progress::Ended => {
                    wait_set.remove(&*carrier);
                    sink.writers -= 1;
                    self.carriers.remove(&id);
                    self.queued.remove(&id);
                }
            }
            if !sink.is_free() {
                sink.watch(wait_set);
            }
        }
        self.sinks.retain(|_, sink| sink.is_needed());
        if self.queue.is_empty() {
            self.workbench.tidy();
        }
        !self.queue.is_empty()
    }

    /// Opens every file anew: somebody has moved it away.
    pub(crate) fn reopen(&mut self, wait_set: &WaitSet) {
        for sink in self.sinks.values_mut() {
            sink.reopen(wait_set);
        }
    }

    /// Carries the last words. What is in the pipes now is all there is: whoever writes more is none of ours, and is not
    /// waited for. `time_left` says how long a slow reader is waited for, in milliseconds. Returns whether half a line was
    /// left on standard error.
    pub(crate) fn finish(&mut self, mut time_left: impl FnMut() -> u16) -> bool {
        for carrier in self.carriers.values_mut() {
            carrier.take_no_more();
        }
        for sink in self.sinks.values_mut() {
            sink.waiting.clear();
        }
        let mut ids: Vec<StreamId> = self.carriers.keys().copied().collect();
        ids.sort_by_key(|id| id.number());
        self.queue = ids.into();
        let time = time_in_words();
        loop {
            self.flush();
            self.requeue(None);
            while let Some(id) = self.queue.pop_front() {
                let Some(carrier) = self.carriers.get_mut(&id) else { continue };
                let Some(sink) = self.sinks.get_mut(&carrier.sink) else { continue };
                if !sink.is_free() {
                    sink.waiting.push_back(id);
                } else if carrier.carry(sink, &time, &mut self.workbench) == Progress::More {
                    self.queue.push_back(id);
                } else {
                    carrier.write_rest(sink, &time, &mut self.workbench.batch);
                    sink.writers -= 1;
                    self.carriers.remove(&id);
                }
            }
            let Some(sink) = self.sinks.values_mut().find(|sink| !sink.is_free()) else {
                return self.own_sink(Stream::Error).is_some_and(|sink| self.sinks[&sink].is_mid_line());
            };
            let time = time_left();
            if time == 0 || !sink.wait_for_room(time) {
                sink.give_up();
                sink.waiting.clear();
            }
        }
    }

    /// Those that waited for a sink are in the queue again if it is free.
    fn requeue(&mut self, held: Option<usize>) {
        for (&index, sink) in &mut self.sinks {
            if sink.is_free() && held != Some(index) {
                self.queue.append(&mut sink.waiting);
            }
        }
    }

    /// Two new pipes, each to our stream of the same name.
    fn carry_to_own(&mut self, dress: impl Fn(Stream) -> Dress, place: &Place) -> io::Result<ChildStreams> {
        let mut open = |stream| {
            let sink = self.sink_of(stream);
            self.carry_to(sink, dress(stream), place).map(Some)
        };
        Ok(ChildStreams { output: open(Stream::Output)?, error: open(Stream::Error)? })
    }

    /// A new pipe to this sink: the child's end of it.
    fn carry_to(&mut self, sink: usize, dress: Dress, place: &Place) -> io::Result<OwnedFd> {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        // The lowest numbers are given first, so this one tells how many are left.
        if theirs.as_raw_fd() as u64 + DESCRIPTORS_KEPT > self.most_descriptors {
            return Err(Errno::EMFILE.into());
        }
        // Ours alone: each end of a pipe has flags of its own.
        fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        if let Some(user) = place.user {
            // Else it could not open /dev/stdout, as nginx is often told to. EPERM: then curfew cannot make it that user
            // either.
            let _ = fchown(&theirs, Some(Uid::from_raw(user)), None);
        }
        let id = self.next;
        place.wait_set.add_edges(&ours, Ready::Output(id))?;
        self.next = id.next();
        self.carriers.insert(id, Carrier::new(ours, dress, sink, defaults::OUTPUT_LINE_MAX));
        if let Some(sink) = self.sinks.get_mut(&sink) {
            sink.writers += 1;
        }
        Ok(theirs)
    }

    fn sink_of(&mut self, stream: Stream) -> usize {
        self.own_sink(stream).unwrap_or_else(|| self.add(Sink::of_stream(stream)))
    }

    /// The sink of one of our own streams. Both are one if they lead to the same place: no line there may be written
    /// while another is half written.
    fn own_sink(&self, stream: Stream) -> Option<usize> {
        let find = |stream| self.find_sink(&Target::Own(stream));
        let other = match stream {
            Stream::Output => Stream::Error,
            Stream::Error => Stream::Output,
        };
        find(stream).or_else(|| find(other).filter(|_| streams_are_one()))
    }

    /// The sink of a file, which is opened by each who begins to write to it: it may have been moved away or removed since
    /// somebody else did.
    fn sink_of_file(&mut self, path: &Path, wait_set: &WaitSet) -> io::Result<usize> {
        let known = self.find_sink(&Target::File(path.to_owned()));
        if let Some(number) = known
            && let Some(sink) = self.sinks.get_mut(&number)
        {
            sink.open_anew(path, wait_set)?;
            return Ok(number);
        }
        Ok(self.add(Sink::of_file(path)?))
    }

    fn find_sink(&self, target: &Target) -> Option<usize> {
        self.sinks.iter().find(|(_, sink)| sink.target() == target).map(|(number, _)| *number)
    }

    fn add(&mut self, sink: Sink) -> usize {
        let number = self.next_sink;
        self.next_sink += 1;
        self.sinks.insert(number, sink);
        number
    }

    fn null(&mut self) -> io::Result<&OwnedFd> {
        match &mut self.null {
            Some(null) => Ok(null),
            empty => Ok(empty.insert(OpenOptions::new().write(true).open("/dev/null")?.into())),
        }
    }

    /// Without descriptors, say, a service starts all the same: what it says is worth less than that it runs.
    fn tell_lack(&mut self, service: &str, error: &io::Error) {
        if !std::mem::replace(&mut self.is_lack_told, true) {
            tracing::warn!(
                event = "output.uncarried",
                service,
                errno = error.raw_os_error(),
                "its output cannot be taken ({error}): it writes to curfew's own streams, and so may others"
            );
        }
    }
}

fn is_terminal(stream: Stream) -> bool {
    match stream {
        Stream::Output => io::stdout().is_terminal(),
        Stream::Error => io::stderr().is_terminal(),
    }
}

/// Whether standard output and standard error lead to the same place.
fn streams_are_one() -> bool {
    let place = |stream: BorrowedFd| fstat(stream).map(|status| (status.st_dev, status.st_ino));
    match (place(io::stdout().as_fd()), place(io::stderr().as_fd())) {
        (Ok(output), Ok(error)) => output == error,
        _ => false,
    }
}

fn failed(error: &io::Error) -> StartFailure {
    let errno = error.raw_os_error().unwrap_or(Errno::EIO as i32);
    StartFailure::new(StartStep::Streams, errno)
}

fn time_in_words() -> String {
    humantime::format_rfc3339_millis(time_of_day()).to_string()
}
