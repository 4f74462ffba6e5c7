use crate::process::Behaviour;
use crate::spec::{Spec, ms, service};

#[test]
fn a_service_that_ignores_its_stages_gets_each_in_turn_and_then_kill() {
    let api = service("api").grace("TERM 8s, INT 2s").that(Behaviour::stubborn());
    let world = Spec::many([api]).term(ms(1000)).run();
    world.ends(80, ms(11_000)).sent(
        "1.000s api TERM → leader 100
         9.000s api INT → leader 100
         11.000s api KILL → all 100",
    );
}
