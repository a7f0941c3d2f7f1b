//! The files that people write: what is read unchanged, and what every mistake is answered with.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use goastgateway::config::{
    DuplicateLogin, Files, FormatSetting, GroupsFile, ListenAddr, Loaded, LogFormat, Strategy, load,
};
use goastgateway::media::music::HoldMusic;
use serde_json::{Value, json};

/// A folder with a certificate, its key and whatever a test writes into it.
struct Place(tempfile::TempDir);

const SECRET: &str = "0123456789abcdef0123456789abcdef";

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        let made = rcgen::generate_simple_self_signed(["gw.example".to_owned()]).expect("made");
        place.write("cert.pem", &made.cert.pem());
        place.write("key.pem", &made.signing_key.serialize_pem());
        place
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).expect("written");
        self.path(name)
    }
    fn files(&self) -> Files {
        let groups = GroupsFile::IfPresent(self.path("groups.json"));
        Files { config: self.path("config.json"), groups }
    }
    /// The least that a gateway needs.
    fn least(&self) -> Value {
        json!({
            "cert_file": self.path("cert.pem"), "key_file": self.path("key.pem"),
            "jwt_secret": SECRET,
        })
    }
    fn load_text(&self, text: &str) -> Result<Loaded, String> {
        self.write("config.json", text);
        load(&self.files()).map_err(|problems| problems.to_string())
    }
    /// Loads the least configuration with some keys set.
    fn load_with(&self, changes: &Value) -> Result<Loaded, String> {
        let mut config = self.least();
        for (key, value) in changes.as_object().expect("an object") {
            config[key] = value.clone();
        }
        self.load_text(&config.to_string())
    }
}

fn reference(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/reference").join(name);
    fs::read_to_string(path).expect("the reference's file")
}

#[test]
fn the_reference_s_settings_lack_only_a_secret_and_a_certificate() {
    let place = Place::new();
    let problems = place.load_text(&reference("goastgateway.json")).expect_err("refused");
    let lines: Vec<&str> = problems.lines().collect();
    assert_eq!(lines.len(), 3, "{problems}");
    assert!(
        lines[0].contains(":7: \"cert_file\": /usr/local/ssl/192.168.254.234.pem"),
        "{problems}"
    );
    assert!(lines[1].contains(":8: \"key_file\": /usr/local/ssl/192.168.254.234-key.pem"));
    assert!(lines[2].contains(":12: \"jwt_secret\": is the sample's own"), "{problems}");
    assert!(lines[2].contains("CHANGE_THIS_TO_A_VERY_LONG_RANDOM_STRING"));
    assert!(lines[2].contains("openssl rand -hex 32"));
}

