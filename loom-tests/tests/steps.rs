//! How many shared words a call touches at most, where nobody is in its way: what `docs/real-time.md` says is what the shipped code does.
//!
//! A participant that lives for n accesses, and not for n - 1, lives through a call of n. Plain payload is not counted: its copy takes what its length
//! takes. Where payload is moved as words (broadcast, latest), messages are one word long here.
#![cfg(loom)]

use loom_tests::{explore, live_for, live_until};
use ringshm_core::broadcast::{Broadcast, reader_in};
use ringshm_core::latest::Latest;
use ringshm_core::memory::Memory;
use ringshm_core::message::{Message, Wishes, consumer_in, producer_in};
use ringshm_core::mpmc::Mpmc;
use ringshm_core::wait::Wait;
use ringshm_core::{Behaviour, OnDeath};
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// Participants that make no system call.
const SILENT: Behaviour = Behaviour::new(Wait::Spin, OnDeath::LeaveToOthers);

/// Counts the accesses of `call` to shared words, on what `set_up` makes.
fn steps<E>(
    set_up: impl Fn() -> E + Copy + Send + Sync + 'static,
    call: impl Fn(&mut E) + Copy + Send + Sync + 'static,
) -> usize {
    let lives_through = |steps| {
        let lived = Arc::new(std::sync::Mutex::new(false));
        let found = Arc::clone(&lived);
        explore(move || {
            let mut ends = ManuallyDrop::new(set_up());
            *found.lock().unwrap() = live_for(steps, || call(&mut ends)).is_some();
        });
        *lived.lock().unwrap()
    };
    (0..100).find(|steps| lives_through(*steps)).expect("a call ends")
}

fn ring<M: Message + ?Sized>(capacity: u64) -> Arc<Memory> {
    let wishes = Wishes { capacity: Some(capacity), producers: 1, consumers: 2, ..Wishes::default() };
    Memory::on_heap(M::geometry(&wishes).expect("a small ring"))
}

/// A ring and its two sides, after `count` messages were sent and received, one by one.
macro_rules! sides {
    ($message:ty, $capacity:expr) => {{
        let ring = ring::<$message>($capacity);
        (producer_in::<$message>(&ring, SILENT).unwrap(), consumer_in::<$message>(&ring, SILENT).unwrap())
    }};
}

