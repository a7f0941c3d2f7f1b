//! PURE: the order in which what listens to one channel is made and unmade.
//!
//! Promises: it is told once whether the channel can be heard, and once at the end that all is over;
//! whatever was asked to be made is asked to be deleted, also where it isn't known whether it was
//! made, and not before that is known; nothing is asked for twice but a deletion that failed, a few
//! times; everything has a deadline, and nothing is asked for after the end.

use std::time::{Duration, Instant};

use super::part::{Part, Way};

/// From the first request until both sides are heard. It takes some fifty milliseconds.
pub const OPEN_TIME: Duration = Duration::from_secs(8);
/// How often a deletion is tried; what is left then is swept away later.
pub const DELETE_TRIES: u8 = 3;
/// Between two tries.
pub const DELETE_PAUSE: Duration = Duration::from_millis(500);

/// What Asterisk is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    Make(Part),
    /// Snoop and external media into their bridge.
    Join(Way),
    Delete(Part),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// 404: what it was about isn't there.
    NotThere,
    /// With Asterisk's words.
    Refused(String),
    /// No answer: it may have been done.
    Unknown,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Outcome(Order, Outcome),
    /// A channel of ours is where it can be put into a bridge.
    Entered(Part),
    /// A part is gone, whoever ended it.
    Left(Part),
    /// The leg with its audio is at our listener, or isn't any more.
    Here(Way),
    Gone(Way),
    End(Why),
    /// The deadline has come.
    Tick,
}

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The channel itself is over.
    ChannelOver,
    /// Nobody listens any more.
    Unwanted,
    /// What carries the audio broke.
    Broken,
    /// Asterisk, or the way to it, is gone.
    AsteriskGone,
    Stopping,
}

/// Why it can't be heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    NoSuchChannel,
    /// What was refused, and Asterisk's words.
    Refused(Order, String),
    Time,
    /// It ended before it began.
    Ended(Why),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Ask(Order),
    /// Both sides are heard.
    Ready,
    /// They won't be. Instead of `Ready`.
    Failed(Failure),
    /// They were, and aren't any more.
    Ended(Why),
    /// Nothing is under way any more. `true` if something may be left in Asterisk.
    Over(bool),
}

/// One channel's tap.
#[derive(Debug)]
pub struct Steps {
    phase: Phase,
    parts: [Thing; 6],
    joins: [Joined; 2],
    here: [bool; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening { until: Instant },
    Up,
    Closing,
    Over,
}

/// What is known of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Thing {
    state: Made,
    entered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Made {
    #[default]
    No,
    Asked,
    /// Or perhaps.
    Yes,
    Deleting(u8),
    /// To be deleted again.
    Retry(u8, Instant),
    Deleted,
    /// It couldn't be deleted.
    Left,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Joined {
    #[default]
    No,
    Asked,
    Yes,
}

impl Steps {
    /// Begins.
    pub fn new(now: Instant, out: &mut Vec<Output>) -> Self {
        let mut steps = Self {
            phase: Phase::Opening { until: now + OPEN_TIME },
            parts: Default::default(),
            joins: Default::default(),
            here: Default::default(),
        };
        steps.advance(out);
        steps
    }

    /// Whether both sides are heard.
    pub fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Opening { until } => Some(until),
            Phase::Closing => self
                .parts
                .iter()
                .filter_map(|thing| match thing.state {
                    Made::Retry(_, at) => Some(at),
                    _ => None,
                })
                .min(),
            Phase::Up | Phase::Over => None,
        }
    }

    /// Takes what happens and appends what is to be done.
    pub fn input(&mut self, input: Input, now: Instant, out: &mut Vec<Output>) {
        if self.phase == Phase::Over {
            return;
        }
        match input {
            Input::Outcome(order, outcome) => self.outcome(order, outcome, now, out),
            Input::Entered(part) => {
                let thing = &mut self.parts[part.index()];
                thing.entered = true;
                // Made after all, when it had been given up.
                if matches!(thing.state, Made::Deleted | Made::Left) {
                    thing.state = Made::Yes;
                }
            }
            Input::Left(Part::Snoop(_)) => self.end(Why::ChannelOver, out),
            Input::Left(_) => self.end(Why::Broken, out),
            Input::Here(way) => self.here[way as usize] = true,
            Input::Gone(way) => {
                self.here[way as usize] = false;
                self.end(Why::Broken, out);
            }
            Input::End(why) => self.end(why, out),
            Input::Tick => {
                if matches!(self.phase, Phase::Opening { until } if until <= now) {
                    self.close(Output::Failed(Failure::Time), out);
                }
            }
        }
        match self.phase {
            Phase::Opening { .. } => self.advance(out),
            Phase::Closing => self.tidy(now, out),
            Phase::Up | Phase::Over => {}
        }
    }

