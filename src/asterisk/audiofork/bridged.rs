//! PURE: streams that are wanted only while their channel is in a bridge (option `b`), and whether it
//! is.
//!
//! What is reported counts for more than what was asked: an answer may be older than the event that
//! has overtaken it.

use std::collections::HashMap;

use crate::tap::facts::StreamId;

/// What is known of each channel that such a stream is of.
#[derive(Debug, Default)]
pub struct Bridged(HashMap<String, Channel>);

#[derive(Debug, Default)]
struct Channel {
    streams: Vec<StreamId>,
    /// Something was reported since it was asked for last.
    reported: bool,
    is_in: bool,
}

impl Bridged {
    /// A stream of a channel, by the channel's unique id. What is known of the channel, if anything.
    pub fn add(&mut self, channel: &str, stream: StreamId) -> Option<bool> {
        let entry = self.0.entry(channel.to_owned()).or_default();
        entry.streams.push(stream);
        entry.reported.then_some(entry.is_in)
    }

    /// A channel has come into a bridge or left it: whose streams change.
    pub fn reported(&mut self, channel: &str, is_in: bool) -> &[StreamId] {
        let Some(entry) = self.0.get_mut(channel) else { return &[] };
        (entry.reported, entry.is_in) = (true, is_in);
        &entry.streams
    }

    /// What Asterisk says to the question; nothing, where it has reported something meanwhile.
    pub fn answered(&mut self, channel: &str, is_in: bool) -> &[StreamId] {
        let Some(entry) = self.0.get_mut(channel) else { return &[] };
        if entry.reported {
            return &[];
        }
        entry.is_in = is_in;
        &entry.streams
    }

    /// Reports were missed: the channels that have to be asked for.
    pub fn missed(&mut self) -> Vec<String> {
        self.0.values_mut().for_each(|channel| channel.reported = false);
        self.0.keys().cloned().collect()
    }

    /// Forgets streams that are over, and channels without any.
    pub fn keep(&mut self, is_up: impl Fn(StreamId) -> bool) {
        self.0.retain(|_, channel| {
            channel.streams.retain(|stream| is_up(*stream));
            !channel.streams.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_answer_that_a_report_has_overtaken_changes_nothing() {
        let mut bridged = Bridged::default();
        let stream = StreamId(Uuid::nil());
        assert_eq!(bridged.add("1.1", stream), None);
        assert_eq!(bridged.reported("1.1", true), [stream]);
        assert!(bridged.answered("1.1", false).is_empty());
        assert_eq!(bridged.add("1.1", StreamId(Uuid::max())), Some(true), "the next knows it");
        assert_eq!(bridged.missed(), ["1.1"]);
        assert_eq!(bridged.answered("1.1", false).len(), 2);
        assert!(bridged.reported("1.2", true).is_empty(), "nobody's channel is not kept");
        bridged.keep(|one| one == stream);
        assert_eq!(bridged.reported("1.1", true), [stream]);
        bridged.keep(|_| false);
        assert!(bridged.missed().is_empty());
    }
}
