use std::time::Duration;

use super::*;
use crate::report::{state::StateDir, table::query::Cursor, testing::answered_call};

struct Place {
    db: Connection,
    _state: StateDir,
    _folder: tempfile::TempDir,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(folder.path()).unwrap();
    let db = state.database("calls.db", STEPS).unwrap();
    Place { db, _state: state, _folder: folder }
}

fn at(second: u64) -> Utc {
    Utc::parse("2026-11-21").unwrap().plus(Duration::from_secs(second))
}

fn put(db: &mut Connection, row: &CallRow) {
    write(db, &[Change::Row(row.clone().into())]).unwrap();
}

#[test]
fn a_call_is_read_as_it_was_written() {
    let mut place = place();
    let row = answered_call(1, at(0));
    put(&mut place.db, &row);
    assert_eq!(one(&place.db, row.id).unwrap(), Some(row));
    assert_eq!(one(&place.db, CallId::from_uuid(uuid::Uuid::nil())).unwrap(), None);
}

#[test]
fn a_call_is_one_row_and_what_others_know_of_it_stays() {
    let mut place = place();
    let whole = answered_call(1, at(0));
    let mut young = whole.clone();
    (young.ended, young.ending, young.side, young.talk_seconds) = (None, None, None, None);
    let place_of_file = "file:///x.wav".to_owned();
    let changes = [
        Change::Row(young.into()),
        Change::Streamed(whole.id),
        Change::Recorded(whole.id, place_of_file.clone()),
        Change::Streamed(whole.id),
        Change::Row(whole.clone().into()),
    ];
    write(&mut place.db, &changes).unwrap();
    let expected = CallRow { streams: 2, recording: Some(place_of_file), ..whole };
    assert_eq!(page(&place.db, &Filter::default(), 500).unwrap(), [expected]);
}

#[test]
fn who_paused_and_when_is_in_the_row_and_however_often_it_has_a_bound() {
    let mut place = place();
    let row = answered_call(1, at(0));
    put(&mut place.db, &row);
    let time = |second: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(1_000 * second + 5);
    let by = || "a\"b'; DROP TABLE calls".to_owned();
    let changes = [
        Change::Resumed(row.id, time(1), by()), // nobody has paused
        Change::Paused(row.id, time(2), by()),
        Change::Resumed(row.id, time(3), "c".to_owned()),
        Change::Paused(row.id, time(4), "d".to_owned()),
        Change::Row(row.clone().into()),
    ];
    write(&mut place.db, &changes).unwrap();
    let pauses = one(&place.db, row.id).unwrap().expect("the call").pauses;
    let [first, second] = &pauses[..] else { panic!("{pauses:?}") };
    assert_eq!((first.from, &first.by), (time(2), &by()));
    assert_eq!((first.until, first.resumed_by.as_str()), (Some(time(3)), "c"));
    assert_eq!((second.from, second.until), (time(4), None));

    for n in 10..500 {
        let resumed = Change::Resumed(row.id, time(2 * n + 1), "e".to_owned());
        write(&mut place.db, &[Change::Paused(row.id, time(2 * n), by()), resumed]).unwrap();
    }
    let pauses = one(&place.db, row.id).unwrap().expect("the call").pauses;
    assert_eq!(pauses.len(), MOST_PAUSES as usize);
    assert_eq!(pauses[pauses.len() - 1].until, Some(time(999)), "the last holds the rest");
}

#[test]
fn pages_show_every_call_once_newest_first_though_calls_begin_meanwhile() {
    let mut place = place();
    // Several in the same millisecond.
    for n in 0..100u64 {
        put(&mut place.db, &answered_call(u128::from(n), at(n / 7)));
    }
    let mut seen = Vec::new();
    let mut filter = Filter { limit: 9, ..Filter::default() };
    loop {
        let calls = page(&place.db, &filter, filter.page()).unwrap();
        let Some(last) = calls.last() else { break };
        filter.after = Some(Cursor { began: last.began, id: last.id });
        seen.extend(calls.iter().map(|call| (call.began, call.id)));
        let n = 1000 + seen.len() as u64;
        put(&mut place.db, &answered_call(u128::from(n), at(n)));
    }
    assert_eq!(seen.len(), 100);
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first, none twice");
}

