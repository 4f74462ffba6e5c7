//! The one program of the sample system; see `supervised-app --help`.

use std::process::ExitCode;

use clap::Parser;
use supervised_app::command_line::CommandLine;

fn main() -> ExitCode {
    CommandLine::parse().run()
}
