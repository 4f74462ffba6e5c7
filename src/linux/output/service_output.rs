use std::path::PathBuf;

/// Where a service's standard output and standard error lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ServiceOutput {
    /// Where curfew's own do, untouched: no byte passes through curfew.
    #[default]
    Inherit,
    /// Into curfew's own, each line behind the service's name.
    Prefix(Colours),
    /// Into curfew's own, each line as an object of JSON.
    Json,
    /// Into the journal.
    Journal,
    /// Nowhere.
    Null,
    /// Both into this file, appended to.
    File(PathBuf),
}

/// Whether names may be coloured, where they are written to a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// They may.
    Allowed,
    /// Somebody said they may not.
    Refused,
}
