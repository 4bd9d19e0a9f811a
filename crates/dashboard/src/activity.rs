//! What happened at an endpoint over time: charts drawn here, and the same numbers as a table.

use crate::{
    endpoint::{Head, address, frame},
    events::catalogue,
    form::{Query, link},
    page::{Frame, Page, in_words, is_about_input, show as render},
    session::Visitor,
    words::{millis, thousands},
};
use askama::Template;
use axum::extract::Path;
use service::desk::{Activity, Stretch};

/// The charts' height and width in their own units.
const HEIGHT: u64 = 160;
const WIDTH: usize = 480;
/// Where the axis is.
const LEFT: usize = 4;

/// A stretch of time in the charts.
struct Bar {
    /// Under every fourth.
    label: String,
    iso: String,
    exact: String,
    delivered: u64,
    failed: u64,
    x: usize,
    middle: usize,
    width: usize,
    y_delivered: u64,
    h_delivered: u64,
    y_failed: u64,
    h_failed: u64,
    took: Option<Times>,
}

/// How long successes of a stretch took.
struct Times {
    half: u32,
    most: u32,
    y_half: u64,
    h_half: u64,
    y_most: u64,
}

/// How far back the page looks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Range {
    Day,
    Week,
    Month,
}

impl Range {
    const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    fn read(name: &str) -> Self {
        Self::ALL.into_iter().find(|range| range.name() == name).unwrap_or(Self::Day)
    }
    /// In the address.
    fn name(self) -> &'static str {
        match self {
            Self::Day => "",
            Self::Week => "7d",
            Self::Month => "28d",
        }
    }
    fn words(self) -> &'static str {
        match self {
            Self::Day => "Last 24 hours",
            Self::Week => "Last 7 days",
            Self::Month => "Last 28 days",
        }
    }
    /// Hours of a bar, and how many bars.
    fn stretches(self) -> (u16, u16) {
        match self {
            Self::Day => (1, 24),
            Self::Week => (6, 28),
            Self::Month => (24, 28),
        }
    }
    /// Of a bar.
    fn each(self) -> &'static str {
        match self {
            Self::Day => "hour",
            Self::Week => "6 hours",
            Self::Month => "day (of UTC)",
        }
    }
    /// What stands under a bar.
    fn label(self) -> &'static str {
        if self == Self::Day { "hour" } else { "day" }
    }
}

/// Another range of the same page.
struct Choice {
    words: &'static str,
    path: String,
    current: bool,
}

#[derive(Template)]
#[template(path = "endpoint_activity.html")]
struct ActivityPage {
    frame: Frame,
    head: Head,
    range: Range,
    ranges: Vec<Choice>,
    /// The event type that is looked at, of these.
    event: String,
    types: Vec<String>,
    problem: String,
    /// Whether all that happened is in it.
    all: bool,
    bars: Vec<Bar>,
    /// The ends of the axes, and their halves.
    top: [String; 2],
    top_ms: [String; 2],
    /// Whether anything was delivered.
    timed: bool,
    delivered: String,
    failed: String,
}

pub(crate) async fn show(visitor: Visitor, Path((app, endpoint)): Path<(String, String)>, Query(query): Query) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    let (range, event) = (Range::read(query.get("range")), query.get("event").to_owned());
    let of = query.some("event");
    let mut problem = String::new();
    let found = match visitor.service().activity(&scope, &e, of.as_deref(), range.stretches(), true).await {
        Err(e) if is_about_input(&e) => {
            problem = in_words(&e);
            Activity { all: true, ..Activity::default() }
        }
        found => found?,
    };
    let (bars, top, top_ms) = bars(&found.stretches, range);
    let head = Head::read(&visitor, &scope, &e, "activity").await?;
    let here = format!("{}/activity", head.path);
    let choice = |r: Range| Choice {
        words: r.words(),
        path: link(&here, &[("range", r.name()), ("event", &event)]),
        current: r == range,
    };
    let mut types: Vec<String> = catalogue(&visitor, &scope, false).await?.iter().map(|t| t.name.to_string()).collect();
    // What it was once called may still be in the counts.
    if !event.is_empty() && problem.is_empty() && !types.contains(&event) {
        types.push(event.clone());
    }
    render(&ActivityPage {
        frame: frame(&visitor, scope.application(), format!("Activity of {}", address(&e))),
        ranges: Range::ALL.map(choice).into(),
        head,
        range,
        event,
        types,
        problem,
        all: found.all,
        delivered: thousands(bars.iter().map(|b| b.delivered).sum()),
        failed: thousands(bars.iter().map(|b| b.failed).sum()),
        timed: bars.iter().any(|b| b.took.is_some()),
        bars,
        top: [thousands(top), thousands(top / 2)],
        top_ms: [millis(top_ms), millis(top_ms / 2)],
    })
}

