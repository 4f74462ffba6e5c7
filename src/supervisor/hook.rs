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

/// What runs as the leader of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The command before its start.
    PreStart,
    /// Its own command.
    #[default]
    Main,
    /// The command after its end; of the pseudo-service `(cleanup)`, the last command of all.
    PostStop,
}

impl fmt::Display for Step {
    /// As it stands in the configuration.
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Self::PreStart => "pre-start",
            Self::Main => "command",
            Self::PostStop => "post-stop",
        })
    }
}

/// What a probe is to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Whether the service is ready.
    Ready,
    /// Whether it is still well.
    Health,
}

/// What a hook is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookKind {
    /// Before its start.
    PreStart,
    /// Before the drain and the first signal.
    PreStop,
    /// A stage of the schedule runs the command of this name.
    Stage(Arc<str>),
    /// After its end; of the pseudo-service `(cleanup)`, the last of all.
    PostStop,
}

impl fmt::Display for HookKind {
    /// As it stands in the configuration: `run:dump`.
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::PreStart => formatter.write_str("pre-start"),
            Self::PostStop => formatter.write_str("post-stop"),
            Self::PreStop => formatter.write_str("pre-stop"),
            Self::Stage(name) => write!(formatter, "run:{name}"),
        }
    }
}
