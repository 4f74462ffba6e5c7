//! The names of sockets that the service manager above has passed to us.
//!
//! Source: sd_listen_fds(3).

/// The number of the first descriptor that is passed; the others follow it.
pub const FIRST_PASSED: i32 = 3;

/// The names of the sockets that were passed to the process with this pid, in their order.
pub fn names_of_passed(
    pid: Option<&str>,
    count: Option<&str>,
    names: Option<&str>,
    own_pid: u32,
) -> Vec<String> {
    if pid.and_then(|pid| pid.parse().ok()) != Some(own_pid) {
        return Vec::new();
    }
    let count: usize = count.and_then(|count| count.parse().ok()).unwrap_or(0);
    let mut names = names.unwrap_or_default().split(':');
    // systemd calls a socket without a name "unknown".
    (0..count).map(|_| names.next().filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned()).collect()
}

/// Whether a socket has this name. Without `FileDescriptorName=` it is called as its unit: `http.socket`.
pub fn is_called(socket: &str, name: &str) -> bool {
    socket == name || socket.strip_suffix(".socket") == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_ours_if_the_pid_is() {
        let names = |pid, count, names| names_of_passed(pid, count, names, 7);
        assert_eq!(names(Some("7"), Some("2"), Some("http:admin")), ["http", "admin"]);
        assert_eq!(names(Some("7"), Some("2"), Some("http")), ["http", "unknown"]);
        assert_eq!(names(Some("7"), Some("1"), None), ["unknown"]);
        for (pid, count) in
            [(None, Some("1")), (Some("8"), Some("1")), (Some("7"), None), (Some("7"), Some("x"))]
        {
            assert_eq!(names(pid, count, Some("http")), Vec::<String>::new());
        }
    }

    #[test]
    fn a_unit_without_a_name_for_its_socket_gives_its_own() {
        assert!(is_called("http", "http") && is_called("http.socket", "http"));
        assert!(!is_called("http", "https") && !is_called("http.socket.socket", "http"));
    }
}
