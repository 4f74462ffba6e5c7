use std::collections::HashSet;

use crate::supervisor::{End, Notice, Pid, ServiceId, Signal, defaults};

/// The strays of a service that are too many to be named one by one: they are counted, and told when the service is down, or
/// at the end.
#[derive(Default)]
pub struct Crowd {
    /// By service: how many are named, and the others.
    services: Vec<(usize, MoreStrays)>,
    unnamed: HashSet<Pid>,
}

/// How many more there were, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MoreStrays {
    /// How many.
    pub count: usize,
    /// How many of them are gone.
    pub gone: usize,
    /// How many of these were killed by us, as far as that is known.
    pub killed: usize,
}

impl Crowd {
    /// Whether this is told by itself; if not, it is counted.
    pub fn admits(&mut self, notice: &Notice) -> bool {
        match *notice {
            Notice::StrayFound { service, pid, .. } | Notice::KilledWithLeader { service, pid, .. } => {
                let (named, more) = self.of(service);
                *named += 1;
                if *named <= defaults::STRAYS_NAMED {
                    return true;
                }
                more.count += 1;
                self.unnamed.insert(pid);
                false
            }
            Notice::StrayEnded { service, pid, end, signal } if self.unnamed.remove(&pid) => {
                let more = &mut self.of(service).1;
                let by_kill = end.is_none_or(|end: End| end.signal() == Some(Signal::KILL));
                more.gone += 1;
                more.killed += usize::from(signal == Some(Signal::KILL) && by_kill);
                false
            }
            Notice::SignalRefused { pid, .. } | Notice::Survivor { pid, .. } => !self.unnamed.contains(&pid),
            _ => true,
        }
    }

    /// What is to be told before this: it ends a count.
    pub fn conclude(&mut self, notice: &Notice) -> Vec<(ServiceId, MoreStrays)> {
        let ended = match *notice {
            Notice::ServiceDown { service, .. } | Notice::ServiceStarted { service, .. } => {
                service.index()..self.services.len().min(service.index() + 1)
            }
            Notice::StopComplete { .. } => 0..self.services.len(),
            _ => return Vec::new(),
        };
        let counts = ended.map(|index| (ServiceId::new(index), std::mem::take(&mut self.services[index]).1));
        counts.filter(|(_, more)| more.count > 0).collect()
    }

    fn of(&mut self, service: ServiceId) -> &mut (usize, MoreStrays) {
        let length = self.services.len().max(service.index() + 1);
        self.services.resize(length, Default::default());
        &mut self.services[service.index()]
    }
}

impl MoreStrays {
    /// How many are left.
    pub const fn left(&self) -> usize {
        self.count - self.gone
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn service() -> ServiceId {
        ServiceId::new(0)
    }
    const NAMED: usize = defaults::STRAYS_NAMED;

    fn pid(number: usize) -> Pid {
        Pid::new(number as i32 + 2).unwrap()
    }

    fn found(number: usize) -> Notice {
        Notice::StrayFound { service: service(), pid: pid(number), name: "x".to_owned() }
    }

    fn ended(number: usize, end: Option<End>) -> Notice {
        Notice::StrayEnded { service: service(), pid: pid(number), end, signal: Some(Signal::KILL) }
    }

    fn down() -> Notice {
        Notice::ServiceDown { service: service(), after: Some(Duration::ZERO) }
    }

    #[test]
    fn whoever_is_too_many_is_counted_and_nobody_twice() {
        let mut crowd = Crowd::default();
        let told = (0..NAMED + 10).filter(|number| crowd.admits(&found(*number))).count();
        assert_eq!(told, NAMED);
        let killed = End::Signaled { number: 9, core_dumped: false };
        let refused = Notice::SignalRefused { service: service(), pid: pid(NAMED + 8), errno: 1 };
        let survivor = |number| Notice::Survivor { service: service(), pid: pid(number) };
        assert!(!crowd.admits(&refused));
        // Those that are named keep their names, to the end.
        assert!(crowd.admits(&ended(0, Some(killed))) && crowd.admits(&survivor(1)));
        for number in NAMED..NAMED + 8 {
            let end = if number == NAMED { Some(End::Exited(0)) } else { Some(killed) };
            assert!(!crowd.admits(&ended(number, end)));
        }
        assert!(!crowd.admits(&survivor(NAMED + 9)));
        assert!(crowd.conclude(&found(0)).is_empty());
        let told = crowd.conclude(&down());
        let [(of, more)] = told[..] else { panic!("nothing is told") };
        assert_eq!((of, more), (service(), MoreStrays { count: 10, gone: 8, killed: 7 }));
        assert_eq!(more.left(), 2);
        // The next life begins anew.
        assert!(crowd.admits(&found(0)) && crowd.conclude(&down()).is_empty());
    }
}
