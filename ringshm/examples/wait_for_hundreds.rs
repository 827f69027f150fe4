//! Waits for 200 rings and 20 sockets from one thread: idle for some seconds (its argument, or 3), and says what that cost; then served.

use ringshm::{Interest, WaitSet};
use rustix::time::{ClockId, clock_gettime};
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// What all threads of this process have used of the processors, in seconds.
fn used() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds: u64 = std::env::args().nth(1).map_or(Ok(3), |argument| argument.parse())?;
    let mut set = WaitSet::new();
    let (mut producers, mut rings) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        // In files without a name, as between processes.
        let ring = ringshm::spsc::<u64>("an example").capacity(64).memfd()?;
        producers.push(ringshm::spsc::<u64>("").producer_of(&ring)?);
        rings.push(set.add(ringshm::spsc::<u64>("").consumer_of(&ring)?));
    }
    let (mut peers, mut sockets) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let (far, near) = UnixStream::pair()?;
        peers.push(far);
        sockets.push(set.add_fd(near, Interest::Readable)?);
    }

    let before = used();
    assert!(set.wait_timeout(Duration::from_secs(seconds))?.is_empty(), "nobody sends anything");
    let share = (used() - before) / seconds as f64;
    println!("idle, with 200 rings and 20 sockets: {:.3} % of a core", 100.0 * share);

    producers[199].send(7)?;
    assert!(set.wait()?.contains(rings[199]));
    println!("ring 199: {}", set[rings[199]].try_recv()?);
    peers[19].write_all(b"x")?;
    assert!(set.wait()?.contains(sockets[19]));
    println!("socket 19 can be read");
    Ok(())
}
