//! PURE: the manager's actions, made of values that can't mean more than themselves, and what its
//! answers mean.

use std::time::Duration;

use crate::{
    asterisk::ami::message::{Action, LineBreak, Packet},
    call::{CallId, Extension, number::Number},
    config::DialSettings,
};

/// How long a key is heard by the far end. Asterisk sends at least 80 ms.
pub const KEY_TIME: Duration = Duration::from_millis(120);
/// Silence between two keys; Asterisk keeps at least 45 ms.
pub const KEY_GAP: Duration = Duration::from_millis(80);
/// A `w` among the keys.
pub const KEY_PAUSE: Duration = Duration::from_millis(500);
/// Longest value of a variable that a page sets.
pub const MAX_VALUE: usize = 256;
/// Most variables that a page sets for a call.
pub const MAX_VARIABLES: usize = 16;

/// The actions that call control needs; the manager tells which of them a user may do.
pub const DIAL: &[&str] = &["Originate"];
pub const DTMF: &[&str] = &["PlayDTMF"];
pub const TRANSFER: &[&str] = &["BlindTransfer", "Bridge", "Getvar"];

/// Opens the phone's leg of a call, which dials the number when it is answered.
pub fn dial(
    settings: &DialSettings,
    call: CallId,
    ext: &Extension,
    number: &Number,
    variables: &[(String, String)],
    leg_time: Duration,
) -> Result<Action, LineBreak> {
    let channel = format!("WebSocket/{}/f(json)c(slin16)n", settings.connection);
    let caller_id = settings.caller_id.replace("{extension}", ext.as_str());
    let id = call.to_string();
    let mut action = Action::new("Originate")
        .with("Channel", &channel)?
        .with("Context", &settings.context)?
        .with("Exten", number.as_str())?
        .with("Priority", "1")?
        .with("Async", "true")?
        .with("Timeout", &leg_time.as_millis().to_string())?
        .with("ChannelId", &id)?
        .with("CallerID", &caller_id)?
        .with("Variable", &format!("{}={id}", crate::exchange::calls::CALL_VARIABLE))?;
    for (name, value) in variables {
        action = action.with("Variable", &format!("{name}={}", escape(value)))?;
    }
    Ok(action)
}

/// A value in a `Variable` line, where a comma begins the next variable.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '"') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The variables that a page may set, under the names that the configuration gives them: there one
/// may begin with `_`, which hands it on to the channel that is dialled.
pub fn variables(
    settings: &DialSettings,
    asked: &[(String, String)],
) -> Result<Vec<(String, String)>, String> {
    if asked.len() > MAX_VARIABLES {
        return Err(format!("more than {MAX_VARIABLES} variables"));
    }
    let named =
        |name: &str| settings.variables.iter().find(|known| known.trim_start_matches('_') == name);
    let mut set = Vec::new();
    for (name, value) in asked {
        let Some(known) = named(name.trim_start_matches('_')) else {
            return Err(format!("the variable {:?} is not one of dial.variables", shown(name)));
        };
        let expands = value.contains("${") || value.contains("$[");
        if value.chars().count() > MAX_VALUE || value.chars().any(char::is_control) || expands {
            return Err(format!(
                "the value of {known} is too long, or holds what may not be in it"
            ));
        }
        set.push((known.clone(), value.clone()));
    }
    Ok(set)
}

fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

/// One key, as if it had been pressed on our own leg: the far end hears it.
pub fn key(channel: &str, digit: char) -> Result<Action, LineBreak> {
    Action::new("PlayDTMF")
        .with("Channel", channel)?
        .with("Digit", &digit.to_string())?
        .with("Duration", &KEY_TIME.as_millis().to_string())?
        .with("Receive", "true")
}

/// Passes on whoever is in the bridge with this channel.
pub fn blind_transfer(
    channel: &str,
    settings: &DialSettings,
    number: &Number,
) -> Result<Action, LineBreak> {
    Action::new("BlindTransfer")
        .with("Channel", channel)?
        .with("Context", &settings.context)?
        .with("Exten", number.as_str())
}

/// Takes both channels out of what they are in, and joins them.
pub fn join(one: &str, other: &str) -> Result<Action, LineBreak> {
    Action::new("Bridge").with("Channel1", one)?.with("Channel2", other)?.with("Tone", "no")
}

/// Whether the dialplan has a number: `Value` is then 1, else 0; empty where Asterisk can't tell.
/// A blind transfer to one that isn't there would hang up the caller and be called a success.
pub fn exists(settings: &DialSettings, number: &Number) -> Result<Action, LineBreak> {
    let function = format!("DIALPLAN_EXISTS({},{},1)", settings.context, number.as_str());
    Action::new("Getvar").with("Variable", &function)
}

