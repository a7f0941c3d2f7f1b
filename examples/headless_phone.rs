//! A phone without a head: logs in at the gateway, is rung, answers, speaks a
//! known signal at exactly 50 frames a second, and measures what comes back.
//!
//! For the demo, for tests and for a machine that one wants to check from the
//! shell. It speaks the plain-text dialect, as a page written for the Go gateway
//! does. Its exit code is 0 only when audio went both ways.
//!
//! What it promises: the measuring (`mod measure`, `mod signal`, `mod wav`) is
//! pure, and knows no clock and no socket; the session only records what was
//! sent and heard, and when.

// Clocks and sleeps are this program's business: it paces and it measures.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

/// 20 ms of 16 kHz mono: the only frame that the dialect knows.
const FRAME: usize = 320;
const RATE: usize = 16_000;
const FRAME_TIME: Duration = Duration::from_millis(20);
/// Nothing that a healthy gateway does at login takes longer.
const LOGIN_TIME: Duration = Duration::from_secs(10);

#[derive(Parser)]
#[command(
    name = "headless_phone",
    about = "A phone for the shell: logs in, answers one call, and measures the audio both ways.",
    after_help = "Examples:\n  \
        headless_phone --ca cert.pem 'https://localhost:8766/#token=…' --echo\n  \
        GOASTGATEWAY_TOKEN=… headless_phone --ca cert.pem wss://localhost:8766/phone --json\n  \
        headless_phone --ca cert.pem LINK --echo -- script/asterisk call DIR 2001 --app echo\n\n\
        Exit code: 0 audio went both ways, 1 it did not (the reasons are told), 2 wrong arguments.\n\
        What was *sent* is known to have arrived only with --echo, or from a record made by Asterisk."
)]
struct Arguments {
    /// The link that `goastgateway token --url` prints, or wss://HOST:PORT/phone
    link: String,
    /// The token, when the link has none (better in the environment: GOASTGATEWAY_TOKEN)
    #[arg(long)]
    token: Option<String>,
    /// Trust this certificate, or what this CA has signed (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The Origin to give; without it, the one that the gateway's own page has
    #[arg(long)]
    origin: Option<String>,
    /// Wait that many seconds for a call
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    wait: f64,
    /// Let it ring that many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    answer_after: f64,
    /// Never answer: let it ring until the other side gives up
    #[arg(long)]
    never_answer: bool,
    /// Hang up after talking that many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 6.0)]
    talk: f64,
    /// Speak this WAV file (16 bits, 8 or 16 kHz), again and again, instead of chirps
    #[arg(long, value_name = "FILE")]
    speak: Option<PathBuf>,
    /// The other side is an echo: find what was sent in what came back, and time it
    #[arg(long)]
    echo: bool,
    /// The other side plays this WAV file: check that this is what was heard
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Keep what was heard (WAV)
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Run this once logged in, e.g. what places the call; its output goes to standard error
    #[arg(last = true, value_name = "COMMAND")]
    then: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(why) => return complain(&format!("cannot start: {why}")),
        };
    match runtime.block_on(run(&arguments)) {
        Ok(report) => {
            if arguments.json {
                match serde_json::to_string_pretty(&report) {
                    Ok(text) => println!("{text}"),
                    Err(why) => return complain(&format!("cannot print the report: {why}")),
                }
            } else {
                print!("{}", report.for_people());
            }
            if report.both_ways { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => complain(&why),
    }
}

fn complain(why: &str) -> ExitCode {
    eprintln!("headless_phone: {why}");
    ExitCode::FAILURE
}

async fn run(arguments: &Arguments) -> Result<measure::Report, String> {
    let spoken = match &arguments.speak {
        Some(file) => read_wav(file)?,
        None => signal::chirps(60),
    };
    let expected = arguments.expect.as_deref().map(read_wav).transpose()?;
    if spoken.len() < FRAME {
        return Err("the file to speak is shorter than one frame".to_owned());
    }
    let account = session(arguments, &spoken).await?;
    if let Some(file) = &arguments.save {
        std::fs::write(file, wav::write(&account.heard_samples()))
            .map_err(|why| format!("{}: {why}", file.display()))?;
    }
    Ok(measure::report(&account, arguments.echo, expected.as_deref()))
}

fn read_wav(file: &Path) -> Result<Vec<i16>, String> {
    let bytes = std::fs::read(file).map_err(|why| format!("{}: {why}", file.display()))?;
    wav::read(&bytes).map_err(|why| format!("{}: {why}", file.display()))
}

// ---------------------------------------------------------------- the session

trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// Where to log in, taken apart from whatever form of link was given.
#[derive(Debug, PartialEq)]
struct Target {
    tls: bool,
    /// As certificates name it: an IPv6 address without its brackets.
    host: String,
    port: u16,
    /// As it stands in the link, for Origin.
    authority: String,
    path: String,
    token: Option<String>,
}

impl Target {
    fn parse(link: &str) -> Result<Self, String> {
        // The page keeps its token behind '#', so that it is never sent as part of
        // a URL; the socket carries it as a query, as the dialect wants.
        let (address, token) = match link.split_once("token=") {
            Some((before, rest)) => {
                let token = rest.split('&').next().unwrap_or_default();
                (before.trim_end_matches(['#', '?', '&']), Some(token.to_owned()))
            }
            None => (link.trim_end_matches(['#', '?']), None),
        };
        let uri: Uri =
            address.parse().map_err(|why| format!("'{address}' is not a link: {why}"))?;
        let tls = match uri.scheme_str() {
            Some("https" | "wss") => true,
            Some("http" | "ws") => false,
            _ => return Err(format!("'{address}' does not begin with https:// or wss://")),
        };
        let host = uri.host().ok_or_else(|| format!("'{address}' names no host"))?;
        let path = match uri.path() {
            "" | "/" => "/phone",
            other => other,
        };
        Ok(Self {
            tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: uri.authority().map(ToString::to_string).unwrap_or_default(),
            path: path.to_owned(),
            token,
        })
    }
}

async fn connect(target: &Target, ca: Option<&Path>) -> Result<Box<dyn Pipe>, String> {
    let place = format!("{}:{}", target.host, target.port);
    let tcp = TcpStream::connect((target.host.as_str(), target.port))
        .await
        .map_err(|why| format!("cannot reach {place}: {why}"))?;
    let _ = tcp.set_nodelay(true);
    if !target.tls {
        return Ok(Box::new(tcp));
    }
    let ca = ca.ok_or(
        "an https:// or wss:// link needs --ca FILE: the gateway's certificate, or its CA's",
    )?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(ca).map_err(|why| format!("{}: {why}", ca.display()))?
    {
        let certificate = certificate.map_err(|why| format!("{}: {why}", ca.display()))?;
        roots.add(certificate).map_err(|why| format!("{}: {why}", ca.display()))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(target.host.clone()).map_err(|why| why.to_string())?;
    let tls = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .map_err(|why| format!("TLS with {place}: {why}"))?;
    Ok(Box::new(tls))
}

/// What the reader hands on: when it came, and what it was.
enum Came {
    Word(String),
    Audio(Vec<i16>),
    Closed,
}

/// One call, from login to its end, as it was seen: nothing is judged here.
async fn session(arguments: &Arguments, spoken: &[i16]) -> Result<measure::Account, String> {
    let mut target = Target::parse(&arguments.link)?;
    target.token = target
        .token
        .or_else(|| arguments.token.clone())
        .or_else(|| std::env::var("GOASTGATEWAY_TOKEN").ok());
    let token =
        target.token.clone().ok_or("no token: in the link, --token, or GOASTGATEWAY_TOKEN")?;
    let scheme = if target.tls { ("wss", "https") } else { ("ws", "http") };
    let mut request = format!("{}://{}{}?token={token}", scheme.0, target.authority, target.path)
        .into_client_request()
        .map_err(|_| "the token has characters that no URL may have".to_owned())?;
    let origin =
        arguments.origin.clone().unwrap_or_else(|| format!("{}://{}", scheme.1, target.authority));
    let origin =
        HeaderValue::from_str(&origin).map_err(|_| "--origin is not a header value".to_owned())?;
    request.headers_mut().insert("Origin", origin);

    let login = async {
        let pipe = connect(&target, arguments.ca.as_deref()).await?;
        match tokio_tungstenite::client_async(request, pipe).await {
            Ok((socket, _)) => Ok(socket),
            Err(WsError::Http(answer)) => {
                Err(format!("the gateway refused the login: {}", answer.status()))
            }
            Err(why) => Err(format!("the gateway did not take the login: {why}")),
        }
    };
    let socket =
        timeout(LOGIN_TIME, login).await.map_err(|_| "the login took too long".to_owned())??;
    let (mut to_gateway, mut from_gateway) = socket.split();

    // A task of its own reads, so that an arrival is timed when it arrives and not
    // when the sender has a moment. Unbounded: one call of known length.
    let (tell, mut told) = mpsc::unbounded_channel::<(Instant, Came)>();
    let reader = tokio::spawn(async move {
        loop {
            let came = match from_gateway.next().await {
                Some(Ok(Message::Text(text))) => Came::Word(text.as_str().to_owned()),
                Some(Ok(Message::Binary(bytes))) => Came::Audio(wav::samples(&bytes)),
                Some(Ok(Message::Close(_)) | Err(_)) | None => Came::Closed,
                Some(Ok(_)) => continue,
            };
            let last = matches!(came, Came::Closed);
            if tell.send((Instant::now(), came)).is_err() || last {
                return;
            }
        }
    });

    let then = start_command(&arguments.then)?;
    let start = Instant::now();
    let mut account = measure::Account::default();
    let since = |at: Instant| at.duration_since(start).as_secs_f64();
    let after = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX / 4);
    let far = start + Duration::from_secs(86_400);

    // When the next thing of our own is due; `far` means never.
    let mut give_up = start + after(arguments.wait);
    let mut answer_at = far;
    let mut hang_up_at = far;
    let mut next_frame = far;
    let mut frames = spoken.chunks_exact(FRAME).cycle();

    account.ended = loop {
        let due = give_up.min(answer_at).min(hang_up_at).min(next_frame);
        tokio::select! {
            biased;
            came = told.recv() => {
                let Some((at, came)) = came else { break measure::Ended::Closed };
                match came {
                    Came::Word(word) => match word.trim() {
                        "RINGING" if account.rang.is_none() => {
                            account.rang = Some(since(at));
                            give_up = far;
                            if arguments.never_answer { hang_up_at = far } else { answer_at = at + after(arguments.answer_after) }
                        }
                        "HANGUP" => break measure::Ended::Gateway,
                        "BUSY" => break measure::Ended::Busy,
                        "KICKED" => break measure::Ended::Kicked,
                        "RINGING" => {}
                        other => account.strange.push(other.to_owned()),
                    },
                    Came::Audio(samples) => account.heard.push(measure::Frame { at: since(at), samples }),
                    Came::Closed => break measure::Ended::Closed,
                }
            }
            () = sleep_until(due) => {
                let now = Instant::now();
                let sent = if due == give_up {
                    break measure::Ended::NobodyCalled;
                } else if due == answer_at {
                    answer_at = far;
                    account.answered = Some(since(now));
                    hang_up_at = now + after(arguments.talk);
                    next_frame = now;
                    to_gateway.send(Message::text("ANSWER")).await
                } else if due == hang_up_at {
                    let _ = to_gateway.send(Message::text("HANGUP")).await;
                    break measure::Ended::Phone;
                } else {
                    // The schedule is counted from the answer, not from the last
                    // frame, so that a late one does not make all later ones late.
                    let samples = frames.next().unwrap_or(&[]).to_vec();
                    let bytes = wav::bytes(&samples);
                    account.late = account.late.max(since(now) - since(due));
                    account.sent.push(measure::Frame { at: since(now), samples });
                    next_frame = due + FRAME_TIME;
                    to_gateway.send(Message::binary(bytes)).await
                };
                if sent.is_err() {
                    break measure::Ended::Closed;
                }
            }
        }
    };
    // A word of goodbye, so that the gateway sees a log-off and not a lost line.
    let _ = timeout(Duration::from_millis(500), to_gateway.close()).await;
    reader.abort();
    if let Some(mut then) = then {
        let _ = then.wait();
    }
    Ok(account)
}

/// Starts what is to be run once the phone is there to be rung.
fn start_command(words: &[String]) -> Result<Option<std::process::Child>, String> {
    let Some((program, rest)) = words.split_first() else { return Ok(None) };
    // Standard output is for the report alone.
    let output = std::io::stderr().as_fd().try_clone_to_owned().map_err(|why| why.to_string())?;
    std::process::Command::new(program)
        .args(rest)
        .stdin(std::process::Stdio::null())
        .stdout(output)
        .spawn()
        .map(Some)
        .map_err(|why| format!("cannot run {program}: {why}"))
}

// -------------------------------------------------------------- the measuring

/// Pure: an account of a call in, a report out.
mod measure {
    use super::{FRAME, RATE, signal};
    use serde::Serialize;
    use std::fmt::Write as _;

    /// Quieter than this is silence: -60 dB below full scale.
    const SILENCE_DBFS: f64 = -60.0;
    /// Half a second of sound that is not silence: a click is no conversation.
    const ENOUGH_FRAMES: usize = 25;
    /// How alike two stretches of sound have to be to be the same one. Unrelated
    /// ones reach 0.2; a codec's losses leave 0.9.
    const ALIKE: f64 = 0.5;
    /// One look: long enough to be unmistakable, short enough to follow a change.
    const WINDOW: usize = RATE;
    const STEP: usize = RATE / 2;
    /// An echo that takes longer than this is not looked for.
    const LONGEST_ROUND_TRIP: f64 = 6.0;

    #[derive(Debug, Clone, PartialEq)]
    pub struct Frame {
        /// Seconds since the login.
        pub at: f64,
        pub samples: Vec<i16>,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Ended {
        #[default]
        NobodyCalled,
        /// This phone hung up, when it had talked long enough.
        Phone,
        /// The gateway said HANGUP.
        Gateway,
        /// The gateway said BUSY: somebody else is logged in.
        Busy,
        /// Another login has taken this one's place.
        Kicked,
        /// The connection closed without a word.
        Closed,
    }

    #[derive(Debug, Default)]
    pub struct Account {
        pub rang: Option<f64>,
        pub answered: Option<f64>,
        pub sent: Vec<Frame>,
        pub heard: Vec<Frame>,
        /// How late the latest frame was sent, seconds.
        pub late: f64,
        /// Words that the dialect does not have.
        pub strange: Vec<String>,
        pub ended: Ended,
    }

    impl Account {
        pub fn heard_samples(&self) -> Vec<i16> {
            self.heard.iter().flat_map(|frame| frame.samples.iter().copied()).collect()
        }
    }

    #[derive(Debug, Serialize)]
    pub struct Report {
        pub both_ways: bool,
        /// Why not, in words; empty when audio went both ways.
        pub reasons: Vec<String>,
        pub ended: Ended,
        pub login_to_ring_ms: Option<f64>,
        pub ring_to_answer_ms: Option<f64>,
        pub answer_to_first_audio_ms: Option<f64>,
        pub frames_up: usize,
        pub frames_down: usize,
        /// By how much this phone itself was late in sending, at worst.
        pub late_up_ms: f64,
        pub inter_arrival_ms: Option<Spread>,
        pub level_up_dbfs: Option<f64>,
        pub level_down_dbfs: Option<f64>,
        /// Of the frames that came, how many were silence: 0 to 1.
        pub silent_share: Option<f64>,
        pub round_trip: Option<RoundTrip>,
        /// Of what was heard, how much is what --expect named: 0 to 1.
        pub expected_share: Option<f64>,
        pub strange_words: Vec<String>,
    }

    #[derive(Debug, Serialize)]
    pub struct Spread {
        pub p50: f64,
        pub p99: f64,
        pub max: f64,
    }

    #[derive(Debug, Serialize)]
    pub struct RoundTrip {
        pub p50_ms: f64,
        pub max_ms: f64,
        pub last_ms: f64,
        /// Of the stretches looked for, how many were found: 0 to 1.
        pub found: f64,
        pub series: Vec<Look>,
    }

    /// One stretch of what was sent, found again in what came back.
    #[derive(Debug, Clone, Serialize)]
    pub struct Look {
        /// When it was sent, seconds since the login.
        pub at_s: f64,
        pub ms: f64,
        /// 1 is identical.
        pub likeness: f64,
    }

    pub fn report(account: &Account, echo: bool, expected: Option<&[i16]>) -> Report {
        let gaps: Vec<f64> =
            account.heard.windows(2).map(|pair| (pair[1].at - pair[0].at) * 1000.0).collect();
        let silent =
            account.heard.iter().filter(|frame| level(&frame.samples) < SILENCE_DBFS).count();
        let heard = account.heard_samples();
        let sent: Vec<i16> =
            account.sent.iter().flat_map(|frame| frame.samples.iter().copied()).collect();
        let round_trip = if echo { round_trips(account) } else { None };
        let expected_share = expected.map(|expected| share_found(&heard, expected));

        let mut reasons = Vec::new();
        match (account.rang, account.answered) {
            (None, _) => reasons.push("nobody called".to_owned()),
            (_, None) => reasons.push("the call ended before it was answered".to_owned()),
            _ => {}
        }
        if account.answered.is_some() {
            if account.sent.is_empty() {
                reasons.push("nothing was sent".to_owned());
            }
            if account.heard.is_empty() {
                reasons.push("nothing was heard".to_owned());
            } else if account.heard.len() - silent < ENOUGH_FRAMES {
                reasons.push(format!(
                    "only silence was heard ({silent} of {} frames)",
                    account.heard.len()
                ));
            }
            if echo && !round_trip.as_ref().is_some_and(|trip| trip.found >= 0.5) {
                reasons.push("what was sent did not come back".to_owned());
            }
            if expected_share.is_some_and(|share| share < 0.5) {
                reasons.push("what was heard is not what was expected".to_owned());
            }
        }
        let between = |from: Option<f64>, to: Option<f64>| Some((to? - from?) * 1000.0);
        let first = account.answered.and_then(|answered| {
            account.heard.iter().map(|frame| frame.at).find(|at| *at >= answered)
        });
        Report {
            both_ways: reasons.is_empty(),
            reasons,
            ended: account.ended,
            login_to_ring_ms: between(Some(0.0), account.rang),
            ring_to_answer_ms: between(account.rang, account.answered),
            answer_to_first_audio_ms: between(account.answered, first),
            frames_up: account.sent.len(),
            frames_down: account.heard.len(),
            late_up_ms: account.late * 1000.0,
            inter_arrival_ms: spread(gaps),
            level_up_dbfs: (!sent.is_empty()).then(|| level(&sent)),
            level_down_dbfs: (!heard.is_empty()).then(|| level(&heard)),
            silent_share: (!account.heard.is_empty())
                .then(|| silent as f64 / account.heard.len() as f64),
            round_trip,
            expected_share,
            strange_words: account.strange.clone(),
        }
    }

    impl Report {
        pub fn for_people(&self) -> String {
            let mut out = String::new();
            let ms =
                |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.0} ms"));
            let db = |value: Option<f64>| {
                value.map_or_else(|| "-".to_owned(), |v| format!("{v:.0} dBFS"))
            };
            let _ = writeln!(out, "  waited for the ring     {}", ms(self.login_to_ring_ms));
            let _ =
                writeln!(out, "  answer to first audio   {}", ms(self.answer_to_first_audio_ms));
            let _ = writeln!(
                out,
                "  frames                  {} up, {} down (level {} up, {} down)",
                self.frames_up,
                self.frames_down,
                db(self.level_up_dbfs),
                db(self.level_down_dbfs)
            );
            if let Some(gaps) = &self.inter_arrival_ms {
                let _ = writeln!(
                    out,
                    "  between two frames      {:.1} ms (99 % under {:.1}, at most {:.1})",
                    gaps.p50, gaps.p99, gaps.max
                );
            }
            if let Some(share) = self.silent_share {
                let _ = writeln!(out, "  silence in what came    {:.0} %", share * 100.0);
            }
            if let Some(trip) = &self.round_trip {
                let _ = writeln!(
                    out,
                    "  round trip              {:.0} ms (at most {:.0}; {:.0} % of what was sent came back)",
                    trip.p50_ms,
                    trip.max_ms,
                    trip.found * 100.0
                );
            }
            if let Some(share) = self.expected_share {
                let _ = writeln!(
                    out,
                    "  as expected             {:.0} % of what was heard",
                    share * 100.0
                );
            }
            for word in &self.strange_words {
                let _ = writeln!(out, "  unknown word            {word:?}");
            }
            match self.reasons.as_slice() {
                [] => out.push_str("  audio went both ways\n"),
                reasons => {
                    let _ = writeln!(out, "  NOT both ways: {}", reasons.join("; "));
                }
            }
            out
        }
    }

    /// The level of a stretch, in dB below full scale; silence is -100.
    pub fn level(samples: &[i16]) -> f64 {
        if samples.is_empty() {
            return -100.0;
        }
        let power =
            samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64;
        (10.0 * (power / 32768f64.powi(2)).log10()).max(-100.0)
    }

    pub fn spread(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let at =
            |share: f64| values.get(((values.len() - 1) as f64 * share).round() as usize).copied();
        if values.is_empty() {
            return None;
        }
        Some(Spread { p50: at(0.5)?, p99: at(0.99)?, max: at(1.0)? })
    }

    /// Finds each stretch of what was sent in what came back, and tells how long
    /// it took: from the frame it left in, to the frame it arrived in. Frames that
    /// got lost or were added on the way only move the stretch, and do not confuse.
    pub fn round_trips(account: &Account) -> Option<RoundTrip> {
        let sent: Vec<i16> =
            account.sent.iter().flat_map(|frame| frame.samples.iter().copied()).collect();
        let heard = account.heard_samples();
        // Where each frame begins in the stream, to get from a sample to a time.
        let starts = |frames: &[Frame]| -> Vec<usize> {
            frames
                .iter()
                .scan(0, |at, frame| {
                    let here = *at;
                    *at += frame.samples.len();
                    Some(here)
                })
                .collect()
        };
        let (sent_starts, heard_starts) = (starts(&account.sent), starts(&account.heard));
        let time = |frames: &[Frame], starts: &[usize], sample: usize| -> Option<f64> {
            let index = starts.partition_point(|start| *start <= sample).checked_sub(1)?;
            Some(frames.get(index)?.at + (sample - starts[index]) as f64 / RATE as f64)
        };
        let end = account.heard.last()?.at;
        let mut looked = 0usize;
        let mut series = Vec::new();
        for from in (0..sent.len().saturating_sub(WINDOW)).step_by(STEP) {
            let window = &sent[from..from + WINDOW];
            let left = time(&account.sent, &sent_starts, from)?;
            // Silence is found everywhere; and what was sent just before the end
            // had no time to come back.
            if level(window) < SILENCE_DBFS || left + WINDOW as f64 / RATE as f64 + 0.5 > end {
                continue;
            }
            looked += 1;
            // What arrived before it was sent is not its echo.
            let first = account.heard.partition_point(|frame| frame.at < left);
            let last = account.heard.partition_point(|frame| frame.at < left + LONGEST_ROUND_TRIP);
            let Some(begin) = heard_starts.get(first).copied() else { continue };
            let until = heard_starts.get(last).copied().unwrap_or(heard.len());
            let until = (until + WINDOW).min(heard.len());
            if let Some((offset, likeness)) = signal::find(window, &heard[begin..until])
                && likeness >= ALIKE
                && let Some(arrived) = time(&account.heard, &heard_starts, begin + offset)
            {
                series.push(Look { at_s: left, ms: (arrived - left) * 1000.0, likeness });
            }
        }
        let times = spread(series.iter().map(|look| look.ms).collect())?;
        Some(RoundTrip {
            p50_ms: times.p50,
            max_ms: times.max,
            last_ms: series.last()?.ms,
            found: series.len() as f64 / looked.max(1) as f64,
            series,
        })
    }

    /// Of the stretches of `heard` that are not silent, the share that is
    /// somewhere in `expected`, which may have been played more than once.
    pub fn share_found(heard: &[i16], expected: &[i16]) -> f64 {
        let mut looped = expected.to_vec();
        looped.extend_from_slice(&expected[..expected.len().min(WINDOW)]);
        let (mut looked, mut found) = (0usize, 0usize);
        for window in heard.chunks_exact(WINDOW) {
            // Mostly silent stretches prove nothing either way.
            let loud = window.chunks(FRAME).filter(|frame| level(frame) >= SILENCE_DBFS).count();
            if loud < WINDOW / FRAME / 2 {
                continue;
            }
            looked += 1;
            if signal::find(window, &looped).is_some_and(|(_, likeness)| likeness >= ALIKE) {
                found += 1;
            }
        }
        found as f64 / looked.max(1) as f64
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn frames(samples: &[i16], from: f64) -> Vec<Frame> {
            samples
                .chunks_exact(FRAME)
                .enumerate()
                .map(|(n, chunk)| Frame { at: from + n as f64 * 0.02, samples: chunk.to_vec() })
                .collect()
        }

        fn call(sent: &[i16], heard: Vec<Frame>) -> Account {
            Account {
                rang: Some(0.5),
                answered: Some(1.0),
                sent: frames(sent, 1.0),
                heard,
                ended: Ended::Phone,
                ..Account::default()
            }
        }

        #[test]
        fn an_echo_of_85_ms_is_measured_as_85_ms() {
            let sent = signal::chirps(5);
            let report = report(&call(&sent, frames(&sent, 1.085)), true, None);
            let trip = report.round_trip.expect("found");
            assert!((trip.p50_ms - 85.0).abs() < 0.2, "{}", trip.p50_ms);
            assert!((trip.max_ms - 85.0).abs() < 0.2, "{}", trip.max_ms);
            assert_eq!(trip.found, 1.0);
            assert!(report.both_ways, "{:?}", report.reasons);
        }

        #[test]
        fn an_echo_that_becomes_late_in_the_middle_is_seen_as_late_from_there() {
            let sent = signal::chirps(8);
            let mut heard = frames(&sent, 1.05);
            for frame in &mut heard[200..] {
                frame.at += 1.5;
            }
            let trip = round_trips(&call(&sent, heard)).expect("found");
            assert!((trip.series[0].ms - 50.0).abs() < 0.2);
            assert!((trip.last_ms - 1550.0).abs() < 0.2, "{}", trip.last_ms);
        }

        #[test]
        fn frames_lost_on_the_way_do_not_change_the_time_measured() {
            let sent = signal::chirps(6);
            let mut heard = frames(&sent, 1.06);
            heard.drain(120..135);
            let trip = round_trips(&call(&sent, heard)).expect("found");
            assert!((trip.last_ms - 60.0).abs() < 0.2, "{}", trip.last_ms);
        }

        #[test]
        fn somebody_elses_voice_is_not_an_echo() {
            let sent = signal::chirps(5);
            let other: Vec<i16> = signal::chirps(12)[7 * RATE..].to_vec();
            let report = report(&call(&sent, frames(&other, 1.05)), true, None);
            assert!(!report.both_ways);
            assert_eq!(report.reasons, ["what was sent did not come back"]);
        }

        #[test]
        fn silence_is_not_audio() {
            let sent = signal::chirps(5);
            let report = report(&call(&sent, frames(&vec![0; 5 * RATE], 1.05)), false, None);
            assert_eq!(report.reasons, ["only silence was heard (250 of 250 frames)"]);
            assert_eq!(report.silent_share, Some(1.0));
        }

        #[test]
        fn what_was_expected_is_recognised_even_half_as_loud_and_started_anywhere() {
            let prompt = signal::chirps(6);
            let heard: Vec<i16> = prompt[RATE + 123..5 * RATE].iter().map(|s| s / 2).collect();
            assert_eq!(share_found(&heard, &prompt), 1.0);
            assert_eq!(share_found(&signal::chirps(20)[15 * RATE..], &prompt), 0.0);
        }

        #[test]
        fn a_call_that_never_came_says_so() {
            let report = report(&Account::default(), true, None);
            assert_eq!(report.reasons, ["nobody called"]);
            assert_eq!(report.ended, Ended::NobodyCalled);
            assert!(report.for_people().contains("NOT both ways: nobody called"));
        }

        #[test]
        fn levels_are_below_full_scale() {
            assert_eq!(level(&[0; 320]), -100.0);
            assert!((level(&[i16::MIN; 320])).abs() < 0.01);
            assert!((level(&[16384; 320]) + 6.02).abs() < 0.01);
        }

        #[test]
        fn percentiles_of_one_to_a_hundred() {
            let all = spread((1..=101).map(f64::from).collect()).expect("some");
            assert_eq!((all.p50, all.p99, all.max), (51.0, 100.0, 101.0));
            assert!(spread(Vec::new()).is_none());
        }
    }
}

/// Pure: a sound that is never twice the same, and finding one sound in another.
mod signal {
    use super::RATE;

    /// Chirps between 400 and 3000 Hz, two a second, no two alike: any second of
    /// it is unmistakable, and it passes a telephone codec.
    pub fn chirps(seconds: usize) -> Vec<i16> {
        const SLOT: usize = RATE / 2;
        const SOUND: usize = SLOT * 4 / 5;
        const RAMP: f64 = 0.02;
        // A fixed sequence: two runs speak the same.
        let mut seed = 0x2001u32;
        let mut pitch = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            400.0 + f64::from(seed >> 8) / f64::from(1u32 << 24) * 2600.0
        };
        let mut out = Vec::with_capacity(seconds * RATE);
        for _ in 0..seconds * 2 {
            let (low, high) = (pitch(), pitch());
            let length = SOUND as f64 / RATE as f64;
            for n in 0..SLOT {
                let t = n as f64 / RATE as f64;
                let edge = (t / RAMP).min((length - t) / RAMP).clamp(0.0, 1.0);
                let phase =
                    std::f64::consts::TAU * (low * t + (high - low) * t * t / (2.0 * length));
                out.push((phase.sin() * edge * 11_000.0) as i16);
            }
        }
        out
    }

    /// Where `needle` begins in `hay`, and how alike the two are there (1 is
    /// identical, loudness aside). By FFT: a minute is searched in milliseconds.
    pub fn find(needle: &[i16], hay: &[i16]) -> Option<(usize, f64)> {
        if needle.is_empty() || hay.len() < needle.len() {
            return None;
        }
        let size = (hay.len() + needle.len()).next_power_of_two();
        let spectrum = |samples: &[i16]| {
            let mut re: Vec<f64> = samples.iter().map(|s| f64::from(*s)).collect();
            re.resize(size, 0.0);
            let mut im = vec![0.0; size];
            fft(&mut re, &mut im);
            (re, im)
        };
        let (a_re, a_im) = spectrum(hay);
        let (b_re, b_im) = spectrum(needle);
        // hay times the conjugate of needle is their correlation. The inverse
        // transform is the forward one of the conjugate.
        let mut re: Vec<f64> = (0..size).map(|k| a_re[k] * b_re[k] + a_im[k] * b_im[k]).collect();
        let mut im: Vec<f64> =
            (0..size).map(|k| -(a_im[k] * b_re[k] - a_re[k] * b_im[k])).collect();
        fft(&mut re, &mut im);

        let energy = |samples: &[i16]| samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
        let of_needle = energy(needle);
        let mut of_hay = energy(&hay[..needle.len()]);
        let mut best = None;
        for offset in 0..=hay.len() - needle.len() {
            if offset > 0 {
                of_hay += f64::from(hay[offset + needle.len() - 1]).powi(2);
                of_hay -= f64::from(hay[offset - 1]).powi(2);
            }
            // A stretch that is next to silent matches nothing.
            let scale = (of_needle * of_hay).sqrt();
            if scale > of_needle * 1e-4 {
                let likeness = re[offset] / size as f64 / scale;
                if best.is_none_or(|(_, so_far)| likeness > so_far) {
                    best = Some((offset, likeness));
                }
            }
        }
        best
    }

    /// The textbook's radix-2 transform, in place; the length is a power of two.
    fn fft(re: &mut [f64], im: &mut [f64]) {
        let size = re.len();
        let mut swap = 0;
        for k in 1..size {
            let mut bit = size >> 1;
            while swap & bit != 0 {
                swap ^= bit;
                bit >>= 1;
            }
            swap |= bit;
            if k < swap {
                re.swap(k, swap);
                im.swap(k, swap);
            }
        }
        let mut half = 1;
        while half < size {
            let turn = -std::f64::consts::PI / half as f64;
            let factors: Vec<(f64, f64)> = (0..half).map(|k| (turn * k as f64).sin_cos()).collect();
            for from in (0..size).step_by(half * 2) {
                for (k, (sin, cos)) in factors.iter().enumerate() {
                    let (a, b) = (from + k, from + k + half);
                    let (x, y) = (re[b] * cos - im[b] * sin, re[b] * sin + im[b] * cos);
                    (re[b], im[b]) = (re[a] - x, im[a] - y);
                    (re[a], im[a]) = (re[a] + x, im[a] + y);
                }
            }
            half *= 2;
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_stretch_is_found_where_it_is() {
            let hay = chirps(4);
            let (offset, likeness) = find(&hay[20_011..36_011], &hay).expect("found");
            assert_eq!(offset, 20_011);
            assert!(likeness > 0.999, "{likeness}");
        }

        #[test]
        fn a_stretch_is_found_under_noise() {
            let clean = chirps(4);
            let mut seed = 7u32;
            let noisy: Vec<i16> = clean
                .iter()
                .map(|s| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    s / 2 + ((seed >> 20) as i16 - 2048)
                })
                .collect();
            let (offset, likeness) = find(&clean[9_000..25_000], &noisy).expect("found");
            assert_eq!(offset, 9_000);
            assert!(likeness > 0.7, "{likeness}");
        }

        #[test]
        fn nothing_is_found_in_silence_or_in_less() {
            let needle = chirps(1);
            assert!(find(&needle, &vec![0; 64_000]).is_none());
            assert!(find(&needle, &needle[1..]).is_none());
            assert!(find(&[], &needle).is_none());
        }

        #[test]
        fn seconds_of_chirps_are_not_alike() {
            let all = chirps(20);
            let (_, likeness) = find(&all[..RATE], &all[RATE..]).expect("something");
            assert!(likeness < 0.4, "{likeness}");
        }
    }
}

