//! Containment by cgroup v2: whatever a service starts stays in its leaf, and the kernel says when the leaf is empty.
//!
//! ```text
//! BASE                 the cgroup that is ours to divide
//! ├── curfew           curfew itself: where children have controllers, the parent may hold no process
//! ├── service-api      one leaf a service, kept over its restarts
//! └── service-db
//! ```
//!
//! Nothing here waits, and nothing here is needed: without a cgroup curfew does the same by descent.

mod clone_into;
mod control_file;
mod figures;
mod location;
mod population;
mod service_cgroup;
mod unavailable;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::{AccessFlags, faccessat, geteuid};

pub(crate) use clone_into::{clone_into, join, should_fork_instead};
pub use figures::Figures;
pub(crate) use population::Population;
pub(crate) use service_cgroup::ServiceCgroup;
pub use unavailable::CgroupUnavailable;

use crate::supervisor::Pid;
use control_file::{errno_of, extended_attribute, is_gone, list_processes, read, remove_all, write};
use location::{Mount, cgroup2_mounts, own_path};

/// The controllers whose figures we tell, in the order they are enabled.
const CONTROLLERS: [&str; 4] = ["memory", "pids", "cpu", "io"];

/// How many names are tried before giving up: more curfews do not share a cgroup.
const NAMES_MAX: u32 = 64;

/// Where the whole tree is mounted nearly everywhere: alone, and beside version 1.
const USUAL_PLACES: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// The part of the cgroup tree that is ours.
#[derive(Debug)]
pub(crate) struct CgroupTree {
    /// What we divide.
    base: PathBuf,
    /// What /proc calls it.
    called: PathBuf,
    is_delegated: bool,
    home: Home,
    /// Told apart from other curfews in the same base: 1 for the first, who needs no number in its names.
    number: u32,
    /// The leaves we made for services, and have not removed.
    services: Vec<PathBuf>,
    /// The controllers we enabled, which were not before.
    enabled: Vec<&'static str>,
}

/// Where curfew itself is. The lock is on the directory, and says to other curfews that we live.
#[derive(Debug)]
enum Home {
    /// In the base, with whoever else is there.
    Base,
    /// In a leaf we made.
    Leaf(PathBuf, #[expect(dead_code, reason = "held, not read")] Flock<fs::File>),
    /// In the base, beside a leaf we made: it only says that we are there.
    Beside(PathBuf, #[expect(dead_code, reason = "held, not read")] Flock<fs::File>),
    /// In a leaf that systemd made for us beside those of the services (`DelegateSubgroup=`).
    Given(#[expect(dead_code, reason = "held, not read")] Flock<fs::File>),
}

/// When curfew moves into its leaf. To move takes the kernel some 10 ms, there and back: it waits until no processor is
/// inside a fork or an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moving {
    /// Never: then there are figures only where controllers are enabled already.
    Never,
    /// In any case.
    #[cfg(test)]
    Always,
    /// Only if that allows controllers for the services: if there are any that are not enabled, and nobody else is in
    /// our cgroup. Containment is the same without.
    ForFigures,
}

/// What [`CgroupTree::prepare`] came to: which figures there will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Controllers {
    /// Enabled for the services, by us or before.
    pub(crate) enabled: Vec<&'static str>,
    /// Why others that are available are not. EBUSY: there are other processes in our cgroup.
    pub(crate) refused: Option<Errno>,
}

/// What [`CgroupTree::restore`] could not undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leftover {
    /// The cgroup that stays, or whose controllers stay enabled.
    pub(crate) path: PathBuf,
    /// EBUSY: somebody is still in it. ETIME: there was more below it than could be removed in time.
    pub(crate) errno: Errno,
}

impl CgroupTree {
    /// Finds our own cgroup, whether it was given to us or is merely writable. Changes nothing.
    ///
    /// # Errors
    /// Why it cannot be divided.
    pub(crate) fn find() -> Result<Self, CgroupUnavailable> {
        let own = read_proc("/proc/self/cgroup")?;
        Self::find_mounted(own_path(&own).ok_or(CgroupUnavailable::NoVersion2)?)
    }

