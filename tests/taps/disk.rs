//! A disk without a byte left: recordings stop with an alarm, calls go on, and when there is room
//! again the next call is recorded.

use std::path::Path;

use serde_json::json;

use crate::{
    support::{disk::SmallDisk, frame, talking},
    *,
};

fn is_failed(what: &What) -> bool {
    matches!(what, What::RecordingFailed { .. })
}

fn is_started(what: &What) -> bool {
    matches!(what, What::RecordingStarted { .. })
}

async fn recording(spool: &Path, kept: &Path, min_free_mib: u64) -> Gateway {
    let settings = json!({ "spool": spool, "directory": kept, "min_free_mib": min_free_mib });
    Gateway::with(|config| config["recording"] = settings, json!({})).await
}

#[tokio::test]
async fn a_disk_without_a_byte_left_ends_recordings_until_there_is_room_and_no_call() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    let kept = tempfile::tempdir().unwrap();
    let (spool, kept) = (disk.path().join("spool"), kept.path());
    let gateway = recording(&spool, kept, 1).await;
    let mut feed = gateway.exchange.feed.subscribe("test");
    let taps = gateway.exchange.taps.clone();
    let mut events = taps.take_events().unwrap();
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    let first = taps.list()[0].facts.call_id;
    let numbered = |n: usize| (frame(2 * n as u16 + 1), frame(2 * n as u16 + 2));
    let mut conversation = Conversation::new(numbered);
    conversation.go_on(&mut pbx, &mut phone, 60).await;
    events_until(&mut events, "the recording's begin", is_started).await;

    disk.fill();
    assert!(disk.is_full());
    let mut told = Vec::new();
    while !told.iter().any(|event: &TapEvent| is_failed(&event.what)) {
        assert!(conversation.go_on(&mut pbx, &mut phone, 5).await.said < 2_000, "{told:?}");
        while let Ok(event) = events.0.try_recv() {
            told.push(event);
        }
    }
    let failed = told.iter().find(|event| is_failed(&event.what)).unwrap();
    let What::RecordingFailed { reason, .. } = &failed.what else { unreachable!() };
    assert!(reason.contains("the disk is nearly full"), "{reason}");
    assert!(taps.is_disk_full());
    // The call goes on, and so does the next one: neither is recorded.
    conversation.go_on(&mut pbx, &mut phone, 50).await;
    let (mut other_pbx, mut other_phone) = talking(&gateway, "2002").await;
    let other = talk_of(&mut other_pbx, &mut other_phone, 50, numbered).await;
    events_until(&mut events, "the next call's alarm", is_failed).await;
    other_pbx.hang_up().await;
    assert_accounted(&mut feed, &other).await;

    disk.make_room();
    let (mut next_pbx, mut next_phone) = talking(&gateway, "2003").await;
    let next = talk_of(&mut next_pbx, &mut next_phone, 50, numbered).await;
    next_pbx.hang_up().await;
    assert_accounted(&mut feed, &next).await;
    let stored = |what: &What| matches!(what, What::RecordingStored { .. });
    let told = events_until(&mut events, "the next recording's place", |what| {
        matches!(what, What::RecordingStored { .. })
    })
    .await;
    let mut ids: Vec<_> =
        told.iter().filter(|event| stored(&event.what)).map(|event| event.call.call_id).collect();
    if ids.contains(&first) {
        // What the full disk had let through of the first call came to its place meanwhile.
        let more = events_until(&mut events, "the next recording's place", stored).await;
        ids.extend(more.iter().filter(|event| stored(&event.what)).map(|e| e.call.call_id));
    }
    assert!(!taps.is_disk_full());
    let last = ids.iter().rev().find(|id| **id != first).expect("the next call's");
    let file = hound::WavReader::open(kept.join(format!("{last}.wav"))).unwrap();
    assert!(file.duration() as usize / 320 >= next.slots, "{next:?}");
    // The first one's is as long as the disk let it be, and playable.
    until("the first recording", || kept.join(format!("{first}.wav")).exists()).await;
    let file = hound::WavReader::open(kept.join(format!("{first}.wav"))).unwrap();
    assert!(file.duration() > 0);

    let talk = conversation.go_on(&mut pbx, &mut phone, 5).await;
    pbx.hang_up().await;
    assert_accounted(&mut feed, &talk).await;
}

#[tokio::test]
async fn a_disk_that_is_full_in_the_middle_of_a_write_ends_the_recording_with_the_write_before() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    let kept = tempfile::tempdir().unwrap();
    let (spool, kept) = (disk.path().join("spool"), kept.path());
    let gateway = recording(&spool, kept, 0).await;
    let mut feed = gateway.exchange.feed.subscribe("test");
    let taps = gateway.exchange.taps.clone();
    let mut events = taps.take_events().unwrap();
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    let id = taps.list()[0].facts.call_id;
    let voices = |n: usize| (voice(AGENT, LOUD, n), voice(CALLER, LOUD, n));
    let mut conversation = Conversation::new(voices);
    let growing = spool.join(format!("{id}.wav"));
    let seconds = || std::fs::metadata(&growing).map_or(0, |file| file.len() / 64_000);
    while seconds() < 1 {
        assert!(conversation.go_on(&mut pbx, &mut phone, 5).await.said < 2_000, "it doesn't grow");
    }
    // Room for two pages: less than what is written at once.
    let rest = disk.path().join("rest");
    std::fs::write(&rest, [7; 8192]).unwrap();
    disk.fill();
    std::fs::remove_file(&rest).unwrap();
    let mut told = Vec::new();
    while !told.iter().any(|event: &TapEvent| is_failed(&event.what)) {
        assert!(conversation.go_on(&mut pbx, &mut phone, 5).await.said < 2_000, "{told:?}");
        while let Ok(event) = events.0.try_recv() {
            told.push(event);
        }
    }
    let failed = told.iter().find(|event| is_failed(&event.what)).unwrap();
    let What::RecordingFailed { reason, .. } = &failed.what else { unreachable!() };
    assert!(reason.contains("No space left"), "{reason}");
    assert!(taps.is_disk_full());
    // What there was before is stored, whole.
    let file = kept.join(format!("{id}.wav"));
    until("the recording's place", || file.exists()).await;
    let length = std::fs::metadata(&file).unwrap().len();
    let mut reader = hound::WavReader::open(&file).unwrap();
    assert_eq!(length, 44 + 4 * u64::from(reader.duration()));
    assert!(reader.duration() >= 16_000 && reader.duration().is_multiple_of(320));
    let all: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    let left: Vec<i16> = all.iter().copied().step_by(2).collect();
    assert!(usual_share(&left, AGENT, 16_000) > 0.4);

    let talk = conversation.go_on(&mut pbx, &mut phone, 5).await;
    pbx.hang_up().await;
    assert_accounted(&mut feed, &talk).await;
}
