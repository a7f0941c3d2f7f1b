//! What the fuzzers do: each body takes any bytes, drives one public part of the gateway with
//! them, and panics where a promise of that part is broken.
//!
//! Two things run these bodies: libFuzzer, guided by coverage (`fuzz_targets/`), and
//! `tests/assurance/`, in stable Rust, over the seeds and random changes to them. So nothing here
//! needs more than the gateway's own libraries, opens a file, or asks the network.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use goastgateway::{
    asterisk::{
        ami::{event, message as ami},
        message::{self, Event},
    },
    call::{
        CallId, Extension, RingId, RingKey,
        ending::Ending,
        hunt::{Fell, Hunt, Offered, Plan, Step},
        is_extension,
        machine::{Call, Closing, Input, Output},
        number::{Keys, MAX_NUMBER, Number},
    },
    config::{self, AddressList, ExtenPattern, Secret},
    media::{
        frame::{FRAME_BYTES, FRAME_TIME},
        framer::Framer,
        pacer::{self, Action, Pacer},
    },
    net::{
        address,
        wire::{Message, Turn, Wire},
        ws,
    },
    phone::{
        plain,
        session::{self, Session},
        token::{self, Verifier, VerifyingKey},
        v1,
    },
    report::{table::query::Cursor, time::Utc},
    tap::products::Product,
};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A body and its name, which is that of its target and of its folder of seeds.
pub type Body = (&'static str, fn(&[u8]));

/// All of them.
pub const BODIES: [Body; 17] = [
    ("manager", manager),
    ("asterisk_events", asterisk_events),
    ("phone_text", phone_text),
    ("config_file", config_file),
    ("groups_file", groups_file),
    ("token", token),
    ("exten_pattern", exten_pattern),
    ("forwarded_for", forwarded_for),
    ("framer", framer),
    ("wire", wire),
    ("ws", ws),
    ("call", call),
    ("hunt", hunt),
    ("session", session),
    ("phone_v1", phone_v1),
    ("pacer", pacer),
    ("record_texts", record_texts),
];

/// Any bytes of the manager are packets or an error, the same ones however they are cut; what is made
/// of them as a number can't be more than one, and an action has as many lines as it was given.
pub fn manager(data: &[u8]) {
    let greeted = [b"Asterisk Call Manager/11.0.0\r\n", data].concat();
    let packets = |step: usize| {
        let (mut decoder, mut bytes) = (ami::Decoder::default(), BytesMut::new());
        let (mut all, mut error) = (Vec::new(), None);
        for piece in greeted.chunks(step) {
            bytes.extend_from_slice(piece);
            while error.is_none() {
                match decoder.next(&mut bytes) {
                    Ok(Some(packet)) => all.push(packet),
                    Ok(None) => break,
                    Err(bad) => error = Some(bad),
                }
            }
        }
        (all, error)
    };
    let (all, error) = packets(greeted.len());
    assert_eq!((&all, error), (&packets(1 + data.len() % 7).0, packets(1 + data.len() % 7).1));
    for packet in &all {
        let _ = event::Event::of(packet);
        for (_, value) in packet.fields() {
            if let Ok(number) = Number::parse(value) {
                assert!(number.as_str().len() <= MAX_NUMBER);
                assert!(
                    number
                        .as_str()
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"*#+_.-".contains(&b))
                );
            }
            if let Some(keys) = Keys::parse(value) {
                assert!(keys.iter().flatten().all(|key| "0123456789*#ABCD".contains(key)));
            }
            if let Ok(action) = ami::Action::new("Originate").with("Exten", value) {
                assert_eq!(action.encode(1).lines().count(), 4, "{value:?}");
            }
        }
    }
}

/// Any text is a time or not, and a cursor or not; what is one is written as it was read.
pub fn record_texts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(time) = Utc::parse(text) {
        assert_eq!(Utc::parse(&time.to_string()), Some(time), "{text:?}");
    }
    if let Some(cursor) = Cursor::decode(text) {
        assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor), "{text:?}");
    }
    if let Ok(product) = serde_json::from_str::<Product>(text) {
        let written = serde_json::to_string(&product).expect("JSON");
        assert_eq!(serde_json::from_str::<Product>(&written).ok(), Some(product.clone()));
        let good = product.spec().is_ok();
        assert!(!good || product.streaming_url.to_ascii_lowercase().starts_with("wss://"));
    }
}