#[test]
fn the_reference_s_files_are_read_with_the_reference_s_meaning() {
    let place = Place::new();
    place.write("groups.json", &reference("gag_groups.json"));
    let text = reference("goastgateway.json")
        .replace("CHANGE_THIS_TO_A_VERY_LONG_RANDOM_STRING", SECRET)
        .replace("/usr/local/ssl/192.168.254.234.pem", &place.path("cert.pem").to_string_lossy())
        .replace(
            "/usr/local/ssl/192.168.254.234-key.pem",
            &place.path("key.pem").to_string_lossy(),
        );
    let Loaded { config, warnings } = place.load_text(&text).expect("good");
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(config.asterisk.addr, ListenAddr::AnyPort(8765));
    assert_eq!(config.browser.addr, ListenAddr::AnyPort(8766));
    assert_eq!(config.asterisk.format, FormatSetting::Json);
    assert_eq!(config.asterisk.extension_variable, "WS_EXTEN");
    let found = config.asterisk.exten_search_pattern.in_text("ws-ext-2001");
    assert_eq!(found.as_deref(), Some("2001"));
    let ip = |text: &str| text.parse().expect("an address");
    assert!(config.asterisk.allowed.admits(ip("::ffff:127.0.0.1")));
    assert!(!config.asterisk.allowed.admits(ip("192.168.0.1")));
    assert!(config.browser.allowed.admits(ip("192.168.7.7")));
    assert!(!config.browser.allowed.admits(ip("10.0.0.1")));
    assert!(config.browser.origins.admits(Some("https://192.168.254.234:8766"), None));
    assert!(!config.browser.origins.admits(Some("https://evil.test"), None));
    assert!(!config.browser.origins.admits(None, None));
    assert_eq!(config.log.level, tracing::level_filters::LevelFilter::DEBUG);
    assert_eq!(config.groups["G01"].strategy, Strategy::Sequential);
    assert_eq!(config.groups["G02"].strategy, Strategy::RingAll);
    assert_eq!(config.groups["G01"].members, ["201", "202"]);
    assert_eq!(config.groups["G01"].timeout, Duration::from_secs(30));
    assert_eq!(config.groups["G01"].rounds, None);
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = Place::new().load_with(&json!({})).expect("good").config;
    assert_eq!(config.asterisk.addr.to_string(), "127.0.0.1:8765");
    assert_eq!(config.browser.addr, ListenAddr::AnyPort(8766));
    assert_eq!(config.admin_addr.map(|addr| addr.to_string()).as_deref(), Some("127.0.0.1:8767"));
    assert_eq!(config.asterisk.format, FormatSetting::Auto);
    assert_eq!(config.calls.ring_timeout, Duration::from_secs(60));
    assert_eq!(config.calls.drain_timeout, Duration::from_secs(300));
    assert_eq!(config.calls.duplicate_login, DuplicateLogin::Reject);
    assert_eq!(config.calls.resume_timeout, Duration::from_secs(20));
    assert_eq!(config.calls.hold_music, HoldMusic::Own);
    assert!(config.calls.call_waiting && config.asterisk.phone_variables.is_empty());
    assert_eq!(config.limits.handshake_timeout, Duration::from_secs(10));
    assert_eq!(config.limits.first_message_timeout, Duration::from_secs(5));
    assert_eq!(config.limits.connections_per_address, 200);
    assert_eq!(config.limits.connections, 20_000);
    assert_eq!(config.limits.login_failures_per_minute, 20);
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.log.level, tracing::level_filters::LevelFilter::INFO);
    assert!((1..=4).contains(&config.worker_threads));
    assert!(config.groups.is_empty() && config.browser.tls.is_some());
}

#[test]
fn null_and_empty_texts_are_absent_keys_in_another_case_are_read_and_comments_are_not() {
    let place = Place::new();
    let loaded = place.load_with(&json!({
        "asterisk_format": "", "exten_search_pattern": "", "ring_timeout": null,
        "extension_variable": null, "Log_Level": "warn", "_unknown": 1, "//ring_timeout": 2,
        "admin_addr": "",
    }));
    let Loaded { config, warnings } = loaded.expect("good");
    assert_eq!(config.asterisk.format, FormatSetting::Auto);
    assert_eq!(config.asterisk.extension_variable, "WS_EXTEN");
    assert_eq!(config.calls.ring_timeout, Duration::from_secs(60));
    assert_eq!(config.log.level, tracing::level_filters::LevelFilter::WARN);
    assert!(config.admin_addr.is_none());
    assert!(warnings.iter().any(|w| w.contains("\"Log_Level\": read as \"log_level\"")));
}

#[test]
fn an_empty_list_admits_all_and_says_so() {
    let changes = json!({"allowed_asterisk_ips": [], "allowed_browser_ips": []});
    let Loaded { config, warnings } = Place::new().load_with(&changes).expect("good");
    assert!(config.asterisk.allowed.admits("203.0.113.9".parse().expect("an address")));
    for key in ["allowed_asterisk_ips", "allowed_browser_ips", "allowed_origins"] {
        assert!(warnings.iter().any(|w| w.contains(key)), "{key}: {warnings:?}");
    }
}

fn dial(mut changes: Value) -> Value {
    changes["context"] = json!("from-phones");
    changes["connection"] = json!("gw");
    json!({ "dial": changes })
}

/// A webhook of the configuration.
fn hook(url: &str, secret: &str) -> Value {
    json!({"url": url, "secret": secret})
}

/// Writes a WAV file of so many samples.
fn wav(path: &Path, sample_rate: u32, bits_per_sample: u16, samples: i32) {
    let sample_format = hound::SampleFormat::Int;
    let spec = hound::WavSpec { channels: 1, sample_rate, bits_per_sample, sample_format };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    (0..samples).for_each(|n| writer.write_sample(n).unwrap());
    writer.finalize().unwrap();
}

