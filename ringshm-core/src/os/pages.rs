//! What the kernel says of the pages of a mapping: read when it is asked for, never guessed.

use super::huge::{SmallPages, page_size};
use super::segment::Segment;
use crate::member::HugePages;
use crate::waitable::Waitable;
use std::fs;
use std::io;

/// The pages of a handle's mapping, in this process, when it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pages {
    /// Bytes of the mapping.
    pub bytes: u64,
    /// Of these, bytes that are entered in this process's page table: to touch them is no page fault.
    pub entered: u64,
    /// Of these, bytes in huge pages.
    pub huge: u64,
    /// Whether they are locked in memory.
    pub is_locked: bool,
    /// On which NUMA nodes what is entered lies: the node, and bytes. Empty where the kernel knows no nodes.
    pub nodes: Vec<(u32, u64)>,
    /// Why there are fewer huge pages than whole ones fit into the mapping. `None` if there are not fewer.
    pub why_small: Option<SmallPages>,
}

/// What every handle of a ring that processes share can be asked about its memory.
///
/// ```
/// use ringshm_core::HugePages;
/// use ringshm_core::open::Options;
/// use ringshm_core::os::{Name, Resident as _};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut options = Options::default();
/// options.behaviour.residency.huge_pages = HugePages::Try;
/// let name = Name::new(&format!("pages-{}", std::process::id()))?;
/// let (producer, consumer) = (options.producer::<u64>(&name)?, options.consumer::<u64>(&name)?);
/// let pages = consumer.pages()?;
/// assert_eq!(pages.entered, pages.bytes);
/// match pages.why_small {
///     None => assert!(pages.huge > 0),
///     Some(reason) => println!("{} of {} bytes in huge pages: {reason}", pages.huge, pages.bytes),
/// }
/// # Ok(()) }
/// ```
pub trait Resident: Waitable {
    /// What the kernel says of the pages of this handle's mapping; of a sealed ring of frames, of that of its pixels. Reads `/proc/self/smaps`, which takes milliseconds in a large process: nothing for a
    /// thread that is in a hurry.
    ///
    /// # Errors
    /// If there is no `/proc`, or the ring is on the heap ([`Unsupported`](io::ErrorKind::Unsupported)).
    fn pages(&self) -> io::Result<Pages> {
        self.memory().data_segment().ok_or_else(of_heap)?.pages()
    }

    /// Waits until everything in the ring is on its disk, and its name with it: for a ring in a file, of which a loss of power is to find this much. What is sent
    /// or received later, by anybody, may be on the disk in part when power is lost, and then the ring is damaged or tells something else than
    /// it did. So it is for a ring that rests: after the last message, before a machine is switched off. A restart of the machine in order,
    /// or of its programs, needs none. Where there is no disk (tmpfs, memfd) it does nothing.
    ///
    /// # Errors
    /// What writing to the disk comes to; [`Unsupported`](io::ErrorKind::Unsupported) on the heap and in a System V segment.
    fn sync(&self) -> io::Result<()> {
        self.memory().segment().ok_or_else(of_heap)?.sync()
    }
}

impl<H: Waitable + ?Sized> Resident for H {}

fn of_heap() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a ring on the heap has no mapping of its own")
}

impl Segment {
    /// What the kernel says of the pages of the mapping.
    pub(crate) fn pages(&self) -> io::Result<Pages> {
        let (base, len) = (self.base().addr().get(), self.size());
        let smaps = fs::read_to_string("/proc/self/smaps")?;
        let entry = entry_at(&smaps, base).ok_or_else(|| io::Error::other("/proc/self/smaps has no such mapping"))?;
        // A kernel without nodes has no such file.
        let nodes = fs::read_to_string("/proc/self/numa_maps").map_or_else(|_| vec![], |maps| nodes_at(&maps, base));
        let Entry { bytes, entered, huge, is_locked } = entry;
        let why_small = self.why_small(huge, len);
        Ok(Pages { bytes, entered, huge, is_locked, nodes, why_small })
    }

