use super::control_file::value_of;

/// Whether anybody is in a cgroup, or in one below it. Zombies are nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Population {
    /// Somebody is.
    Populated,
    /// Nobody is.
    Empty,
    /// Somebody removed the cgroup, so nobody was in it.
    Gone,
}

impl Population {
    /// Reads the content of `cgroup.events`. What cannot be read must not count as an end.
    pub(super) fn parse(text: &[u8]) -> Self {
        match value_of(text, "populated") {
            Some(0) => Self::Empty,
            _ => Self::Populated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_zero_means_that_nobody_is_there() {
        assert_eq!(Population::parse(b"populated 0\nfrozen 0\n"), Population::Empty);
        assert_eq!(Population::parse(b"frozen 0\npopulated 0"), Population::Empty);
        for text in
            [&b"populated 1\nfrozen 0\n"[..], b"", b"populated", b"populated \n", b"frozen 0\n", b"\xff 0\n"]
        {
            assert_eq!(Population::parse(text), Population::Populated, "{text:?}");
        }
    }
}
