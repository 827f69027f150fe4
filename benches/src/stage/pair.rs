//! The runs of one producer and one consumer.

use super::{Role, Stage, by_size};
use crate::channel::{Across, FramesAcross, Link, RecordsAcross, RecordsWithin, Within};
use crate::control::{Control, LARGEST_BLOCK};
use crate::limits::{self, Bare, BareEnd};
use crate::message::{Line, Lines4, Lines16, Lines64, Message, Word};
use crate::plan::{Cargo, Outcome, Plan, Reading, Test};
use crate::setting::Setting;
use crate::{frames, offered, stream, tail, trip};
use anyhow::{Context as _, Result, bail};

/// Plays a run of messages between threads.
///
/// # Errors
/// If the channel cannot be made, or the sides do not meet.
pub fn within<R: Within>(stage: &Stage) -> Result<Option<Outcome>> {
    fn stream_of<M: Message, R: Within>(stage: &Stage, batch: usize) -> Result<Option<Outcome>> {
        let Plan { capacity, seconds, .. } = stage.plan;
        let (mut to, mut from) = R::pair::<M>(&stage.plan)?;
        stage.perform(
            |control| stream::produce(&mut to, batch, control),
            |control| stream::consume(&mut from, batch, capacity, seconds, control),
        )
    }
    fn trip_of<M: Message, R: Within>(stage: &Stage) -> Result<Option<Outcome>> {
        let seconds = stage.plan.seconds;
        let (mut there, mut arriving) = R::pair::<M>(&stage.plan)?;
        let (mut back, mut returning) = R::pair::<M>(&stage.plan)?;
        stage.perform(|_| trip::answer(&mut returning, &mut there), |_| trip::ask(&mut back, &mut arriving, seconds))
    }
    match stage.plan.test {
        Test::Stream { batch } => {
            by_size!(stage.plan, [8 is Word, 64 is Line, 256 is Lines4, 1024 is Lines16], M, stream_of::<M, R>(stage, batch))
        }
        Test::RoundTrip => by_size!(stage.plan, [8 is Word, 64 is Line], M, trip_of::<M, R>(stage)),
        other => bail!("no {other:?} between threads"),
    }
}

