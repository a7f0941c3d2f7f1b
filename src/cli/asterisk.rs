//! `goastgateway asterisk-config`: the two files of Asterisk that fit this configuration.
//!
//! Whatever is printed is checked against the configuration first: a section's name is one in
//! which `exten_search_pattern` finds the extension.

use std::fmt::Write;

use clap::ValueEnum;

use crate::config::{Config, ExtenPattern, FormatSetting, ListenAddr, Strategy};

use super::extensions::Extensions;

/// The one section of the JSON way, named as in the reference.
const JSON_SECTION: &str = "ws-ext-endpoint";

/// What all sections inherit from.
const TEMPLATE: &str = "goastgateway";

pub(super) const EXAMPLES: &str = "\
Examples:
  goastgateway asterisk-config --ext 2001-2010
  goastgateway asterisk-config --ext 2001-2010,3001 --way json
  goastgateway asterisk-config --ext 2001-2010 --only websocket-client \\
        > /etc/asterisk/websocket_client.conf

Asterisk tells the gateway which phone to ring in one of two ways. The text way works with every
chan_websocket: one section for each extension, whose name tells it. The JSON way needs a newer
Asterisk (22.8, 23.2, 20.18 or later): one section for all, and a channel variable tells it.";

/// How Asterisk tells us the extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Way {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ConfFile {
    WebsocketClient,
    Extensions,
}

/// Both files, or one of them.
pub(super) fn print(
    config: &Config,
    extensions: &Extensions,
    way: Option<Way>,
    only: Option<ConfFile>,
) -> String {
    // The configured format first: it is what the reader came for.
    let ways = match (way, config.asterisk.format) {
        (Some(way), _) => vec![way],
        (None, FormatSetting::Json) => vec![Way::Json, Way::Text],
        (None, _) => vec![Way::Text, Way::Json],
    };
    let page = Page { config, names: names(config, extensions), ways };
    let mut out = String::new();
    // Writing to a String can't fail.
    if only != Some(ConfFile::Extensions) {
        let _ = page.websocket_client(&mut out);
    }
    if only != Some(ConfFile::WebsocketClient) {
        let _ = page.extensions(&mut out);
    }
    out
}

fn names(config: &Config, extensions: &Extensions) -> Vec<String> {
    let mut names = extensions.0.clone();
    names.extend(config.groups.keys().filter(|name| !extensions.0.contains(name)).cloned());
    names
}

struct Page<'a> {
    config: &'a Config,
    /// Extensions, then groups.
    names: Vec<String>,
    ways: Vec<Way>,
}

