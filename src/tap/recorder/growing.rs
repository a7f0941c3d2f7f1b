//! A recording while it grows: slots out of its queue, twice a second onto the disk, and what the
//! disk says to that.

use std::{
    io,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout_at},
};
use tracing::{error, info, warn};

use super::{
    super::{
        call::CallTap,
        event::{self, What},
        queue::Item,
        spool::{Growing, Spool},
        wav,
    },
    QUEUE, Recorder,
    buffer::Buffer,
    recording::Recording,
};

/// How often what has come is written and made safe: twice as often as the second that may be
/// missing after a power cut.
const WRITE_EVERY: Duration = Duration::from_millis(500);
/// Most that is written at once.
const MOST_BUFFERED: usize = QUEUE * wav::SLOT_BYTES as usize;
/// How often a full disk is complained about.
const ALARM_EVERY: Duration = Duration::from_secs(60);

/// How a recording ended early.
pub enum Failure {
    /// There is no file.
    Began(io::Error),
    /// There is a file, shorter than the call.
    Ended(io::Error),
}

impl Recorder {
    pub async fn grow(
        &self,
        recording: &Arc<Recording>,
        call: &Arc<CallTap>,
    ) -> Result<(), Failure> {
        let (spool, page, min_free) = (self.spool.clone(), recording.page(), self.min_free);
        let begun = spawn_blocking(move || {
            enough(&spool, min_free)?;
            spool.begin(&page)
        });
        let mut growing = match begun.await.map_err(io::Error::other).flatten() {
            Ok(growing) => growing,
            Err(error) => {
                self.disk_says(&error);
                recording.queue.close();
                return Err(Failure::Began(error));
            }
        };
        let (started, by) = (recording.started, recording.page().by);
        info!(call = %recording.call, %by, "recording");
        self.tell(recording, What::RecordingStarted { recording: recording.id, started, by }).await;

        let mut buffer = Buffer::default();
        let mut over = false;
        let mut failure = None;
        while !over {
            let until = Instant::now() + WRITE_EVERY;
            loop {
                match timeout_at(until, recording.queue.next()).await {
                    Ok(Some(Item::Slot(both))) => {
                        buffer.put(both.wide.index, &both.wide.left, &both.wide.right);
                        if buffer.bytes >= MOST_BUFFERED {
                            break;
                        }
                    }
                    Ok(Some(Item::Digit(..))) => {}
                    Ok(None) => {
                        over = true;
                        break;
                    }
                    Err(_) => break,
                }
            }
            self.note_pauses(recording, call).await;
            match self.write(growing, &mut buffer).await {
                Ok((file, result)) => {
                    growing = file;
                    if let Err(error) = result {
                        recording.queue.close();
                        failure = Some(error);
                        break;
                    }
                }
                Err(error) => return Err(Failure::Ended(error)),
            }
            recording.slots.store(growing.audio() / wav::SLOT_BYTES, Ordering::Relaxed);
        }
        recording.queue.clear();
        self.note_pauses(recording, call).await;
        let finished = spawn_blocking(move || growing.finish()).await;
        let ended = {
            let mut inner = recording.inner();
            inner.growing = false;
            if let Ok(Ok(audio)) = &finished {
                inner.page.milliseconds = wav::milliseconds(*audio);
            }
            inner.page.ended = Some(event::now());
            inner.page.lost = recording.queue.dropped();
            inner.page.clone()
        };
        let spool = self.spool.clone();
        if let Ok(Err(error)) = spawn_blocking(move || spool.write_page(&ended)).await {
            // The next start will find it and end it.
            warn!(call = %recording.call, %error, "a recording's page can't be written");
        }
        match (failure, finished) {
            (Some(error), _) | (None, Ok(Err(error))) => Err(Failure::Ended(error)),
            _ => Ok(()),
        }
    }

    /// Writes what has come, on a thread that may wait.
    async fn write(
        &self,
        mut growing: Growing,
        buffer: &mut Buffer,
    ) -> io::Result<(Growing, io::Result<()>)> {
        let pieces = buffer.take();
        if pieces.is_empty() {
            return Ok((growing, Ok(())));
        }
        let (spool, min_free) = (self.spool.clone(), self.min_free);
        let (growing, result) = spawn_blocking(move || {
            let mut write = || {
                enough(&spool, min_free)?;
                for (offset, audio) in &pieces {
                    if offset + audio.len() as u64 > wav::MOST {
                        return Err(io::Error::other("a WAV file can't be longer"));
                    }
                    growing.write(*offset, audio)?;
                }
                Ok(())
            };
            let result = write();
            (growing, result)
        })
        .await
        .map_err(io::Error::other)?;
        match &result {
            Err(error) => self.disk_says(error),
            Ok(()) => self.alarm.store(false, Ordering::Relaxed),
        }
        Ok((growing, result))
    }

    /// Who paused and when goes onto the page at once: it has to survive a crash.
    async fn note_pauses(&self, recording: &Arc<Recording>, call: &Arc<CallTap>) {
        let pauses = call.pauses().record().to_vec();
        let page = {
            let mut inner = recording.inner();
            if inner.page.pauses == pauses {
                return;
            }
            inner.page.pauses = pauses;
            inner.page.clone()
        };
        let spool = self.spool.clone();
        if let Ok(Err(error)) = spawn_blocking(move || spool.write_page(&page)).await {
            warn!(call = %recording.call, %error, "a recording's page can't be written");
        }
    }

    pub fn look_at_disk(&self) -> io::Result<()> {
        let looked = enough(&self.spool, self.min_free);
        match &looked {
            Ok(()) => self.alarm.store(false, Ordering::Relaxed),
            Err(error) => self.disk_says(error),
        }
        looked
    }

    pub fn disk_says(&self, error: &io::Error) {
        self.alarm.store(true, Ordering::Relaxed);
        let now = Instant::now();
        let mut alarmed = self.alarmed.lock().unwrap_or_else(PoisonError::into_inner);
        if alarmed.is_none_or(|at| now.duration_since(at) >= ALARM_EVERY) {
            *alarmed = Some(now);
            error!(%error, "calls are not recorded: the disk of the recordings' spool");
        }
    }
}

fn enough(spool: &Spool, min_free: u64) -> io::Result<()> {
    let free = spool.free()?;
    if free >= min_free {
        return Ok(());
    }
    let (free, min) = (free / 1_048_576, min_free / 1_048_576);
    Err(io::Error::other(format!("the disk is nearly full: {free} MiB free, {min} are kept free")))
}