/// Bytes as decisions: at its end it gives zeroes.
struct Tape<'a>(&'a [u8]);

impl Tape<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

/// Any text is an event or an error; what is read of it is no longer than it was.
pub fn asterisk_events(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let format = message::format_of(text);
    match message::parse(text) {
        Ok(Event::MediaStart(start)) => {
            let fields = [&start.connection_id, &start.channel, &start.channel_id, &start.format];
            let variables = start.variables.iter().map(|(key, value)| key.len() + value.len());
            let length = fields.iter().map(|f| f.len()).sum::<usize>() + variables.sum::<usize>();
            assert!(length <= 4 * text.len(), "fields out of nothing");
            if format == message::ControlFormat::Text {
                assert!(start.variables.is_empty(), "plain text carries no variables");
            }
        }
        Ok(Event::Error { text: reason }) => assert!(reason.len() <= 3 * text.len()),
        Ok(Event::DtmfEnd { digit }) => assert!("0123456789*#ABCD".contains(digit)),
        Ok(_) => {}
        Err(_) => assert!(format == message::ControlFormat::Json || text.trim().is_empty()),
    }
}

/// Any text is a word or nothing, and the words don't depend on case and space around them.
pub fn phone_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let said = plain::parse(text);
    assert_eq!(said, plain::parse(&format!(" {text}\r\n")));
    assert_eq!(said, plain::parse(&text.to_ascii_lowercase()));
    assert!(said.is_none() || text.trim().len() <= 6);
}

/// Any file is a configuration or a list of problems, each on one line and with a remedy.
pub fn config_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if !asks_nothing_of_the_world(text) {
        return;
    }
    check_outcome(config::read_texts(text, "{}"), text);
}

/// The same for groups; what is read can be hunted.
pub fn groups_file(data: &[u8]) {
    const CONFIG: &str = r#"{"browser_tls": false, "browser_addr": "127.0.0.1:8766",
        "jwt_secret": "0123456789abcdefghijklmnopqrstuvwxyz-+"}"#;
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(loaded) = check_outcome(config::read_texts(CONFIG, text), text) else { return };
    let groups = loaded.config.groups;
    for (name, group) in &groups {
        assert!(is_extension(name));
        assert!((1..=config::MAX_GROUP_MEMBERS).contains(&group.members.len()));
        assert!(group.members.iter().all(|m| is_extension(m) && !groups.contains_key(m)));
        let different: HashSet<_> = group.members.iter().collect();
        assert_eq!(different.len(), group.members.len(), "a member is there twice");
        assert!(group.timeout >= Duration::from_millis(500));
        assert!(group.timeout <= Duration::from_secs(3600));
        assert!(group.rounds.is_none_or(|rounds| rounds >= 1));
    }
}

fn check_outcome(
    outcome: Result<config::Loaded, config::Problems>,
    text: &str,
) -> Option<config::Loaded> {
    let lines = text.lines().count() + 1;
    match outcome {
        Ok(loaded) => {
            let config = &loaded.config;
            assert!(config.calls.ring_timeout >= Duration::from_secs(1));
            assert!(config.limits.connections >= 1 && config.worker_threads >= 1);
            assert!(loaded.warnings.iter().all(|w| is_one_line(w)), "{:?}", loaded.warnings);
            Some(loaded)
        }
        Err(problems) => {
            assert!(!problems.0.is_empty(), "refused without a reason");
            for problem in &problems.0 {
                assert!(problem.line <= lines, "{problem}");
                assert!(!problem.what.is_empty() && !problem.remedy.is_empty(), "{problem}");
                assert!(is_one_line(&problem.to_string()), "{problem:?}");
            }
            None
        }
    }
}

fn is_one_line(text: &str) -> bool {
    !text.contains(['\n', '\r'])
}

