use curfew::supervisor::{Cause, Command, IgnoredBecause, Level, Notice, Seat, Signal};

use crate::history::What;
use crate::process::{Behaviour, Bond, How, When};
use crate::spec::{Input, ServiceSpec, Spec, ms, service};
use crate::world::World;

fn stubborn(name: &str) -> ServiceSpec {
    service(name).grace("TERM 8s, INT 4s, QUIT 2s").that(Behaviour::stubborn())
}

fn ignored(world: &World) -> Vec<IgnoredBecause> {
    let told = world.history.notices().filter_map(|(_, _, notice)| match notice {
        Notice::SignalIgnored { reason, .. } => Some(*reason),
        _ => None,
    });
    told.collect()
}

#[test]
fn two_terms_within_half_a_second_are_one() {
    let world = Spec::many([stubborn("api")]).term(ms(1000)).term(ms(1001)).term(ms(1499)).run();
    world.ends(80, ms(15_000));
    assert_eq!(ignored(&world), [IgnoredBecause::Duplicate; 2]);
}

#[test]
fn a_later_term_is_only_told() {
    let world = Spec::many([stubborn("api")]).term(ms(1000)).term(ms(3000)).run();
    world.ends(80, ms(15_000));
    assert_eq!(ignored(&world), [IgnoredBecause::AlreadyStopping]);
}

#[test]
fn a_later_int_moves_every_stopping_service_to_its_next_stage() {
    let db = stubborn("db");
    let spec = Spec::many([db, stubborn("api").after([0]), stubborn("web")]);
    let world = spec.term(ms(1000)).key(ms(3000), Signal::INT).run();
    world.sent(
        "1.000s web TERM → leader 101
         1.000s api TERM → leader 102
         3.000s api INT → leader 102
         3.000s web INT → leader 101
         7.000s api QUIT → leader 102
         7.000s web QUIT → leader 101
         9.000s api KILL → all 102
         9.000s web KILL → all 101
         9.000s db TERM → leader 100
         17.000s db INT → leader 100
         21.000s db QUIT → leader 100
         23.000s db KILL → all 100",
    );
}

#[test]
fn ctrl_c_again_and_again_goes_through_the_stages_to_kill() {
    let spec = Spec::many([stubborn("api")]).key(ms(0), Signal::INT);
    let world = spec.key(ms(500), Signal::INT).key(ms(1000), Signal::INT).key(ms(1500), Signal::INT).run();
    world.ends(80, ms(1500)).sent(
        "0.000s api TERM → leader 100
         0.500s api INT → leader 100
         1.000s api QUIT → leader 100
         1.500s api KILL → all 100",
    );
}

#[test]
fn an_int_within_half_a_second_of_a_term_is_a_duplicate() {
    let world = Spec::many([stubborn("api")]).term(ms(0)).key(ms(499), Signal::INT).run();
    world.ends(80, ms(14_000));
    assert_eq!(ignored(&world), [IgnoredBecause::Duplicate]);
}

#[test]
fn an_int_right_behind_a_term_that_changed_nothing_is_a_person() {
    let spec = Spec::many([stubborn("api")]).key(ms(0), Signal::INT).term(ms(2000)).term(ms(2001));
    let world = spec.key(ms(2200), Signal::INT).run();
    world.ends(80, ms(8200)).sent(
        "0.000s api TERM → leader 100
         2.200s api INT → leader 100
         6.200s api QUIT → leader 100
         8.200s api KILL → all 100",
    );
    assert_eq!(ignored(&world), [IgnoredBecause::AlreadyStopping, IgnoredBecause::Duplicate]);
}

#[test]
fn an_int_ends_a_drain() {
    let api = service("api").drain(ms(5000)).that(Behaviour::obeys(ms(0)));
    Spec::many([api]).term(ms(1000)).key(ms(1700), Signal::INT).run().ends(0, ms(1700));
}

#[test]
fn quit_at_the_terminal_kills_many_services_at_once() {
    let world = Spec::many([stubborn("db"), stubborn("api").after([0])]).key(ms(1000), Signal::QUIT).run();
    world.ends(80, ms(1000)).sent(
        "1.000s db KILL → all 100
         1.000s api KILL → all 101",
    );
}

