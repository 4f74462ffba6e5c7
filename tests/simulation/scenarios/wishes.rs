//! What somebody asks for by way of the control socket.

use std::time::Duration;

use curfew::supervisor::{
    Cause, End, Notice, ReadyBy, Request, RestartWhen, ServiceId, ServiceMessage, Signal,
};

use crate::process::{Answer, Behaviour, Bond, How, When};
use crate::spec::{Input, SOMEBODY, ServiceSpec, Spec, done_after, fails_after, ms, service, task};
use crate::world::World;

fn names(world: &World) -> Vec<String> {
    world.starts().into_iter().map(|(at, name)| format!("{name} {}", at.as_millis())).collect()
}

/// `db`, `api` after it, `web` after that; and another beside them.
fn chain() -> Spec {
    let obedient = |name: &str| service(name).that(Behaviour::obeys(ms(100)));
    Spec::many([obedient("db"), obedient("api").after([0]), obedient("web").after([1]), obedient("other")])
}

#[test]
fn stop_name_stops_its_dependents_first_and_never_the_system() {
    let world = chain().stop(ms(1000), 1).term(ms(5000)).run();
    world.ends(0, ms(5100)).sent(
        "1.000s web TERM → leader 103
         1.100s api TERM → leader 102
         5.000s other TERM → leader 101
         5.000s db TERM → leader 100",
    );
}

#[test]
fn a_system_of_which_all_was_stopped_waits_for_somebody_to_start_it_again() {
    let world = chain().stop(ms(1000), 0).stop(ms(1000), 3).start(ms(60_000), 2).start(ms(60_000), 3);
    let world = world.term(ms(70_000)).run();
    assert_eq!(
        names(&world),
        ["db 0", "other 0", "api 0", "web 0", "db 60000", "other 60000", "api 60000", "web 60000"]
    );
    world.ends(0, ms(70_300));
}

#[test]
fn start_name_brings_its_dependencies_first_each_when_the_one_before_is_ready() {
    let says = |after| Behaviour::obeys(ms(0)).saying(ms(after), ServiceMessage::Ready);
    let db = service("db").ready(ReadyBy::Notify, ms(9000)).that(says(300));
    let api = service("api").ready(ReadyBy::Notify, ms(9000)).that(says(200)).after([0]);
    let spec = Spec::many([db, api, service("web").after([1])]);
    let world = spec.stop(ms(1000), 0).start(ms(2000), 2).term(ms(5000)).run();
    assert_eq!(names(&world)[3..], ["db 2000", "api 2300", "web 2500"]);
}

#[test]
fn what_was_stopped_is_not_started_again_by_its_restart_policy() {
    let api = service("api").restart(RestartWhen::Always).that(Behaviour::obeys(ms(0)).how(How::Exits(3)));
    let world = Spec::many([service("db"), api.after([0])]).stop(ms(1000), 1).term(ms(60_000)).run();
    assert_eq!(world.starts().len(), 2);
    assert_eq!(world.finished_at(), ms(60_000));
}

#[test]
fn a_service_in_back_off_that_is_stopped_is_down_at_once_and_what_it_is_after_follows() {
    let mut api = service("api").restart(RestartWhen::OnFailure).that(fails_after(ms(500))).after([0]);
    (api.settings.restart.delay, api.settings.restart.delay_max) = (ms(9000), ms(9000));
    let world = Spec::many([service("db"), api]).stop(ms(1000), 0).term(ms(60_000)).run();
    assert_eq!(world.starts().len(), 2);
    world.ends(0, ms(60_000)).sent("1.000s db TERM → leader 100");
}

#[test]
fn a_service_that_waits_for_another_is_not_started_any_more_when_it_is_stopped() {
    let db = service("db")
        .ready(ReadyBy::Notify, ms(9000))
        .that(Behaviour::obeys(ms(0)).saying(ms(2000), ServiceMessage::Ready));
    let world = Spec::many([db, service("api").after([0])]).stop(ms(1000), 1).term(ms(5000)).run();
    assert_eq!(names(&world), ["db 0"]);
    world.ends(0, ms(5000));
}

#[test]
fn restart_name_leaves_its_dependents_alone() {
    let world = chain().restart(ms(1000), 0).term(ms(5000)).run();
    assert_eq!(names(&world)[4..], ["db 1100"]);
    world.sent(
        "1.000s db TERM → leader 100
         5.000s other TERM → leader 101
         5.000s web TERM → leader 103
         5.100s api TERM → leader 102
         5.200s db TERM → leader 104",
    );
    world.ends(0, ms(5300));
}