    fn find_mounted(own: &Path) -> Result<Self, CgroupUnavailable> {
        let mounts = read_proc("/proc/self/mountinfo")?;
        let mut first_problem = None;
        // More than one mount is rare; each shows the same tree, or a part of it, and may be read-only.
        for mount in cgroup2_mounts(&mounts) {
            match Self::find_in(&mount, own) {
                Ok(tree) => return Ok(tree),
                Err(problem) => first_problem = first_problem.or(Some(problem)),
            }
        }
        Err(first_problem.unwrap_or(CgroupUnavailable::NotMounted))
    }

    /// As [`Self::find`], but only what was given to us.
    ///
    /// # Errors
    /// [`CgroupUnavailable::NotDelegated`] besides.
    pub(crate) fn find_delegated() -> Result<Self, CgroupUnavailable> {
        let own = read_proc("/proc/self/cgroup")?;
        let own = own_path(&own).ok_or(CgroupUnavailable::NoVersion2)?;
        // Every start of curfew pays for this, and most are given nothing. The list of mounts takes longer than all else.
        if own == Path::new("/") && is_in_first_namespace() {
            return Err(CgroupUnavailable::not_given());
        }
        let mut usual = USUAL_PLACES.into_iter().map(|point| Self::find_given_in(&Mount::of_all(point), own));
        let found = usual.find(|found| found.as_ref().err() != Some(&CgroupUnavailable::Elsewhere));
        match found.unwrap_or_else(|| Self::find_mounted(own))? {
            tree if tree.is_delegated() => Ok(tree),
            _ => Err(CgroupUnavailable::not_given()),
        }
    }

    fn find_given_in(mount: &Mount, own: &Path) -> Result<Self, CgroupUnavailable> {
        let own_directory = mount.place_of(own).ok_or(CgroupUnavailable::Elsewhere)?;
        check_is_cgroup(&own_directory)?;
        let is_given =
            is_delegated(&own_directory, own) || own_directory.parent().is_some_and(is_marked_as_delegated);
        // A mount that shows another root than ours would be taken for it.
        if !is_given && own != Path::new("/") {
            return Err(CgroupUnavailable::not_given());
        }
        Self::find_in(mount, own)
    }

    fn find_in(mount: &Mount, own: &Path) -> Result<Self, CgroupUnavailable> {
        let own_directory = mount.place_of(own).ok_or(CgroupUnavailable::Elsewhere)?;
        check_is_own(&own_directory)?;
        let tree = |base, called: &Path, is_delegated, home| Self {
            base,
            called: called.to_owned(),
            is_delegated,
            home,
            number: 1,
            services: Vec::new(),
            enabled: Vec::new(),
        };
        if !is_marked_as_delegated(&own_directory)
            && let Some((base, lock)) = delegated_parent(&own_directory, mount)
            && let Some(called) = own.parent()
        {
            return Ok(tree(base, called, true, Home::Given(lock)));
        }
        check_is_divisible(&own_directory)?;
        let is_delegated = is_delegated(&own_directory, own);
        Ok(tree(own_directory, own, is_delegated, Home::Base))
    }

    /// Whether somebody gave this cgroup to us, who will not meddle with what we make in it.
    ///
    /// That is so if it is marked (systemd's `Delegate=`), if it belongs to our user and that is not root, or if it is
    /// the root of a cgroup namespace, as in a container. The cgroup of root's login session is writable, but the
    /// session's, not ours.
    pub(crate) fn is_delegated(&self) -> bool {
        self.is_delegated
    }

    /// The cgroup that is divided.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// The name of the child of the base that a process is in, itself or below it.
    ///
    /// `None`: it is elsewhere, or gone.
    pub(crate) fn child_of(&self, pid: Pid) -> Option<OsString> {
        let text = read(Path::new(&format!("/proc/{pid}/cgroup"))).ok()?;
        let inside = own_path(&text)?.strip_prefix(&self.called).ok()?;
        Some(inside.iter().next()?.to_owned())
    }

    /// Makes a leaf for curfew, moves curfew there, and nobody else, and enables the controllers for the services'
    /// leaves. The second call finds nothing to do.
    ///
    /// Controllers that are missing or refused are no error: containment needs none, only the figures do.
    ///
    /// # Errors
    /// No leaf could be made, or we may not move.
    pub(crate) fn prepare(&mut self, moving: Moving) -> Result<Controllers, CgroupUnavailable> {
        if matches!(self.home, Home::Base) {
            let moves = match moving {
                Moving::Never => false,
                #[cfg(test)]
                Moving::Always => true,
                Moving::ForFigures => !self.missing(&CONTROLLERS).is_empty() && self.is_alone(),
            };
            self.take_leaf(moves).map_err(CgroupUnavailable::from_errno)?;
        }
        Ok(self.enable_controllers(&CONTROLLERS))
    }