#[test]
fn quit_from_a_process_stops_and_a_second_one_after_a_second_kills() {
    let spec = Spec::many([stubborn("api")]).signal(ms(0), Signal::QUIT).signal(ms(900), Signal::QUIT);
    let world = spec.signal(ms(1400), Signal::QUIT).run();
    world.ends(80, ms(1400)).sent("0.000s api TERM → leader 100\n1.400s api KILL → all 100");
}

#[test]
fn quit_is_forwarded_to_one_command() {
    let command = service("app").forwards(Signal::QUIT).that(Behaviour::obeys(ms(0)).how(How::BySignal));
    let world = Spec::one(command).key(ms(1000), Signal::QUIT).run();
    // It was not asked to stop by us: its end is its own.
    world.ends(131, ms(1100)).sent("1.000s app QUIT → leader 100");
}

#[test]
fn the_terminals_hang_up_stops_in_both_modes() {
    Spec::many([service("api")]).key(ms(1000), Signal::HUP).run().ends(0, ms(1000));
    let one = Spec::one(service("app")).key(ms(1000), Signal::HUP).run();
    one.ends(0, ms(1000)).sent("1.000s app HUP → leader 100");
}

#[test]
fn a_hup_from_a_process_is_forwarded_to_one_command() {
    let command = service("app").forwards(Signal::HUP).that(Behaviour::obeys(ms(0)).ignoring(&[Signal::HUP]));
    let world = Spec::one(command).signal(ms(1000), Signal::HUP).run();
    assert!(!world.finished);
    world.sent("1.000s app HUP → leader 100");
}

#[test]
fn a_hup_from_a_process_stops_many_services_that_were_not_read_from_a_file() {
    Spec::many([service("api")]).signal(ms(1000), Signal::HUP).run().ends(0, ms(1000));
}

#[test]
fn a_hup_from_a_process_asks_for_a_reload_if_there_is_a_file() {
    let mut spec = Spec::many([service("api")]).signal(ms(1000), Signal::HUP);
    spec.reloadable = true;
    let world = spec.run();
    assert!(!world.finished);
    assert!(world.told(|notice| matches!(notice, Notice::ReloadRequested { .. })));
}

#[test]
fn abort_kills_everything() {
    let world = Spec::many([stubborn("db"), stubborn("api").after([0])]).signal(ms(1000), Signal::ABRT).run();
    world.ends(80, ms(1000));
    let world = Spec::one(stubborn("app")).term(ms(0)).signal(ms(300), Signal::ABRT).run();
    world.ends(80, ms(300)).sent("0.000s app TERM → leader 100\n0.300s app KILL → all 100");
}

#[test]
fn a_command_that_dies_of_the_very_abort_that_stops_curfew_did_not_fail() {
    let app = service("app").that(Behaviour::obeys(ms(0)).how(How::Exits128));
    let mut spec = Spec::one(app).key(ms(1000), Signal::ABRT);
    spec.services[0].settings.grace = crate::spec::grace("* 8s");
    spec.seat = Seat::SharedGroup;
    spec.run().ends(0, ms(1000));
}

#[test]
fn an_int_after_kill_for_everything_changes_nothing() {
    let api = stubborn("api").that(Behaviour::unkillable());
    let spec = Spec::many([api]).term(ms(0)).signal(ms(1000), Signal::ABRT).key(ms(2000), Signal::INT);
    let world = spec.run();
    assert_eq!(ignored(&world), [IgnoredBecause::AlreadyStopping]);
    let levels = world.times_told(|notice| matches!(notice, Notice::StopEscalated { .. }));
    assert_eq!(levels, 1);
}

#[test]
fn one_command_gets_the_signal_that_curfew_received() {
    for signal in [Signal::TERM, Signal::INT, Signal::PWR, Signal::RTMIN_3] {
        let world = Spec::one(service("app")).signal(ms(1000), signal).run();
        world.ends(0, ms(1000)).sent(&format!("1.000s app {signal} → leader 100"));
    }
}

#[test]
fn a_mapped_signal_is_sent_in_the_place_of_the_received_one() {
    let mut spec = Spec::one(service("app").that(Behaviour::obeys(ms(0)).how(How::BySignal))).term(ms(1000));
    spec.map.insert(Signal::TERM, Some(Signal::QUIT));
    let world = spec.run();
    world.ends(0, ms(1000)).sent("1.000s app QUIT → leader 100");
    assert!(world.told(|notice| matches!(
        notice,
        Notice::StopRequested { cause: Cause::Signal { signal: Signal::TERM, .. }, .. }
    )));
}

