//! Delivers what is in the spool: a loop for each receiver, beside the one that fills the spool.
//!
//! Anything but a 2xx is tried again later, with pauses that grow; `410 Gone` alone gives a
//! delivery up. A receiver that is down is asked by one delivery at a time, and gets all that
//! waits as soon as it takes that one.

use std::{cell::RefCell, collections::VecDeque, future::Future, sync::Arc, time::Duration};

use futures_util::future::join_all;
use reqwest::{Client, StatusCode, header, redirect::Policy};
use rusqlite::Connection;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    message::{Message, messages},
    sign,
    spool::{self, Delivery, KEEP, MOST_WAITING},
};
use crate::{
    config::{Config, Webhook},
    report::{
        Settings,
        feed::Subscription,
        metrics::{Metrics, WebhookLabel},
        state::{StateDir, StateError},
        time::Utc,
    },
};

/// Events that are turned into deliveries at once, under one wait for the disk.
const BATCH: usize = 256;
/// Deliveries that may wait in memory while the disk fails, some 1.5 KiB each.
const MOST_UNSPOOLED: usize = 5_000;
/// How long a disk that failed is left alone.
const DISK_PAUSE: Duration = Duration::from_secs(2);
/// Deliveries under way to one receiver, each of another call.
const AT_ONCE: u32 = 8;
/// How long one attempt may take, connecting included.
const ATTEMPT_TIME: Duration = Duration::from_secs(10);
/// How much of an answer is read, so that the connection can be used again.
const ANSWER: usize = 16 * 1024;
/// Between two questions whether a receiver is back, at most.
const LONGEST_DOWN: Duration = Duration::from_secs(30);
/// How soon a reload counts.
const RELOAD_CHECK: Duration = Duration::from_secs(1);
/// How often the bounds of the spool are enforced.
const GIVE_UP_EVERY: Duration = Duration::from_secs(60);
/// What a stop waits for the deliveries of the last calls; what isn't made then is made after the
/// next start.
const LAST_TIME: Duration = Duration::from_secs(2);

/// All webhooks, on the thread that delivers.
pub struct Webhooks {
    state: Arc<StateDir>,
    metrics: Arc<Metrics>,
    settings: Settings,
    db: RefCell<Option<Connection>>,
    /// Changes when something was put into the spool.
    put: watch::Sender<()>,
    /// When nothing is put any more.
    last: CancellationToken,
}

/// What came of an attempt.
enum Attempt {
    Taken,
    /// The receiver wants no more of it.
    Gone,
    /// It answered, and didn't take it.
    Refused(StatusCode, Option<Duration>),
    Unreachable(String),
}

impl Webhooks {
    pub fn new(state: Arc<StateDir>, metrics: Arc<Metrics>, settings: Settings) -> Self {
        Self {
            state,
            metrics,
            settings,
            db: RefCell::default(),
            put: watch::Sender::new(()),
            last: CancellationToken::new(),
        }
    }

    /// Puts what happens into the spool until nothing happens any more, and delivers it.
    pub async fn run(&self, happenings: Subscription) {
        tokio::join!(self.keep(happenings), self.deliver());
    }

    async fn keep(&self, mut happenings: Subscription) {
        let mut waiting: VecDeque<(String, Message)> = VecDeque::new();
        let mut pause: Option<Instant> = None;
        let mut batch = Vec::new();
        loop {
            let retry = pause.unwrap_or_else(Instant::now);
            let got = tokio::select! {
                got = happenings.next_many(&mut batch, BATCH) => got,
                () = sleep_until(retry), if pause.is_some() => { pause = None; 1 }
            };
            self.lost("events that came too fast", happenings.take_dropped());
            let config = self.settings.load();
            for happened in batch.drain(..) {
                for webhook in &config.records.webhooks {
                    let messages = messages(&happened, webhook).into_iter();
                    waiting.extend(messages.map(|message| (webhook.name.clone(), message)));
                }
            }
            let over = waiting.len().saturating_sub(MOST_UNSPOOLED);
            waiting.drain(..over);
            self.lost("deliveries that the disk had no room for", over as u64);
            if waiting.is_empty() || (pause.is_some() && got > 0) {
                // Nothing to do, or not yet.
            } else if let Err(error) = self.spool(&mut waiting) {
                error!(%error, waiting = waiting.len(), "webhooks can't be put on the disk; tried again");
                pause = Some(Instant::now() + DISK_PAUSE);
            }
            if got == 0 {
                break;
            }
        }
        self.lost("deliveries that the disk had no room for", waiting.len() as u64);
        self.last.cancel();
    }

    fn lost(&self, what: &'static str, lost: u64) {
        if lost > 0 {
            error!(lost, "webhooks: lost {what}");
            self.metrics.records.webhooks_dropped.get_or_create(&label("all")).inc_by(lost);
        }
    }

