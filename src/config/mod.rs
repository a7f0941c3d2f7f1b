//! The files that people write, read into one validated, immutable [`Config`].
//!
//! `json` finds keys and their lines, `item` and `values` read one value, `file` reads `goastgateway.json`,
//! `groups` reads `gag_groups.json`, `check` opens what the files name (certificates, keys),
//! `problem` says what is wrong; `address`, `origin` and `pattern` hold what the types here can
//! do. Everything is parsed and validated before anything is bound: a `Config` that exists can be
//! run.

mod address;
mod ami;
mod ari;
mod audiofork;
mod check;
mod dial;
mod file;
mod groups;
mod item;
mod json;
mod origin;
mod pattern;
mod phones;
mod problem;
mod records;
mod secrets;
mod taps;
mod values;
mod webhooks;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

use crate::media::music::HoldMusic;
pub use address::ListenAddrError;
pub use ari::MAX_TAPPED_CHANNELS;
pub use pattern::PatternError;
use problem::Findings;
pub use problem::{Problem, Problems};
pub use records::{ApiToken, PostgresSettings, RecordSettings, TableSettings};
pub use webhooks::{Chime, EVENTS, Webhook, WebhookFormat};

/// Where the reference looks for its settings.
pub const DEFAULT_CONFIG: &str = "/usr/local/etc/goastgateway.json";
/// Where the reference looks for groups.
pub const DEFAULT_GROUPS: &str = "/usr/local/etc/gag_groups.json";
/// Members of one group. A call keeps room for what each of them may say.
pub const MAX_GROUP_MEMBERS: usize = 500;

/// All settings of one gateway. A connection keeps the snapshot that it began with.
#[derive(Debug, Clone)]
pub struct Config {
    pub asterisk: AsteriskSide,
    pub browser: BrowserSide,
    pub tokens: TokenSettings,
    pub groups: Groups,
    pub calls: CallSettings,
    pub limits: Limits,
    pub log: LogSettings,
    /// Where the operator's HTTP listens; `None` turns it off.
    pub admin_addr: Option<ListenAddr>,
    /// Threads that serve sockets; 1 runs everything on one.
    pub worker_threads: usize,
    /// Asterisk's manager; `None` does without it.
    pub ami: Option<AmiSettings>,
    /// Asterisk's ARI, by which any of its channels can be listened to; `None` does without it.
    pub ari: Option<AriSettings>,
    /// What phones may dial; `None` lets them dial and transfer nothing.
    pub dial: Option<DialSettings>,
    /// What is kept of calls, and who may ask for it.
    pub records: RecordSettings,
    /// Streams and recordings.
    pub taps: crate::tap::Settings,
}