#[test]
fn a_death_by_the_mapped_signal_is_clean() {
    let alarm = Signal::ALRM;
    let mut spec = Spec::one(service("app").that(Behaviour::obeys(ms(0)).how(How::BySignal))).term(ms(1000));
    spec.map.insert(Signal::TERM, Some(alarm));
    spec.run().ends(0, ms(1000)).sent("1.000s app ALRM → leader 100");
}

#[test]
fn a_signal_mapped_to_none_is_dropped_wholly() {
    let mut spec = Spec::many([service("api")]).term(ms(1000));
    spec.map.insert(Signal::TERM, None);
    let world = spec.run();
    assert!(!world.finished);
    assert_eq!(ignored(&world), [IgnoredBecause::Dropped]);
}

#[test]
fn signals_are_forwarded_to_the_services_that_list_them() {
    let spec = Spec::many([service("api").forwards(Signal::USR1), service("web")]);
    let world = spec.signal(ms(1000), Signal::USR1).run();
    world.sent("1.000s api USR1 → leader 100");
    assert_eq!(ignored(&world), []);
    let world = Spec::many([service("api").forwards(Signal::USR1)]).signal(ms(1000), Signal::USR2).run();
    world.sent("");
    assert_eq!(ignored(&world), [IgnoredBecause::NotForwarded]);
}

#[test]
fn usr1_reopens_the_files_of_services_and_reaches_those_that_list_it() {
    let reopened = |world: &World| {
        let is_it = |what: &What| matches!(what, What::Command(Command::ReopenOutput, _));
        world.history.entries.iter().filter(|entry| is_it(&entry.what)).count()
    };
    let with_files = |mut spec: Spec| {
        spec.has_output_files = true;
        spec.signal(ms(1000), Signal::USR1)
    };
    let world = with_files(Spec::many([service("api").forwards(Signal::USR1), service("web")])).run();
    world.sent("1.000s api USR1 → leader 100");
    assert_eq!((reopened(&world), ignored(&world)), (1, vec![]));
    // Nobody else wants it, which is nothing to tell.
    let world = with_files(Spec::many([service("api")])).run();
    world.sent("");
    assert_eq!((reopened(&world), ignored(&world)), (1, vec![]));
    // Also in a stop, as long as somebody writes.
    let world = with_files(Spec::many([stubborn("api")]).term(ms(500))).run();
    assert_eq!(reopened(&world), 1);
    // Dropped is dropped; and to one command it is the command's own.
    let mut spec = with_files(Spec::many([service("api")]));
    spec.map.insert(Signal::USR1, None);
    assert_eq!(reopened(&spec.run()), 0);
    let command =
        service("app").forwards(Signal::USR1).that(Behaviour::obeys(ms(0)).ignoring(&[Signal::USR1]));
    let world = with_files(Spec::one(command)).run();
    world.sent("1.000s app USR1 → leader 100");
    assert_eq!(reopened(&world), 0);
}

#[test]
fn job_control_is_no_matter_for_many_services() {
    let spec = Spec::many([service("api")]);
    let world = [Signal::TSTP, Signal::TTIN, Signal::TTOU, Signal::ALRM, Signal::PIPE, Signal::CHLD]
        .into_iter()
        .fold(spec, |spec, signal| spec.signal(ms(1000), signal))
        .run();
    world.sent("");
    assert_eq!(ignored(&world), []);
}

#[test]
fn one_command_pauses_and_goes_on_as_in_a_shell() {
    let mut spec = Spec::one(service("app")).key(ms(1000), Signal::TSTP).signal(ms(2000), Signal::CONT);
    spec.seat = Seat::OwnGroup;
    let world = spec.term(ms(3000)).run();
    world.ends(0, ms(3000)).sent("1.000s app STOP → group 100\n3.000s app TERM → leader 100");
    assert!(world.history.trace().contains("stop self"));
    assert!(world.history.trace().contains("app resume"));
}