    /// What is expected: EAGAIN: the limit of `cgroup.max.descendants`. EACCES, EPERM, EROFS: not ours after all.
    fn take_leaf(&mut self, moves: bool) -> nix::Result<()> {
        for number in 1..=NAMES_MAX {
            let leaf = self.base.join(numbered("curfew", number));
            let is_new = match fs::create_dir(&leaf) {
                Ok(()) => true,
                Err(error) if errno_of(&error) == Errno::EEXIST => false,
                Err(error) => return Err(errno_of(&error)),
            };
            // Another living curfew holds the lock, or has just removed the leaf: the next name.
            let Some(lock) = lock(&leaf)? else { continue };
            // Left by a curfew that was killed, and somebody is in it who is not ours.
            if list_processes(&leaf).is_ok_and(|there| !there.is_empty()) {
                continue;
            }
            let result = if moves { move_self(&leaf) } else { check_is_same(&leaf, &lock) };
            match result {
                Ok(()) => {
                    self.number = number;
                    self.home = if moves { Home::Leaf(leaf, lock) } else { Home::Beside(leaf, lock) };
                    return Ok(());
                }
                Err(errno) if is_new && !is_gone(errno) => {
                    let _ = remove_all(&leaf, &|| true);
                    return Err(errno);
                }
                // It was removed in between, or is another user's.
                Err(_) => {}
            }
        }
        Err(Errno::EEXIST)
    }

    /// Whether nobody else is in the base itself: only then its children can have controllers, once we have moved.
    fn is_alone(&self) -> bool {
        // Those outside of our pid namespace count too; all of them are 0.
        read(&self.base.join("cgroup.procs"))
            .is_ok_and(|text| text.trim_ascii().split(|byte| *byte == b'\n').count() <= 1)
    }

    /// The words in a file of the base; none if it cannot be read.
    fn words_in(&self, file: &str) -> Vec<String> {
        let text = read(&self.base.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&text).split_ascii_whitespace().map(str::to_owned).collect()
    }

