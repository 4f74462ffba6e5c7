//! Services that ask for more time for what they do (`EXTEND_TIMEOUT_USEC=`).

use curfew::supervisor::{Notice, ReadyBy, ServiceMessage};

use crate::process::{Behaviour, Saying, When};
use crate::spec::{Spec, ms, service, task};
use crate::world::World;

/// What was granted, in milliseconds.
fn granted(world: &World) -> Vec<u128> {
    let granted = world.history.notices().filter_map(|(_, _, notice)| match notice {
        Notice::WaitExtended { granted, .. } => Some(granted.as_millis()),
        _ => None,
    });
    granted.collect()
}

/// Asks for so much more time when it is asked to end.
fn asking(behaviour: Behaviour, time: u64) -> Behaviour {
    behaviour.answering(ServiceMessage::Extend(ms(time)))
}

#[test]
fn who_asks_for_time_to_stop_gets_it_and_what_is_stopped_next_keeps_its_grace() {
    let api = service("api").grace("TERM 2s").after([0]).that(asking(Behaviour::obeys(ms(8000)), 10_000));
    let db = service("db").grace("TERM 5s").that(Behaviour::stubborn());
    let world = Spec::many([db, api]).deadline(ms(20_000), ms(1000)).term(ms(1000)).run();
    assert_eq!(granted(&world), [10_000]);
    world.ends(80, ms(14_000)).sent(
        "1.000s api TERM → leader 101
         9.000s db TERM → leader 100
         14.000s db KILL → all 100",
    );
}

#[test]
fn more_than_is_left_beside_the_others_is_not_granted() {
    let api = service("api").grace("TERM 2s").after([0]).that(asking(Behaviour::stubborn(), 60_000));
    let db = service("db").grace("TERM 5s").that(Behaviour::stubborn());
    let world = Spec::many([db, api]).deadline(ms(20_000), ms(1000)).term(ms(1000)).run();
    // 18.9 s, less 0.5 s for each of three levels, less the 5 s behind it.
    assert_eq!(granted(&world), [12_400]);
    world.ends(80, ms(18_400)).sent(
        "1.000s api TERM → leader 101
         13.400s api KILL → all 101
         13.400s db TERM → leader 100
         18.400s db KILL → all 100",
    );
}

#[test]
fn what_runs_after_the_end_keeps_its_time_too() {
    let api = service("api")
        .grace("TERM 2s")
        .after([0])
        .post_stop(ms(3000), Behaviour::stubborn())
        .that(asking(Behaviour::stubborn(), 60_000));
    let db = service("db").grace("TERM 5s").that(Behaviour::stubborn());
    let world = Spec::many([db, api]).deadline(ms(20_000), ms(1000)).term(ms(1000)).run();
    // 18.9 s, less 0.475 s for each of four levels, less 3 s and 5 s.
    assert_eq!(granted(&world), [9_000]);
    assert!(!world.told(|notice| matches!(notice, Notice::BudgetShrunk { .. })), "{world}");
    world.ends(80, ms(18_000));
}

#[test]
fn where_all_is_shortened_there_is_nothing_more_to_give() {
    let api = service("api").grace("TERM 8s").after([0]).that(asking(Behaviour::stubborn(), 60_000));
    let db = service("db").that(Behaviour::stubborn());
    let world = Spec::many([db, api]).deadline(ms(10_000), ms(1000)).term(ms(1000)).run();
    assert_eq!(granted(&world), []);
    world.ends(80, ms(9300));
}

#[test]
fn what_follows_an_extended_wait_ends_with_the_share() {
    let behaviour = asking(Behaviour::stubborn(), 60_000);
    let api = service("api").grace("TERM 2s, INT 3s").after([0]).that(behaviour);
    let db = service("db").grace("TERM 5s").that(Behaviour::stubborn());
    let world = Spec::many([db, api]).deadline(ms(20_000), ms(1000)).term(ms(1000)).run();
    world.sent(
        "1.000s api TERM → leader 101
         13.400s api INT → leader 101
         13.400s api KILL → all 101
         13.400s db TERM → leader 100
         18.400s db KILL → all 100",
    );
}

