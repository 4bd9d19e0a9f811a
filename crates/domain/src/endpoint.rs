//! An endpoint: where messages go and how; and which messages it takes.

use crate::{
    application::Application,
    format::{Encoding, Format},
    ids::{AppKey, EndpointId, EndpointKey},
    lti::Subscription,
    names::{Channel, EventTypeName, Uid},
    queue::Transport,
    retry::RetrySchedule,
    secret::Secrets,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Where messages of one application go, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The store's short name.
    pub key: EndpointKey,
    /// The application it belongs to.
    pub app: AppKey,
    /// The public id.
    pub id: EndpointId,
    /// The user's own name for it, unique in the application.
    pub uid: Option<Uid>,
    /// The address, normalised as a WHATWG URL; may hold user info, a query and a fragment.
    pub url: String,
    /// For people.
    pub description: String,
    /// Switched off, and by whom or what.
    pub disabled: Option<DisabledBecause>,
    /// Takes only these event types; all if absent.
    pub event_types: Option<BTreeSet<EventTypeName>>,
    /// Takes only messages with one of these channels; all if absent.
    pub channels: Option<BTreeSet<Channel>>,
    /// Deliveries per second, at least 1; no limit if absent.
    pub throttle_rate: Option<u16>,
    /// Svix's deprecated number, only echoed.
    pub version: u16,
    /// The user's own notes, at most 4096 bytes as JSON.
    pub metadata: BTreeMap<String, String>,
    /// Headers that the user adds, in the user's spelling.
    pub headers: Vec<Header>,
    /// What signs.
    pub secrets: Secrets,
    /// What Schoolbell adds to Svix's endpoint.
    pub options: EndpointOptions,
    /// Since when every attempt has failed; absent after a success.
    pub failing_since: Option<Timestamp>,
    /// When it was made; the same instant as in the id.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Grows with each change; a change names the revision it saw.
    pub revision: i64,
}

/// Who or what switched an endpoint off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DisabledBecause {
    /// A person or a program, through the API or the dashboard.
    Asked,
    /// Nothing but failures for as long as the setting `DISABLE_AFTER` says.
    Failing,
    /// The receiver answered 410 Gone.
    Gone,
}

/// A header that the user adds to what an endpoint gets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// In the user's spelling.
    pub name: String,
    /// At most 4096 bytes.
    pub value: String,
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be credentials whatever the name says.
        write!(f, "{}: …", self.name)
    }
}

impl Header {
    /// Whether its value is never shown again.
    pub fn is_sensitive(&self) -> bool {
        const NAMES: [&str; 6] = [
            "authorization",
            "x-auth-token",
            "x-api-key",
            "www-authenticate",
            "proxy-authenticate",
            "proxy-authorization",
        ];
        NAMES.iter().any(|n| n.eq_ignore_ascii_case(&self.name))
    }
}

/// What Schoolbell adds to Svix's endpoint. All optional; a PUT that leaves one out keeps what is stored.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointOptions {
    /// Waits between tries; the application's or the server's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_schedule: Option<RetrySchedule>,
    /// Answers after which no try follows, e.g. 404.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub final_statuses: BTreeSet<u16>,
    /// Requests at the same time, 1 to 256; the server's default if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u16>,
    /// Messages with the same order key are delivered one after the other.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ordered: bool,
    /// How the payload is put on the wire.
    #[serde(skip_serializing_if = "Format::is_default")]
    pub format: Format,
    /// In which encoding the body travels.
    #[serde(skip_serializing_if = "Encoding::is_default")]
    pub encoding: Encoding,
    /// A jq expression: whether a message is sent at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// A jq expression: makes the payload anew before the format sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transform: Option<String>,
    /// Leaves the signature headers out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unsigned: bool,
    /// Takes only `https` addresses, but for literal addresses inside of private networks that the operator allows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub https_only: bool,
    /// Takes nothing, instead of everything, while no event type is selected.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub only_selected: bool,
    /// How what it gets travels.
    #[serde(skip_serializing_if = "Transport::is_default")]
    pub transport: Transport,
    /// Where its queue is, if its address does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_region: Option<String>,
    /// What makes it a subscription of a tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<Subscription>,
    /// What is sent names this as the subscription that asked for it, in formats that have a place for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<Uid>,
    /// The body goes out signed, as something else than it would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_signing: Option<BodySigning>,
    /// Switched off after so many messages given up in a day, beside what the server does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deactivate_after: Option<DeactivateAfter>,
    /// Who agreed that its address gets data about people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub student_data: Option<StudentDataConfirmation>,
    /// Somebody whose access is limited to channels had a hand in it: whatever is asked for, nothing goes there that none
    /// of its channels is on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub confined: bool,
}

/// What new endpoints of an application start out with. Each may decide otherwise; those that are there stay as they are.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointDefaults {
    /// Their options.
    #[serde(flatten)]
    pub options: EndpointOptions,
    /// Whether they get a secret that travels in the body.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub body_secret: bool,
}

