//! PURE: the WebSocket protocol (RFC 6455) between bytes and messages; no extension, so no
//! compression.
//!
//! Promises: however the bytes are cut, the same messages come out; what breaks a rule is an error
//! as soon as the rule is broken; memory is what the peer has really sent of one message within
//! the limit; audio costs one copy, in which it is unmasked, and no allocation while what was
//! decoded before has been let go of.

use bytes::{BufMut, Bytes, BytesMut};

/// Longest payload of a control frame (RFC 6455, 5.5).
const MAX_CONTROL: usize = 125;
/// Longest head of a frame: 2 bytes, 8 of length, 4 of mask.
pub const MAX_HEAD: usize = 14;
/// As much is reserved for what a frame's head only promises, and a buffer of as much is kept for
/// the next message: a frame of audio of any length that is in use.
const KEEP: usize = 4 * 1024;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What two peers say to one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Text(String),
    Binary(Bytes),
    /// At most 125 bytes.
    Ping(Bytes),
    /// At most 125 bytes.
    Pong(Bytes),
    Close(Option<Farewell>),
}

/// Why one closes: a code of RFC 6455, 7.4, and at most 123 bytes for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewell {
    pub code: u16,
    pub reason: String,
}

/// How a peer can break the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    Protocol,
    NotUtf8,
    TooLong,
}

/// Whose bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// They must be masked.
    Client,
    /// They must not be.
    Server,
}

impl Message {
    /// Bytes of payload that a frame of it has at most.
    pub fn length(&self) -> usize {
        match self {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
            _ => MAX_CONTROL,
        }
    }

    pub fn text(text: impl Into<String>) -> Self {
        Message::Text(text.into())
    }
}

impl Violation {
    /// The close code that tells the peer.
    pub fn code(self) -> u16 {
        match self {
            Violation::Protocol => 1002,
            Violation::NotUtf8 => 1007,
            Violation::TooLong => 1009,
        }
    }

    /// The name in logs, and the reason that the peer is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Violation::Protocol => "not the WebSocket protocol",
            Violation::NotUtf8 => "text that is not UTF-8",
            Violation::TooLong => "message too long",
        }
    }
}

/// Bytes in, messages out. After CLOSE or an error it takes everything and gives nothing.
#[derive(Debug)]
#[repr(C)] // what a whole frame of audio needs comes first
pub struct Decoder {
    /// The longest frame of audio that is taken whole.
    whole: u16,
    from: Peer,
    /// A part of something has come, or nothing is to come any more.
    amid: bool,
    over: bool,
    /// The message of which a part has come; its opcode.
    begun: Option<u8>,
    limit: usize,
    head: [u8; MAX_HEAD],
    head_length: u8,
    frame: Option<Frame>,
    data: BytesMut,
    /// How much of `data` is known to be UTF-8.
    checked: usize,
    /// Control frames may come between the parts of a message.
    control: BytesMut,
}

/// A frame whose head is read.
#[derive(Debug, Clone, Copy)]
struct Frame {
    last: bool,
    opcode: u8,
    /// Turned as far as the payload has come.
    mask: [u8; 4],
    left: usize,
}

impl Decoder {
    /// Messages of at most `limit` bytes.
    pub fn new(from: Peer, limit: usize) -> Self {
        Self {
            whole: limit.min(KEEP) as u16,
            from,
            amid: false,
            over: false,
            begun: None,
            limit,
            head: [0; MAX_HEAD],
            head_length: 0,
            frame: None,
            data: BytesMut::new(),
            checked: 0,
            control: BytesMut::new(),
        }
    }

