/// Which service: its place in [`Settings`](super::Settings).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(u32);

impl ServiceId {
    /// The service at this place.
    ///
    /// # Panics
    /// With more than four thousand million services.
    pub fn new(index: usize) -> Self {
        Self(u32::try_from(index).expect("fewer than 2^32 services"))
    }

    /// The place, to index a slice with.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
