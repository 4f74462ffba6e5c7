use std::fmt;

/// A process id, always above 1: neither "my own group" (0), "everybody" (-1) nor init can be named by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(i32);

impl Pid {
    /// The process with this number; `None` for 1 and below.
    pub const fn new(number: i32) -> Option<Self> {
        if number > 1 { Some(Self(number)) } else { None }
    }

    /// The number, as the system takes it.
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}
