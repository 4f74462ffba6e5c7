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

    /// Follows all that this user's processes write to the journal, from its beginning: each line is a message.
    ///
    /// By the user, not by the unit: which unit of a user an entry is of, journald has to look up in /proc, and it may come
    /// too late for the last words of a process.
    #[track_caller]
    pub(crate) fn follow_user(&self) -> Background {
        let user = format!("_UID={USER}");
        self.start(["journalctl", "--quiet", "--follow", "--lines", "all", "--output", "cat", &user])
    }
}
