//! Choosing a register of the newest value.

use crate::Builder;
use ringshm_core::latest::Latest;

/// Begins to describe a register that holds the newest `T`: one writer that never waits, any number of readers that never see half a
/// value. Its handles are in [`latest`](mod@crate::latest). The name is as for [`spsc`](crate::spsc).
///
/// A [`reader`](Builder::reader) takes no role, and cannot write into the register. A [`consumer`](Builder::consumer) is the same with a lane,
/// for everybody to see; nobody waits for it either.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let speed = ringshm::latest::<u64>("").heap()?;
/// let (mut writer, mut reader) = (speed.producer()?, speed.reader()?);
/// assert_eq!(reader.read(), None);
/// writer.write(30)?;
/// writer.write(50)?;
/// assert_eq!(reader.read(), Some(50));
/// assert!(!reader.changed());
/// # Ok(()) }
/// ```
pub fn latest<T>(name: &str) -> Builder<Latest<T>> {
    Builder::new(name)
}

impl<T> Builder<Latest<T>> {
    /// The most readers with a lane of a register that this creates, 1 to 64; 64 if not given. Each takes 384 bytes. Other readers are not
    /// counted.
    pub fn consumers(mut self, most: u32) -> Self {
        self.options.wishes.consumers = most;
        self
    }
}
