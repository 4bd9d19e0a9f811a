//! Random choices for the demo's stories. Repeatable, so that tests can pin a story.

/// A small generator of random numbers (SplitMix64); not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The same seed brings the same stories.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, 0 if `n` is 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next().checked_rem(n).unwrap_or(0)
    }

    /// Whether something happens that happens `percent` times in a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of several.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Hexadecimal digits in the form of a UUID.
    pub(crate) fn uuid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        let (time, middle, rest) = (a >> 32, (a >> 16) & 0xffff, a & 0xfff);
        format!("{time:08x}-{middle:04x}-4{rest:03x}-a{:03x}-{:012x}", (b >> 52) & 0xfff, b & 0xffff_ffff_ffff)
    }
}

/// Somebody in a story. All are invented.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    /// First name.
    pub(crate) first: &'static str,
    /// Last name.
    pub(crate) last: &'static str,
    /// The number that a platform knows them by.
    pub(crate) number: u32,
}

impl Person {
    /// Both names.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.first, self.last)
    }
    /// A short name of letters.
    pub(crate) fn login(&self) -> String {
        let letters = |s: &str| s.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_lowercase();
        format!("{}.{}", letters(self.first), letters(self.last))
    }
    /// An address that reaches nobody.
    pub(crate) fn email(&self) -> String {
        format!("{}@students.example.edu", self.login())
    }
}

const fn person(first: &'static str, last: &'static str, number: u32) -> Person {
    Person { first, last, number }
}

/// Who learns.
pub(crate) const STUDENTS: [Person; 12] = [
    person("Ada", "Okafor", 2031),
    person("Bo", "Lindqvist", 2032),
    person("Chiara", "Moretti", 2033),
    person("Dilan", "Yıldız", 2034),
    person("Emeka", "Balogun", 2035),
    person("Fatima", "Haddad", 2036),
    person("Goran", "Petrović", 2037),
    person("Hana", "Suzuki", 2038),
    person("Iris", "van Dijk", 2039),
    person("João", "Carvalho", 2040),
    person("Kira", "Novak", 2041),
    person("Luca", "Bianchi", 2042),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_fall_within_their_bounds_and_the_same_way_again() {
        let (mut a, mut b) = (Dice::new(7), Dice::new(7));
        for _ in 0..1_000 {
            let n = a.below(5);
            assert!(n < 5);
            assert_eq!(n, b.below(5));
        }
        assert_eq!(a.uuid().len(), 36);
        assert_eq!(a.below(0), 0);
    }
}
