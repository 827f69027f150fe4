//! All runs, as data: groups of runs that are compared with each other, each with its capacity and its limit.

use crate::frames;
use crate::plan::{Cargo, Crew, Pixels, Plan, Test, Waiting};
use crate::rivals::{self, Feat, Kind, Rival, Side};
use crate::setting::Setting;
use crate::tail;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Runs that are compared with each other, in interleaved rounds.
#[derive(Clone, Debug)]
pub struct Group {
    /// What they have in common.
    pub title: Title,
    /// One for each line of the table.
    pub plans: Vec<Plan>,
}

/// What the runs of a group have in common. The plots find their figures by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Title {
    /// What is measured.
    pub topic: Topic,
    /// Between threads, else between processes. In groups of crowds there are both.
    pub threads: bool,
    /// Between how many.
    pub crew: Crew,
    /// What is sent.
    pub cargo: Cargo,
    /// Messages sent together.
    pub batch: usize,
    /// Slots.
    pub capacity: usize,
    /// Messages offered in a second, or 0.
    pub rate: f64,
    /// Consumers sleep.
    pub sleeping: bool,
}

/// The questions that the suite answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Topic {
    /// How many messages go through?
    Throughput,
    /// And through rings of this and that size?
    RingSize,
    /// How long is a round trip?
    RoundTrip,
    /// How late is a message for a consumer that sleeps, and how long is a round trip for which both sides sleep, in every way to sleep, each
    /// beside its bare form?
    WakeUp,
    /// How late is a message at an offered rate, depending on how one waits?
    Waiting,
    /// How many messages go through where each goes to one of many consumers?
    Mpmc,
    /// And where each goes to all of them?
    Broadcast,
    /// What does one more reader that may lose messages cost the producer?
    LossyReaders,
    /// How long until a value is seen, and an answer to it?
    Latest,
    /// How long does a message stay away whose consumer is killed with it?
    Recovery,
    /// What does a message cost that one thread sends and receives?
    Alone,
    /// How fast is a bare copy through shared memory?
    Copy,
    /// What does it cost to hand over a frame, depending on its size? Each line has a size of its own.
    HandOver,
    /// How many frames go through?
    Frames,
    /// How long is it from when a frame is committed until it is borrowed?
    Borrow,
    /// How old is the newest frame when a consumer gets it that takes no other?
    Newest,
    /// How late is the latest of ten thousand messages, depending on what is asked of the machine?
    Tail,
}

impl core::fmt::Display for Title {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let whom = if self.threads { "threads" } else { "processes" };
        let cargo = self.cargo;
        let how = if self.batch == 1 { "one by one".to_owned() } else { format!("batches of {}", self.batch) };
        match self.topic {
            Topic::Mpmc => write!(f, "mpmc, {}, {cargo}, {how}", self.crew),
            Topic::Broadcast => write!(f, "broadcast, {}, {cargo}, {how}", self.crew),
            Topic::LossyReaders => write!(f, "lossy readers, {whom}, {cargo}"),
            Topic::Latest if self.sleeping => write!(f, "latest, {whom}, {cargo}, from written to seen"),
            Topic::Latest => write!(f, "latest, {whom}, {cargo}, round trip"),
            Topic::Recovery => write!(f, "recovery, {whom}, {cargo}"),
            Topic::Alone => write!(f, "alone, one thread, {cargo}"),
            Topic::Throughput => write!(f, "throughput, {whom}, {cargo}, {how}"),
            Topic::RingSize => write!(f, "ring size, {whom}, {cargo}, {} slots", self.capacity),
            Topic::RoundTrip if self.sleeping => write!(f, "round trip, {whom}, {cargo}, sleeping"),
            Topic::RoundTrip => write!(f, "round trip, {whom}, {cargo}, spinning"),
            Topic::WakeUp if self.rate > 0.0 => write!(f, "wake-up, {whom}, {cargo}, {} messages a second", self.rate),
            Topic::WakeUp => write!(f, "wake-up and back, {whom}, {cargo}"),
            Topic::Waiting => write!(f, "waiting, {whom}, {cargo}, {} messages a second", self.rate),
            Topic::Copy => write!(f, "copy, {whom}, {cargo}"),
            Topic::HandOver => write!(f, "frames, {whom}, handed over, by size"),
            Topic::Frames => write!(f, "frames, {whom}, {cargo}"),
            Topic::Borrow => write!(f, "frames, {whom}, {cargo}, from committed to borrowed, {} a second", self.rate),
            Topic::Newest => write!(f, "frames, {whom}, {cargo}, age of the newest, {} a second", self.rate),
            Topic::Tail => write!(f, "tail, {whom}, {cargo}, {} messages a second", self.rate),
        }
    }
}

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only the essential groups, and shorter runs.
    pub quick: bool,
    /// Only groups whose title contains this.
    pub only: Option<String>,
    /// Only those whose names contain one of these, and the limits.
    pub who: Vec<String>,
    /// The libraries beside ringshm and the limits.
    pub rivals: bool,
    /// Slots of the channels.
    pub capacity: usize,
}

