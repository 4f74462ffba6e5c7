//! Small worlds in full: two services, every pair of behaviours, every order of six happenings.

use std::time::Duration;

use curfew::supervisor::{ReadyBy, RestartWhen, Sender, ServiceMessage, Signal};

use super::process::{Behaviour, Bond, Reaction, When};
use super::spec::{Input, SOMEBODY, ServiceSpec, Spec, done_after, ms, service};
use super::world::World;

/// What happens, in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// The platform asks for a stop.
    Term,
    /// And again.
    SecondTerm,
    /// A person presses Ctrl-C.
    Interrupt,
    /// The leader of the first service dies (OOM killer).
    FirstDies,
    /// The second service leaves a process behind, and ends.
    SecondLeavesStray,
    /// Three seconds go by.
    Time,
}

const HAPPENINGS: [Happening; 6] = [
    Happening::Term,
    Happening::SecondTerm,
    Happening::Interrupt,
    Happening::FirstDies,
    Happening::SecondLeavesStray,
    Happening::Time,
];

/// Apart from each other by less than the duplicate window, so that both sides of it occur.
const STEP: Duration = Duration::from_millis(300);

/// How processes behave: obedient, slow, stubborn, and beyond KILL.
fn behaviours() -> [Behaviour; 4] {
    [Behaviour::obeys(ms(0)), Behaviour::obeys(ms(2500)), Behaviour::stubborn(), Behaviour::unkillable()]
}

#[test]
fn every_promise_holds_in_a_small_world_whatever_the_order_of_events() {
    let mut worlds = 0;
    let mut events = 0;
    for order in permutations(&HAPPENINGS) {
        for ordered in [false, true] {
            for first in behaviours() {
                for second in behaviours() {
                    for deadline in [None, Some(ms(8000))] {
                        let spec = small_world(&order, ordered, [&first, &second], deadline);
                        events += run(&spec, &order).event_count;
                        worlds += 1;
                    }
                }
            }
        }
    }
    assert_eq!(worlds, 720 * 2 * 16 * 2);
    println!("simulated {events} events in {worlds} worlds");
}

fn run(spec: &Spec, order: &[Happening]) -> World {
    World::try_run(spec.clone()).unwrap_or_else(|failure| panic!("{failure}\n{order:?} in {spec:#?}"))
}

fn small_world(
    order: &[Happening],
    ordered: bool,
    leaders: [&Behaviour; 2],
    deadline: Option<Duration>,
) -> Spec {
    let mut now = ms(100);
    let mut inputs = Vec::new();
    let mut stray_at = None;
    for happening in order {
        now += STEP;
        match happening {
            Happening::Term | Happening::SecondTerm => {
                inputs.push((now, Input::Signal(Signal::TERM, SOMEBODY)));
            }
            Happening::Interrupt => inputs.push((now, Input::Signal(Signal::INT, Sender::Terminal))),
            Happening::FirstDies => inputs.push((now, Input::ToLeader(0, Signal::KILL))),
            Happening::SecondLeavesStray => {
                stray_at = Some(now);
                inputs.push((now + ms(1), Input::ToLeader(1, Signal::KILL)));
            }
            Happening::Time => now += ms(3000),
        }
    }
    let stray = leaders[1].clone();
    let second =
        leaders[1].clone().forking(When::After(stray_at.expect("it is among them")), Bond::OwnSession, stray);
    let with = |name: &str, behaviour: Behaviour| -> ServiceSpec {
        service(name).grace("TERM 2s, INT 1s").that(behaviour)
    };
    let second = if ordered { with("second", second).after([0]) } else { with("second", second) };
    let mut spec = Spec::many([with("first", leaders[0].clone()), second]);
    spec.inputs = inputs;
    match deadline {
        Some(deadline) => spec.deadline(deadline, ms(1000)),
        None => spec,
    }
}

/// What happens to services that live, and come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The platform asks for a stop.
    Term,
    /// Somebody stops the first service, and what comes after it.
    StopFirst,
    /// Somebody starts the second service, and what it comes after.
    StartSecond,
    /// Somebody restarts the first service.
    RestartFirst,
    /// The leader of the first service dies (OOM killer).
    FirstDies,
    /// Two seconds go by.
    Time,
}

const TURNS: [Turn; 6] =
    [Turn::Term, Turn::StopFirst, Turn::StartSecond, Turn::RestartFirst, Turn::FirstDies, Turn::Time];

#[test]
fn every_promise_holds_in_a_small_world_of_many_lives_whatever_the_order_of_events() {
    let (mut worlds, mut events) = (0, 0);
    let reactions = [Reaction::Ends(ms(0), super::process::How::Exits(0)), Reaction::Ignores];
    for order in permutations(&TURNS) {
        for step in [ms(40), ms(400)] {
            for first in reactions {
                for second in reactions {
                    let spec = world_of_lives(&order, step, [first, second]);
                    let world = World::try_run(spec.clone())
                        .unwrap_or_else(|failure| panic!("{failure}\n{order:?} in {spec:#?}"));
                    events += world.event_count;
                    worlds += 1;
                }
            }
        }
    }
    assert_eq!(worlds, 720 * 2 * 4);
    println!("simulated {events} events in {worlds} worlds");
}

/// Two services, one after the other, with all that can be around them.
fn world_of_lives(order: &[Turn], step: Duration, reactions: [Reaction; 2]) -> Spec {
    let mut now = ms(250);
    let mut spec = Spec::many([lively("first", reactions[0]), lively("second", reactions[1]).after([0])]);
    for turn in order {
        now += step;
        spec = match turn {
            Turn::Term => spec.term(now),
            Turn::StopFirst => spec.stop(now, 0),
            Turn::StartSecond => spec.start(now, 1),
            Turn::RestartFirst => spec.restart(now, 0),
            Turn::FirstDies => spec.at(now, Input::ToLeader(0, Signal::KILL)),
            Turn::Time => {
                now += ms(2000);
                spec
            }
        };
    }
    spec.cleanup(ms(300), done_after(ms(30))).deadline(ms(8000), ms(1000))
}

fn lively(name: &str, reaction: Reaction) -> ServiceSpec {
    let behaviour = Behaviour::obeys(ms(0)).saying(ms(100), ServiceMessage::Ready);
    service(name)
        .grace("TERM 1s")
        .pre_start(ms(300), done_after(ms(30)))
        .pre_stop(ms(300), done_after(ms(30)))
        .post_stop(ms(300), done_after(ms(30)))
        .ready(ReadyBy::Notify, ms(1000))
        .restart(RestartWhen::Always)
        .that(Behaviour { reaction, ..behaviour })
}

/// Every order of these.
fn permutations<T: Copy>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (position, first) in items.iter().enumerate() {
        let rest: Vec<T> =
            items.iter().enumerate().filter(|(other, _)| *other != position).map(|(_, item)| *item).collect();
        for mut tail in permutations(&rest) {
            tail.insert(0, *first);
            all.push(tail);
        }
    }
    all
}
