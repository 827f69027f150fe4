//! Segment images as another process may leave them behind, and everything that this library can be made to do with one.
//!
//! Shared by the tests in `tests/images` and by the fuzz target. Errors are allowed here; panics, hangs and accesses
//! outside of the object are not.

#[path = "folder.rs"]
mod folder;
#[path = "framed.rs"]
pub(crate) mod framed;
#[path = "many.rs"]
pub(crate) mod many;
#[path = "painted.rs"]
pub(crate) mod painted;

use folder::Folder;
use ringshm_core::attach::{Existence, remove};
use ringshm_core::broadcast::Readable;
use ringshm_core::error::OpenError;
use ringshm_core::frames::{self, Delivery, Frames};
use ringshm_core::inspect::inspect;
use ringshm_core::layout::{Geometry, Header, Kind, LANES_AT, Lane, MAGIC, TypeIdentity, VERSION};
use ringshm_core::open::Options;
use ringshm_core::os::{Directory, Name};
use ringshm_core::{Behaviour, Consumer, Message, Producer, RecordConsumer, RecordProducer};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;
use zerocopy::{FromBytes, IntoBytes};

/// Bytes of a header.
pub(crate) const HEADER: usize = size_of::<Header>();
/// The upper half of a record's first eight bytes; the lower half is its length.
pub(crate) const TAG: u64 = 0x5265_6331 << 32;
/// The same for padding; the length does not count these eight bytes.
pub(crate) const PAD: u64 = 0x5061_6431 << 32;

/// How to come to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By its name.
    Named,
    /// In a sealed memfd.
    Memfd,
}

#[allow(dead_code, reason = "the fuzz target goes its own ways")]
pub(crate) const WAYS: [Way; 2] = [Way::Named, Way::Memfd];

/// An image laid out as a named object and as a sealed memfd.
#[derive(Debug)]
pub(crate) struct Bed {
    folder: Folder,
    pub(crate) name: Name,
    pub(crate) memfd: File,
}

impl Bed {
    pub(crate) fn new(image: &[u8]) -> Self {
        let name = Name::new("image").expect("a valid name");
        let bed = Self { folder: Folder::new(), name, memfd: sealed(image) };
        bed.lay_out(image);
        bed
    }

    /// Writes the named object anew, whatever became of it. The memfd keeps its bytes.
    pub(crate) fn lay_out(&self, image: &[u8]) {
        let path = self.path();
        let _ = std::fs::remove_file(&path);
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path).expect("a new file");
        file.write_all(image).expect("room for an image");
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory().path_of(&self.name)
    }

    pub(crate) fn directory(&self) -> Directory {
        Directory::new(self.folder.path())
    }

    fn options(&self, trusts_peers: bool) -> Options {
        let behaviour = behaviour(trusts_peers);
        Options { existence: Existence::MustExist, directory: self.directory(), behaviour, ..Options::default() }
    }

    pub(crate) fn producer<M: Message + ?Sized>(&self, way: Way, trusts_peers: bool) -> Result<M::Producer, OpenError> {
        match way {
            Way::Named => self.options(trusts_peers).producer::<M>(&self.name),
            Way::Memfd => self.options(trusts_peers).producer_of::<M>(&self.memfd),
        }
    }

    pub(crate) fn consumer<M: Message + ?Sized>(&self, way: Way, trusts_peers: bool) -> Result<M::Consumer, OpenError> {
        self.consumer_with::<M>(way, &self.options(trusts_peers))
    }

    fn consumer_with<M: Message + ?Sized>(&self, way: Way, options: &Options) -> Result<M::Consumer, OpenError> {
        match way {
            Way::Named => options.consumer::<M>(&self.name),
            Way::Memfd => options.consumer_of::<M>(&self.memfd),
        }
    }

    /// A consumer of frames that takes the newest only.
    pub(crate) fn renderer(&self, way: Way, trusts_peers: bool) -> Result<frames::Consumer, OpenError> {
        let mut options = self.options(trusts_peers);
        options.behaviour.delivery = Delivery::NewestOnly;
        self.consumer_with::<Frames>(way, &options)
    }

    /// A reader without a role.
    pub(crate) fn reader<M: Readable + ?Sized>(&self, way: Way) -> Result<M::Reader, OpenError> {
        match way {
            Way::Named => self.options(false).reader::<M>(&self.name),
            Way::Memfd => self.options(false).reader_of::<M>(&self.memfd),
        }
    }
}

/// A memfd with these bytes that can neither shrink nor grow.
pub(crate) fn sealed(image: &[u8]) -> File {
    sealed_with(image, SealFlags::empty())
}

/// The same, that nobody can map to write it.
fn sealed_to_read(image: &[u8]) -> File {
    sealed_with(image, SealFlags::FUTURE_WRITE)
}

