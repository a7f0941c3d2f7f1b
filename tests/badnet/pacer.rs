//! The gateway's way up alone, for `model.mjs`: what an ear behind Asterisk hears of speech whose frames
//! come as the model says. In simulated time, so a busy machine doesn't matter.
//!
//!   pacer SPEECH.sln16 < ARRIVALS > HEARD.sln16
//!
//! `ARRIVALS` has a line a frame: when it comes, in ms, in order. The ear begins 60 ms after its first
//! frame, plays one every 20 ms, and hears silence where there is none; what it hears begins at 0 ms.

use std::{
    collections::VecDeque,
    error::Error,
    io::{Read, Write},
    time::{Duration, Instant},
};

use bytes::Bytes;
use goastgateway::media::{
    frame::{FRAME_BYTES, FRAME_TIME, silence},
    pacer::{Action, Pacer},
};

const MS: Duration = Duration::from_millis(1);
const EAR: Duration = Duration::from_millis(60);

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("whose speech? Name a file")?;
    let speech = Bytes::from(std::fs::read(file)?);
    let whole = speech.len() / FRAME_BYTES;
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let arrivals = text.lines().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    let start = Instant::now();
    let mut pacer = Pacer::new(FRAME_BYTES, start);
    let mut actions = Vec::new();
    // Asterisk plays at once and tells its queue; the ear has the same frames, later.
    let (mut asterisk, mut ear) = (VecDeque::new(), VecDeque::new());
    let (mut heard, mut begins) = (Vec::new(), None);
    let mut frames = arrivals.iter().enumerate().peekable();
    let end = arrivals.last().copied().unwrap_or_default() as u32 + 500;
    for ms in 0..end {
        let now = start + MS * ms;
        while let Some((n, _)) = frames.next_if(|(_, at)| **at <= f64::from(ms)) {
            let at = n % whole.max(1) * FRAME_BYTES;
            pacer.push(speech.slice(at..at + FRAME_BYTES), now, &mut actions);
            begins.get_or_insert(now + EAR);
        }
        while pacer.deadline() <= now {
            pacer.tick(now, &mut actions);
        }
        for action in std::mem::take(&mut actions) {
            match action {
                Action::Send(frame) | Action::Fill(frame) => {
                    asterisk.push_back(());
                    if begins.is_some() {
                        ear.push_back(frame);
                    }
                }
                Action::AskStatus => pacer.status(asterisk.len() as u32, now, &mut actions),
                Action::Flush => {
                    asterisk.clear();
                    ear.clear();
                }
            }
        }
        if ms % 20 == 7 {
            asterisk.pop_front();
        }
        if let Some(at) = begins.filter(|at| *at <= now) {
            if heard.is_empty() {
                heard.resize((at - start).as_millis() as usize * 32, 0);
            }
            heard.extend(ear.pop_front().unwrap_or_else(|| silence(FRAME_BYTES)));
            begins = Some(at + FRAME_TIME);
        }
    }
    std::io::stdout().write_all(&heard)?;
    eprintln!("{:?}", pacer.counts());
    Ok(())
}