#[test]
fn music_on_hold_is_a_file_or_one_of_two_words() {
    let place = Place::new();
    wav(&place.path("hold.wav"), 8_000, 16, 800);
    let music = |value: Value| {
        place.load_with(&json!({ "hold_music": value })).expect("good").config.calls.hold_music
    };
    assert!(matches!(music(json!(place.path("hold.wav"))), HoldMusic::Tune(_)));
    assert_eq!(music(json!("silence")), HoldMusic::Silence);
    assert_eq!(music(json!("default")), HoldMusic::Own);
}

#[test]
fn every_mistake_in_a_value_names_the_key_and_what_to_write() {
    let place = Place::new();
    place.write("text.pem", "hello");
    for (name, rate, bits, samples) in
        [("cd.wav", 44_100, 16, 9), ("24.wav", 16_000, 24, 9), ("empty.wav", 16_000, 16, 0)]
    {
        wav(&place.path(name), rate, bits, samples);
    }
    place.write("private.pem", &rcgen::KeyPair::generate().expect("a key").serialize_pem());
    let file = |name: &str| place.path(name).to_string_lossy().into_owned();
    let mistakes = [
        (json!({"asterisk_addr": "127.0.0.1"}), "has no port; write \"127.0.0.1:8765\" instead"),
        (json!({"asterisk_addr": "::1"}), "without brackets; write \"[::1]:8765\""),
        (json!({"asterisk_addr": 8765}), "is the number 8765; write a text in double quotes"),
        (json!({"browser_addr": ":99999"}), "isn't a port"),
        (json!({"browser_addr": "no-such-host.invalid:1"}), "isn't known on this machine"),
        (json!({"browser_addr": ":8765"}), "has the same port as asterisk_addr"),
        (json!({"asterisk_format": "xml"}), "write \"auto\" or \"text\" or \"json\" instead"),
        (json!({"exten_search_pattern": "ws-ext-\\w+"}), "has no group in parentheses"),
        (json!({"exten_search_pattern": "ws-ext-(\\w+"}), "isn't a regular expression: unclosed"),
        (json!({"allowed_asterisk_ips": ["localhost"]}), "\"localhost\" is no address and no"),
        (json!({"allowed_browser_ips": ["10.0.0.0/33"]}), "\"10.0.0.0/33\" is no address"),
        (json!({"allowed_browser_ips": "127.0.0.1"}), "is a text; write a list instead"),
        (json!({"trusted_proxies": [1]}), "the number 1 in a list of texts"),
        (json!({"allowed_origins": ["crm.example"]}), "isn't the origin of a page"),
        (json!({"allowed_origins": ["*"]}), "an empty list admits every page"),
        (json!({"allowed_origins": ["https://a/b"]}), "without a path"),
        (json!({"frame_origins": ["*"]}), "an empty list lets nobody frame it"),
        (json!({"frame_origins": vec!["https://a"; 33]}), "write at most 32"),
        (json!({"jwt_secret": "short"}), "is 5 bytes long, and fewer than 32 can be guessed"),
        (json!({"jwt_secret": null}), "nothing to verify a login with"),
        (json!({"jwt_secret": null, "jwt_secret_previous": SECRET}), "nothing to verify"),
        (json!({"jwt_secret_previous": "short"}), "\"jwt_secret_previous\": is 5 bytes"),
        (json!({"jwt_public_key_file": file("none")}), "can't be read"),
        (json!({"jwt_public_key_file": file("text.pem")}), "isn't a public key in PEM"),
        (json!({"jwt_public_key_file": file("private.pem")}), "holds a private key"),
        (json!({"jwt_algorithms": ["none"]}), "\"none\" isn't an algorithm"),
        (json!({"jwt_algorithms": []}), "the list is empty"),
        (json!({"jwt_algorithms": ["RS256"]}), "leaves no algorithm for jwt_secret"),
        (json!({"jwt_leeway": 61}), "write 0 to 60 instead"),
        (json!({"ring_timeout": 0}), "0 seconds is out of range; write 1 to 3600"),
        (json!({"ring_timeout": "60"}), "write a number without quotes instead: 60"),
        (json!({"drain_timeout": -1}), "out of range"),
        (
            json!({"duplicate_login": "kick"}),
            "write \"reject\" or \"replace\" or \"ring_all\" instead",
        ),
        (json!({"resume_timeout": 301}), "write 0 to 300 instead"),
        (json!({"call_waiting": "yes"}), "write true or false instead"),
        (json!({"hold_music": file("none")}), "can't be played"),
        (json!({"hold_music": file("text.pem")}), "write the path of a WAV file"),
        (json!({"hold_music": file("cd.wav")}), "its sample rate is 44100 Hz, not 8000 or 16000"),
        (json!({"hold_music": file("24.wav")}), "its samples have 24 bits, not 16"),
        (json!({"hold_music": file("empty.wav")}), "it is empty"),
        (json!({"phone_variables": ["CRM ID"]}), "letters, digits and _ only"),
        (json!({"phone_variables": vec!["V"; 33]}), "more than 32"),
        (json!({"caller_number_variable": "CALLERID(num)"}), "can't be the name of a channel"),
        (json!({"log_format": "xml"}), "write \"text\" or \"json\" instead"),
        (json!({"log_level": 3}), "is the number 3"),
        (json!({"allow_missing_origin": "yes"}), "write true or false instead"),
        (json!({"browser_tls": false}), "\"browser_addr\": \"127.0.0.1:8766\""),
        (json!({"max_connections": 1.5}), "write a whole number from 1"),
        (json!({"max_connections": 0}), "0 can't be used"),
        (json!({"worker_threads": 1000}), "from 1 to 256"),
        (json!({"login_failures_per_minute": 1e12}), "can't be used"),
        (json!({"cert_file": null}), "\"cert_file\": is missing"),
        (json!({"cert_file": file("none")}), "the file doesn't exist; write the path"),
        (json!({"cert_file": file("text.pem")}), "holds no certificate in PEM form"),
        (json!({"key_file": file("cert.pem")}), "holds no private key in PEM form"),
        (json!({"key_file": file("private.pem")}), "the key doesn't belong to the certificate"),
        (json!({"asterisk_adr": ":1"}), "did you mean \"asterisk_addr\"?"),
        (json!({"dial": {"connection": "gw"}}), "has no \"context\""),
        (json!({"dial": {"context": "a b", "connection": "gw"}}), "is no name of letters"),
        (json!({"dial": {"context": "a", "connection": "gw/x"}}), "is no name of letters"),
        (dial(json!({"allow": "[0-9"})), "isn't a regular expression"),
        (dial(json!({"per_hour": -1})), "write a whole number from 0 to 10000"),
        (dial(json!({"timeout": 0})), "out of range"),
        (dial(json!({"caller_id": "a\nb"})), "holds a line break"),
        (dial(json!({"variables": ["FILE(/tmp/x)"]})), "holds what is no channel variable"),
        (dial(json!({"variables": ["GOASTGATEWAY_CALL"]})), "holds what is no channel variable"),
        (dial(json!({"alow": "1"})), "did you mean \"allow\"?"),
        (json!({"music": {}}), "isn't a key of this file; remove it"),
        (json!({"state_dir": "here"}), "isn't a whole path"),
        (json!({"call_table": {"retain_days": 0}}), "from 1 to 3650"),
        (json!({"call_table": {"postgres": "db"}}), "isn't where PostgreSQL is"),
        (
            json!({"call_table": {"postgres": "postgresql://h/d?sslmode=require"}}),
            "nobody to trust",
        ),
        (json!({"state_dir": "", "call_table": {"postgres": "postgresql://h/d"}}), "no folder"),
        (json!({"webhooks": {}}), "write a list instead"),
        (json!({"webhooks": [1]}), "the number 1 in a list of objects"),
        (json!({"webhooks": [{}]}), "has no \"url\""),
        (json!({"webhooks": [hook("ftp://h/", SECRET)]}), "isn't an address of the web"),
        (json!({"webhooks": [hook("https://h/", "short")]}), "can be guessed"),
        (json!({"webhooks": [hook("https://h/", "whsec_%")]}), "whsec_ without base64"),
        (json!({"webhooks": [hook("https://h/a", SECRET), hook("https://h/b", SECRET)]}), "second"),
        (json!({"webhooks": vec![hook("https://h/", SECRET); 17]}), "at most 16"),
        (json!({"state_dir": "", "webhooks": [hook("https://h/", SECRET)]}), "no folder to keep"),
        (json!({"api_tokens": ["short"]}), "short enough to be guessed"),
        (json!({"api_tokens": ["sha256:12"]}), "64 digits"),
        (json!({"api_tokens": [format!("{SECRET} x")]}), "doesn't fit into a header"),
    ];
    for (changes, expected) in mistakes {
        let problems = match place.load_with(&changes) {
            Ok(_) => panic!("{changes} was taken"),
            Err(problems) => problems,
        };
        assert!(problems.contains(expected), "{changes}\n{problems}");
        assert!(problems.contains("config.json:"), "no file: {problems}");
        assert!(!problems.contains(SECRET), "a secret shows: {problems}");
    }
}

