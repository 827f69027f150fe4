//! Awaits 200 rings in tokio: idle for some seconds (its argument, or 3), and says what that cost, by each mechanism, and by what wakes tasks of any
//! executor; then served.

use ringshm::asynchronous::{Async, Mechanism};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// What all threads of this process have used of the processors, in seconds.
fn used() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

async fn idle(rings: usize, seconds: u64, mechanism: Option<Mechanism>) -> Result<(), Box<dyn std::error::Error>> {
    let (mut producers, mut tasks) = (Vec::new(), Vec::new());
    for _ in 0..rings {
        // In files without a name, as between processes.
        let ring = ringshm::spsc::<u64>("an example").capacity(64).memfd()?;
        producers.push(ringshm::spsc::<u64>("").producer_of(&ring)?);
        let consumer = ringshm::spsc::<u64>("").consumer_of(&ring)?;
        let mut receiver = match mechanism {
            Some(mechanism) => Async::in_tokio_with(consumer, mechanism)?,
            None => Async::new(consumer)?,
        };
        tasks.push(tokio::spawn(async move { receiver.recv_async().await }));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = used();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let share = (used() - before) / seconds as f64;
    let way = mechanism.map_or_else(|| "waker".to_owned(), |mechanism| mechanism.to_string());
    println!("idle, with {rings} rings, by {way}: {:.3} % of a core", 100.0 * share);
    for (n, (producer, task)) in producers.iter_mut().zip(tasks).enumerate() {
        producer.send(n as u64)?;
        assert_eq!(task.await??, n as u64);
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds: u64 = std::env::args().nth(1).map_or(Ok(3), |argument| argument.parse())?;
    for mechanism in [Some(Mechanism::IoUring), Some(Mechanism::Thread), None] {
        if mechanism.is_none_or(Mechanism::is_supported) {
            idle(1, seconds, mechanism).await?;
            idle(200, seconds, mechanism).await?;
        }
    }
    Ok(())
}
