//! PURE: what Asterisk's files say of the gateway: the sections of websocket_client.conf that lead here,
//! and the lines of the dialplan that dial it.

use std::net::IpAddr;

use super::Check;
use crate::{
    asterisk::ami::message::Packet,
    config::{ExtenPattern, ListenAddr},
};

/// One section of a file of Asterisk's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    pub name: String,
    pub options: Vec<(String, String)>,
}

impl Section {
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.options.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map(|(_, value)| value.as_str())
    }
}

/// The sections of a `GetConfig` answer.
pub fn sections(answer: &Packet) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for (key, value) in answer.fields() {
        if key.starts_with("Category-") {
            sections.push(Section { name: value.to_owned(), options: Vec::new() });
        } else if key.starts_with("Line-")
            && let Some(section) = sections.last_mut()
            && let Some((name, value)) = value.split_once('=')
        {
            let option = (name.trim().to_owned(), value.trim().to_owned());
            section.options.push(option);
        }
    }
    sections
}

/// Whether a section of websocket_client.conf leads to an address of this gateway's. Asterisk may
/// be on another machine: then loopback is its own.
pub fn leads_here(uri: &str, addr: &ListenAddr, same_machine: bool) -> bool {
    let Some((scheme, rest)) = uri.split_once("://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
        _ => (authority, if scheme == "wss" { Some(443) } else { Some(80) }),
    };
    if port != Some(addr.port()) {
        return false;
    }
    let host = host.trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match (addr, host.parse::<IpAddr>()) {
        (_, _) if loopback => same_machine,
        (ListenAddr::Socket(socket), Ok(ip)) => socket.ip().is_unspecified() || socket.ip() == ip,
        // A name, or every address of the machine: the port has to tell.
        _ => true,
    }
}

/// What is wrong about the sections that lead here.
pub fn websocket_client(
    sections: &[Section],
    addr: &ListenAddr,
    same_machine: bool,
    pattern: &ExtenPattern,
    named: &[(&str, &str)],
) -> Vec<Check> {
    const CHECK: &str = "websocket_client";
    let here: Vec<&Section> = sections
        .iter()
        .filter(|s| s.get("uri").is_some_and(|uri| leads_here(uri, addr, same_machine)))
        .collect();
    let mut checks = Vec::new();
    if here.is_empty() {
        checks.push(Check::fault(
            CHECK,
            format!("no section of websocket_client.conf leads to {addr}"),
            "write what `goastgateway asterisk-config` prints, then: module reload \
             res_websocket_client.so",
        ));
    }
    for section in &here {
        checks.extend(section_faults(CHECK, section));
    }
    for (key, name) in named {
        match sections.iter().find(|section| section.name == *name) {
            None => checks.push(Check::fault(
                CHECK,
                format!("has no section [{name}], which {key} names"),
                "write it, or name one that leads to this gateway",
            )),
            Some(section) if !here.contains(&section) => checks.push(Check::fault(
                CHECK,
                format!("[{name}], which {key} names, does not lead to {addr}"),
                "name a section that does",
            )),
            Some(_) => {}
        }
    }
    if checks.is_empty() {
        let text = here.iter().filter(|s| pattern.in_text(&s.name).is_some()).count();
        checks.push(Check::ok(
            CHECK,
            format!("{} section(s) lead here; {text} of them name an extension", here.len()),
        ));
    }
    checks
}

fn section_faults(check: &'static str, section: &Section) -> Vec<Check> {
    let mut checks = Vec::new();
    let name = &section.name;
    let is =
        |key: &str, value: &str| section.get(key).is_some_and(|v| v.eq_ignore_ascii_case(value));
    if is("tls_enabled", "yes") || section.get("uri").is_some_and(|uri| uri.starts_with("wss:")) {
        let remedy = "write ws:// and tls_enabled = no, or put a TLS proxy before the gateway";
        checks.push(Check::fault(
            check,
            format!("[{name}] speaks TLS; the gateway doesn't"),
            remedy,
        ));
    }
    if !is("connection_type", "per_call_config") {
        let found = format!("[{name}] has no connection_type = per_call_config");
        checks.push(Check::fault(check, found, "write it: each call has a connection of its own"));
    }
    let tries = section.get("reconnect_attempts").map_or(Some(4), |tries| tries.parse().ok());
    if tries.is_none_or(|tries: u32| tries > 2) {
        checks.push(Check::warning(
            check,
            format!("[{name}] tries more than twice when the gateway is down"),
            "write reconnect_attempts = 1: Asterisk waits for each with the channel locked",
        ));
    }
    checks
}

