use proptest::{collection::vec, prelude::*, sample::select};
use tokio_tungstenite::tungstenite::{
    self, WebSocket,
    protocol::{Role, WebSocketConfig},
};

use super::*;

const LIMIT: usize = 2_000;

/// A client's frame.
#[derive(Debug, Clone)]
struct Raw {
    first: u8,
    payload: Vec<u8>,
}

const FIN: u8 = 0x80;

fn raw(first: u8, payload: impl Into<Vec<u8>>) -> Raw {
    Raw { first, payload: payload.into() }
}

fn bytes(frames: &[Raw]) -> Vec<u8> {
    let mut all = Vec::new();
    for Raw { first, payload } in frames {
        let at = all.len();
        put(&Message::Binary(payload.clone().into()), Some([1, 0, 250, 77]), &mut all);
        all[at] = *first;
    }
    all
}

type Heard = (Vec<Message>, Option<Violation>);

/// What comes of bytes in pieces of these lengths, in turn.
fn decode(from: Peer, bytes: &[u8], pieces: &[usize]) -> Heard {
    let mut decoder = Decoder::new(from, LIMIT);
    let (mut messages, mut room) = (Vec::new(), BytesMut::new());
    let mut pieces = pieces.iter().cycle();
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut piece;
        (piece, rest) = rest.split_at((*pieces.next().unwrap_or(&1)).clamp(1, rest.len()));
        loop {
            // As the wire does; a byte at a time nothing is ever whole.
            if let Some(audio) = decoder.take_whole(&mut piece, &mut room) {
                messages.push(Message::Binary(audio));
                continue;
            }
            match decoder.take(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(violation) => return (messages, Some(violation)),
            }
        }
        assert!(piece.is_empty(), "not all taken");
    }
    (messages, None)
}

/// What comes of it at once, and the same a byte at a time.
fn heard(frames: &[Raw]) -> Heard {
    let bytes = bytes(frames);
    let heard = decode(Peer::Client, &bytes, &[usize::MAX]);
    assert_eq!(decode(Peer::Client, &bytes, &[1]), heard);
    heard
}

fn fails(frames: &[Raw]) -> Option<Violation> {
    heard(frames).1
}

fn text(text: &str) -> Message {
    Message::text(text)
}

fn ping(payload: &'static [u8]) -> Message {
    Message::Ping(Bytes::from_static(payload))
}

#[test]
fn whole_messages_of_every_length_come_through() {
    for length in [0, 1, 125, 126, 127, 128, 640, LIMIT] {
        let payload = vec![b'*'; length];
        let binary = Message::Binary(payload.clone().into());
        assert_eq!(heard(&[raw(FIN | BINARY, payload.clone())]), (vec![binary], None));
        let said = text(std::str::from_utf8(&payload).unwrap());
        assert_eq!(heard(&[raw(FIN | TEXT, payload)]), (vec![said], None));
    }
}

