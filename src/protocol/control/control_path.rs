use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where sockets are that nobody has given another place, for everybody.
pub const CONTROL_FOLDER: &str = "/run/curfew";

/// Where a system of this name has its control socket if nobody says otherwise: the first of these where it can be made.
///
/// The directory that systemd made for the unit (`RuntimeDirectory=`) is its own, so that the name does not matter there.
pub fn usual_control_paths<'a>(name: &str, variable: impl Fn(&str) -> Option<&'a OsStr>) -> Vec<PathBuf> {
    let first_runtime = variable("RUNTIME_DIRECTORY").and_then(|value| {
        let first = value.as_bytes().split(|byte| *byte == b':').next()?;
        Some(Path::new(OsStr::from_bytes(first)).join("control.sock"))
    });
    let socket = format!("{name}.sock");
    let of_user = variable("XDG_RUNTIME_DIR").map(|folder| Path::new(folder).join("curfew").join(&socket));
    let paths = [first_runtime, of_user, Some(Path::new(CONTROL_FOLDER).join(&socket))];
    // XDG's rule, which does for both: what is not absolute is not meant.
    paths.into_iter().flatten().filter(|path| path.is_absolute()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemds_directory_goes_before_the_users_and_that_before_everybodys() {
        let paths = |runtime: Option<&'static str>, user: Option<&'static str>| {
            let paths = usual_control_paths("demo", |name| match name {
                "RUNTIME_DIRECTORY" => runtime.map(OsStr::new),
                "XDG_RUNTIME_DIR" => user.map(OsStr::new),
                other => panic!("{other}"),
            });
            paths.into_iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(paths(None, None), ["/run/curfew/demo.sock"]);
        assert_eq!(
            paths(Some("/run/a:/run/b"), Some("/run/user/7")),
            ["/run/a/control.sock", "/run/user/7/curfew/demo.sock", "/run/curfew/demo.sock"]
        );
        assert_eq!(paths(Some(""), Some("relative")), ["/run/curfew/demo.sock"]);
    }
}
