//! A deadline that the platform tells: after the start, or in the middle of a stop.

use curfew::supervisor::{Command, Deadline, DeadlineBasis, Notice, Told};

use crate::history::What;
use crate::process::{Behaviour, Bond, When};
use crate::spec::{Input, ServiceSpec, Spec, ms, service};
use crate::world::World;

fn stubborn(name: &str) -> ServiceSpec {
    service(name).that(Behaviour::stubborn())
}

/// The deadlines that were told, in milliseconds, with the margin, and when.
fn learnt(world: &World) -> Vec<(u128, Option<(u128, u128)>)> {
    let told = world.history.notices().filter_map(|(_, at, notice)| match notice {
        Notice::DeadlineLearnt { deadline, .. } => {
            let figures = |deadline: &Deadline| (deadline.deadline.as_millis(), deadline.margin.as_millis());
            Some((at.since_start().as_millis(), deadline.as_ref().map(figures)))
        }
        _ => None,
    });
    told.collect()
}

fn asked(world: &World) -> Vec<u128> {
    let asked = world.history.entries.iter().filter_map(|entry| match entry.what {
        What::Command(Command::LearnDeadline, _) => Some(entry.at.since_start().as_millis()),
        _ => None,
    });
    asked.collect()
}

#[test]
fn a_deadline_that_is_learnt_before_the_stop_counts_from_its_first_cause() {
    let world = Spec::many([stubborn("api")]).learns(ms(20), ms(6000)).term(ms(1000)).run();
    // 6 s, less a margin of 1 s and 0.1 s for the report, less 0.25 s for each of two levels.
    world.ends(80, ms(5400)).sent("1.000s api TERM → leader 100\n5.400s api KILL → all 100");
    assert_eq!(learnt(&world), [(20, Some((6000, 1000)))]);
    // Once behind the starts, and once more at the stop: it may have changed.
    assert_eq!(asked(&world), [0, 1000]);
}

#[test]
fn nobody_is_asked_whose_answer_does_not_count() {
    let world = Spec::many([service("api")]).deadline(ms(20_000), ms(1000)).term(ms(1000)).run();
    assert_eq!(asked(&world), [0; 0]);
}

#[test]
fn a_deadline_that_comes_in_the_middle_of_a_stop_cuts_what_is_left() {
    let world = Spec::many([stubborn("api")]).term(ms(0)).learns(ms(2000), ms(6000)).run();
    // 2.4 s are left of the waits' 6 s: the clock began with the stop.
    world.ends(80, ms(4400)).sent("0.000s api TERM → leader 100\n4.400s api KILL → all 100");
    assert!(world.told(|notice| matches!(
        notice,
        Notice::BudgetShrunk { from, to, .. } if (*from, *to) == (ms(6000), ms(2400))
    )));
}

#[test]
fn a_deadline_that_is_past_when_it_is_learnt_kills_at_once() {
    let world = Spec::many([stubborn("api")]).term(ms(0)).learns(ms(5000), ms(2000)).run();
    world.ends(80, ms(5000)).sent("0.000s api TERM → leader 100\n5.000s api KILL → all 100");
}

#[test]
fn a_deadline_that_grows_gives_a_running_wait_its_length_back() {
    let spec = Spec::many([stubborn("api").grace("TERM 6s, INT 2s")]).learns(ms(20), ms(6000)).term(ms(1000));
    let world = spec.clone().run();
    world.sent(
        "1.000s api TERM → leader 100
         4.300s api INT → leader 100
         5.400s api KILL → all 100",
    );
    // The file was changed, and the manager told to read it again: a moment after the stop began we hear of it.
    let world = spec.learns(ms(1010), ms(90_000)).run();
    world.ends(80, ms(9000)).sent(
        "1.000s api TERM → leader 100
         7.000s api INT → leader 100
         9.000s api KILL → all 100",
    );
    assert_eq!(learnt(&world), [(20, Some((6000, 1000))), (1010, Some((90_000, 4500)))]);
}

#[test]
fn a_platform_that_never_kills_gives_an_open_wait_all_the_time() {
    let slow = service("db").grace("TERM").that(Behaviour::obeys(ms(100_000)));
    let world = Spec::many([slow]).deadline(ms(10_000), ms(1000)).term(ms(0)).learns(ms(10), None).run();
    world.ends(0, ms(100_000)).sent("0.000s db TERM → leader 100");
    assert_eq!(learnt(&world), [(10, None)]);
}

#[test]
fn an_open_wait_gets_an_end_when_there_is_a_deadline_after_all() {
    let world = Spec::many([stubborn("db").grace("TERM")]).term(ms(0)).learns(ms(3000), ms(11_000)).run();
    assert!(world.told(|notice| matches!(notice, Notice::StageSent { wait: None, .. })));
    world.ends(80, ms(8900)).sent("0.000s db TERM → leader 100\n8.900s db KILL → all 100");
}

