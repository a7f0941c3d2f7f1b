//! What the configuration wants to hear.

use std::sync::Arc;

use super::{audiofork, filter::Filter, recorder, spec::StreamSpec};

/// Streams and recordings of calls that begin.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub streams: Vec<Configured>,
    pub recording: Option<Recordings>,
    /// Whether and where to events of the manager and the dialplan may send audio.
    pub audiofork: Option<audiofork::Settings>,
}

impl Settings {
    /// The certificates of the configured stream of this name, which a stream that is asked for may
    /// use: it can't name files of this machine itself.
    pub fn certificates(&self, name: &str) -> Option<Arc<rustls::ClientConfig>> {
        let named = self.streams.iter().filter(|stream| stream.spec.name == name);
        named.filter_map(|stream| stream.spec.reach.tls.clone()).next()
    }
}

/// A stream of every call that the filter admits.
#[derive(Debug, Clone)]
pub struct Configured {
    pub only: Filter,
    pub spec: Arc<StreamSpec>,
}

/// How calls are recorded, and which.
#[derive(Debug, Clone)]
pub struct Recordings {
    pub settings: recorder::Settings,
    /// Every call that the filter admits; else only where somebody asks for it.
    pub always: bool,
    pub only: Filter,
}

impl Settings {
    /// Channel variables that streams and recordings choose channels of Asterisk by.
    pub fn variables_of_channels(&self) -> Vec<String> {
        let streams = self.streams.iter().map(|stream| &stream.only);
        let filters = streams.chain(self.recording.iter().map(|recording| &recording.only));
        let named = filters.filter(|only| !only.channels.is_empty());
        named.flat_map(|only| only.variables.iter().map(|(name, _)| name.clone())).collect()
    }
}
