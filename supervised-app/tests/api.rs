//! What the API answers, and how it fails to start.

mod support;

use std::net::TcpListener;

use nix::sys::signal::Signal::SIGTERM;
use support::{Finished, Folder};

#[test]
fn an_order_is_stored_and_shown() {
    let folder = Folder::new();
    let mut api = folder.api(&["--work-per-order", "1h"]);
    let (first, second) = (api.order(), api.order());
    assert!(second > first);

    let order = api.get(&format!("/orders/{first}")).json();
    assert_eq!(
        (&order["item"], &order["quantity"], &order["state"]),
        (&"tea".into(), &2.into(), &"pending".into())
    );
    let list = api.get("/orders?limit=1").json();
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    assert_eq!(list[0]["id"], second);
    let statistics = api.get("/stats").json();
    assert_eq!((&statistics["received"], &statistics["processed"]), (&2.into(), &0.into()));
    assert_eq!((&statistics["pending"], &statistics["in_flight"]), (&2.into(), &1.into()));
    assert!(statistics["uptime_seconds"].is_u64());
    api.stop(SIGTERM);
}

#[test]
fn a_wrong_request_is_refused_with_a_reason() {
    let folder = Folder::new();
    let mut api = folder.api(&[]);
    for (json, status, reason) in [
        (r#"{"item": "#, 400, "send JSON like"),
        (r#"{"item": "tea"}"#, 422, "quantity"),
        (r#"{"item": "tea", "quantity": 1, "colour": 2}"#, 422, "colour"),
        (r#"{"item": " ", "quantity": 1}"#, 422, "the item is empty"),
        (r#"{"item": "tea", "quantity": 0}"#, 422, "the quantity is 0; use a number from 1"),
    ] {
        let answer = api.post_order(json);
        assert_eq!(answer.status, status, "{json}: {}", answer.body);
        let error = answer.json()["error"].as_str().expect("a reason").to_owned();
        assert!(error.contains(reason), "{json}: {error}");
    }
    for (path, status) in
        [("/orders/77", 404), ("/orders/x", 400), ("/orders?limit=x", 400), ("/nothing", 404)]
    {
        let answer = api.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.json()["error"].is_string());
    }
    assert_eq!(api.get("/stats").json()["received"], 0);
    api.stop(SIGTERM);
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let api = Finished::of(folder.command(&["api", "--database", "orders.db", "--listen", &address]));
    let dashboard = Finished::of(folder.command(&["dashboard", "--listen", &address]));
    for (name, finished) in [("api", api), ("dashboard", dashboard)] {
        assert_eq!(finished.status.code(), Some(1));
        assert_eq!(
            finished.errors,
            format!(
                "{name}: cannot listen on {address}: address already in use; stop the other program or choose \
                 another port with --listen\n"
            )
        );
    }
}

#[test]
fn a_database_that_cannot_be_opened_is_one_clear_line() {
    let folder = Folder::new();
    std::fs::write(folder.file("text.db"), "this is not a database, whatever its name says".repeat(100))
        .expect("a file in our folder");
    for path in ["no/such/folder/orders.db", "text.db"] {
        let finished = Finished::of(folder.command(&["api", "--listen", "127.0.0.1:0", "--database", path]));
        assert_eq!(finished.status.code(), Some(1), "{path}");
        let start = format!("api: cannot open the database {path}: ");
        assert!(
            finished.errors.starts_with(&start) && finished.errors.lines().count() == 1,
            "{}",
            finished.errors
        );
    }
}