/// How to log in to Asterisk's manager.
#[derive(Debug, Clone)]
pub struct AmiSettings {
    pub host: String,
    pub port: u16,
    pub username: String,
    pub secret: Secret,
    /// `None` speaks plain TCP.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

/// How to use Asterisk's ARI.
#[derive(Debug, Clone)]
pub struct AriSettings {
    /// `http` or `https`, host, port and Asterisk's prefix; no slash at the end.
    pub url: String,
    pub username: String,
    pub password: Secret,
    /// The Stasis application, which is this gateway's alone.
    pub app: String,
    /// The section of websocket_client.conf by which Asterisk brings audio.
    pub connection: String,
    /// Whom to trust; `None` trusts whom the system trusts.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Channels that may be listened to at once, at most [`MAX_TAPPED_CHANNELS`].
    pub max_channels: usize,
}

impl PartialEq for AriSettings {
    /// Whether both mean the same; certificates aside.
    fn eq(&self, other: &Self) -> bool {
        let of =
            |s: &Self| (s.url.clone(), s.username.clone(), s.app.clone(), s.connection.clone());
        of(self) == of(other)
            && (&self.password, self.max_channels, self.tls.is_some())
                == (&other.password, other.max_channels, other.tls.is_some())
    }
}

/// What phones may dial, and how Asterisk does it.
#[derive(Debug, Clone)]
pub struct DialSettings {
    /// The dialplan's context in which numbers are dialled, and to which calls are passed on.
    pub context: String,
    /// The section of websocket_client.conf by which Asterisk opens the phone's leg.
    pub connection: String,
    /// Numbers that may be dialled, and that calls may be passed on to.
    pub allow: NumberPattern,
    /// Calls that an extension may open or pass on in an hour.
    pub per_hour: usize,
    /// How long the far end may take to answer.
    pub timeout: Duration,
    /// The caller's id that the far end sees; `{extension}` stands for the phone's own.
    pub caller_id: String,
    /// Channel variables that a page may set.
    pub variables: Vec<String>,
}

/// Compiled `dial.allow`.
#[derive(Debug, Clone)]
pub struct NumberPattern {
    regex: regex::bytes::Regex,
}

impl PartialEq for AmiSettings {
    /// Whether both mean the same login; certificates aside.
    fn eq(&self, other: &Self) -> bool {
        (&self.host, self.port, &self.username, &self.secret, self.tls.is_some())
            == (&other.host, other.port, &other.username, &other.secret, other.tls.is_some())
    }
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddr {
    /// `":8765"` or `"8765"`: every address of the machine, IPv6 and IPv4 (as Go does).
    AnyPort(u16),
    /// `"127.0.0.1:8765"`, `"[::1]:8765"`, or what a host name resolved to.
    Socket(SocketAddr),
}

/// The side towards the PBX.
#[derive(Debug, Clone)]
pub struct AsteriskSide {
    pub addr: ListenAddr,
    pub allowed: AddressList,
    pub format: FormatSetting,
    /// The channel variable that carries the extension in JSON (`WS_EXTEN`).
    pub extension_variable: String,
    /// Channel variables that say who calls, where the dialplan sets them.
    pub caller_number_variable: Option<String>,
    pub caller_name_variable: Option<String>,
    /// Channel variables that phones are shown.
    pub phone_variables: Vec<String>,
    pub exten_search_pattern: ExtenPattern,
}

/// Which control format Asterisk is expected to speak. A call that speaks the other one is served
/// in its own, with a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FormatSetting {
    #[default]
    Auto,
    Text,
    Json,
}

/// The side towards the browsers.
#[derive(Debug, Clone)]
pub struct BrowserSide {
    pub addr: ListenAddr,
    pub allowed: AddressList,
    /// Proxies whose `X-Forwarded-For` is believed. Empty: nobody's.
    pub trusted_proxies: AddressList,
    pub origins: OriginList,
    /// Pages that may frame the ready-made phone, by their origins. Empty: none.
    pub frame_origins: Vec<String>,
    /// `None` only behind a reverse proxy on a loopback address (`browser_tls: false`).
    pub tls: Option<TlsIdentity>,
}

/// Certificate and key, read, matched and ready for use.
#[derive(Clone)]
pub struct TlsIdentity {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    pub server: Arc<rustls::ServerConfig>,
}

/// Addresses and networks. The empty list is "no restriction" where access is decided and "nobody"
/// where trust is: the two questions have two methods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressList(pub Vec<IpNet>);

/// Which pages may open a phone.
#[derive(Debug, Clone, Default)]
pub struct OriginList {
    /// As written, lower-cased, without a trailing slash and without the scheme's own port. Empty:
    /// every origin.
    pub allowed: Vec<String>,
    /// Whether a client that sends no `Origin` (so no browser) may log in when the list isn't
    /// empty. The reference says no.
    pub allow_missing: bool,
}

/// `ring_timeout`, groups and what a second login means.
#[derive(Debug, Clone)]
pub struct CallSettings {
    pub ring_timeout: Duration,
    pub drain_timeout: Duration,
    pub duplicate_login: DuplicateLogin,
    /// How long a phone whose connection is lost in a call is waited for.
    pub resume_timeout: Duration,
    /// Whether a phone that wants it may be rung in a call.
    pub call_waiting: bool,
    pub hold_music: HoldMusic,
}

/// What happens to a second login for an extension whose first phone is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DuplicateLogin {
    /// The second gets `BUSY` (as the reference).
    #[default]
    Reject,
    /// The first gets `KICKED`.
    Replace,
    /// All of them ring, and the first to answer has the call.
    RingAll,
}

