//! Ids as Svix writes them (prefix + KSUID with 4 ms resolution), the generator, and the store's short keys.
//!
//! An id and the timestamp of its object are made from the same instant, because lists compare ids only. The generator
//! hands out ids that grow even within one tick and when the clock steps back.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

/// Seconds between the Unix epoch and the KSUID epoch (2014-05-13T16:53:20Z).
const KSUID_EPOCH: i64 = 1_400_000_000;
/// Microseconds of one tick.
const TICK_MICROS: i64 = 4_000;
/// The last instant that an id can hold, in 2082; microseconds since the KSUID epoch.
const LAST_MICROS: i64 = (i32::MAX as i64 + 1) * 1_000_000 - 1;
/// [`Ksuid::MAX`] as text. The digits are in the order of ASCII, so texts compare like ids.
const GREATEST: &str = "aWgEPTl1tmebfsQzFP4bxwgy80V";

/// 20 bytes: 4 of seconds since 2014, 1 of 4 ms ticks, 15 that make it unique. Byte order is creation order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ksuid(pub [u8; 20]);

impl Ksuid {
    /// The smallest value.
    pub const MIN: Self = Self([0; 20]);
    /// The greatest value.
    pub const MAX: Self = Self([0xff; 20]);

    /// The smallest id that an object made in `at`'s tick can have.
    pub fn lowest_at(at: Timestamp) -> Self {
        let mut b = [0; 20];
        b[..5].copy_from_slice(&tick_bytes(tick_of(at)));
        Self(b)
    }
    /// The instant in the id, to 4 ms.
    pub fn timestamp(&self) -> Timestamp {
        let s = u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]]);
        Timestamp::from_micros((i64::from(s) + KSUID_EPOCH) * 1_000_000 + i64::from(self.0[4]) * TICK_MICROS)
    }
    /// The first eight bytes as a number: unique among the ids of one generator, and in creation order.
    pub fn head(&self) -> i64 {
        let mut b = [0; 8];
        b.copy_from_slice(&self.0[..8]);
        i64::try_from(u64::from_be_bytes(b)).unwrap_or(i64::MAX)
    }
    /// The twelve bytes that [`Self::head`] leaves out.
    pub fn tail(&self) -> [u8; 12] {
        let mut b = [0; 12];
        b.copy_from_slice(&self.0[8..]);
        b
    }
    /// The id whose parts these are.
    pub fn from_parts(head: i64, tail: [u8; 12]) -> Self {
        let mut b = [0; 20];
        b[..8].copy_from_slice(&u64::try_from(head).unwrap_or(0).to_be_bytes());
        b[8..].copy_from_slice(&tail);
        Self(b)
    }
    /// Written several times for each message, so without a string or big numbers: five digits at a time are divided off.
    fn text(&self) -> Text {
        let mut number = self.limbs();
        let mut text = [b'0'; TEXT];
        let mut end = TEXT;
        while end > 0 {
            let mut rest = 0;
            for limb in &mut number {
                let part = (rest << 32) | u64::from(*limb);
                // Less than 2^32, because `rest` is less than what it is divided by.
                *limb = (part / FIVE_DIGITS) as u32;
                rest = part % FIVE_DIGITS;
            }
            for digit in text[end.saturating_sub(5)..end].iter_mut().rev() {
                *digit = DIGITS[(rest % 62) as usize];
                rest /= 62;
            }
            end = end.saturating_sub(5);
        }
        Text(text)
    }
    fn read(text: &str) -> Option<Self> {
        // Greater texts are no id.
        if text.len() != TEXT || text > GREATEST {
            return None;
        }
        let mut number = [0u32; 5];
        for byte in text.bytes() {
            let mut carry = u64::from(value_of(byte)?);
            for limb in number.iter_mut().rev() {
                let part = u64::from(*limb) * 62 + carry;
                // The lower half stays, the upper one goes on.
                *limb = part as u32;
                carry = part >> 32;
            }
        }
        let mut bytes = [0; 20];
        for (four, limb) in bytes.chunks_exact_mut(4).zip(number) {
            four.copy_from_slice(&limb.to_be_bytes());
        }
        Some(Self(bytes))
    }
    fn limbs(&self) -> [u32; 5] {
        let mut number = [0; 5];
        for (limb, four) in number.iter_mut().zip(self.0.chunks_exact(4)) {
            *limb = four.iter().fold(0, |n, byte| (n << 8) | u32::from(*byte));
        }
        number
    }
}

