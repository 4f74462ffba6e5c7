use std::process::ExitStatus;

/// What a command came to.
#[derive(Debug)]
#[expect(dead_code, reason = "all of it is for whoever reads why a test failed")]
pub(crate) struct Outcome {
    pub(crate) command: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// It must have ended with success.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert!(self.status.success(), "{self:#?}");
        self
    }

    /// It must have failed.
    #[track_caller]
    pub(crate) fn fails(self) -> Self {
        assert!(!self.status.success(), "{self:#?}");
        self
    }
}