#[test]
fn time_asked_for_in_a_pre_stop_is_taken_from_the_drain_behind_it() {
    // It asks as soon as its pre-stop runs.
    let says = Behaviour::stubborn().saying(ms(1100), ServiceMessage::Extend(ms(60_000)));
    let api =
        service("api").grace("TERM 2s").after([0]).drain(ms(2000)).pre_stop(ms(1000), Behaviour::stubborn());
    let db = service("db").grace("TERM 5s").that(Behaviour::stubborn());
    let world = Spec::many([db, api.that(says)]).deadline(ms(20_000), ms(1000)).term(ms(1000)).run();
    assert!(world.finished_at() <= ms(18_400), "{world}");
    assert!(!world.told(|notice| matches!(notice, Notice::BudgetShrunk { .. })), "{world}");
}

#[test]
fn nobody_gets_more_time_after_kill() {
    let saying = |after| Saying { when: When::After(ms(after)), message: ServiceMessage::Extend(ms(60_000)) };
    let behaviour = Behaviour { says: vec![saying(3200)], ..Behaviour::unkillable() };
    let api = service("api").grace("TERM 2s").that(behaviour);
    let world = Spec::many([api]).deadline(ms(20_000), ms(1000)).term(ms(1000)).run();
    assert_eq!(granted(&world), []);
}

#[test]
fn without_a_deadline_all_that_is_asked_for_is_granted() {
    let api = service("api").grace("TERM 2s").that(asking(Behaviour::obeys(ms(90_000)), 100_000));
    let world = Spec::many([api]).term(ms(1000)).run();
    world.ends(0, ms(91_000));
}

#[test]
fn less_than_what_is_left_changes_nothing() {
    let api = service("api").grace("TERM 9s").that(asking(Behaviour::stubborn(), 2000));
    let world = Spec::many([api]).term(ms(1000)).run();
    assert_eq!(granted(&world), []);
    world.ends(80, ms(10_000));
}

#[test]
fn a_start_that_makes_progress_may_take_longer() {
    let behaviour = Behaviour::obeys(ms(0))
        .saying(ms(800), ServiceMessage::Extend(ms(1000)))
        .saying(ms(1700), ServiceMessage::Extend(ms(1000)));
    let api = |behaviour| service("api").ready(ReadyBy::Notify, ms(1000)).that(behaviour);
    let ready = behaviour.clone().saying(ms(2500), ServiceMessage::Ready);
    Spec::many([api(ready)]).term(ms(5000)).run().ends(0, ms(5000));
    Spec::many([api(behaviour)]).run().ends(82, ms(2700));
}

#[test]
fn a_task_that_makes_progress_may_take_longer() {
    let behaviour = Behaviour::ends(ms(2500), curfew::supervisor::End::Exited(0));
    let job = task("job").within(ms(1000)).that(behaviour.saying(ms(500), ServiceMessage::Extend(ms(2500))));
    Spec::many([job]).run().ends(0, ms(2500));
}

#[test]
fn time_that_was_granted_without_a_deadline_ends_with_the_share_of_a_stop_that_comes() {
    let api = service("api").grace("TERM 2s").after([0]).that(asking(Behaviour::stubborn(), 600_000));
    let db = service("db").grace("TERM 5s").that(Behaviour::stubborn());
    let spec = Spec::many([db, api]).deadline(ms(20_000), ms(1000)).stop(ms(1000), 1).term(ms(10_000));
    let world = spec.run();
    world.ends(80, ms(27_400)).sent(
        "1.000s api TERM → leader 101
         22.400s api KILL → all 101
         22.400s db TERM → leader 100
         27.400s db KILL → all 100",
    );
}
