use std::fmt;
use std::sync::Arc;

/// One run of a command beside a service's leader. Numbers do not come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookId(u64);

impl HookId {
    /// The first.
    pub(crate) const FIRST: Self = Self(0);

    /// The one after this.
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The one with this number.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What a hook is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookKind {
    /// A stage of the schedule runs the command of this name.
    Stage(Arc<str>),
}

impl fmt::Display for HookKind {
    /// As it stands in the configuration: `run:dump`.
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Stage(name) => write!(formatter, "run:{name}"),
        }
    }
}
