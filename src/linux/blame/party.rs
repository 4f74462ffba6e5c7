use std::fmt;

use serde_json::{Value, json};

use super::json::{number, text};

/// Another process that has a part in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Party {
    /// -1 or 0: the kernel does not say who.
    pub(super) pid: i32,
    /// `None`: it is gone, or hidden.
    pub(super) name: Option<String>,
}

impl Party {
    pub(super) fn value(&self) -> Value {
        json!({"pid": self.pid, "name": self.name})
    }

    pub(super) fn from_value(value: &Value) -> Option<Self> {
        Some(Self { pid: number(value, "pid")?, name: text(value, "name") })
    }
}

impl fmt::Display for Party {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match (self.pid, &self.name) {
            (..=0, _) => formatter.write_str("an unknown process"),
            (pid, Some(name)) => write!(formatter, "pid {pid} ({name})"),
            (pid, None) => write!(formatter, "pid {pid}"),
        }
    }
}
