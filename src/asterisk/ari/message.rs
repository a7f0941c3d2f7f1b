//! PURE: what goes over ARI: requests as values, channels and events as they are read.
//!
//! Promises: any text gives a value or nothing, never a panic; what isn't known is no error; no name
//! from outside can be more than one segment of a path.

use std::collections::BTreeMap;

use serde::Deserialize;
use uuid::Uuid;

use super::part::{self, Part, Way};
use crate::tap::{
    facts::{CallFacts, Direction},
    template::percent,
};

/// One request; everything is in the path and its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// Below `/ari`.
    pub path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Delete,
}

/// What all requests of one gateway share.
#[derive(Debug, Clone)]
pub struct Words {
    /// The Stasis application.
    pub app: String,
    /// The section of websocket_client.conf that leads here.
    pub connection: String,
    pub mark: String,
}

impl Request {
    fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into() }
    }

    pub fn channels() -> Self {
        Self::new(Method::Get, "/channels")
    }

    pub fn channel(id: &str) -> Self {
        Self::new(Method::Get, format!("/channels/{}", percent(id)))
    }

    /// A channel variable; since Asterisk 22 of any channel.
    pub fn variable(channel: &str, name: &str) -> Self {
        let (channel, name) = (percent(channel), percent(name));
        Self::new(Method::Get, format!("/channels/{channel}/variable?variable={name}"))
    }

    pub fn bridges() -> Self {
        Self::new(Method::Get, "/bridges")
    }

    /// The version.
    pub fn info() -> Self {
        Self::new(Method::Get, "/asterisk/info?only=system")
    }

    /// Whether a module runs.
    pub fn module(name: &str) -> Self {
        Self::new(Method::Get, format!("/asterisk/modules/{}.so", percent(name)))
    }

    /// Whether somebody speaks for an application.
    pub fn application(app: &str) -> Self {
        Self::new(Method::Get, format!("/applications/{}", percent(app)))
    }

    /// The WebSocket with the application's events.
    pub fn events(app: &str) -> Self {
        Self::new(Method::Get, format!("/events?app={}", percent(app)))
    }

    /// Something of ours, whether or not we remember it.
    pub fn delete_channel(name: &str) -> Self {
        Self::new(Method::Delete, format!("/channels/{}", percent(name)))
    }

    pub fn delete_bridge(name: &str) -> Self {
        Self::new(Method::Delete, format!("/bridges/{}", percent(name)))
    }
}

impl Words {
    pub fn new(app: &str, connection: &str) -> Self {
        Self { app: app.to_owned(), connection: connection.to_owned(), mark: part::mark(app) }
    }

    pub fn name(&self, tap: Uuid, part: Part) -> String {
        part::name(&self.mark, tap, part)
    }

    /// Makes a part of the tap of `target`, a channel's unique id.
    pub fn make(&self, tap: Uuid, part: Part, target: &str) -> Request {
        let (app, name) = (percent(&self.app), self.name(tap, part));
        let path = match part {
            Part::Snoop(way) => format!(
                "/channels/{}/snoop?app={app}&snoopId={name}&spy={}&whisper=none",
                percent(target),
                way.as_str()
            ),
            // d(in): Asterisk sends and we don't. Versions that don't know it (before 22.9) only
            // log it, where they would refuse ARI's own `direction`.
            Part::Media(_) => format!(
                "/channels/externalMedia?app={app}&channelId={name}&external_host={}\
                 &transport=websocket&encapsulation=none&format=slin16&transport_data={}",
                percent(&self.connection),
                percent("f(json)d(in)")
            ),
            Part::Bridge(_) => format!("/bridges?type=mixing&bridgeId={name}&name={name}"),
        };
        Request::new(Method::Post, path)
    }

    /// Lets the two channels of a way meet.
    pub fn join(&self, tap: Uuid, way: Way) -> Request {
        let name = |part| self.name(tap, part);
        let path = format!(
            "/bridges/{}/addChannel?channel={},{}",
            name(Part::Bridge(way)),
            name(Part::Snoop(way)),
            name(Part::Media(way))
        );
        Request::new(Method::Post, path)
    }

    pub fn delete(&self, tap: Uuid, part: Part) -> Request {
        let name = self.name(tap, part);
        match part {
            Part::Bridge(_) => Request::delete_bridge(&name),
            _ => Request::delete_channel(&name),
        }
    }
}

