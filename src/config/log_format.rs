/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// As the place it goes to suggests.
    #[default]
    Auto,
    /// One line an event, for people.
    Human,
    /// One JSON object an event.
    Json,
    /// Entries of the journal, with their fields.
    Journal,
}

impl LogFormat {
    /// The words for them.
    pub(crate) const CHOICES: [(&'static str, Self); 4] =
        [("auto", Self::Auto), ("human", Self::Human), ("json", Self::Json), ("journal", Self::Journal)];
}
