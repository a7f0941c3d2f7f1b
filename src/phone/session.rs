//! PURE: the calls of one phone, as the gateway knows them. Both dialects speak of this machine.
//!
//! Promises: a phone has [`MAX_CALLS`] calls at most, and audio of one, the active; every call
//! that it was told of ends for it exactly once, for as long as it is logged in; a call is told of
//! at most one answer and one end; what is already so may be asked for again. The plain dialect
//! has room for one call, which the exchange sees to.

use std::time::{Duration, Instant};

use crate::call::{CallId, RingKey};

/// One that is talked in and one that waits, is held, or is asked before a transfer.
pub const MAX_CALLS: usize = 2;
/// How long a call that is over may be hung up again.
const GONE_TIME: Duration = Duration::from_secs(60);
/// Calls that are remembered for that; one that hangs up more often than this in a minute has
/// other troubles.
const MAX_GONE: usize = 8;

/// How far a call is at this phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Incoming, and nobody has answered.
    Ringing,
    /// The phone answered; whether it was in time isn't known yet.
    Answering,
    /// The phone wants it, and nobody has said yet that it can be.
    Wanted,
    /// Asterisk has it; there may be audio.
    Dialling,
    /// Both ends have answered.
    Open,
    /// The phone has hung up; the call doesn't know yet.
    Ending,
}

/// One call of this phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub key: RingKey,
    pub state: State,
    /// There is audio: its leg and this phone are joined.
    pub joined: bool,
    /// Its leg is there and can be told; an outgoing call's comes later.
    has_leg: bool,
    /// The phone knows of it, and so will be told of its end.
    told: bool,
    pub held: bool,
    pub muted: bool,
    /// The phone has shown that its page knows of the ringing.
    pub confirmed: bool,
}

/// What happens to a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A call rings it; or, if it is `direct`, the leg of a call is there that it has dialled.
    Ring {
        key: RingKey,
        direct: bool,
    },
    /// The page has shown the ringing.
    Confirm(CallId),
    /// The page has not shown the ringing in time.
    Unconfirmed(CallId),
    Answer(CallId),
    /// Declines, or ends the call, whatever it does.
    Hangup(CallId),
    Hold(CallId, bool),
    Mute(CallId, bool),
    /// It dials: a place is taken, the request is on its way.
    Dial(RingKey),
    /// Asterisk has taken the request.
    DialTaken(CallId),
    /// It hasn't. The phone was told of no call.
    DialRefused(CallId),
    /// Its answer was in time, or the leg of its own call is there: this call has audio now.
    Joined(RingKey),
    /// The far end of an outgoing call has answered.
    FarAnswered(CallId),
    /// The call is over for this phone.
    Over(RingKey),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Tell the phone that it rings.
    SayIncoming(CallId),
    /// Tell the phone that it dials.
    SayOutgoing(CallId),
    SayConnected(CallId),
    SayHeld(CallId, bool),
    /// Tell the phone that the call is over; it is forgotten.
    SayEnded(CallId),
    /// Tell the call that this phone answered.
    TellAnswered(CallId),
    /// Tell the call that this phone declined or hung up.
    TellHungUp(CallId),
    /// Tell the call that this phone's page shows nothing.
    TellUnreachable(CallId),
    /// The leg of this call isn't there: nobody waits for it any more.
    CancelDial(CallId),
    /// Let the far end hear music, or the phone again.
    Hold(CallId, bool),
    Mute(CallId, bool),
    /// The phone's audio is this call's from here on, or nobody's.
    Audio(Option<CallId>),
    /// Turn this call away; it can only be a fault of ours.
    TurnAway(RingKey),
}

/// Why the phone can't have what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    NoSuchCall,
    State,
}

/// The calls of one phone, oldest first.
#[derive(Debug, Default)]
pub struct Session {
    lines: Vec<Line>,
    active: Option<CallId>,
    gone: Vec<(CallId, Instant)>,
}