    fn spool(&self, waiting: &mut VecDeque<(String, Message)>) -> Result<(), StateError> {
        self.with(|db| spool::put(db, waiting.make_contiguous(), Utc::now()))?;
        waiting.clear();
        self.put.send_replace(());
        Ok(())
    }

    /// Does something with the database, which is opened when it is first needed.
    fn with<T>(
        &self,
        what: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        let mut db = self.db.borrow_mut();
        let db = match &mut *db {
            Some(db) => db,
            none => none.insert(self.state.database(spool::FILE, spool::STEPS)?),
        };
        let path = self.state.file(spool::FILE);
        what(db).map_err(|source| StateError::Database { path, source })
    }

    async fn deliver(&self) {
        let over = async {
            self.last.cancelled().await;
            sleep(LAST_TIME).await;
        };
        let mut over = std::pin::pin!(over);
        loop {
            let config = self.settings.load_full();
            let webhooks = &config.records.webhooks;
            if !webhooks.is_empty() || self.state.file(spool::FILE).exists() {
                self.forget_others(&config);
            }
            let all = async {
                join_all(webhooks.iter().map(|webhook| self.deliver_to(webhook))).await;
                self.last.cancelled().await;
            };
            tokio::select! {
                () = all => return,
                () = self.changed(&config) => {}
                () = &mut over => return,
            }
        }
    }

    async fn changed(&self, config: &Arc<Config>) {
        while Arc::ptr_eq(config, &self.settings.load()) {
            sleep(RELOAD_CHECK).await;
        }
    }

    fn forget_others(&self, config: &Config) {
        let names: Vec<&str> = config.records.webhooks.iter().map(|w| w.name.as_str()).collect();
        match self.with(|db| spool::forget_others(db, &names)) {
            Ok(0) => {}
            Ok(deliveries) => {
                warn!(deliveries, "given up: they waited for webhooks that are no more")
            }
            Err(error) => warn!(%error, "webhooks"),
        }
    }

    /// Delivers to one receiver; ends when nothing more is put and nothing is due.
    async fn deliver_to(&self, webhook: &Webhook) {
        let client = match client(webhook) {
            Ok(client) => client,
            Err(error) => {
                error!(webhook = webhook.name, %error, "the webhook can't be called");
                return;
            }
        };
        let mut put = self.put.subscribe();
        let mut down: Option<Duration> = None;
        let mut give_up_at = Instant::now();
        loop {
            put.mark_unchanged();
            if give_up_at <= Instant::now() {
                self.give_up(webhook);
                give_up_at = Instant::now() + GIVE_UP_EVERY;
            }
            let most = if down.is_some() { 1 } else { AT_ONCE };
            let due = self.with(|db| spool::due(db, &webhook.name, Utc::now(), most));
            let due = due.unwrap_or_else(|error| {
                warn!(webhook = webhook.name, %error, "the spool can't be read");
                Vec::new()
            });
            let reached = self.round(&client, webhook, &due).await;
            match (reached, down) {
                (Some(true), Some(_)) => {
                    info!(webhook = webhook.name, "the webhook's receiver is back");
                    down = None;
                }
                (Some(false), _) => {
                    let pause = down.map_or(spool::PAUSE.0, |d| (d * 2).min(LONGEST_DOWN));
                    down = Some(pause);
                    if self.sleeps(sleep(pause)).await {
                        return;
                    }
                }
                (Some(true), None) => {}
                (None, _) => {
                    let next = self.with(|db| spool::next_due(db, &webhook.name)).ok().flatten();
                    let wait = next.map_or(GIVE_UP_EVERY, |at| at.since(Utc::now()));
                    let wait = wait.clamp(Duration::from_millis(20), GIVE_UP_EVERY);
                    tokio::select! {
                        _ = put.changed() => {}
                        last = self.sleeps(sleep(wait)) => if last { return },
                    }
                }
            }
        }
    }

    /// Waits, unless nothing is put any more.
    async fn sleeps(&self, wait: impl Future<Output = ()>) -> bool {
        tokio::select! {
            () = wait => false,
            () = self.last.cancelled() => true,
        }
    }