#[test]
fn restart_name_ends_the_wait_before_a_restart() {
    let mut api = service("api")
        .restart(RestartWhen::OnFailure)
        .that(fails_after(ms(500)))
        .then(Behaviour::obeys(ms(0)));
    (api.settings.restart.delay, api.settings.restart.delay_max) = (ms(9000), ms(9000));
    let world = Spec::many([api]).restart(ms(1000), 0).term(ms(2000)).run();
    assert_eq!(names(&world), ["api 0", "api 1000"]);
}

#[test]
fn restart_name_starts_what_is_down() {
    let world = chain().stop(ms(1000), 2).restart(ms(3000), 2).term(ms(5000)).run();
    assert_eq!(names(&world)[4..], ["web 3000"]);
}

#[test]
fn restart_name_runs_a_task_once_more() {
    let job = task("job").that(done_after(ms(100)));
    let world = Spec::many([job, service("api").after([0])]).restart(ms(1000), 0).term(ms(5000)).run();
    assert_eq!(names(&world), ["job 0", "api 100", "job 1000"]);
}

#[test]
fn start_name_does_not_run_a_task_again_that_is_done() {
    let job = task("job").that(done_after(ms(100)));
    let world = Spec::many([job, service("api").after([0])])
        .stop(ms(1000), 1)
        .start(ms(2000), 1)
        .term(ms(5000))
        .run();
    assert_eq!(names(&world), ["job 0", "api 100", "api 2000"]);
}

#[test]
fn start_name_brings_back_what_is_on_its_way_down() {
    let api = service("api").that(Behaviour::obeys(ms(1000)));
    let world = Spec::many([api]).stop(ms(1000), 0).start(ms(1500), 0).term(ms(5000)).run();
    assert_eq!(names(&world), ["api 0", "api 2000"]);
}

#[test]
fn start_name_saves_what_waits_to_be_stopped() {
    let web = service("web").that(Behaviour::obeys(ms(1000))).after([0]);
    let world = Spec::many([service("api"), web]).stop(ms(1000), 0).start(ms(1500), 0).term(ms(5000)).run();
    // `web` goes, and stays away; `api` has not been told anything.
    assert_eq!(names(&world), ["api 0", "web 0"]);
    world.ends(0, ms(5000)).sent("1.000s web TERM → leader 101\n5.000s api TERM → leader 100");
}

#[test]
fn what_is_started_waits_for_a_dependency_that_comes_back_as_well() {
    // `db` is slow to stop and slow to be ready; `api` is down when both are wanted again.
    let db = service("db")
        .ready(ReadyBy::Notify, ms(9000))
        .that(Behaviour::obeys(ms(1000)).saying(ms(500), ServiceMessage::Ready));
    let spec = Spec::many([db, service("api").after([0])]).stop(ms(1000), 0).start(ms(1500), 1);
    let world = spec.term(ms(9000)).run();
    // Stopped at 2 s, started again, ready at 2.5 s.
    assert_eq!(names(&world), ["db 0", "api 500", "db 2000", "api 2500"]);
}

#[test]
fn what_is_started_waits_for_a_dependency_that_is_being_restarted() {
    let says = Behaviour::obeys(ms(0)).saying(ms(500), ServiceMessage::Ready);
    let db = service("db").ready(ReadyBy::Notify, ms(9000)).that(says);
    let spec =
        Spec::many([db, service("api").after([0])]).stop(ms(1000), 1).restart(ms(2000), 0).start(ms(2100), 1);
    let world = spec.term(ms(9000)).run();
    assert_eq!(names(&world)[2..], ["db 2000", "api 2500"]);
}

#[test]
fn what_is_started_waits_for_a_dependency_that_had_ended() {
    let says = Behaviour::ends(ms(1000), End::Exited(0)).saying(ms(500), ServiceMessage::Ready);
    let again = Behaviour::obeys(ms(0)).saying(ms(500), ServiceMessage::Ready);
    let db = service("db").not_essential().ready(ReadyBy::Notify, ms(9000)).that(says).then(again);
    let spec = Spec::many([db, service("api").after([0]), service("other")]);
    let world = spec.stop(ms(2000), 1).start(ms(3000), 1).term(ms(9000)).run();
    assert_eq!(names(&world)[3..], ["db 3000", "api 3500"]);
}