#[test]
fn a_message_beyond_the_limit_is_refused_before_it_has_come() {
    assert_eq!(fails(&[raw(FIN | BINARY, [0; LIMIT + 1])]), Some(Violation::TooLong));
    let parts = [raw(BINARY, [0; LIMIT]), raw(CONTINUATION, []), raw(FIN, [0; 1])];
    assert_eq!(fails(&parts), Some(Violation::TooLong));
    let head = [FIN | BINARY, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    assert_eq!(decode(Peer::Client, &head, &[3]).1, Some(Violation::TooLong));
}

#[test]
fn only_what_has_come_is_held_of_a_message() {
    let limit = 64 * 1024 * 1024;
    let mut decoder = Decoder::new(Peer::Client, limit);
    let head = [FIN | BINARY, 0xff, 0, 0, 0, 0, 2, 0, 0, 0, 1, 2, 3, 4, 5];
    assert_eq!(decoder.take(&mut &head[..]), Ok(None));
    assert!(decoder.data.capacity() <= KEEP, "{}", decoder.data.capacity());
}

#[test]
fn control_frames_are_short_whole_and_between_the_parts_of_a_message() {
    let long: &[u8] = &[0x61; MAX_CONTROL];
    for length in [0, 1, 125] {
        let payload = &long[..length];
        assert_eq!(heard(&[raw(FIN | PING, payload)]).0, [ping(payload)]);
        let pong = Message::Pong(Bytes::from_static(payload));
        assert_eq!(heard(&[raw(FIN | PONG, payload)]).0, [pong]);
    }
    for opcode in [PING, PONG, CLOSE] {
        assert_eq!(fails(&[raw(FIN | opcode, [0x61; 126])]), Some(Violation::Protocol));
        let parts = [raw(opcode, *b"a"), raw(FIN, *b"b")];
        assert_eq!(fails(&parts), Some(Violation::Protocol));
    }
    let frames = [
        raw(TEXT, *b"Hel"),
        raw(FIN | PING, *b"1"),
        raw(CONTINUATION, *b""),
        raw(FIN | PING, *b"2"),
        raw(FIN, *b"lo"),
        raw(FIN | TEXT, *b"!"),
    ];
    let messages = vec![ping(b"1"), ping(b"2"), text("Hello"), text("!")];
    assert_eq!(heard(&frames), (messages, None));
}

#[test]
fn reserved_bits_and_opcodes_are_refused() {
    for rsv in [0x10, 0x20, 0x40, 0x70] {
        for opcode in [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] {
            assert_eq!(fails(&[raw(FIN | rsv | opcode, *b"x")]), Some(Violation::Protocol));
        }
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let frames = [raw(FIN | TEXT, *b"before"), raw(FIN | opcode, *b"x")];
        assert_eq!(heard(&frames), (vec![text("before")], Some(Violation::Protocol)));
    }
}

#[test]
fn a_part_belongs_to_a_message_that_has_begun_and_not_ended() {
    for frames in [
        [raw(FIN, *b"nothing begun"), raw(FIN | TEXT, *b"x")],
        [raw(CONTINUATION, *b"nothing begun"), raw(FIN | TEXT, *b"x")],
        [raw(TEXT, *b"not ended"), raw(FIN | TEXT, *b"x")],
        [raw(BINARY, *b"not ended"), raw(BINARY, *b"x")],
    ] {
        assert_eq!(heard(&frames), (vec![], Some(Violation::Protocol)));
    }
}

#[test]
fn a_client_masks_and_a_server_does_not() {
    let mut masked = Vec::new();
    let mut plain = Vec::new();
    put(&text("x"), Some([0; 4]), &mut masked);
    put(&text("x"), None, &mut plain);
    assert_eq!(decode(Peer::Client, &masked, &[1]), (vec![text("x")], None));
    assert_eq!(decode(Peer::Server, &plain, &[1]), (vec![text("x")], None));
    assert_eq!(decode(Peer::Client, &plain, &[1]).1, Some(Violation::Protocol));
    assert_eq!(decode(Peer::Server, &masked, &[1]).1, Some(Violation::Protocol));
}

#[test]
fn text_is_utf8_also_where_it_is_cut_within_a_character() {
    for good in ["", "κόσμε", "\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}", "\0"] {
        let parts: Vec<Raw> = good
            .bytes()
            .enumerate()
            .map(|(n, byte)| raw(if n == 0 { TEXT } else { CONTINUATION }, [byte]))
            .chain([raw(if good.is_empty() { FIN | TEXT } else { FIN }, [])])
            .collect();
        assert_eq!(heard(&parts), (vec![text(good)], None), "{good}");
        assert_eq!(heard(&[raw(FIN | TEXT, good)]), (vec![text(good)], None), "{good}");
    }
    // Overlong, surrogates, beyond the last character, alone, cut off.
    for bad in [
        &b"\xc0\xaf"[..],
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\x80",
        b"\xce",
        b"\xe1\xbd",
        b"\xf0\x90\x80",
    ] {
        let bad = [b"\xce\xba\xe1\xbd\xb9", bad].concat();
        assert_eq!(fails(&[raw(FIN | TEXT, &bad[..])]), Some(Violation::NotUtf8), "{bad:?}");
        let parts = [raw(TEXT, &bad[..]), raw(FIN, [])];
        assert_eq!(fails(&parts), Some(Violation::NotUtf8), "{bad:?}");
    }
}

#[test]
fn what_can_be_no_utf8_any_more_fails_at_that_byte() {
    let frames = bytes(&[raw(FIN | TEXT, *b"\xce\xba\xf4\x90 and much more")]);
    let (head, wrong) = (6, 3);
    let (before, after) = frames.split_at(head + wrong);
    let mut decoder = Decoder::new(Peer::Client, LIMIT);
    assert_eq!(decoder.take(&mut &before[..]), Ok(None));
    assert_eq!(decoder.take(&mut &after[..1]), Err(Violation::NotUtf8));
}

#[test]
fn close_has_a_code_that_may_be_sent_and_a_reason_in_utf8() {
    let close = |payload: &[u8]| heard(&[raw(FIN | CLOSE, payload)]);
    assert_eq!(close(b""), (vec![Message::Close(None)], None));
    assert_eq!(close(b"\x03").1, Some(Violation::Protocol));
    assert_eq!(close(b"\x03\xe8\xff").1, Some(Violation::NotUtf8));
    let good = (1000..=1003).chain(1007..=1014).chain([3000, 3999, 4000, 4999]);
    for code in good {
        for reason in ["", "gone", &"x".repeat(123)] {
            let payload = [&u16::to_be_bytes(code), reason.as_bytes()].concat();
            let farewell = Farewell { code, reason: reason.to_owned() };
            assert_eq!(close(&payload), (vec![Message::Close(Some(farewell))], None));
        }
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        assert_eq!(close(&u16::to_be_bytes(code)).1, Some(Violation::Protocol), "{code}");
    }
}

#[test]
fn nothing_is_heard_after_close_or_a_violation() {
    let frames = [raw(FIN | CLOSE, []), raw(FIN | TEXT, *b"x"), raw(0xff, [])];
    assert_eq!(heard(&frames), (vec![Message::Close(None)], None));
    let mut decoder = Decoder::new(Peer::Client, LIMIT);
    let mut rest = &bytes(&[raw(FIN, *b"x"), raw(FIN | TEXT, *b"y")])[..];
    assert_eq!(decoder.take(&mut rest), Err(Violation::Protocol));
    assert_eq!((decoder.take(&mut rest), rest), (Ok(None), &[][..]));
}

#[test]
fn what_a_control_frame_cannot_hold_is_cut_at_a_character() {
    let long = Message::Close(Some(Farewell { code: 1000, reason: "ä".repeat(100) }));
    let mut out = Vec::new();
    put(&long, None, &mut out);
    let cut = Message::Close(Some(Farewell { code: 1000, reason: "ä".repeat(61) }));
    assert_eq!(decode(Peer::Server, &out, &[1]), (vec![cut], None));
    let mut out = Vec::new();
    put(&Message::Ping(Bytes::from_static(&[7; 200])), None, &mut out);
    assert_eq!(decode(Peer::Server, &out, &[1]), (vec![ping(&[7; 125])], None));
}

#[test]
fn frame_after_frame_goes_through_one_buffer() {
    let frame = bytes(&[raw(FIN | BINARY, [7; 640])]);
    let mut decoder = Decoder::new(Peer::Client, LIMIT);
    let mut next = || match decoder.take(&mut &frame[..]) {
        Ok(Some(Message::Binary(audio))) => audio,
        other => panic!("{other:?}"),
    };
    let at = next().as_ptr();
    assert!((0..100).all(|_| next().as_ptr() == at));
}

fn message() -> impl Strategy<Value = Message> {
    let bytes = |most| vec(any::<u8>(), 0..=most).prop_map(Bytes::from);
    let reason = "[a-zä€😀]{0,20}";
    prop_oneof![
        "[a-zä€😀]{0,300}".prop_map(Message::Text),
        bytes(LIMIT).prop_map(Message::Binary),
        bytes(MAX_CONTROL).prop_map(Message::Ping),
        bytes(MAX_CONTROL).prop_map(Message::Pong),
        (1000u16..=1003, reason)
            .prop_map(|(code, reason)| Message::Close(Some(Farewell { code, reason }))),
    ]
}

/// Frames of all kinds, most of them in order.
fn frame() -> impl Strategy<Value = Raw> {
    let opcode = prop_oneof![
        8 => select(vec![CONTINUATION, TEXT, BINARY]),
        2 => select(vec![PING, PONG]),
        1 => select(vec![CLOSE, 3, 11]),
    ];
    let fin = select(vec![0, FIN, FIN, FIN]);
    let rsv = prop_oneof![30 => Just(0u8), 1 => select(vec![0x10, 0x20, 0x40])];
    let payload = prop_oneof![
        4 => "[a-zä€😀]{0,40}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..140),
        1 => vec(Just(b'x'), 0..LIMIT + 10),
    ];
    (opcode, fin, rsv, payload).prop_map(|(opcode, fin, rsv, payload)| {
        // Which of two faults of one CLOSE counts is nobody's business.
        let payload = if opcode == CLOSE { vec![3, 0xe8] } else { payload };
        raw(fin | rsv | opcode, payload)
    })
}

/// What another implementation hears in the same bytes.
fn heard_by_tungstenite(bytes: &[u8]) -> Heard {
    struct Socket<'a>(&'a [u8]);
    impl std::io::Read for Socket<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(into)
        }
    }
    impl std::io::Write for Socket<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    use tungstenite::{Error, Message as Theirs, error::ProtocolError};
    let config =
        WebSocketConfig::default().max_message_size(Some(LIMIT)).max_frame_size(Some(LIMIT));
    let mut ws = WebSocket::from_raw_socket(Socket(bytes), Role::Server, Some(config));
    let mut messages = Vec::new();
    loop {
        messages.push(match ws.read() {
            Ok(Theirs::Text(text)) => Message::text(text.as_str()),
            Ok(Theirs::Binary(bytes)) => Message::Binary(bytes),
            Ok(Theirs::Ping(payload)) => Message::Ping(payload),
            Ok(Theirs::Pong(payload)) => Message::Pong(payload),
            Ok(Theirs::Close(close)) => Message::Close(close.map(|close| Farewell {
                code: close.code.into(),
                reason: close.reason.as_str().to_owned(),
            })),
            Ok(Theirs::Frame(_)) => continue,
            Err(Error::Capacity(_)) => return (messages, Some(Violation::TooLong)),
            Err(Error::Utf8(_)) => return (messages, Some(Violation::NotUtf8)),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                return (messages, None);
            }
            Err(Error::Protocol(_)) => return (messages, Some(Violation::Protocol)),
            Err(_) => return (messages, None),
        });
    }
}