/// Characters of an id after its prefix.
const TEXT: usize = 27;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^5: how many numbers five digits can write.
const FIVE_DIGITS: u64 = 916_132_832;

/// What a digit stands for.
fn value_of(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'Z' => Some(digit - b'A' + 10),
        b'a'..=b'z' => Some(digit - b'a' + 36),
        _ => None,
    }
}

/// An id without its prefix.
struct Text([u8; TEXT]);

impl Text {
    fn as_str(&self) -> &str {
        // Nothing but digits, which are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn tick_of(at: Timestamp) -> u64 {
    let micros = at.as_micros().saturating_sub(KSUID_EPOCH * 1_000_000).clamp(0, LAST_MICROS);
    let (s, rest) = (micros / 1_000_000, micros % 1_000_000);
    // Seconds in the high 32 bits of 40, the tick of the second (0..250) in the low 8.
    ((s as u64) << 8) | (rest / TICK_MICROS) as u64
}

fn tick_bytes(tick: u64) -> [u8; 5] {
    let b = tick.to_be_bytes();
    [b[3], b[4], b[5], b[6], b[7]]
}

impl fmt::Display for Ksuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl fmt::Debug for Ksuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Another kind of id, or no id at all.
    #[error("Invalid id. Expected different prefix")]
    Prefix,
    /// The right prefix, but the rest cannot be an id.
    #[error("Invalid id. Expected 27 letters and digits after the prefix")]
    Rest,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Ksuid);
        impl $name {
            /// What every such id starts with.
            pub const PREFIX: &'static str = $prefix;
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                f.write_str(self.0.text().as_str())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> {
                let rest = s.strip_prefix($prefix).ok_or(IdError::Prefix)?;
                Ksuid::read(rest).map(Self).ok_or(IdError::Rest)
            }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(/** Names an application. */ ApplicationId, "app_");
id!(/** Names an endpoint. */ EndpointId, "ep_");
id!(/** Names a message; also the `svix-id` and `webhook-id` that receivers dedupe on. */ MessageId, "msg_");
id!(/** Names an attempt. */ AttemptId, "atmpt_");
id!(/** Names a background task. */ TaskId, "qtask_");
id!(/** Names a user. */ UserId, "usr_");
id!(/** Names an invitation. */ InvitationId, "inv_");
id!(/** Names an entry of the audit log. */ AuditId, "aud_");
id!(/** Names an alert. */ AlertId, "alert_");
id!(/** Names a webfilter. */ WebfilterId, "wf_");
id!(/** Names a run of webfilters; also the `webhook-id` of its requests. */ WebfilterRunId, "wfrun_");

/// Names an organization. Organizations are implicit (any token may bring one), so only the prefix is checked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OrganizationId(Arc<str>);

impl OrganizationId {
    /// What every organization id starts with.
    pub const PREFIX: &'static str = "org_";
    /// The organization of tokens that name none.
    pub const DEFAULT: &'static str = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";
    /// The organization whose applications receive operational webhooks.
    pub const MANAGEMENT: &'static str = "org_00000000000SvixManagement00";
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The management organization.
    pub fn management() -> Self {
        Self(Self::MANAGEMENT.into())
    }
}

impl FromStr for OrganizationId {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        if s.starts_with(Self::PREFIX) && s.len() <= 256 { Ok(Self(s.into())) } else { Err(IdError::Prefix) }
    }
}

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a path may hold in the place of an id: the id, or the `uid` that the user chose.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum IdOrUid<I> {
    /// Ours.
    Id(I),
    /// The user's. Also a text that could be neither: nothing is found under it.
    Uid(String),
}

