//! Secrets at rest: only what was sealed opens, with its key, in its place.
//!
//! Input: the place's name, a line feed, what is sealed; the whole is also tried as a sealed value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use store::{MainKey, Sealer};

static SEALER: LazyLock<Sealer> = LazyLock::new(|| Sealer::new(&MainKey::generate()));
static OTHER: LazyLock<Sealer> = LazyLock::new(|| Sealer::new(&MainKey::generate()));

fuzz_target!(|data: &[u8]| {
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (place, plain) = data.split_at(at);
    assert!(SEALER.open(data, place).is_err(), "opened what nobody sealed");

    let sealed = SEALER.seal(plain, place);
    assert_eq!(SEALER.open(&sealed, place).as_deref(), Ok(plain));
    assert!(OTHER.open(&sealed, place).is_err(), "opened with another key");
    assert!(SEALER.open(&sealed, &[place, b"2"].concat()).is_err(), "opened in another place");
    assert!(SEALER.open(&sealed[..sealed.len() - 1], place).is_err(), "opened though its end is missing");
    // One bit at a place that the input chooses.
    let bit =
        data.iter().fold(0usize, |sum, b| sum.wrapping_mul(31).wrapping_add(usize::from(*b))) % (sealed.len() * 8);
    let mut damaged = sealed;
    damaged[bit / 8] ^= 1 << (bit % 8);
    assert!(SEALER.open(&damaged, place).is_err(), "opened though bit {bit} is wrong");

    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(key) = text.parse::<MainKey>()
    {
        assert_eq!(key.expose(), text.trim(), "a main key has one written form");
    }
});
