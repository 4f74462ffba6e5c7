use std::io;

use nix::libc;

/// One system call that is refused, as the sandbox of a container refuses it.
#[derive(Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) call: libc::c_long,
    /// Only with this first argument.
    pub(crate) first_argument: Option<u32>,
    pub(crate) errno: i32,
}

/// Where `struct seccomp_data` has the number of the call, and the lower half of its first argument.
const NUMBER: u32 = 0;
const FIRST_ARGUMENT: u32 = if cfg!(target_endian = "little") { 16 } else { 20 };

impl Refusal {
    /// Makes it so for this process and all that it executes: what is called between fork and exec.
    pub(crate) fn take_effect(self) -> io::Result<()> {
        let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
        let unless = |k: u32, skipped: u8| libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: skipped,
            k,
        };
        let load = |offset| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
        let answer = |value| statement(libc::BPF_RET | libc::BPF_K, value);
        // Without one the comparison is of the number with itself.
        let (offset, argument) = match self.first_argument {
            Some(argument) => (FIRST_ARGUMENT, argument),
            None => (NUMBER, self.call as u32),
        };
        let mut filter = [
            load(NUMBER),
            unless(self.call as u32, 3),
            load(offset),
            unless(argument, 1),
            answer(libc::SECCOMP_RET_ERRNO | self.errno as u32),
            answer(libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: system calls with integers, and with a program that is valid for reading.
        let result = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
