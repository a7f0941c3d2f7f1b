//! What people write into files.

use std::{collections::HashSet, time::Duration};

use goastgateway::{
    call::is_extension,
    config::{self, ExtenPattern},
};

/// Any file is a configuration or a list of problems, each on one line and with a remedy.
pub fn config_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if !asks_nothing_of_the_world(text) {
        return;
    }
    check_outcome(config::read_texts(text, "{}"), text);
}

/// The same for groups; what is read can be hunted.
pub fn groups_file(data: &[u8]) {
    const CONFIG: &str = r#"{"browser_tls": false, "browser_addr": "127.0.0.1:8766",
        "jwt_secret": "0123456789abcdefghijklmnopqrstuvwxyz-+"}"#;
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(loaded) = check_outcome(config::read_texts(CONFIG, text), text) else { return };
    let groups = loaded.config.groups;
    for (name, group) in &groups {
        assert!(is_extension(name));
        assert!((1..=config::MAX_GROUP_MEMBERS).contains(&group.members.len()));
        assert!(group.members.iter().all(|m| is_extension(m) && !groups.contains_key(m)));
        let different: HashSet<_> = group.members.iter().collect();
        assert_eq!(different.len(), group.members.len(), "a member is there twice");
        assert!(group.timeout >= Duration::from_millis(500));
        assert!(group.timeout <= Duration::from_secs(3600));
        assert!(group.rounds.is_none_or(|rounds| rounds >= 1));
    }
}

fn check_outcome(
    outcome: Result<config::Loaded, config::Problems>,
    text: &str,
) -> Option<config::Loaded> {
    let lines = text.lines().count() + 1;
    match outcome {
        Ok(loaded) => {
            let config = &loaded.config;
            assert!(config.calls.ring_timeout >= Duration::from_secs(1));
            assert!(config.limits.connections >= 1 && config.worker_threads >= 1);
            assert!(loaded.warnings.iter().all(|w| is_one_line(w)), "{:?}", loaded.warnings);
            Some(loaded)
        }
        Err(problems) => {
            assert!(!problems.0.is_empty(), "refused without a reason");
            for problem in &problems.0 {
                assert!(problem.line <= lines, "{problem}");
                assert!(!problem.what.is_empty() && !problem.remedy.is_empty(), "{problem}");
                assert!(is_one_line(&problem.to_string()), "{problem:?}");
            }
            None
        }
    }
}

fn is_one_line(text: &str) -> bool {
    !text.contains(['\n', '\r'])
}

/// Whether reading this text looks up no host name and opens no device.
fn asks_nothing_of_the_world(text: &str) -> bool {
    let mut plain = text.to_ascii_lowercase();
    for byte in 0x20..0x7fu8 {
        plain = plain.replace(&format!("\\u{byte:04x}"), &char::from(byte).to_string());
    }
    let plain = plain.to_ascii_lowercase().replace("\"browser_addr\": \"127.0.0.1:8766\"", "");
    !["_addr", "/dev", "/proc", "/sys", "\\/"].iter().any(|word| plain.contains(word))
}

/// Any pattern compiles or says why; one that compiled finds an extension that stands in the text.
pub fn exten_pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, id) = text.split_once('\n').unwrap_or((text, "ws-ext-2001"));
    match ExtenPattern::new(pattern) {
        Ok(compiled) => {
            assert_eq!(compiled.as_str(), pattern);
            let found = [compiled.in_text(id), compiled.in_json(id)];
            assert!(found[0].is_none() || found[0] == found[1], "{found:?}");
            for ext in found.into_iter().flatten() {
                assert!(!ext.is_empty() && id.contains(&ext), "{ext}");
            }
        }
        Err(error) => assert!(is_one_line(&error.to_string()), "{error:?}"),
    }
}