/// Whether reading this text looks up no host name and opens no device.
fn asks_nothing_of_the_world(text: &str) -> bool {
    let mut plain = text.to_ascii_lowercase();
    for byte in 0x20..0x7fu8 {
        plain = plain.replace(&format!("\\u{byte:04x}"), &char::from(byte).to_string());
    }
    let plain = plain.to_ascii_lowercase().replace("\"browser_addr\": \"127.0.0.1:8766\"", "");
    !["_addr", "/dev", "/proc", "/sys", "\\/"].iter().any(|word| plain.contains(word))
}

const SECRET: &str = "a secret that fuzzers may know: 0123456789";
const NOW: u64 = 1_800_000_000;

/// Any text is refused, or carries claims that hold. The second half of the input is a payload
/// that is signed with the right secret, so that what stands behind the signature is met, too.
pub fn token(data: &[u8]) {
    let verifier = Verifier::new(vec![VerifyingKey::secret(SECRET)], Duration::from_secs(60));
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(verifier.verify_at(text, NOW).is_err(), "a token that nobody signed");
    }
    let mut tape = Tape(data);
    let choice = tape.byte();
    if let Some(token) = signed(choice, tape.0)
        && let Ok(claims) = verifier.verify_at(&token, NOW)
    {
        assert!(is_extension(&claims.ext), "{claims:?}");
        assert!(Extension::parse(&claims.ext).is_some(), "{claims:?}");
        assert!(claims.exp + 60 > NOW, "{claims:?}");
        let last = token.len() - 1;
        assert!(verifier.verify_at(&token[..last], NOW).is_err(), "a signature that is cut off");
    }
    if let Ok(ext) = std::str::from_utf8(data)
        && let Ok(token) = token::mint(&Secret::new(SECRET), ext, Duration::from_secs(60), NOW)
    {
        let claims = verifier.verify_at(&token, NOW).expect("what we mint, we take");
        assert_eq!((claims.ext.as_str(), claims.exp), (ext, NOW + 60));
    }
}

/// A token with this payload. It is signed through the library's own writer, which takes raw JSON.
fn signed(choice: u8, payload: &[u8]) -> Option<String> {
    let header = match choice % 4 {
        0 => r#"{"alg":"HS256"}"#,
        1 => r#"{"alg":"HS384","typ":"JWT"}"#,
        2 => r#"{"alg":"HS512","kid":"../../etc/passwd"}"#,
        _ => r#"{"alg":"HS256","crit":["x"]}"#,
    };
    let algorithm = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512, Algorithm::HS256];
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = crypto::sign(text.as_bytes(), &key, algorithm[usize::from(choice % 4)]).ok()?;
    Some(format!("{text}.{signature}"))
}

/// Any pattern compiles or says why; one that compiled finds an extension that stands in the text.
pub fn exten_pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, id) = text.split_once('\n').unwrap_or((text, "ws-ext-2001"));
    match ExtenPattern::new(pattern) {
        Ok(compiled) => {
            assert_eq!(compiled.as_str(), pattern);
            let found = [compiled.in_text(id), compiled.in_json(id)];
            assert!(found[0].is_none() || found[0] == found[1], "{found:?}");
            for ext in found.into_iter().flatten() {
                assert!(!ext.is_empty() && id.contains(&ext), "{ext}");
            }
        }
        Err(error) => assert!(is_one_line(&error.to_string()), "{error:?}"),
    }
}

/// Whatever the header says, nobody is believed but a trusted proxy, and a trusted proxy's word is
/// an address that stands in the header.
pub fn forwarded_for(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|b| *b == b'\n').collect();
    let stranger = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
    let proxy = IpAddr::from(Ipv4Addr::LOCALHOST);
    let trusted = AddressList(vec![
        "127.0.0.0/8".parse().expect("a network"),
        "10.0.0.0/8".parse().expect("a network"),
    ]);
    assert_eq!(address::client(stranger, &lines, &trusted), Some(stranger));
    assert_eq!(address::client(proxy, &lines, &AddressList::default()), Some(proxy));
    let Some(client) = address::client(proxy, &lines, &trusted) else { return };
    assert_eq!(client, client.to_canonical());
    let bucket = address::bucket(client);
    assert_eq!(bucket, address::bucket(bucket));
}