    /// One attempt each; tells whether the receiver was reached, if it was asked.
    async fn round(&self, client: &Client, webhook: &Webhook, due: &[Delivery]) -> Option<bool> {
        let attempts = join_all(due.iter().map(|d| attempt(client, webhook, d))).await;
        let mut reached = None;
        let label = label(&webhook.name);
        let records = &self.metrics.records;
        for (delivery, attempt) in due.iter().zip(attempts) {
            let ok = matches!(attempt, Attempt::Taken | Attempt::Gone);
            reached = Some(reached.unwrap_or(false) || ok);
            let kept = match attempt {
                Attempt::Taken => {
                    records.webhooks_sent.get_or_create(&label).inc();
                    self.with(|db| spool::delivered(db, delivery.seq))
                }
                Attempt::Gone => {
                    warn!(webhook = webhook.name, id = %delivery.id, "410: the delivery is given up");
                    records.webhooks_dropped.get_or_create(&label).inc();
                    self.with(|db| spool::delivered(db, delivery.seq))
                }
                Attempt::Refused(..) | Attempt::Unreachable(_) => {
                    records.webhooks_failed.get_or_create(&label).inc();
                    self.put_off(webhook, delivery, &attempt)
                }
            };
            if let Err(error) = kept {
                // It will be made again, under the same id.
                warn!(webhook = webhook.name, %error, "the spool can't be written");
            }
        }
        if let Ok(waiting) = self.with(|db| spool::waiting(db, &webhook.name)) {
            records.webhooks_waiting.get_or_create(&label).set(waiting.into());
        }
        reached
    }

    fn put_off(
        &self,
        webhook: &Webhook,
        delivery: &Delivery,
        attempt: &Attempt,
    ) -> Result<(), StateError> {
        let chance = uuid::Uuid::new_v4().as_u128() as f64 / u128::MAX as f64;
        let mut pause = spool::pause(delivery.attempts, chance);
        let why = match attempt {
            Attempt::Refused(status, wish) => {
                pause = wish.map_or(pause, |wish| wish.max(pause).min(spool::PAUSE.1));
                format!("it answered {status}")
            }
            Attempt::Unreachable(why) => why.clone(),
            Attempt::Taken | Attempt::Gone => String::new(),
        };
        if delivery.attempts == 0 {
            warn!(
                webhook = webhook.name, id = %delivery.id, event = delivery.event, why,
                "a delivery failed; it is tried again for {} hours", KEEP.as_secs() / 3600
            );
        }
        self.with(|db| spool::failed(db, delivery.seq, Utc::now().plus(pause)))
    }

    fn give_up(&self, webhook: &Webhook) {
        let given_up = self.with(|db| spool::give_up(db, &webhook.name, Utc::now(), MOST_WAITING));
        match given_up {
            Ok(0) => {}
            Ok(deliveries) => {
                error!(webhook = webhook.name, deliveries, "given up: too many or too old");
                let label = label(&webhook.name);
                let dropped = self.metrics.records.webhooks_dropped.get_or_create(&label).clone();
                dropped.inc_by(deliveries as u64);
            }
            Err(error) => warn!(webhook = webhook.name, %error, "the spool can't be cleaned"),
        }
    }
}

fn label(webhook: &str) -> WebhookLabel {
    WebhookLabel { webhook: webhook.to_owned() }
}

fn client(webhook: &Webhook) -> reqwest::Result<Client> {
    let builder = Client::builder()
        .user_agent(concat!("goastgateway/", env!("CARGO_PKG_VERSION")))
        // A receiver that moved is for the operator to know.
        .redirect(Policy::none())
        .timeout(ATTEMPT_TIME)
        .pool_max_idle_per_host(AT_ONCE as usize);
    match &webhook.tls {
        Some(tls) => builder.tls_backend_preconfigured((**tls).clone()).build(),
        None => builder.build(),
    }
}

async fn attempt(client: &Client, webhook: &Webhook, delivery: &Delivery) -> Attempt {
    let now = Utc::now().millis() / 1000;
    let signature = sign::signature(&webhook.key_bytes(), delivery.id, now, &delivery.body);
    let request = client
        .post(webhook.url.clone())
        .header(header::CONTENT_TYPE, "application/json")
        .header(sign::ID_HEADER, delivery.id.to_string())
        .header(sign::TIMESTAMP_HEADER, now)
        .header(sign::SIGNATURE_HEADER, signature)
        .body(delivery.body.clone());
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Attempt::Unreachable(why(error)),
    };
    let status = response.status();
    let wish = response.headers().get(header::RETRY_AFTER);
    let wish = wish.and_then(|w| w.to_str().ok()?.parse().ok()).map(Duration::from_secs);
    let mut read = 0;
    // What it says beside the status doesn't matter, but the connection does.
    while let Ok(Ok(Some(piece))) = timeout(ATTEMPT_TIME, response.chunk()).await {
        read += piece.len();
        if read > ANSWER {
            break;
        }
    }
    match status {
        status if status.is_success() => Attempt::Taken,
        StatusCode::GONE => Attempt::Gone,
        status => Attempt::Refused(status, wish),
    }
}

/// The reason, without the URL: it may hold a key.
fn why(error: reqwest::Error) -> String {
    use std::error::Error;
    let error = error.without_url();
    let mut reason: &dyn Error = &error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}
