//! What happened at an endpoint over the last day: a chart drawn here, and the same numbers as a table.

use crate::{
    endpoint::{Head, address, frame},
    page::{Frame, Page, show as render},
    session::Visitor,
};
use askama::Template;
use axum::extract::Path;
use domain::Timestamp;
use std::time::Duration;

const HOUR: i64 = 3600;
const HOURS: i64 = 24;
/// The chart's height in its own units.
const HEIGHT: u64 = 160;

/// An hour of the chart.
struct Bar {
    label: String,
    exact: String,
    delivered: u64,
    failed: u64,
    x: usize,
    y_delivered: u64,
    h_delivered: u64,
    y_failed: u64,
    h_failed: u64,
}

#[derive(Template)]
#[template(path = "endpoint_activity.html")]
struct ActivityPage {
    frame: Frame,
    head: Head,
    bars: Vec<Bar>,
    top: u64,
    delivered: u64,
    failed: u64,
}

pub(crate) async fn show(visitor: Visitor, Path((app, endpoint)): Path<(String, String)>) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    let now = visitor.now();
    let first = now.as_seconds().div_euclid(HOUR) - (HOURS - 1);
    let mut counts = Vec::new();
    for hour in first..first + HOURS {
        let from = Timestamp::from_micros(hour * HOUR * 1_000_000);
        let until = from.plus(Duration::from_secs(HOUR.unsigned_abs()));
        let until = (until <= now).then_some(until);
        let stats = visitor.service().endpoint_stats(&scope, &endpoint, Some(from), until).await?;
        counts.push((from, stats.success, stats.fail));
    }
    let (bars, top) = bars(&counts);
    render(&ActivityPage {
        frame: frame(&visitor, scope.application(), format!("Activity of {}", address(&e))),
        head: Head::read(&visitor, &scope, &e, "activity").await?,
        delivered: bars.iter().map(|b| b.delivered).sum(),
        failed: bars.iter().map(|b| b.failed).sum(),
        bars,
        top,
    })
}

/// Bars from zero, failed above delivered, and the number at the top of the axis.
fn bars(counts: &[(Timestamp, u64, u64)]) -> (Vec<Bar>, u64) {
    let top = counts.iter().map(|(_, ok, bad)| ok + bad).max().unwrap_or(0).max(1);
    // Something that happened is always seen.
    let height = |n: u64| if n == 0 { 0 } else { (n * HEIGHT / top).max(2) };
    let bars = counts.iter().enumerate().map(|(i, (from, delivered, failed))| {
        let (h_delivered, h_failed) = (height(*delivered), height(*failed));
        let iso = from.to_string();
        Bar {
            label: iso.get(11..16).unwrap_or_default().to_owned(),
            exact: format!("{} UTC", iso.get(..16).unwrap_or_default().replace('T', " ")),
            delivered: *delivered,
            failed: *failed,
            x: 40 + i * 28,
            y_delivered: HEIGHT.saturating_sub(h_delivered),
            h_delivered,
            y_failed: HEIGHT.saturating_sub(h_delivered + h_failed),
            h_failed,
        }
    });
    (bars.collect(), top)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_begin_at_zero_and_show_single_events() {
        let at = Timestamp::parse("2026-05-01T09:00:00Z").unwrap();
        let (bars, top) = bars(&[(at, 0, 0), (at, 1_000, 0), (at, 998, 1)]);
        assert_eq!(top, 1_000);
        assert_eq!((bars[0].h_delivered, bars[0].h_failed), (0, 0));
        assert_eq!((bars[1].y_delivered, bars[1].h_delivered), (0, HEIGHT));
        assert_eq!(bars[2].h_failed, 2);
        assert_eq!((bars[0].label.as_str(), bars[0].exact.as_str()), ("09:00", "2026-05-01 09:00 UTC"));
    }
}