#[test]
fn curfew_stops_with_its_command_only_where_a_shell_waits_for_both() {
    let stops = |seat, spec: Spec| {
        let world = Spec { seat, ..spec }.run();
        world
            .history
            .entries
            .iter()
            .filter(|entry| matches!(entry.what, What::Command(Command::StopSelf, _)))
            .count()
    };
    let stopped = |spec: Spec| spec.at(ms(1000), Input::ToLeader(0, Signal::STOP));
    let one = || Spec::one(service("app"));
    assert_eq!(stops(Seat::OwnGroup, stopped(one())), 1);
    assert_eq!(stops(Seat::SharedGroup, stopped(one())), 1);
    // Without a shell nobody would continue us, unless somebody asked us to pause.
    assert_eq!(stops(Seat::NoTerminal, stopped(one())), 0);
    assert_eq!(stops(Seat::NoTerminal, one().signal(ms(1000), Signal::TSTP)), 1);
    let continued = one().signal(ms(1000), Signal::TSTP).signal(ms(2000), Signal::CONT);
    assert_eq!(stops(Seat::NoTerminal, continued.at(ms(3000), Input::ToLeader(0, Signal::STOP))), 1);
    // In a stop it is only slow; and many services are no job of a shell.
    let stubborn = Spec::one(service("app").that(Behaviour::stubborn())).term(ms(500));
    assert_eq!(stops(Seat::OwnGroup, stopped(stubborn)), 0);
    assert_eq!(stops(Seat::OwnGroup, stopped(Spec::many([service("api")]))), 0);
    // In a container there may be a terminal, but no shell.
    for seat in [Seat::OwnGroup, Seat::SharedGroup] {
        assert_eq!(stops(seat, Spec { has_shell: false, ..stopped(one()) }), 0);
    }
}

#[test]
fn ctrl_z_does_nothing_where_no_shell_would_continue_the_command() {
    let resumed = |signal| {
        let spec = Spec::one(service("app")).at(ms(1000), Input::ToLeader(0, signal)).term(ms(2000));
        let world = Spec { seat: Seat::OwnGroup, has_shell: false, ..spec }.run();
        world.ends(0, ms(2000));
        world.history.trace().contains("app resume")
    };
    assert!(resumed(Signal::TSTP));
    // Somebody wants it to stand still, and can continue it himself.
    assert!(!resumed(Signal::STOP));
}

/// An editor puts the screen in order before it stops itself.
#[test]
fn a_command_that_the_key_has_reached_is_not_stopped_by_force() {
    for (ignores, stops) in [(false, true), (true, false)] {
        let mut behaviour = Behaviour::obeys(ms(0));
        if ignores {
            behaviour = behaviour.ignoring(&[Signal::TSTP]);
        }
        let spec = Spec::one(service("app").that(behaviour)).key(ms(1000), Signal::TSTP);
        let world = Spec { seat: Seat::SharedGroup, ..spec }.run();
        world.sent("");
        assert_eq!(world.history.trace().contains("stop self"), stops);
    }
}

#[test]
fn a_hang_up_of_the_terminal_is_passed_on_to_a_command_in_our_own_group() {
    let app = service("app").that(Behaviour::obeys(ms(0)).how(How::BySignal));
    let spec = Spec::one(app).key(ms(1000), Signal::HUP);
    Spec { seat: Seat::SharedGroup, ..spec }.run().ends(0, ms(1000)).sent("1.000s app HUP → leader 100");
}

#[test]
fn a_command_that_is_gone_is_not_paused() {
    let app = service("app").that(Behaviour::ends(ms(1000), curfew::supervisor::End::Exited(143)));
    let world = Spec::one(app).signal(ms(1050), Signal::TSTP).run();
    world.ends(143, ms(1100)).sent("");
}

#[test]
fn what_the_terminal_has_sent_to_the_group_is_not_sent_again_but_to_strays() {
    let app = service("app").grace("INT 8s").that(Behaviour::obeys(ms(200)).forking(
        When::After(ms(0)),
        Bond::OwnSession,
        Behaviour::obeys(ms(100)),
    ));
    let mut spec = Spec::one(app).key(ms(1000), Signal::INT);
    spec.seat = Seat::SharedGroup;
    spec.run().ends(0, ms(1300)).sent("1.200s app INT → strays 101");
}

#[test]
fn the_first_signal_after_another_cause_is_no_second_one() {
    let failing = service("failing").that(Behaviour::ends(ms(1000), curfew::supervisor::End::Exited(3)));
    let spec = Spec::many([failing, stubborn("api")]).key(ms(3000), Signal::INT);
    let world = spec.key(ms(4000), Signal::INT).run();
    world.sent(
        "1.000s api TERM → leader 101
         4.000s api INT → leader 101
         8.000s api QUIT → leader 101
         10.000s api KILL → all 101",
    );
    assert!(world.told(|notice| matches!(notice, Notice::StopEscalated { level: Level::NextStage, .. })));
}
