//! The load generator: phones over TLS and Asterisk's legs, on one thread, against a gateway or
//! the floor (`benches/floor`). `script/bench` runs it; `docs/performance.md` says what it shows.
//!
//!   load files DIR ASTERISK_PORT BROWSER_PORT ADMIN_PORT    a configuration to run a gateway with
//!   load run CASE …                                         one case; its report as JSON
//!   load consume ADDRESS                                    a consumer of streams
//!   load feed ADDRESS COUNT                                 so many streams that aren't a gateway's
//!   load table FILE                                         all reports of a run as one table

mod cases;
mod consumer;
mod files;
mod frame;
mod link;
mod playout;
mod stats;
mod table;
mod tries;
mod world;
#[path = "../../benches/floor/ws.rs"]
mod ws;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use clap::{Parser, ValueEnum};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::json;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(about = "Phones and Asterisk's legs, to measure a gateway with")]
enum Args {
    /// Write a configuration, a group and a certificate for a gateway that is to be measured
    Files {
        folder: PathBuf,
        asterisk_port: u16,
        browser_port: u16,
        admin_port: u16,
        /// Have every call streamed to a consumer here: left, right and mix
        #[arg(long)]
        streams: Option<SocketAddr>,
    },
    /// Run one case and print its report as one line of JSON
    Run(Run),
    /// Take every stream that is offered at this address
    Consume { at: SocketAddr },
    /// Send a consumer as many streams as this, of nobody's calls: what streams cost a machine
    /// whoever sends them
    Feed { at: SocketAddr, count: u32 },
    /// Print the reports of a run, one JSON a line, as a table in Markdown
    Table { file: PathBuf },
}

#[derive(clap::Args)]
struct Run {
    case: Case,
    /// The folder that `files` has written
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    asterisk: SocketAddr,
    #[arg(long)]
    browser: SocketAddr,
    /// Where /metrics is, if it is a gateway
    #[arg(long)]
    metrics: Option<String>,
    /// The process to measure
    #[arg(long)]
    pid: u32,
    /// Which of the two it is: the gateway or what it is held against
    #[arg(long, default_value = "gateway")]
    name: String,
    /// What the case is filed under, if not under its own name
    #[arg(long)]
    filed: Option<String>,
    /// Begin to measure at this moment, in seconds since 1970, so that two are measured at once
    #[arg(long)]
    from: Option<f64>,
    /// Where the consumer of streams is, if there is one
    #[arg(long)]
    consumer: Option<String>,
    /// Calls, phones or members
    #[arg(long)]
    count: u32,
    /// How long to measure; of `ringall`, how many rounds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Case {
    Calls,
    Phones,
    Churn,
    Storm,
    Ringall,
    Drift,
    Limit,
}

fn main() -> Fallible<()> {
    match Args::parse() {
        Args::Files { folder, asterisk_port, browser_port, admin_port, streams } => {
            files::write(&folder, asterisk_port, browser_port, admin_port, streams)
        }
        Args::Consume { at } => consumer::serve(at),
        Args::Feed { at, count } => consumer::feed(at, count),
        Args::Run(run) => measure(&run),
        Args::Table { file } => {
            print!("{}", table::markdown(&std::fs::read_to_string(file)?));
            Ok(())
        }
    }
}

fn measure(run: &Run) -> Fallible<()> {
    raise_limits();
    let setup = world::Setup {
        asterisk: run.asterisk,
        browser: run.browser,
        secret: files::SECRET.to_owned(),
        tls: client_config(&run.folder.join("cert.pem"))?,
    };
    let mut world = world::World::new(setup)?;
    let order = cases::Order {
        pid: run.pid,
        metrics: run.metrics.clone(),
        count: run.count,
        seconds: run.seconds,
        from: run.from,
        consumer: run.consumer.clone(),
    };
    let case = match run.case {
        Case::Calls => cases::calls,
        Case::Phones => cases::phones,
        Case::Churn => cases::churn,
        Case::Storm => cases::storm,
        Case::Ringall => cases::ringall,
        Case::Drift => cases::drift,
        Case::Limit => cases::limit,
    };
    let report = case(&mut world, &order)?;
    let name = run.filed.clone().unwrap_or_else(|| format!("{:?}", run.case).to_lowercase());
    println!("{}", json!({ "case": name, "count": run.count, "of": run.name, "report": report }));
    Ok(())
}

/// As many descriptors as the machine allows, and a clock that wakes on time.
fn raise_limits() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1000));
}

/// Trusts the one certificate, and never resumes: a gateway that has restarted knows no ticket.
fn client_config(cert: &std::path::Path) -> Fallible<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert)?)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
