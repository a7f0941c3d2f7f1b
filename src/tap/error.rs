//! Why something was not done.

/// Why nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// It isn't up, or isn't answered yet.
    #[error("no such call")]
    NoSuchCall,
    /// Asterisk has none of this name, or it is over.
    #[error("Asterisk has no such channel")]
    NoSuchChannel,
    #[error("{0} channels are listened to, and more are not allowed (\"max_channels\" of \"ari\")")]
    TooManyChannels(usize),
    /// For a channel that isn't a call of the gateway, and `ari` is not configured.
    #[error("no call of the gateway has this channel, and the configuration has no \"ari\"")]
    NoAri,
    #[error("Asterisk refused: {0}")]
    Asterisk(String),
    /// It records already.
    #[error("the call is being recorded")]
    Recording,
    #[error("the configuration has no \"recording\"")]
    NoRecording,
    #[error("no recording can begin: {0}")]
    Disk(String),
    #[error("the call has {0} streams, and may not have more")]
    TooMany(usize),
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

/// What was named isn't there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such call, stream or recording")]
pub struct NotThere;

/// Why a recording can't be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("no such recording")]
    NotThere,
    #[error("the store can't be read: {0}")]
    Store(String),
}
