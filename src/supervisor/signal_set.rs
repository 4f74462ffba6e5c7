use super::Signal;

/// A set of signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(u64);

impl SignalSet {
    /// The set with no signal.
    pub const EMPTY: Self = Self(0);

    /// The set with every signal that can be sent.
    pub fn all() -> Self {
        Signal::all().collect()
    }

    /// Whether `signal` is in the set.
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & Self::bit(signal) != 0
    }

    /// Adds a signal.
    pub const fn insert(&mut self, signal: Signal) {
        self.0 |= Self::bit(signal);
    }

    /// The signals in the set, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        Signal::all().filter(move |signal| self.contains(*signal))
    }

    const fn bit(signal: Signal) -> u64 {
        1 << (signal.number() - 1)
    }
}

impl FromIterator<Signal> for SignalSet {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        let mut set = Self::EMPTY;
        for signal in signals {
            set.insert(signal);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let set: SignalSet = [Signal::TERM, Signal::HUP].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Signal::HUP, Signal::TERM]);
        assert!(!set.contains(Signal::INT));
        assert_eq!(SignalSet::all().iter().count(), 62);
        assert_eq!(SignalSet::EMPTY.iter().count(), 0);
    }
}
