/// How grave an event must be for a watcher to hear of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchLevel {
    /// Somebody must act.
    Error,
    /// Somebody should know.
    Warn,
    /// The course of things.
    #[default]
    Info,
    /// For those who look for a fault.
    Debug,
}

/// A line for watchers: an event, as the JSON log has it, with its end of line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedLine {
    /// How grave it is.
    pub level: WatchLevel,
    /// The JSON object, and a newline.
    pub line: Vec<u8>,
}

impl WatchLevel {
    /// Every level, with its word.
    pub const ALL: [(&str, Self); 4] =
        [("error", Self::Error), ("warn", Self::Warn), ("info", Self::Info), ("debug", Self::Debug)];

    /// The level with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, level)| *level)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}