#[test]
fn a_failure_of_what_nobody_wants_any_more_does_not_stop_the_system() {
    // It crashes, is unhealthy, or dies by a signal while it waits for its dependents.
    let crash = fails_after(ms(1500));
    let sick = Behaviour::obeys(ms(0)).seen_as(ms(0), Answer::Sick(ms(0), 500));
    let by_term = Behaviour::ends(ms(1500), End::Signaled { number: 15, core_dumped: false });
    let done = done_after(ms(1500));
    for behaviour in [crash, sick, by_term, done] {
        let db = service("db").health(ms(1500), ms(100), 1).that(behaviour);
        let api = service("api").after([0]).that(Behaviour::obeys(ms(2000)));
        let world = Spec::many([db, api, service("other")]).stop(ms(1000), 0).term(ms(9000)).run();
        assert_eq!(world.finished_at(), ms(9000), "{world}");
        assert!(matches!(world.history.stop(), Some((_, _, Cause::Signal { .. }))));
    }
}

#[test]
fn a_stop_explains_a_death_that_was_held_back() {
    let spec =
        Spec::many([service("api").that(Behaviour::obeys(ms(0)).how(How::BySignal)), service("other")]);
    let world = spec.at(ms(1000), Input::ToLeader(0, Signal::TERM)).stop(ms(1050), 0).term(ms(5000)).run();
    world.ends(0, ms(5000));
    let spec = Spec::many([service("api").that(Behaviour::obeys(ms(0)).how(How::BySignal))]);
    let world = spec.at(ms(1000), Input::ToLeader(0, Signal::TERM)).restart(ms(1050), 0).term(ms(5000)).run();
    assert_eq!(names(&world), ["api 0", "api 1050"]);
    world.ends(0, ms(5000));
}

#[test]
fn a_dependent_that_nothing_can_end_does_not_keep_its_dependency_from_being_stopped() {
    let api = service("api").grace("TERM 1s").after([0]).that(Behaviour::unkillable());
    let world = Spec::many([service("db"), api]).stop(ms(1000), 0).term(ms(5000)).run();
    world.sent(
        "1.000s api TERM → leader 101
         2.000s api KILL → all 101
         2.500s db TERM → leader 100",
    );
    assert_eq!(world.status(), 81);
}

#[test]
fn restart_name_of_what_waits_to_be_stopped_keeps_what_it_is_after() {
    // Everything above `db` is on its way down when `api` is to be restarted.
    let web = service("web").after([1]).that(Behaviour::obeys(ms(1000)));
    let spec = Spec::many([service("db"), service("api").after([0]), web]);
    let world = spec.stop(ms(1000), 0).restart(ms(1500), 1).term(ms(5000)).run();
    world.sent(
        "1.000s web TERM → leader 102
         1.500s api TERM → leader 101
         5.000s api TERM → leader 103
         5.000s db TERM → leader 100",
    );
}

#[test]
fn a_stop_by_wish_has_no_deadline_until_the_system_stops() {
    let api = service("api").grace("TERM 20s, INT 20s").that(Behaviour::stubborn());
    let spec = Spec::many([api, service("other")]).deadline(ms(10_000), ms(1000)).stop(ms(1000), 0);
    let world = spec.clone().term(ms(60_000)).run();
    world.sent(
        "1.000s api TERM → leader 100
         21.000s api INT → leader 100
         41.000s api KILL → all 100
         60.000s other TERM → leader 101",
    );
    // 8.9 s, less 0.45 s for each of two levels, for the 30 s that are left.
    let world = spec.term(ms(11_000)).run();
    world.sent(
        "1.000s api TERM → leader 100
         11.000s other TERM → leader 101
         13.666s api INT → leader 100
         18.999s api KILL → all 100",
    );
}

#[test]
fn a_task_that_is_started_by_hand_has_its_retries_anew() {
    let job = task("job").not_essential().that(fails_after(ms(100))).restart(RestartWhen::OnFailure);
    let job = job.restart_limit(2, Duration::from_secs(60));
    let world = Spec::many([job, service("api")]).start(ms(9000), 0).term(ms(20_000)).run();
    assert_eq!(world.starts().len(), 1 + 3 + 3);
}