/// Plays a part in a run of messages between processes.
///
/// # Errors
/// If the channel cannot be joined, or the sides do not meet.
pub fn across<R: Across>(stage: &Stage) -> Result<Option<Outcome>> {
    fn stream_of<M: Message, R: Across>(stage: &Stage, batch: usize) -> Result<Option<Outcome>> {
        let Plan { capacity, seconds, .. } = stage.plan;
        if stage.role == Role::Producer {
            let mut to = R::sender::<M>(&stage.plan, &stage.links[0])?;
            stage.producing(0, |control| stream::produce(&mut to, batch, control)).map(|()| None)
        } else {
            let mut from = R::receiver::<M>(&stage.plan, &stage.links[0])?;
            stage.consuming(0, |control| stream::consume(&mut from, batch, capacity, seconds, control), Ok)
        }
    }
    fn trip_of<M: Message, R: Across>(stage: &Stage) -> Result<Option<Outcome>> {
        let [there, back] = &stage.links[..] else { bail!("a round trip needs two channels") };
        if stage.role == Role::Producer {
            let mut to = R::sender::<M>(&stage.plan, there)?;
            let mut from = R::receiver::<M>(&stage.plan, back)?;
            stage.producing(0, |_| trip::answer(&mut from, &mut to)).map(|()| None)
        } else {
            // In the order of the other side: a sender may have to wait for its receiver.
            let mut from = R::receiver::<M>(&stage.plan, there)?;
            let mut to = R::sender::<M>(&stage.plan, back)?;
            stage.consuming(0, |_| trip::ask(&mut to, &mut from, stage.plan.seconds), Ok)
        }
    }
    fn offered_of<M: Message, R: Across>(stage: &Stage, rate: f64) -> Result<Option<Outcome>> {
        if stage.role == Role::Producer {
            let mut to = R::sender::<M>(&stage.plan, &stage.links[0])?;
            stage.producing(0, |control| offered::produce(&mut to, rate, control)).map(|()| None)
        } else {
            let mut from = R::receiver::<M>(&stage.plan, &stage.links[0])?;
            stage.consuming(0, |control| offered::consume(&mut from, stage.plan.seconds, control), Ok)
        }
    }
    fn tail_of<M: Message, R: Across>(stage: &Stage, rate: f64, setting: Setting) -> Result<Option<Outcome>> {
        if stage.role == Role::Producer {
            let mut to = R::sender::<M>(&stage.plan, &stage.links[0])?;
            stage.producing(0, |control| tail::produce(&mut to, rate, setting, control)).map(|()| None)
        } else {
            let mut from = R::receiver::<M>(&stage.plan, &stage.links[0])?;
            stage.consuming(0, |control| tail::consume(&mut from, stage.plan.seconds, setting, control), Ok)
        }
    }
    fn seen_of<M: Message, R: Across>(stage: &Stage) -> Result<Option<Outcome>> {
        if stage.role == Role::Producer {
            let mut to = R::sender::<M>(&stage.plan, &stage.links[0])?;
            stage.producing(0, |control| trip::write(&mut to, control)).map(|()| None)
        } else {
            let mut from = R::receiver::<M>(&stage.plan, &stage.links[0])?;
            stage.consuming(0, |control| trip::watch(&mut from, stage.plan.seconds, control), Ok)
        }
    }
    match stage.plan.test {
        Test::Stream { batch } => {
            by_size!(
                stage.plan,
                [8 is Word, 64 is Line, 256 is Lines4, 1024 is Lines16, 4096 is Lines64],
                M,
                stream_of::<M, R>(stage, batch)
            )
        }
        Test::RoundTrip | Test::Wake => by_size!(stage.plan, [8 is Word, 64 is Line], M, trip_of::<M, R>(stage)),
        Test::Offered { rate } | Test::WakeAt { rate } => {
            by_size!(stage.plan, [8 is Word, 64 is Line], M, offered_of::<M, R>(stage, rate))
        }
        Test::Tail { rate, setting } => by_size!(stage.plan, [64 is Line], M, tail_of::<M, R>(stage, rate, setting)),
        Test::Seen => by_size!(stage.plan, [8 is Word, 64 is Line], M, seen_of::<M, R>(stage)),
        other => bail!("no {other:?} between two"),
    }
}

/// Plays a run of records between threads.
///
/// # Errors
/// If the channel cannot be made, or the sides do not meet.
pub fn records_within<R: RecordsWithin>(stage: &Stage) -> Result<Option<Outcome>> {
    let Test::Stream { batch } = stage.plan.test else { bail!("records are only streamed") };
    let Plan { capacity, seconds, .. } = stage.plan;
    let (mut to, mut from) = R::pair(&stage.plan)?;
    stage.perform(
        |control| stream::produce_records(&mut to, stage.feed(), batch, control),
        |control| stream::consume_records(&mut from, stage.feed(), batch, capacity, seconds, control),
    )
}

/// Plays a part in a run of records between processes.
///
/// # Errors
/// If the channel cannot be joined, or the sides do not meet.
pub fn records_across<R: RecordsAcross>(stage: &Stage) -> Result<Option<Outcome>> {
    let Test::Stream { batch } = stage.plan.test else { bail!("records are only streamed") };
    let Plan { capacity, seconds, .. } = stage.plan;
    if stage.role == Role::Producer {
        let mut to = R::sender(&stage.plan, &stage.links[0])?;
        stage.producing(0, |control| stream::produce_records(&mut to, stage.feed(), batch, control)).map(|()| None)
    } else {
        let mut from = R::receiver(&stage.plan, &stage.links[0])?;
        let play =
            |control: &Control| stream::consume_records(&mut from, stage.feed(), batch, capacity, seconds, control);
        stage.consuming(0, play, Ok)
    }
}

