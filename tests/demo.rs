//! The README's first command: curfew runs the sample API and dashboard, and brings them home with orders in flight.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Nothing here waits for time to pass; this only ends a test that would otherwise hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// The demo, with ports and files of its own.
struct Demo {
    folder: TempDir,
    ports: [u16; 2],
    curfew: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Demo {
    fn start() -> Option<Self> {
        Self::start_with(|config| config)
    }

    fn start_with(change: impl FnOnce(String) -> String) -> Option<Self> {
        let Some(program) = sample_program() else {
            println!(
                "skipped: the sample system is not built; `cargo test` in the root of the workspace builds it"
            );
            return None;
        };
        let folder = TempDir::new().expect("a temporary folder");
        let ports = free_ports();
        let config =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/demo.toml")).unwrap();
        assert!(
            config.contains("127.0.0.1:8000") && config.contains("127.0.0.1:8001"),
            "the ports of the README"
        );
        let inside = |name: &str| folder.path().join(name).display().to_string();
        let config = config
            .replace("127.0.0.1:8000", &format!("127.0.0.1:{}", ports[0]))
            .replace("127.0.0.1:8001", &format!("127.0.0.1:{}", ports[1]))
            .replace("target/debug/supervised-app", &program.display().to_string())
            .replace("target/demo-orders.db", &inside("orders.db"))
            .replace("target/demo-stop.json", &inside("stop.json"));
        let path = folder.path().join("demo.toml");
        fs::write(&path, change(config)).unwrap();
        let mut curfew = Command::new(env!("CARGO_BIN_EXE_curfew_under_test"))
            .args(["run", "--config"])
            .arg(&path)
            .env("CURFEW_TEST_TOKEN", folder.path())
            .env("XDG_RUNTIME_DIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(curfew.stdout.take().unwrap()), Box::new(curfew.stderr.take().unwrap())];
        for stream in streams {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    // The test may have seen enough.
                    let _ = sender.send(line);
                }
            });
        }
        Some(Self { folder, ports, curfew, lines, seen: Vec::new() })
    }

    /// Lines of two services come in any order: what was passed over is looked at again.
    fn wait_for(&mut self, part: &str) {
        while !self.seen.iter().any(|line| line.contains(part)) {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(error) => panic!("no line with {part:?}: {error}\n{}", self.seen.join("\n")),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.curfew.id() as i32), signal).unwrap();
    }

    /// The rest of the lines, to the end of every process that could write one, and curfew's exit status.
    fn finish(&mut self) -> (Vec<String>, Option<i32>) {
        let status = self.curfew.wait().unwrap();
        let mut lines = std::mem::take(&mut self.seen);
        // The pipes end when the last process that holds them has ended: so this is also the proof that none is left.
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    panic!("a process still holds the output: {lines:#?}")
                }
            }
        }
        (lines, status.code())
    }

    fn orders(&self) -> Child {
        Command::new(sample_program().unwrap())
            .args(["orders", "--until-refused", "--clients", "8", "--api"])
            .arg(format!("http://127.0.0.1:{}", self.ports[0]))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Only when a test failed is it still there; TERM, so that it takes its services with it.
        if self.curfew.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::SIGTERM);
            let _ = self.curfew.wait();
        }
    }
}

fn sample_program() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_curfew_under_test")).with_file_name("supervised-app");
    program.is_file().then_some(program)
}

/// Two ports that were free a moment ago.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn get(port: u16, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn assert_three_lines_in_order(lines: &[String]) {
    let place = |part: &str| {
        lines.iter().position(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part}: {lines:#?}"))
    };
    let places = ["🛑 stop requested", "✅ all services stopped", "🏁 shutdown complete"].map(place);
    assert!(places.is_sorted(), "{lines:#?}");
}

fn stops_cleanly_with_orders_in_flight(signal: Signal) {
    let Some(mut demo) = Demo::start() else { return };
    demo.wait_for("api: listening");
    demo.wait_for("dashboard: listening");
    assert!(get(demo.ports[0], "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(demo.ports[1], "/").contains("<html"));
    let mut orders = demo.orders();
    let mut said = BufReader::new(orders.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("first order acknowledged"), "{line}");
    demo.signal(signal);
    let (lines, status) = demo.finish();
    assert_three_lines_in_order(&lines);
    assert_eq!(status, Some(0), "{lines:#?}");
    // What was acknowledged is in the database.
    let result = orders.wait_with_output().unwrap();
    let acknowledged = demo.folder.path().join("acknowledged.json");
    fs::write(&acknowledged, &result.stdout).unwrap();
    let verify = Command::new(sample_program().unwrap())
        .args(["verify", "--database"])
        .arg(demo.folder.path().join("orders.db"))
        .arg("--acknowledged")
        .arg(&acknowledged)
        .output()
        .unwrap();
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stderr));
    let report = fs::read_to_string(demo.folder.path().join("stop.json")).unwrap();
    assert!(report.contains("\"verdict\": \"clean\""), "{report}");
}

#[test]
fn the_demo_comes_home_on_ctrl_c_and_loses_no_order() {
    stops_cleanly_with_orders_in_flight(Signal::SIGINT);
}

#[test]
fn the_demo_comes_home_on_term_and_loses_no_order() {
    stops_cleanly_with_orders_in_flight(Signal::SIGTERM);
}

#[test]
fn a_port_in_use_is_said_clearly_and_stops_the_demo_with_its_status() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let change = |config: String| {
        let listen = config.find("api --listen 127.0.0.1:").unwrap() + "api --listen 127.0.0.1:".len();
        let end = listen + config[listen..].find(' ').unwrap();
        format!("{}{port}{}", &config[..listen], &config[end..])
    };
    let Some(mut demo) = Demo::start_with(change) else {
        return;
    };
    let (lines, status) = demo.finish();
    assert!(lines.iter().any(|line| line.contains("address already in use")), "{lines:#?}");
    assert_eq!(status, Some(1), "{lines:#?}");
}

#[test]
fn an_api_that_hangs_is_killed_and_the_demo_still_comes_home() {
    let change = |config: String| {
        config.replace("TERM 8s, INT 3s, KILL", "TERM 200ms, KILL").replacen(
            "orders.db\"",
            "orders.db --hang\"",
            1,
        )
    };
    let Some(mut demo) = Demo::start_with(change) else {
        return;
    };
    demo.wait_for("api: listening");
    demo.wait_for("dashboard: listening");
    demo.signal(Signal::SIGTERM);
    let (lines, status) = demo.finish();
    assert_three_lines_in_order(&lines);
    assert!(lines.iter().any(|line| line.contains("SIGKILL")), "{lines:#?}");
    assert_eq!(status, Some(80), "{lines:#?}");
}