/// Pure: the one kind of WAV file that telephones need, 16-bit PCM.
mod wav {
    use super::RATE;

    pub fn samples(bytes: &[u8]) -> Vec<i16> {
        bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    pub fn bytes(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    /// Mono or the first channel of more, 8 or 16 kHz; comes out as 16 kHz.
    pub fn read(file: &[u8]) -> Result<Vec<i16>, String> {
        let word = |at: usize| {
            file.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
        };
        let short = |at: usize| {
            file.get(at..at + 2).and_then(|b| b.try_into().ok()).map(u16::from_le_bytes)
        };
        if file.get(..4) != Some(b"RIFF") || file.get(8..12) != Some(b"WAVE") {
            return Err("not a WAV file".to_owned());
        }
        let mut at = 12;
        let mut format = None;
        while let (Some(name), Some(length)) = (file.get(at..at + 4), word(at + 4)) {
            let body = at + 8;
            match name {
                b"fmt " => {
                    format =
                        short(body).zip(short(body + 2)).zip(word(body + 4)).zip(short(body + 14));
                }
                b"data" => {
                    let Some((((kind, channels), rate), bits)) = format else {
                        return Err("a WAV file without a format".to_owned());
                    };
                    // 0xFFFE is the same PCM in a longer header.
                    if !matches!(kind, 1 | 0xFFFE) || bits != 16 || channels == 0 {
                        return Err(format!(
                            "16-bit PCM is needed, this is format {kind} with {bits} bits"
                        ));
                    }
                    // A recording that was cut short promises more than it has.
                    let end = body.saturating_add(length as usize).min(file.len());
                    let mono: Vec<i16> = samples(&file[body..end])
                        .into_iter()
                        .step_by(usize::from(channels))
                        .collect();
                    return match rate as usize {
                        RATE => Ok(mono),
                        8_000 => Ok(doubled(&mono)),
                        other => Err(format!("8 or 16 kHz is needed, this is {other} Hz")),
                    };
                }
                _ => {}
            }
            at = body.saturating_add(length as usize).saturating_add(length as usize & 1);
        }
        Err("a WAV file without sound".to_owned())
    }

    /// Twice the rate, the new samples half-way between the old.
    fn doubled(samples: &[i16]) -> Vec<i16> {
        let mut out = Vec::with_capacity(samples.len() * 2);
        for (n, sample) in samples.iter().enumerate() {
            let next = samples.get(n + 1).unwrap_or(sample);
            out.push(*sample);
            out.push(((i32::from(*sample) + i32::from(*next)) / 2) as i16);
        }
        out
    }

    pub fn write(samples: &[i16]) -> Vec<u8> {
        let data = bytes(samples);
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let mut out = Vec::with_capacity(44 + data.len());
        out.extend_from_slice(b"RIFF");
        out.extend_from_slice(&length.saturating_add(36).to_le_bytes());
        out.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
        out.extend_from_slice(&(RATE as u32).to_le_bytes());
        out.extend_from_slice(&(RATE as u32 * 2).to_le_bytes());
        out.extend_from_slice(b"\x02\0\x10\0data");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&data);
        out
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_is_written_is_read_back() {
            let sound: Vec<i16> = vec![0, 1, -1, i16::MAX, i16::MIN, 42];
            assert_eq!(read(&write(&sound)), Ok(sound));
        }

        #[test]
        fn eight_kilohertz_become_sixteen() {
            let mut file = write(&[0, 100]);
            file[24..28].copy_from_slice(&8_000u32.to_le_bytes());
            assert_eq!(read(&file), Ok(vec![0, 50, 100, 100]));
        }

        #[test]
        fn what_is_no_wav_is_refused_and_a_cut_one_is_read_as_far_as_it_goes() {
            assert!(read(b"").is_err());
            assert!(read(b"RIFF\0\0\0\0WAVE").is_err());
            let whole = write(&[1, 2, 3]);
            assert_eq!(read(&whole[..48]), Ok(vec![1, 2]));
            for cut in 0..44 {
                assert!(read(&whole[..cut]).is_err(), "{cut}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn the_links_form_and_the_sockets_form_lead_to_the_same_place() {
        let page = Target::parse("https://localhost:8766/#token=a.b.c").expect("a link");
        let socket = Target::parse("wss://localhost:8766/phone?token=a.b.c").expect("a link");
        assert_eq!(page, socket);
        assert_eq!((page.path.as_str(), page.token.as_deref()), ("/phone", Some("a.b.c")));
    }

    #[test]
    fn an_ipv6_address_loses_its_brackets_only_where_it_must() {
        let target = Target::parse("wss://[::1]:8766/phone").expect("a link");
        assert_eq!((target.host.as_str(), target.port), ("::1", 8766));
        assert_eq!(target.authority, "[::1]:8766");
        assert_eq!(target.token, None);
    }

    #[test]
    fn what_is_no_link_is_refused() {
        assert!(Target::parse("localhost").is_err());
        assert!(Target::parse("ftp://localhost/").is_err());
    }
}