/// How a body is signed. Beside the signature headers, which leave it as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BodySigning {
    /// The body is a JSON Web Token whose claims are what would have been sent: RS256, with a key of the application's
    /// published set.
    Jwt,
}

/// How many messages may be given up within 24 hours before an endpoint is switched off. A message counts once, when its
/// last try failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeactivateAfter {
    /// Because no answer came in time.
    pub timeouts: u32,
    /// Because of anything else that the receiver did.
    pub errors: u32,
}

/// Who agreed that data about people goes to an endpoint's address, and when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StudentDataConfirmation {
    /// A name that was given, or what kind of access it was.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The host that was named as the one who gets it.
    pub recipient: String,
    /// Whether the endpoint has another address, or gets more, since then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outdated: bool,
}

impl Endpoint {
    /// Whether a new message of this type and with these channels goes to this endpoint. (Manual tries skip this.)
    ///
    /// A message without channels does not reach an endpoint that has channels; an endpoint without channels gets all.
    pub fn takes(&self, event_type: &EventTypeName, channels: &BTreeSet<Channel>) -> bool {
        self.disabled.is_none()
            && self.selects(event_type)
            && self.channels.as_ref().is_none_or(|mine| mine.iter().any(|c| channels.contains(c)))
    }
    /// Whether a message with these channels may go there at all, for whatever reason: a try that was planned before its
    /// channels were changed, one that somebody asks for.
    pub fn may_get(&self, channels: &BTreeSet<Channel>) -> bool {
        !self.options.confined || self.channels.as_ref().is_none_or(|mine| !mine.is_disjoint(channels))
    }
    /// Whether it takes messages of this type: those that are selected. If none is, all; or none, where that was chosen.
    pub fn selects(&self, event_type: &EventTypeName) -> bool {
        match &self.event_types {
            Some(types) => types.contains(event_type),
            None => !self.options.only_selected,
        }
    }
    /// Whether it sends elsewhere, or more, than it did before a change: then whoever agreed to that did not agree to this.
    pub fn reaches_further_than(&self, before: &Self) -> bool {
        self.url != before.url
            || self.selects_more_than(before)
            || is_wider(&self.channels, &before.channels)
            || self.may_show_more_than(before)
    }
    /// Whether expressions or the format may let out what they kept back. What an expression says is not looked into: another
    /// one may let more out. One where there was none takes away only.
    fn may_show_more_than(&self, before: &Self) -> bool {
        let (now, then) = (&self.options, &before.options);
        let is_other = |now: &Option<String>, then: &Option<String>| then.is_some() && now != then;
        is_other(&now.filter, &then.filter)
            || is_other(&now.transform, &then.transform)
            || (then.format == Format::Thin && now.format != Format::Thin)
    }
    fn selects_more_than(&self, before: &Self) -> bool {
        match (&self.event_types, &before.event_types) {
            (None, _) if self.options.only_selected => false,
            (Some(now), None) if before.options.only_selected => !now.is_empty(),
            (None, None) => before.options.only_selected,
            (now, then) => is_wider(now, then),
        }
    }
    /// The waits between tries that hold for it: its own, its application's, or the server's.
    pub fn schedule<'a>(&'a self, app: &'a Application, server: &'a RetrySchedule) -> &'a RetrySchedule {
        self.options.retry_schedule.as_ref().or(app.options.retry_schedule.as_ref()).unwrap_or(server)
    }
}