#[test]
fn where_audiofork_may_send_audio_has_to_be_said() {
    let ami = json!({ "username": "gw", "secret": "s" });
    for (audiofork, wrong) in [
        (json!({}), "\"audiofork\": has no \"servers\""),
        (json!({ "servers": [] }), "names nobody"),
        (json!({ "servers": ["ws://h/"] }), "\"ws://h/\" is a URL, not a host"),
        (json!({ "servers": ["h:port"] }), "has no port behind the colon"),
        (json!({ "servers": ["h"], "key_file": "/k" }), "has no certificate"),
        (json!({ "servers": ["h"], "hosts": [] }), "isn't a key"),
    ] {
        let changes = json!({ "ami": ami, "audiofork": audiofork });
        let problems = Place::new().load_with(&changes).expect_err("refused");
        assert!(problems.contains(wrong), "{audiofork}: {problems}");
    }
    let alone = json!({ "audiofork": { "servers": ["h"] } });
    let problems = Place::new().load_with(&alone).expect_err("refused");
    assert!(problems.contains("write \"ami\", too"), "{problems}");
    let any = json!({ "ami": ami, "audiofork": { "servers": ["*"] } });
    let loaded = Place::new().load_with(&any).expect("good");
    assert!(loaded.warnings.iter().any(|w| w.contains("any host")), "{:?}", loaded.warnings);
    assert!(Place::new().load_with(&json!({})).expect("good").config.taps.audiofork.is_none());
}