fn sealed_with(image: &[u8], more: SealFlags) -> File {
    let memfd = memfd_create("image", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a memfd");
    let memfd = File::from(memfd);
    memfd.write_all_at(image, 0).expect("room for an image");
    fcntl_add_seals(&memfd, SealFlags::SHRINK | SealFlags::GROW | more).expect("a memfd that allows seals");
    memfd
}

/// Looks at an image, takes each role of it as each kind of ring, receives, sends, and removes it.
pub(crate) fn drain(image: &[u8]) {
    let mut bed = Bed::new(image);
    for (way, trusts_peers) in [(Way::Named, false), (Way::Memfd, true)] {
        if let Ok(snapshot) = inspect(&bed.directory(), &bed.name) {
            assert!(snapshot.used() <= snapshot.geometry.capacity);
            let _ = snapshot.queued();
            if !matches!(snapshot.geometry.kind, Kind::SpscSlots | Kind::SpscRecords) {
                many::drain(&bed, snapshot.geometry.kind, way, trusts_peers);
                // The next owners of the lanes find what the first ones have made of the image.
                many::drain(&bed, snapshot.geometry.kind, way, trusts_peers);
                let _ = inspect(&bed.directory(), &bed.name);
                continue;
            }
        }
        use_records(
            bed.consumer::<[u8]>(way, trusts_peers).as_mut().ok(),
            bed.producer::<[u8]>(way, trusts_peers).as_mut().ok(),
        );
        bed.lay_out(image);
        bed.memfd = sealed(image);
        use_slots(
            bed.consumer::<u64>(way, trusts_peers).as_mut().ok(),
            bed.producer::<u64>(way, trusts_peers).as_mut().ok(),
        );
        // The roles one after the other, and what the first one has made of the image.
        use_records(None, bed.producer::<[u8]>(way, trusts_peers).as_mut().ok());
        use_records(bed.consumer::<[u8]>(way, trusts_peers).as_mut().ok(), None);
    }
    let _ = remove(&bed.directory(), &bed.name, false);
    let _ = remove(&bed.directory(), &bed.name, true);
}

/// So many calls at most, whatever an image promises.
const CALLS: usize = 24;
const MOMENT: Duration = Duration::from_micros(1);

fn use_records(mut consumer: Option<&mut RecordConsumer>, mut producer: Option<&mut RecordProducer>) {
    let mut bytes = Vec::new();
    for call in 0..CALLS {
        if let Some(consumer) = &mut consumer {
            assert!(consumer.len() <= consumer.capacity() / 8);
            let max = consumer.max_message();
            match call % 5 {
                0 => drop(consumer.try_recv(&mut bytes).map(|len| assert!(len <= max && len == bytes.len()))),
                1 => drop(consumer.try_recv_ref().map(|record| assert!(sum(&record) <= max * 255))),
                2 => drop(consumer.try_recv_ref().map(ringshm_core::RecordRef::keep)),
                3 => drop(consumer.try_drain().map(|mut drain| {
                    for _ in 0..2 {
                        let _ = drain.next().map(|record| assert!(record.map_or(0, sum) <= max * 255));
                    }
                    if call % 2 == 0 {
                        drain.keep()
                    }
                })),
                _ => drop(consumer.recv_timeout(&mut bytes, MOMENT)),
            }
            let _ = (consumer.is_empty(), consumer.received(), consumer.peer());
        }
        if let Some(producer) = &mut producer {
            assert!(producer.len() <= producer.capacity() / 8);
            let len = (call * 7) % (producer.max_message().min(100) + 2);
            let payload = [0xa5; 128];
            match call % 4 {
                0 => drop(producer.try_send(&payload[..len])),
                1 => drop(producer.try_send_slice(&[&payload[..len], &payload[..1]])),
                2 => drop(producer.try_loan(len).map(|mut loan| {
                    loan.fill(7);
                    loan.commit_first(len / 2);
                })),
                _ => drop(producer.send_timeout(&payload[..len], MOMENT)),
            }
            let _ = (producer.is_empty(), producer.sent(), producer.peer());
        }
    }
}

fn use_slots(mut consumer: Option<&mut Consumer<u64>>, mut producer: Option<&mut Producer<u64>>) {
    for call in 0..CALLS {
        if let Some(consumer) = &mut consumer {
            assert!(consumer.len() <= consumer.capacity());
            match call % 5 {
                0 => drop(consumer.try_recv()),
                1 => drop(consumer.try_recv_ref().map(|message| *message)),
                2 => consumer.try_recv_ref().map(ringshm_core::RecvRef::keep).unwrap_or(()),
                3 => drop(consumer.try_drain().map(|drain| drain.take(3).fold(0, u64::wrapping_add))),
                _ => drop(consumer.recv_timeout(MOMENT)),
            }
            let _ = (consumer.is_empty(), consumer.received(), consumer.peer());
        }
        if let Some(producer) = &mut producer {
            assert!(producer.len() <= producer.capacity());
            match call % 4 {
                0 => drop(producer.try_send(call as u64)),
                1 => drop(producer.try_send_slice(&[call as u64; 9])),
                2 => drop(producer.try_loan().map(|mut loan| {
                    *loan = 7;
                    loan.commit();
                })),
                _ => drop(producer.send_timeout(call as u64, MOMENT)),
            }
            let _ = (producer.is_empty(), producer.sent(), producer.peer());
        }
    }
}

/// Reads every byte.
fn sum(bytes: &[u8]) -> usize {
    bytes.iter().map(|byte| usize::from(*byte)).sum()
}

/// Corrects magic, version and checksum of an image that has room for a header.
pub(crate) fn repair(image: &mut [u8]) {
    let Some(Ok(mut header)) = image.get(..HEADER).map(Header::read_from_bytes) else { return };
    header.magic = MAGIC;
    header.version = VERSION;
    header.sum = header.checksum();
    image[..HEADER].copy_from_slice(header.as_bytes());
}

/// Writes a word into an image, if it has room for it.
pub(crate) fn put_word(image: &mut [u8], at: usize, word: u64) {
    if let Some(place) = image.get_mut(at..at + 8) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
}

/// An image out of the bytes of a fuzzer: the raw bytes, or behind a repaired header, or an image of the right shape whose
/// cursors, states, ledgers, records and single words the bytes choose; or an image of a ring with many participants, or of a register,
/// with some of its words.
pub(crate) fn forge(input: &[u8]) -> Vec<u8> {
    let mut script = Script(input);
    let mode = script.byte();
    match mode % 8 {
        0 => script.0.to_vec(),
        1 => {
            let mut image = script.0.to_vec();
            image.resize(image.len().max(HEADER), 0);
            repair(&mut image);
            image
        }
        2..=4 => many::image(&mut script),
        _ => script.image(mode & 1 == 0),
    }
}

/// Takes decisions out of a fuzzer's bytes; zeros once they are used up.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes([(); 8].map(|()| self.byte()))
    }

    fn image(&mut self, repaired: bool) -> Vec<u8> {
        let is_records = self.byte() % 4 != 0;
        let capacity = 1 << (self.byte() % 10);
        let origin = match self.byte() % 5 {
            0 => 0,
            1 => (1 << 32) - 64,
            2 => u64::MAX - 63,
            3 => u64::from(self.byte()) * 8,
            _ => self.word(),
        };
        let (geometry, identity) = if is_records {
            (Geometry::records(capacity, origin), TypeIdentity::records(0))
        } else {
            (Geometry::slots(capacity, 8, origin), TypeIdentity::of::<u64>(0))
        };
        let Some(geometry) = geometry else { return Vec::new() };
        let header = Header::new(&geometry, &identity, 1, 1);
        let mut image = vec![0; geometry.total as usize];
        image[..HEADER].copy_from_slice(header.as_bytes());

        let unit = if is_records { 8 } else { 1 };
        let released = origin.wrapping_add(u64::from(self.byte()) * unit);
        let published = released.wrapping_add(u64::from(self.byte()) * unit % (geometry.capacity + unit));
        for (lane, cursor) in [published, released].into_iter().enumerate() {
            let at = LANES_AT + lane * size_of::<Lane>();
            put_word(&mut image, at, cursor);
            put_word(&mut image, at + 128, u64::from(self.byte() % 8));
            put_word(&mut image, at + 256, cursor);
            let count = if self.byte() % 8 == 0 { self.word() } else { u64::from(self.byte()) };
            put_word(&mut image, at + 264, count);
        }
        for _ in 0..self.byte() % 4 {
            let at = usize::from(self.byte()) * 8 % (LANES_AT + 2 * size_of::<Lane>());
            let value = self.word();
            put_word(&mut image, at, value);
        }
        if is_records {
            self.records(&mut image, &geometry, released, published);
        }
        let data_at = geometry.data_at as usize;
        for (place, byte) in image[data_at..].iter_mut().zip(if is_records { &[] } else { self.0 }) {
            *place = *byte;
        }
        if repaired {
            repair(&mut image);
        }
        image
    }

    /// Fills what is published with records, padding and nonsense.
    fn records(&mut self, image: &mut [u8], geometry: &Geometry, released: u64, published: u64) {
        let mut left = published.wrapping_sub(released);
        let mut position = released;
        while left > 0 && !self.0.is_empty() {
            let place = position & (geometry.capacity - 1);
            let to_wrap = geometry.capacity - place;
            let (word, span) = match self.byte() {
                choice @ 0..128 => {
                    let len = u64::from(choice % 64);
                    (TAG | len, 8 + len.next_multiple_of(8))
                }
                128..192 => (PAD | to_wrap.saturating_sub(8), to_wrap),
                192..208 => (TAG | self.word() & u64::from(u32::MAX), 8),
                208..224 => (PAD | self.word() & u64::from(u32::MAX), 8),
                _ => (self.word(), 8),
            };
            put_word(image, (geometry.data_at + place) as usize, word);
            position = position.wrapping_add(span);
            left = left.saturating_sub(span);
        }
    }
}

#[allow(unsafe_code, reason = "trusting is a promise")]
fn behaviour(trusts_peers: bool) -> Behaviour {
    if !trusts_peers {
        return Behaviour::default();
    }
    // SAFETY: nobody but this test has the ring, and whatever it writes there, no guard is alive meanwhile.
    unsafe { Behaviour::default().trusting_peers() }
}
