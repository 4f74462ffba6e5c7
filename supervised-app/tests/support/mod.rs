//! Real processes of the sample system, and plain HTTP to talk to them.

#![allow(dead_code, reason = "not every test file uses all of it")]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Only so that a broken program fails the test instead of hanging it: no test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_supervised-app");

/// A folder of the test's own, removed with it.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Starts the API on a free port, with the database of this folder.
    pub(crate) fn api(&self, options: &[&str]) -> Running {
        let mut command = self.command(&["api", "--listen", "127.0.0.1:0", "--database", "orders.db"]);
        command.args(options);
        Running::start(command)
    }

    /// Starts the dashboard on a free port.
    pub(crate) fn dashboard(&self, api: &str, options: &[&str]) -> Running {
        let mut command = self.command(&["dashboard", "--listen", "127.0.0.1:0", "--api", api]);
        command.args(options);
        Running::start(command)
    }

    /// The program, to be run in this folder (where a crash may leave its core).
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// Checks the acknowledged orders with `supervised-app verify`.
    pub(crate) fn verify(&self, acknowledged: &[i64]) -> Finished {
        let json =
            serde_json::json!({"acknowledged": acknowledged, "refused": 0, "unknown": 0, "dropped": 0});
        std::fs::write(self.file("acknowledged.json"), json.to_string()).expect("a file in our folder");
        Finished::of(self.command(&[
            "verify",
            "--database",
            "orders.db",
            "--acknowledged",
            "acknowledged.json",
        ]))
    }
}

/// A program that ran to its end.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Finished {
    pub(crate) fn of(mut command: Command) -> Self {
        let output = command.output().expect("the program runs");
        Self {
            status: output.status,
            output: String::from_utf8(output.stdout).expect("UTF-8"),
            errors: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

/// A running process; killed when the test is over, however it ends.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    /// The lines read so far.
    pub(crate) seen: Vec<String>,
    /// Where it listens, once it has said so.
    pub(crate) address: String,
}

impl Running {
    /// Starts a service and waits until it listens.
    pub(crate) fn start(command: Command) -> Self {
        let mut running = Self::start_quiet(command);
        let line = running.wait_for("listening on ");
        running.address = line.rsplit(' ').next().expect("an address").to_owned();
        running
    }

    /// Starts a program; its lines are those on standard output and standard error.
    pub(crate) fn start_quiet(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let (sender, lines) = channel();
        let output: Box<dyn Read + Send> = Box::new(child.stdout.take().expect("a pipe"));
        let errors: Box<dyn Read + Send> = Box::new(child.stderr.take().expect("a pipe"));
        for pipe in [output, errors] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Self { child, lines, seen: Vec::new(), address: String::new() }
    }

    /// Waits for a line with this text.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => panic!("no line with '{text}' ({error}); only: {:#?}", self.seen),
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("our own child can be signalled");
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"))
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }

    /// Waits for the end: that of its output first, which cannot hang the test.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().expect("our own child"),
                Err(RecvTimeoutError::Timeout) => panic!("no end in sight; lines: {:#?}", self.seen),
            }
        }
    }

    /// Asks for a stop and expects it to succeed; returns the lines from the request on.
    pub(crate) fn stop(&mut self, signal: Signal) -> Vec<String> {
        self.signal(signal);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{status}: {:#?}", self.seen);
        self.lines_since_stop()
    }

    pub(crate) fn lines_since_stop(&self) -> Vec<String> {
        let from = self.seen.iter().position(|line| line.contains("stop requested")).expect("a stop");
        self.seen[from..].to_vec()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        Connection::open(self).get(path)
    }

    pub(crate) fn post_order(&self, json: &str) -> Answer {
        Connection::open(self).post("/orders", json)
    }

    /// Stores an order and returns its id.
    pub(crate) fn order(&self) -> i64 {
        let answer = self.post_order(r#"{"item": "tea", "quantity": 2}"#);
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Which signal ended a process.
pub(crate) fn ended_by(status: ExitStatus) -> Option<Signal> {
    status.signal().and_then(|number| Signal::try_from(number).ok())
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    pub(crate) fn id(&self) -> i64 {
        self.json()["id"].as_i64().expect("an id")
    }

    pub(crate) fn closes_connection(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }
}

/// One connection, kept alive.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(running: &Running) -> Self {
        let stream = TcpStream::connect(&running.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"));
        self.answer()
    }

    pub(crate) fn post(&mut self, path: &str, json: &str) -> Answer {
        self.send(&format!("{}\r\n{json}", post_head(path, json)));
        self.answer()
    }

    /// Begins a request and waits until the server has asked for its body: now it is in flight.
    pub(crate) fn begin_post(&mut self, path: &str, json: &str) {
        self.send(&format!("{}expect: 100-continue\r\n\r\n", post_head(path, json)));
        assert!(self.head().starts_with("HTTP/1.1 100 "));
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).expect("the server reads");
    }

    pub(crate) fn answer(&mut self) -> Answer {
        let head = self.head().to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
        self.stream.read_exact(&mut body).expect("a body");
        Answer { status, head, body: String::from_utf8(body).expect("UTF-8") }
    }

    /// Whether the server has closed the connection without another byte; waits for either.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0))
    }

    fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let length = self.stream.read_line(&mut head).expect("an answer");
            assert_ne!(length, 0, "the connection ended within the head '{head}'");
        }
        head
    }
}

fn post_head(path: &str, json: &str) -> String {
    let length = json.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n"
    )
}

/// The fields of /proc/PID/stat after the name: state, parent, group, session, …
pub(crate) fn process_fields(pid: &str) -> Vec<String> {
    let mut text = String::new();
    let path = Path::new("/proc").join(pid).join("stat");
    File::open(path).and_then(|mut file| file.read_to_string(&mut text)).expect("the process exists");
    let after_name = text.rsplit(')').next().expect("a name");
    after_name.split_whitespace().map(str::to_owned).collect()
}
