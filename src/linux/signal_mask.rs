use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

/// Blocks every signal. Called first thing, so that a signal that comes before there is a handler for it waits for
/// the handler.
pub fn block_all_signals() {
    set(&SigSet::all());
}

/// Does what may take for ever, while nothing runs yet: a signal has its default action meanwhile, and ends us. (PID 1
/// has no default actions.)
pub fn interruptible<T>(work: impl FnOnce() -> T) -> T {
    unblock_all_signals();
    let result = work();
    block_all_signals();
    result
}

/// Lets every signal through.
pub(crate) fn unblock_all_signals() {
    set(&SigSet::empty());
}

fn set(mask: &SigSet) {
    // It can only fail for a bad first argument.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(mask), None).expect("SIG_SETMASK is a valid request");
}