/// Groups by name, in name order.
pub type Groups = BTreeMap<String, Group>;

/// Phones that are rung together or in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub strategy: Strategy,
    /// At least one; no name twice.
    pub members: Vec<String>,
    /// `ringall`: how long all ring. `sequential`: how long each rings.
    pub timeout: Duration,
    /// `sequential`: how often to go round; `None` until Asterisk gives up.
    pub rounds: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    RingAll,
    Sequential,
}

/// What a flood cannot pass.
#[derive(Debug, Clone)]
pub struct Limits {
    /// TLS and HTTP head together.
    pub handshake_timeout: Duration,
    /// From the 101 to MEDIA_START.
    pub first_message_timeout: Duration,
    /// Open browser connections for one address; loopback is not limited.
    pub connections_per_address: usize,
    /// Open connections, of each listener.
    pub connections: usize,
    /// Failed logins for one address and minute; then 429 until the minute is over. Loopback is
    /// not limited.
    pub login_failures_per_minute: u32,
    /// Longest message of a phone in bytes; a frame has 640.
    pub phone_message: usize,
    /// Longest message of Asterisk in bytes: MEDIA_START with all channel variables.
    pub asterisk_message: usize,
}

#[derive(Debug, Clone)]
pub struct LogSettings {
    pub level: tracing::level_filters::LevelFilter,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Keys that tokens are verified with; see `phone::token`.
#[derive(Clone)]
pub struct TokenSettings {
    pub verifier: Arc<crate::phone::token::Verifier>,
    /// The first secret, for `goastgateway token`; absent where only a public key is configured.
    pub signing_secret: Option<Secret>,
}

/// A string that never shows itself in `Debug` or a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Compiled `exten_search_pattern`.
#[derive(Debug, Clone)]
pub struct ExtenPattern {
    regex: regex::bytes::Regex,
}

/// The files of one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    pub config: PathBuf,
    pub groups: GroupsFile,
}

/// Where groups are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupsFile {
    /// The usual place; a missing file means no groups.
    IfPresent(PathBuf),
    /// Named by the operator (`-g`), so it must exist.
    Required(PathBuf),
}

impl Default for Files {
    fn default() -> Self {
        Self {
            config: PathBuf::from(DEFAULT_CONFIG),
            groups: GroupsFile::IfPresent(PathBuf::from(DEFAULT_GROUPS)),
        }
    }
}

impl GroupsFile {
    pub fn path(&self) -> &Path {
        match self {
            Self::IfPresent(path) | Self::Required(path) => path,
        }
    }
}

/// What [`load`] gives.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// What works but may not be meant, one line each; to be logged at `warn`.
    pub warnings: Vec<String>,
}

/// Reads and validates everything that the files say and name. Opens no socket; the only thing
/// that it asks of the world besides files is the address of a host name.
pub fn load(files: &Files) -> Result<Loaded, Problems> {
    let findings = Findings::default();
    let config = file::read(&files.config, &findings);
    let groups = groups::read(&files.groups, &findings);
    outcome(config, groups, findings)
}

/// [`load`] of texts that stand in no file, for fuzzers.
#[doc(hidden)]
pub fn read_texts(config: &str, groups: &str) -> Result<Loaded, Problems> {
    let findings = Findings::default();
    let config = file::parse(&json::Sheet::new(Path::new("config"), config, &findings));
    let groups = groups::parse(&json::Sheet::new(Path::new("groups"), groups, &findings));
    outcome(config, groups, findings)
}

fn outcome(config: Option<Config>, groups: Groups, findings: Findings) -> Result<Loaded, Problems> {
    let failed = findings.any_problem();
    let (problems, warnings) = findings.into_parts();
    match config {
        Some(mut config) if !failed => {
            config.groups = groups;
            Ok(Loaded { config, warnings })
        }
        _ => Err(problems),
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cert_file, key_file, server: _ } = self;
        f.debug_struct("TlsIdentity").field("cert", cert_file).field("key", key_file).finish()
    }
}

impl fmt::Debug for TokenSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verifier, signing_secret } = self;
        let mut shown = f.debug_struct("TokenSettings");
        shown.field("verifier", verifier).field("signing_secret", signing_secret).finish()
    }
}