impl Page<'_> {
    fn websocket_client(&self, out: &mut String) -> std::fmt::Result {
        let uri = uri(&self.config.asterisk.addr);
        writeln!(
            out,
            "; ---- /etc/asterisk/websocket_client.conf ----\n\
             ; Load with: asterisk -rx 'module reload res_websocket_client.so'\n\n\
             ; What all sections below inherit.\n\
             [{TEMPLATE}](!)\n\
             type = websocket_client\n\
             uri = {uri}\n\
             protocols = media\n\
             connection_type = per_call_config ; one connection for each call\n\
             connection_timeout = 500          ; milliseconds\n\
             reconnect_attempts = 1            ; all tries, not further ones: on one machine a\n\
             \x20                                 ; second try only keeps the caller waiting\n\
             reconnect_interval = 100\n\
             tls_enabled = no                  ; both live on one machine\n"
        )?;
        for way in &self.ways {
            match way {
                Way::Text => {
                    writeln!(out, "; Text way: the section's name tells the extension.")?;
                    for name in &self.names {
                        match section(&self.config.asterisk.exten_search_pattern, name) {
                            Some(section) => writeln!(out, "[{section}]({TEMPLATE})")?,
                            None => writeln!(out, "; {name}: {}", self.unfound())?,
                        }
                    }
                }
                Way::Json => {
                    writeln!(
                        out,
                        "; JSON way: one section for all; a variable tells the extension."
                    )?;
                    writeln!(out, "[{JSON_SECTION}]({TEMPLATE})")?;
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn extensions(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "; ---- /etc/asterisk/extensions.conf ----\n\
             ; Load with: asterisk -rx 'dialplan reload'\n\
             ; Include one of these contexts in the one that your telephones dial in:\n\
             ;     include => goastgateway-{}\n\
             ;\n\
             ; c(slin16)  the only audio format that the gateway speaks\n\
             ; n          Asterisk must not answer by itself: the browser does\n\
             ; r          the caller hears ringing meanwhile\n\
             ; How long a phone rings is \"ring_timeout\" ({} s) or the group's \"timeout\".\n",
            match self.ways.first() {
                Some(Way::Json) => "json",
                _ => "text",
            },
            self.config.calls.ring_timeout.as_secs_f64()
        )?;
        for way in &self.ways {
            match way {
                Way::Text => self.text_context(out)?,
                Way::Json => self.json_context(out)?,
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn text_context(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "[goastgateway-text]")?;
        for name in &self.names {
            let Some(section) = section(&self.config.asterisk.exten_search_pattern, name) else {
                writeln!(out, "; {name}: {}", self.unfound())?;
                continue;
            };
            self.remark(out, name)?;
            writeln!(out, "exten => {name},1,Dial(WebSocket/{section}/c(slin16)n,,r)")?;
            writeln!(out, " same => n,Hangup()")?;
        }
        Ok(())
    }

    fn json_context(&self, out: &mut String) -> std::fmt::Result {
        let variable = &self.config.asterisk.extension_variable;
        writeln!(out, "; The _ hands the variable on to the channel that Dial() makes.")?;
        writeln!(out, "[goastgateway-json]")?;
        for name in &self.names {
            self.remark(out, name)?;
            writeln!(out, "exten => {name},1,Set(_{variable}={name})")?;
            writeln!(out, " same => n,Dial(WebSocket/{JSON_SECTION}/f(json)c(slin16)n,,r)")?;
            writeln!(out, " same => n,Hangup()")?;
        }
        Ok(())
    }

    fn remark(&self, out: &mut String, name: &str) -> std::fmt::Result {
        let Some(group) = self.config.groups.get(name) else {
            return Ok(());
        };
        let how = match group.strategy {
            Strategy::RingAll => "all at once",
            Strategy::Sequential => "in turn",
        };
        writeln!(out, "; group {name}: rings {} {how}", group.members.join(", "))
    }

    fn unfound(&self) -> String {
        format!(
            "\"exten_search_pattern\" ({}) can't find it in a section's name; use the JSON way",
            self.config.asterisk.exten_search_pattern.as_str()
        )
    }
}

/// A name in which the pattern finds the extension, made of the pattern's own literal text.
fn section(pattern: &ExtenPattern, ext: &str) -> Option<String> {
    let text = pattern.as_str().trim_start_matches('^').trim_end_matches('$');
    let (before, rest) = text.split_once('(').unwrap_or(("", ""));
    let after = rest.rsplit_once(')').map_or("", |(_, after)| after);
    let plain = |text: &str| text.replace('\\', "");
    [format!("{}{ext}{}", plain(before), plain(after)), format!("ws-ext-{ext}"), ext.to_owned()]
        .into_iter()
        .find(|name| {
            let safe = |b: u8| b.is_ascii_alphanumeric() || b"_.+*#@-".contains(&b);
            name.bytes().all(safe) && pattern.in_text(name).as_deref() == Some(ext)
        })
}

/// How Asterisk, on the same machine, reaches the listener.
fn uri(addr: &ListenAddr) -> String {
    match addr {
        ListenAddr::Socket(socket) if !socket.ip().is_unspecified() => format!("ws://{socket}"),
        other => format!("ws://127.0.0.1:{}", other.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_named_so_that_the_pattern_finds_the_extension() {
        let named = |pattern: &str, ext: &str| {
            section(&ExtenPattern::new(pattern).expect("a pattern"), ext)
        };
        assert_eq!(named(r"ws-ext-(\w+)", "2001").as_deref(), Some("ws-ext-2001"));
        assert_eq!(named(r"^agent\.(\d{4})-x$", "2001").as_deref(), Some("agent.2001-x"));
        assert_eq!(named(r"(\d+)", "2001").as_deref(), Some("2001"));
        assert_eq!(named(r"(?:ws|wx)-ext-(\w+)", "2001").as_deref(), Some("ws-ext-2001"));
        assert_eq!(named(r"ws-ext-(\w+)", "*97"), None, "\\w takes no star");
    }

    #[test]
    fn asterisk_is_sent_to_an_address_that_it_can_reach() {
        let socket = |text: &str| ListenAddr::Socket(text.parse().expect("an address"));
        assert_eq!(uri(&ListenAddr::AnyPort(8765)), "ws://127.0.0.1:8765");
        assert_eq!(uri(&socket("0.0.0.0:8765")), "ws://127.0.0.1:8765");
        assert_eq!(uri(&socket("192.0.2.7:1")), "ws://192.0.2.7:1");
        assert_eq!(uri(&socket("[::1]:8765")), "ws://[::1]:8765");
    }
}
