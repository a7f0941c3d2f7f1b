//! Bytes on a socket.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use goastgateway::net::{
    wire::{Message, Turn, Wire},
    ws,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Tape;

/// A peer in memory: says what it is given in pieces, and takes so many bytes and then none.
struct Peer<'a> {
    says: Tape<'a>,
    piece: usize,
    /// A read that would block comes between two pieces.
    pause: bool,
    takes: usize,
    taken: usize,
}

impl AsyncRead for Peer<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.pause = !self.pause;
        if self.pause {
            cx.waker().wake_by_ref(); // there is more, at once
            return Poll::Pending;
        }
        let length = self.piece.min(buf.remaining()).min(self.says.0.len());
        let (piece, rest) = self.says.0.split_at(length);
        buf.put_slice(piece);
        self.says.0 = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let length = bytes.len().min(self.takes);
        if length == 0 {
            return Poll::Pending;
        }
        self.takes -= length;
        self.taken += length;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Any bytes on a socket give messages within the limit and one end, whether or not the peer reads
/// what is sent back; a turn costs bytes, so nothing spins.
pub fn wire(data: &[u8]) {
    let mut tape = Tape(data);
    let limit = [125, 4_096, 65_500][tape.below(3)];
    let piece = 1 + usize::from(tape.byte()) * 16;
    let takes = usize::from(tape.byte()) * 64;
    let before = usize::from(tape.byte()).min(tape.0.len());
    let (rest, says) = tape.0.split_at(before);
    let peer = Peer { says: Tape(says), piece, pause: false, takes, taken: 0 };
    let mut cx = Context::from_waker(Waker::noop());
    let mut wire = Wire::server(peer, rest.to_vec(), limit);
    // Every piece costs a pause; every message costs two bytes.
    let most = 4 * data.len() + 64;
    let mut turns = 0;
    let mut pending = 0;
    loop {
        turns += 1;
        assert!(turns <= most, "more turns than bytes");
        match wire.poll_turn(&mut cx) {
            Poll::Ready(Turn::Text(text)) => {
                assert!(text.len() <= limit);
                let _ = wire.send(Message::Text(text));
            }
            Poll::Ready(Turn::Binary(bytes)) => {
                assert!(bytes.len() <= limit);
                let _ = wire.send(Message::Binary(bytes));
            }
            Poll::Ready(Turn::Pong(payload)) => assert!(payload.len() <= 125),
            Poll::Ready(Turn::Alive) => {}
            Poll::Ready(Turn::Closed(_)) => break,
            Poll::Pending => pending += 1,
        }
        assert!(pending <= data.len() + 8, "an end that isn't noticed");
        assert!(wire.waiting() <= 32, "a queue without bound");
    }
    assert!(wire.poll_turn(&mut cx).is_pending(), "a turn after the end");
}

/// Any bytes give the same messages however they are cut, within the limit; and what was heard is
/// heard again when it is said again.
pub fn ws(data: &[u8]) {
    let mut tape = Tape(data);
    let peer = [ws::Peer::Client, ws::Peer::Server][tape.below(2)];
    let limit = [10, 125, 65_500][tape.below(3)];
    let piece = 1 + tape.below(40);
    let hear = |bytes: &[u8], piece: usize| {
        let mut decoder = ws::Decoder::new(peer, limit);
        let (mut heard, mut room) = (Vec::new(), Default::default());
        for mut bytes in bytes.chunks(piece) {
            while !bytes.is_empty() {
                if let Some(audio) = decoder.take_whole(&mut bytes, &mut room) {
                    heard.push(Message::Binary(audio));
                    continue;
                }
                match decoder.take(&mut bytes) {
                    Ok(message) => heard.extend(message),
                    Err(violation) => return (heard, Some(violation)),
                }
            }
        }
        (heard, None)
    };
    let (heard, violation) = hear(tape.0, data.len().max(1));
    assert_eq!(hear(tape.0, piece), (heard.clone(), violation), "cut into pieces");
    let key = (peer == ws::Peer::Client).then_some([1, 2, 3, 4]);
    let mut again = Vec::new();
    for message in &heard {
        if let Message::Text(text) = message {
            assert!(text.len() <= limit);
        }
        if let Message::Binary(bytes) = message {
            assert!(bytes.len() <= limit);
        }
        ws::put(message, key, &mut again);
    }
    assert_eq!(hear(&again, piece), (heard, None), "said again");
}
