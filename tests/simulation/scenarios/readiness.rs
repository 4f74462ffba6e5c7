//! When a service counts as ready, and what comes of it if it never does.

use std::time::Duration;

use curfew::supervisor::{Cause, Failure, Notice, ReadyBy, ServiceMessage};

use crate::process::{Answer, Behaviour, Start};
use crate::spec::{ServiceSpec, Spec, done_after, ms, service, task};
use crate::world::World;

fn started(world: &World) -> Vec<String> {
    world.starts().into_iter().map(|(at, name)| format!("{name} {}", at.as_millis())).collect()
}

/// Probes of it fail with 503 for so long.
fn probed(name: &str, unready_for: u64) -> ServiceSpec {
    let behaviour = Behaviour::obeys(Duration::ZERO)
        .ready_after(ms(0), Answer::Sick(ms(10), 503))
        .ready_after(ms(unready_for), Answer::Well(ms(10)));
    service(name).that(behaviour).ready(ReadyBy::Probe, ms(30_000))
}

#[test]
fn a_task_two_services_and_a_chain_start_in_order_each_when_the_one_before_is_ready() {
    let migrate = task("migrate").that(done_after(ms(700)));
    let api = probed("api", 1000).after([0]);
    let dashboard = service("dashboard").after([1]);
    let world = Spec::many([migrate, api, dashboard]).term(ms(5000)).run();
    // Probes begin at the exec, last 10 ms, and come again 250 ms after the one before: the fifth succeeds.
    assert_eq!(started(&world), ["migrate 0", "api 700", "dashboard 1750"]);
    world.ends(0, ms(5000)).sent(
        "5.000s dashboard TERM → leader 102
         5.000s api TERM → leader 101",
    );
}

#[test]
fn a_service_that_is_never_ready_ends_everything_with_82_and_says_what_the_probe_saw() {
    let behaviour = Behaviour::obeys(Duration::ZERO).ready_after(ms(0), Answer::Sick(ms(10), 503));
    let api = service("api").that(behaviour).ready(ReadyBy::Probe, ms(30_000));
    let world = Spec::many([service("db"), api.after([0]), service("web").after([1])]).run();
    assert_eq!(started(&world), ["db 0", "api 0"]);
    world.ends(82, ms(30_000));
    assert!(world.told(|notice| matches!(
        notice,
        Notice::ServiceFailing { failure: Failure::NotReady, last_seen: Some(seen), .. } if seen == "status 503"
    )));
    let cause = world.history.stop().map(|(_, _, cause)| cause);
    assert!(matches!(cause, Some(Cause::ServiceFailed { failure: Failure::NotReady, .. })));
    // The same again and again is said once.
    assert_eq!(world.times_told(|notice| matches!(notice, Notice::ProbeFailed { .. })), 1);
}

#[test]
fn a_ready_message_that_comes_with_the_news_of_the_exec_is_not_lost() {
    // Both wait for the same wake-up, and come in any order.
    for seed in 0..16 {
        let behaviour =
            Behaviour::obeys(ms(0)).starting(Start::Executes(ms(100))).saying(ms(0), ServiceMessage::Ready);
        let api = service("api").that(behaviour).ready(ReadyBy::Notify, ms(1000));
        let spec = Spec::many([api]).term(ms(5000));
        let world = Spec { seed, shuffles: true, ..spec }.run();
        world.ends(0, ms(5000));
    }
}