    fn outcome(&mut self, order: Order, outcome: Outcome, now: Instant, out: &mut Vec<Output>) {
        match order {
            Order::Make(part) => {
                let thing = &mut self.parts[part.index()];
                if thing.state != Made::Asked {
                    return;
                }
                thing.state = match outcome {
                    Outcome::NotThere => Made::Deleted,
                    // A refusal may have come half-way.
                    _ => Made::Yes,
                };
            }
            Order::Join(way) => {
                if self.joins[way as usize] != Joined::Asked {
                    return;
                }
                self.joins[way as usize] = Joined::Yes;
            }
            Order::Delete(part) => {
                let thing = &mut self.parts[part.index()];
                let Made::Deleting(tries) = thing.state else { return };
                thing.state = match outcome {
                    Outcome::Done | Outcome::NotThere => Made::Deleted,
                    _ if tries >= DELETE_TRIES => Made::Left,
                    _ => Made::Retry(tries, now + DELETE_PAUSE),
                };
                return;
            }
        }
        if let Phase::Opening { .. } = self.phase {
            let failure = match (order, outcome) {
                (_, Outcome::Done) => return,
                (Order::Make(Part::Snoop(_)), Outcome::NotThere) => Failure::NoSuchChannel,
                (order, Outcome::NotThere) => Failure::Refused(order, "404".to_owned()),
                (order, Outcome::Refused(why)) => Failure::Refused(order, why),
                (_, Outcome::Unknown) => Failure::Time,
            };
            self.close(Output::Failed(failure), out);
        }
    }

    /// What can be done next on the way up: each side goes its own.
    fn advance(&mut self, out: &mut Vec<Output>) {
        for way in Way::BOTH {
            let [snoop, media, bridge] =
                [Part::Snoop(way), Part::Media(way), Part::Bridge(way)].map(Part::index);
            // Nothing is made for a channel that isn't there.
            match self.parts[snoop].state {
                Made::No => self.make(Part::Snoop(way), out),
                Made::Yes if self.parts[media].state == Made::No => {
                    self.make(Part::Media(way), out);
                    self.make(Part::Bridge(way), out);
                }
                _ => {}
            }
            let made = [snoop, media, bridge].iter().all(|n| self.parts[*n].state == Made::Yes);
            let entered = self.parts[snoop].entered && self.parts[media].entered;
            if made && entered && self.here[way as usize] && self.joins[way as usize] == Joined::No
            {
                self.joins[way as usize] = Joined::Asked;
                out.push(Output::Ask(Order::Join(way)));
            }
        }
        if self.joins == [Joined::Yes; 2] {
            self.phase = Phase::Up;
            out.push(Output::Ready);
        }
    }

    fn make(&mut self, part: Part, out: &mut Vec<Output>) {
        self.parts[part.index()].state = Made::Asked;
        out.push(Output::Ask(Order::Make(part)));
    }

    fn end(&mut self, why: Why, out: &mut Vec<Output>) {
        match self.phase {
            Phase::Opening { .. } => self.close(Output::Failed(Failure::Ended(why)), out),
            Phase::Up => self.close(Output::Ended(why), out),
            Phase::Closing | Phase::Over => {}
        }
    }

    fn close(&mut self, last: Output, out: &mut Vec<Output>) {
        self.phase = Phase::Closing;
        out.push(last);
    }

    /// Deletes what is known to be there, or may be. What is just being made is waited for.
    fn tidy(&mut self, now: Instant, out: &mut Vec<Output>) {
        for part in Part::ALL {
            let thing = &mut self.parts[part.index()];
            let tries = match thing.state {
                Made::Yes => 1,
                Made::Retry(tries, at) if at <= now => tries + 1,
                _ => continue,
            };
            thing.state = Made::Deleting(tries);
            out.push(Output::Ask(Order::Delete(part)));
        }
        let is_settled =
            |thing: &Thing| matches!(thing.state, Made::No | Made::Deleted | Made::Left);
        if self.parts.iter().all(is_settled) {
            self.phase = Phase::Over;
            let left = self.parts.iter().any(|thing| thing.state == Made::Left);
            out.push(Output::Over(left));
        }
    }
}

#[cfg(test)]
#[path = "steps/tests.rs"]
mod tests;
