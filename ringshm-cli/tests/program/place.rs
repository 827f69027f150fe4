//! A folder of its own for each test, the program in it, and a feed to send.

use ringshm::{Directory, Snapshot};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for the slowest machine: only a test that fails takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A private folder for rings, on the tmpfs; removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    directory: Directory,
}

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: Mutex<u32> = Mutex::new(0);
        let mut next = NEXT.lock().unwrap();
        *next += 1;
        let path = PathBuf::from(format!("/dev/shm/ringshm-test-{}-{next}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self { directory: Directory::new(&path) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The program, with its rings here.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringshm"));
        command.args(arguments).env("RINGSHM_DIR", self.path()).env_remove("NO_COLOR");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::new(&mut self.command(arguments))
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        self.start(arguments).finish()
    }

    /// Runs the program to its end with `input` on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Finished {
        let mut running = Running::new(self.command(arguments).stdin(Stdio::piped()));
        let mut stdin = running.child.stdin.take().unwrap();
        let input = input.to_vec();
        // It may end before it has read everything.
        let writer = thread::spawn(move || drop(stdin.write_all(&input)));
        let finished = running.finish();
        writer.join().unwrap();
        finished
    }

    /// A file here with `bytes` in it. It is no ring.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What `info --format json` prints.
    pub(crate) fn info(&self, ring: &str) -> Value {
        let info = self.run(&["info", ring, "--format", "json"]);
        assert_eq!(info.code(), Some(0), "{info:?}");
        serde_json::from_slice(&info.stdout).unwrap()
    }

    /// Waits until the ring is there and such that `is_so`.
    pub(crate) fn wait_until(&self, ring: &str, is_so: impl Fn(&Snapshot) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ringshm::inspect(&self.directory, ring).is_ok_and(|snapshot| is_so(&snapshot)) {
            assert!(Instant::now() < deadline, "{:?}", ringshm::inspect(&self.directory, ring));
            thread::yield_now();
        }
    }

    /// The names of all rings here, and of everything else that a ring could leave behind.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("ringshm")).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let removed = std::fs::remove_dir_all(self.path());
        if !thread::panicking() {
            removed.unwrap();
        }
    }
}

/// The program while it runs; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

impl Running {
    pub(crate) fn new(command: &mut Command) -> Self {
        Self { child: command.spawn().unwrap() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end, reading what it writes.
    pub(crate) fn finish(mut self) -> Finished {
        let stdout = self.child.stdout.take().map(|mut stdout| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                stdout.read_to_end(&mut bytes).unwrap();
                bytes
            })
        });
        let mut stderr = self.child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let status = self.wait();
        let stdout = stdout.map(|stdout| stdout.join().unwrap()).unwrap_or_default();
        Finished { status, stdout, stderr: stderr.join().unwrap() }
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads exactly `count` bytes, or to the end.
pub(crate) fn read_some(from: &mut ChildStdout, count: usize) -> Vec<u8> {
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let mut ready = [PollFd::new(from, PollFlags::IN)];
        assert!(Instant::now() < deadline, "only {} bytes came", bytes.len());
        poll(&mut ready, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })).unwrap();
        if ready[0].revents().is_empty() {
            continue;
        }
        let mut part = vec![0; count - bytes.len()];
        let read = from.read(&mut part).unwrap();
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&part[..read]);
    }
    bytes
}

/// As many lines as a day's market data has, and as long; some of them empty, very long, or no text at all.
pub(crate) fn feed() -> Vec<u8> {
    const LINES: u32 = 58_325;
    let mut bytes = Vec::with_capacity(16 << 20);
    let mut state = 0x2024_0809_u32;
    for line in 0..LINES {
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        match line % 1000 {
            // Neither a carriage return nor a zero nor broken UTF-8 means anything.
            17 => bytes.extend_from_slice(b"\r\0\xff\xfe\x80 \r"),
            18 => {}
            _ => {
                let len = if line == 40_000 { 28_572 } else { 100 + random() % 330 };
                bytes.extend_from_slice(format!("{line:016} ").as_bytes());
                bytes.extend((0..len).map(|_| b' ' + (random() >> 16) as u8 % 95));
            }
        }
        bytes.push(b'\n');
    }
    bytes
}

/// The market data in the folder that `RINGSHM_DATA` names, if it does.
pub(crate) fn real_feed() -> Option<Vec<u8>> {
    let folder = std::env::var_os("RINGSHM_DATA")?;
    let path = Path::new(&folder).join("binance-spot-btcusdt-20240809.jsonl.gz");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    assert_eq!(lines(&bytes), 58_325);
    Some(bytes)
}

/// How many lines end in `bytes`.
pub(crate) fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// Fails without printing megabytes.
#[track_caller]
pub(crate) fn assert_same(actual: &[u8], expected: &[u8]) {
    if actual != expected {
        let at = actual.iter().zip(expected).take_while(|(a, b)| a == b).count();
        let window =
            |bytes: &[u8]| String::from_utf8_lossy(&bytes[at.min(bytes.len())..bytes.len().min(at + 60)]).into_owned();
        let (actual_len, expected_len) = (actual.len(), expected.len());
        panic!(
            "{actual_len} bytes instead of {expected_len}; at {at}: {:?} instead of {:?}",
            window(actual),
            window(expected)
        );
    }
}
