//! What happens, one plain line each.

use std::fmt::Display;
use std::io::Write;

/// Writes the lines of one part of the system, each with its name in front.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    name: &'static str,
}

impl Log {
    /// A log whose lines begin with `name`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name }
    }

    /// Tells one happening on standard output.
    pub fn tell(self, happening: impl Display) {
        write_line(std::io::stdout().lock(), format_args!("{}: {happening}", self.name));
    }

    /// Tells one fault, or something that is not the program's result, on standard error.
    pub fn warn(self, fault: impl Display) {
        write_line(std::io::stderr().lock(), format_args!("{}: {fault}", self.name));
    }
}

/// Writes one line. Whoever read it may be gone: a log that nobody reads must not end the program, so the error is
/// dropped on purpose.
pub fn write_line(mut output: impl Write, line: impl Display) {
    // One write for the whole line, so that lines of several processes do not mix.
    let _ = output.write_all(format!("{line}\n").as_bytes()).and_then(|()| output.flush());
}
