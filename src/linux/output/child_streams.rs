use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// What a child gets as standard output and standard error, if not what curfew itself has. Once it is forked, this end
/// is the child's alone: as long as ours is open, a pipe has no end.
#[derive(Debug, Default)]
pub(crate) struct ChildStreams {
    pub(crate) output: Option<OwnedFd>,
    pub(crate) error: Option<OwnedFd>,
}

impl ChildStreams {
    /// The same for both streams, so that what is written to them stays in order.
    ///
    /// # Errors
    /// No descriptors.
    pub(crate) fn both(descriptor: OwnedFd) -> std::io::Result<Self> {
        Ok(Self { output: Some(descriptor.try_clone()?), error: Some(descriptor) })
    }

    /// The descriptors for standard output and standard error.
    pub(crate) fn raw(&self) -> [Option<RawFd>; 2] {
        [&self.output, &self.error].map(|stream| stream.as_ref().map(AsRawFd::as_raw_fd))
    }
}
