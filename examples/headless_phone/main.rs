//! A phone without a head: logs in at the gateway, is rung, answers, speaks a
//! known signal at exactly 50 frames a second, and measures what comes back.
//!
//! For the demo, for tests and for a machine that one wants to check from the
//! shell. It speaks the plain-text dialect, as a page written for the Go gateway
//! does. Its exit code is 0 only when audio went both ways.
//!
//! What it promises: the measuring (`measure`, `signal`, `wav`) is
//! pure, and knows no clock and no socket; the session only records what was
//! sent and heard, and when.

// Clocks and sleeps are this program's business: it paces and it measures.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]

mod measure;
mod signal;
#[cfg(test)]
mod tests;
mod wav;

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
        let heard = wav::write(&account.heard_samples()).map_err(|why| why.to_string())?;
        std::fs::write(file, heard).map_err(|why| format!("{}: {why}", file.display()))?;
    }
    Ok(measure::report(&account, arguments.echo, expected.as_deref()))
}

fn read_wav(file: &Path) -> Result<Vec<i16>, String> {
    let bytes = std::fs::read(file).map_err(|why| format!("{}: {why}", file.display()))?;
    wav::read(&bytes).map_err(|why| format!("{}: {why}", file.display()))
}

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
