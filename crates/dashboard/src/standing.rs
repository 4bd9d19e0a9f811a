//! Where a delivery stands, in words: its state, what it waits for, and what its endpoint waits for. Stored states do not
//! say whether what a node holds is on the wire or waits for a receiver that is down; the engine does.

use crate::words::{Mark, When};
use domain::{DeliveryState, Endpoint, InLine, MessageId, Timestamp, WaitsFor};

/// What pages say about a delivery that is not looked at closer.
pub(crate) struct Standing {
    pub(crate) mark: Mark,
    pub(crate) word: &'static str,
    /// What it waits for; empty if nothing holds it back, or its time alone.
    pub(crate) waits: String,
    /// The next try, if it has a time.
    pub(crate) next: Option<When>,
    /// When a paused endpoint is tested next, by any of the deliveries that wait.
    pub(crate) tested: Option<When>,
}

/// An endpoint as its deliveries find it.
pub(crate) struct Ahead {
    /// Whether it takes deliveries at all.
    open: bool,
    line: InLine,
    rate: Option<u16>,
    app_rate: Option<u16>,
}

impl Ahead {
    /// With what waits for it; `exists` unless it was deleted.
    pub(crate) fn new(e: &Endpoint, exists: bool, line: InLine, app_rate: Option<u16>) -> Self {
        Self { open: exists && e.disabled.is_none(), line, rate: e.throttle_rate, app_rate }
    }

    /// How a delivery to it stands.
    pub(crate) fn of(&self, message: MessageId, state: DeliveryState, tried: bool, now: Timestamp) -> Standing {
        let in_line = self.line.messages.contains(&message);
        let is_due = match state {
            DeliveryState::Waiting { due_at } => due_at <= now,
            DeliveryState::Sending => in_line,
            _ => false,
        };
        let (mark, word) = match state {
            DeliveryState::Waiting { .. } if tried => (Mark::Failing, "Will be tried again"),
            DeliveryState::Sending if in_line && tried => (Mark::Failing, "Will be tried again"),
            DeliveryState::Waiting { .. } => (Mark::Waiting, "Waiting"),
            DeliveryState::Sending if in_line => (Mark::Waiting, "Waiting"),
            DeliveryState::Sending => (Mark::Waiting, "Sending"),
            DeliveryState::Held => (Mark::Waiting, "Held"),
            DeliveryState::Delivered => (Mark::Delivered, "Delivered"),
            DeliveryState::Failed => (Mark::Failed, "Failed"),
            DeliveryState::Cancelled => (Mark::Off, "Cancelled"),
        };
        let is_open = matches!(state, DeliveryState::Waiting { .. }) || in_line;
        let waits = match state {
            DeliveryState::Held => "An earlier message of its order key comes first.".to_owned(),
            _ if is_open && !self.open => {
                "The endpoint is switched off or deleted: this is about to be cancelled.".to_owned()
            }
            _ if is_due => self.in_words(),
            _ => String::new(),
        };
        let next = match state {
            // A time that has come says nothing where something else is waited for.
            DeliveryState::Waiting { due_at } if waits.is_empty() => Some(When::planned(due_at, now)),
            _ => None,
        };
        let tested = match self.line.waits_for {
            Some(WaitsFor::Receiver(at)) if is_due && self.open => Some(When::planned(at, now)),
            _ => None,
        };
        Standing { mark, word, waits, next, tested }
    }

    /// What is waited for by deliveries whose time has come; empty if nothing is known to hold them back.
    fn in_words(&self) -> String {
        let turn = |whose: &str, rate: Option<u16>| {
            let rate = rate.map(|r| format!(" of {r} a second")).unwrap_or_default();
            format!("Waits for its turn: {whose} has a rate limit{rate}.")
        };
        match self.line.waits_for {
            Some(WaitsFor::Receiver(_)) => "The endpoint is paused after many failures in a row.".to_owned(),
            Some(WaitsFor::EndpointRate) => turn("the endpoint", self.rate),
            Some(WaitsFor::ApplicationRate) => turn("the application", self.app_rate),
            Some(WaitsFor::Turn) if !self.line.messages.is_empty() => {
                "Waits for its turn: earlier deliveries to this endpoint are on their way.".to_owned()
            }
            Some(WaitsFor::Turn) | None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Ksuid;

    const ID: MessageId = MessageId(Ksuid([1; 20]));
    const OTHER: MessageId = MessageId(Ksuid([2; 20]));

    fn at(s: i64) -> Timestamp {
        Timestamp::from_micros(s * 1_000_000)
    }

    fn standing(waits_for: WaitsFor, state: DeliveryState, open: bool) -> (&'static str, String) {
        let line = InLine { messages: [ID].into(), waits_for: Some(waits_for) };
        let standing = Ahead { open, line, rate: Some(5), app_rate: None }.of(ID, state, false, at(10));
        (standing.word, standing.waits)
    }

    #[test]
    fn what_a_node_holds_is_called_sending_only_while_it_is_on_the_wire() {
        let paused = WaitsFor::Receiver(at(14));
        let (word, waits) = standing(paused, DeliveryState::Sending, true);
        assert_eq!(word, "Waiting");
        assert!(waits.contains("is paused"), "{waits}");
        assert!(standing(WaitsFor::EndpointRate, DeliveryState::Sending, true).1.contains("rate limit of 5 a second"));
        assert!(standing(WaitsFor::Turn, DeliveryState::Sending, true).1.contains("earlier deliveries"));
        assert!(standing(WaitsFor::Turn, DeliveryState::Sending, false).1.contains("switched off"));
        let line = InLine { messages: [OTHER].into(), waits_for: Some(paused) };
        let on_wire =
            Ahead { open: true, line, rate: None, app_rate: None }.of(ID, DeliveryState::Sending, true, at(10));
        assert_eq!((on_wire.word, on_wire.waits.as_str()), ("Sending", ""));
    }

    #[test]
    fn a_try_that_is_planned_for_later_waits_for_its_time_and_one_that_is_due_for_the_endpoint() {
        let paused = WaitsFor::Receiver(at(14));
        assert_eq!(standing(paused, DeliveryState::Waiting { due_at: at(60) }, true).1, "");
        assert!(standing(paused, DeliveryState::Waiting { due_at: at(9) }, true).1.contains("is paused"));
        assert_eq!(standing(paused, DeliveryState::Delivered, true).1, "");
    }
}