    /// Which of these could be enabled for our leaves, and are not.
    fn missing(&self, wanted: &[&'static str]) -> Vec<&'static str> {
        let [available, enabled] =
            ["cgroup.controllers", "cgroup.subtree_control"].map(|file| self.words_in(file));
        let is_in = |words: &[String], controller: &str| words.iter().any(|word| word == controller);
        let wanted = wanted.iter().copied();
        wanted.filter(|name| is_in(&available, name) && !is_in(&enabled, name)).collect()
    }

    fn enable_controllers(&mut self, wanted: &[&'static str]) -> Controllers {
        let mut refused = None;
        for controller in self.missing(wanted) {
            // With us still in the base, cpu and pids would be allowed, and make the base the root of threaded cgroups:
            // no leaf could hold a process.
            if matches!(self.home, Home::Base | Home::Beside(..)) {
                refused = Some(Errno::EBUSY);
                break;
            }
            // One by one: a refused one must not keep the others away. EBUSY: other processes in the base. EINVAL: the
            // cpu controller, with real-time processes. EACCES: not delegated to us. ENOENT: it went away just now.
            match write(&self.base.join("cgroup.subtree_control"), &format!("+{controller}")) {
                Ok(()) => self.enabled.push(controller),
                Err(errno) => refused = Some(errno),
            }
        }
        let enabled = self.words_in("cgroup.subtree_control");
        let wanted = wanted.iter().copied();
        let enabled = wanted.filter(|controller| enabled.iter().any(|word| word == controller)).collect();
        Controllers { enabled, refused }
    }

    /// Removes the services' leaves, and what services made below them. What is left of those with too much to remove in time
    /// stays for good.
    pub(crate) fn remove_services(&mut self, goes_on: &dyn Fn() -> bool) -> Vec<Leftover> {
        let removed = self.services.drain(..).map(|path| (remove_all(&path, goes_on), path));
        let (mut left, mut again) = (Vec::new(), Vec::new());
        for (result, path) in removed {
            match result {
                Ok(()) => {}
                Err(Errno::ETIME) => left.push(Leftover { path, errno: Errno::ETIME }),
                Err(_) => again.push(path),
            }
        }
        self.services = again;
        left
    }

    /// Undoes what we did: removes the services' leaves, disables the controllers that we enabled, moves us back, and
    /// removes our leaf. What is gone already is fine. May be called again, for what was left.
    ///
    /// `goes_on` is asked again and again whether there is time for more: services make as many cgroups as they like.
    pub(crate) fn restore(&mut self, goes_on: &dyn Fn() -> bool) -> Vec<Leftover> {
        let mut left = Vec::new();
        let mut stays = |path: &Path, result: nix::Result<()>| match result {
            Ok(()) => false,
            Err(errno) => {
                left.push(Leftover { path: path.to_owned(), errno });
                true
            }
        };
        self.services.retain(|leaf| stays(leaf, remove_all(leaf, goes_on)));
        let file = self.base.join("cgroup.subtree_control");
        self.enabled.retain(|controller| {
            // EBUSY: a cgroup that stays has it enabled for its own children.
            stays(&self.base, gone_is_fine(write(&file, &format!("-{controller}"))))
        });
        if let Home::Leaf(leaf, _) | Home::Beside(leaf, _) = &self.home {
            // Whoever moved us elsewhere meanwhile wanted us there.
            let is_there =
                list_processes(leaf).is_ok_and(|there| there.contains(&(std::process::id() as i32)));
            // EBUSY: controllers stay enabled, so the base may hold nobody.
            let moved = if is_there { gone_is_fine(move_self(&self.base)) } else { Ok(()) };
            if !stays(leaf, moved.and_then(|()| remove_all(leaf, goes_on))) {
                self.home = Home::Base;
            }
        }
        left
    }

    /// The names a service's leaf may have, best first. No two curfews that live have one in common.
    fn service_paths(&self, name: &str) -> impl Iterator<Item = PathBuf> + use<> {
        let base = self.base.join(numbered(&format!("service-{}", sanitize(name)), self.number));
        (1..=NAMES_MAX).map(move |attempt| match attempt {
            1 => base.clone(),
            _ => {
                let mut path = base.clone().into_os_string();
                path.push(format!("+{attempt}"));
                path.into()
            }
        })
    }
}

/// Whether what we see as the root is the root of the whole hierarchy, which is nobody's to give.
///
/// Source: `CGROUP_NS_INIT_INO` of linux/nsfs.h.
fn is_in_first_namespace() -> bool {
    fs::read_link("/proc/self/ns/cgroup").is_ok_and(|name| name == Path::new("cgroup:[4026531835]"))
}

fn read_proc(file: &str) -> Result<Vec<u8>, CgroupUnavailable> {
    read(Path::new(file)).map_err(CgroupUnavailable::from_proc)
}

fn numbered(name: &str, number: u32) -> String {
    if number == 1 { name.to_owned() } else { format!("{name}.{number}") }
}

/// The longest part of a name that comes from outside: file names have 255 bytes.
const NAME_MAX: usize = 128;

/// A name is part of a file name. What is no letter, digit, `-` or `_` becomes `_`.
fn sanitize(name: &str) -> String {
    let plain = |character: char| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => character,
        _ => '_',
    };
    name.chars().take(NAME_MAX).map(plain).collect()
}

fn gone_is_fine(result: nix::Result<()>) -> nix::Result<()> {
    match result {
        Err(errno) if is_gone(errno) => Ok(()),
        other => other,
    }
}

/// Moves this process with all its threads. Children stay where they are.
///
/// EBUSY: the target has controllers enabled for its children. EACCES: one of the two is not ours. EOPNOTSUPP: the
/// target is threaded, or below one that is. ENOENT, ENODEV: the target was removed, or lies outside our cgroup
/// namespace. EAGAIN: the target's `pids.max`.
fn move_self(target: &Path) -> nix::Result<()> {
    write(&target.join("cgroup.procs"), "0")
}

/// Whether a directory is still the one that was locked. ENOENT: it was removed, and perhaps made again.
fn check_is_same(directory: &Path, lock: &fs::File) -> nix::Result<()> {
    let inode = |metadata: fs::Metadata| metadata.ino();
    let [there, locked] = [fs::metadata(directory).map(inode), lock.metadata().map(inode)];
    match (there, locked) {
        (Ok(there), Ok(locked)) if there == locked => Ok(()),
        _ => Err(Errno::ENOENT),
    }
}

/// `None`: another curfew holds it, or the directory is gone.
fn lock(directory: &Path) -> nix::Result<Option<Flock<fs::File>>> {
    let file = match fs::File::open(directory) {
        Ok(file) => file,
        Err(error) if is_gone(errno_of(&error)) => return Ok(None),
        Err(error) => return Err(errno_of(&error)),
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EAGAIN)) => Ok(None),
        Err((_, errno)) => Err(errno),
    }
}

