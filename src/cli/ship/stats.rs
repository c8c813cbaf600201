//! How shipping goes, told on stderr now and then.

use std::convert::Infallible;
use std::time::Duration;

use clap::Args;

use crate::cli::output;
use crate::cli::ship::flags::time;
use crate::cli::ship::flags::word;
use crate::sources::ship::Shipment;

/// Flags of every command that ships.
#[derive(Args, Clone, Debug)]
pub(crate) struct StatsFlags {
    /// Say how it goes on stderr, so often
    #[arg(long, value_name = "TIME", value_parser = time)]
    stats_interval: Option<Duration>,
    /// Name whose numbers these are: `source=NAME` in front of them
    #[arg(long, value_name = "NAME", value_parser = word, requires = "stats_interval")]
    stats_source: Option<String>,
}

impl StatsFlags {
    /// Says how `shipment` goes, for ever.
    pub(crate) async fn tell(&self, shipment: &Shipment) -> Infallible {
        let Some(interval) = self.stats_interval else {
            return std::future::pending().await;
        };
        let source = self.stats_source.as_ref();
        let source = source.map_or_else(String::new, |name| format!("source={name} "));
        let mut ticks = tokio::time::interval(interval);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let report = shipment.report();
            output::note(&format_args!(
                "{source}at=stats delivered={} dropped={} lost={} queued={} spooled={}",
                report.delivered,
                report.dropped,
                report.lost,
                shipment.queued_count(),
                shipment.spooled_count(),
            ));
        }
    }
}
