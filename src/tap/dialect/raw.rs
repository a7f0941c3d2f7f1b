//! ast-streamer's and audiofork's: binary frames of signed 16-bit samples, 20 ms each, one side a
//! connection, and nothing else.

use bytes::Bytes;

use super::{Context, Msg};
use crate::{
    media::slot::{mix, to_bytes},
    tap::{
        facts::Side,
        queue::Item,
        spec::{self, Rate},
    },
};

#[derive(Debug)]
pub struct Raw {
    side: Side,
    rate: Rate,
}

impl Raw {
    pub fn new(spec: &spec::Raw, context: &Context) -> Self {
        Self { side: context.side.unwrap_or(Side::Mix), rate: spec.rate }
    }

    pub fn item(&self, item: &Item, out: &mut Vec<Msg>) {
        let Item::Slot(both) = item else { return };
        let (left, right): (&[i16], &[i16]) = match (self.rate, &both.narrow) {
            (Rate::Narrow, Some(narrow)) => (&narrow.left, &narrow.right),
            _ => (&both.wide.left, &both.wide.right),
        };
        let mut bytes = Vec::with_capacity(2 * left.len());
        match self.side {
            Side::Left => to_bytes(left.iter().copied(), &mut bytes),
            Side::Right => to_bytes(right.iter().copied(), &mut bytes),
            Side::Mix => to_bytes(mix(left, right), &mut bytes),
        }
        out.push(Msg::Binary(Bytes::from(bytes)));
    }
}