impl Line {
    fn new(key: RingKey, state: State) -> Self {
        Self {
            key,
            state,
            joined: false,
            has_leg: state == State::Ringing,
            told: state == State::Ringing,
            held: false,
            muted: false,
            confirmed: false,
        }
    }

    pub fn call(&self) -> CallId {
        self.key.call
    }
}

impl Session {
    /// Takes one input and appends what is to be done.
    pub fn input(
        &mut self,
        input: Input,
        now: Instant,
        outputs: &mut Vec<Output>,
    ) -> Result<(), Wrong> {
        match input {
            Input::Ring { key, direct: false } => self.ring(key, outputs),
            Input::Ring { key, direct: true } => self.leg_came(key, outputs),
            Input::Confirm(call) => {
                let line = self.line(call).ok_or(Wrong::NoSuchCall)?;
                line.confirmed = true;
            }
            Input::Unconfirmed(call) => {
                if let Some(line) = self.line(call)
                    && line.state == State::Ringing
                    && !line.confirmed
                {
                    line.state = State::Ending;
                    outputs.push(Output::TellUnreachable(call));
                }
            }
            Input::Answer(call) => return self.answer(call, outputs),
            Input::Hangup(call) => return self.hang_up(call, now, outputs),
            Input::Hold(call, on) => return self.hold(call, on, outputs),
            Input::Mute(call, on) => {
                let line = self.line(call).ok_or(Wrong::NoSuchCall)?;
                if !line.joined {
                    return Err(Wrong::State);
                }
                if std::mem::replace(&mut line.muted, on) != on {
                    outputs.push(Output::Mute(call, on));
                }
            }
            Input::Dial(key) => {
                if self.lines.len() < MAX_CALLS {
                    self.lines.push(Line::new(key, State::Wanted));
                }
            }
            Input::DialTaken(call) => self.dial_taken(call, outputs),
            Input::DialRefused(call) => {
                self.lines.retain(|line| line.call() != call || line.state != State::Wanted);
            }
            Input::Joined(key) => self.joined(key, outputs),
            Input::FarAnswered(call) => {
                if let Some(line) = self.line(call)
                    && line.state == State::Dialling
                {
                    line.state = State::Open;
                    outputs.push(Output::SayConnected(call));
                }
            }
            Input::Over(key) => self.over(key, now, outputs),
        }
        Ok(())
    }

