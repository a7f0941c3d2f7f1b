//! As much of RFC 6455 as a benchmark needs: whole frames, no fragments, no extensions.

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Where a frame's payload lies in the bytes that begin with it.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    pub opcode: u8,
    pub mask: Option<[u8; 4]>,
    pub start: usize,
    pub end: usize,
}

/// The frame at the beginning of these bytes, if it is whole.
pub fn frame(bytes: &[u8]) -> Option<Frame> {
    let (&[first, second], _) = bytes.split_first_chunk::<2>()?;
    let (length, mut start) = match second & 0x7f {
        126 => (u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize, 4),
        127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize, 10),
        short => (short as usize, 2),
    };
    let mut mask = None;
    if second & 0x80 != 0 {
        mask = Some(*bytes.get(start..)?.first_chunk()?);
        start += 4;
    }
    let end = start.checked_add(length)?;
    (bytes.len() >= end).then_some(Frame { opcode: first & 0x0f, mask, start, end })
}

/// Masks or unmasks.
pub fn mask(payload: &mut [u8], key: [u8; 4]) {
    let wide = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let mut words = payload.chunks_exact_mut(8);
    for word in &mut words {
        let plain = u64::from_ne_bytes([
            word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7],
        ]);
        word.copy_from_slice(&(plain ^ wide).to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// Appends a frame.
pub fn put(out: &mut Vec<u8>, opcode: u8, key: Option<[u8; 4]>, payload: &[u8]) {
    let masked = if key.is_some() { 0x80 } else { 0 };
    out.push(0x80 | opcode);
    match payload.len() {
        short @ 0..=125 => out.push(masked | short as u8),
        long => {
            out.push(masked | 126);
            out.extend_from_slice(&u16::try_from(long).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    if let Some(key) = key {
        out.extend_from_slice(&key);
    }
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        mask(&mut out[start..], key);
    }
}
