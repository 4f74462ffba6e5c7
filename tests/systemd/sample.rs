//! The sample system inside the lab, with orders coming in.

use serde_json::Value;

use crate::lab::{Background, Lab, SHARED};

pub(crate) const API: &str =
    "/usr/local/bin/supervised-app api --listen 127.0.0.1:8000 --database /tmp/orders.db";
pub(crate) const DASHBOARD: &str =
    "/usr/local/bin/supervised-app dashboard --listen 127.0.0.1:8001 --api http://127.0.0.1:8000";

/// The sample system's configuration: `top` is what stands above its services, `api` the API's further switches.
pub(crate) fn config(top: &str, api: &str) -> String {
    format!(
        "{top}\n[service.api]\ncommand = \"{API} {api}\"\n\n[service.dashboard]\ncommand = \"{DASHBOARD}\"\n\
         after = [\"api\"]\n"
    )
}

/// Waits until both take requests.
#[track_caller]
pub(crate) fn wait_until_it_listens(unit: &Background) {
    unit.wait_for("api: listening");
    unit.wait_for("dashboard: listening");
}

/// Orders that come in until the API takes no more. When this returns, the first one was acknowledged.
#[track_caller]
pub(crate) fn orders(lab: &Lab) -> Background {
    let orders = lab.start(["supervised-app", "orders", "--until-refused", "--clients", "8"]);
    orders.wait_for_error("first order acknowledged");
    orders
}

/// Every order that the API acknowledged must be in its database. Returns what became of the orders.
#[track_caller]
pub(crate) fn assert_orders_are_kept(lab: &Lab, orders: Background) -> Value {
    let outcome = orders.finish().succeeds();
    lab.file("acknowledged.json", &outcome.stdout);
    let acknowledged = format!("{SHARED}/acknowledged.json");
    lab.run(["supervised-app", "verify", "--database", "/tmp/orders.db", "--acknowledged", &acknowledged])
        .succeeds();
    let outcome: Value = serde_json::from_str(&outcome.stdout).expect("a line of JSON");
    assert!(outcome["acknowledged"].as_array().is_some_and(|ids| !ids.is_empty()), "{outcome}");
    outcome
}
