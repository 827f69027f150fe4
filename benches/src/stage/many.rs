//! The runs of many producers and many consumers, and of one thread alone.

use super::{Casting, Role, Stage, by_size, pin};
use crate::channel::{Across, Among, Link, Receiver, Sender};
use crate::control::Control;
use crate::message::{Line, Message, Word};
use crate::plan::{Cargo, Outcome, Test};
use crate::processes::Player;
use crate::{crowd, recovery, stream, trip};
use anyhow::{Context as _, Result, bail};
use std::thread;
use std::time::Duration;

impl Stage {
    /// A producer's part where messages are shared, or go to each consumer.
    fn sending<M: Message>(&self, to: &mut impl Sender<M>, batch: usize, member: usize) -> Result<()> {
        self.producing(member, |control| match self.plan.test {
            Test::Spread { .. } => stream::produce(to, batch, control),
            Test::Lossy => crowd::publish(to, &self.plan, &self.shared),
            _ => crowd::share(to, &self.plan, batch, member, &self.shared),
        })
    }

    /// A consumer's part in the same.
    fn receiving<M: Message>(
        &self,
        from: &mut impl Receiver<M>,
        batch: usize,
        member: usize,
    ) -> Result<Option<Outcome>> {
        let play = |control: &Control| match self.plan.test {
            Test::Spread { .. } => crowd::listen(from, &self.plan, batch, member, &self.shared),
            Test::Lossy => crowd::follow(from, member, control),
            _ => crowd::take(from, &self.plan, batch, member, &self.shared),
        };
        self.consuming(member, play, |()| crowd::sum_up(&self.plan, &self.shared))
    }
}

/// The messages that are sent together in this run.
fn batch(stage: &Stage) -> Result<usize> {
    match stage.plan.test {
        Test::Share { batch } | Test::Spread { batch } => Ok(batch),
        Test::Lossy => Ok(1),
        other => bail!("no {other:?} among many"),
    }
}

/// Plays a run of messages among threads.
///
/// # Errors
/// If the channel cannot be made, the members do not meet, or a message is missing.
pub fn among<R: Among>(stage: &Stage) -> Result<Option<Outcome>> {
    fn run<M: Message, R: Among>(stage: &Stage) -> Result<Option<Outcome>> {
        let batch = batch(stage)?;
        let (to, from) = R::ends::<M>(&stage.plan)?;
        thread::scope(|scope| {
            for (member, mut to) in to.into_iter().enumerate() {
                scope.spawn(move || stage.sending(&mut to, batch, member).expect("the others come"));
            }
            let mut from = from.into_iter();
            let mut first = from.next().context("nobody receives")?;
            for (index, mut from) in from.enumerate() {
                scope.spawn(move || stage.receiving(&mut from, batch, index + 1).expect("the others come"));
            }
            stage.receiving(&mut first, batch, 0)
        })
    }
    by_size!(stage.plan, [8 is Word, 64 is Line], M, run::<M, R>(stage))
}

/// Plays a part in a run of messages among processes.
///
/// # Errors
/// If the channel cannot be joined, the members do not meet, or a message is missing.
pub fn across_many<R: Across>(stage: &Stage) -> Result<Option<Outcome>> {
    fn run<M: Message, R: Across>(stage: &Stage) -> Result<Option<Outcome>> {
        let batch = batch(stage)?;
        if stage.role == Role::Producer {
            let mut to = R::sender::<M>(&stage.plan, &stage.links[0])?;
            stage.sending(&mut to, batch, stage.member).map(|()| None)
        } else {
            let mut from = R::receiver::<M>(&stage.plan, &stage.links[0])?;
            stage.receiving(&mut from, batch, stage.member)
        }
    }
    by_size!(stage.plan, [8 is Word, 64 is Line], M, run::<M, R>(stage))
}

/// Plays the run of a single thread that has both ends.
///
/// # Errors
/// If the channel cannot be made.
pub fn alone<R: Among>(stage: &Stage) -> Result<Option<Outcome>> {
    fn run<M: Message, R: Among>(stage: &Stage) -> Result<Option<Outcome>> {
        let seconds = stage.plan.seconds;
        let (mut to, mut from) = R::ends::<M>(&stage.plan)?;
        let (to, from) = (to.pop().context("nobody sends")?, from.pop().context("nobody receives")?);
        // The other core rests: it may be a hyper-thread of this one.
        stage.perform(|_| thread::sleep(Duration::from_secs_f64(seconds * 1.5)), |_| trip::alone(to, from, seconds))
    }
    by_size!(stage.plan, [8 is Word, 64 is Line], M, run::<M, R>(stage))
}

/// Plays a part in the dying of consumers. `hold` receives a message as a victim, and lets the rest happen while it has it; `survivor` makes the
/// end that sends messages and receives them after all.
///
/// # Errors
/// If the channel cannot be joined, the members do not meet, or a message does not come.
pub fn recovery<E: Sender<Word> + Receiver<Word>>(
    stage: &Stage,
    hold: impl FnOnce(&Link, &dyn Fn()) -> Result<()>,
    survivor: impl FnOnce(&Link) -> Result<E>,
) -> Result<Option<Outcome>> {
    let link = &stage.links[0];
    match stage.role {
        Role::Victim => {
            // Where it does not take time away from the survivor.
            pin(0)?;
            hold(link, &|| recovery::hold(stage.shared.control())).map(|()| None)
        }
        Role::Producer => {
            let rest = |control: &Control| {
                while !control.is_stopped() {
                    thread::sleep(Duration::from_millis(1));
                }
            };
            stage.producing(0, rest).map(|()| None)
        }
        Role::Consumer | Role::Both => {
            let mut end = survivor(link)?;
            let victim = || Player::start(&Casting { role: Role::Victim, ..stage.casting.clone() });
            stage.consuming(0, |control| recovery::survive(&mut end, control, victim), |reading| reading)
        }
    }
}