impl<I: FromStr> IdOrUid<I> {
    /// Reads a path segment.
    pub fn read(text: &str) -> Self {
        text.parse().map(Self::Id).unwrap_or_else(|_| Self::Uid(text.to_owned()))
    }
}

/// The store's short name of an application, never shown outside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct AppKey(pub i64);

/// The store's short name of an endpoint, never shown outside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct EndpointKey(pub i64);

/// The store's short name of a webfilter, never shown outside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct WebfilterKey(pub i64);

/// Makes ids that grow: within a tick by counting, over a clock that steps back by staying where it was.
///
/// The first eight bytes of the ids of one generator never repeat, so a store may use them as a key.
#[derive(Debug)]
pub struct IdGenerator {
    tick: u64,
    count: u32,
    now: Timestamp,
    /// On several nodes: the low bits of the count, which no other node has.
    slot: Option<u8>,
}

/// How many nodes' ids can be told apart.
pub const NODES: u8 = 64;

/// Room for the count in the three bytes after the tick; it starts in the lower half.
const COUNT_MAX: u32 = 0x00ff_ffff;

impl IdGenerator {
    /// A generator whose first id is greater than `last`, the greatest id that is already stored.
    pub fn after(last: Option<Ksuid>) -> Self {
        match last {
            None => Self { tick: 0, count: 0, now: Timestamp::default(), slot: None },
            Some(k) => Self {
                tick: u64::from_be_bytes([0, 0, 0, k.0[0], k.0[1], k.0[2], k.0[3], k.0[4]]),
                count: u32::from_be_bytes([0, k.0[5], k.0[6], k.0[7]]),
                now: k.timestamp(),
                slot: None,
            },
        }
    }

    /// As one of several nodes, up to [`NODES`], each with another slot: the first eight bytes of their ids differ.
    pub fn of_node(self, slot: u8) -> Self {
        Self { slot: Some(slot % NODES), ..self }
    }

    /// The instant of the latest id, which a clock that stepped back may not have reached yet.
    pub fn latest(&self) -> Timestamp {
        self.now
    }