/// Offered messages in a second.
const RATES: [f64; 6] = [1e3, 1e4, 5e4, 1e5, 5e5, 1e6];

/// Messages in a second to a consumer that sleeps: seldom enough that it sleeps for each.
const WAKE_UPS: f64 = 5e3;

/// The groups to be measured.
#[must_use]
pub fn groups(options: &Options) -> Vec<Group> {
    let is_asked_for = |name: &str| options.who.is_empty() || options.who.iter().any(|who| name.contains(who.as_str()));
    let rivals: Vec<Rival> = (rivals::all().into_iter())
        .filter(|rival| options.rivals || rival.side != Side::Theirs)
        .filter(|rival| rival.side == Side::Limit || is_asked_for(rival.name))
        .collect();
    let seconds = if options.quick { 0.05 } else { 0.1 };
    let suite = Suite { rivals, seconds, capacity: options.capacity };
    let mut groups = Vec::new();
    let sizes: &[usize] = if options.quick { &[8, 64] } else { &[8, 64, 256, 1024] };
    for kind in [Kind::Threads, Kind::Processes] {
        for batch in [1, 64] {
            groups.extend(sizes.iter().map(|size| suite.throughput(kind, Cargo::Messages(*size), batch)));
        }
        for size in [8, 64] {
            groups.push(suite.round_trip(kind, size, false));
        }
    }
    groups.extend([8, 64].map(|size| suite.round_trip(Kind::Processes, size, true)));
    groups.extend([Test::WakeAt { rate: WAKE_UPS }, Test::Wake].map(|test| suite.wake_up(test, 8)));
    groups.push(suite.throughput(Kind::Processes, Cargo::Records(1 << 16), 1));
    groups.push(suite.throughput(Kind::Processes, Cargo::Feed, 64));
    groups.extend(crowds(&suite, options.quick));
    if !options.quick {
        groups.push(suite.throughput(Kind::Threads, Cargo::Records(1 << 16), 1));
        groups.push(suite.throughput(Kind::Threads, Cargo::Feed, 64));
        for kind in [Kind::Threads, Kind::Processes] {
            groups.push(suite.throughput(kind, Cargo::Feed, 1));
            groups.extend([8, 64, 256, 1024].map(|size| suite.throughput(kind, Cargo::Records(size), 1)));
            groups.extend([8, 64, 256, 1024].map(|size| suite.throughput(kind, Cargo::Records(size), 64)));
        }
        groups.extend((3..=10).map(|power| suite.ring_size(1 << (2 * power))));
        groups.extend(RATES.map(|rate| suite.waiting(rate)));
        groups.extend([1 << 16, 1 << 20].map(|size| suite.copy(size)));
        groups.extend(frames(&suite));
    }
    groups.retain(|group| {
        let is_asked_for = options.only.as_ref().is_none_or(|only| {
            let title = group.title.to_string();
            only.split_whitespace().all(|word| title.contains(word))
        });
        is_asked_for && !group.plans.is_empty()
    });
    groups
}

/// Takes those out of the groups who cannot play on this machine, and says why not.
#[must_use]
pub fn leave_out_absent(groups: &mut [Group]) -> Vec<String> {
    let mut reasons = Vec::new();
    for rival in rivals::all() {
        let plays = |group: &Group| group.plans.iter().any(|plan| plan.rival == rival.name);
        let Some(look) = rival.programs.filter(|_| groups.iter().any(plays)) else { continue };
        if let Err(reason) = look() {
            groups.iter_mut().for_each(|group| group.plans.retain(|plan| plan.rival != rival.name));
            reasons.push(format!("{}: {reason:#}", rival.name));
        }
    }
    reasons
}

