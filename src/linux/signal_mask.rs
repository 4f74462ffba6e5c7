use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

/// Blocks every signal. Called first thing, so that a signal that comes before somebody takes it in waits for that.
pub fn block_all_signals() {
    block(&SigSet::all());
}

/// Does what may take for ever, while nothing runs yet: a signal has its default action meanwhile, and ends us. (PID 1
/// has no default actions.)
pub fn interruptible<T>(work: impl FnOnce() -> T) -> T {
    block(&SigSet::empty());
    let result = work();
    block_all_signals();
    result
}

/// Blocks these signals, and lets every other one through.
pub(crate) fn block(mask: &SigSet) {
    // It can only fail for a bad first argument.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(mask), None).expect("SIG_SETMASK is a valid request");
}