#[test]
fn every_mistake_of_writing_names_its_line() {
    let place = Place::new();
    let mistakes = [
        ("", ":1: the file is empty"),
        ("[]", ":1: the file doesn't hold a JSON object"),
        ("{\n\"log_level\": \"INFO\",\n}", ":2: a comma with nothing behind it"),
        ("{\n\"log_level\": \"INFO\"\n\"log_format\": \"text\"}", "a comma is missing"),
        ("{\n// remark\n}", ":2: JSON has no comments"),
        ("{\n/* remark */\n}", ":2: JSON has no comments"),
        ("{}\n}", ":2: something follows the object's closing }"),
        ("{\"log_level\": INFO}", "a bare word"),
        ("{'log_level': \"INFO\"}", "double quotes"),
        ("{\"log_level\": \"INFO}", "close it with a double quote"),
        ("{\"a\": \"\\w\"}", "\\\\ for a backslash"),
        ("{\"a\": [1", "the list isn't closed"),
        ("{\"a\": 1", "the object isn't closed"),
        (
            "{\n\"log_level\": \"INFO\",\n\"log_level\": \"WARN\"}",
            ":3: \"log_level\": is there twice, in line 2 and in line 3",
        ),
        ("{\"ring_timeout\": 1,\n\"Ring_Timeout\": 2}", "is there twice, in line 1 and in line 2"),
    ];
    for (text, expected) in mistakes {
        let problems = place.load_text(text).expect_err(text);
        assert!(problems.contains(expected), "{text}\n{problems}");
    }
    let deep = format!("{{\"a\": {}}}", "[".repeat(100_000));
    assert!(place.load_text(&deep).expect_err("refused").contains("without end"));
}

#[test]
fn all_mistakes_of_both_files_are_told_at_once_in_the_order_of_their_lines() {
    let place = Place::new();
    place.write("groups.json", "{\"G\": {\"strategy\": \"x\", \"members\": [\"1\"]}}");
    let problems = place
        .load_text("{\n\"ring_timeout\": 0,\n\"jwt_secret\": \"x\",\n\"frobnicate\": 1,\n\"browser_tls\": 1\n}")
        .expect_err("refused");
    let at = |text: &str| problems.find(text).unwrap_or_else(|| panic!("{text}\n{problems}"));
    assert!(at(":2: \"ring_timeout\"") < at(":3: \"jwt_secret\""));
    assert!(at(":3: \"jwt_secret\"") < at(":4: \"frobnicate\""));
    assert!(at(":4: \"frobnicate\"") < at("groups.json:1: \"strategy\""));
}