/// The groups of rings with many producers, many consumers, or both.
fn crowds(suite: &Suite, quick: bool) -> Vec<Group> {
    let mut groups = Vec::new();
    let (sizes, batches): (&[usize], &[usize]) = if quick { (&[8], &[1]) } else { (&[8, 64], &[1, 64]) };
    for batch in batches {
        for size in sizes {
            groups.extend([1, 2, 4].map(|many| suite.crowd(Feat::Share, many, *size, *batch)));
            groups.extend([1, 2, 4].map(|many| suite.crowd(Feat::Spread, many, *size, *batch)));
        }
    }
    groups.push(suite.recovery());
    for size in sizes {
        groups.push(suite.alone(*size));
        groups.push(suite.lossy(*size));
        groups.extend([Test::Seen, Test::RoundTrip].map(|test| suite.latest(test, *size)));
    }
    groups
}

/// Width and height of pictures: from a thumbnail to what is called 720p, 1080p and 4K.
const PICTURES: [(u32, u32); 7] =
    [(64, 44), (160, 120), (320, 240), (640, 480), (1280, 720), (1920, 1080), (3840, 2160)];

/// Frames in a second whose hand-over is timed: untouched ones, and those that take a while to write and to read.
const FRAME_RATES: (f64, f64) = (1000.0, 100.0);

/// The groups of frames.
fn frames(suite: &Suite) -> Vec<Group> {
    let video = &PICTURES[4..];
    let mut groups = vec![suite.hand_over()];
    for pixels in [Pixels::Untouched, Pixels::Touched] {
        groups.extend(video.iter().map(|picture| suite.frames(*picture, pixels)));
    }
    groups.extend(video.iter().map(|picture| suite.borrow(*picture, Pixels::Untouched, FRAME_RATES.0)));
    groups.extend(video.iter().map(|picture| suite.borrow(*picture, Pixels::Touched, FRAME_RATES.1)));
    groups.extend([60.0, 1000.0].map(|rate| suite.newest(rate)));
    groups
}

/// Who plays in the [`short`] form.
const SHORT: [&str; 6] = ["ringshm", "pipe", "unix socket", "two lines", "futex", "memcpy"];

/// The longest and the shortest run of the short form, in seconds.
const SHORT_RUN: (f64, f64) = (0.15, 0.02);

/// What a run takes beside the time in which it measures: its processes start, find out how far apart they are, and warm up.
const OVERHEAD: f64 = 0.06;

/// The groups of the short form, for a look at one's own machine: ringshm's blocking calls between processes, the streams that
/// every kernel has, and the limits; with runs of such a length that so many rounds fit into this time, if they can.
#[must_use]
pub fn short(capacity: usize, rounds: usize, time: Duration) -> Vec<Group> {
    let rivals = rivals::all().into_iter().filter(|rival| SHORT.contains(&rival.name)).collect();
    let suite = Suite { rivals, seconds: SHORT_RUN.0, capacity };
    let mut groups: Vec<Group> =
        [8, 64, 1024].map(|size| suite.throughput(Kind::Processes, Cargo::Messages(size), 1)).into();
    groups.push(suite.throughput(Kind::Processes, Cargo::Messages(64), 64));
    groups.push(suite.throughput(Kind::Processes, Cargo::Feed, 64));
    groups.extend([false, true].map(|sleeping| suite.round_trip(Kind::Processes, 64, sleeping)));
    let runs = rounds * groups.iter().map(|group| group.plans.len()).sum::<usize>();
    let seconds = (time.as_secs_f64() / runs as f64 - OVERHEAD).clamp(SHORT_RUN.1, SHORT_RUN.0);
    for plan in groups.iter_mut().flat_map(|group| &mut group.plans) {
        plan.seconds = seconds;
    }
    groups
}

/// The longest and the shortest run of a [`tail`], in seconds: at least as long as a ring of the usual size takes to go round, if there is time.
const TAIL_RUN: (f64, f64) = (1.0, 0.05);

