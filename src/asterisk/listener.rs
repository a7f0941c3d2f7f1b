//! Where Asterisk knocks: the address is checked, the 101 is sent at once, and a task takes the
//! call. Any path is served, as the reference does.
//!
//! The upgrade is answered from memory alone: Asterisk waits for it with a channel's lock held.

use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::{Request, Response, StatusCode, body::Incoming, header::ORIGIN};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use super::{
    ari::ear,
    fork,
    leg::{Leg, LegContext, LegEnd},
};
use crate::{
    call::CallId,
    config::Config,
    exchange::Exchange,
    net::{
        bell::Bells,
        io::Io,
        life::{Life, Serve},
        limits::Place,
        upgrade::{Accepted, Body, NotAnUpgrade, Upgrade, answer, offers},
    },
    report::metrics::ReasonLabel,
    tap::Taps,
};

/// The subprotocol that websocket_client.conf of every example asks for.
const PROTOCOL: &str = "media";

/// What every connection of Asterisk shares.
#[derive(Clone)]
pub struct AsteriskDoor {
    pub exchange: Arc<Exchange>,
    pub calls: TaskTracker,
    /// Cancelled when the time for calls to finish is over.
    pub stop: CancellationToken,
}

impl AsteriskDoor {
    /// Answers one request.
    pub fn handle(
        &self,
        mut request: Request<Incoming>,
        address: IpAddr,
        config: &Arc<Config>,
        place: Arc<Place>,
    ) -> Response<Body> {
        if !config.asterisk.allowed.admits(address) {
            self.refuse(address, "address");
            return answer(StatusCode::FORBIDDEN, "this address may not connect\n");
        }
        if request.headers().contains_key(ORIGIN) {
            // Asterisk never sends one. A browser always does, so this is a web page that found
            // the port and would place calls.
            self.refuse(address, "origin");
            return answer(StatusCode::FORBIDDEN, "this port is for Asterisk, not for browsers\n");
        }
        let upgrade = match Upgrade::of(&mut request) {
            Ok(upgrade) => upgrade,
            Err(NotAnUpgrade::Plain) => {
                return answer(
                    StatusCode::UPGRADE_REQUIRED,
                    "this port is for Asterisk's chan_websocket\n",
                );
            }
            Err(NotAnUpgrade::Bad(why)) => return answer(StatusCode::BAD_REQUEST, why),
        };
        if let Some(fork) = fork::of(request.uri().path()) {
            let Ok(fork) = fork else {
                return answer(StatusCode::NOT_FOUND, "/fork/{id}/left, /right or /mix\n");
            };
            let (response, accepted) = upgrade.accept(None);
            let (taps, settings) = (self.exchange.taps.clone(), config.taps.clone());
            let stop = self.stop.clone();
            self.calls.spawn(async move {
                let _place = place;
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = fork::serve(accepted, fork, taps, settings) => {}
                }
            });
            return response;
        }
        let protocol = offers(request.headers(), PROTOCOL).then_some(PROTOCOL);
        let (response, accepted) = upgrade.accept(protocol);
        let context = LegContext {
            config: config.clone(),
            exchange: self.exchange.clone(),
            stop: self.stop.clone(),
        };
        self.calls.spawn(call(accepted, context, place, self.calls.clone()));
        response
    }

    fn refuse(&self, address: IpAddr, reason: &'static str) {
        warn!(%address, reason, "connection to Asterisk's port refused");
        self.exchange.metrics.refused.get_or_create(&ReasonLabel { reason }).inc();
    }
}

/// Begins a call's life, in a task of its own: a frame of audio passes by nothing of how it came here.
async fn call(accepted: Accepted, context: LegContext, place: Arc<Place>, calls: TaskTracker) {
    let max_message = context.config.limits.asterisk_message;
    let Some(wire) = accepted.wire(max_message).await else { return };
    let id = CallId::from_uuid(uuid::Uuid::new_v4());
    let taps = context.exchange.taps.clone();
    let leg = Leg::new(wire, id, context);
    calls.spawn(Life::new(CallTask { leg, taps, place }));
}

/// A call, and what its connection holds of the limits.
#[repr(C)]
struct CallTask {
    leg: Leg<Io>,
    taps: Arc<Taps>,
    place: Arc<Place>,
}

impl Serve for CallTask {
    type End = LegEnd;
    type Left = ();

    fn bells(&mut self) -> &mut Bells {
        self.leg.bells()
    }

    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<LegEnd> {
        self.leg.poll_serve(cx)
    }

    fn take_audio(&mut self) {
        self.leg.take_audio();
    }

    fn touch(&self) {
        self.leg.touch();
    }

    fn take_socket(&mut self) {
        self.leg.take_socket();
    }

    async fn finish(self, end: LegEnd) {
        let Self { leg, taps, place } = self;
        if let Some((wire, ear)) = leg.finish(end).await {
            // Not among the calls: a stop doesn't wait for whoever listens.
            let stop = taps.stopping();
            taps.spawn(async move {
                let _place = place;
                ear::serve(wire, ear, stop).await;
            });
        }
    }
}