    /// The same as [`Decoder::take`] for what is most: audio, at most [`KEEP`] bytes, in one frame that is
    /// whole in these bytes. It is copied into `room`, of which the message is a piece. Takes
    /// nothing of anything else.
    pub fn take_whole(&mut self, bytes: &mut &[u8], room: &mut BytesMut) -> Option<Bytes> {
        if self.amid {
            return None;
        }
        let (&[0x82, second], rest) = bytes.split_first_chunk()? else { return None };
        let (length, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            127 => return None,
            length => (usize::from(length), rest),
        };
        let (key, rest) = match (self.from, second & 0x80 != 0) {
            (Peer::Client, true) => rest.split_first_chunk()?,
            (Peer::Server, false) => (&[0; 4], rest),
            _ => return None,
        };
        if length > usize::from(self.whole) {
            return None;
        }
        let (payload, rest) = rest.split_at_checked(length)?;
        room.clear();
        room.extend_from_slice(payload);
        mask(room, *key);
        *bytes = rest;
        Some(room.split().freeze())
    }

    /// Takes bytes from the front until a message is whole, or all.
    pub fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Message>, Violation> {
        let taken = self.take_some(bytes);
        self.over |= matches!(taken, Err(_) | Ok(Some(Message::Close(_))));
        let begins = self.head_length > 0 || self.frame.is_some() || self.begun.is_some();
        self.amid = begins || self.over;
        taken
    }

    fn take_some(&mut self, bytes: &mut &[u8]) -> Result<Option<Message>, Violation> {
        if self.over {
            *bytes = &[];
        }
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None if self.gather_head(bytes) => self.begin()?,
                None => return Ok(None),
            };
            let is_control = is_control(frame.opcode);
            let into = if is_control { &mut self.control } else { &mut self.data };
            let now;
            (now, *bytes) = bytes.split_at(frame.left.min(bytes.len()));
            let from = into.len();
            into.extend_from_slice(now);
            mask(&mut into[from..], frame.mask);
            frame.mask.rotate_left(now.len() % 4);
            frame.left -= now.len();
            let ends = frame.left == 0;
            if !is_control && self.begun == Some(TEXT) {
                self.check_text(ends && frame.last)?;
            }
            if !ends {
                self.frame = Some(frame);
                return Ok(None);
            }
            if frame.last {
                return self.end(frame.opcode).map(Some);
            }
        }
    }

    /// Reads on in a head; true when it is whole.
    fn gather_head(&mut self, bytes: &mut &[u8]) -> bool {
        loop {
            let has = usize::from(self.head_length);
            let missing = head_length(&self.head[..has]) - has;
            if missing == 0 {
                return true;
            }
            if bytes.is_empty() {
                return false;
            }
            let now;
            (now, *bytes) = bytes.split_at(missing.min(bytes.len()));
            self.head[has..][..now.len()].copy_from_slice(now);
            self.head_length += now.len() as u8;
        }
    }

    /// The frame of a whole head, if it may come here.
    fn begin(&mut self) -> Result<Frame, Violation> {
        let head = &self.head[..usize::from(std::mem::take(&mut self.head_length))];
        let (first, second) = (head[0], head[1]);
        let (last, opcode) = (first & 0x80 != 0, first & 0x0f);
        let is_masked = second & 0x80 != 0;
        if first & 0x70 != 0 || is_masked != (self.from == Peer::Client) {
            return Err(Violation::Protocol);
        }
        let (head, mask) = head[2..].split_at(head.len() - 2 - if is_masked { 4 } else { 0 });
        let length = match head {
            [] => u64::from(second & 0x7f),
            _ => head.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let left = usize::try_from(length).unwrap_or(usize::MAX);
        match opcode {
            CLOSE | PING | PONG if !last || left > MAX_CONTROL => return Err(Violation::Protocol),
            CLOSE | PING | PONG => {}
            TEXT | BINARY if self.begun.is_none() => self.begun = Some(opcode),
            CONTINUATION if self.begun.is_some() => {}
            _ => return Err(Violation::Protocol),
        }
        if !is_control(opcode) {
            if left > self.limit.saturating_sub(self.data.len()) {
                return Err(Violation::TooLong);
            }
            self.data.reserve(left.min(KEEP));
        }
        Ok(Frame { last, opcode, mask: mask.try_into().unwrap_or_default(), left })
    }

    fn end(&mut self, opcode: u8) -> Result<Message, Violation> {
        if is_control(opcode) {
            let payload = std::mem::take(&mut self.control).freeze();
            return match opcode {
                PING => Ok(Message::Ping(payload)),
                PONG => Ok(Message::Pong(payload)),
                _ => farewell(&payload).map(Message::Close),
            };
        }
        if self.begun.take() == Some(TEXT) {
            self.checked = 0;
            let text = String::from_utf8(std::mem::take(&mut self.data).into());
            return text.map(Message::Text).map_err(|_| Violation::NotUtf8);
        }
        // What is left of a buffer of common size takes the next message, too, once this one is
        // let go of.
        let keeps = self.data.len() <= KEEP;
        let data = if keeps { self.data.split() } else { std::mem::take(&mut self.data) };
        Ok(Message::Binary(data.freeze()))
    }

    /// A text may be cut within a character only while more of it is to come.
    fn check_text(&mut self, is_whole: bool) -> Result<(), Violation> {
        match std::str::from_utf8(&self.data[self.checked..]) {
            Ok(_) => self.checked = self.data.len(),
            Err(error) if is_whole || error.error_len().is_some() => {
                return Err(Violation::NotUtf8);
            }
            Err(error) => self.checked += error.valid_up_to(),
        }
        Ok(())
    }
}

