//! Death by SIGKILL at every crash point, one after the other, and what the survivors see.
//!
//! A scenario has one victim. It is run twice to learn which crash points the victim passes, and then once for each of them,
//! with the victim killed there on its first visit; and again for later visits, where the ring has been full, has been empty or
//! has wrapped. Whatever happens to the victim, the same checks follow.

#[path = "../support/mod.rs"]
mod support;

#[path = "../broadcast/actor.rs"]
#[allow(dead_code, reason = "what readers do elsewhere")]
mod actor;
mod broadcast;
#[path = "../frames/actor.rs"]
#[allow(dead_code, unsafe_code, reason = "what participants do elsewhere")]
mod frame_actor;
mod frames;
mod gate;
mod mpmc;
#[path = "../mpmc/actor.rs"]
#[allow(dead_code, reason = "what participants do elsewhere")]
mod mpmc_actor;
mod scenarios;
mod sync;
#[path = "../sync/actor.rs"]
#[allow(dead_code, reason = "what participants do elsewhere")]
mod sync_actor;
mod victim;

use scenarios::Scenario;
use std::collections::BTreeSet;
use std::path::Path;
use support::{Carrier, Folder, Ring};
use victim::{Plan, Victim};

/// Not a test: what a child process does. See [`support`].
#[test]
fn child() {
    let actor = std::cell::RefCell::new(actor::Actor::default());
    let mpmc = std::cell::RefCell::new(mpmc_actor::Actor::default());
    let sync = std::cell::RefCell::new(sync_actor::Actor::default());
    let frames = std::cell::RefCell::new(frame_actor::Actor::default());
    support::play(|words| {
        let reply = actor.borrow_mut().obey(words);
        let reply = reply.or_else(|| mpmc.borrow_mut().obey(words)).or_else(|| sync.borrow_mut().obey(words));
        reply.or_else(|| frames.borrow_mut().obey(words))
    });
}

/// Where the ring of a scenario may be.
#[derive(Clone, Copy)]
enum Places {
    Named,
    /// Named, and whatever its messages are, they are frames.
    Once,
    /// And in a System V segment, whose liveness is another one.
    NamedAndSystemV,
    /// And one in a memfd.
    NamedAndMemfd,
    /// And a named one whose participants sleep on semaphores, and one in a System V segment.
    NamedAndSemaphore,
    /// And a named one of short messages.
    All,
}

impl Places {
    /// One ring of each carrier for each place, and of one where they do not differ.
    fn rings(self) -> impl Iterator<Item = fn() -> Ring> {
        let named: [fn() -> Ring; 2] = [|| Ring::named(Carrier::Fixed), || Ring::named(Carrier::Records)];
        let memfds: [fn() -> Ring; 2] = [|| Ring::memfd(Carrier::Fixed), || Ring::memfd(Carrier::Records)];
        let semaphores: [fn() -> Ring; 1] = [|| Ring::waking_by_semaphore(Carrier::Fixed)];
        let segments: [fn() -> Ring; 1] = [|| Ring::system_v(Carrier::Fixed)];
        let short: [fn() -> Ring; 1] = [|| Ring::named(Carrier::Short)];
        let has_memfds = matches!(self, Self::NamedAndMemfd | Self::All);
        let has_semaphores = matches!(self, Self::NamedAndSemaphore | Self::All);
        let has_segments = matches!(self, Self::NamedAndSystemV | Self::NamedAndSemaphore | Self::All);
        let most = if matches!(self, Self::Once) { 1 } else { named.len() };
        named
            .into_iter()
            .take(most)
            .chain(memfds.into_iter().filter(move |_| has_memfds))
            .chain(semaphores.into_iter().filter(move |_| has_semaphores))
            .chain(segments.into_iter().filter(move |_| has_segments))
            .chain(short.into_iter().filter(move |_| matches!(self, Self::All)))
    }
}

macro_rules! scenarios {
    ($($name:ident: $places:expr;)*) => {
        /// All of them.
        const SCENARIOS: &[(&str, Scenario, Places)] = &[$((stringify!($name), scenarios::$name, $places)),*];

        $(
            #[test]
            fn $name() {
                explore(scenarios::$name, $places);
            }
        )*
    };
}