/// The group that compares tails of the latency under these settings, and so many rounds of it as fit into this time.
#[must_use]
pub fn tail(capacity: usize, settings: &[Setting], time: Duration) -> (Group, usize) {
    let each = time.as_secs_f64() / settings.len() as f64;
    // Three rounds at least, so that a change of the machine's state meets all.
    let seconds = (each / 3.0 - OVERHEAD).clamp(TAIL_RUN.1, TAIL_RUN.0);
    let suite = Suite { rivals: vec![], seconds, capacity };
    let rate = tail::RATE;
    let title = Title { rate, ..suite.title(Topic::Tail, Kind::Processes, Cargo::Messages(64)) };
    let plan = |setting: &Setting| suite.plan("ringshm", Test::Tail { rate, setting: *setting }, &title, Waiting::Spin);
    let plans = settings.iter().map(plan).collect();
    (Group { plans, title }, ((each / (seconds + OVERHEAD)) as usize).max(1))
}

struct Suite {
    rivals: Vec<Rival>,
    seconds: f64,
    capacity: usize,
}

impl Suite {
    fn title(&self, topic: Topic, kind: Kind, cargo: Cargo) -> Title {
        let threads = kind == Kind::Threads;
        let (crew, capacity) = (Crew::PAIR, self.capacity);
        Title { topic, threads, crew, cargo, batch: 1, capacity, rate: 0.0, sleeping: false }
    }

    fn plan(&self, rival: &str, test: Test, title: &Title, wait: Waiting) -> Plan {
        let (rival, capacity, crew) = (rival.to_owned(), title.capacity, title.crew);
        Plan { rival, test, cargo: title.cargo, crew, capacity, wait, seconds: self.seconds, directory: None }
    }

    /// Those of a kind who can carry this, in their order.
    fn players(&self, kind: Kind, cargo: Cargo) -> impl Iterator<Item = &Rival> {
        self.rivals.iter().filter(move |rival| rival.side != Side::Limit && rival.kind == kind && rival.carries(cargo))
    }

    fn throughput(&self, kind: Kind, cargo: Cargo, batch: usize) -> Group {
        let mut title = Title { batch, ..self.title(Topic::Throughput, kind, cargo) };
        if matches!(cargo, Cargo::Records(1024..)) {
            // A mebibyte under way, as slots of messages have.
            title.capacity = (1 << 20) / cargo.bytes(1);
        }
        let players = self
            .players(kind, cargo)
            .filter(|rival| if batch == 1 { !rival.name.ends_with(" iter") } else { rival.batches });
        let mut plans: Vec<Plan> =
            players.map(|rival| self.plan(rival.name, Test::Stream { batch }, &title, Waiting::Spin)).collect();
        if !plans.is_empty() {
            plans.push(Plan {
                cargo: Cargo::Records(1 << 16),
                ..self.plan("memcpy", Test::Copy, &title, Waiting::Spin)
            });
        }
        Group { plans, title }
    }

    fn ring_size(&self, capacity: usize) -> Group {
        let cargo = Cargo::Messages(64);
        let title = Title { capacity, ..self.title(Topic::RingSize, Kind::Processes, cargo) };
        let players = self.rivals.iter().filter(|rival| ["ringshm", "ringshm threads", "rtrb"].contains(&rival.name));
        let plans = players.map(|rival| self.plan(rival.name, Test::Stream { batch: 1 }, &title, Waiting::Spin));
        Group { plans: plans.collect(), title }
    }

    fn round_trip(&self, kind: Kind, size: usize, sleeping: bool) -> Group {
        let title = Title { sleeping, ..self.title(Topic::RoundTrip, kind, Cargo::Messages(size)) };
        let wait = if sleeping { Waiting::Park } else { Waiting::Spin };
        // Who waits for a batch to come together waits in vain here.
        let pauses = |rival: &Rival| rival.name.ends_with(", pausing");
        let is_in = |rival: &&Rival| match rival.side {
            Side::Ours => (rival.waits || !sleeping) && !pauses(rival),
            Side::Theirs => rival.takes_turns == sleeping && !pauses(rival),
            Side::Limit => unreachable!("limits do not play"),
        };
        let mut plans: Vec<Plan> = (self.players(kind, title.cargo).filter(is_in))
            .map(|rival| self.plan(rival.name, Test::RoundTrip, &title, wait))
            .collect();
        let limits: &[&str] = if sleeping { &["futex"] } else { &["two lines", "one line"] };
        let plays = |limit: &&&str| self.rivals.iter().any(|rival| rival.name == **limit);
        plans.extend(limits.iter().filter(plays).map(|limit| self.plan(limit, Test::RoundTrip, &title, wait)));
        Group { plans, title }
    }

