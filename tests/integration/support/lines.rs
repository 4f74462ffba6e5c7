//! What a process says, line by line, as it comes.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::time::{Moment, now};

/// The lines of a stream, read by a thread so that whoever writes is never held up.
#[derive(Clone, Default)]
pub(crate) struct Lines {
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Reads a stream to its end; `None` is a stream that says nothing.
    pub(crate) fn read(stream: Option<impl Read + Send + 'static>) -> Self {
        let lines = Self::default();
        match stream {
            None => lines.shared.0.lock().expect("no thread panics here").ended = true,
            Some(stream) => {
                let lines = lines.clone();
                thread::spawn(move || lines.fill(BufReader::new(stream)));
            }
        }
        lines
    }

    fn fill(&self, mut stream: impl BufRead) {
        let (state, changed) = &*self.shared;
        loop {
            let mut line = Vec::new();
            let count = stream.read_until(b'\n', &mut line).unwrap_or(0);
            let mut state = state.lock().expect("no thread panics here");
            if count == 0 {
                state.ended = true;
            } else {
                // A terminal puts a carriage return before it.
                state.lines.push(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            changed.notify_all();
            if count == 0 {
                return;
            }
        }
    }

    /// Waits for so many lines that fit, however early they came. `None`: the time is over, or the stream.
    pub(crate) fn wait_for(
        &self,
        count: usize,
        end: Moment,
        fits: impl Fn(&str) -> bool,
    ) -> Option<Vec<String>> {
        let (mut seen, mut found) = (0, Vec::new());
        self.wait(end, |state| {
            found.extend(state.lines[seen..].iter().filter(|line| fits(line)).cloned());
            seen = state.lines.len();
            found.len() >= count || state.ended
        });
        found.truncate(count);
        (found.len() == count).then_some(found)
    }

    /// Waits for the end of the stream: nobody holds its other end any more.
    pub(crate) fn wait_for_end(&self, end: Moment) -> bool {
        self.wait(end, |state| state.ended)
    }

    pub(crate) fn so_far(&self) -> Vec<String> {
        self.shared.0.lock().expect("no thread panics here").lines.clone()
    }

    fn wait(&self, end: Moment, mut is_enough: impl FnMut(&State) -> bool) -> bool {
        let (state, changed) = &*self.shared;
        let mut state = state.lock().expect("no thread panics here");
        loop {
            if is_enough(&state) {
                return true;
            }
            let left = end.since(now());
            if left.is_zero() {
                return false;
            }
            state = changed.wait_timeout(state, left).expect("no thread panics here").0;
        }
    }
}
