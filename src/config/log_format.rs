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
}

impl LogFormat {
    /// The words for them.
    pub(crate) const CHOICES: [(&'static str, Self); 3] =
        [("auto", Self::Auto), ("human", Self::Human), ("json", Self::Json)];
}