/// A channel as ARI tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Channel {
    pub id: String,
    pub name: String,
    pub state: String,
    pub caller: Party,
    pub connected: Party,
    pub dialplan: Dialplan,
    /// What `channelvars` of ari.conf names.
    pub channelvars: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Party {
    pub name: String,
    pub number: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Dialplan {
    pub exten: String,
    pub app_name: String,
}

/// A channel variable as ARI tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Variable {
    pub value: String,
}

/// A bridge as ARI tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Bridge {
    pub id: String,
}

/// What Asterisk reports of the application's channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A channel is in the application.
    Entered(String),
    /// It isn't any more, or is gone.
    Left(String),
    BridgeGone(String),
    /// Somebody else speaks for the application now.
    Replaced,
    Other,
}

#[derive(Deserialize)]
struct Told {
    #[serde(rename = "type")]
    kind: String,
    channel: Option<Named>,
    bridge: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

impl Event {
    /// Reads one; what can't be understood is [`Event::Other`].
    pub fn parse(text: &str) -> Self {
        let Ok(told) = serde_json::from_str::<Told>(text) else { return Self::Other };
        let channel = told.channel.map(|channel| channel.id);
        let bridge = told.bridge.map(|bridge| bridge.id);
        match (told.kind.as_str(), channel, bridge) {
            ("StasisStart", Some(id), _) => Self::Entered(id),
            ("StasisEnd" | "ChannelDestroyed", Some(id), _) => Self::Left(id),
            ("BridgeDestroyed", _, Some(id)) => Self::BridgeGone(id),
            ("ApplicationReplaced", ..) => Self::Replaced,
            _ => Self::Other,
        }
    }
}

/// What an answer that refuses says; `message` where it is ARI's, else nothing.
pub fn refusal(body: &str) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(alias = "error")]
        message: String,
    }
    let text = serde_json::from_str(body).map_or_else(|_| String::new(), |r: Refusal| r.message);
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// What those who listen are told of a channel.
pub fn facts(tap: Uuid, channel: &Channel) -> CallFacts {
    // Dialled by somebody: the other party calls, and this one was meant.
    let was_dialled = channel.dialplan.app_name == "AppDial";
    let (own, other) = (&channel.caller.number, &channel.connected.number);
    let dialled = match channel.dialplan.exten.as_str() {
        "" | "s" => other,
        exten => exten,
    };
    let (direction, from, to) = match was_dialled {
        true => (Direction::In, other.as_str(), own.as_str()),
        false => (Direction::Out, own.as_str(), dialled),
    };
    let text = |(key, value): (&String, &serde_json::Value)| {
        Some((key.clone(), value.as_str().filter(|value| !value.is_empty())?.to_owned()))
    };
    CallFacts {
        call_id: tap,
        channel: channel.name.clone(),
        channel_id: channel.id.clone(),
        direction,
        from: from.to_owned(),
        to: to.to_owned(),
        extension: endpoint(&channel.name).to_owned(),
        group: String::new(),
        variables: channel.channelvars.iter().filter_map(text).collect(),
        is_channel: true,
    }
}

