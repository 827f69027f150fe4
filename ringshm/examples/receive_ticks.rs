//! The receiving program: sums up what `send_ticks` sends, until it closes the ring.

use zerocopy::{FromBytes, Immutable, IntoBytes};

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Tick {
    number: u64,
    price_in_cents: u64,
    quantity: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut ticks = ringshm::spsc::<Tick>("ticks").consumer()?;
    let (mut received, mut turnover) = (0, 0);
    for tick in ticks.iter() {
        assert_eq!(tick.number, received, "none is lost, none comes twice");
        received += 1;
        turnover += tick.price_in_cents * tick.quantity;
    }
    println!("received {received}, turnover {turnover}");
    Ok(())
}
