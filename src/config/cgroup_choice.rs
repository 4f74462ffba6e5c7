/// Whether each service is kept in a cgroup of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupChoice {
    /// Where a cgroup was given to curfew.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Always: without, nothing is started.
    Require,
}

impl CgroupChoice {
    /// The words for them.
    pub(crate) const CHOICES: [(&'static str, Self); 3] =
        [("auto", Self::Auto), ("off", Self::Off), ("require", Self::Require)];
}
