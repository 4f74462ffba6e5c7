//! When a service counts as ready, and what comes of it if it never does.

use std::time::Duration;

use curfew::supervisor::{Cause, End, Failure, Limit, Notice, ReadyBy, RestartWhen, ServiceMessage};

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

#[test]
fn a_service_that_says_it_is_ready_is_and_one_that_does_not_has_failed() {
    for by in [ReadyBy::Notify, ReadyBy::Descriptor] {
        let says = Behaviour::obeys(ms(0)).saying(ms(400), ServiceMessage::Ready);
        let spec = Spec::many([service("api").that(says).ready(by, ms(1000)), service("web").after([0])]);
        assert_eq!(started(&spec.term(ms(2000)).run()), ["api 0", "web 400"]);
        let silent = service("api").ready(by, ms(1000));
        Spec::many([silent]).run().ends(82, ms(1000));
    }
}

#[test]
fn a_service_that_closes_its_descriptor_without_a_word_has_failed_unless_that_was_its_end() {
    let closes = || Behaviour::obeys(ms(0)).saying(ms(400), ServiceMessage::NeverReady);
    let api = |behaviour| service("api").that(behaviour).ready(ReadyBy::Descriptor, ms(60_000));
    let world = Spec::many([api(closes())]).run();
    world.ends(82, ms(500));
    assert!(world.told(|notice| matches!(
        notice,
        Notice::ServiceFailing { failure: Failure::NotReady, limit: Limit::Closed, .. }
    )));
    let ends = Behaviour::ends(ms(450), End::Exited(3)).saying(ms(400), ServiceMessage::NeverReady);
    Spec::many([api(ends)]).run().ends(3, ms(450));
    // Only who is awaited there.
    let notifies = closes().saying(ms(900), ServiceMessage::Ready);
    let other = service("api").that(notifies).ready(ReadyBy::Notify, ms(1000));
    Spec::many([other]).term(ms(2000)).run().ends(0, ms(2000));
}

#[test]
fn a_word_that_nobody_waits_for_makes_nobody_ready() {
    let says = Behaviour::obeys(ms(0)).saying(ms(100), ServiceMessage::Ready);
    let sick = says.ready_after(ms(0), Answer::Sick(ms(10), 500));
    Spec::many([service("api").that(sick).ready(ReadyBy::Probe, ms(1000))]).run().ends(82, ms(1000));
}

#[test]
fn the_time_to_be_ready_begins_with_the_fork_and_stops_a_start_that_hangs() {
    let hangs = Behaviour::obeys(ms(0)).starting(Start::Hangs);
    let api = service("api").grace("TERM 1s").that(hangs).ready(ReadyBy::Notify, ms(1000));
    Spec::many([api]).run().ends(82, ms(2000));
}

#[test]
fn a_probe_that_never_comes_back_is_given_up_and_made_again() {
    let behaviour =
        Behaviour::obeys(ms(0)).ready_after(ms(0), Answer::Never).ready_after(ms(3000), Answer::Well(ms(20)));
    let api = service("api").that(behaviour).ready(ReadyBy::Probe, ms(60_000));
    let world = Spec::many([api, service("web").after([0])]).term(ms(9000)).run();
    // 3 s for the first, then 250 ms.
    assert_eq!(started(&world), ["api 0", "web 3270"]);
    assert!(world.told(|notice| matches!(
        notice,
        Notice::ProbeFailed { failures: 1, reason, .. } if reason == "no answer in time"
    )));
}

#[test]
fn a_hanging_probe_delays_no_stop() {
    let behaviour = Behaviour::obeys(ms(100)).ready_after(ms(0), Answer::Never);
    let api = service("api").that(behaviour).ready(ReadyBy::Probe, ms(60_000));
    let world = Spec::many([api]).term(ms(1000)).run();
    world.ends(0, ms(1100));
    assert!(world.history.trace().contains("1.000s api abandon probe"));
}

