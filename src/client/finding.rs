//! Which curfew is meant.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::geteuid;

use super::connection::is_curfew;
use super::failure::Failure;
use crate::arguments::ClientArguments;
use crate::nearest::nearest;
use crate::protocol::CONTROL_FOLDER;
use crate::supervisor::defaults;

/// Names the socket to those who have not said which.
const VARIABLE: &str = "CURFEW_CONTROL";
/// The socket in a directory that systemd made.
const IN_RUNTIME_DIRECTORY: &str = "control.sock";

/// What may be the socket of a curfew.
struct Candidate {
    /// The name of the system, as far as the path tells it.
    name: String,
    path: PathBuf,
}

/// The socket of the curfew that is meant: the one that is named, or else the only one there is.
pub(super) fn find(arguments: &ClientArguments) -> Result<PathBuf, Failure> {
    if let Some(path) = &arguments.control {
        return Ok(path.clone());
    }
    if let Some(name) = &arguments.name {
        return find_named(name);
    }
    if let Some(path) = variable(VARIABLE).filter(|path| path != "none" && path != "auto") {
        return Ok(path.into());
    }
    let (mut living, forbidden) = look_around();
    match (living.len(), forbidden.first()) {
        (1, _) => Ok(living.remove(0).path),
        (0, Some(candidate)) => Err(Failure::Forbidden(candidate.path.clone())),
        (0, None) => Err(Failure::Nobody(
            "there is no curfew with a control socket; is it running, and as this user? One command has none unless \
             --control says where"
                .to_owned(),
        )),
        _ => {
            let shown = living.iter().map(|candidate| format!("{} ({})", candidate.name, candidate.path.display()));
            Err(Failure::Several(shown.collect()))
        }
    }
}

fn find_named(name: &str) -> Result<PathBuf, Failure> {
    let (living, forbidden) = look_around();
    if let Some(found) = living.iter().find(|candidate| candidate.name == name) {
        return Ok(found.path.clone());
    }
    if let Some(found) = forbidden.iter().find(|candidate| candidate.name == name) {
        return Err(Failure::Forbidden(found.path.clone()));
    }
    let names = || living.iter().map(|candidate| candidate.name.as_str());
    let cure = match nearest(name, names()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if living.is_empty() => "there is none at all; is it running, and as this user?".to_owned(),
        None => format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
    };
    Err(Failure::Nobody(format!("there is no curfew called `{name}`; {cure}")))
}

/// The names of those that run.
pub(super) fn names() -> Vec<String> {
    look_around().0.into_iter().map(|candidate| candidate.name).collect()
}

/// Those that answer, and those that may not be asked.
fn look_around() -> (Vec<Candidate>, Vec<Candidate>) {
    let (mut living, mut forbidden) = (Vec::new(), Vec::new());
    for candidate in candidates() {
        match is_curfew(&candidate.path, defaults::COMPLETION_PATIENCE) {
            Ok(true) => living.push(candidate),
            // Others have a control.sock, too.
            Err(Errno::EACCES) if !candidate.path.ends_with(IN_RUNTIME_DIRECTORY) => {
                forbidden.push(candidate);
            }
            Ok(false) | Err(_) => {}
        }
    }
    (living, forbidden)
}

fn candidates() -> Vec<Candidate> {
    // Each path once, however it was come by.
    let mut found: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut folders =
        vec![PathBuf::from(CONTROL_FOLDER), PathBuf::from(format!("/run/user/{}/curfew", geteuid()))];
    folders.extend(variable("XDG_RUNTIME_DIR").map(|folder| Path::new(&folder).join("curfew")));
    for path in folders.iter().flat_map(|folder| entries(folder)) {
        let is_visible = !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_visible && path.extension() == Some(OsStr::new("sock")) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.insert(path, name);
        }
    }
    let runtime = variable("RUNTIME_DIRECTORY").map(|folders| folders.to_string_lossy().into_owned());
    let runtime = runtime.as_deref().and_then(|folders| folders.split(':').next()).map(PathBuf::from);
    let of_user = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    let others =
        entries(Path::new("/run")).into_iter().chain(of_user.iter().flat_map(|folder| entries(folder)));
    for folder in others.chain(runtime) {
        let path = folder.join(IN_RUNTIME_DIRECTORY);
        if path.symlink_metadata().is_ok() {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.insert(path, name);
        }
    }
    found.into_iter().map(|(path, name)| Candidate { name, path }).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).collect()
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