#[test]
fn a_missing_groups_file_matters_only_if_it_was_named() {
    let place = Place::new();
    let loaded = place.load_with(&json!({})).expect("good");
    assert!(loaded.config.groups.is_empty());
    let told = |warning: &String| warning.contains("groups.json");
    assert!(!loaded.warnings.iter().any(told), "{:?}", loaded.warnings);
    let files = Files { groups: GroupsFile::Required(place.path("groups.json")), ..place.files() };
    let problems = load(&files).expect_err("refused").to_string();
    assert!(problems.contains("groups.json: the groups file can't be read"), "{problems}");
}

#[test]
fn a_missing_or_unreadable_configuration_is_named() {
    let place = Place::new();
    let problems = load(&place.files()).expect_err("refused").to_string();
    assert!(problems.contains("config.json: the configuration can't be read"), "{problems}");
    fs::write(place.path("config.json"), b"{\n\"a\": \"\xff\"}").expect("written");
    let problems = load(&place.files()).expect_err("refused").to_string();
    assert!(problems.contains("line 2 isn't UTF-8"), "{problems}");
}

#[test]
fn a_byte_order_mark_is_no_mistake() {
    let place = Place::new();
    let text = format!("\u{feff}{}", place.least());
    assert!(place.load_text(&text).is_ok());
}

#[test]
fn plain_text_towards_a_proxy_is_for_loopback_only() {
    let place = Place::new();
    let behind = json!({"browser_tls": false, "browser_addr": "127.0.0.1:8766",
        "cert_file": null, "key_file": null, "trusted_proxies": ["127.0.0.1"]});
    assert!(place.load_with(&behind).expect("good").config.browser.tls.is_none());
    for open in [":8766", "0.0.0.0:8766", "[::]:8766", "192.0.2.7:8766"] {
        let changes = json!({"browser_tls": false, "browser_addr": open});
        assert!(place.load_with(&changes).is_err(), "{open}");
    }
}

#[test]
fn a_certificate_that_has_expired_still_serves_and_is_told() {
    let place = Place::new();
    let mut params = rcgen::CertificateParams::new(["gw.example".to_owned()]).expect("params");
    params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    place.write("cert.pem", &params.self_signed(&key).expect("signed").pem());
    place.write("key.pem", &key.serialize_pem());
    let loaded = place.load_with(&json!({})).expect("good");
    assert!(loaded.warnings.iter().any(|w| w.contains("expired on 2020-01-01")));
}

#[test]
fn an_unknown_log_level_is_info_as_in_the_reference() {
    let loaded = Place::new().load_with(&json!({"log_level": "chatty"})).expect("good");
    assert_eq!(loaded.config.log.level, tracing::level_filters::LevelFilter::INFO);
    assert!(loaded.warnings.iter().any(|w| w.contains("\"CHATTY\" isn't DEBUG")));
}

#[test]
fn our_own_samples_lack_only_a_secret_and_a_certificate() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config");
    let groups = GroupsFile::Required(root.join("gag_groups.json"));
    let files = Files { config: root.join("goastgateway.json"), groups };
    let problems = load(&files).expect_err("refused").to_string();
    assert_eq!(problems.lines().count(), 3, "{problems}");
    for key in ["\"cert_file\"", "\"key_file\"", "\"jwt_secret\": is the sample's own"] {
        assert!(problems.contains(key), "{key}: {problems}");
    }
    // Every default that is written as a comment must be good once the // is removed.
    let place = Place::new();
    let text = fs::read_to_string(&files.config).expect("the sample").replace("\"//", "\"");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    for (key, value) in place.least().as_object().expect("an object") {
        config[key] = value.clone();
    }
    for key in ["jwt_public_key_file", "browser_tls"] {
        config[key] = Value::Null;
    }
    place.load_text(&config.to_string()).expect("good");
}

#[test]
fn our_own_sample_shows_every_key_that_is_documented() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let sample = fs::read_to_string(root.join("config/goastgateway.json")).expect("the sample");
    let docs = fs::read_to_string(root.join("docs/configuration.md")).expect("the document");
    let settings = docs.split("## gag_groups.json").next().expect("the first half");
    let mut keys = 0;
    let mut whole = false;
    for line in settings.lines() {
        // Tables of an object's own keys have a title of their own.
        whole = line.starts_with("| key |") || (whole && line.starts_with('|'));
        let cell = line.split('|').nth(1).unwrap_or_default();
        for key in cell.split('`').skip(1).step_by(2).filter(|_| whole) {
            keys += 1;
            let shown = [format!("\"{key}\":"), format!("\"//{key}\":")];
            assert!(shown.iter().any(|shown| sample.contains(shown)), "{key} isn't in the sample");
        }
    }
    assert!(keys > 40, "only {keys} keys were found in the tables");
}

