use std::time::Duration;

use curfew::supervisor::{Notice, Recipients, Signal, Target};

use crate::history::What;
use crate::process::{Behaviour, Start};
use crate::spec::{Input, Spec, ms, service};

#[test]
fn a_service_that_ignores_its_stages_gets_each_in_turn_and_then_kill() {
    let api = service("api").grace("TERM 8s, INT@group 2s, QUIT@all 1s").that(Behaviour::stubborn());
    Spec::many([api]).term(ms(1000)).run().ends(80, ms(12_000)).sent(
        "1.000s api TERM → leader 100
         9.000s api INT → group 100
         11.000s api QUIT → all 100
         12.000s api KILL → all 100",
    );
}

#[test]
fn a_wait_ends_the_moment_the_service_is_gone() {
    let api = service("api").grace("TERM 8s, INT 2s").that(Behaviour::obeys(ms(1234)));
    let world = Spec::many([api]).term(ms(1000)).run();
    world.ends(0, ms(2234)).sent("1.000s api TERM → leader 100");
}

#[test]
fn cont_follows_every_stop_signal_so_that_a_stopped_process_can_obey() {
    let api = service("api").that(Behaviour { stopped: true, ..Behaviour::obeys(ms(10)) });
    let world = Spec::many([api]).term(ms(1000)).run();
    world.ends(0, ms(1010)).sent("1.000s api TERM → leader 100");
    let all: Vec<Signal> = world.history.signals().map(|(_, _, _, _, signal, _)| signal).collect();
    assert_eq!(all, [Signal::TERM, Signal::CONT]);
}

#[test]
fn a_process_stopped_by_somebody_is_continued_as_well() {
    let api = service("api").that(Behaviour::obeys(ms(10)));
    let stopped = Input::ToLeader(0, Signal::STOP);
    Spec::many([api]).at(ms(500), stopped).term(ms(1000)).run().ends(0, ms(1010));
}

#[test]
fn a_service_that_needs_two_signals_is_only_escalated() {
    let api =
        service("api").grace("TERM 3s, INT 3s").that(Behaviour { needs: 2, ..Behaviour::obeys(ms(500)) });
    let world = Spec::many([api]).term(ms(0)).run();
    world.ends(0, ms(3500));
    assert!(world.told(|notice| matches!(
        notice,
        Notice::StageExpired { waited, .. } if *waited == ms(3000)
    )));
}

#[test]
fn a_schedule_without_stages_is_kill_at_once() {
    let world = Spec::many([service("api").grace("")]).term(ms(1000)).run();
    world.ends(80, ms(1000)).sent("1.000s api KILL → all 100");
}

#[test]
fn an_open_last_stage_never_ends_without_a_deadline() {
    let api = service("api").grace("INT 1s, TERM").that(Behaviour::stubborn());
    let world = Spec::many([api]).term(ms(0)).run();
    assert!(!world.finished);
    world.sent("0.000s api INT → leader 100\n1.000s api TERM → leader 100");
}

#[test]
fn an_open_last_stage_lasts_to_the_end_of_the_budget() {
    let api = service("api").grace("TERM").that(Behaviour::stubborn());
    let world = Spec::many([api]).deadline(ms(20_000), ms(1000)).term(ms(0)).run();
    // 19 s, less 100 ms for the report, less 500 ms for each of two levels.
    world.ends(80, ms(17_900)).sent("0.000s api TERM → leader 100\n17.900s api KILL → all 100");
}

#[test]
fn drain_comes_before_the_first_signal_of_a_service_that_had_been_up() {
    let api = service("api").drain(ms(3000)).that(Behaviour::obeys(ms(10)));
    Spec::many([api]).term(ms(1000)).run().ends(0, ms(4010)).sent("4.000s api TERM → leader 100");
}

#[test]
fn a_service_that_was_never_up_does_not_drain() {
    let api =
        service("api").drain(ms(3000)).that(Behaviour::obeys(ms(10)).starting(Start::Executes(ms(2000))));
    Spec::many([api]).term(ms(1000)).run().ends(0, ms(1000)).sent("1.000s api TERM → leader 100");
}

#[test]
fn a_process_torn_down_slowly_after_kill_is_waited_for_and_no_survivor() {
    let api = service("api").grace("TERM 1s").that(Behaviour::stubborn().torn_down_in(ms(2400)));
    let world = Spec::many([api]).deadline(ms(10_000), ms(1000)).term(ms(0)).run();
    world.ends(80, ms(3400));
    assert!(world.told(|notice| matches!(notice, Notice::ServiceLingers { .. })));
}

#[test]
fn the_target_of_a_service_is_that_of_its_stages_unless_they_say_otherwise() {
    let api =
        service("api").target(Target::Group).grace("TERM 1s, INT@leader 1s").that(Behaviour::stubborn());
    Spec::many([api]).term(ms(0)).run().sent(
        "0.000s api TERM → group 100
         1.000s api INT → leader 100
         2.000s api KILL → all 100",
    );
}

#[test]
fn a_leader_that_ends_as_its_last_stage_runs_out_leaves_strays_that_are_asked_all_the_same() {
    let api = service("api").grace("TERM 2s").that(Behaviour::obeys(ms(2000)).forking(
        crate::process::When::AtDeath,
        crate::process::Bond::OwnSession,
        Behaviour::obeys(ms(100)),
    ));
    let world = Spec::many([api]).term(ms(0)).run();
    world.ends(0, ms(2100)).sent("0.000s api TERM → leader 100\n2.000s api TERM → strays 101");
}

#[test]
fn kill_is_sent_to_the_leader_and_all_that_descends_from_it() {
    let child = Behaviour::stubborn();
    let api = service("api").grace("TERM 1s").that(Behaviour::stubborn().forking(
        crate::process::When::After(Duration::ZERO),
        crate::process::Bond::OwnSession,
        child,
    ));
    let world = Spec::many([api]).term(ms(0)).run();
    world.ends(80, ms(1000)).sent("0.000s api TERM → leader 100\n1.000s api KILL → all 100 101");
    let kill = world.history.entries.iter().filter(|entry| {
        matches!(&entry.what, What::Command(curfew::supervisor::Command::Signal { recipients, .. }, _)
            if *recipients == Recipients::Leader(Target::All))
    });
    assert_eq!(kill.count(), 1);
}