/// Whether this directory is a cgroup at all: another mount may lie over it.
fn check_is_cgroup(directory: &Path) -> Result<(), CgroupUnavailable> {
    match statfs(directory) {
        Ok(file_system) if file_system.filesystem_type() == CGROUP2_SUPER_MAGIC => Ok(()),
        // EACCES: we may not come that far. ENOENT: the mount is covered.
        Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ENODEV) => Err(CgroupUnavailable::Elsewhere),
        Err(errno) => Err(CgroupUnavailable::from_errno(errno)),
    }
}

/// Whether this directory is the cgroup we are in: the mount may show another part.
fn check_is_own(directory: &Path) -> Result<(), CgroupUnavailable> {
    check_is_cgroup(directory)?;
    check_is_domain(directory)?;
    let there = list_processes(directory).map_err(CgroupUnavailable::from_errno)?;
    if there.contains(&(std::process::id() as i32)) { Ok(()) } else { Err(CgroupUnavailable::Elsewhere) }
}

/// Children of a threaded cgroup, or of one that has threaded children, cannot hold whole processes.
fn check_is_domain(directory: &Path) -> Result<(), CgroupUnavailable> {
    match read(&directory.join("cgroup.type")) {
        Ok(kind) if kind.trim_ascii() == b"domain" => Ok(()),
        Ok(_) => Err(CgroupUnavailable::Threaded),
        // The root of the whole hierarchy has no type.
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(CgroupUnavailable::from_errno(errno)),
    }
}

/// Whether we may make leaves in it, and move processes from it to them.
fn check_is_divisible(directory: &Path) -> Result<(), CgroupUnavailable> {
    let may_write = |path: &Path| {
        // EROFS: a read-only mount, as containers mostly have. EACCES: not ours.
        faccessat(AT_FDCWD, path, AccessFlags::W_OK, AtFlags::AT_EACCESS)
            .map_err(CgroupUnavailable::from_errno)
    };
    may_write(directory)?;
    may_write(&directory.join("cgroup.procs"))
}

fn is_delegated(directory: &Path, own: &Path) -> bool {
    let user = geteuid();
    let is_our_users = || fs::metadata(directory).is_ok_and(|metadata| metadata.uid() == user.as_raw());
    is_marked_as_delegated(directory)
        || (!user.is_root() && is_our_users())
        // Every cgroup has this file but the root of the whole hierarchy, which is the only other one called `/`.
        || (own == Path::new("/") && fs::exists(directory.join("cgroup.events")).unwrap_or(false))
}

/// Since version 251 systemd marks what it delegates; `trusted` can be read by root alone.
fn is_marked_as_delegated(directory: &Path) -> bool {
    [c"user.delegate", c"trusted.delegate"]
        .into_iter()
        .any(|name| extended_attribute(directory, name).is_ok_and(|value| value == b"1"))
}

/// With `DelegateSubgroup=` systemd starts us in a leaf of what it delegates: then its parent is ours to divide.
fn delegated_parent(own_directory: &Path, mount: &Mount) -> Option<(PathBuf, Flock<fs::File>)> {
    let parent = own_directory.parent()?;
    let is_inner = |processes: Vec<i32>| processes.is_empty();
    let is_ours = parent.starts_with(mount.point())
        && is_marked_as_delegated(parent)
        && check_is_domain(parent).is_ok()
        && check_is_divisible(parent).is_ok()
        && list_processes(parent).is_ok_and(is_inner);
    // A second curfew in the same leaf divides the leaf instead.
    let lock = if is_ours { lock(own_directory).ok()?? } else { return None };
    Some((parent.to_owned(), lock))
}

#[cfg(test)]
mod tests;
