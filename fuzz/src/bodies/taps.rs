//! Streams as strangers ask for them: by events of the manager, and over HTTP.

use goastgateway::tap::{
    audiofork::{Asked, NAMES, Request, Servers},
    facts::{CallFacts, Side},
    spec::{StreamForm, StreamSpec},
};

/// A call whose every text is as nasty as a caller can make it.
fn nasty() -> CallFacts {
    let text = "@evil.example:1/#\\\r\n?{id}".to_owned();
    CallFacts { from: text.clone(), to: text.clone(), extension: text, ..CallFacts::default() }
}

/// Wherever a stream goes, it goes by WebSocket, and what is filled in ends no line. Gives its hosts.
fn assert_reachable(spec: &StreamSpec) -> Vec<String> {
    let facts = nasty();
    let fill = |(side, url): (Option<Side>, &goastgateway::tap::template::Template)| {
        let uri = url.fill(&facts, side).ok()?;
        assert!(matches!(uri.scheme_str(), Some("ws" | "wss")), "{uri}");
        assert!(!uri.to_string().contains(['\r', '\n']));
        Some(uri.host().unwrap_or_default().to_ascii_lowercase())
    };
    spec.dialect.legs().into_iter().filter_map(fill).collect()
}

/// Any event asks for something or is refused; and whatever its URL is made of, audio goes to who is on
/// the list and to nobody else.
pub fn audiofork(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.lines();
    let name = lines.next().unwrap_or_default();
    let fields: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let Some(asked) = Asked::of(name, &fields) else {
        assert!(!NAMES.contains(&name));
        return;
    };
    assert!(!asked.channel.contains(char::is_control), "{:?}", asked.channel);
    let Ok(Request::Start(start)) = asked.request else { return };
    if let Some(variable) = &start.options.id_variable {
        assert!(variable.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{variable}");
    }
    let mut servers = Servers::default();
    servers.add("consumer.example").expect("a host");
    if !servers.admit(&start.url) {
        return;
    }
    if let Ok(spec) = start.options.form(&start.url).read(None) {
        for host in assert_reachable(&spec) {
            assert_eq!(host, "consumer.example", "{:?}", start.url);
        }
    }
}

/// Any JSON is a stream that can be run, or everything that is wrong with it, each with a remedy; none
/// of its secrets shows itself.
pub fn stream_form(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(form) = serde_json::from_str::<StreamForm>(text) else { return };
    let again = serde_json::to_string(&form).expect("JSON");
    assert!(serde_json::from_str::<StreamForm>(&again).expect("a form") == form, "{again}");
    match form.read(None) {
        Ok(spec) => {
            assert_reachable(&spec);
            let shown = format!("{form:?} {spec:?}");
            for secret in [&form.token, &form.auth_token].into_iter().flatten() {
                // What is as short as a word of the form, or is in a second place of it, says nothing.
                let is_only_there = again.matches(secret.as_str()).count() == 1;
                let may_show = secret.len() < 16 || !is_only_there;
                assert!(may_show || !shown.contains(secret.as_str()), "{shown}");
            }
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            for fault in faults {
                assert!(!fault.what.is_empty() && !fault.remedy.is_empty(), "{fault:?}");
                assert!(!fault.to_string().contains(['\r', '\n']), "{fault:?}");
            }
        }
    }
}
