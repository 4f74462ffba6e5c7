//! Socket activation: systemd listens, curfew passes the sockets on.

use crate::expect;
use crate::lab::Lab;

#[test]
fn a_service_gets_the_sockets_that_it_asks_for_and_no_others() {
    let Some(lab) = Lab::boot() else { return };
    let path = lab.file(
        "system.toml",
        "[service.worker]\n\
         command = [\"fixture\", \"script\", \"tell-variable:LISTEN_FDS\", \"until:TERM\"]\n\
         [service.api]\nsockets = [\"http\"]\n\
         command = [\"fixture\", \"script\", \"tell-sockets\", \"until:TERM\"]\n",
    );
    // Two sockets: the service's is the second, so it has to be moved to the first place.
    lab.unit(
        "other.socket",
        "[Socket]\nListenStream=127.0.0.1:8101\nFileDescriptorName=other\nService=system.service\n",
    );
    lab.unit(
        "http.socket",
        "[Socket]\nListenStream=127.0.0.1:8100\nFileDescriptorName=http\nService=system.service\n",
    );
    lab.unit(
        "system.service",
        &format!(
            "[Service]\nType=notify\nExecStart=/usr/local/bin/curfew run --deadline 10s --config {path}\n\
             KillMode=mixed\nSockets=other.socket http.socket\n"
        ),
    );
    lab.systemctl(["start", "other.socket", "http.socket"]).succeeds();
    // The first client starts the unit, and is answered by the service itself.
    let client = "exec 3<>/dev/tcp/127.0.0.1/8100 && read -r line <&3 && echo \"$line\"";
    assert_eq!(lab.run(["bash", "-c", client]).succeeds().stdout, "reached");
    let follower = lab.follow("system.service");
    follower.wait_for("api: sockets are for this process: true");
    follower.wait_for("api: socket 3 http 127.0.0.1:8100");
    follower.wait_for("worker: LISTEN_FDS is not set");
    lab.systemctl(["stop", "system.service"]).succeeds();
    expect::stopped_with(&lab, "system.service", "success", "0");
}

/// One command inherits what curfew was given, and finds it meant for itself.
#[test]
fn one_command_gets_every_socket() {
    let Some(lab) = Lab::boot() else { return };
    lab.unit("one.socket", "[Socket]\nListenStream=127.0.0.1:8100\nFileDescriptorName=http\n");
    lab.unit(
        "one.service",
        "[Service]\nType=notify\nKillMode=mixed\n\
         ExecStart=/usr/local/bin/curfew run --deadline 10s -- fixture script tell-sockets until:TERM\n",
    );
    lab.systemctl(["start", "one.socket"]).succeeds();
    let client = "exec 3<>/dev/tcp/127.0.0.1/8100 && read -r line <&3 && echo \"$line\"";
    assert_eq!(lab.run(["bash", "-c", client]).succeeds().stdout, "reached");
    lab.follow("one.service").wait_for("sockets are for this process: true");
    lab.systemctl(["stop", "one.service"]).succeeds();
    expect::stopped_with(&lab, "one.service", "success", "0");
}
