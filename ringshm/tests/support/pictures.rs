//! The handles of rings of frames behind the common face. A [`Parcel`] goes through them as a picture: it is in each row, again and
//! again.

use super::rings::{Received, Sink, Source, one_by_one};
use super::{PATIENCE, Parcel, Place, Stop};
use ringshm::TrySendError;
use ringshm::broadcast::Start;
use ringshm::frames::{Begun, CommitError, Consumer, Delivery, FourCc, Frame, Loan, Meta, Producer, RowsError};
use std::time::Duration;
use zerocopy::{FromZeros as _, IntoBytes as _, transmute};

const ROWS: u32 = 4;
const PARCELS: usize = 24;
/// Bytes of a picture.
pub(crate) const BYTES: usize = PARCELS * size_of::<Parcel>();
const ROW: usize = BYTES / ROWS as usize;

fn meta() -> Meta {
    Meta::new(FourCc::GRAY, ROW as u32, ROWS).expect("a small picture")
}

/// A parcel's picture: nothing but itself.
fn picture(parcel: Parcel) -> [u8; BYTES] {
    transmute!([parcel; PARCELS])
}

/// The parcel of a picture of which so many rows are there, one at least: a torn one, if it is not the same everywhere.
fn parcel_of(frame: &Frame, rows: u32) -> Parcel {
    let mut parcels = [Parcel::new_zeroed(); PARCELS];
    let bytes = &mut parcels.as_mut_bytes()[..rows as usize * ROW];
    let is_there = (0..).zip(bytes.chunks_mut(ROW)).all(|(index, row)| frame.read_row(0, index, row) == Some(ROW));
    let is_the_same = bytes[size_of::<Parcel>()..] == bytes[..bytes.len() - size_of::<Parcel>()];
    if is_there && is_the_same { parcels[0] } else { parcels[0].torn() }
}

fn fill(mut loan: Loan<'_>, parcel: Parcel) -> Result<Loan<'_>, Stop> {
    loan.write(0, &picture(parcel))?;
    Ok(loan)
}

fn write_rows(begun: &mut Begun<'_>, parcel: Parcel, rows: core::ops::Range<u32>) -> Result<(), Stop> {
    let picture = picture(parcel);
    for index in rows {
        begun.write_row(0, index, &picture[index as usize * ROW..][..ROW])?;
    }
    Ok(())
}

/// Shows a picture when half of it is there.
fn begin(loan: Loan<'_>, parcel: Parcel) -> Result<Begun<'_>, Stop> {
    let mut begun = loan.begin(&meta())?;
    write_rows(&mut begun, parcel, 0..ROWS / 2)?;
    begun.advance(ROWS / 2);
    Ok(begun)
}

impl From<CommitError> for Stop {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Meta(_) => Self::TooLarge,
            CommitError::Fault(fault) => fault.into(),
        }
    }
}

impl Source for Producer {
    fn try_send(&mut self, parcel: Parcel) -> Result<(), Stop> {
        fill(self.try_loan()?, parcel)?.commit(&meta())?;
        Ok(())
    }

    fn send_by(&mut self, parcel: Parcel, timeout: Duration) -> Result<(), Stop> {
        fill(self.loan_timeout(timeout)?, parcel)?.commit(&meta())?;
        Ok(())
    }

    /// One by one, each in another way: shown before it is finished; after a loan that was given back; and all at once.
    fn try_send_slice(&mut self, parcels: &[Parcel]) -> Result<usize, Stop> {
        one_by_one(parcels.iter().enumerate().map(|(index, parcel)| match index % 3 {
            0 => {
                let mut begun = begin(self.try_loan()?, *parcel)?;
                write_rows(&mut begun, *parcel, ROWS / 2..ROWS)?;
                begun.finish();
                Ok(())
            }
            1 => {
                drop(fill(self.try_loan()?, Parcel::of(u64::MAX))?);
                self.try_send(*parcel)
            }
            _ => self.try_send(*parcel),
        }))
    }

    fn give_up(&mut self, parcel: Parcel, timeout: Duration) -> Result<(), Stop> {
        drop(begin(self.loan_timeout(timeout)?, parcel)?);
        Ok(())
    }

    fn detach(self: Box<Self>) {
        (*self).detach();
    }
}

