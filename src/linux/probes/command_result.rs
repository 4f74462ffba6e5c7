use nix::errno::Errno;

use super::connection::in_words;
use super::http_answer::plain;
use crate::supervisor::{End, StartFailure};

/// What the end of a command says that probes a service: its status, and the last line of what it has said.
pub(crate) fn result_of_command(
    result: Result<End, StartFailure>,
    last_line: Option<&str>,
) -> Result<(), String> {
    match result {
        Ok(End::Exited(0)) => Ok(()),
        Ok(end) => Err(match last_line.map(|line| plain(line.as_bytes())).filter(|line| !line.is_empty()) {
            Some(line) => format!("{end}: {line}"),
            None => end.to_string(),
        }),
        Err(failure) => {
            Err(format!("it could not be executed: {}", in_words(Errno::from_raw(failure.errno))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::StartStep;

    #[test]
    fn the_status_and_the_last_line_say_why() {
        let failed = |text: &str| Err(text.to_owned());
        assert_eq!(result_of_command(Ok(End::Exited(0)), Some("fine")), Ok(()));
        assert_eq!(result_of_command(Ok(End::Exited(1)), None), failed("exit status 1"));
        assert_eq!(result_of_command(Ok(End::Exited(1)), Some("\u{1b} ")), failed("exit status 1"));
        assert_eq!(result_of_command(Ok(End::Exited(3)), Some("no\tdisk")), failed("exit status 3: no disk"));
        let killed = End::Signaled { number: 9, core_dumped: false };
        let long = "x".repeat(8192);
        let told = failed(&format!("signal SIGKILL: {}", "x".repeat(80)));
        assert_eq!(result_of_command(Ok(killed), Some(&long)), told);
        let failure = StartFailure::new(StartStep::Execute, Errno::ENOENT as i32);
        let told = failed("it could not be executed: no such file or directory");
        assert_eq!(result_of_command(Err(failure), Some("never said")), told);
    }
}
