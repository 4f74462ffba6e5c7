//! What is executed, as the Linux layer wants it, out of a configuration.

use std::io::IsTerminal;

use crate::config::{Config, HookCommands, OutputChoice, ProcessSettings, Surroundings};
use crate::linux::{
    ChildSetup, Colours, Program, Programs, ResourceLimit, ServiceOutput, ServicePrograms, WantedSockets,
    is_written_to_journal,
};
use crate::supervisor::Mode;

/// Everything that a configuration executes.
pub(crate) fn programs_of(config: &mut Config, surroundings: &Surroundings) -> Programs {
    let mode = config.settings.mode;
    let processes = std::mem::take(&mut config.processes);
    Programs {
        services: processes.into_iter().map(|process| programs(process, mode, surroundings)).collect(),
        commands: std::mem::take(&mut config.commands),
        cleanup: config.cleanup.take().map(|process| program(process, mode, surroundings)),
    }
}

fn programs(mut process: ProcessSettings, mode: Mode, surroundings: &Surroundings) -> ServicePrograms {
    let hooks = std::mem::take(&mut process.hooks);
    let HookCommands { pre_start, pre_stop, post_stop } = hooks;
    let (notify, ready_descriptor) = (process.notify, process.ready_descriptor);
    let is_told_deadline = process.is_told_deadline;
    let (ready_probe, health_probe) = (process.ready_probe.take(), process.health_probe.take());
    ServicePrograms {
        main: program(process, mode, surroundings),
        notify,
        is_told_deadline,
        ready_probe,
        ready_descriptor,
        health_probe,
        pre_start,
        pre_stop,
        post_stop,
    }
}

fn program(process: ProcessSettings, mode: Mode, surroundings: &Surroundings) -> Program {
    let started_in = match mode {
        // It is forked before curfew itself leaves the directory.
        Mode::OneCommand => None,
        Mode::ManyServices => process.directory.is_none().then(|| surroundings.directory.clone()),
    };
    let limits = process.limits.iter().map(|limit| ResourceLimit {
        name: limit.name,
        resource: limit.resource,
        soft: limit.soft,
        hard: limit.hard,
    });
    let setup = ChildSetup {
        user: process.user,
        group: process.group,
        supplementary_groups: process.supplementary_groups,
        login_variables: process.login_variables,
        umask: process.umask,
        nice: process.nice,
        oom_score_adjust: process.oom_score_adjust,
        limits: limits.collect(),
        no_new_privileges: process.no_new_privileges,
    };
    let sockets = match mode {
        Mode::OneCommand => WantedSockets::All,
        Mode::ManyServices => WantedSockets::Named(process.sockets),
    };
    Program {
        sockets,
        command: process.command,
        shared_environment: process.shared_environment,
        own_environment: process.own_environment,
        directory: process.directory,
        started_in,
        parent_death: process.parent_death,
        setup,
        output: output(process.output, mode, surroundings),
    }
}

/// Where a service's output leads. At a terminal people want to see who says what.
fn output(choice: Option<OutputChoice>, mode: Mode, surroundings: &Surroundings) -> ServiceOutput {
    match choice {
        None if mode == Mode::ManyServices && std::io::stderr().is_terminal() => {
            ServiceOutput::Prefix(colours(surroundings))
        }
        // Each under its own identifier, and no byte passes through us.
        None if mode == Mode::ManyServices && is_written_to_journal() => ServiceOutput::Journal,
        None | Some(OutputChoice::Inherit) => ServiceOutput::Inherit,
        Some(OutputChoice::Prefix) => ServiceOutput::Prefix(colours(surroundings)),
        Some(OutputChoice::Json) => ServiceOutput::Json,
        Some(OutputChoice::Null) => ServiceOutput::Null,
        Some(OutputChoice::File(path)) => ServiceOutput::File(path),
        Some(OutputChoice::Journal) => ServiceOutput::Journal,
    }
}

/// <https://no-color.org>; and a terminal that knows no escape sequences.
fn colours(surroundings: &Surroundings) -> Colours {
    let is_refused = surroundings.variable("NO_COLOR").is_some_and(|value| !value.is_empty())
        || surroundings.variable("TERM").is_some_and(|terminal| terminal == "dumb");
    if is_refused { Colours::Refused } else { Colours::Allowed }
}