/// Whose a channel is, by its name: `2001` of `PJSIP/2001-0000002a` and of `Local/2001@in-00000001;2`.
fn endpoint(name: &str) -> &str {
    let rest = name.split_once('/').map_or(name, |(_, rest)| rest);
    let rest = rest.rsplit_once('-').map_or(rest, |(before, _)| before);
    rest.split('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words() -> Words {
        Words::new("goastgateway", "ws-ext-endpoint")
    }

    const TAP: Uuid = Uuid::nil();

    #[test]
    fn what_is_made_is_asked_for_as_ari_wants_it() {
        let id = "00000000-0000-0000-0000-000000000000";
        let make = |part| words().make(TAP, part, "1795227632.2").path;
        assert_eq!(
            make(Part::Snoop(Way::In)),
            format!(
                "/channels/1795227632.2/snoop?app=goastgateway\
                 &snoopId=goastgateway-tap-{id}-si&spy=in&whisper=none"
            )
        );
        assert_eq!(
            make(Part::Media(Way::Out)),
            format!(
                "/channels/externalMedia?app=goastgateway&channelId=goastgateway-tap-{id}-mo\
                 &external_host=ws-ext-endpoint&transport=websocket&encapsulation=none\
                 &format=slin16&transport_data=f%28json%29d%28in%29"
            )
        );
        assert_eq!(
            words().join(TAP, Way::In).path,
            format!(
                "/bridges/goastgateway-tap-{id}-bi/addChannel\
                 ?channel=goastgateway-tap-{id}-si,goastgateway-tap-{id}-mi"
            )
        );
        let delete = words().delete(TAP, Part::Bridge(Way::In));
        assert_eq!(delete, Request::delete_bridge(&format!("goastgateway-tap-{id}-bi")));
    }

    #[test]
    fn a_channels_name_is_one_segment_of_a_path() {
        let path = Request::channel("Local/2001@phones-00000001;2?x=../..").path;
        assert_eq!(path, "/channels/Local%2F2001%40phones-00000001%3B2%3Fx%3D..%2F..");
        let snoop = words().make(TAP, Part::Snoop(Way::In), "a/../../bridges?x").path;
        assert!(snoop.starts_with("/channels/a%2F..%2F..%2Fbridges%3Fx/snoop?"), "{snoop}");
    }

    #[test]
    fn events_are_read_as_asterisk_22_10_sends_them() {
        for (text, event) in [
            (
                r#"{"type":"StasisStart","timestamp":"2026-11-21T15:10:33.511+0000","args":[],"channel":{"id":"x-si","name":"Snoop/1-0"},"asterisk_id":"0","application":"goastgateway"}"#,
                Event::Entered("x-si".to_owned()),
            ),
            (
                r#"{"type":"ChannelDestroyed","cause":0,"cause_txt":"Unknown","channel":{"id":"x-si"}}"#,
                Event::Left("x-si".to_owned()),
            ),
            (r#"{"type":"StasisEnd","channel":{"id":"x"}}"#, Event::Left("x".to_owned())),
            (
                r#"{"type":"BridgeDestroyed","bridge":{"id":"b"}}"#,
                Event::BridgeGone("b".to_owned()),
            ),
            (r#"{"type":"ApplicationReplaced","application":"goastgateway"}"#, Event::Replaced),
            (r#"{"type":"ChannelVarset","channel":{"id":"x"}}"#, Event::Other),
            (r#"{"type":"StasisStart"}"#, Event::Other),
            (r#"{"type":7}"#, Event::Other),
            ("", Event::Other),
        ] {
            assert_eq!(Event::parse(text), event, "{text}");
        }
    }

    #[test]
    fn who_calls_whom_is_told_from_the_channels_side() {
        let channel = |app: &str, exten: &str| Channel {
            id: "1.2".to_owned(),
            name: "PJSIP/2001-0000002a".to_owned(),
            caller: Party { number: "2001".to_owned(), ..Party::default() },
            connected: Party { number: "0312345678".to_owned(), ..Party::default() },
            dialplan: Dialplan { exten: exten.to_owned(), app_name: app.to_owned() },
            ..Channel::default()
        };
        let dialled = facts(TAP, &channel("AppDial", ""));
        assert_eq!(
            (dialled.direction, dialled.from.as_str(), dialled.to.as_str()),
            (Direction::In, "0312345678", "2001")
        );
        let dials = facts(TAP, &channel("Dial", "500"));
        assert_eq!(
            (dials.direction, dials.from.as_str(), dials.to.as_str()),
            (Direction::Out, "2001", "500")
        );
        assert_eq!(facts(TAP, &channel("Stasis", "s")).to, "0312345678");
        assert_eq!(dials.extension, "2001");
        assert_eq!(endpoint("Local/2001@phones-00000001;2"), "2001");
        assert_eq!(endpoint("PJSIP/my-trunk-0000002a"), "my-trunk");
        assert_eq!(endpoint("odd"), "odd");
    }

    #[test]
    fn a_refusal_is_shown_as_far_as_it_is_one() {
        assert_eq!(refusal(r#"{"message":"Channel not found"}"#), "Channel not found");
        assert_eq!(refusal(r#"{"error":"Allocation failed"}"#), "Allocation failed");
        assert_eq!(refusal("<html>"), "");
        assert_eq!(refusal(&format!(r#"{{"message":"{}"}}"#, "x".repeat(999))).len(), 200);
    }

    proptest! {
        #[test]
        fn any_text_gives_an_event(text in any::<String>()) {
            let _ = Event::parse(&text);
            let _ = refusal(&text);
            let _ = serde_json::from_str::<Channel>(&text);
        }
    }
}
