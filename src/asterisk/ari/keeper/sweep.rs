//! What is ours in Asterisk and what is remembered, made the same: strays are deleted, and what isn't
//! there any more is told.

use tracing::{info, warn};
use uuid::Uuid;

use super::{
    super::{
        message::{Bridge, Channel, Request},
        part::{self, Part, Way},
        steps::{Input, Steps},
    },
    Came, Keeper, Tap,
};

impl Keeper {
    /// Looks what there is of ours in Asterisk.
    pub(super) fn sweep(&mut self) {
        let is_up = |tap: &Tap| tap.steps.as_ref().is_some_and(Steps::is_up);
        let up = self.taps.iter().filter(|(_, tap)| is_up(tap)).map(|(id, _)| *id).collect();
        let api = self.api.clone();
        self.requests.spawn(async move {
            let (channels, bridges) = (Request::channels(), Request::bridges());
            match tokio::join!(api.get(&channels), api.get(&bridges)) {
                (Ok(Some(channels)), Ok(Some(bridges))) => Came::Swept { up, channels, bridges },
                (channels, bridges) => {
                    let why = channels.map(|_| ()).and(bridges.map(|_| ())).err();
                    warn!(?why, "ARI: what an earlier run may have left can't be looked at");
                    Came::Nothing
                }
            }
        });
    }

    /// Deletes what is ours and nobody remembers; ends what is remembered and isn't there.
    pub(super) fn swept(&mut self, up: &[Uuid], channels: &[Channel], bridges: &[Bridge]) {
        let mark = self.words.mark.clone();
        let stray = |name: &str| {
            part::parse(&mark, name).is_some_and(|(tap, _)| !self.taps.contains_key(&tap))
        };
        let strays: Vec<Request> = channels
            .iter()
            .filter(|channel| stray(&channel.id))
            .map(|channel| Request::delete_channel(&channel.id))
            .chain(
                bridges
                    .iter()
                    .filter(|bridge| stray(&bridge.id))
                    .map(|bridge| Request::delete_bridge(&bridge.id)),
            )
            .collect();
        if !strays.is_empty() {
            info!(parts = strays.len(), "ARI: what an earlier tap has left is swept away");
        }
        strays.into_iter().for_each(|request| self.delete(request));
        for id in up {
            for way in Way::BOTH {
                let snoop = self.words.name(*id, Part::Snoop(way));
                if !channels.iter().any(|channel| channel.id == snoop) {
                    self.input(*id, Input::Left(Part::Snoop(way)));
                }
            }
        }
    }

    pub(super) fn delete(&mut self, request: Request) {
        let api = self.api.clone();
        self.requests.spawn(async move {
            let _ = api.order(&request).await;
            Came::Nothing
        });
    }
}