    fn wake_up(&self, test: Test, size: usize) -> Group {
        let rate = if let Test::WakeAt { rate } = test { rate } else { 0.0 };
        let title = Title { rate, sleeping: true, ..self.title(Topic::WakeUp, Kind::Processes, Cargo::Messages(size)) };
        let players: Vec<&Rival> = self.able(Feat::Wake).filter(|rival| rival.side != Side::Limit).collect();
        // Each in turn with its bare form, once.
        let mut names: Vec<&str> = Vec::new();
        for name in players.iter().flat_map(|rival| [Some(rival.name), rival.bare]).flatten() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let plans = names.into_iter().map(|name| Plan {
            // There are fewer messages than where nobody sleeps.
            seconds: 2.0 * self.seconds,
            ..self.plan(name, test, &title, Waiting::Park)
        });
        Group { plans: plans.collect(), title }
    }

    fn waiting(&self, rate: f64) -> Group {
        let title = Title { rate, ..self.title(Topic::Waiting, Kind::Processes, Cargo::Messages(64)) };
        let plans = [Waiting::Spin, Waiting::Park, Waiting::SpinThenPark]
            .map(|wait| self.plan("ringshm", Test::Offered { rate }, &title, wait));
        Group { plans: plans.to_vec(), title }
    }

    /// Those who can do something, in their order.
    fn able(&self, feat: Feat) -> impl Iterator<Item = &Rival> {
        self.rivals.iter().filter(move |rival| rival.can(feat))
    }

    /// Among threads and among processes, so that both are measured in the same rounds.
    fn crowd(&self, feat: Feat, many: usize, size: usize, batch: usize) -> Group {
        let (topic, producers, test) = match feat {
            Feat::Share => (Topic::Mpmc, many, Test::Share { batch }),
            _ => (Topic::Broadcast, 1, Test::Spread { batch }),
        };
        let crew = Crew { producers, consumers: many };
        let title = Title { crew, batch, ..self.title(topic, Kind::Processes, Cargo::Messages(size)) };
        let players = self.able(feat).filter(|rival| batch == 1 || rival.batches);
        let mut plans: Vec<Plan> = players.map(|rival| self.plan(rival.name, test, &title, Waiting::Spin)).collect();
        for plan in &mut plans {
            // A crowd takes turns on its cores, and its rate is a mean.
            plan.seconds *= if crew.is_crowd() { 2.0 } else { 1.0 };
        }
        Group { plans, title }
    }

    fn lossy(&self, size: usize) -> Group {
        let title = self.title(Topic::LossyReaders, Kind::Processes, Cargo::Messages(size));
        let plan = |rival: &Rival, readers: usize| Plan {
            // And one who only takes part in the meetings.
            crew: Crew { producers: 1, consumers: 1 + readers },
            ..self.plan(rival.name, Test::Lossy, &title, Waiting::Spin)
        };
        let plans = self.able(Feat::Lossy).flat_map(|rival| (0..=2).map(move |readers| plan(rival, readers)));
        Group { plans: plans.collect(), title }
    }

    fn latest(&self, test: Test, size: usize) -> Group {
        let title =
            Title { sleeping: test == Test::Seen, ..self.title(Topic::Latest, Kind::Processes, Cargo::Messages(size)) };
        let limits = self.rivals.iter().filter(|rival| ["one line", "two lines"].contains(&rival.name));
        let names: Vec<&str> = self.able(Feat::Latest).map(|rival| rival.name).collect();
        let names =
            if names.is_empty() { names } else { names.into_iter().chain(limits.map(|rival| rival.name)).collect() };
        let plans = names.into_iter().map(|name| self.plan(name, test, &title, Waiting::Spin));
        Group { plans: plans.collect(), title }
    }

