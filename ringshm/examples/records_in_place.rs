//! Byte records, written and read in place: no copy on either side. Two threads, so that there is nobody to distrust.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut producer, mut consumer) = ringshm::spsc::<[u8]>("").capacity(1 << 20).threads()?;
    let sender = std::thread::spawn(move || -> Result<(), ringshm::SendError<()>> {
        for line in 0..100_000u32 {
            let mut loan = producer.loan(1000)?;
            let len = 4 + line as usize % 996;
            loan[..4].copy_from_slice(&line.to_le_bytes());
            loan.commit_first(len);
        }
        Ok(())
    });
    let (mut records, mut bytes) = (0u32, 0);
    while let Ok(mut drain) = consumer.drain() {
        while let Some(record) = drain.next()? {
            assert_eq!(record[..4], records.to_le_bytes());
            records += 1;
            bytes += record.len();
        }
    } // each drain releases what was taken from it, at once
    sender.join().expect("the sender does not panic")?;
    println!("{records} records, {bytes} bytes");
    Ok(())
}
