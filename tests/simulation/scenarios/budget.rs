use curfew::supervisor::{Notice, Signal};

use crate::process::{Behaviour, Bond, When};
use crate::spec::{Input, Spec, ms, service};

fn shrunk(world: &crate::world::World) -> Vec<(u64, u128, u128)> {
    let told = world.history.notices().filter_map(|(_, at, notice)| match notice {
        Notice::BudgetShrunk { from, to, .. } => {
            Some((at.since_start().as_millis() as u64, from.as_millis(), to.as_millis()))
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn what_just_fits_is_not_shortened() {
    let api = service("api").grace("TERM 8s").that(Behaviour::stubborn());
    // 9 s of budget: 0.1 s for the report, 0.45 s for each of two levels.
    let world = Spec::many([api]).deadline(ms(10_000), ms(1000)).term(ms(0)).run();
    world.ends(80, ms(8000));
    assert_eq!(shrunk(&world), []);
}

#[test]
fn what_does_not_fit_is_shortened_in_proportion() {
    let api = service("api").grace("TERM 12s, INT 4s").that(Behaviour::stubborn());
    let world = Spec::many([api]).deadline(ms(10_000), ms(1000)).term(ms(0)).run();
    world.ends(80, ms(8000)).sent(
        "0.000s api TERM → leader 100
         6.000s api INT → leader 100
         8.000s api KILL → all 100",
    );
    assert_eq!(shrunk(&world), [(0, 16_000, 8000)]);
}

#[test]
fn the_waits_along_the_order_are_shortened_alike() {
    let db = service("db").that(Behaviour::stubborn());
    let api = service("api").after([0]).that(Behaviour::stubborn());
    let world = Spec::many([db, api]).deadline(ms(10_000), ms(1000)).term(ms(1000)).run();
    // 8.9 s, less 0.3 s for each of three levels, for 16 s of waits: a half. What `api` does not need for its KILL goes to `db`.
    world.ends(80, ms(9300)).sent(
        "1.000s api TERM → leader 101
         5.000s api KILL → all 101
         5.000s db TERM → leader 100
         9.300s db KILL → all 100",
    );
    assert_eq!(shrunk(&world), [(1000, 8000, 4000), (5000, 8000, 4300)]);
}

#[test]
fn a_group_that_was_quick_gives_its_time_to_later_ones() {
    let db = service("db").that(Behaviour::stubborn());
    let api = service("api").after([0]).that(Behaviour::obeys(ms(200)));
    let world = Spec::many([db, api]).deadline(ms(10_000), ms(1000)).term(ms(1000)).run();
    world.ends(80, ms(9200)).sent(
        "1.000s api TERM → leader 101
         1.200s db TERM → leader 100
         9.200s db KILL → all 100",
    );
    assert_eq!(shrunk(&world), [(1000, 8000, 4000)]);
}

#[test]
fn drain_is_shortened_with_the_stages() {
    let api = service("api").drain(ms(8000)).grace("TERM 8s").that(Behaviour::stubborn());
    let world = Spec::many([api]).deadline(ms(10_000), ms(1000)).term(ms(1000)).run();
    world.ends(80, ms(9000)).sent("5.000s api TERM → leader 100\n9.000s api KILL → all 100");
    assert_eq!(shrunk(&world), [(1000, 16_000, 8000)]);
}

#[test]
fn open_waits_share_what_the_others_do_not_need() {
    let db = service("db").grace("TERM").that(Behaviour::stubborn());
    let api = service("api").grace("TERM").after([0]).that(Behaviour::stubborn());
    let world = Spec::many([db, api]).deadline(ms(20_000), ms(1000)).term(ms(1000)).run();
    // 18.9 s less three times 0.5 s is 17.4 s: halves, then what is left.
    world.ends(80, ms(18_900)).sent(
        "1.000s api TERM → leader 101
         9.700s api KILL → all 101
         9.700s db TERM → leader 100
         18.900s db KILL → all 100",
    );
}

#[test]
fn an_open_wait_on_one_way_does_not_shorten_another() {
    let open = service("open").grace("TERM").that(Behaviour::obeys(ms(100)));
    let long = service("long").grace("TERM 8s").that(Behaviour::stubborn());
    let top = service("top").grace("TERM 8s").after([0, 1]).that(Behaviour::stubborn());
    // 16.4 s, with three levels of 0.5 s and the report: the longest way is 16 s, not 17 s.
    let world = Spec::many([open, long, top]).deadline(ms(19_000), ms(1000)).term(ms(1000)).run();
    assert_eq!(shrunk(&world), []);
    assert_eq!(world.finished_at(), ms(17_000));
}

#[test]
fn a_later_platform_signal_does_not_extend_the_budget() {
    let api = service("api").grace("TERM 60s").that(Behaviour::unkillable());
    let spec = Spec::many([api]).deadline(ms(10_000), ms(1000)).term(ms(0));
    spec.term(ms(5000)).term(ms(8800)).run().ends(81, ms(8900));
}

/// A short deadline with several levels leaves each KILL little time: less than what is kept for one that comes too late.
#[test]
fn whoever_was_killed_just_before_the_end_of_the_budget_has_a_moment_to_die() {
    let db = service("db").grace("TERM 5s").that(Behaviour::stubborn().torn_down_in(ms(33)));
    let api = service("api").grace("TERM 5s").after([0]).that(Behaviour::stubborn());
    let world = Spec::many([db, api]).deadline(ms(600), ms(150)).term(ms(1000)).run();
    world.ends(80, ms(1378)).sent(
        "1.000s api TERM → leader 101
         1.165s api KILL → all 101
         1.165s db TERM → leader 100
         1.345s db KILL → all 100",
    );
}

#[test]
fn strays_get_a_schedule_of_their_own_inside_the_share_of_their_service() {
    let stray = Behaviour::stubborn();
    let db = service("db").that(Behaviour::obeys(ms(0)));
    let api = service("api").after([0]).grace("TERM 8s").that(Behaviour::obeys(ms(3000)).forking(
        When::AtSignal,
        Bond::OwnSession,
        stray,
    ));
    let world = Spec::many([db, api]).deadline(ms(18_000), ms(1000)).term(ms(1000)).run();
    // 15.4 s for waits of 16 s: `api` and its strays have 7.7 s, of which it takes 3 s itself.
    world.ends(80, ms(8700)).sent(
        "1.000s api TERM → leader 101
         4.000s api TERM → strays 102
         8.700s api KILL → strays 102
         8.700s db TERM → leader 100",
    );
}

#[test]
fn strays_of_the_culprit_leave_its_dependencies_their_part_of_the_time() {
    let culprit = Behaviour::ends(ms(1000), curfew::supervisor::End::Exited(3));
    let api = service("api").after([0]).that(culprit.forking(
        When::After(ms(0)),
        Bond::OwnSession,
        Behaviour::stubborn(),
    ));
    let db = service("db").that(Behaviour::stubborn());
    let world = Spec::many([db, api]).deadline(ms(10_000), ms(1000)).run();
    // 8 s for waits of 16 s; then 4.3 s, as what `api` kept for its KILL was not needed.
    world.ends(3, ms(9300)).sent(
        "1.000s api TERM → strays 102
         5.000s api KILL → strays 102
         5.000s db TERM → leader 100
         9.300s db KILL → all 100",
    );
}

#[test]
fn strays_that_stop_already_when_the_stop_comes_keep_their_stage_and_what_is_left_shrinks() {
    let stray = Behaviour::stubborn();
    let gone = service("gone").not_essential().grace("TERM 20s, INT 10s").that(
        Behaviour::ends(ms(1000), curfew::supervisor::End::Exited(0)).forking(
            When::After(ms(0)),
            Bond::OwnSession,
            stray,
        ),
    );
    let api = service("api").that(Behaviour::obeys(ms(0)));
    let world = Spec::many([gone, api]).deadline(ms(10_000), ms(1000)).term(ms(11_000)).run();
    // Half of the first stage is over; what is left, 20 s, gets 8 s.
    world.ends(80, ms(19_000)).sent(
        "1.000s gone TERM → strays 102
         11.000s api TERM → leader 101
         15.000s gone INT → strays 102
         19.000s gone KILL → strays 102",
    );
}

#[test]
fn an_open_stage_that_began_before_the_stop_gets_an_end_by_it() {
    let gone = service("gone").not_essential().after([0]).grace("TERM").that(
        Behaviour::ends(ms(1000), curfew::supervisor::End::Exited(0)).forking(
            When::After(ms(0)),
            Bond::OwnSession,
            Behaviour::stubborn(),
        ),
    );
    let db = service("db").grace("TERM 3s").that(Behaviour::obeys(ms(2000)));
    let world = Spec::many([db, gone]).deadline(ms(10_000), ms(1000)).term(ms(5000)).run();
    // 8.9 s, less three times 0.3 s, less 3 s for `db`.
    world.ends(80, ms(12_000)).sent(
        "1.000s gone TERM → strays 102
         10.000s gone KILL → strays 102
         10.000s db TERM → leader 100",
    );
}

#[test]
fn a_service_killed_just_before_the_stop_is_waited_for_as_long_as_its_level_allows() {
    let gone = service("gone").not_essential().after([0]).grace("TERM 1s").that(
        Behaviour::ends(ms(1000), curfew::supervisor::End::Exited(0)).forking(
            When::After(ms(0)),
            Bond::OwnSession,
            Behaviour::unkillable(),
        ),
    );
    let db = service("db").grace("TERM 5s").that(Behaviour::obeys(ms(100)));
    let world = Spec::many([db, gone]).deadline(ms(2000), ms(500)).term(ms(2010)).run();
    // KILL was at 2 s; each of three levels keeps 50 ms.
    world.sent(
        "1.000s gone TERM → strays 102
         2.000s gone KILL → strays 102
         2.060s db TERM → leader 100",
    );
}

#[test]
fn a_curfew_that_slept_past_its_deadline_kills_everybody_at_once_and_exits() {
    let db = service("db").that(Behaviour::stubborn());
    let api = service("api").after([0]).that(Behaviour::stubborn());
    let spec = Spec::many([db, api]).deadline(ms(10_000), ms(1000)).term(ms(1000));
    let world = spec.at(ms(2000), Input::Suspend(ms(60_000))).run();
    world.ends(80, ms(62_000)).sent(
        "1.000s api TERM → leader 101
         62.000s api KILL → all 101
         62.000s db KILL → all 100",
    );
}

#[test]
fn what_a_late_curfew_kills_is_no_survivor_before_it_had_time_to_die() {
    for grace in ["TERM 300ms", "TERM 8s, INT 30s"] {
        let api = service("api").grace(grace).that(Behaviour::stubborn().torn_down_in(ms(20)));
        let spec = Spec::many([api]).deadline(ms(10_000), ms(1000)).term(ms(1000));
        let world = spec.at(ms(1100), Input::Suspend(ms(60_000))).run();
        world.ends(80, ms(61_120));
    }
}

#[test]
fn a_curfew_that_slept_names_what_it_cannot_kill_after_a_last_short_wait() {
    let api = service("api").that(Behaviour::unkillable().forking(
        When::After(ms(0)),
        Bond::Hidden,
        Behaviour::stubborn(),
    ));
    let spec = Spec::many([api]).deadline(ms(10_000), ms(1000)).term(ms(1000));
    let world = spec.at(ms(2000), Input::Suspend(ms(60_000))).run();
    // Half of the report's time.
    world.ends(81, ms(62_050)).sent(
        "1.000s api TERM → leader 100
         62.000s api KILL → all 100
         62.000s (stray) KILL → strays 101",
    );
    assert_eq!(world.times_told(|notice| matches!(notice, Notice::Survivor { .. })), 1);
}

#[test]
fn a_stop_that_took_more_than_four_fifths_of_its_budget_is_a_near_miss() {
    let near = |milliseconds| {
        let api = service("api").grace("TERM 8s").that(Behaviour::obeys(ms(milliseconds)));
        let world = Spec::many([api]).deadline(ms(10_000), ms(1000)).term(ms(0)).run();
        world.told(|notice| matches!(notice, Notice::StopComplete { near_miss: true, .. }))
    };
    assert!(!near(7200));
    assert!(near(7201));
}

#[test]
fn every_late_wake_up_still_ends_inside_the_budget() {
    for lateness in [1, 5, 20] {
        let db = service("db").that(Behaviour::unkillable());
        let api = service("api").after([0]).grace("TERM 8s, INT 3s, QUIT 1s").that(Behaviour::stubborn());
        let mut spec = Spec::many([db, api]).deadline(ms(10_000), ms(1000)).term(ms(1000));
        spec.lateness = ms(lateness);
        let world = spec.key(ms(4000), Signal::INT).run();
        assert!(world.finished_at() <= ms(10_000), "{:?}", world.finished_at());
    }
}
