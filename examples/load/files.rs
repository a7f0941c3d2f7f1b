//! The files of a gateway that is to be measured: every feature on, limits out of the way.

use std::{fs, net::SocketAddr, path::Path};

use serde_json::json;

pub const SECRET: &str = "a-secret-that-guards-nothing-but-a-benchmark";
/// Members of the group `bench`.
const MEMBERS: u32 = 200;

pub fn write(
    folder: &Path,
    asterisk: u16,
    browser: u16,
    admin: u16,
    streams: Option<SocketAddr>,
) -> crate::Fallible<()> {
    fs::create_dir_all(folder)?;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    fs::write(folder.join("cert.pem"), made.cert.pem())?;
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
    let mut config = json!({
        "asterisk_addr": format!("127.0.0.1:{asterisk}"),
        "browser_addr": format!("127.0.0.1:{browser}"),
        "admin_addr": format!("127.0.0.1:{admin}"),
        "extension_variable": "WS_EXTEN",
        "exten_search_pattern": "ws-ext-(\\w+)",
        "cert_file": folder.join("cert.pem"),
        "key_file": folder.join("key.pem"),
        "allowed_asterisk_ips": ["127.0.0.1"],
        "allowed_browser_ips": ["127.0.0.1"],
        "allowed_origins": ["https://bench.example"],
        "jwt_secret": SECRET,
        "max_connections": 100_000,
        "worker_threads": std::env::var("BENCH_THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(1),
        "log_level": std::env::var("BENCH_LOG").unwrap_or_else(|_| "INFO".to_owned()),
    });
    if let Some(at) = streams {
        let to = |side| format!("ws://{at}/{side}/{{id}}");
        let streams = json!([
            { "format": "raw", "left": to("left"), "right": to("right"), "mix": to("mix") },
        ]);
        config["streams"] = streams;
    }
    fs::write(folder.join("goastgateway.json"), config.to_string())?;
    let members: Vec<String> = (0..MEMBERS).map(|n| (10_000 + n).to_string()).collect();
    let group = json!({
        "bench": { "strategy": "ringall", "timeout": 30, "members": members }
    });
    fs::write(folder.join("gag_groups.json"), group.to_string())?;
    Ok(())
}