/// Whether a selection takes something that another one did not. Without one, everything is taken.
fn is_wider<T: Ord>(now: &Option<BTreeSet<T>>, then: &Option<BTreeSet<T>>) -> bool {
    match (now, then) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(now), Some(then)) => !now.is_subset(then),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::Ksuid, secret::Secret};
    use proptest::{prelude::*, sample::subsequence};

    const TYPES: [&str; 4] = ["a", "a.b", "a.b.c", "b"];
    const CHANNELS: [&str; 4] = ["course:1", "course:12", "course", "x"];

    fn endpoint() -> Endpoint {
        Endpoint {
            key: EndpointKey(1),
            app: AppKey(1),
            id: EndpointId(Ksuid::MIN),
            uid: None,
            url: "https://example.com/".to_owned(),
            description: String::new(),
            disabled: None,
            event_types: None,
            channels: None,
            throttle_rate: None,
            version: 1,
            metadata: BTreeMap::new(),
            headers: Vec::new(),
            secrets: Secrets::new(Secret::Hmac(vec![0; 24])),
            options: EndpointOptions::default(),
            failing_since: None,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
            revision: 1,
        }
    }

    fn type_names(names: &[&str]) -> BTreeSet<EventTypeName> {
        names.iter().map(|n| EventTypeName::new(n).unwrap()).collect()
    }

    fn channels(names: &[&str]) -> BTreeSet<Channel> {
        names.iter().map(|n| Channel::new(n).unwrap()).collect()
    }

    #[test]
    fn without_a_selection_it_takes_all_or_nothing_as_was_chosen() {
        let (mut e, a) = (endpoint(), EventTypeName::new("a").unwrap());
        assert!(e.takes(&a, &BTreeSet::new()));
        e.options.only_selected = true;
        assert!(!e.takes(&a, &BTreeSet::new()));
        e.event_types = Some(type_names(&["a"]));
        assert!(e.takes(&a, &BTreeSet::new()));
    }

    #[test]
    fn a_confined_endpoint_gets_nothing_from_outside_of_its_channels_not_even_on_request() {
        let mut e = endpoint();
        e.channels = Some(channels(&["course:1"]));
        assert!(e.may_get(&channels(&["course:12"])));
        e.options.confined = true;
        assert!(e.may_get(&channels(&["x", "course:1"])));
        assert!(!e.may_get(&channels(&["course:12"])) && !e.may_get(&BTreeSet::new()));
        e.channels = None;
        assert!(e.may_get(&BTreeSet::new()), "an endpoint without channels gets all");
    }

    #[test]
    fn another_address_or_a_wider_selection_reaches_further_and_a_narrower_one_does_not() {
        let with = |types: Option<&[&str]>, only_selected: bool| {
            let mut e = endpoint();
            e.event_types = types.map(type_names);
            e.options.only_selected = only_selected;
            e
        };
        let all = [with(None, false), with(Some(&["a", "b"]), false), with(Some(&["a"]), true), with(None, true)];
        for (wider, e) in all.iter().enumerate() {
            for (narrower, other) in all.iter().enumerate() {
                assert_eq!(e.reaches_further_than(other), wider < narrower, "{wider} {narrower}");
            }
        }
        let mut moved = endpoint();
        moved.url = "https://example.org/".to_owned();
        assert!(moved.reaches_further_than(&endpoint()));
        let mut labelled = endpoint();
        labelled.channels = Some(channels(&["x"]));
        assert!(endpoint().reaches_further_than(&labelled) && !labelled.reaches_further_than(&endpoint()));
    }

    #[test]
    fn another_expression_may_let_more_out_a_first_one_does_not() {
        let with = |filter: Option<&str>, transform: Option<&str>, format| {
            let mut e = endpoint();
            e.options.filter = filter.map(str::to_owned);
            e.options.transform = transform.map(str::to_owned);
            e.options.format = format;
            e
        };
        let (plain, thin) = (with(None, None, Format::Standard), with(None, None, Format::Thin));
        let (picky, other) = (with(Some("a"), None, Format::Standard), with(Some("b"), None, Format::Standard));
        let (small, large) = (with(None, Some("{}"), Format::Standard), with(None, Some("."), Format::Standard));
        for (now, before, further) in [
            (&picky, &plain, false),
            (&plain, &picky, true),
            (&other, &picky, true),
            (&picky, &picky, false),
            (&small, &plain, false),
            (&plain, &small, true),
            (&large, &small, true),
            (&thin, &plain, false),
            (&plain, &thin, true),
        ] {
            assert_eq!(now.reaches_further_than(before), further, "{:?} {:?}", now.options, before.options);
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_the_plain_rule_says(
            disabled in prop::option::of(Just(DisabledBecause::Asked)),
            wants_types in prop::option::of(subsequence(TYPES.to_vec(), 0..=4)),
            wants_channels in prop::option::of(subsequence(CHANNELS.to_vec(), 0..=4)),
            of_type in prop::sample::select(TYPES.to_vec()),
            on_channels in subsequence(CHANNELS.to_vec(), 0..=4),
        ) {
            let mut e = endpoint();
            e.disabled = disabled;
            e.event_types = wants_types.as_deref().map(type_names);
            e.channels = wants_channels.as_deref().map(channels);

            // The rule as one would tell it, on plain texts: whole names are compared, never their beginnings.
            let mut takes = disabled.is_none();
            if let Some(types) = &wants_types {
                takes &= types.iter().filter(|t| **t == of_type).count() == 1;
            }
            if let Some(mine) = &wants_channels {
                let mut common = 0;
                for a in mine {
                    for b in &on_channels {
                        common += usize::from(a == b);
                    }
                }
                takes &= common > 0;
            }
            let event_type = EventTypeName::new(of_type).unwrap();
            prop_assert_eq!(e.takes(&event_type, &channels(&on_channels)), takes);
        }

        #[test]
        fn a_selection_that_grows_never_loses_a_message(
            fewer in subsequence(CHANNELS.to_vec(), 1..=4),
            more in subsequence(CHANNELS.to_vec(), 0..=4),
            on_channels in subsequence(CHANNELS.to_vec(), 0..=4),
        ) {
            let (mut narrow, mut wide) = (endpoint(), endpoint());
            narrow.channels = Some(channels(&fewer));
            wide.channels = Some(channels(&fewer).into_iter().chain(channels(&more)).collect());
            let (event_type, labels) = (EventTypeName::new("a").unwrap(), channels(&on_channels));
            prop_assert!(!narrow.takes(&event_type, &labels) || wide.takes(&event_type, &labels));
        }
    }
}