#[test]
fn what_phones_may_dial_has_careful_defaults() {
    let loaded = Place::new().load_with(&dial(json!({}))).expect("good");
    let settings = loaded.config.dial.expect("dial");
    assert!(settings.allow.allows("2001") && settings.allow.allows("110"));
    assert!(!settings.allow.allows("0312345678") && !settings.allow.allows("*72"));
    assert_eq!((settings.per_hour, settings.timeout.as_secs()), (60, 120));
    assert!(loaded.warnings.iter().any(|w| w.contains("does nothing without \"ami\"")));
}

#[test]
fn a_configuration_shows_no_secret() {
    let loaded = Place::new().load_with(&json!({})).expect("good");
    assert!(!format!("{loaded:?}").contains(SECRET));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_give_problems_and_never_a_panic(bytes in proptest::collection::vec(0u8.., 0..200)) {
        let place = Place(tempfile::tempdir().expect("a folder"));
        fs::write(place.path("config.json"), &bytes).expect("written");
        fs::write(place.path("groups.json"), &bytes).expect("written");
        proptest::prop_assert!(load(&place.files()).is_err());
    }

    #[test]
    fn any_text_that_looks_like_json_gives_problems_and_never_a_panic(
        text in "[\\[\\]{}:,\"/*\\\\u0-9a-f\n tn.-]{0,60}"
    ) {
        let place = Place(tempfile::tempdir().expect("a folder"));
        place.write("config.json", &text);
        place.write("groups.json", &text);
        proptest::prop_assert!(load(&place.files()).is_err());
    }
}

#[test]
fn ari_is_read_and_every_slip_is_told() {
    let place = Place::new();
    let least = json!({ "username": "gw", "password": "hunter2", "connection": "ws-ext-endpoint" });
    let with = |changes: Value| {
        let mut ari = least.clone();
        for (key, value) in changes.as_object().expect("an object") {
            ari[key] = value.clone();
        }
        place.load_with(&json!({ "ari": ari }))
    };
    let ari = with(json!({})).expect("good").config.ari.expect("read");
    assert_eq!((ari.url.as_str(), ari.app.as_str()), ("http://127.0.0.1:8088", "goastgateway"));
    assert_eq!((ari.max_channels, ari.tls.is_none()), (50, true));
    assert!(!format!("{ari:?}").contains("hunter2"));
    let ari = with(json!({ "url": "https://pbx.example:8089/asterisk/ari/" })).expect("good");
    assert_eq!(ari.config.ari.expect("read").url, "https://pbx.example:8089/asterisk");
    for (changes, what) in [
        (json!({ "username": null }), "has no \"username\""),
        (json!({ "connection": null }), "has no \"connection\""),
        (json!({ "password": "" }), "\"password\": is empty"),
        (json!({ "connection": "a&b" }), "\"connection\": is no name"),
        (json!({ "app": "my app" }), "\"app\": is no name"),
        (json!({ "app": "x".repeat(65) }), "\"app\": is no name"),
        (json!({ "url": "127.0.0.1:8088" }), "doesn't begin with http://"),
        (json!({ "url": "http://a:b@127.0.0.1" }), "holds a login"),
        (json!({ "url": "http://127.0.0.1?x=y" }), "has a query"),
        (json!({ "max_channels": 251 }), "\"max_channels\": 251 can't be used"),
        (json!({ "ca_file": "/nowhere" , "url": "https://pbx.example"}), "\"ca_file\": /nowhere"),
        (json!({ "secret": "x" }), "\"secret\": isn't a key"),
    ] {
        let problems = with(changes.clone()).expect_err("refused");
        assert!(problems.contains(what), "{changes}: {problems}");
        assert!(!problems.contains("hunter2") && !problems.contains("a:b"), "{problems}");
    }
    let warned = |loaded: Loaded, what: &str| loaded.warnings.iter().any(|w| w.contains(what));
    let far = with(json!({ "url": "http://pbx.example:8088" })).expect("good");
    assert!(warned(far, "in the clear"));
    assert!(warned(
        with(json!({ "ca_file": "/nowhere" })).expect("good"),
        "is not used with http:"
    ));
}
