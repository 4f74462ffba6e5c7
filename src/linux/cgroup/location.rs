//! Where our own cgroup is, from what /proc says. Pure.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// A mounted cgroup2 file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Which cgroup its directory is, as seen from the root of our cgroup namespace: `/..` lies outside of it.
    root: PathBuf,
    /// Where its directory is.
    point: PathBuf,
}

impl Mount {
    /// One that shows all that we can see.
    pub(super) fn of_all(point: &str) -> Self {
        Self { root: "/".into(), point: point.into() }
    }

    /// Where it is mounted.
    pub(super) fn point(&self) -> &Path {
        &self.point
    }

    /// The directory of a cgroup, if this mount shows it.
    pub(super) fn place_of(&self, cgroup: &Path) -> Option<PathBuf> {
        let inside = cgroup.strip_prefix(&self.root).ok()?;
        // Outside of our namespace, and what it is called there we cannot know.
        if inside.components().any(|part| part == Component::ParentDir) {
            return None;
        }
        // Joining nothing would add a slash.
        if inside.as_os_str().is_empty() { Some(self.point.clone()) } else { Some(self.point.join(inside)) }
    }
}

/// Our own cgroup in version 2, from `/proc/self/cgroup`: the line that begins with `0::`. The lines of version 1,
/// which a hybrid system has besides, have another number.
pub(super) fn own_path(text: &[u8]) -> Option<&Path> {
    let path = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    path.starts_with(b"/").then(|| Path::new(OsStr::from_bytes(path)))
}

/// The cgroup2 mounts in `/proc/self/mountinfo`. Half a line is none.
pub(super) fn cgroup2_mounts(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n').filter_map(cgroup2_mount).collect()
}

/// `36 35 0:31 ROOT POINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS`
fn cgroup2_mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let root = fields.nth(3)?;
    let point = fields.next()?;
    // As many tags as there are, then a dash.
    fields.find(|field| *field == b"-")?;
    (fields.next()? == b"cgroup2").then(|| Mount { root: unescape(root), point: unescape(point) })
}

/// A space, tab, newline, backslash or `#` is written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let octal = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        plain.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &rest[4..] } else { after };
    }
    OsString::from_vec(plain).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(root: &str, point: &str) -> Mount {
        Mount { root: root.into(), point: point.into() }
    }

    fn place(root: &str, own: &str) -> Option<String> {
        let place = mount(root, "/cg").place_of(Path::new(own))?;
        Some(place.to_str().unwrap().to_owned())
    }

    #[test]
    fn our_cgroup_is_on_the_line_with_number_zero() {
        let unified = b"0::/system.slice/api.service\n";
        assert_eq!(own_path(unified), Some(Path::new("/system.slice/api.service")));
        let hybrid = b"9:name=systemd:/\n8:pids:/\n4:memory:/a\n1:cpu:/x\n0::/user.slice/a b:c\n";
        assert_eq!(own_path(hybrid), Some(Path::new("/user.slice/a b:c")));
        let hybrid_at_the_root = b"10:pids:/init.scope\n1:name=systemd:/0::/\n0::/\n";
        assert_eq!(own_path(hybrid_at_the_root), Some(Path::new("/")));
        assert_eq!(own_path(b"0::/../sibling"), Some(Path::new("/../sibling")));
    }

    #[test]
    fn without_version_2_or_with_half_a_file_there_is_none() {
        let version_1 = b"9:name=systemd:/\n8:pids:/0::/\n10::/x\n";
        for text in
            [&version_1[..], b"", b"\n", b"0", b"0:", b"0::", b"0::relative\n", b"00::/\n", b"\xff\xfe"]
        {
            assert_eq!(own_path(text), None, "{text:?}");
        }
    }

    #[test]
    fn mounts_of_version_1_and_others_are_passed_over() {
        let hybrid = b"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
            39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
            40 31 0:37 / /sys/fs/cgroup/cgroup2 rw,relatime - cgroup cgroup2 rw,name=systemd\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroup2_mounts(hybrid), [mount("/", "/sys/fs/cgroup/unified")]);
    }

    #[test]
    fn tags_and_sub_trees_are_understood() {
        let text = b"30 23 0:26 /docker/4f /sys/fs/cgroup ro,nosuid master:9 shared:1 - cgroup2 cgroup rw,nsdelegate\n\
            31 23 0:26 /../.. /host rw - cgroup2 none rw\n";
        assert_eq!(cgroup2_mounts(text), [mount("/docker/4f", "/sys/fs/cgroup"), mount("/../..", "/host")]);
    }

    #[test]
    fn escapes_are_read_and_half_an_escape_is_left_as_it_is() {
        let text = b"30 23 0:26 /a\\040b /c\\134d\\011\\012e\\043 rw - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroup2_mounts(text), [mount("/a b", "/c\\d\t\ne#")]);
        let text = b"30 23 0:26 / /x\\04 rw - cgroup2 c rw\n30 23 0:26 / /\\999\\777 rw - cgroup2 c rw\n";
        assert_eq!(cgroup2_mounts(text), [mount("/", "/x\\04"), mount("/", "/\\999\\777")]);
    }

    #[test]
    fn half_a_line_is_no_mount() {
        let whole = b"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2";
        for end in 0..whole.len() {
            assert_eq!(cgroup2_mounts(&whole[..end]), [], "{end}");
        }
        assert_eq!(cgroup2_mounts(b"41 31 0:38 / /x rw - \n- cgroup2\n\xff\xff - cgroup2\n"), []);
    }

    #[test]
    fn our_directory_is_below_the_mount() {
        assert_eq!(place("/", "/").as_deref(), Some("/cg"));
        assert_eq!(place("/", "/a/b").as_deref(), Some("/cg/a/b"));
    }

    #[test]
    fn a_mounted_sub_tree_shows_only_what_is_in_it() {
        assert_eq!(place("/docker/4f", "/docker/4f").as_deref(), Some("/cg"));
        assert_eq!(place("/docker/4f", "/docker/4f/x").as_deref(), Some("/cg/x"));
        assert_eq!(place("/docker/4f", "/docker/4f0"), None);
        assert_eq!(place("/docker/4f", "/docker"), None);
        assert_eq!(place("/docker/4f", "/"), None);
    }

    #[test]
    fn what_lies_outside_our_namespace_is_found_only_if_the_mount_begins_there() {
        assert_eq!(place("/", "/../sibling"), None);
        assert_eq!(place("/..", "/"), None);
        assert_eq!(place("/..", "/../sibling").as_deref(), Some("/cg/sibling"));
        assert_eq!(place("/..", "/../../up"), None);
        assert_eq!(place("/../..", "/../.."), Some("/cg".into()));
    }
}
