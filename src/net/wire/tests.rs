use std::{collections::VecDeque, io, pin::Pin};

use futures_util::{SinkExt, StreamExt};
use tokio::io::ReadBuf;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message as Theirs, protocol::Role},
};

use super::*;
use crate::net::ws::{Violation, put};

/// A peer that says this and notes each write; its kernel takes `room` bytes at a time.
#[derive(Default)]
struct Script {
    says: VecDeque<Vec<u8>>,
    writes: Vec<Vec<u8>>,
    room: usize,
    is_gone: bool,
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.says.pop_front() {
            Some(said) => space.put_slice(&said),
            None => return Poll::Pending,
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = bytes.len().min(self.room);
        self.writes.push(bytes[..taken].to_vec());
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn said(messages: &[Message]) -> Vec<u8> {
    let mut bytes = Vec::new();
    messages.iter().for_each(|message| put(message, Some([1, 2, 3, 4]), &mut bytes));
    bytes
}

fn turns(wire: &mut Wire<Script>) -> Vec<Turn> {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut turns = Vec::new();
    while let Poll::Ready(turn) = wire.poll_turn(&mut cx) {
        turns.push(turn);
    }
    turns
}

#[test]
fn each_message_is_one_write_and_a_pong_is_one_of_them() {
    let script = Script {
        says: [said(&[Message::Ping(Bytes::from_static(b"?"))])].into(),
        room: usize::MAX,
        ..Script::default()
    };
    let mut wire = Wire::server(script, Bytes::new(), 1000);
    wire.send(Message::Binary(vec![1; 640].into())).expect("room");
    wire.send(Message::text("ANSWER")).expect("room");
    assert_eq!(turns(&mut wire), [Turn::Alive]);
    let lengths: Vec<usize> = wire.0.stream.writes.iter().map(Vec::len).collect();
    assert_eq!(lengths, [644, 8, 3]);
}

#[test]
fn what_the_kernel_takes_in_parts_arrives_whole() {
    let script = Script { room: 100, ..Script::default() };
    let mut wire = Wire::server(script, Bytes::new(), 1000);
    wire.send(Message::Binary(vec![1; 640].into())).expect("room");
    wire.send(Message::text("ANSWER")).expect("room");
    assert_eq!(turns(&mut wire), []);
    let mut whole = Vec::new();
    put(&Message::Binary(vec![1; 640].into()), None, &mut whole);
    put(&Message::text("ANSWER"), None, &mut whole);
    assert_eq!(wire.0.stream.writes.concat(), whole);
}

#[test]
fn what_the_peer_said_before_it_was_gone_is_heard() {
    // Asterisk says CLOSE and is gone within the same millisecond.
    let audio = Bytes::from_static(b"audio");
    let messages = [Message::Binary(audio.clone()), Message::Close(None)];
    for (messages, end) in [(&messages[..], Closed::InOrder), (&messages[..1], Closed::Lost)] {
        let script = Script { is_gone: true, says: [said(messages)].into(), ..Script::default() };
        let mut wire = Wire::server(script, Bytes::new(), 1000);
        wire.send(Message::text("ANSWER")).expect("room");
        assert_eq!(turns(&mut wire), [Turn::Binary(audio.clone()), Turn::Closed(end)]);
    }
}

#[test]
fn a_peer_is_told_how_it_ended() {
    let farewell =
        |code, reason: &str| Message::Close(Some(Farewell { code, reason: reason.into() }));
    let long = Message::Binary(vec![0; 1001].into());
    let violation = Violation::TooLong.as_str();
    for (says, end, told) in [
        (farewell(4000, "so"), Closed::InOrder, farewell(4000, "")),
        (Message::Close(None), Closed::InOrder, Message::Close(None)),
        (long, Closed::Violation(violation), farewell(1009, violation)),
    ] {
        let script = Script { room: usize::MAX, says: [said(&[says])].into(), ..Script::default() };
        let mut wire = Wire::server(script, Bytes::new(), 1000);
        assert_eq!(turns(&mut wire), [Turn::Closed(end)]);
        let mut frame = Vec::new();
        put(&told, None, &mut frame);
        assert_eq!(wire.0.stream.writes, [frame]);
    }
}

#[test]
fn what_came_with_the_upgrade_or_in_one_read_is_heard_in_order() {
    let texts = ["a", "b", "c", "d"].map(Message::text);
    let all = said(&texts);
    let script = Script { says: [all[10..].to_vec()].into(), ..Script::default() };
    let mut wire = Wire::server(script, all[..10].to_vec(), 1000);
    assert_eq!(turns(&mut wire), ["a", "b", "c", "d"].map(|t| Turn::Text(t.into())));
}

#[tokio::test]
async fn a_message_as_long_as_may_be_read_can_be_sent_and_takes_nothing_with_it() {
    const LIMIT: usize = 65_500;
    let (ours, theirs) = tokio::io::duplex(1024);
    let mut wire = Wire::server(ours, Bytes::new(), LIMIT);
    let mut peer = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
    let long = Bytes::from(vec![7; LIMIT]);
    wire.send(Message::Binary(long.clone())).expect("room");
    wire.send(Message::text("HANGUP")).expect("room");
    let read = async {
        assert_eq!(peer.next().await.expect("a message").expect("in order"), Theirs::Binary(long));
        let after = peer.next().await.expect("a message").expect("in order");
        assert_eq!(after, Theirs::text("HANGUP"));
        peer.send(Theirs::text("ANSWER")).await.expect("sent");
    };
    let (turn, ()) = tokio::join!(wire.turn(), read);
    assert_eq!(turn, Turn::Text("ANSWER".into()));
    assert_eq!(wire.waiting(), 0);
}

#[test]
fn what_a_frame_touches_lies_in_one_line() {
    use crate::net::io::Io;
    // `ws` promises the same of the decoder's first 8 bytes.
    let decoder = std::mem::offset_of!(Socket<Io>, incoming) + Incoming::DECODER;
    assert!(decoder + 8 <= 64, "{decoder}");
    assert_eq!(align_of::<Socket<Io>>(), 64);
    assert!(size_of::<Socket<Io>>() <= 384, "{}", size_of::<Socket<Io>>());
}

#[test]
fn what_is_sent_now_is_written_now_unless_something_waits_before_it() {
    let script = Script { room: 1000, ..Script::default() };
    let mut wire = Wire::server(script, Bytes::new(), 1000);
    wire.send_now(Message::text("one")).expect("room");
    assert_eq!((wire.0.stream.writes.len(), wire.waiting()), (1, 0));
    wire.send(Message::text("two")).expect("room");
    wire.send_now(Message::text("three")).expect("room");
    assert_eq!((wire.0.stream.writes.len(), wire.waiting()), (1, 2));
    assert_eq!(turns(&mut wire), []);
    // Longer than what is made on the stack, and than the kernel takes.
    wire.send_now(Message::Binary(vec![1; 3000].into())).expect("room");
    assert_eq!(turns(&mut wire), []);
    let mut whole = Vec::new();
    for message in ["one", "two", "three"] {
        put(&Message::text(message), None, &mut whole);
    }
    put(&Message::Binary(vec![1; 3000].into()), None, &mut whole);
    assert_eq!(wire.0.stream.writes.concat(), whole);
}

#[test]
fn a_write_that_fails_at_once_shows_in_the_next_turn() {
    let mut wire = Wire::server(Script { is_gone: true, ..Script::default() }, Bytes::new(), 1000);
    wire.send_now(Message::text("one")).expect("room");
    wire.send_now(Message::text("two")).expect("room");
    assert_eq!(turns(&mut wire), [Turn::Closed(Closed::Lost)]);
}

#[test]
fn a_queue_for_a_peer_that_takes_nothing_is_bounded() {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let (ours, _theirs) = tokio::io::duplex(16);
    let mut wire = Wire::server(ours, Bytes::new(), 1000);
    let mut refused = 0;
    for _ in 0..2 * OUT_MESSAGES {
        let sent = wire.send_now(Message::Binary(vec![1; 640].into()));
        refused += usize::from(sent.is_err());
    }
    assert_eq!(refused, OUT_MESSAGES - 1, "one is being written");
    assert_eq!(wire.waiting(), OUT_MESSAGES);
    assert_eq!(wire.poll_turn(&mut cx), Poll::Ready(Turn::Closed(Closed::Stalled)));
}

#[tokio::test]
async fn a_flood_of_pings_is_answered_no_further_than_one_task_may_go_in_its_turn() {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };
    const PINGS: usize = 600; // one read
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let mut wire = Wire::server(crate::net::io::Io::Plain(server.into()), Vec::new(), 1000);
    client.write_all(&[0x89, 0x80, 1, 2, 3, 4].repeat(PINGS)).await.unwrap();
    let mut turns = 0;
    let answered = async {
        assert_eq!(wire.turn().await, Turn::Alive);
        tokio::task::yield_now().await;
        poll_fn(|cx| {
            while let Poll::Ready(turn) = wire.poll_turn(cx) {
                assert_eq!(turn, Turn::Alive);
                turns += 1;
            }
            Poll::Ready(())
        })
        .await;
    };
    answered.await;
    assert_eq!(turns, PINGS - 1, "reading isn't held up by what is to be answered");
    drop(wire);
    let mut pongs = Vec::new();
    client.read_to_end(&mut pongs).await.unwrap();
    let pongs = pongs.len() / 2;
    assert!((1..PINGS / 2).contains(&pongs), "{pongs}");
}
