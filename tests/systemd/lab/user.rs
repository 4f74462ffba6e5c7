use super::{Background, Lab, Outcome};

/// The user that `init.sh` makes.
const USER: &str = "4711";

impl Lab {
    /// Starts the systemd of an ordinary user.
    #[track_caller]
    pub(crate) fn start_user_manager(&self) {
        self.systemctl(["start", &format!("user@{USER}.service")]).succeeds();
    }

    /// Stops it, and with it all that it has started.
    #[track_caller]
    pub(crate) fn stop_user_manager(&self) {
        self.systemctl(["stop", &format!("user@{USER}.service")]).succeeds();
    }

    /// Runs a command inside as that user, to its end.
    #[track_caller]
    pub(crate) fn as_user<const COUNT: usize>(&self, words: [&str; COUNT]) -> Outcome {
        let runtime = format!("XDG_RUNTIME_DIR=/run/user/{USER}");
        let become_user = ["setpriv", "--reuid", USER, "--regid", USER, "--init-groups", "env", &runtime];
        Background::start(self.command(&[&become_user[..], &words[..]].concat())).finish()
    }

    /// Follows the journal of one of that user's units from its beginning: each line is a message.
    #[track_caller]
    pub(crate) fn follow_user(&self, unit: &str) -> Background {
        let unit = format!("_SYSTEMD_USER_UNIT={unit}");
        self.start(["journalctl", "--quiet", "--follow", "--lines", "all", "--output", "cat", &unit])
    }
}
