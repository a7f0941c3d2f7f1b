//! What is remembered of a channel that is listened to, and what whoever asked for it is told.

use std::{sync::Arc, time::Instant};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::super::{
    message::{Channel, Words},
    part::Part,
    steps::{Failure, Order, Steps, Why},
};
use crate::tap::{StartError, TapLine, channel::Ear};

/// A channel that is listened to, or is to be.
pub(super) struct Tap {
    /// As it was asked for.
    pub(super) asked: String,
    /// Absent until Asterisk has been asked for it.
    pub(super) channel: Option<Channel>,
    pub(super) steps: Option<Steps>,
    pub(super) waiting: Vec<oneshot::Sender<Result<Uuid, StartError>>>,
    /// While it is heard. Dropping it ends the call that it is to those who listen.
    pub(super) line: Option<Arc<TapLine>>,
    pub(super) ears: Vec<Arc<Ear>>,
    pub(super) unwanted_since: Option<Instant>,
}

impl Tap {
    pub(super) fn new(asked: String, answer: oneshot::Sender<Result<Uuid, StartError>>) -> Self {
        Self {
            asked,
            channel: None,
            steps: None,
            waiting: vec![answer],
            line: None,
            ears: Vec::new(),
            unwanted_since: None,
        }
    }

    /// Whether it is this channel's, and goes on.
    pub(super) fn is_of(&self, channel: &str) -> bool {
        let known = |known: &Channel| known.id == channel || known.name == channel;
        let goes_on = self.line.is_some() || !self.waiting.is_empty();
        goes_on && (self.asked == channel || self.channel.as_ref().is_some_and(known))
    }

    pub(super) fn answer(&mut self, answer: &Result<Uuid, StartError>) {
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(answer.clone());
        }
    }
}

impl Words {
    /// A failure, for whoever asked.
    pub(super) fn explain(&self, failure: &Failure) -> StartError {
        let connection = &self.connection;
        match failure {
            Failure::NoSuchChannel | Failure::Ended(Why::ChannelOver) => StartError::NoSuchChannel,
            Failure::Ended(Why::Stopping) => StartError::Stopping,
            Failure::Ended(_) => StartError::Asterisk("it went away meanwhile".to_owned()),
            Failure::Refused(Order::Make(Part::Media(_)), why) => StartError::Asterisk(format!(
                "externalMedia by [{connection}]: {why}; look at websocket_client.conf"
            )),
            Failure::Refused(Order::Make(Part::Snoop(_)), why) => {
                StartError::Asterisk(format!("snoop: {why}"))
            }
            Failure::Refused(_, why) => StartError::Asterisk(format!("bridge: {why}")),
            Failure::Time => StartError::Asterisk(format!(
                "no audio in time; look whether [{connection}] in websocket_client.conf leads here"
            )),
        }
    }
}