#[test]
fn a_service_that_is_not_essential_and_never_ready_is_stopped_and_what_comes_after_it_starts() {
    let extra =
        service("extra").not_essential().ready(ReadyBy::Notify, ms(1000)).that(Behaviour::obeys(ms(200)));
    let world = Spec::many([extra, service("api").after([0])]).term(ms(3000)).run();
    assert_eq!(started(&world), ["extra 0", "api 1200"]);
    world.ends(0, ms(3000)).sent("1.000s extra TERM → leader 100\n3.000s api TERM → leader 101");
    assert_eq!(world.times_told(|notice| matches!(notice, Notice::DependencyFailed { .. })), 1);
}

#[test]
fn a_service_that_ends_with_success_before_it_was_ready_is_a_failed_dependency() {
    let extra = service("extra").not_essential().ready(ReadyBy::Notify, ms(9000)).that(done_after(ms(300)));
    let world = Spec::many([extra, service("api").after([0])]).term(ms(3000)).run();
    assert_eq!(started(&world), ["extra 0", "api 300"]);
    assert_eq!(world.times_told(|notice| matches!(notice, Notice::DependencyFailed { .. })), 1);
}

#[test]
fn who_has_begun_to_stop_does_not_become_ready_any_more() {
    // `db` is started again when `api` is up, and says that it is ready while `api` stops.
    let says = Behaviour::obeys(ms(0)).saying(ms(2000), ServiceMessage::Ready);
    let db = service("db")
        .that(
            Behaviour::ends(ms(1000), curfew::supervisor::End::Exited(3))
                .saying(ms(0), ServiceMessage::Ready),
        )
        .then(says)
        .ready(ReadyBy::Notify, ms(9000))
        .restart(RestartWhen::OnFailure)
        .drain(ms(500))
        .watchdog(ms(100));
    let db = ServiceSpec { behaviour: db.behaviour.clone().pinging(ms(50), 20), ..db };
    let api = service("api").after([0]).that(Behaviour::obeys(ms(2500)));
    let world = Spec::many([db, api]).term(ms(2000)).run();
    world.ends(0, ms(4500)).sent("2.000s api TERM → leader 101\n4.500s db TERM → leader 102");
    assert_eq!(world.times_told(|notice| matches!(notice, Notice::ServiceReady { .. })), 2);
}

#[test]
fn nobody_is_probed_in_a_stop_even_if_its_start_ends_then() {
    let db = service("db")
        .that(Behaviour::ends(ms(1000), curfew::supervisor::End::Exited(3)))
        .then(Behaviour::obeys(ms(0)).starting(Start::Executes(ms(2000))))
        .ready(ReadyBy::Probe, ms(9000))
        .restart(RestartWhen::OnFailure);
    let api = service("api").after([0]).that(Behaviour::obeys(ms(2500)));
    let world = Spec::many([db, api]).term(ms(2000)).run();
    world.ends(0, ms(4500));
    assert_eq!(world.history.trace().matches("db probe").count(), 1);
}

#[test]
fn a_death_that_is_held_back_ends_its_probes_at_once() {
    let by_term = curfew::supervisor::End::Signaled { number: 15, core_dumped: false };
    let behaviour = Behaviour::ends(ms(1000), by_term).ready_after(ms(0), Answer::Never);
    let api = service("api").that(behaviour).ready(ReadyBy::Probe, ms(60_000));
    let world = Spec::many([api]).run();
    assert!(world.history.trace().contains("1.000s api abandon probe"));
    world.ends(143, ms(1100));
}

#[test]
fn a_reload_before_it_was_ever_ready_does_not_swallow_the_word() {
    let says = Behaviour::obeys(ms(0))
        .saying(ms(300), ServiceMessage::Reloading)
        .saying(ms(400), ServiceMessage::Ready);
    let api = service("api").that(says).ready(ReadyBy::Notify, ms(1000));
    Spec::many([api]).term(ms(2000)).run().ends(0, ms(2000));
}

#[test]
fn a_task_is_ready_by_its_end_whatever_it_says() {
    let says = done_after(ms(500)).starting(Start::Executes(ms(100))).saying(ms(0), ServiceMessage::Ready);
    let job = task("job").that(says).ready(ReadyBy::Notify, ms(1000));
    let world = Spec::many([job, service("api").after([0])]).term(ms(2000)).run();
    assert_eq!(started(&world), ["job 0", "api 600"]);
}
