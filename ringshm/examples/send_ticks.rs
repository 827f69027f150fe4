//! The sending program: a million ticks through the ring "ticks". Start it before or after `receive_ticks`.

use zerocopy::{FromBytes, Immutable, IntoBytes};

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Tick {
    number: u64,
    price_in_cents: u64,
    quantity: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut ticks = ringshm::spsc::<Tick>("ticks").capacity(1 << 16).producer()?;
    for number in 0..1_000_000 {
        ticks.send(Tick { number, price_in_cents: 6_168_600 + number % 100, quantity: 5 })?;
    }
    println!("sent {}", ticks.sent());
    Ok(()) // dropping the producer closes the ring
}
