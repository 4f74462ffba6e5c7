/// The unit of a service manager that a process runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnUnit {
    /// Its name, such as `myproject.service`.
    pub name: String,
    /// Whether a user's manager has it, and not the system's.
    pub is_of_user: bool,
}

impl OwnUnit {
    /// The service unit that a process with this `/proc/PID/cgroup` is in; `None`: there is none, or it is not told.
    ///
    /// Groups below the unit's own are passed over: curfew, or whoever it was given to, may have made some. A scope (a
    /// login session, a container) is no service.
    ///
    /// Source: cgroups(7); systemd's `cg_path_get_unit`.
    pub fn of_cgroup(text: &str) -> Option<Self> {
        // Where there are several hierarchies, systemd's own is the one called so, or the unified one.
        let path =
            |hierarchy: &str| text.lines().find_map(|line| line.split_once(':')?.1.strip_prefix(hierarchy));
        [path("name=systemd:"), path(":")].into_iter().flatten().find_map(Self::of_path)
    }

    fn of_path(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let is_unit = |part: &&str| [".service", ".scope"].iter().any(|kind| part.ends_with(kind));
        let place = parts.iter().rposition(is_unit)?;
        // A name that would clash with a file of the kernel's has a `_` in front.
        let name = parts[place].strip_prefix('_').unwrap_or(parts[place]);
        let is_manager = |part: &&str| part.starts_with("user@") && part.ends_with(".service");
        name.ends_with(".service")
            .then(|| Self { name: name.to_owned(), is_of_user: parts[..place].iter().any(is_manager) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str) -> Option<(String, bool)> {
        OwnUnit::of_cgroup(text).map(|unit| (unit.name, unit.is_of_user))
    }

    fn is(name: &str, is_of_user: bool) -> Option<(String, bool)> {
        Some((name.to_owned(), is_of_user))
    }

    #[test]
    fn the_unit_is_found_in_every_kind_of_hierarchy() {
        assert_eq!(unit("0::/system.slice/myproject.service\n"), is("myproject.service", false));
        assert_eq!(
            unit(
                "12:pids:/system.slice/a.service\n1:name=systemd:/system.slice/a.service\n0::/system.slice/a.service\n"
            ),
            is("a.service", false)
        );
        assert_eq!(
            unit("4:memory:/x\n1:name=systemd:/system.slice/b.service\n0::/\n"),
            is("b.service", false)
        );
        assert_eq!(unit("1:name=systemd:/\n0::/system.slice/c.service\n"), is("c.service", false));
    }

    #[test]
    fn groups_below_the_unit_are_passed_over() {
        assert_eq!(unit("0::/system.slice/a.service/curfew\n"), is("a.service", false));
        assert_eq!(unit("0::/system.slice/system-a.slice/a@1.service/x/y\n"), is("a@1.service", false));
    }

    #[test]
    fn a_unit_of_a_users_manager_is_told_apart() {
        let path = "/user.slice/user-1000.slice/user@1000.service/app.slice/a.service";
        assert_eq!(unit(&format!("0::{path}\n")), is("a.service", true));
        // The manager itself is a unit of the system.
        let path = "/user.slice/user-1000.slice/user@1000.service/init.scope";
        assert_eq!(unit(&format!("0::{path}\n")), None);
        assert_eq!(
            unit("0::/user.slice/user-1000.slice/user@1000.service\n"),
            is("user@1000.service", false)
        );
    }

    #[test]
    fn a_name_that_clashes_is_read_as_it_was_meant() {
        assert_eq!(unit("0::/system.slice/_memory.service\n"), is("memory.service", false));
    }

    #[test]
    fn who_is_in_no_service_is_told_nothing() {
        for text in [
            "",
            "0::/\n",
            "0::/user.slice/user-0.slice/session-1.scope\n",
            "0::/system.slice/docker-0123.scope\n",
            "0::/machine.slice/libpod-0123.scope/container\n",
            "4:memory:/system.slice/a.service\n",
            "garbage",
        ] {
            assert_eq!(unit(text), None, "{text:?}");
        }
    }
}
