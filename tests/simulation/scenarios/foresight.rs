//! Schedules that do not fit the time of a stop are told before there is one.

use curfew::supervisor::Notice;

use crate::process::Behaviour;
use crate::spec::{Spec, done_after, ms, service, task};
use crate::world::World;

/// What was told: when, of whom, how long it takes, how long there is, and the thousandths that are left.
fn told(world: &World) -> Vec<(u128, Vec<usize>, u128, u128, u32)> {
    let told = world.history.notices().filter_map(|(_, at, notice)| match notice {
        Notice::SchedulesTooLong { chain, length, budget, scale } => Some((
            at.since_start().as_millis(),
            chain.iter().map(|id| id.index()).collect(),
            length.as_millis(),
            budget.as_millis(),
            scale.per_mille(),
        )),
        _ => None,
    });
    told.collect()
}

#[test]
fn the_longest_chain_that_does_not_fit_is_told_at_the_start() {
    let api = service("api").grace("TERM 8s");
    let [worker, dashboard] = ["worker", "dashboard"].map(|name| service(name).after([0]));
    let (worker, dashboard) = (worker.grace("TERM 2s"), dashboard.grace("TERM 4s").drain(ms(1000)));
    let spec = Spec::many([api, worker, dashboard]).term(ms(1000));
    // 8.9 s less three reserves of 0.3 s are left for 13 s.
    let world = spec.clone().deadline(ms(10_000), ms(1000)).run();
    assert_eq!(told(&world), [(0, vec![2, 0], 13_000, 9000, 615)]);
    assert_eq!(told(&spec.clone().deadline(ms(20_000), ms(1000)).run()), []);
    assert_eq!(told(&spec.run()), []);
}

#[test]
fn it_is_told_when_the_deadline_becomes_known_and_not_in_a_stop() {
    let spec = Spec::many([service("api").grace("TERM 30s").that(Behaviour::obeys(ms(500)))]).term(ms(1000));
    let world = spec.clone().learns(ms(20), ms(10_000)).run();
    assert_eq!(told(&world).iter().map(|(at, ..)| *at).collect::<Vec<_>>(), [20]);
    assert_eq!(told(&spec.learns(ms(1100), ms(10_000)).run()), []);
}

#[test]
fn who_grants_more_time_is_reckoned_with_as_long_as_he_hears_us() {
    let api = service("api").grace("TERM 30s");
    let spec = Spec::many([api]).deadline(ms(10_000), ms(1000)).extend(ms(60_000)).term(ms(1000));
    assert_eq!(told(&spec.clone().run()), []);
    let unheard = told(&spec.hears(ms(500), false).run());
    assert_eq!(unheard.iter().map(|(at, ..)| *at).collect::<Vec<_>>(), [500]);
}

#[test]
fn a_task_is_done_when_what_comes_after_it_is_stopped() {
    let migrate = task("migrate").after([0]).grace("TERM 5s").that(done_after(ms(10)));
    let [db, api] = [("db", vec![]), ("api", vec![1])].map(|(name, after)| {
        let mut service = service(name).grace("TERM 4s");
        service.after = after;
        service
    });
    // A running task would be stopped before what it came after: 9 s, as well as 8 s for the two services.
    let spec = Spec::many([db, migrate, api]).term(ms(1000));
    assert_eq!(told(&spec.clone().deadline(ms(13_000), ms(1000)).run()), []);
    let world = spec.deadline(ms(9_000), ms(1000)).run();
    assert_eq!(told(&world).iter().map(|(_, chain, ..)| chain.clone()).collect::<Vec<_>>(), [[1, 0]]);
}

#[test]
fn a_schedule_without_a_length_is_not_too_long_however_short_the_deadline() {
    let spec = Spec::many([service("api").grace("TERM")]).term(ms(1000));
    assert_eq!(told(&spec.deadline(ms(1000), ms(250)).run()), []);
}

#[test]
fn hooks_and_the_cleanup_count_and_an_open_wait_hardly_does() {
    let mut api = service("api").grace("TERM 4s, INT");
    api.settings.hooks.pre_stop = Some(ms(2000));
    api.settings.hooks.post_stop = Some(ms(3000));
    let spec = Spec::many([api]).deadline(ms(13_000), ms(1000)).term(ms(1000));
    assert_eq!(told(&spec.clone().run()), []);
    let world = spec.cleanup(ms(5000), done_after(ms(1))).run();
    let [(at, chain, length, ..)] = &told(&world)[..] else { panic!("it is told once") };
    assert_eq!((*at, chain.as_slice(), *length), (0, &[0][..], 14_000));
}
