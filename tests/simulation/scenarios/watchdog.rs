//! Services that say that they are well, and what comes of it when they do not.

use std::time::Duration;

use curfew::supervisor::{Failure, Limit, Notice, ReadyBy, RestartWhen, ServiceMessage};

use crate::process::Behaviour;
use crate::spec::{Spec, ms, service};

#[test]
fn a_service_late_for_its_watchdog_stops_the_system_with_82() {
    // Its last sign comes at 1.5 s.
    let api = service("api").watchdog(ms(1000)).that(Behaviour::obeys(ms(0)).pinging(ms(500), 3));
    let world = Spec::many([api]).run();
    world.ends(82, ms(2500));
    assert!(world.told(|notice| matches!(
        notice,
        Notice::ServiceFailing { failure: Failure::Watchdog, limit: Limit::Time(time), .. } if *time == ms(1000)
    )));
}

#[test]
fn a_service_late_for_its_watchdog_does_not_disturb_the_others() {
    let api = service("api")
        .watchdog(ms(1000))
        .grace("TERM 1s")
        .that(Behaviour::stubborn().pinging(ms(500), 3))
        .then(Behaviour::obeys(ms(0)).pinging(ms(500), 100))
        .restart(RestartWhen::OnFailure);
    let spec = Spec::many([service("db"), api.after([0]), service("web").after([1])]);
    let world = spec.platform_watchdog(ms(1000)).term(ms(10_000)).run();
    world.ends(0, ms(10_000)).sent(
        "2.500s api TERM → leader 101
         3.500s api KILL → all 101
         10.000s web TERM → leader 102
         10.000s api TERM → leader 103
         10.000s db TERM → leader 100",
    );
    assert_eq!(world.commands_of("tell platform Ping").len(), 20);
}

#[test]
fn the_watchdog_begins_when_the_service_is_ready() {
    let behaviour = Behaviour::obeys(ms(0)).saying(ms(5000), ServiceMessage::Ready);
    let api = service("api").watchdog(ms(1000)).ready(ReadyBy::Notify, ms(9000)).that(behaviour);
    Spec::many([api]).run().ends(82, ms(6000));
}

#[test]
fn a_service_may_choose_its_own_interval_before_it_is_ready_too() {
    let says = |at: u64, every| {
        Behaviour::obeys(ms(0))
            .saying(ms(100), ServiceMessage::Ready)
            .saying(ms(at), ServiceMessage::WatchdogEvery(every))
    };
    let api = |behaviour| service("api").watchdog(ms(1000)).ready(ReadyBy::Notify, ms(9000)).that(behaviour);
    Spec::many([api(says(50, Some(ms(3000))))]).run().ends(82, ms(3100));
    Spec::many([api(says(600, Some(ms(3000))))]).run().ends(82, ms(3600));
    // Not any more.
    Spec::many([api(says(50, None))]).term(ms(60_000)).run().ends(0, ms(60_000));
    // Who is not watched has nothing to choose.
    let unwatched = service("api").that(says(50, Some(ms(10)))).ready(ReadyBy::Notify, ms(9000));
    Spec::many([unwatched]).term(ms(60_000)).run().ends(0, ms(60_000));
}

#[test]
fn a_choice_of_one_life_is_forgotten_in_the_next() {
    let first = Behaviour::obeys(ms(0))
        .saying(ms(0), ServiceMessage::WatchdogEvery(None))
        .saying(ms(500), ServiceMessage::Alive);
    let first = Behaviour { unasked: Some((ms(2000), curfew::supervisor::End::Exited(3))), ..first };
    let api = service("api").watchdog(ms(1000)).that(first).then(Behaviour::obeys(ms(0)));
    let world =
        Spec::many([api.restart(RestartWhen::OnFailure).restart_limit(1, Duration::from_secs(60))]).run();
    // It is late in its second life.
    assert_eq!(world.status(), 82);
}

#[test]
fn trouble_that_a_service_tells_of_itself_is_the_end_of_its_time() {
    let api = service("api")
        .watchdog(ms(60_000))
        .that(Behaviour::obeys(ms(0)).saying(ms(700), ServiceMessage::Trouble));
    let world = Spec::many([api]).run();
    world.ends(82, ms(700));
    assert!(world.told(|notice| matches!(notice, Notice::ServiceFailing { limit: Limit::None, .. })));
}

#[test]
fn no_watchdog_bites_in_a_stop_whatever_is_said() {
    let behaviour = Behaviour::obeys(ms(0))
        .saying(ms(1500), ServiceMessage::Alive)
        .saying(ms(1600), ServiceMessage::WatchdogEvery(Some(ms(100))))
        .saying(ms(1800), ServiceMessage::Trouble);
    // It waits for its turn.
    let db = service("db").watchdog(ms(3000)).that(behaviour);
    let api = service("api").after([0]).that(Behaviour::obeys(ms(5000)));
    let world = Spec::many([db, api]).term(ms(1000)).run();
    world.ends(0, ms(6000));
    assert!(!world.told(|notice| matches!(notice, Notice::ServiceFailing { .. })));
}
