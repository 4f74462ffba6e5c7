use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc::{self, gid_t, uid_t};

/// The users and groups of this system: `/etc/passwd` and `/etc/group`, which we read ourselves.
///
/// The C library's functions load modules at run time, which a static binary cannot, and those may ask the network, for
/// which the loop cannot wait. So a user that only such a module knows is given by number.
///
/// Source: passwd(5), group(5).
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    users: Vec<u8>,
    groups: Vec<u8>,
}

/// A user, as a line of `/etc/passwd` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User<'a> {
    pub(crate) name: &'a OsStr,
    pub(crate) number: uid_t,
    /// Its first group.
    pub(crate) group: gid_t,
    pub(crate) home: &'a OsStr,
    pub(crate) shell: &'a OsStr,
}

impl Accounts {
    /// Reads both files. One that is not there has no entries: a container from scratch has none.
    ///
    /// # Errors
    /// A file cannot be read; EINVAL if it is no file.
    pub(crate) fn read() -> nix::Result<Self> {
        Ok(Self { users: read(Path::new("/etc/passwd"))?, groups: read(Path::new("/etc/group"))? })
    }

    /// The user with this name, or with this number.
    pub(crate) fn user(&self, wanted: &str) -> Option<User<'_>> {
        let number = parse_number(wanted.as_bytes());
        lines(&self.users).filter_map(user).find(|user| match number {
            Some(number) => user.number == number,
            None => user.name == wanted,
        })
    }

    /// The number of the group with this name; a number is taken as it is.
    pub(crate) fn group(&self, wanted: &str) -> Option<gid_t> {
        parse_number(wanted.as_bytes()).or_else(|| {
            let found = lines(&self.groups).filter_map(group).find(|group| group.name == wanted.as_bytes());
            found.map(|group| group.number)
        })
    }

    /// The groups that have this user among their members.
    pub(crate) fn groups_with(&self, member: &OsStr) -> impl Iterator<Item = gid_t> {
        let groups = lines(&self.groups).filter_map(group);
        groups.filter_map(move |group| {
            group
                .members
                .split(|byte| *byte == b',')
                .any(|name| name == member.as_bytes())
                .then_some(group.number)
        })
    }
}

/// The number of a user or a group. The last one stands for "no change" in system calls, and is nobody's.
pub(crate) fn parse_number(text: &[u8]) -> Option<u32> {
    let text =
        std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok().filter(|number| *number != u32::MAX)
}

struct Group<'a> {
    name: &'a [u8],
    number: gid_t,
    members: &'a [u8],
}

/// Lines that are no entries are left out: comments, empty ones, and `+` and `-`, which ask a network.
fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content
        .split(|byte| *byte == b'\n')
        .filter(|line| !matches!(line.first(), None | Some(b'#' | b'+' | b'-')))
}

fn user(line: &[u8]) -> Option<User<'_>> {
    let mut fields = line.split(|byte| *byte == b':');
    let mut field = || fields.next().map(OsStr::from_bytes);
    let (name, _password, number, group, _comment) = (field()?, field()?, field()?, field()?, field()?);
    let (home, shell) = (field()?, field().unwrap_or_default());
    let [number, group] = [number, group].map(|number| parse_number(number.as_bytes()));
    let number = number.filter(|_| !name.is_empty());
    Some(User { name, number: number?, group: group?, home, shell })
}

fn group(line: &[u8]) -> Option<Group<'_>> {
    let mut fields = line.split(|byte| *byte == b':');
    let (name, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Group { name, number: parse_number(number)?, members: fields.next().unwrap_or_default() })
}

fn read(path: &Path) -> nix::Result<Vec<u8>> {
    let failed = |error: io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    // Whatever stands there must not make the loop wait.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let mut file: File = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(failed)?,
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Errno::EINVAL);
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        let users = b"root:x:0:0:root:/root:/bin/bash\n# a comment: 1:2:3\n\n+::::::\n\
            api:x:1001:1002:J\xf6rg,,,:/srv/api:/usr/sbin/nologin\nshort:x:7:7\nodd:x:x:1::/:\n\
            big:x:4294967295:1::/:\n12:x:34:34::/srv/12:/bin/sh\nbare:x:9:9::/nonexistent\n:x:8:8::/:";
        let groups =
            b"root:x:0:\nwheel:x:10:root,api\nvideo:x:44:api\napi:x:1002:\naudio:x:29:apis,xapi\n+:::\n\
            odd:x:-1:api\nlast:x:50:root,api";
        Accounts { users: users.to_vec(), groups: groups.to_vec() }
    }

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let accounts = accounts();
        let api = accounts.user("api").unwrap();
        assert_eq!(
            (api.number, api.group, api.home, api.shell),
            (1001, 1002, OsStr::new("/srv/api"), OsStr::new("/usr/sbin/nologin"),)
        );
        assert_eq!(accounts.user("1001"), Some(api));
        assert_eq!(accounts.user("bare").unwrap().shell, "", "the last field may be missing");
    }

    #[test]
    fn digits_are_always_a_number() {
        let accounts = accounts();
        assert_eq!(accounts.user("12"), None, "the user called 12 has the number 34");
        assert_eq!(accounts.user("34").unwrap().name, "12");
        assert_eq!(accounts.group("4242"), Some(4242), "a group needs no entry");
    }

    #[test]
    fn what_is_no_entry_is_nobody() {
        let accounts = accounts();
        for name in ["short", "odd", "big", "+", "", "#", "a comment", "4294967295", "-1", "nobody"] {
            assert_eq!(accounts.user(name), None, "{name:?}");
            assert_eq!(accounts.group(name), None, "{name:?}");
        }
        assert_eq!(Accounts::default().user("root"), None);
    }

    #[test]
    fn a_user_is_a_member_where_its_whole_name_stands() {
        let accounts = accounts();
        assert_eq!(accounts.groups_with(OsStr::new("api")).collect::<Vec<_>>(), [10, 44, 50]);
        assert_eq!(accounts.groups_with(OsStr::new("root")).collect::<Vec<_>>(), [10, 50]);
        assert_eq!(accounts.group("wheel"), Some(10));
    }

    #[test]
    fn what_is_no_file_is_refused_and_what_is_not_there_is_empty() {
        assert_eq!(read(Path::new("/dev/null")), Err(Errno::EINVAL));
        assert_eq!(read(Path::new("/nonexistent")), Ok(Vec::new()));
        assert!(!read(Path::new("/etc/passwd")).unwrap().is_empty());
    }
}