#[test]
fn what_a_whole_frame_needs_comes_first() {
    assert_eq!(std::mem::offset_of!(Decoder, limit), 8);
}

proptest! {
    #[test]
    fn what_is_put_is_heard(
        messages in vec(message(), 0..6), masked: bool, pieces in vec(1usize..700, 1..5),
    ) {
        let key = masked.then_some([9, 8, 7, 6]);
        let from = if masked { Peer::Client } else { Peer::Server };
        let mut out = Vec::new();
        messages.iter().for_each(|message| put(message, key, &mut out));
        let end = messages.iter().position(|m| matches!(m, Message::Close(_)));
        let heard = &messages[..end.map_or(messages.len(), |end| end + 1)];
        prop_assert_eq!(decode(from, &out, &pieces), (heard.to_vec(), None));
    }

    #[test]
    fn however_bytes_are_cut_the_same_is_heard(
        frames in vec(frame(), 0..8),
        changes in vec((any::<usize>(), any::<u8>()), 0..3),
        pieces in vec(1usize..300, 1..6),
    ) {
        let mut bytes = bytes(&frames);
        for (at, byte) in changes {
            let length = bytes.len().max(1);
            if let Some(place) = bytes.get_mut(at % length) {
                *place = byte;
            }
        }
        let at_once = decode(Peer::Client, &bytes, &[usize::MAX]);
        prop_assert_eq!(&decode(Peer::Client, &bytes, &pieces), &at_once);
        prop_assert_eq!(&decode(Peer::Client, &bytes, &[1]), &at_once);
    }

    #[test]
    fn another_implementation_hears_the_same(frames in vec(frame(), 0..8)) {
        let bytes = bytes(&frames);
        let (ours, theirs) = (decode(Peer::Client, &bytes, &[4096]), heard_by_tungstenite(&bytes));
        prop_assert_eq!(ours.0, theirs.0);
        // Where one frame breaks two rules, either may be named.
        prop_assert_eq!(ours.1.is_some(), theirs.1.is_some());
    }
}
