//! The commands as an administrator types them.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

struct Place(tempfile::TempDir);

impl Place {
    fn new(more: &str) -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        let made = rcgen::generate_simple_self_signed(["gw.example".to_owned()]).expect("made");
        place.write("cert.pem", &made.cert.pem());
        place.write("key.pem", &made.signing_key.serialize_pem());
        let dir = place.0.path().display();
        let config = format!(
            "{{\"cert_file\": \"{dir}/cert.pem\", \"key_file\": \"{dir}/key.pem\", {more}\
             \"jwt_secret\": \"{SECRET}\"}}"
        );
        place.write("config.json", &config);
        place.write(
            "groups.json",
            r#"{"G01": {"strategy": "sequential", "members": ["2001", "2002"]}}"#,
        );
        place
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("written");
    }
    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_goastgateway"))
            .args(["-c", "config.json", "-g", "groups.json"])
            .args(args)
            .current_dir(self.path())
            .output()
            .expect("started")
    }
    fn good(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }
}

#[test]
fn check_says_that_a_good_configuration_is_good() {
    let output = Place::new("").good(&["check"]);
    assert!(output.contains("config.json is good") && output.contains("1 group(s)"), "{output}");
}

#[test]
fn a_bad_configuration_ends_every_command_with_78() {
    let place = Place::new("\"ring_timeout\": 0, ");
    for command in
        [&["check"][..], &["token", "--ext", "2001"], &["asterisk-config", "--ext", "2001"]]
    {
        let output = place.run(command);
        assert_eq!(output.status.code(), Some(78), "{command:?}");
        assert!(output.stdout.is_empty());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("config.json:1: \"ring_timeout\": 0 seconds is out of range"));
    }
}

#[test]
fn a_command_line_that_is_not_understood_ends_with_2() {
    let place = Place::new("");
    for command in [&["frobnicate"][..], &["token"], &["token", "--ext", "a b"]] {
        assert_eq!(place.run(command).status.code(), Some(2), "{command:?}");
    }
}

#[test]
fn a_token_logs_in_and_a_link_carries_it_where_no_log_sees_it() {
    use goastgateway::phone::token::{Verifier, VerifyingKey};
    let place = Place::new("");
    let key = VerifyingKey::secret(SECRET);
    let verifier = Verifier::new(vec![key], std::time::Duration::ZERO);
    let token = place.good(&["token", "--ext", "2001", "--ttl", "8h"]);
    assert_eq!(verifier.verify(token.trim()).expect("claims").ext, "2001");
    for (host, base) in [
        (&["--url"][..], "https://gw.example:8766/#token="),
        (&["--url", "pbx.example"], "https://pbx.example:8766/#token="),
        (&["--url", "pbx.example:443"], "https://pbx.example:443/#token="),
        (&["--url", "2001:db8::1"], "https://[2001:db8::1]:8766/#token="),
    ] {
        let link = place.good(&[&["token", "--ext", "2001"], host].concat());
        let token = link.trim().strip_prefix(base).unwrap_or_else(|| panic!("{link}"));
        assert_eq!(verifier.verify(token).expect("claims").ext, "2001");
    }
}

#[test]
fn asterisk_s_files_fit_the_configuration() {
    let place =
        Place::new("\"exten_search_pattern\": \"agent-(\\\\w+)\", \"asterisk_addr\": \":9000\", ");
    let all = place.good(&["asterisk-config", "--ext", "2001-2002"]);
    for line in [
        "[goastgateway](!)",
        "uri = ws://127.0.0.1:9000",
        "[agent-2001](goastgateway)",
        "[agent-G01](goastgateway)",
        "[ws-ext-endpoint](goastgateway)",
        "exten => 2002,1,Dial(WebSocket/agent-2002/c(slin16)n,,r)",
        "exten => G01,1,Dial(WebSocket/agent-G01/c(slin16)n,,r)",
        "; group G01: rings 2001, 2002 in turn",
        "exten => 2001,1,Set(_WS_EXTEN=2001)",
        " same => n,Dial(WebSocket/ws-ext-endpoint/f(json)c(slin16)n,,r)",
    ] {
        assert!(
            all.lines().any(|l| l == line || l.starts_with(&format!("{line} "))),
            "{line}\n{all}"
        );
    }
    let part = ["asterisk-config", "--ext", "2001", "--way", "json", "--only", "extensions"];
    let part = place.good(&part);
    assert!(
        !part.contains("agent-") && !part.contains("type = ") && part.contains("Set(_WS_EXTEN")
    );
}

#[test]
fn help_teaches() {
    let help = Place::new("").good(&["--help"]);
    for word in ["check", "token", "asterisk-config", "Examples:", "SIGHUP", "78", "gag_groups"] {
        assert!(help.contains(word), "{word}\n{help}");
    }
}

#[test]
fn calls_are_printed_from_the_table_and_without_one_it_is_said() {
    use goastgateway::{
        call::{CallId, record::CallRecord},
        report::{
            row::CallRow,
            state::StateDir,
            table::{Change, FILE, sqlite},
            time::{Anchor, Utc},
        },
    };
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let place = Place::new(&format!("\"state_dir\": \"{}\", ", state.display()));
    let output = place.run(&["calls"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("calls.db: there is no such file"));
    let (now, began) = (std::time::Instant::now(), Utc::parse("2026-11-21T12:00").expect("a time"));
    let mut record = CallRecord::new(CallId::from_uuid(uuid::Uuid::from_u128(1)), now);
    record.dialled = Some("2001".into());
    let row = CallRow::new(&record, &Anchor::new(now, began));
    let held = StateDir::open(&state).expect("the folder");
    let mut db = held.database(FILE, sqlite::STEPS).expect("the table");
    sqlite::write(&mut db, &[Change::Row(row.into())]).expect("written");
    // The writer is still there.
    let table = place.good(&["calls", "--ext", "2001", "--from", "2026-11-21"]);
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains("2026-11-21T12:00:00.000Z in   -") && table.contains("(up)"), "{table}");
    let json = place.good(&["calls", "--json"]);
    let call: serde_json::Value = serde_json::from_str(json.trim()).expect("an object a line");
    assert_eq!((&call["dialled"], &call["ended"]), (&"2001".into(), &serde_json::Value::Null));
    assert_eq!(place.good(&["calls", "--ext", "2002"]).lines().count(), 1);
}
