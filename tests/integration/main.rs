//! Real processes under the real curfew: fixtures that print a line per happening, and tests that wait for lines.
//!
//! Traps that other supervisors fell into, and the test that keeps curfew out of each. The numbers are those of our
//! survey of peers.
//!
//! | trap | test |
//! |---|---|
//! | 1 a group that is not the foreground is stopped at the terminal | `child_setup::a_child_has_a_session_and_a_group_of_its_own`, `terminal::nobody_is_stopped_for_what_a_system_of_services_writes` |
//! | 2 the foreground, handed over and given back | `terminal::ctrl_z_stops_the_whole_job_and_fg_continues_it`, `…the_foreground_is_given_back_at_the_end`, `…curfew_is_not_stopped_for_what_it_logs_beside_its_command` |
//! | 3 letting go of the terminal hangs up | curfew never does; `terminal::a_terminal_that_hangs_up_stops_the_command` |
//! | 4 a group without a shell cannot be stopped | `terminal::ctrl_z_where_nobody_could_continue_the_job_does_not_stop_it` |
//! | 5 stdin may not be the terminal | `terminal::a_password_is_asked_for_at_the_terminal_though_every_stream_leads_elsewhere` |
//! | 6 many services, one terminal | `terminal::no_service_has_the_terminal` |
//! | 7 signalling one's own group | `stages::a_stage_for_the_group_reaches_the_workers_in_it`: curfew survives it, and nothing comes twice |
//! | 8 the group before the child has made it | `start::a_term_between_fork_and_exec_is_not_lost` |
//! | 9, 10 whom to signal; two TERMs mean force | `stages::a_stage_for_*`, `signals::two_thousand_rapid_stop_signals_are_one_request` |
//! | 11 the wrapper must be last out | every test: no process may be left when curfew exits |
//! | 12 CHLD coalesces | `reaping::a_hundred_services_that_die_at_once_are_all_reaped` |
//! | 13 zombies look alive | `reaping::a_command_that_leaves_two_thousand_dying_orphans_gives_its_own_status` |
//! | 14 leader reaped, group not gone | `reaping::a_command_that_ends_by_itself_takes_what_it_left_behind_with_it` |
//! | 15 lists of processes are too old | `reaping::a_process_that_forks_and_exits_all_the_time_is_caught` |
//! | 16, 17 the wrong child | `reaping::two_thousand_orphans_are_reaped_while_the_command_runs`, `order::*` |
//! | 18 pids come again | every signal goes through a handle, or to a child that is not reaped; not provoked here |
//! | 19 the wait after KILL | `exit_status::what_may_not_be_signalled_is_a_survivor_that_is_named_and_81` |
//! | 20 EINTR | `signals::two_thousand_rapid_signals_neither_crash_nor_confuse` |
//! | 21 mask and dispositions survive exec | `child_setup::children_start_with_an_empty_mask_and_default_dispositions_whatever_curfew_was_given` |
//! | 22 a stopped child cannot obey | `stages::a_stopped_program_is_continued_so_that_it_can_obey` |
//! | 23 PID 1 has no default actions | `pid_one::pid_one_stops_when_it_is_asked_to` |
//! | 24 exec failure | `exit_status::a_command_that_is_not_there_is_127_with_one_clear_line`, `…_cannot_be_executed_is_126_…` |
//! | 25 death by a signal | `exit_status::one_command_that_a_signal_ends_gives_128_plus_the_signal` |
//! | 26 descriptors leak | `child_setup::one_command_inherits_every_descriptor_and_gets_none_of_curfews_own` |
//! | 27 `LISTEN_PID` and the like | `sockets::one_command_gets_every_socket_under_its_own_pid` |
//! | 28 the working directory pins a mount | `child_setup::a_child_works_where_curfew_was_started_and_curfew_itself_pins_no_directory` |
//! | 29 a stop during the start | `start::*` |
//! | 30 respawn while stopping | `start::nothing_is_started_once_a_stop_has_begun`; restarts are for later |
//! | 31 stops one after another add up | `order::independent_services_stop_at_the_same_time`, `order::ten_services_in_a_chain_are_down_before_a_short_deadline` |
//! | 32 fixed sleeps | `stages::a_wait_ends_when_the_service_is_gone` |
//! | 33 output after TERM is lost | `output::output_that_a_command_writes_after_term_is_not_lost`, `reaping::a_stray_that_holds_the_output_open_does_not_keep_curfew_from_leaving` |
//! | 35 the second Ctrl-C kills the supervisor | `signals::a_second_interrupt_leads_to_the_next_stage_at_once_and_a_second_term_to_nothing` |
//! | 36 ticks are no bounds | `stages::stages_come_in_order_and_none_before_its_time`, `budget::*` |
//! | 34, 37, 38 a terminal's output, systemd's timer | for later |

mod budget;
mod carried;
mod cgroup;
mod child_setup;
mod control;
mod control_strangers;
mod exit_status;
mod hangs;
mod hooks;
mod inherited;
mod life;
mod notify;
mod order;
mod output;
mod output_files;
mod panic;
mod pid_one;
mod probes;
mod procfile;
mod reaping;
mod reload;
mod report;
mod scarcity;
mod settings;
#[path = "../fixtures/signal_names.rs"]
mod signal_names;
mod signals;
mod sockets;
mod stages;
mod start;
mod support;
mod terminal;
mod usage;
