use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use super::census::{RUN_VARIABLE, SERVICE_VARIABLE};
use super::delivery::to_child;
use super::helper::{Helper, HelperIs, leave};
use super::proc_file_system::{Birth, Process, State};
use crate::supervisor::{Pid, ServiceId, Signal, Timestamp, defaults};

/// Whose strays are, by what curfew wrote into the environment of its services: for when neither session nor cgroup tells.
///
/// Who hangs in the kernel may hang whoever reads its environment: so a helper reads.
#[derive(Debug, Default)]
pub(crate) struct Cookies {
    asking: Option<Asking>,
}

#[derive(Debug)]
struct Asking {
    helper: Helper,
    asked: Vec<(Pid, Birth)>,
    /// When it is looked whether the helper hangs.
    look: Timestamp,
    /// When it is not waited for any longer.
    end: Timestamp,
}

/// Whose a process is. `None`: nobody's, or it was not to be learnt.
pub(crate) type Answer = (Pid, Birth, Option<ServiceId>);

impl Cookies {
    /// Begins to ask, for no longer than until `end`. Returns the helper's pid, a child of ours that is no stray.
    /// `None`: there is no helper to be had, and nothing is to be learnt now.
    pub(crate) fn ask(
        &mut self,
        mut processes: Vec<&Process>,
        run: &str,
        names: &HashMap<String, ServiceId>,
        now: Timestamp,
        end: Timestamp,
    ) -> Option<Pid> {
        // Who may hang comes last: whoever comes behind him is not heard of.
        processes.sort_by_key(|process| process.state == State::Uninterruptible);
        let asked: Vec<(Pid, Birth)> = processes.iter().map(|process| (process.pid, process.birth)).collect();
        let most = asked.len() * LONGEST_ANSWER;
        let helper = Helper::start(most, |pipe| answer(&asked, run, names, pipe)).ok()?;
        let pid = helper.pid();
        self.asking = Some(Asking { helper, asked, look: now + defaults::COOKIES_LOOK, end });
        Some(pid)
    }

    /// Whether answers are to come.
    pub(crate) fn are_awaited(&self) -> bool {
        self.asking.is_some()
    }

    /// When to ask for the answers, should none have come by then.
    pub(crate) fn next_look(&self) -> Option<Timestamp> {
        self.asking.as_ref().map(|asking| asking.look.min(asking.end))
    }

    /// The answers about all who were asked for, once no more is to come.
    pub(crate) fn take_answers(&mut self, now: Timestamp) -> Option<Vec<Answer>> {
        let asking = self.asking.as_mut()?;
        if asking.helper.listen() == HelperIs::Working {
            if now < asking.look.min(asking.end) {
                return None;
            }
            // Where everybody waits for a processor, so does the helper. But one that hangs, hangs.
            if now < asking.end && !hangs(asking.helper.pid()) {
                asking.look = now + defaults::COOKIES_LOOK;
                return None;
            }
        }
        let Asking { mut helper, asked, .. } = self.asking.take()?;
        end(&mut helper);
        let told = parse(helper.told());
        let answers = asked.into_iter().enumerate();
        Some(answers.map(|(index, (pid, birth))| (pid, birth, told.get(&index).copied())).collect())
    }

    /// Nobody wants to know any more.
    pub(crate) fn end(&mut self) {
        if let Some(mut asking) = self.asking.take() {
            end(&mut asking.helper);
        }
    }

    /// What to wait on for the answers.
    pub(crate) fn waiting_on(&self) -> Option<BorrowedFd<'_>> {
        self.asking.as_ref().map(|asking| asking.helper.as_fd())
    }
}

/// Two numbers, a space, a newline.
const LONGEST_ANSWER: usize = 2 * 20 + 2;

/// One that is done may be reaped by now, and its pid another's.
fn end(helper: &mut Helper) {
    if helper.listen() == HelperIs::Working {
        // It cannot fail for a child that was not reaped.
        let _ = to_child(helper.pid(), Signal::KILL);
    }
}

fn hangs(helper: Pid) -> bool {
    Process::read(helper).is_none_or(|helper| helper.state != State::Living)
}