    /// The next id, and the instant that belongs to it (never earlier than that of the id before).
    /// `random` fills what it is given with random bytes.
    pub fn next(&mut self, now: Timestamp, random: &mut dyn FnMut(&mut [u8])) -> (Ksuid, Timestamp) {
        let mut bytes = [0u8; 20];
        random(&mut bytes[5..]);
        let tick = tick_of(now);
        let step = self.slot.map_or(1, |_| u32::from(NODES));
        if tick > self.tick {
            self.tick = tick;
            self.count = u32::from_be_bytes([0, bytes[5] & 0x7f, bytes[6], bytes[7]]);
        } else if self.count <= COUNT_MAX - step {
            self.count += step;
        } else {
            self.tick += if self.tick & 0xff >= 249 { 0x100 - (self.tick & 0xff) } else { 1 };
            self.count = 0;
        }
        if let Some(slot) = self.slot {
            self.count = self.count / u32::from(NODES) * u32::from(NODES) + u32::from(slot);
        }
        bytes[..5].copy_from_slice(&tick_bytes(self.tick));
        bytes[5..8].copy_from_slice(&self.count.to_be_bytes()[1..]);
        let id = Ksuid(bytes);
        self.now = self.now.max(now).max(id.timestamp());
        (id, self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn fixed(b: &mut [u8]) {
        b.fill(0x41);
    }

    #[test]
    fn ids_look_like_svix_ids_and_read_back() {
        let (k, _) = IdGenerator::after(None).next(Timestamp::parse("2026-01-02T03:04:05.678Z").unwrap(), &mut fixed);
        let id = MessageId(k).to_string();
        assert_eq!(id.len(), 31);
        assert_eq!(id.parse::<MessageId>().unwrap().0, k);
        assert_eq!(id.parse::<EndpointId>(), Err(IdError::Prefix));
        assert_eq!("msg_short".parse::<MessageId>(), Err(IdError::Rest));
        assert_eq!("msg_!!!!!!!!!!!!!!!!!!!!!!!!!!!".parse::<MessageId>(), Err(IdError::Rest));
    }

    #[test]
    fn ids_grow_within_a_tick_when_the_clock_steps_back_and_after_a_restart() {
        let t = Timestamp::parse("2026-01-02T03:04:05Z").unwrap();
        let mut g = IdGenerator::after(None);
        let mut last = g.next(t, &mut fixed);
        for micros in [0, 1, 4_000, 4_001, -600_000_000, -1, 8_000] {
            let next = g.next(Timestamp::from_micros(t.as_micros() + micros), &mut fixed);
            assert!(next.0 > last.0 && next.0.head() > last.0.head() && next.1 >= last.1);
            last = next;
        }
        let mut restarted = IdGenerator::after(Some(last.0));
        assert!(restarted.next(t, &mut fixed).0 > last.0);
    }

    #[test]
    fn nodes_with_other_slots_never_make_the_same_head() {
        let t = Timestamp::parse("2026-01-02T03:04:05Z").unwrap();
        let before = IdGenerator::after(None).next(t, &mut fixed).0;
        let mut heads = std::collections::HashSet::new();
        for slot in 0..NODES {
            let mut g = IdGenerator::after(Some(before)).of_node(slot);
            let mut last = before;
            for n in 0..200 {
                let (id, _) = g.next(Timestamp::from_micros(t.as_micros() + n * 100), &mut fixed);
                assert!(id.head() > last.head() && heads.insert(id.head()));
                last = id;
            }
        }
    }

    #[test]
    fn a_full_count_borrows_from_the_next_tick() {
        let t = Timestamp::parse("2026-01-02T03:04:05.999Z").unwrap();
        let mut g = IdGenerator::after(None);
        let (first, _) = g.next(t, &mut fixed);
        g.count = COUNT_MAX;
        let (next, at) = g.next(t, &mut fixed);
        assert!(next > first);
        assert_eq!(next.timestamp(), Timestamp::parse("2026-01-02T03:04:06Z").unwrap());
        assert!(at >= next.timestamp());
    }

    #[test]
    fn the_greatest_text_is_that_of_the_greatest_id() {
        assert_eq!(Ksuid::MAX.text().as_str(), GREATEST);
        assert_eq!(Ksuid::read(GREATEST), Some(Ksuid::MAX));
        for other in ["aWgEPTl1tmebfsQzFP4bxwgy80W", "Z2bLVqM9sI1wGcMFzbKXlKŴMFz", "Z2bLVqM9sI1wGcMFzbKXlK_-MFz"] {
            assert_eq!(Ksuid::read(other), None);
        }
    }

    #[test]
    fn parts_join_to_the_same_id() {
        let (k, _) = IdGenerator::after(None).next(Timestamp::parse("2026-01-02T03:04:05Z").unwrap(), &mut fixed);
        assert_eq!(Ksuid::from_parts(k.head(), k.tail()), k);
    }

    /// What happens to a clock and to the process between two ids.
    #[derive(Clone, Debug)]
    enum Between {
        Passes(u64),
        StepsBack(u64),
        Restarts,
        Burst(u32),
    }

    fn between() -> impl Strategy<Value = Between> {
        prop_oneof![
            4 => (0..20_000u64).prop_map(Between::Passes),
            1 => (0..10_000_000_000u64).prop_map(Between::Passes),
            1 => (0..10_000_000_000u64).prop_map(Between::StepsBack),
            1 => Just(Between::Restarts),
            // So many ids in one tick that the count runs over.
            1 => (COUNT_MAX - 3..=COUNT_MAX).prop_map(Between::Burst),
        ]
    }

    proptest! {
        #[test]
        fn ids_and_heads_grow_whatever_the_clock_does_and_over_restarts(
            begin in 1_400_000_000_000_000..3_000_000_000_000_000i64,
            steps in prop::collection::vec(between(), 1..60),
            seed: u64,
        ) {
            let mut noise = seed;
            let mut random = |b: &mut [u8]| b.fill_with(|| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (noise >> 56) as u8
            });
            let mut now = Timestamp::from_micros(begin);
            let mut g = IdGenerator::after(None);
            let mut last = g.next(now, &mut random);
            for step in steps {
                match step {
                    Between::Passes(micros) => now = now.plus(Duration::from_micros(micros)),
                    Between::StepsBack(micros) => now = now.minus(Duration::from_micros(micros)),
                    Between::Restarts => g = IdGenerator::after(Some(last.0)),
                    Between::Burst(count) => g.count = g.count.max(count),
                }
                let next = g.next(now, &mut random);
                prop_assert!(next.0 > last.0, "{:?} after {:?}", next.0, last.0);
                prop_assert!(next.0.head() > last.0.head());
                // Lists compare ids with instants: both must be of the same tick.
                prop_assert!(Ksuid::lowest_at(next.1) <= next.0);
                prop_assert!(next.0.timestamp() <= next.1 && next.1.since(next.0.timestamp()) < Duration::from_millis(4));
                prop_assert!(matches!(step, Between::Restarts) || next.1 >= last.1);
                last = next;
            }
        }

        #[test]
        fn every_id_is_written_in_one_way_and_reads_back(bytes: [u8; 20]) {
            let id = EndpointId(Ksuid(bytes));
            let text = id.to_string();
            prop_assert_eq!(text.len(), 3 + 27);
            prop_assert_eq!(text.parse(), Ok(id));
            prop_assert!(text.parse::<MessageId>().is_err());
            prop_assert_eq!(serde_json::from_str::<EndpointId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        }

        #[test]
        fn ids_are_written_as_others_write_ksuids(bytes: [u8; 20]) {
            use svix_ksuid::{KsuidLike as _, KsuidMs};
            let theirs = KsuidMs::from_bytes(bytes).to_string();
            let ours = Ksuid(bytes).text();
            prop_assert_eq!(ours.as_str(), &theirs);
            prop_assert_eq!(Ksuid::read(&theirs), Some(Ksuid(bytes)));
        }

        #[test]
        fn texts_sort_like_their_ids(a: [u8; 20], b: [u8; 20]) {
            let (a, b) = (TaskId(Ksuid(a)), TaskId(Ksuid(b)));
            prop_assert_eq!(a.to_string().cmp(&b.to_string()), a.cmp(&b));
        }

        #[test]
        fn a_text_that_is_read_as_an_id_is_how_that_id_is_written(rest in "[0-9A-Z][0-9A-Za-z]{12}\\PC[0-9A-Za-z]{10,13}|[0-9A-Za-z]{27}|[z]{0,6}[0-9A-Za-z]{21,27}|\\PC{0,30}") {
            let text = format!("app_{rest}");
            if let Ok(id) = text.parse::<ApplicationId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn parts_of_any_id_of_this_century_join_again(seconds in 0..0x7fff_ffffu32, rest: [u8; 16]) {
            let mut bytes = [0; 20];
            bytes[..4].copy_from_slice(&seconds.to_be_bytes());
            bytes[4..].copy_from_slice(&rest);
            let k = Ksuid(bytes);
            prop_assert_eq!(Ksuid::from_parts(k.head(), k.tail()), k);
        }

        #[test]
        fn the_lowest_id_of_an_instant_is_not_after_it_and_never_falls(a: i64, b: i64, c in 0..4_000_000_000_000_000i64) {
            let mut instants = [a, b, c, c + 1].map(Timestamp::from_micros);
            instants.sort_unstable();
            prop_assert!(instants.windows(2).all(|w| Ksuid::lowest_at(w[0]) <= Ksuid::lowest_at(w[1])));
            let c = Timestamp::from_micros(c.max(KSUID_EPOCH * 1_000_000));
            prop_assert!(Ksuid::lowest_at(c).timestamp() <= c);
        }
    }
}