fn is_control(opcode: u8) -> bool {
    opcode & 8 != 0
}

/// How long a head is, as far as what has come of it tells.
fn head_length(head: &[u8]) -> usize {
    let [_, second, ..] = head else { return 2 };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & 0x80 != 0 { 4 } else { 0 }
}

fn farewell(payload: &[u8]) -> Result<Option<Farewell>, Violation> {
    if payload.is_empty() {
        return Ok(None);
    }
    let (code, reason) = payload.split_first_chunk().ok_or(Violation::Protocol)?;
    let code = u16::from_be_bytes(*code);
    // Those of the RFC and its registry that may be sent, and those for applications.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::Protocol);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
    Ok(Some(Farewell { code, reason: reason.to_owned() }))
}

/// Masks or unmasks.
fn mask(payload: &mut [u8], mask: [u8; 4]) {
    if mask == [0; 4] {
        return;
    }
    // In words, which takes fewer instructions than bytes do.
    let key = u64::from_ne_bytes(std::array::from_fn(|n| mask[n % 4]));
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// Appends a message as one frame, masked if it is a client's: its payload and at most
/// [`MAX_HEAD`] bytes. What a control frame can't hold is cut off.
pub fn put(message: &Message, key: Option<[u8; 4]>, out: &mut impl BufMut) {
    let mut closing = Vec::new();
    let (opcode, payload): (u8, &[u8]) = match message {
        Message::Text(text) => (TEXT, text.as_bytes()),
        Message::Binary(bytes) => (BINARY, bytes),
        Message::Ping(bytes) => (PING, &bytes[..bytes.len().min(MAX_CONTROL)]),
        Message::Pong(bytes) => (PONG, &bytes[..bytes.len().min(MAX_CONTROL)]),
        Message::Close(None) => (CLOSE, &[]),
        Message::Close(Some(Farewell { code, reason })) => {
            closing.extend_from_slice(&code.to_be_bytes());
            let end = reason.floor_char_boundary(MAX_CONTROL - closing.len());
            closing.extend_from_slice(&reason.as_bytes()[..end]);
            (CLOSE, &closing)
        }
    };
    let first = 0x80 | opcode;
    let is_masked = if key.is_some() { 0x80 } else { 0 };
    if payload.len() < 126 {
        out.put_slice(&[first, is_masked | payload.len() as u8]);
    } else if let Ok(length) = u16::try_from(payload.len()) {
        let [high, low] = length.to_be_bytes();
        out.put_slice(&[first, is_masked | 126, high, low]);
    } else {
        out.put_slice(&[first, is_masked | 127]);
        out.put_u64(payload.len() as u64);
    }
    match key {
        None => out.put_slice(payload),
        Some(key) => {
            let mut masked = payload.to_vec();
            mask(&mut masked, key);
            out.put_slice(&key);
            out.put_slice(&masked);
        }
    }
}

#[cfg(test)]
mod tests;
