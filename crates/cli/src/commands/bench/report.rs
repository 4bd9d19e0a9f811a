//! The figures of a measurement, as a table and as JSON.

use serde::{Serialize, Serializer};
use std::{
    fmt::{self, Display},
    path::PathBuf,
    time::Duration,
};

/// How long something took: what half of it stayed below, and all but one in a hundred.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Quantiles {
    #[serde(rename = "p50Ms", serialize_with = "milliseconds")]
    pub(super) p50: Duration,
    #[serde(rename = "p99Ms", serialize_with = "milliseconds")]
    pub(super) p99: Duration,
}

impl Quantiles {
    /// Of measurements in any order; zero if there are none.
    pub(super) fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |percent: usize| took.get(took.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default();
        Self { p50: at(50), p99: at(99) }
    }
}

impl Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} / {:.2} ms", as_milliseconds(self.p50), as_milliseconds(self.p99))
    }
}

/// What it ran on.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Machine {
    /// Threads that run at the same time.
    pub(super) cores: usize,
    /// Whose disk was measured.
    pub(super) folder: PathBuf,
    /// A sync of 4 KiB with nothing beside it.
    pub(super) sync: Quantiles,
}

/// One load and what came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) accepted_per_second: f64,
    /// None where nothing is delivered.
    pub(super) deliveries_per_second: Option<f64>,
    /// CPU time of the server for each delivery, its share of accepting included.
    #[serde(rename = "cpuPerDeliveryUs", serialize_with = "microseconds_if_any")]
    pub(super) cpu_per_delivery: Option<Duration>,
    /// CPU time of the server for each event that it took, its deliveries included.
    #[serde(rename = "cpuPerEventUs", serialize_with = "microseconds_if_any")]
    pub(super) cpu_per_event: Option<Duration>,
    /// From sending a request to its answer.
    pub(super) acceptance: Quantiles,
    /// From sending an event to its arrival.
    pub(super) receipt: Option<Quantiles>,
    /// A sync of 4 KiB beside it.
    pub(super) sync: Quantiles,
}

/// All figures.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) machine: Machine,
    /// From the start of the process to its first answer that it is ready.
    #[serde(rename = "startMs", serialize_with = "milliseconds")]
    pub(super) start: Duration,
    /// In bytes.
    #[serde(rename = "idleMemoryBytes")]
    pub(super) idle_memory: Option<u64>,
    /// In bytes, at most, over all loads.
    #[serde(rename = "loadedMemoryBytes")]
    pub(super) loaded_memory: Option<u64>,
    pub(super) rows: Vec<Row>,
}

/// A time as people write it.
pub(super) fn time(time: Duration) -> String {
    format!("{time:?}")
}

fn as_milliseconds(time: Duration) -> f64 {
    // From whole nanoseconds, so that 61.5 is not written as 61.50000000000001.
    time.as_nanos() as f64 / 1e6
}

fn milliseconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(as_milliseconds(*time))
}

fn microseconds_if_any<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|t| t.as_nanos() as f64 / 1e3).serialize(to)
}

/// What is not known, or does not apply.
const NONE: &str = "-";

fn or_none(text: Option<impl Display>) -> String {
    text.map_or_else(|| NONE.into(), |t| t.to_string())
}

fn megabytes(bytes: Option<u64>) -> String {
    or_none(bytes.map(|b| format!("{:.0} MB", b as f64 / (1024.0 * 1024.0))))
}

fn microseconds(time: Option<Duration>) -> String {
    or_none(time.map(|t| format!("{:.1} µs", t.as_secs_f64() * 1e6)))
}

const HEADINGS: [&str; 8] = [
    "",
    "events/s",
    "deliveries/s",
    "CPU/delivery",
    "CPU/event",
    "accepted p50 / p99",
    "received p50 / p99",
    "a sync p50 / p99",
];

impl Row {
    fn cells(&self) -> [String; 8] {
        [
            self.name.into(),
            format!("{:.0}", self.accepted_per_second),
            or_none(self.deliveries_per_second.map(|n| format!("{n:.0}"))),
            microseconds(self.cpu_per_delivery),
            microseconds(self.cpu_per_event),
            self.acceptance.to_string(),
            or_none(self.receipt.as_ref()),
            self.sync.to_string(),
        ]
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cores, folder, sync } = &self.machine;
        writeln!(f, "schoolbell {}, {cores} cores, disk of {}, a sync takes {sync}\n", self.version, folder.display())?;
        let lines: Vec<[String; 8]> =
            std::iter::once(HEADINGS.map(String::from)).chain(self.rows.iter().map(Row::cells)).collect();
        let mut widths = [0; 8];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        for line in &lines {
            let mut text = format!("{:<1$}", line[0], widths[0]);
            for (cell, width) in line.iter().zip(widths).skip(1) {
                text.push_str(&format!("  {cell:>width$}"));
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        writeln!(f)?;
        writeln!(f, "start, empty database  {:.0} ms", as_milliseconds(self.start))?;
        writeln!(f, "memory, idle           {}", megabytes(self.idle_memory))?;
        writeln!(f, "memory, at most        {}", megabytes(self.loaded_memory))?;
        writeln!(f)?;
        write!(
            f,
            "Payloads of 512 bytes, every event on disk before its answer. Producers and receiver ran on the same machine: the\n\
             server had only part of it, and CPU is the server's alone. Times of one row are to be held against a sync beside it."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let quantiles = Quantiles { p50: Duration::from_micros(250), p99: Duration::from_millis(2) };
        let row = |name, receipt: Option<Quantiles>| Row {
            name,
            accepted_per_second: 1234.4,
            deliveries_per_second: receipt.is_some().then_some(1234.4),
            cpu_per_delivery: receipt.is_some().then_some(Duration::from_nanos(61_500)),
            cpu_per_event: None,
            acceptance: quantiles.clone(),
            receipt,
            sync: quantiles.clone(),
        };
        Report {
            version: "1.2.3",
            machine: Machine { cores: 2, folder: "/srv".into(), sync: quantiles.clone() },
            start: Duration::from_millis(120),
            idle_memory: Some(37 << 20),
            loaded_memory: None,
            rows: vec![row("one", Some(quantiles.clone())), row("none is delivered", None)],
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_measured() {
        let all = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(Quantiles::of(all), Quantiles { p50: Duration::from_millis(50), p99: Duration::from_millis(99) });
        assert_eq!(Quantiles::of(Vec::new()), Quantiles::default());
    }

    #[test]
    fn the_table_lines_up_and_shows_what_is_not_known() {
        let text = report().to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "schoolbell 1.2.3, 2 cores, disk of /srv, a sync takes 0.25 / 2.00 ms");
        let wide: Vec<usize> = lines[2..5].iter().map(|l| l.chars().count()).collect();
        assert!(wide.iter().all(|w| *w == wide[0]), "{text}");
        assert!(lines[3].starts_with("one ") && lines[3].contains(" 61.5 µs "), "{text}");
        assert!(lines[4].contains("  -  "), "{text}");
        assert!(text.contains("memory, idle           37 MB\nmemory, at most        -\n"), "{text}");
    }

    #[test]
    fn json_has_units_in_its_names() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["startMs"], 120.0);
        assert_eq!(json["rows"][0]["cpuPerDeliveryUs"], 61.5);
        assert_eq!(json["rows"][1]["receipt"], serde_json::Value::Null);
        assert_eq!(json["machine"]["sync"]["p50Ms"], 0.25);
    }
}