#[test]
fn filters_leave_what_was_asked_for() {
    let mut place = place();
    for n in 0..4u64 {
        let mut row = answered_call(u128::from(n), at(n));
        if n == 1 {
            (row.dialled, row.group) = (Some("2002".into()), None);
            (row.answered_by, row.answered) = (None, None);
            (row.ending, row.side) = (Some(Ending::NoAnswer), Some(Ending::NoAnswer.side()));
            row.direction = Direction::Out;
        }
        put(&mut place.db, &row);
    }
    let filter = Filter::default;
    let count = |filter: Filter| page(&place.db, &filter, filter.page()).unwrap().len();
    for (filter, expected) in [
        (Filter { extension: Some("2002".into()), ..filter() }, 1),
        (Filter { extension: Some("2001".into()), ..filter() }, 3),
        (Filter { extension: Some("' OR ''='".into()), ..filter() }, 0),
        (Filter { group: Some("support".into()), ..filter() }, 3),
        (Filter { ending: Some(Ending::NoAnswer), ..filter() }, 1),
        (Filter { direction: Some(Direction::In), ..filter() }, 3),
        (Filter { caller: Some("+81312345678".into()), ..filter() }, 4),
        (Filter { from: Some(at(1)), to: Some(at(3)), ..filter() }, 2),
        (Filter { from: Some(at(3)), group: Some("support".into()), ..filter() }, 1),
    ] {
        assert_eq!(count(filter.clone()), expected, "{filter:?}");
    }
}

#[test]
fn what_is_too_old_goes_and_the_file_shrinks_with_it() {
    let mut place = place();
    let row = |n: u64| Change::Row(answered_call(u128::from(n), at(n)).into());
    write(&mut place.db, &(0..1200).map(row).collect::<Vec<_>>()).unwrap();
    let pages = |db: &Connection| -> i64 {
        db.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap()
    };
    let before = pages(&place.db);
    let mut rounds = 1;
    while age_out(&mut place.db, at(1190)).unwrap() {
        rounds += 1;
    }
    assert_eq!(rounds, 3);
    assert_eq!(page(&place.db, &Filter::default(), 500).unwrap().len(), 10);
    assert!(pages(&place.db) < before / 2);
}

#[test]
fn calls_that_were_up_when_the_gateway_died_get_an_end() {
    let mut place = place();
    let mut row = answered_call(1, at(0));
    (row.ended, row.ending, row.side) = (None, None, None);
    put(&mut place.db, &row);
    assert_eq!(close_what_was_up(&place.db).unwrap(), 1);
    let closed = one(&place.db, row.id).unwrap().unwrap();
    assert_eq!((closed.ended, closed.ending), (row.answered, Some(Ending::Fault)));
    assert_eq!(close_what_was_up(&place.db).unwrap(), 0);
}

#[test]
fn a_call_is_handed_on_until_it_changes_no_more() {
    let mut place = place();
    let row = answered_call(1, at(0));
    put(&mut place.db, &row);
    let first = to_hand_on(&place.db, 10).unwrap();
    assert_eq!(first.len(), 1);
    // It changes while it is on its way.
    put(&mut place.db, &row);
    handed_on(&mut place.db, &[(row.id, first[0].1)]).unwrap();
    let again = to_hand_on(&place.db, 10).unwrap();
    assert_eq!((again.len(), count_to_hand_on(&place.db).unwrap()), (1, 1));
    handed_on(&mut place.db, &[(row.id, again[0].1)]).unwrap();
    assert!(to_hand_on(&place.db, 10).unwrap().is_empty());
}
