//! What can be set when an endpoint is added, beside its address and events: the fields of the form, carried along from step to
//! step as they were typed.

use crate::{form::Fields, typed};
use service::{Patch, endpoints::EndpointExtras};
use std::collections::BTreeMap;

/// What was typed. Empty means: as the application or the server has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct More {
    pub(crate) channels: String,
    pub(crate) rate: String,
    pub(crate) retry: String,
    pub(crate) format: String,
    pub(crate) encoding: String,
    pub(crate) headers: String,
    pub(crate) filter: String,
}

/// The same, understood.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) channels: Option<Vec<String>>,
    pub(crate) throttle_rate: Option<u16>,
    pub(crate) headers: Option<BTreeMap<String, String>>,
    pub(crate) extras: EndpointExtras,
}

impl More {
    pub(crate) fn of(form: &Fields) -> Self {
        let text = |name| form.get(name).to_owned();
        Self {
            channels: text("channels"),
            rate: text("rate"),
            retry: text("retry"),
            format: text("format"),
            encoding: text("encoding"),
            headers: text("headers"),
            filter: text("filter"),
        }
    }
    /// The name of each field, its words, and what was typed; those that are empty left out.
    pub(crate) fn typed(&self) -> Vec<(&'static str, &'static str, &str)> {
        let Self { channels, rate, retry, format, encoding, headers, filter } = self;
        let all: [(&str, &str, &str); 7] = [
            ("channels", "Channels", channels),
            ("rate", "Rate", rate),
            ("retry", "Waits between tries", retry),
            ("format", "Format", format),
            ("encoding", "Encoding", encoding),
            ("headers", "Headers", headers),
            ("filter", "Filter", filter),
        ];
        all.into_iter().filter(|(.., typed)| !typed.is_empty()).collect()
    }
    /// For the field that offers them: names and what they are.
    pub(crate) fn formats(&self) -> Vec<(&'static str, &'static str)> {
        typed::formats()
    }
    pub(crate) fn encodings(&self) -> Vec<(&'static str, &'static str)> {
        typed::encodings()
    }
    /// What it means, or what cannot be understood. Whether it is allowed, the operation decides.
    pub(crate) fn understood(&self) -> Result<Settings, String> {
        let set = |text: &str| Some(text).filter(|t| !t.is_empty()).map(str::to_owned);
        let or_keep = |text: &str| set(text).map_or(Patch::Keep, Patch::Set);
        let extras = EndpointExtras {
            retry_schedule: if self.retry.is_empty() { Patch::Keep } else { typed::waits(&self.retry)? },
            format: or_keep(&self.format),
            encoding: or_keep(&self.encoding),
            filter: or_keep(&self.filter.replace("\r\n", "\n")),
            ..EndpointExtras::default()
        };
        let headers: BTreeMap<_, _> = typed::headers(&self.headers)?.into_iter().collect();
        let channels = typed::words(&self.channels);
        Ok(Settings {
            channels: (!channels.is_empty()).then_some(channels),
            throttle_rate: typed::number(&self.rate)?.value().copied(),
            headers: (!headers.is_empty()).then_some(headers),
            extras,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &[u8]) -> More {
        More::of(&Fields::read(text))
    }

    #[test]
    fn what_is_left_empty_is_left_as_it_is() {
        let none = typed(b"rate=&headers=+&filter=").understood().unwrap();
        assert_eq!((none.channels, none.throttle_rate, none.headers), (None, None, None));
        assert_eq!(none.extras, EndpointExtras::default());
        assert!(typed(b"").typed().is_empty());
    }

    #[test]
    fn what_is_typed_is_understood_or_complained_about() {
        let all = typed(b"channels=course:1,+room:2&rate=7&retry=5s,+1m&headers=X-A:+b%0D%0A%0D%0AX-B:c:d&format=thin");
        let set = all.understood().unwrap();
        assert_eq!(set.channels.unwrap(), ["course:1", "room:2"]);
        assert_eq!(set.throttle_rate, Some(7));
        let headers = set.headers.unwrap();
        assert_eq!((headers["X-A"].as_str(), headers["X-B"].as_str()), ("b", "c:d"));
        assert_eq!(set.extras.format, Patch::Set("thin".to_owned()));
        assert!(matches!(set.extras.retry_schedule, Patch::Set(_)));
        assert_eq!(all.typed().len(), 5);
        for wrong in [&b"rate=many"[..], b"retry=soon", b"headers=nonsense"] {
            assert!(typed(wrong).understood().is_err());
        }
    }
}