/// A receiving handle, and what it holds.
pub(crate) struct Pictures {
    consumer: Consumer,
    /// Taken, but how many it missed before is told first.
    found: Option<Frame>,
    /// Shown, and not let go.
    held: Vec<(Frame, Parcel)>,
    turn: usize,
}

impl Pictures {
    pub(crate) fn of(consumer: Consumer) -> Self {
        Self { consumer, found: None, held: Vec::new(), turn: 0 }
    }

    /// The frame, if it need not say first what passed this consumer by.
    fn tell(&mut self, frame: Frame) -> Result<Frame, Stop> {
        match frame.skipped() {
            0 => Ok(frame),
            missed => {
                self.found = Some(frame);
                Err(Stop::Lagged(missed))
            }
        }
    }

    /// Takes a frame and lets it go. Who takes every frame does not speak of those here that nobody finished.
    fn take(&mut self, look: impl FnOnce(&mut Consumer) -> Result<Frame, Stop>) -> Result<Received, Stop> {
        let frame = match self.found.take() {
            Some(frame) => frame,
            None => match look(&mut self.consumer)? {
                frame if self.consumer.delivery() == Delivery::NewestOnly => self.tell(frame)?,
                frame => frame,
            },
        };
        Ok(Received { parcel: parcel_of(&frame, ROWS), redelivered: false })
    }
}

/// Lets a frame go, which must be as it was when it was shown.
fn let_go((frame, parcel): (Frame, Parcel)) {
    assert_eq!(parcel_of(&frame, ROWS), parcel, "a frame has changed while it was held");
}

impl Sink for Pictures {
    fn try_recv(&mut self) -> Result<Received, Stop> {
        self.take(|consumer| Ok(consumer.try_recv_ref()?))
    }

    fn recv_by(&mut self, timeout: Duration) -> Result<Received, Stop> {
        self.take(|consumer| Ok(consumer.recv_ref_timeout(timeout)?))
    }

    /// Holds as many as it may, and lets them go in no order. Takes some before they are finished: one that nobody finishes passed it by.
    fn recv_held(&mut self, show: &mut dyn FnMut(Received)) -> Result<(), Stop> {
        let frame = match self.found.take() {
            Some(frame) => frame,
            None => {
                self.turn += 1;
                while self.held.len() >= self.consumer.most_held() as usize {
                    let_go(self.held.swap_remove(self.turn % self.held.len()));
                }
                let frame = if self.turn % 3 == 0 { self.consumer.recv_early()? } else { self.consumer.recv_ref()? };
                self.tell(frame)?
            }
        };
        match frame.wait_rows(ROWS, PATIENCE) {
            Ok(_) => {}
            Err(RowsError::Abandoned { ready }) => {
                if ready > 0 {
                    // They are what they were said to be.
                    parcel_of(&frame, ready).number();
                }
                return Err(Stop::Lagged(1));
            }
            Err(RowsError::Timeout { .. }) => return Err(Stop::Timeout),
            Err(RowsError::Fault(fault)) => return Err(fault.into()),
        }
        let parcel = parcel_of(&frame, ROWS);
        show(Received { parcel, redelivered: false });
        self.held.push((frame, parcel));
        Ok(())
    }

    fn detach(self: Box<Self>) {
        let Self { consumer, held, turn, .. } = *self;
        // Frames live longer than their consumer, or not.
        let _stays = (turn % 2 == 0).then_some(consumer);
        held.into_iter().for_each(let_go);
    }
}

/// Whoever has died in a ring that nobody takes part in any more: all its slots are there, and all that may be held is promised to a newcomer.
#[track_caller]
pub(crate) fn assert_all_are_back(place: &Place) {
    let (slots, most) = (place.capacity, place.capacity - 2);
    let builder = || place.frames().delivery(Delivery::EveryFrame).hold(most as u32).start(Start::Newest);
    let mut producer = builder().producer().expect("its owner is gone");
    let mut consumer = builder().consumer().expect("all that may be held");
    for number in 0..slots {
        producer.send_by(Parcel::of(number), PATIENCE).expect("a slot");
    }
    assert_eq!(producer.try_loan().map(drop), Err(TrySendError::Full(())), "it has all of them");
    let held: Vec<Frame> = (0..most).map(|_| consumer.try_recv_ref().expect("it may hold so many")).collect();
    (0..).zip(&held).for_each(|(number, frame)| assert_eq!(parcel_of(frame, ROWS).number(), number));
    producer.detach();
}