    /// The phone's calls, oldest first.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub fn is_idle(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn get(&self, call: CallId) -> Option<&Line> {
        self.lines.iter().find(|line| line.call() == call)
    }

    /// The call that the phone's audio belongs to.
    pub fn active(&self) -> Option<CallId> {
        self.active
    }

    fn line(&mut self, call: CallId) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.call() == call)
    }

    fn ring(&mut self, key: RingKey, outputs: &mut Vec<Output>) {
        if self.lines.len() >= MAX_CALLS || self.get(key.call).is_some() {
            return outputs.push(Output::TurnAway(key));
        }
        self.lines.push(Line::new(key, State::Ringing));
        outputs.push(Output::SayIncoming(key.call));
    }

    /// The leg of a dialled call may be quicker than the answer to the request.
    fn leg_came(&mut self, key: RingKey, outputs: &mut Vec<Output>) {
        self.dial_taken(key.call, outputs);
        match self.line(key.call) {
            Some(line) if line.key == key && line.state == State::Dialling => line.has_leg = true,
            _ => outputs.push(Output::TurnAway(key)),
        }
    }

    fn dial_taken(&mut self, call: CallId, outputs: &mut Vec<Output>) {
        if let Some(line) = self.line(call)
            && line.state == State::Wanted
        {
            line.state = State::Dialling;
            line.told = true;
            outputs.push(Output::SayOutgoing(call));
        }
    }

    fn answer(&mut self, call: CallId, outputs: &mut Vec<Output>) -> Result<(), Wrong> {
        let line = self.line(call).ok_or(Wrong::NoSuchCall)?;
        match line.state {
            State::Ringing => {
                line.state = State::Answering;
                line.confirmed = true;
                outputs.push(Output::TellAnswered(call));
                Ok(())
            }
            State::Answering | State::Open => Ok(()),
            State::Wanted | State::Dialling | State::Ending => Err(Wrong::State),
        }
    }

    fn hang_up(
        &mut self,
        call: CallId,
        now: Instant,
        outputs: &mut Vec<Output>,
    ) -> Result<(), Wrong> {
        let Some(line) = self.line(call) else {
            let lately = |(gone, at): &(CallId, Instant)| {
                *gone == call && now.saturating_duration_since(*at) < GONE_TIME
            };
            return if self.gone.iter().any(lately) { Ok(()) } else { Err(Wrong::NoSuchCall) };
        };
        if line.state == State::Ending {
            return Ok(());
        }
        line.state = State::Ending;
        let has_leg = line.has_leg;
        self.audio_off(call, outputs);
        outputs.push(if has_leg { Output::TellHungUp(call) } else { Output::CancelDial(call) });
        Ok(())
    }

    fn hold(&mut self, call: CallId, on: bool, outputs: &mut Vec<Output>) -> Result<(), Wrong> {
        let line = self.line(call).ok_or(Wrong::NoSuchCall)?;
        if !line.joined || line.state == State::Ending {
            return Err(Wrong::State);
        }
        if line.held == on {
            return Ok(());
        }
        if on {
            self.put_on_hold(call, outputs);
        } else {
            self.make_active(call, outputs);
        }
        Ok(())
    }

    fn joined(&mut self, key: RingKey, outputs: &mut Vec<Output>) {
        let Some(line) = self.line(key.call) else { return };
        let fits = matches!(line.state, State::Answering | State::Dialling);
        if line.key != key || !fits || line.joined {
            return;
        }
        line.joined = true;
        let incoming = line.state == State::Answering;
        if incoming {
            line.state = State::Open;
        }
        self.make_active(key.call, outputs);
        if incoming {
            outputs.push(Output::SayConnected(key.call));
        }
    }

    fn over(&mut self, key: RingKey, now: Instant, outputs: &mut Vec<Output>) {
        let Some(at) = self.lines.iter().position(|line| line.key == key) else { return };
        self.audio_off(key.call, outputs);
        let line = self.lines.remove(at);
        self.gone.retain(|(_, at)| now.saturating_duration_since(*at) < GONE_TIME);
        if self.gone.len() == MAX_GONE {
            self.gone.remove(0);
        }
        self.gone.push((key.call, now));
        // Of one that nobody has taken yet, the answer to the request tells.
        if line.told {
            outputs.push(Output::SayEnded(key.call));
        }
    }

    fn audio_off(&mut self, call: CallId, outputs: &mut Vec<Output>) {
        if self.active == Some(call) {
            self.active = None;
            outputs.push(Output::Audio(None));
        }
    }

    fn put_on_hold(&mut self, call: CallId, outputs: &mut Vec<Output>) {
        self.audio_off(call, outputs);
        if let Some(line) = self.line(call) {
            line.held = true;
            outputs.push(Output::Hold(call, true));
            outputs.push(Output::SayHeld(call, true));
        }
    }

    fn make_active(&mut self, call: CallId, outputs: &mut Vec<Output>) {
        if let Some(other) = self.active.filter(|other| *other != call) {
            self.put_on_hold(other, outputs);
        }
        self.active = Some(call);
        let Some(line) = self.line(call) else { return };
        if std::mem::take(&mut line.held) {
            outputs.push(Output::Hold(call, false));
            outputs.push(Output::SayHeld(call, false));
        }
        outputs.push(Output::Audio(Some(call)));
    }
}

#[cfg(test)]
mod tests;
