//! What the configuration wants to hear.

use std::sync::Arc;

use super::{filter::Filter, recorder, spec::StreamSpec};

/// Streams and recordings of calls that begin.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub streams: Vec<Configured>,
    pub recording: Option<Recordings>,
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