#[test]
fn a_start_by_hand_of_what_is_about_to_be_started_again_gives_it_no_further_restarts() {
    let mut api = service("api").not_essential().that(fails_after(ms(1000)));
    api = api.restart(RestartWhen::OnFailure).restart_limit(2, Duration::from_secs(60));
    api.settings.restart.delay = Duration::ZERO;
    let mut spec = Spec::many([api, service("db")]).restart(ms(2500), 0).term(ms(9000));
    // Between its end and its start curfew sleeps, if only for a moment.
    spec.lateness = ms(20);
    for at in 2500..2600 {
        let world = spec.clone().start(ms(at), 0).run();
        let starts = world.starts().into_iter().filter(|(_, name)| name == "api");
        assert_eq!(starts.count(), 4, "asked for at {at}\n{world}");
    }
}

#[test]
fn a_signal_by_wish_goes_to_the_service_itself_and_to_nobody_else() {
    let signal = |at| (ms(at), Input::Request(Request::Signal(ServiceId::new(0), Signal::USR1)));
    // In its pre-start, while it runs, when it is dead and held back, and in its post-stop.
    let main = Behaviour::obeys(ms(0)).how(How::BySignal);
    let api = service("api")
        .pre_start(ms(1000), done_after(ms(500)))
        .post_stop(ms(1000), done_after(ms(500)))
        .that(main);
    let mut spec = Spec::many([api]).at(ms(1000), Input::ToLeader(0, Signal::TERM));
    spec.inputs.extend([signal(200), signal(700), signal(1050), signal(1300)]);
    let world = spec.run();
    world.sent("0.700s api USR1 → leader 101");
    world.ends(143, ms(1600));
}

#[test]
fn the_system_is_stopped_by_wish_like_by_a_signal() {
    let world = chain().request(ms(1000), Request::StopSystem { sender: SOMEBODY }).run();
    world.ends(0, ms(1300));
    assert!(matches!(world.history.stop(), Some((_, _, Cause::Request { sender })) if sender == SOMEBODY));
}

#[test]
fn wishes_change_nothing_once_a_stop_of_the_system_has_begun() {
    let plain = chain().term(ms(1000)).run();
    for request in [
        Request::Start(ServiceId::new(2)),
        Request::Restart(ServiceId::new(1)),
        Request::Stop(ServiceId::new(0)),
        Request::StopSystem { sender: SOMEBODY },
        Request::Signal(ServiceId::new(0), Signal::USR1),
    ] {
        let world = chain().term(ms(1000)).request(ms(1050), request).run();
        assert_eq!(world.history.signal_lines(), plain.history.signal_lines(), "{request:?}");
        world.ends(0, ms(1300));
    }
}

#[test]
fn a_stop_in_the_middle_of_any_wish_starts_nothing_and_loses_no_time() {
    let spec = |name: &str| -> ServiceSpec {
        service(name)
            .that(Behaviour::obeys(ms(150)))
            .pre_start(ms(1000), done_after(ms(50)))
            .post_stop(ms(1000), done_after(ms(50)))
    };
    for at in (0..2000).step_by(10) {
        let spec = Spec::many([spec("db"), spec("api").after([0]), spec("web").after([1])]);
        let spec = spec.stop(ms(300), 1).start(ms(500), 2).restart(ms(900), 0).stop(ms(1200), 2);
        let world = spec.deadline(ms(10_000), ms(1000)).term(ms(at)).run();
        assert!(world.finished_at() <= ms(at + 600), "stopped at {at}\n{world}");
        assert_eq!(world.status(), 0);
    }
}

#[test]
fn a_task_that_was_done_while_nobody_wanted_it_is_done() {
    // Its stray holds it for a while.
    let job = task("job").that(done_after(ms(1000)).forking(
        When::After(ms(0)),
        Bond::OwnSession,
        Behaviour::obeys(ms(1000)),
    ));
    let spec = Spec::many([job, service("api").after([0]), service("other")]);
    let world = spec.stop(ms(1500), 0).start(ms(3000), 1).term(ms(5000)).run();
    assert_eq!(names(&world), ["job 0", "other 0", "api 3000"]);
    assert!(!world.told(|notice| matches!(notice, Notice::ServiceFailing { .. })));
}

#[test]
fn what_is_started_waits_for_a_dependency_whose_death_is_held_back() {
    let db = service("db").that(Behaviour::obeys(ms(0)).how(How::BySignal));
    let spec = Spec::many([db.restart(RestartWhen::OnFailure), service("api").after([0])]).stop(ms(500), 1);
    let world = spec.at(ms(1000), Input::ToLeader(0, Signal::TERM)).start(ms(1050), 1).term(ms(9000)).run();
    let starts = world.starts();
    let names: Vec<&str> = starts.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["db", "api", "db", "api"], "{world}");
}
