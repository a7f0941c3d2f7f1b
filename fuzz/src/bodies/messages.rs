//! What others say: the manager, Asterisk, phones, and texts that come over HTTP.

use bytes::BytesMut;
use goastgateway::{
    asterisk::{
        ami::{event, message as ami},
        ari::{message as ari, part},
        message::{self, Event},
    },
    call::number::{Keys, MAX_NUMBER, Number},
    phone::{plain, v1},
    report::{table::query::Cursor, time::Utc},
    tap::products::Product,
};

/// Any bytes of the manager are packets or an error, the same ones however they are cut; what is made
/// of them as a number can't be more than one, and an action has as many lines as it was given.
pub fn manager(data: &[u8]) {
    let greeted = [b"Asterisk Call Manager/11.0.0\r\n", data].concat();
    let packets = |step: usize| {
        let (mut decoder, mut bytes) = (ami::Decoder::default(), BytesMut::new());
        let (mut all, mut error) = (Vec::new(), None);
        for piece in greeted.chunks(step) {
            bytes.extend_from_slice(piece);
            while error.is_none() {
                match decoder.next(&mut bytes) {
                    Ok(Some(packet)) => all.push(packet),
                    Ok(None) => break,
                    Err(bad) => error = Some(bad),
                }
            }
        }
        (all, error)
    };
    let (all, error) = packets(greeted.len());
    assert_eq!((&all, error), (&packets(1 + data.len() % 7).0, packets(1 + data.len() % 7).1));
    for packet in &all {
        let _ = event::Event::of(packet);
        for (_, value) in packet.fields() {
            if let Ok(number) = Number::parse(value) {
                assert!(number.as_str().len() <= MAX_NUMBER);
                assert!(
                    number
                        .as_str()
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"*#+_.-".contains(&b))
                );
            }
            if let Some(keys) = Keys::parse(value) {
                assert!(keys.iter().flatten().all(|key| "0123456789*#ABCD".contains(key)));
            }
            if let Ok(action) = ami::Action::new("Originate").with("Exten", value) {
                assert_eq!(action.encode(1).lines().count(), 4, "{value:?}");
            }
        }
    }
}

/// Any text is an event or an error; what is read of it is no longer than it was.
pub fn asterisk_events(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let format = message::format_of(text);
    match message::parse(text) {
        Ok(Event::MediaStart(start)) => {
            let fields = [&start.connection_id, &start.channel, &start.channel_id, &start.format];
            let variables = start.variables.iter().map(|(key, value)| key.len() + value.len());
            let length = fields.iter().map(|f| f.len()).sum::<usize>() + variables.sum::<usize>();
            assert!(length <= 4 * text.len(), "fields out of nothing");
            if format == message::ControlFormat::Text {
                assert!(start.variables.is_empty(), "plain text carries no variables");
            }
        }
        Ok(Event::Error { text: reason }) => assert!(reason.len() <= 3 * text.len()),
        Ok(Event::DtmfEnd { digit }) => assert!("0123456789*#ABCD".contains(digit)),
        Ok(_) => {}
        Err(_) => assert!(format == message::ControlFormat::Json || text.trim().is_empty()),
    }
}

/// Any text is a word or nothing, and the words don't depend on case and space around them.
pub fn phone_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let said = plain::parse(text);
    assert_eq!(said, plain::parse(&format!(" {text}\r\n")));
    assert_eq!(said, plain::parse(&text.to_ascii_lowercase()));
    assert!(said.is_none() || text.trim().len() <= 6);
}

/// Any text is a message of the phone protocol, or none; its id comes back as it is.
pub fn phone_v1(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(message) = v1::message::parse(text) else { return };
    assert!(text.trim_start().starts_with('{'), "a message that is no object");
    if let Some(id) = &message.id {
        assert!(id.is_good());
        let ok = v1::says::ToPhone::Ok { id, result: Default::default() }.json();
        let back = v1::message::parse(&ok).expect("what we say is an object");
        assert_eq!(back.id.as_ref(), Some(id), "an id that doesn't come back");
    }
    let debug = format!("{:?}", message.request);
    if let Ok(v1::message::Request::Token { token }) = &message.request
        && token.expose().len() > 16
    {
        assert!(!debug.contains(token.expose()), "a token shows itself");
    }
}

/// Any text is a time or not, and a cursor or not; what is one is written as it was read.
pub fn record_texts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(time) = Utc::parse(text) {
        assert_eq!(Utc::parse(&time.to_string()), Some(time), "{text:?}");
    }
    if let Some(cursor) = Cursor::decode(text) {
        assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor), "{text:?}");
    }
    if let Ok(product) = serde_json::from_str::<Product>(text) {
        let written = serde_json::to_string(&product).expect("JSON");
        assert_eq!(serde_json::from_str::<Product>(&written).ok(), Some(product.clone()));
        let good = product.spec().is_ok();
        assert!(!good || product.streaming_url.to_ascii_lowercase().starts_with("wss://"));
    }
}

/// Any text of ARI's is an event, a refusal, a channel or nothing; a name is ours only if we would
/// have written it; whatever a channel is called, it is one segment of a path.
pub fn ari_texts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = ari::Event::parse(text);
    assert!(ari::refusal(text).chars().count() <= 200);
    if let Ok(channel) = serde_json::from_str::<ari::Channel>(text) {
        let facts = ari::facts(uuid::Uuid::nil(), &channel);
        assert_eq!((&facts.channel, &facts.channel_id), (&channel.name, &channel.id));
    }
    let mark = part::mark("gw");
    for name in [text.to_owned(), format!("{mark}{text}")] {
        if let Some((tap, part)) = part::parse(&mark, &name) {
            assert_eq!(part::name(&mark, tap, part), name);
        }
    }
    let path = ari::Request::channel(text).path;
    let segment = path.strip_prefix("/channels/").expect("a channel's path");
    assert!(!segment.contains(['/', '?', '#', ' ']), "{path}");
}