/// What the dialplan's lines that dial this channel lack. `connections` are the sections of
/// websocket_client.conf, `None` where they could not be read: then no name is a wrong one.
pub fn dialplan(contexts: &[Section], connections: Option<&[Section]>) -> Vec<Check> {
    const CHECK: &str = "dialplan";
    let mut checks = Vec::new();
    let mut dials = 0;
    let known = |name: &str| {
        name.contains("${") || connections.is_none_or(|all| all.iter().any(|s| s.name == name))
    };
    for context in contexts {
        let lines = context.options.iter().filter(|(key, _)| key == "exten" || key == "same");
        for (_, line) in lines {
            for (at, _) in line.match_indices("WebSocket/").chain(line.match_indices("Websocket/"))
            {
                dials += 1;
                let rest = &line[at + "WebSocket/".len()..];
                let end = rest.find([',', '&', ' ']).unwrap_or(rest.len());
                // A comma stands in parentheses only within v(), which nobody needs here.
                let (name, options) = rest[..end].split_once('/').unwrap_or((&rest[..end], ""));
                let place = format!("[{}] {line}", context.name);
                if !known(name.trim_end_matches(')')) && name != "INCOMING" {
                    checks.push(Check::fault(
                        CHECK,
                        format!("{place}: no section [{name}] in websocket_client.conf"),
                        "write the section, or correct the name",
                    ));
                } else if name != "INCOMING" && !options.contains("${") {
                    checks.extend(options_faults(CHECK, &place, options));
                }
            }
        }
    }
    let mut checks = told_once(checks);
    if dials == 0 {
        checks.push(Check::warning(
            CHECK,
            "nothing in extensions.conf dials WebSocket/…",
            "see `goastgateway asterisk-config`; what AEL, Lua or a database hold is not seen here",
        ));
    } else if checks.is_empty() {
        checks.push(Check::ok(CHECK, format!("{dials} line(s) dial WebSocket/…")));
    }
    checks
}

/// Ten extensions are often ten equal lines: one of them is told, and how many there are.
fn told_once(checks: Vec<Check>) -> Vec<Check> {
    let mut told: Vec<(Check, usize)> = Vec::new();
    for check in checks {
        match told.iter_mut().find(|(known, _)| *known == check) {
            Some((_, times)) => *times += 1,
            None => told.push((check, 1)),
        }
    }
    let with_times = |(check, times): (Check, usize)| match times {
        1 => check,
        _ => Check { found: format!("{} ({times} lines like this)", check.found), ..check },
    };
    told.into_iter().map(with_times).collect()
}

fn options_faults(check: &'static str, place: &str, options: &str) -> Vec<Check> {
    let mut checks = Vec::new();
    if !options.contains("c(slin16)") {
        let found = format!("{place}: no c(slin16), which is all that the gateway speaks");
        checks.push(Check::fault(check, found, "write it behind the section's name"));
    }
    let mut flags = options.to_owned();
    while let Some((begin, end)) =
        flags.find('(').and_then(|b| Some((b, flags[b..].find(')')? + b)))
    {
        flags.replace_range(begin..=end, "");
    }
    if !flags.contains('n') {
        let found = format!("{place}: no n, so Asterisk answers before anybody does");
        checks.push(Check::fault(check, found, "write n behind c(slin16)"));
    }
    checks
}
#[cfg(test)]
mod tests {
    use super::{super::State, *};

    fn states(checks: &[Check]) -> Vec<State> {
        checks.iter().map(|check| check.state).collect()
    }