#[test]
fn the_services_that_wait_for_their_turn_share_the_new_budget() {
    let spec = Spec::many([stubborn("db"), stubborn("api").after([0])]);
    let world = spec.term(ms(1000)).learns(ms(3000), ms(12_000)).run();
    // 10.9 s from 1 s on, less three levels of 0.367 s: 7.8 s are left for 6 s and 8 s.
    world.sent(
        "1.000s api TERM → leader 101
         6.342s api KILL → all 101
         6.342s db TERM → leader 100
         11.166s db KILL → all 100",
    );
}

#[test]
fn a_drain_is_cut_like_a_stage() {
    let api = service("api").drain(ms(3800)).grace("TERM 4s").that(Behaviour::stubborn());
    let world = Spec::many([api]).term(ms(1000)).learns(ms(2000), ms(6000)).run();
    world.ends(80, ms(5400)).sent("3.400s api TERM → leader 100\n5.400s api KILL → all 100");
}

#[test]
fn what_a_leader_left_behind_gets_its_part_of_the_new_budget() {
    let stray = Behaviour::stubborn();
    let leader = Behaviour::obeys(ms(500)).forking(When::After(ms(0)), Bond::OwnSession, stray);
    let world = Spec::many([service("api").that(leader)]).term(ms(0)).learns(ms(200), ms(6000)).run();
    world.ends(80, ms(4400)).sent(
        "0.000s api TERM → leader 100
         0.500s api TERM → strays 101
         4.400s api KILL → strays 101",
    );
}

#[test]
fn the_same_answer_again_changes_nothing() {
    let api = || stubborn("api").grace("TERM 8s, INT 4s");
    let once = Spec::many([api()]).learns(ms(20), ms(6000)).term(ms(1000));
    let twice = once.clone().learns(ms(1010), ms(6000)).run();
    assert_eq!(learnt(&twice), [(20, Some((6000, 1000)))]);
    assert_eq!(once.run().history.signal_lines(), twice.history.signal_lines());
}

#[test]
fn the_margin_that_was_asked_for_is_kept_where_it_leaves_any_time() {
    let with_margin = |margin| Spec { margin: Some(margin), ..Spec::many([service("api")]) };
    let kept = with_margin(ms(2000)).learns(ms(20), ms(6000)).term(ms(1000)).run();
    assert_eq!(learnt(&kept), [(20, Some((6000, 2000)))]);
    let lost = with_margin(ms(9000)).learns(ms(20), ms(6000)).term(ms(1000)).run();
    assert_eq!(learnt(&lost), [(20, Some((6000, 1000)))]);
    assert!(lost.told(|notice| matches!(notice, Notice::DeadlineLearnt { margin_kept: false, .. })));
}

#[test]
fn an_answer_that_comes_after_the_last_kill_does_not_bring_anybody_back() {
    let api = service("api").grace("TERM 1s").that(Behaviour::unkillable());
    let spec =
        Spec::many([api]).deadline(ms(10_000), ms(1000)).term(ms(0)).at(ms(1500), Input::Suspend(ms(20_000)));
    // curfew was not scheduled until long after the end of its budget, and hears this first.
    spec.learns(ms(21_000), ms(90_000)).run().ends(81, ms(85_400));
}

/// A deadline of 20 s that was said outright.
fn said(spec: Spec) -> Spec {
    let spec = spec.deadline(ms(20_000), ms(1000));
    Spec { deadline_basis: DeadlineBasis::Said(ms(20_000)), ..spec }
}

#[test]
fn of_the_deadline_that_was_said_and_the_platforms_the_shorter_one_counts() {
    let spec = said(Spec::many([stubborn("api")])).term(ms(1000));
    let shorter = spec.clone().learns(ms(20), ms(6000)).run();
    shorter.ends(80, ms(5400));
    assert!(shorter.told(|notice| matches!(
        notice,
        Notice::DeadlineLearnt { told: Told::Shorter { said }, .. } if *said == ms(20_000)
    )));
    for platforms in [Some(ms(20_000)), Some(ms(90_000)), None] {
        let longer = spec.clone().learns(ms(20), platforms).run();
        longer.ends(80, ms(9000));
        assert_eq!(learnt(&longer), []);
    }
}

#[test]
fn the_deadline_that_was_said_counts_again_when_the_platforms_is_not_shorter_any_more() {
    let api = stubborn("api").grace("TERM 15s");
    let spec = said(Spec::many([api])).term(ms(1000)).learns(ms(20), ms(6000));
    // A drop-in, and a reload of the manager's configuration.
    let world = spec.learns(ms(1010), ms(90_000)).run();
    world.ends(80, ms(16_000));
    assert_eq!(learnt(&world), [(20, Some((6000, 1000))), (1010, Some((20_000, 1000)))]);
    assert!(world.told(|notice| matches!(notice, Notice::DeadlineLearnt { told: Told::AsSaid, .. })));
}