fn measured() -> BTreeMap<String, usize> {
    let mut table = BTreeMap::new();
    let mut row = |call: &str, steps: usize| assert!(table.insert(call.to_owned(), steps).is_none(), "{call} twice");

    // Each side knows what its last look showed.
    let slots = || sides!(u64, 2);
    let full = || {
        let (mut to, from) = sides!(u64, 1);
        to.try_send(1).unwrap();
        (to, from)
    };
    let received = || {
        let (mut to, mut from) = sides!(u64, 1);
        to.try_send(1).unwrap();
        from.try_recv().unwrap();
        (to, from)
    };
    let both_sent = || {
        let (mut to, from) = sides!(u64, 2);
        to.try_send(1).unwrap();
        to.try_send(2).unwrap();
        (to, from)
    };
    let one_left = move || {
        let (to, mut from) = both_sent();
        from.try_recv().unwrap();
        (to, from)
    };
    row("SPSC slots: `try_send`, room is known", steps(slots, |(to, _)| to.try_send(1).unwrap()));
    row("SPSC slots: `try_send`, after a look", steps(received, |(to, _)| to.try_send(2).unwrap()));
    row("SPSC slots: `try_send`, `Full`", steps(full, |(to, _)| assert!(to.try_send(2).is_err())));
    row("SPSC slots: `try_recv`, a message is known", steps(one_left, |(_, from)| assert_eq!(from.try_recv(), Ok(2))));
    row("SPSC slots: `try_recv`, after a look", steps(full, |(_, from)| assert_eq!(from.try_recv(), Ok(1))));
    row("SPSC slots: `try_recv`, `Empty`", steps(slots, |(_, from)| assert!(from.try_recv().is_err())));

    let records = || sides!([u8], 64);
    let record_sent = || {
        let (mut to, from) = sides!([u8], 64);
        to.try_send(b"a record").unwrap();
        (to, from)
    };
    let room_again = || {
        let (mut to, mut from) = sides!([u8], 64);
        // Four of them, the longest that there are, fill the ring.
        for _ in 0..4 {
            to.try_send(b"a record").unwrap();
        }
        from.try_recv(&mut Vec::new()).unwrap();
        (to, from)
    };
    row("SPSC records: `try_send`, room is known", steps(records, |(to, _)| to.try_send(b"a record").unwrap()));
    row("SPSC records: `try_send`, after a look", steps(room_again, |(to, _)| to.try_send(b"a record").unwrap()));
    row(
        "SPSC records: `try_recv`, after a look",
        steps(record_sent, |(_, from)| assert_eq!(from.try_recv(&mut Vec::new()), Ok(8))),
    );

    let jobs = || sides!(Mpmc<u64>, 2);
    let job = || {
        let (mut to, from) = sides!(Mpmc<u64>, 2);
        to.try_send(1).unwrap();
        (to, from)
    };
    let jobs_full = || {
        let (mut to, from) = sides!(Mpmc<u64>, 2);
        to.try_send(1).unwrap();
        to.try_send(2).unwrap();
        (to, from)
    };
    row("MPMC slots: `try_send`, nobody is in the way", steps(jobs, |(to, _)| to.try_send(1).unwrap()));
    row("MPMC slots: `try_send`, `Full`", steps(jobs_full, |(to, _)| assert!(to.try_send(3).is_err())));
    row("MPMC slots: `try_recv`, nobody is in the way", steps(job, |(_, from)| assert_eq!(from.try_recv(), Ok(1))));
    row("MPMC slots: `try_recv`, `Empty`", steps(jobs, |(_, from)| assert!(from.try_recv().is_err())));

    // An eighth of the ring is two messages: the first claim looks at the readers, the second does not.
    let feed = || sides!(Broadcast<u64>, 16);
    let fed = || {
        let (mut to, from) = sides!(Broadcast<u64>, 16);
        to.try_send(1).unwrap();
        (to, from)
    };
    let alone = || producer_in::<Broadcast<u64>>(&ring::<Broadcast<u64>>(16), SILENT).unwrap();
    let two_readers = || {
        let ring = ring::<Broadcast<u64>>(16);
        let readers = [(); 2].map(|()| consumer_in::<Broadcast<u64>>(&ring, SILENT).unwrap());
        (producer_in::<Broadcast<u64>>(&ring, SILENT).unwrap(), readers)
    };
    let lossy = || {
        let ring = ring::<Broadcast<u64>>(16);
        let mut to = producer_in::<Broadcast<u64>>(&ring, SILENT).unwrap();
        let from = reader_in::<Broadcast<u64>>(&ring, SILENT).unwrap();
        to.try_send(1).unwrap();
        (to, from)
    };
    let lapped = move || {
        let (mut to, from) = lossy();
        for message in 2..40 {
            to.try_send(message).unwrap();
        }
        (to, from)
    };
    row("broadcast slots: `try_send`, between looks", steps(fed, |(to, _)| to.try_send(2).unwrap()));
    row("broadcast slots: `try_send`, with a look, no lossless reader", steps(alone, |to| to.try_send(1).unwrap()));
    row(
        "broadcast slots: `try_send`, with a look, one lossless reader",
        steps(feed, |(to, _)| to.try_send(1).unwrap()),
    );
    row(
        "broadcast slots: `try_send`, with a look, two lossless readers",
        steps(two_readers, |(to, _)| to.try_send(1).unwrap()),
    );
    row(
        "broadcast slots: lossless `try_recv`, after a look",
        steps(fed, |(_, from)| assert_eq!(from.try_recv(), Ok(1))),
    );
    row(
        "broadcast slots: lossy `try_recv`, after a look",
        steps(lossy, |(_, from)| assert_eq!(from.try_recv(), Ok(1))),
    );
    row("broadcast slots: lossy `try_recv`, `Lagged`", steps(lapped, |(_, from)| assert!(from.try_recv().is_err())));

    let register = || {
        let ring = ring::<Latest<u64>>(4);
        let writer = producer_in::<Latest<u64>>(&ring, SILENT).unwrap();
        (writer, reader_in::<Latest<u64>>(&ring, SILENT).unwrap())
    };
    let written = move |count| {
        move || {
            let (mut writer, reader) = register();
            (1..=count).for_each(|value: u64| writer.write(value).unwrap());
            (writer, reader)
        }
    };
    row("latest: `write`", steps(register, |(writer, _)| writer.write(1).unwrap()));
    row("latest: `read`, nothing new", steps(register, |(_, reader)| assert_eq!(reader.read(), None)));
    row("latest: `read`, one value further", steps(written(1), |(_, reader)| assert_eq!(reader.read(), Some(1))));
    let most =
        (1..9).map(|count| steps(written(count), move |(_, reader)| assert_eq!(reader.read(), Some(count)))).max();
    row("latest: `read`, any number of values further", most.unwrap());
    let begun = move |count| {
        move || {
            let (mut writer, reader) = written(count)();
            // Not run to its end, in the middle of the next value, whose slot a reader comes to.
            assert!(live_until("latest.begun", || writer.write(count + 1)).is_none());
            (ManuallyDrop::new(writer), reader)
        }
    };
    let most = (1..9).map(|count| steps(begun(count), move |(_, reader)| assert_eq!(reader.read(), Some(count)))).max();
    row("latest: `read`, any number of values further, the next being written", most.unwrap());
    table
}

/// The rows of the table in the documentation.
fn documented() -> BTreeMap<String, usize> {
    let page = include_str!("../../docs/real-time.md");
    let table = page.split("<!-- steps -->").nth(1).expect("a table between two such marks");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.rsplit_once(" | "));
    rows.filter_map(|(call, steps)| Some((call.to_owned(), steps.parse().ok()?))).collect()
}

#[test]
fn a_call_takes_as_many_steps_as_the_documentation_says() {
    assert_eq!(measured(), documented());
}
