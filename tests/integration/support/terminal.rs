//! A real pseudo-terminal, with the test at its keyboard.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{grantpt, posix_openpt, unlockpt};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::pipe2;

use super::lines::Lines;

/// A terminal: what is typed goes to whoever reads it, what they say appears on the screen.
pub(crate) struct Terminal {
    /// The keyboard's and the screen's end.
    master: Arc<OwnedFd>,
    /// The programs' end, until the programs hold it themselves: what only they hold ends with them.
    line: Option<Arc<OwnedFd>>,
    screen: Lines,
    /// While it is open the screen is read.
    reading: OwnedFd,
}

impl Terminal {
    /// A terminal of 24 lines with 80 columns.
    pub(crate) fn open() -> Self {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).expect("a terminal");
        grantpt(&master).expect("it is ours");
        unlockpt(&master).expect("it is ours");
        // By the master, not by its path: another test that is just forking must not inherit it, and /dev/pts may be
        // another namespace's.
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        // SAFETY: it takes flags, and the descriptor it answers with is nobody else's.
        let line = unsafe {
            let line = libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags);
            assert!(line >= 0, "the other end of a terminal: {}", io::Error::last_os_error());
            OwnedFd::from_raw_fd(line)
        };
        // SAFETY: we own the descriptor, and give it away.
        let master = Arc::new(unsafe { OwnedFd::from_raw_fd(std::os::fd::IntoRawFd::into_raw_fd(master)) });
        let (until, reading) = pipe2(OFlag::O_CLOEXEC).expect("a pipe");
        let screen = Lines::read(Some(Screen { master: master.clone(), until }));
        let terminal = Self { master, line: Some(Arc::new(line)), screen, reading };
        terminal.resize(24, 80);
        // Else a key such as Ctrl-C throws away what is on its way to the screen, and nobody could count on a line.
        terminal.change_modes(LocalFlags::NOFLSH);
        terminal
    }

    /// The programs' end, for those that are started at this terminal.
    #[track_caller]
    pub(crate) fn line(&self) -> Arc<OwnedFd> {
        self.line.clone().expect("the programs are started once")
    }

    /// Only the programs hold their end from now on: the screen ends when they have all let go of it.
    pub(crate) fn leave_to_programs(&mut self) {
        self.line = None;
    }

    /// What appears, line by line.
    pub(crate) fn screen(&self) -> Lines {
        self.screen.clone()
    }

    /// Types these keys.
    #[track_caller]
    pub(crate) fn press(&self, keys: &str) {
        let mut keyboard = File::from(self.master.try_clone().expect("a descriptor"));
        keyboard.write_all(keys.as_bytes()).expect("the terminal takes what is typed");
    }

    /// Drags the window to another size.
    pub(crate) fn resize(&self, lines: u16, columns: u16) {
        let size = libc::winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the size is valid for reading.
        let result = unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(result, 0, "the window: {}", io::Error::last_os_error());
    }

    /// Lets background jobs be stopped when they write (`stty tostop`).
    pub(crate) fn stop_those_who_write_from_the_background(&self) {
        self.change_modes(LocalFlags::TOSTOP);
    }

    fn change_modes(&self, on: LocalFlags) {
        let mut modes = tcgetattr(&self.master).expect("a terminal's modes");
        modes.local_flags.insert(on);
        tcsetattr(&self.master, SetArg::TCSANOW, &modes).expect("a terminal's modes");
    }

    /// Whether what is typed is shown.
    pub(crate) fn echoes(&self) -> bool {
        tcgetattr(&self.master).expect("a terminal's modes").local_flags.contains(LocalFlags::ECHO)
    }

    /// The process group that the keys go to.
    pub(crate) fn foreground(&self) -> i32 {
        let mut group = 0;
        // SAFETY: an integer is valid for writing. From the master's end everybody may ask.
        unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCGPGRP, &raw mut group) };
        group
    }

    /// Closes the window.
    pub(crate) fn hang_up(self) {
        // The thread that reads the screen lets go of the master then: that was the last of it.
        drop((self.reading, self.master));
    }

    /// Done in the new process, which leads a session: this becomes its controlling terminal, and its group has the
    /// foreground.
    pub(crate) fn take(line: RawFd) -> io::Result<()> {
        // SAFETY: it takes integers.
        match unsafe { libc::ioctl(line, libc::TIOCSCTTY, 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// The master's end, read until the window is closed.
struct Screen {
    master: Arc<OwnedFd>,
    until: OwnedFd,
}

impl Read for Screen {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let [master, until] = [&*self.master, &self.until].map(AsFd::as_fd);
        let mut both = [PollFd::new(master, PollFlags::POLLIN), PollFd::new(until, PollFlags::empty())];
        poll(&mut both, PollTimeout::NONE)?;
        if both[1].any() == Some(true) {
            return Ok(0);
        }
        match nix::unistd::read(&self.master, buffer) {
            // Nobody holds the other end any more.
            Err(Errno::EIO) => Ok(0),
            result => Ok(result?),
        }
    }
}