/// The next number that people count in, so that its half is one too.
fn round(n: u64) -> u64 {
    let mut unit = 1;
    loop {
        if let Some(step) = [2, 4, 6, 8, 10].into_iter().find(|step| step * unit >= n) {
            return step * unit;
        }
        unit *= 10;
    }
}

/// Bars from zero, failed above delivered, and the numbers at the tops of the axes.
fn bars(stretches: &[Stretch], range: Range) -> (Vec<Bar>, u64, u64) {
    let top = stretches.iter().map(|s| s.success + s.fail).max().unwrap_or(0);
    let top_ms = stretches.iter().filter_map(|s| s.took).map(|t| t.most_ms).max().unwrap_or(0);
    let (top, top_ms) = (round(top), round(u64::from(top_ms)));
    // Something that happened is always seen.
    let height = |n: u64, top: u64| if n == 0 { 0 } else { (n * HEIGHT / top).max(2) };
    let each = WIDTH / stretches.len().max(1);
    let every = 4;
    let bars = stretches.iter().enumerate().map(|(i, s)| {
        let (h_delivered, h_failed) = (height(s.success, top), height(s.fail, top));
        let iso = s.from.to_string();
        let part = |range: std::ops::Range<usize>| iso.get(range).unwrap_or_default().to_owned();
        let label = match (i % every == every - 1, range) {
            (false, _) => String::new(),
            (true, Range::Day) => part(11..16),
            (true, Range::Week | Range::Month) => part(5..10),
        };
        let x = LEFT + i * each;
        Bar {
            label,
            iso: iso.clone(),
            exact: format!("{} UTC", part(0..16).replace('T', " ")),
            delivered: s.success,
            failed: s.fail,
            x,
            middle: x + (each - 4) / 2,
            width: each - 4,
            y_delivered: HEIGHT.saturating_sub(h_delivered),
            h_delivered,
            y_failed: HEIGHT.saturating_sub(h_delivered + h_failed),
            h_failed,
            took: s.took.map(|t| {
                let (h_half, h_most) =
                    (height(u64::from(t.half_ms.max(1)), top_ms), height(u64::from(t.most_ms.max(1)), top_ms));
                Times { half: t.half_ms, most: t.most_ms, y_half: HEIGHT - h_half, h_half, y_most: HEIGHT - h_most }
            }),
        }
    });
    (bars.collect(), top, top_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;
    use service::desk::Took;

    #[test]
    fn bars_begin_at_zero_and_show_single_events() {
        let from = Timestamp::parse("2026-05-01T09:00:00Z").unwrap();
        let of = |success, fail, took| Stretch { from, success, fail, took };
        let took = Some(Took { half_ms: 10, most_ms: 40 });
        let (bars, top, top_ms) =
            bars(&[of(0, 0, None), of(1_000, 0, took), of(998, 1, None), of(0, 0, None)], Range::Day);
        assert_eq!((top, top_ms), (1_000, 40));
        assert_eq!((bars[0].h_delivered, bars[0].h_failed), (0, 0));
        assert_eq!((bars[1].y_delivered, bars[1].h_delivered), (0, HEIGHT));
        assert_eq!(bars[2].h_failed, 2);
        let took = bars[1].took.as_ref().unwrap();
        assert_eq!((took.y_most, took.h_half), (0, HEIGHT / 4));
        assert_eq!((bars[3].label.as_str(), bars[0].exact.as_str()), ("09:00", "2026-05-01 09:00 UTC"));
    }
}