    fn recovery(&self) -> Group {
        let title = self.title(Topic::Recovery, Kind::Processes, Cargo::Messages(8));
        let plans = self.able(Feat::Recovery).map(|rival| self.plan(rival.name, Test::Recovery, &title, Waiting::Spin));
        Group { plans: plans.collect(), title }
    }

    fn alone(&self, size: usize) -> Group {
        let title = self.title(Topic::Alone, Kind::Threads, Cargo::Messages(size));
        let players = self.able(Feat::Alone).filter(|rival| !rival.name.ends_with(", pausing"));
        let plans = players.map(|rival| self.plan(rival.name, Test::Alone, &title, Waiting::Spin));
        Group { plans: plans.collect(), title }
    }

    /// What has frames of a size in common.
    fn frame_title(&self, topic: Topic, (width, height): (u32, u32), pixels: Pixels) -> Title {
        let cargo = Cargo::Frames { width, height, pixels };
        Title { capacity: frames::SLOTS, ..self.title(topic, Kind::Processes, cargo) }
    }

    /// All sizes in one group, so that they are compared with each other in the same rounds.
    fn hand_over(&self) -> Group {
        let title = self.frame_title(Topic::HandOver, PICTURES[PICTURES.len() - 1], Pixels::Untouched);
        let plans = PICTURES.into_iter().flat_map(|(width, height)| {
            let cargo = Cargo::Frames { width, height, pixels: Pixels::Untouched };
            let plan = |rival: &Rival| self.plan(rival.name, Test::Stream { batch: 1 }, &title, Waiting::Spin);
            self.able(Feat::Newest).map(move |rival| Plan { cargo, ..plan(rival) }).collect::<Vec<_>>()
        });
        let mut plans: Vec<Plan> = plans.collect();
        if !plans.is_empty() {
            plans.push(self.bare_copy(&title));
        }
        Group { plans, title }
    }

    fn frames(&self, picture: (u32, u32), pixels: Pixels) -> Group {
        let title = self.frame_title(Topic::Frames, picture, pixels);
        let players = self.players(Kind::Processes, title.cargo);
        let mut plans: Vec<Plan> = players
            .map(|rival| Plan {
                // Of those that copy, some hundred frames.
                seconds: 3.0 * self.seconds,
                ..self.plan(rival.name, Test::Stream { batch: 1 }, &title, Waiting::Spin)
            })
            .collect();
        if !plans.is_empty() {
            plans.push(self.bare_copy(&title));
        }
        Group { plans, title }
    }

    /// The limit of those that copy.
    fn bare_copy(&self, title: &Title) -> Plan {
        Plan { cargo: Cargo::Records(1 << 20), ..self.plan("memcpy", Test::Copy, title, Waiting::Spin) }
    }

    fn borrow(&self, picture: (u32, u32), pixels: Pixels, rate: f64) -> Group {
        let title = Title { rate, ..self.frame_title(Topic::Borrow, picture, pixels) };
        // At the rate of frames that nobody touches, those that copy large ones do not keep up.
        let players = (self.players(Kind::Processes, title.cargo))
            .filter(|rival| rival.programs.is_none() && (pixels == Pixels::Touched || rival.can(Feat::Newest)));
        let plans = players.map(|rival| Plan {
            seconds: 10.0 * self.seconds,
            ..self.plan(rival.name, Test::Offered { rate }, &title, Waiting::Spin)
        });
        Group { plans: plans.collect(), title }
    }

    fn newest(&self, rate: f64) -> Group {
        let title = Title { rate, ..self.frame_title(Topic::Newest, PICTURES[5], Pixels::Untouched) };
        let plans = self.able(Feat::Newest).map(|rival| Plan {
            seconds: 10.0 * self.seconds,
            ..self.plan(rival.name, Test::Newest { rate }, &title, Waiting::Spin)
        });
        Group { plans: plans.collect(), title }
    }

    fn copy(&self, size: usize) -> Group {
        let title = self.title(Topic::Copy, Kind::Processes, Cargo::Records(size));
        Group { plans: vec![self.plan("memcpy", Test::Copy, &title, Waiting::Spin)], title }
    }
}