    #[test]
    fn a_section_leads_here_by_port_and_by_what_its_host_means_there() {
        let any = ListenAddr::AnyPort(8765);
        let one = ListenAddr::Socket("192.0.2.7:8765".parse().unwrap());
        for (uri, addr, same, here) in [
            ("ws://127.0.0.1:8765", &any, true, true),
            ("ws://127.0.0.1:8765/x?y", &any, false, false),
            ("ws://localhost:8765/", &any, true, true),
            ("ws://127.0.0.1:8764", &any, true, false),
            ("ws://192.0.2.7:8765", &one, false, true),
            ("ws://192.0.2.8:8765", &one, false, false),
            ("ws://[::1]:8765", &any, true, true),
            ("ws://user:pw@gw.example:8765", &one, false, true),
            ("nonsense", &any, true, false),
        ] {
            assert_eq!(leads_here(uri, addr, same), here, "{uri}");
        }
    }

    fn config(text: &[(&str, &str)]) -> Vec<Section> {
        sections(&Packet::from_iter(text.iter().copied()))
    }

    #[test]
    fn faults_of_websocket_client_conf_are_named() {
        let pattern = ExtenPattern::new(r"ws-ext-(\w+)").unwrap();
        let addr = ListenAddr::AnyPort(8765);
        let judge = |sections: &[Section], dial: Option<&str>| {
            let named: Vec<_> = dial.map(|name| ("dial.connection", name)).into_iter().collect();
            states(&websocket_client(sections, &addr, true, &pattern, &named))
        };
        let good = config(&[
            ("Category-000000", "ws-ext-2001"),
            ("Line-000000-000000", "type=websocket_client"),
            ("Line-000000-000001", "uri=ws://127.0.0.1:8765"),
            ("Line-000000-000002", "connection_type=per_call_config"),
            ("Line-000000-000003", "reconnect_attempts=1"),
        ]);
        assert_eq!(judge(&good, Some("ws-ext-2001")), [State::Ok]);
        assert_eq!(judge(&good, Some("other")), [State::Fault]);
        assert_eq!(judge(&[], None), [State::Fault]);
        let bad = config(&[
            ("Category-000000", "gw"),
            ("Line-000000-000001", "uri=ws://127.0.0.1:8765"),
            ("Line-000000-000002", "tls_enabled=yes"),
        ]);
        assert_eq!(judge(&bad, None), [State::Fault, State::Fault, State::Warning]);
    }

    #[test]
    fn lines_that_dial_the_gateway_are_read() {
        let connections = config(&[("Category-000000", "gw")]);
        let judge = |line: &str| {
            let line = format!("same=n,{line}");
            let context = config(&[("Category-000000", "in"), ("Line-000000-000000", &line)]);
            states(&dialplan(&context, Some(&connections)))
        };
        assert_eq!(judge("Dial(WebSocket/gw/f(json)c(slin16)n,30,r)"), [State::Ok]);
        assert_eq!(judge("Dial(WebSocket/ws-${EXTEN}/c(slin16)n,30,r)"), [State::Ok]);
        assert_eq!(judge("Dial(WebSocket/gone/c(slin16)n,30,r)"), [State::Fault]);
        assert_eq!(judge("Dial(WebSocket/gw/f(json)c(ulaw)n,30,r)"), [State::Fault]);
        assert_eq!(judge("Dial(WebSocket/gw/f(json)c(slin16),30,r)"), [State::Fault]);
        assert_eq!(judge("Dial(WebSocket/gw)"), [State::Fault, State::Fault]);
        assert_eq!(judge("Dial(PJSIP/a)"), [State::Warning]);
    }

    #[test]
    fn equal_lines_are_told_once_and_names_are_not_judged_unseen() {
        let line = "same=n,Dial(WebSocket/gone/c(slin16)n,30,r)";
        let context = config(&[
            ("Category-000000", "in"),
            ("Line-000000-000000", line),
            ("Line-000000-000001", line),
        ]);
        let checks = dialplan(&context, Some(&[]));
        assert_eq!(states(&checks), [State::Fault]);
        assert!(checks[0].found.ends_with("(2 lines like this)"), "{}", checks[0].found);
        assert_eq!(states(&dialplan(&context, None)), [State::Ok]);
    }
}
