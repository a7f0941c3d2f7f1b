//! From the 101 to the login of a phone of `goastgateway.v1`: its first message, and who is turned
//! away with a close code that a page can read (of an HTTP status it sees nothing).

use std::time::Duration;

use tokio::time::timeout;

use super::{
    door::{Client, PhoneDoor},
    login::{Wishes, serve_v1},
    task::{CLOSE_RESTART, bye},
    token::{Claims, TokenError},
    v1::{
        MAX_TEXT, close,
        errors::{Code, Error},
        message::{self, Login, Request},
        says::ToPhone,
    },
};
use crate::{
    call::Extension,
    exchange::{line::Places, resume::ResumeId},
    net::{
        io::Io,
        upgrade::Accepted,
        wire::{Message, Turn, Wire},
    },
};

/// How long a page has for its first message.
pub const LOGIN_TIME: Duration = Duration::from_secs(10);

/// Why a connection ends before it is a login.
pub enum TurnedAway {
    /// What the page is told, and the close code.
    With(Error, u16),
    /// The gateway stops.
    Draining,
    /// It said nothing in time.
    Silent,
    Gone,
}

/// Serves a connection that asked for this dialect. `claims` are of a token that came with the
/// request.
pub async fn serve(
    door: PhoneDoor,
    accepted: Accepted,
    claims: Option<Claims>,
    client: Client,
    places: Places,
) {
    let max_message = door.config().limits.phone_message;
    let Some(mut wire) = accepted.wire(max_message).await else { return };
    match first_message(&door, &mut wire, claims, &client).await {
        Ok((ext, wishes)) => {
            let arrival = door.arrival(wire, places, ext, client.address);
            Box::pin(serve_v1(arrival, wishes)).await;
        }
        Err(away) => say_away(wire, away).await,
    }
}

/// Tells a page why it may not come in.
pub async fn turn_away(accepted: Accepted, away: TurnedAway, _places: Places) {
    // Nothing is expected of it any more, so nothing long is read.
    let Some(wire) = accepted.wire(MAX_TEXT).await else { return };
    say_away(wire, away).await;
}

async fn say_away(mut wire: Wire<Io>, away: TurnedAway) {
    let (text, code, reason) = match away {
        TurnedAway::With(error, code) => {
            (Some(ToPhone::error(None, &error).json()), code, error.code.name())
        }
        TurnedAway::Draining => (Some(bye()), CLOSE_RESTART, "the gateway restarts"),
        TurnedAway::Silent => (None, close::NO_LOGIN, "no login in time"),
        TurnedAway::Gone => return,
    };
    if let Some(text) = text {
        let _ = wire.send(Message::text(text));
    }
    wire.close(code, reason).await;
}

async fn first_message(
    door: &PhoneDoor,
    wire: &mut Wire<Io>,
    claims: Option<Claims>,
    client: &Client,
) -> Result<(Extension, Wishes), TurnedAway> {
    let turn = timeout(LOGIN_TIME, async {
        loop {
            match wire.turn().await {
                Turn::Pong(_) | Turn::Alive => {}
                turn => return turn,
            }
        }
    });
    let login = match turn.await {
        Err(_) => return Err(TurnedAway::Silent),
        Ok(Turn::Text(text)) if text.len() <= MAX_TEXT => login(&text)?,
        Ok(Turn::Closed(_)) => return Err(TurnedAway::Gone),
        Ok(_) => return Err(malformed("the first message is login, as a text")),
    };
    let claims = match (login.token, claims) {
        (Some(token), _) => door.config().tokens.verifier.verify(token.expose()),
        (None, Some(claims)) => Ok(claims),
        (None, None) => Err(TokenError::Missing),
    };
    let claims = claims.map_err(|error| {
        if door.token_refused(client, error) {
            let error = Error::new(Code::RateLimited, "too many failed logins; wait a minute");
            return TurnedAway::With(error, close::TOO_MANY_FAILURES);
        }
        TurnedAway::With(error.into(), close::BAD_TOKEN)
    })?;
    let Some(ext) = Extension::parse(&claims.ext) else {
        return Err(TurnedAway::With(TokenError::BadExtension.into(), close::BAD_TOKEN));
    };
    let resume = login.resume.as_deref().and_then(ResumeId::parse);
    let config = door.shared_config();
    let device = login.device.map(|device| device.0).filter(|device| !device.trim().is_empty());
    let call_waiting = login.call_waiting;
    Ok((ext, Wishes { claims, resume, device: device.map(Into::into), call_waiting, config }))
}

fn login(text: &str) -> Result<Login, TurnedAway> {
    match message::parse(text) {
        Ok(message::Message { request: Ok(Request::Login(login)), .. }) => Ok(login),
        Ok(message::Message { request: Err(fault), .. }) => Err(malformed(&fault.0)),
        _ => Err(malformed("the first message is login")),
    }
}

fn malformed(what: &str) -> TurnedAway {
    TurnedAway::With(Error::new(Code::Malformed, what), close::BAD_MESSAGE)
}