/// Plays a part in a run of frames between processes.
///
/// # Errors
/// If the channel cannot be joined, or the sides do not meet.
pub fn frames_across<R: FramesAcross>(stage: &Stage) -> Result<Option<Outcome>> {
    let Plan { test, seconds, .. } = stage.plan;
    let Cargo::Frames { pixels, .. } = stage.plan.cargo else { bail!("no frames of {}", stage.plan.cargo) };
    if stage.role == Role::Producer {
        let mut to = R::sender(&stage.plan, &stage.links[0])?;
        let play = |control: &Control| match test {
            Test::Offered { rate } | Test::Newest { rate } => frames::produce_at(&mut to, rate, pixels, control),
            _ => frames::produce(&mut to, pixels, control),
        };
        stage.producing(0, play).map(|()| None)
    } else {
        let mut from = R::receiver(&stage.plan, &stage.links[0])?;
        let play = |control: &Control| match test {
            Test::Offered { .. } => frames::consume_at(&mut from, pixels, seconds, control),
            Test::Newest { .. } => frames::consume_newest(&mut from, seconds, control),
            _ => frames::consume(&mut from, pixels, seconds, control),
        };
        stage.consuming(0, play, Ok)
    }
}

/// Plays a part in a run of other programs, which this process starts on its core and awaits.
///
/// # Errors
/// If a program fails, or the sides do not meet.
pub fn beside(
    stage: &Stage,
    send: fn(&Plan, &Link, &Control) -> Result<()>,
    receive: fn(&Link, &Control) -> Result<Reading>,
) -> Result<Option<Outcome>> {
    let (plan, link) = (&stage.plan, &stage.links[0]);
    if stage.role == Role::Producer {
        let mut sent = Ok(());
        stage.producing(0, |control| sent = send(plan, link, control))?;
        return sent.map(|()| None);
    }
    stage.consuming(0, |control| receive(link, control), |reading| reading)
}

/// Plays a part in the round trips of a bare limit, or in the watching of it.
///
/// # Errors
/// If the sides do not meet.
pub fn bare(stage: &Stage, bare: Bare) -> Result<Option<Outcome>> {
    let end = |direction| BareEnd::new(stage.shared.control(), bare, direction);
    let (mut producing, mut consuming) = ((end(0), end(1)), (end(1), end(0)));
    if bare == Bare::Semaphore && stage.role == Role::Producer {
        producing.0.prepare();
        producing.1.prepare();
    }
    let seconds = stage.plan.seconds;
    if stage.plan.test == Test::Seen {
        return stage.perform(
            |control| trip::write::<Word>(&mut producing.0, control),
            |control| trip::watch::<Word>(&mut consuming.1, seconds, control),
        );
    }
    if let Test::WakeAt { rate } = stage.plan.test {
        return stage.perform(
            |control| offered::produce::<Word>(&mut producing.0, rate, control),
            |control| offered::consume::<Word>(&mut consuming.1, seconds, control),
        );
    }
    stage.perform(
        |_| trip::answer::<Word>(&mut producing.1, &mut producing.0),
        |_| trip::ask::<Word>(&mut consuming.0, &mut consuming.1, seconds),
    )
}

/// Plays all of a run in which a channel is only looked at.
///
/// # Errors
/// If it cannot be opened here, or carries nothing.
pub fn looking(stage: &Stage, look: fn(&Plan, &Link) -> Result<Reading>) -> Result<Option<Outcome>> {
    let link = stage.links.first().context("there is no channel to look at")?;
    Ok(Some(Outcome { before: 0.0, after: 0.0, reading: look(&stage.plan, link)? }))
}

/// Plays a part in the copying.
///
/// # Errors
/// If the sides do not meet.
pub fn copying(stage: &Stage) -> Result<Option<Outcome>> {
    let Cargo::Records(size @ ..=LARGEST_BLOCK) = stage.plan.cargo else { bail!("only blocks of up to a mebibyte") };
    stage.perform(
        |_| limits::copy_in(&stage.shared, size),
        |_| limits::copy_out(&stage.shared, size, stage.plan.seconds),
    )
}
