//! Logs through `tracing`, to standard output, for people or as JSON.
//!
//! The level can be changed while running. Values that came from outside are written with
//! `Debug`, so a line break in them can't fake a line.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt::{self, time::SystemTime},
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

use crate::config::{LogFormat, LogSettings};

/// Changes the level of the running log.
pub struct LogControl(reload::Handle<Targets, Registry>);

impl LogControl {
    pub fn set_level(&self, level: LevelFilter) {
        // It fails only when the log is gone.
        let _ = self.0.reload(filter(level));
    }
}

/// Ours at the level that was asked for; libraries only when something is wrong.
fn filter(level: LevelFilter) -> Targets {
    Targets::new()
        .with_target(env!("CARGO_CRATE_NAME"), level)
        .with_default(level.min(LevelFilter::WARN))
}

/// Starts the log of this process. A second start leaves the first in place.
pub fn start(settings: &LogSettings) -> LogControl {
    let (level, control) = reload::Layer::new(filter(settings.level));
    let lines: Box<dyn Layer<_> + Send + Sync> = match settings.format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_target(false).boxed(),
        LogFormat::Text => {
            // journald has the time already, and no colours.
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
            let layer = fmt::layer().with_target(false).with_ansi(terminal);
            if std::env::var_os("JOURNAL_STREAM").is_some() {
                layer.without_time().boxed()
            } else {
                layer.with_timer(SystemTime).boxed()
            }
        }
    };
    let _ = tracing_subscriber::registry().with(level).with(lines).try_init();
    LogControl(control)
}