scenarios! {
    a_producer_dies_creating: Places::NamedAndSystemV;
    a_consumer_dies_creating: Places::NamedAndSystemV;
    a_producer_dies_sending: Places::All;
    a_consumer_dies_receiving: Places::All;
    a_consumer_dies_holding: Places::NamedAndMemfd;
    a_producer_dies_sending_to_a_wait_set: Places::Named;
    a_wait_set_dies_receiving: Places::Named;
    a_producer_dies_closing_on_a_sleeping_consumer: Places::NamedAndSemaphore;
    a_consumer_dies_closing_on_a_sleeping_producer: Places::NamedAndSemaphore;
    the_last_consumer_dies_closing: Places::NamedAndSystemV;
    the_last_producer_dies_closing: Places::NamedAndSystemV;
    a_remover_dies_while_others_use_the_ring: Places::Named;
    a_remover_dies_before_the_next_users_come: Places::NamedAndSystemV;
    a_remover_dies_before_the_next_remover_comes: Places::NamedAndSystemV;
    a_producer_dies_broadcasting: Places::NamedAndSystemV;
    a_lossless_reader_dies: Places::NamedAndSystemV;
    a_lossy_reader_dies: Places::NamedAndSystemV;
    an_evicting_producer_dies: Places::Named;
    the_writer_of_a_register_dies: Places::Named;
    an_mpmc_producer_dies: Places::NamedAndSystemV;
    an_mpmc_consumer_dies: Places::NamedAndSystemV;
    an_mpmc_consumer_dies_asleep: Places::Named;
    a_survivor_dies_burying: Places::NamedAndSystemV;
    a_survivor_dies_taking_over: Places::Named;
    a_producer_dies_dropping: Places::Named;
    a_mutex_holder_dies: Places::Named;
    a_mutexs_survivor_dies: Places::Named;
    a_reader_or_writer_dies: Places::Named;
    a_reader_dies_freeing: Places::Named;
    a_writer_dies_emptying: Places::Named;
    a_waiter_dies: Places::Named;
    a_notifier_dies: Places::Named;
    a_party_dies: Places::Named;
    who_does_it_dies: Places::Named;
    a_decoder_dies: Places::Once;
    a_recorder_dies: Places::Once;
    a_renderer_dies: Places::Once;
    a_successor_of_a_dead_recorder_dies: Places::Once;
    a_decoder_dies_letting_go_for_a_dead_recorder: Places::Once;
}

/// The later visits to a crash point at which a victim is killed, when the ring has been full, or empty, or has wrapped.
const LATER_VISITS: [u32; 3] = [2, 3, 8];

/// Runs a scenario with a victim that lives, and returns the points that it passed, in order.
fn points_of(scenario: Scenario, ring: &Ring) -> Vec<String> {
    let elsewhere = Folder::for_leftovers();
    let log = elsewhere.path().join("log");
    let mut victim = Victim::start(ring, Plan::Log(&log));
    scenario(ring, &mut victim);
    assert!(!victim.was_killed(), "nobody killed it");
    let points = std::fs::read_to_string(&log).expect("the victim wrote it");
    points.lines().map(str::to_owned).collect()
}

/// Runs a scenario with a victim that is to be killed. Returns whether it was.
fn kill_in(scenario: Scenario, ring: &Ring, point: &str, visit: u32, leaves_nothing: bool) -> bool {
    println!("{:?} in {}: {point}, visit {visit}", ring.carrier, ring.place);
    let mut victim = Victim::start(ring, Plan::Kill { point, visit, leaves_nothing });
    scenario(ring, &mut victim);
    victim.was_killed()
}

/// Whether anybody is asleep when the victim rings is for the scheduler to say: how often a point is tried that it sometimes passes.
const ATTEMPTS: u32 = 50;

fn explore(scenario: Scenario, places: Places) {
    for new_ring in places.rings() {
        let points = points_of(scenario, &new_ring());
        assert!(!points.is_empty());
        let named_at = points.iter().position(|point| point == "segment.linked");
        // A point that was passed once and not again may be so seldom that no number of attempts is enough.
        let again = points_of(scenario, &new_ring());
        for (index, point) in points.iter().enumerate() {
            let leaves_nothing = named_at.is_some_and(|linked| index < linked);
            let is_certain = again.contains(point);
            let attempts = if is_certain { ATTEMPTS } else { 1 };
            let killed = (0..attempts).any(|_| kill_in(scenario, &new_ring(), point, 1, leaves_nothing));
            assert!(killed || !is_certain, "it passed {point} twice when nobody killed it there");
            // Later visits: as far as it gets.
            let _ = LATER_VISITS.into_iter().all(|visit| kill_in(scenario, &new_ring(), point, visit, false));
        }
    }
}

/// The names of all crash points in the sources below `folder`.
fn points_in(folder: &Path, points: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            points_in(&path, points);
        } else {
            let text = std::fs::read_to_string(&path).expect("a source file");
            points.extend(
                text.split("crash::point(\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())),
            );
        }
    }
}

#[test]
fn every_crash_point_has_a_scenario() {
    let mut visited = BTreeSet::new();
    for (name, scenario, places) in SCENARIOS {
        println!("{name}");
        places.rings().for_each(|new_ring| visited.extend(points_of(*scenario, &new_ring())));
    }
    let mut named = BTreeSet::new();
    for sources in ["ringshm-sync/src", "ringshm-core/src"] {
        points_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(sources), &mut named);
    }
    assert!(named.len() >= 20, "the sources are elsewhere: {named:?}");
    assert_eq!(visited, named, "left: visited by a scenario; right: named in the sources");
}
