/// How grave an event must be to be logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only what somebody must act on.
    Error,
    /// Also what somebody should know.
    Warn,
    /// Also the course of things.
    #[default]
    Info,
    /// Everything.
    Debug,
}

impl LogLevel {
    /// The words for them.
    pub(crate) const CHOICES: [(&'static str, Self); 4] =
        [("error", Self::Error), ("warn", Self::Warn), ("info", Self::Info), ("debug", Self::Debug)];
}
