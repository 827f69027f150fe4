//! A ring without a name, handed to a child that shares nothing with its parent but half of a pair of sockets: its standard input.

use ringshm::Deadline;
use ringshm::handover::{give_memfd, take_memfd};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().any(|argument| argument == "child") {
        return child();
    }
    let (here, there) = UnixStream::pair()?;
    let mut child = Command::new(std::env::current_exe()?).arg("child").stdin(OwnedFd::from(there)).spawn()?;
    let ring = ringshm::spsc::<u64>("").capacity(1 << 10).memfd()?;
    let mut numbers = ringshm::spsc::<u64>("").producer_of(&ring)?;
    give_memfd(&here, &ring, Deadline::after(Duration::from_secs(5)))?;
    for number in 1..=1_000_000 {
        numbers.send(number)?;
    }
    drop(numbers); // closes the ring: the child has everything then
    child.wait()?;
    Ok(())
}

/// Here a sandbox may begin: from now on no file and no name is needed.
fn child() -> Result<(), Box<dyn std::error::Error>> {
    let ring = take_memfd(std::io::stdin(), Deadline::after(Duration::from_secs(5)))?;
    let mut numbers = ringshm::spsc::<u64>("").consumer_of(ring)?;
    println!("{}", numbers.iter().sum::<u64>());
    Ok(())
}