/// No byte is lost, every frame has its size.
pub fn framer(data: &[u8]) {
    let mut tape = Tape(data);
    let size = 2 + usize::from(tape.byte()) * 4;
    let mut framer = Framer::new(size);
    let (mut given, mut taken) = (Vec::new(), Vec::new());
    while !tape.is_over() {
        let length = tape.byte().into();
        let (piece, rest) = tape.0.split_at(usize::min(length, tape.0.len()));
        tape.0 = rest;
        given.extend_from_slice(piece);
        framer.push(Bytes::copy_from_slice(piece), |frame| {
            assert_eq!(frame.len(), size);
            taken.extend_from_slice(&frame);
        });
    }
    assert_eq!(taken[..], given[..given.len() / size * size]);
}

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
        let mut heard = Vec::new();
        for mut bytes in bytes.chunks(piece) {
            while !bytes.is_empty() {
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

fn members(tape: &mut Tape, least: usize) -> Vec<Extension> {
    let count = least + tape.below(6);
    (0..count).map(|n| Extension::from(format!("20{n:02}"))).collect()
}

fn plan(tape: &mut Tape) -> Plan {
    let kind = tape.byte();
    let timeout = Duration::from_millis(500 + 100 * u64::from(tape.byte()));
    let members = members(tape, 0);
    match kind % 4 {
        0 | 1 => Plan::Together { members, timeout },
        2 => Plan::InTurn { members, timeout, rounds: Some(1 + u32::from(kind >> 2) % 4) },
        _ => Plan::InTurn { members, timeout, rounds: None },
    }
}

fn luck(tape: &mut Tape) -> Offered {
    [Offered::Ringing, Offered::Busy, Offered::Away][tape.below(3)]
}

/// A call with its phones, kept as the tasks keep them.
#[derive(Default)]
struct Rig {
    call: Call,
    /// Who rings or talks for this call.
    taken: HashMap<RingId, Extension>,
    used: HashSet<RingId>,
    answered: Option<RingId>,
    hung_up: bool,
    ended: Option<Ending>,
}

impl Rig {
    fn drive(&mut self, input: Input, now: Instant, tape: &mut Tape) {
        let mut todo = VecDeque::new();
        let mut out = Vec::new();
        self.call.input(input, now, &mut out);
        todo.extend(out.drain(..));
        let mut outputs = 0;
        while let Some(output) = todo.pop_front() {
            outputs += 1;
            assert!(outputs <= 64, "an input that never ends");
            assert_eq!(self.ended, None, "{output:?} after the end");
            match output {
                Output::Ring(ring, ext) => {
                    assert!(self.used.insert(ring), "a number is used twice");
                    assert!(self.answered.is_none(), "rings after the answer");
                    let twice = self.taken.values().any(|e| *e == ext);
                    // A phone that is this call's already is busy.
                    let what = if twice { Offered::Busy } else { luck(tape) };
                    if what == Offered::Ringing {
                        self.taken.insert(ring, ext);
                    }
                    self.call.input(Input::Offered(ring, what), now, &mut out);
                    todo.extend(out.drain(..));
                }
                Output::Stop(ring, _) => {
                    assert!(self.taken.remove(&ring).is_some(), "stops who doesn't ring");
                }
                Output::Answer(ring) => {
                    assert!(self.taken.contains_key(&ring), "answers who doesn't ring");
                    assert_eq!(self.answered.replace(ring), None, "answered twice");
                }
                Output::Join(ring) => {
                    // The leg of a dialled call, whose phone is this call's from the beginning.
                    assert!(self.used.insert(ring) && self.taken.is_empty(), "joins what rings");
                    self.taken.insert(ring, "2001".into());
                    self.answered = Some(ring);
                }
                Output::HangUpAsterisk(_) => {
                    assert!(!std::mem::replace(&mut self.hung_up, true), "hung up twice");
                }
                Output::Ended(ending) => {
                    self.ended = Some(ending);
                    let left: Vec<_> = self.taken.keys().collect();
                    assert!(left.is_empty(), "left ringing: {left:?}");
                }
            }
        }
        assert_eq!(self.call.is_over(), self.ended.is_some());
        if let Some(at) = self.call.deadline() {
            assert!(!self.call.is_over() && !self.call.is_talking());
            assert!(at <= now + Duration::from_secs(27), "a deadline beyond every timeout");
        }
        for (ring, ext) in &self.taken {
            if Some(*ring) != self.answered {
                assert_eq!(self.call.ringing(*ring), Some(ext), "rings, and the call forgot it");
            }
        }
    }
}

/// Any inputs in any order: one ending, nobody left ringing, nobody answered who doesn't ring, and
/// a deadline that comes is done with.
pub fn call(data: &[u8]) {
    let mut tape = Tape(data);
    let mut now = Instant::now();
    let mut rig = Rig::default();
    let mut next = 0;
    while !tape.is_over() && rig.ended.is_none() {
        let what = tape.byte();
        let ring = RingId(u32::from(tape.byte()) % (next + 2));
        now += Duration::from_millis(u64::from(what >> 4) * 250);
        let input = match what & 15 {
            0..=2 => Input::Start(plan(&mut tape)),
            3 => Input::Refuse(Ending::FormatRefused),
            4 | 5 => Input::PhoneAnswered(ring),
            6 | 7 => Input::PhoneHungUp(ring),
            8 | 9 => Input::PhoneGone(ring),
            10 => {
                Input::AsteriskClosed(if what >> 7 == 1 { Closing::Lost } else { Closing::InOrder })
            }
            11 => Input::End(Ending::DrainTimeout),
            12 => Input::Offered(ring, luck(&mut tape)),
            _ => {
                if let Some(at) = rig.call.deadline() {
                    now = now.max(at);
                }
                Input::Tick
            }
        };
        if let Input::PhoneHungUp(r) | Input::PhoneGone(r) = input
            && rig.answered != Some(r)
        {
            rig.taken.remove(&r); // it has stopped by itself
        }
        let ticked = input == Input::Tick;
        rig.drive(input, now, &mut tape);
        if ticked {
            assert!(rig.call.deadline().is_none_or(|at| at > now), "a deadline that stays");
        }
        next = rig.used.len() as u32;
    }
    if rig.ended.is_none() {
        rig.drive(Input::End(Ending::DrainTimeout), now, &mut tape);
    }
    assert!(rig.ended.is_some() && rig.taken.is_empty());
}

/// A hunt alone: no member twice at a time, every ringing ended once, an end that comes.
pub fn hunt(data: &[u8]) {
    let mut tape = Tape(data);
    let mut now = Instant::now();
    let plan = plan(&mut tape);
    let (members, ends) = match &plan {
        Plan::Together { members, .. } => (members.len(), true),
        Plan::InTurn { members, rounds, .. } => (members.len(), rounds.is_some()),
    };
    let mut hunt = Hunt::new(plan);
    let mut ringing: HashMap<RingId, Extension> = HashMap::new();
    let mut over = false;
    let mut steps = Vec::new();
    hunt.start(now, &mut steps);
    let mut settle = |hunt: &mut Hunt,
                      steps: &mut Vec<Step>,
                      ringing: &mut HashMap<RingId, Extension>,
                      now: Instant,
                      tape: &mut Tape| {
        let mut cost = 0;
        let mut todo: VecDeque<Step> = steps.drain(..).collect();
        while let Some(step) = todo.pop_front() {
            cost += 1;
            assert!(cost <= 3 * members + 3, "more than a pass over the members");
            assert!(!over, "{step:?} after the end");
            match step {
                Step::Ring(ring, ext) => {
                    let what = luck(tape);
                    if what == Offered::Ringing {
                        assert!(!ringing.values().any(|e| *e == ext), "{ext} rings twice");
                        ringing.insert(ring, ext);
                    }
                    hunt.offered(ring, what, now, steps);
                    todo.extend(steps.drain(..));
                }
                Step::Stop(ring, _) => assert!(ringing.remove(&ring).is_some()),
                Step::Over(_) => over = true,
            }
        }
        assert_eq!(hunt.ringing_count(), ringing.len());
        over
    };
    let mut is_over = settle(&mut hunt, &mut steps, &mut ringing, now, &mut tape);
    let mut answered = false;
    while !tape.is_over() && !is_over && !answered {
        let what = tape.byte();
        let mut numbers: Vec<RingId> = ringing.keys().copied().collect();
        numbers.sort_unstable();
        let ring = match numbers.len() {
            0 => RingId(u32::from(what >> 4)),
            n => numbers[usize::from(what >> 4) % n],
        };
        match what & 7 {
            0 => {
                let rings = ringing.remove(&ring).is_some();
                answered = hunt.answered(ring, &mut steps);
                assert_eq!(answered, rings);
            }
            1 | 2 => {
                let how = if what & 7 == 1 { Fell::Declined } else { Fell::Gone };
                ringing.remove(&ring);
                hunt.fell(ring, how, &mut steps);
            }
            3 => hunt.offered(ring, luck(&mut tape), now, &mut steps),
            _ => {
                now = hunt.deadline().unwrap_or(now);
                hunt.expire(now, &mut steps);
            }
        }
        is_over = settle(&mut hunt, &mut steps, &mut ringing, now, &mut tape);
        assert_eq!(hunt.deadline().is_some(), !is_over && !answered, "waits for what?");
    }
    if ends && !is_over && !answered {
        for _ in 0..5 * members {
            now = hunt.deadline().unwrap_or(now);
            hunt.expire(now, &mut steps);
            is_over = settle(&mut hunt, &mut steps, &mut ringing, now, &mut tape);
            if is_over {
                break;
            }
        }
        assert!(is_over, "goes on for ever");
    }
    hunt.cancel(Ending::CallerGaveUp, &mut steps);
    settle(&mut hunt, &mut steps, &mut ringing, now, &mut tape);
    assert!(ringing.is_empty() && hunt.deadline().is_none());
}

/// A phone is told the end of exactly the calls that it was told of, in any order of events; audio
/// belongs to one call, which is up; a call is told of one answer and one end.
pub fn session(data: &[u8]) {
    let mut tape = Tape(data);
    let mut session = Session::default();
    let now = Instant::now();
    let call = |n: usize| CallId::from_uuid(uuid::Uuid::from_u128(n as u128));
    let mut told: Vec<CallId> = Vec::new();
    let mut ends: Vec<CallId> = Vec::new();
    let mut audio = None;
    while !tape.is_over() {
        use session::{Input as I, Output as O};
        let (id, what) = (call(tape.below(3)), tape.byte());
        let key = RingKey { call: id, ring: RingId(u32::from(what >> 7)) };
        let on = what & 0x40 != 0;
        let input = match what & 0xf {
            0 | 1 => I::Ring { key, direct: on },
            2 => I::Answer(id),
            3 => I::Hangup(id),
            4 => I::Hold(id, on),
            5 => I::Mute(id, on),
            6 if session.get(id).is_none() => I::Dial(key),
            7 => I::DialTaken(id),
            8 => I::DialRefused(id),
            9 | 10 => I::Joined(key),
            11 => I::FarAnswered(id),
            12 => I::Confirm(id),
            13 => I::Unconfirmed(id),
            _ => I::Over(key),
        };
        let mut outputs = Vec::new();
        let _ = session.input(input, now, &mut outputs);
        assert!(outputs.len() <= 8);
        for output in outputs {
            match output {
                O::SayIncoming(id) | O::SayOutgoing(id) => {
                    assert!(!told.contains(&id), "told twice");
                    told.push(id);
                    ends.retain(|ended| *ended != id);
                }
                O::SayEnded(id) => {
                    let at = told.iter().position(|known| *known == id);
                    told.remove(at.expect("the end of what it wasn't told of"));
                }
                O::TellHungUp(id) | O::TellUnreachable(id) => {
                    assert!(!ends.contains(&id), "hung up twice");
                    ends.push(id);
                }
                O::Audio(id) => audio = id,
                _ => {}
            }
        }
        assert!(session.lines().len() <= session::MAX_CALLS);
        assert_eq!(audio, session.active());
        if let Some(line) = audio.map(|id| session.get(id).expect("audio of no call")) {
            assert!(line.joined && !line.held);
        }
    }
    for line in session.lines().to_vec() {
        let _ = session.input(session::Input::Over(line.key), now, &mut Vec::new());
    }
    assert!(session.is_idle());
}

/// Any text is a message of the phone protocol, or none; its id comes back as it is.
pub fn phone_v1(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(message) = v1::message::parse(text) else { return };
    assert!(text.trim_start().starts_with('{'), "a message that is no object");
    if let Some(id) = &message.id {
        assert!(id.is_good());
        let ok = v1::says::ToPhone::Ok { id, result: Default::default() }.json();
        let back = v1::message::parse(&ok).expect("what we say is an object");
        assert_eq!(back.id.as_ref(), Some(id), "an id that doesn't come back");
    }
    let debug = format!("{:?}", message.request);
    if let Ok(v1::message::Request::Token { token }) = &message.request
        && token.expose().len() > 16
    {
        assert!(!debug.contains(token.expose()), "a token shows itself");
    }
}

/// Any audio, any pauses, any reports: never more ahead than promised when something is sent,
/// every frame of the phone accounted for, a deadline that moves on.
pub fn pacer(data: &[u8]) {
    let mut tape = Tape(data);
    let mut now = Instant::now();
    let mut pacer = Pacer::new(FRAME_BYTES, now);
    let loud = Bytes::from(vec![0x55; FRAME_BYTES]);
    let quiet = Bytes::from(vec![0; FRAME_BYTES]);
    let mut pushed = 0;
    let mut actions = Vec::new();
    let mut refuses = false;
    while !tape.is_over() {
        let what = tape.byte();
        let much = u64::from(what >> 4);
        match what & 15 {
            0..=3 => now += Duration::from_millis(much),
            4 => now += FRAME_TIME,
            5 => now += Duration::from_millis(100 * much),
            6..=8 => {
                pushed += 1;
                pacer.push(loud.clone(), now, &mut actions);
            }
            9 | 10 => {
                pushed += 1;
                pacer.push(quiet.clone(), now, &mut actions);
            }
            11 => pacer.status(much as u32, now, &mut actions),
            12 => pacer.status([0, 25, 900, u32::MAX][tape.below(4)], now, &mut actions),
            13 => pacer.flow(much & 1 == 1, now),
            14 => refuses = much & 1 == 1,
            _ => pacer.tick(now, &mut actions),
        }
        act(&mut pacer, &mut actions, now, refuses);
        // As its task does: it is woken until there is nothing to do now.
        let mut wakes = 0;
        while pacer.deadline() <= now {
            wakes += 1;
            assert!(wakes <= 3, "a deadline that stays where it is");
            pacer.tick(now, &mut actions);
            act(&mut pacer, &mut actions, now, refuses);
        }
        let counts = pacer.counts();
        let known = counts.sent + counts.late + counts.ahead + counts.full;
        assert!(known <= pushed, "{known} of {pushed} frames: {counts:?}");
        assert!(pushed - known <= 12, "{known} of {pushed} frames: {counts:?}");
    }
    // What is held leaves within its time.
    pacer.flow(false, now);
    refuses = false;
    for _ in 0..100 {
        now += FRAME_TIME;
        pacer.tick(now, &mut actions);
        act(&mut pacer, &mut actions, now, refuses);
    }
    let counts = pacer.counts();
    assert_eq!(counts.sent + counts.late + counts.ahead + counts.full, pushed, "{counts:?}");
}

fn act(pacer: &mut Pacer, actions: &mut Vec<Action>, now: Instant, refuses: bool) {
    let ahead = pacer.ahead(now);
    for action in actions.drain(..) {
        let (Action::Send(frame) | Action::Fill(frame)) = &action else { continue };
        assert_eq!(frame.len(), FRAME_BYTES);
        assert!(ahead <= pacer::AHEAD + FRAME_TIME, "{ahead:?} ahead");
        assert!(ahead < 5 * FRAME_TIME);
        if refuses {
            pacer.not_sent(&action);
        }
    }
}