/// Who is in the bridge with this channel; see [`only`].
pub fn peer(channel: &str) -> Result<Action, LineBreak> {
    Action::new("Getvar").with("Channel", channel)?.with("Variable", "BRIDGEPEER")
}

/// Whether the caller wants to be known: `prohib…` where not. Empty where Asterisk can't tell.
pub fn presentation(channel: &str) -> Result<Action, LineBreak> {
    Action::new("Getvar").with("Channel", channel)?.with("Variable", "CONNECTEDLINE(num-pres)")
}

/// The one channel of a `BRIDGEPEER`; in a conference there are several.
pub fn only(peers: &str) -> Option<&str> {
    (!peers.is_empty() && !peers.contains(',')).then_some(peers)
}

/// What Asterisk's refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The channel is gone.
    Channel,
    /// The dialplan has no such number.
    Number,
    /// The manager's user may not.
    Rights,
    /// The channel is in no bridge: Asterisk joins the two ends of a call some milliseconds after
    /// its answer.
    NotJoined,
    Other,
}

/// Reads an answer that is no success, in the words of Asterisk 22.
pub fn refusal(answer: &Packet) -> Refusal {
    let message = answer.get("Message").to_ascii_lowercase();
    if message.contains("permission denied") {
        Refusal::Rights
    } else if message.contains("extension does not exist") {
        Refusal::Number
    } else if message.contains("transfer invalid") {
        Refusal::NotJoined
    } else if message.contains("channel") {
        Refusal::Channel // "No such channel", "Channel specified does not exist", "Channel not found"
    } else {
        Refusal::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NumberPattern;

    fn settings() -> DialSettings {
        DialSettings {
            context: "from-phones".to_owned(),
            connection: "gw".to_owned(),
            allow: NumberPattern::new("[0-9]+").unwrap(),
            per_hour: 10,
            timeout: Duration::from_secs(60),
            caller_id: "Shop <{extension}>".to_owned(),
            variables: vec!["__CRM_ID".to_owned(), "NOTE".to_owned()],
        }
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_dialled_call_is_our_own_leg_with_the_calls_number_on_it() {
        let call = CallId::from_uuid(uuid::Uuid::nil());
        let (ext, number) = (Extension::from("2001"), Number::parse("03-1234").unwrap());
        let variables = variables(&settings(), &pairs(&[("CRM_ID", "4,7\\\"1")])).unwrap();
        let time = Duration::from_secs(10);
        let action = dial(&settings(), call, &ext, &number, &variables, time).unwrap();
        assert_eq!(
            action.encode(1),
            "Action: Originate\r\nActionID: 1\r\nChannel: WebSocket/gw/f(json)c(slin16)n\r\n\
             Context: from-phones\r\nExten: 031234\r\nPriority: 1\r\nAsync: true\r\n\
             Timeout: 10000\r\nChannelId: 00000000-0000-0000-0000-000000000000\r\n\
             CallerID: Shop <2001>\r\n\
             Variable: GOASTGATEWAY_CALL=00000000-0000-0000-0000-000000000000\r\n\
             Variable: __CRM_ID=4\\,7\\\\\\\"1\r\n\r\n"
        );
    }

    #[test]
    fn only_variables_that_are_named_can_be_set_and_only_to_plain_values() {
        let settings = settings();
        assert!(variables(&settings, &pairs(&[("NOTE", "a b"), ("__CRM_ID", "1")])).is_ok());
        for bad in [
            ("PATH", "x"),
            ("FILE(/tmp/x)", "x"),
            ("GOASTGATEWAY_CALL", "x"),
            ("", "x"),
            ("NOTE", "a\r\nAction: Logoff"),
            ("NOTE", "${SHELL(id)}"),
            ("NOTE", "$[1+1]"),
            ("NOTE", &"x".repeat(MAX_VALUE + 1)),
        ] {
            assert!(variables(&settings, &pairs(&[bad])).is_err(), "{bad:?}");
        }
        let many = vec![("NOTE", "x"); MAX_VARIABLES + 1];
        assert!(variables(&settings, &pairs(&many)).is_err());
    }

    #[test]
    fn asterisks_refusals_are_told_apart() {
        for (message, what) in [
            ("No such channel", Refusal::Channel),
            ("Channel specified does not exist", Refusal::Channel),
            ("Extension does not exist.", Refusal::Number),
            ("Permission denied", Refusal::Rights),
            ("Transfer invalid", Refusal::NotJoined),
            ("Transfer failed", Refusal::Other),
        ] {
            let answer = Packet::from_iter([("Response", "Error"), ("Message", message)]);
            assert_eq!(refusal(&answer), what, "{message}");
        }
    }

    #[test]
    fn a_conference_is_nobodys_other_end() {
        assert_eq!(only("PJSIP/a-1"), Some("PJSIP/a-1"));
        assert_eq!(only("PJSIP/a-1,PJSIP/b-1"), None);
        assert_eq!(only(""), None);
    }
}
