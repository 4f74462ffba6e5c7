use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::time::{now, pause};

/// How often it wants to be woken up.
const BEAT: Duration = Duration::from_millis(5);

/// Tells how late this machine is: how much longer than asked for a thread that sleeps now and then has slept, at most.
pub(crate) struct Metronome {
    is_over: Arc<AtomicBool>,
    beats: JoinHandle<Duration>,
}

impl Metronome {
    pub(crate) fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let beats = thread::spawn(move || {
            let mut latest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let before = now();
                // This is what is measured.
                pause(BEAT);
                latest = latest.max(now().since(before).saturating_sub(BEAT));
            }
            latest
        });
        Self { is_over, beats }
    }

    /// Since its start.
    pub(crate) fn latest(self) -> Duration {
        self.is_over.store(true, Ordering::Relaxed);
        self.beats.join().expect("it does not panic")
    }
}
