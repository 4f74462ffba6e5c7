//! What the dashboard shows, and how it stops.

mod support;

use std::net::TcpListener;

use nix::sys::signal::Signal::{SIGINT, SIGTERM};
use support::{Connection, Folder};

#[test]
fn the_page_shows_the_figures() {
    let folder = Folder::new();
    let mut api = folder.api(&["--work-per-order", "1h"]);
    for _ in 0..3 {
        api.order();
    }
    let mut dashboard = folder.dashboard(&api.url(), &[]);
    let page = dashboard.get("/");
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: text/html"));
    for (name, figure) in [("Received", "3"), ("Processed", "0"), ("Pending", "3"), ("API running for", "")] {
        let row = format!("<tr><th scope=\"row\">{name}</th><td>{figure}");
        assert!(page.body.contains(&row), "{row}: {}", page.body);
    }
    for part in ["<!DOCTYPE html>", "<html lang=\"en\">", "<title>", "<h1>", "API: reachable at"] {
        assert!(page.body.contains(part), "{part}");
    }

    // The API goes, the dashboard stays and says so.
    api.stop(SIGTERM);
    let page = dashboard.get("/");
    assert_eq!(page.status, 200);
    let reason = format!("API: not reachable: cannot connect to {}: ", api.url());
    assert!(page.body.contains(&reason), "{}", page.body);
    assert_eq!(dashboard.get("/healthz").body, "ok");
    dashboard.stop(SIGTERM);
}

#[test]
fn a_stop_answers_the_page_in_flight() {
    let folder = Folder::new();
    // An API that takes the connection and says nothing until the test lets it.
    let silent_api = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", silent_api.local_addr().expect("an address"));
    let mut dashboard = folder.dashboard(&url, &["--drain-limit", "1h"]);
    let mut idle = Connection::open(&dashboard);
    assert_eq!(idle.get("/healthz").status, 200);
    let mut client = Connection::open(&dashboard);
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    let (question, _) = silent_api.accept().expect("the dashboard asks");

    dashboard.signal(SIGINT);
    dashboard.wait_for("stopped accepting, 1 request in flight");
    drop(question);
    let page = client.answer();
    assert_eq!(page.status, 200);
    assert!(page.body.contains("API: not reachable: "), "{}", page.body);
    assert!(page.closes_connection());
    assert!(idle.is_closed());
    assert_eq!(dashboard.wait().code(), Some(0));
    assert_eq!(
        dashboard.lines_since_stop(),
        [
            "dashboard: stop requested (SIGINT)",
            "dashboard: stopped accepting, 1 request in flight",
            "dashboard: bye"
        ]
    );
}

#[test]
fn an_api_that_never_answers_is_not_waited_for() {
    let folder = Folder::new();
    let silent_api = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", silent_api.local_addr().expect("an address"));
    let mut dashboard = folder.dashboard(&url, &[]);
    let page = dashboard.get("/");
    assert_eq!(page.status, 200);
    assert!(
        page.body.contains(&format!("API: not reachable: no answer from {url} within 1s")),
        "{}",
        page.body
    );
    dashboard.stop(SIGTERM);
}