    /// Why only so many bytes of a mapping of `len` are in huge pages.
    fn why_small(&self, huge: u64, len: u64) -> Option<SmallPages> {
        let placing = self.placing();
        let Some(huge_page) = page_size().map(|size| size as u64) else { return Some(SmallPages::Unsupported) };
        let whole = len / huge_page * huge_page;
        if whole == 0 {
            return Some(SmallPages::TooShort { huge_page });
        }
        if huge >= whole {
            return None;
        }
        Some(match (placing.asked, placing.made_here, placing.refused) {
            (HugePages::Never, ..) => SmallPages::NotAsked,
            (_, true, Some(refused)) => refused,
            (_, true, None) => SmallPages::TakenBack,
            (_, false, _) => SmallPages::MadeWithout,
        })
    }
}

/// What `smaps` says of a mapping.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    bytes: u64,
    entered: u64,
    huge: u64,
    is_locked: bool,
}

/// The entry of the mapping that begins at `base`.
fn entry_at(smaps: &str, base: usize) -> Option<Entry> {
    let mut lines = smaps.lines().skip_while(|line| !begins_at(line, '-', base));
    let mut field = |name: &str| lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let kilobytes = |text: &str| text.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024);
    // In their order.
    let (bytes, entered, huge) = (field("Size")?, field("Rss")?, field("ShmemPmdMapped")?);
    let is_locked = field("VmFlags")?.split(' ').any(|flag| flag == "lo");
    Some(Entry { bytes: kilobytes(bytes)?, entered: kilobytes(entered)?, huge: kilobytes(huge)?, is_locked })
}

/// What `numa_maps` says of where the pages of the mapping at `base` are, in bytes.
fn nodes_at(maps: &str, base: usize) -> Vec<(u32, u64)> {
    let Some(line) = maps.lines().find(|line| begins_at(line, ' ', base)) else { return vec![] };
    let number = |word: &str, name: &str| word.strip_prefix(name)?.parse::<u64>().ok();
    let kilobytes = line.split(' ').find_map(|word| number(word, "kernelpagesize_kB=")).unwrap_or(4);
    let nodes = line.split(' ').filter_map(|word| {
        let (node, pages) = word.strip_prefix('N')?.split_once('=')?;
        Some((node.parse().ok()?, pages.parse::<u64>().ok()? * kilobytes * 1024))
    });
    nodes.collect()
}

/// Whether a line begins with this address, and then this character.
fn begins_at(line: &str, end: char, address: usize) -> bool {
    line.split_once(end).is_some_and(|(start, _)| usize::from_str_radix(start, 16) == Ok(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_kernel_are_read() {
        let smaps = "\
7f0000000000-7f0000200000 rw-s 00000000 00:1b 5 /dev/shm/ringshm.other
Size:               2048 kB
Rss:                   4 kB
ShmemPmdMapped:        0 kB
VmFlags: rd wr sh mr mw me ms lo 
7f0000400000-7f0000803000 rw-s 00000000 00:1b 7 /dev/shm/ringshm.it
Size:               4108 kB
KernelPageSize:        4 kB
Rss:                4100 kB
ShmemPmdMapped:     2048 kB
Locked:                0 kB
VmFlags: rd wr sh mr mw me ms 
";
        let (bytes, entered, huge) = (4108 << 10, 4100 << 10, 2048 << 10);
        assert_eq!(entry_at(smaps, 0x7f00_0040_0000), Some(Entry { bytes, entered, huge, is_locked: false }));
        assert!(entry_at(smaps, 0x7f00_0000_0000).is_some_and(|entry| entry.is_locked && entry.huge == 0));
        assert_eq!(entry_at(smaps, 0x7f00_0040_1000), None);
        let maps = "\
7f0000000000 default file=/dev/shm/ringshm.other mapped=1 N0=1 kernelpagesize_kB=4
7f0000400000 bind:1 file=/dev/shm/ringshm.it dirty=1025 mapmax=2 N0=1 N12=1024 kernelpagesize_kB=4
";
        assert_eq!(nodes_at(maps, 0x7f00_0040_0000), [(0, 4 << 10), (12, 4 << 20)]);
        assert_eq!(nodes_at(maps, 0x7f00_0040_1000), []);
    }
}