/// The helper's work: a line for each that a service is known of, the numbers of both.
fn answer(asked: &[(Pid, Birth)], run: &str, names: &HashMap<String, ServiceId>, pipe: &mut File) {
    let mut lines = Vec::new();
    for (index, (pid, birth)) in asked.iter().enumerate() {
        let service = environment(*pid).and_then(|environment| {
            // Compared afterwards: if it is the same still, it was the same before.
            let is_ours = variable(&environment, RUN_VARIABLE)? == run.as_bytes();
            let name = std::str::from_utf8(variable(&environment, SERVICE_VARIABLE)?).ok()?;
            let is_it = is_ours && Process::read(*pid).is_some_and(|now| now.birth.is(*birth));
            names.get(name).filter(|_| is_it)
        });
        if let Some(service) = service {
            lines.clear();
            // A vector takes everything.
            let _ = writeln!(lines, "{index} {}", service.index());
            // EPIPE: nobody listens any more.
            if pipe.write_all(&lines).is_err() {
                leave();
            }
        }
    }
}

/// The lines that came whole.
fn parse(told: &[u8]) -> HashMap<usize, ServiceId> {
    let lines = told.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    let answers = lines.filter_map(|line| {
        let (index, service) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        Some((index.parse().ok()?, ServiceId::new(service.parse().ok()?)))
    });
    answers.collect()
}

/// The environment of a process, as it was when its program was executed.
fn environment(pid: Pid) -> Option<Vec<u8>> {
    let mut environment = Vec::new();
    // An environment is limited to a few MiB by the kernel; more than 1 MiB of it is not read.
    File::open(format!("/proc/{pid}/environ")).ok()?.take(1 << 20).read_to_end(&mut environment).ok()?;
    Some(environment)
}

fn variable<'a>(environment: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let entries = environment.split(|byte| *byte == 0);
    entries.filter_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")).next()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    const START: Timestamp = Timestamp::new(std::time::Duration::ZERO);

    fn sleeper(run: &str, service: &str) -> (Child, Process) {
        let mut command = Command::new("sleep");
        let child =
            command.arg("1000").env(RUN_VARIABLE, run).env(SERVICE_VARIABLE, service).spawn().unwrap();
        let process = Process::read(Pid::new(child.id() as i32).unwrap()).unwrap();
        (child, process)
    }

    #[test]
    fn those_of_this_run_are_told_and_no_others() {
        let names = HashMap::from([("a".to_owned(), ServiceId::new(3))]);
        let mut family =
            [sleeper("this", "a"), sleeper("that", "a"), sleeper("this", "b"), sleeper("this", "a")];
        // Another one got its pid.
        family[3].1.birth = Birth { number: family[3].1.birth.number.map(|number| number - 1), session: -1 };
        let mut cookies = Cookies::default();
        let processes = family.iter().map(|(_, process)| process).collect();
        let end = START + defaults::COOKIES_MAX;
        cookies.ask(processes, "this", &names, START, end).unwrap();
        let answers = loop {
            match cookies.take_answers(START) {
                Some(answers) => break answers,
                None => {
                    let mut wait = [PollFd::new(cookies.waiting_on().unwrap(), PollFlags::POLLIN)];
                    let _ = poll(&mut wait, PollTimeout::NONE);
                }
            }
        };
        let services: Vec<_> = answers.iter().map(|(_, _, service)| *service).collect();
        assert_eq!(services, [Some(ServiceId::new(3)), None, None, None]);
        assert_eq!(answers[0].0, family[0].1.pid);
        assert!(!cookies.are_awaited());
        for (child, _) in &mut family {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let environment = b"XA=0\0A=1=2\0A=3\0AB=4\0C\0";
        assert_eq!(variable(environment, "A"), Some(&b"1=2"[..]));
        assert_eq!(variable(environment, "AB"), Some(&b"4"[..]));
        assert_eq!(variable(environment, "C"), None);
    }

    #[test]
    fn a_torn_line_is_left_out() {
        let told = parse(b"0 1\n7 12\nx 1\n1 2");
        assert_eq!(told.len(), 2);
        assert_eq!((told[&0], told[&7]), (ServiceId::new(1), ServiceId::new(12)));
    }
}
