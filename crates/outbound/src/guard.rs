//! Which addresses endpoints may reach. Everything that is not the public internet is refused, unless the operator
//! allowed its network.
//!
//! Decides about addresses only; it never resolves a name. Whoever connects asks for every address it is about to use.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use url::{Host, Url};

/// An address that endpoints may not reach, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("addresses in {range} ({what}) are not allowed")]
pub struct Blocked {
    /// The address.
    pub address: IpAddr,
    /// The range it lies in.
    pub range: IpNet,
    /// What that range is for.
    pub what: &'static str,
}

/// Decides which addresses may be reached.
#[derive(Clone, Default)]
pub struct Guard {
    allow: Vec<IpNet>,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8, what: &'static str) -> (Ipv4Net, &'static str) {
    (Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix), what)
}

const fn v6(address: [u16; 8], prefix: u8, what: &'static str) -> (Ipv6Net, &'static str) {
    let [a, b, c, d, e, f, g, h] = address;
    (Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix), what)
}

/// The IANA registry of special-purpose IPv4 addresses, and one cloud platform's address outside of it. A narrower
/// range stands before the wider one that holds it, so that the narrower one is named.
const RANGES_V4: &[(Ipv4Net, &str)] = &[
    v4(0, 0, 0, 0, 8, "this network"),
    v4(10, 0, 0, 0, 8, "private network"),
    v4(100, 64, 0, 0, 10, "carrier-grade NAT"),
    v4(127, 0, 0, 0, 8, "loopback"),
    v4(168, 63, 129, 16, 32, "cloud metadata"),
    v4(169, 254, 169, 254, 32, "cloud metadata"),
    v4(169, 254, 0, 0, 16, "link-local"),
    v4(172, 16, 0, 0, 12, "private network"),
    v4(192, 0, 0, 0, 24, "protocol assignments"),
    v4(192, 0, 2, 0, 24, "documentation"),
    v4(192, 88, 99, 0, 24, "6to4 relay"),
    v4(192, 168, 0, 0, 16, "private network"),
    v4(198, 18, 0, 0, 15, "benchmarking"),
    v4(198, 51, 100, 0, 24, "documentation"),
    v4(203, 0, 113, 0, 24, "documentation"),
    v4(224, 0, 0, 0, 4, "multicast"),
    v4(255, 255, 255, 255, 32, "broadcast"),
    v4(240, 0, 0, 0, 4, "reserved"),
];

/// The same for IPv6. IPv4-mapped addresses are missing here because they are judged as the IPv4 address inside.
const RANGES_V6: &[(Ipv6Net, &str)] = &[
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4-compatible"),
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, "IPv4-translated"),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "NAT64"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "local NAT64"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard only"),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, "dummy prefix"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignments"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation"),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment routing"),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, "cloud metadata"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique local network"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast"),
];

impl Guard {
    /// A guard that lets through what is public, and the networks in `allow` (the setting `ALLOW_SUBNETS`). An allowed
    /// IPv4 network also allows its addresses in their IPv4-mapped form.
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow }
    }

    /// A guard that lets everything through: for what the machine itself decides, never for what users type.
    #[cfg(feature = "sqs")]
    pub(crate) fn open() -> Self {
        Self::new(vec![IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())])
    }

    /// Whether this address may be reached.
    pub fn check(&self, address: IpAddr) -> Result<(), Blocked> {
        // The system connects to an IPv4-mapped address over IPv4, so it is judged as what it is.
        let real = address.to_canonical();
        if self.allow.iter().any(|net| net.contains(&real) || net.contains(&address)) {
            return Ok(());
        }
        let found = match real {
            IpAddr::V4(ip) => RANGES_V4.iter().find(|(net, _)| net.contains(&ip)).map(|(net, w)| (IpNet::V4(*net), *w)),
            IpAddr::V6(ip) => RANGES_V6.iter().find(|(net, _)| net.contains(&ip)).map(|(net, w)| (IpNet::V6(*net), *w)),
        };
        match found {
            Some((range, what)) => Err(Blocked { address, range, what }),
            None => Ok(()),
        }
    }

    /// For the moment an address is typed in: refuses a URL whose host is a literal address that may not be reached, in
    /// any of the spellings that the URL parser understands. A name is fine; what it resolves to is checked when
    /// something is sent.
    pub fn check_url(&self, url: &Url) -> Result<(), Blocked> {
        match url.host() {
            Some(Host::Ipv4(ip)) => self.check(ip.into()),
            Some(Host::Ipv6(ip)) => self.check(ip.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guard(allow {:?})", self.allow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn what(guard: &Guard, address: &str) -> Option<&'static str> {
        guard.check(address.parse().unwrap()).err().map(|b| b.what)
    }

    #[test]
    fn every_special_range_is_refused_at_both_ends_and_not_beyond() {
        // First address, last address, neighbours that are public (where there are any).
        let cases: &[(&str, &str, &str, &[&str])] = &[
            ("0.0.0.0", "0.255.255.255", "this network", &["1.0.0.0"]),
            ("10.0.0.0", "10.255.255.255", "private network", &["9.255.255.255", "11.0.0.0"]),
            ("100.64.0.0", "100.127.255.255", "carrier-grade NAT", &["100.63.255.255", "100.128.0.0"]),
            ("100.100.100.200", "100.100.100.200", "carrier-grade NAT", &[]),
            ("127.0.0.0", "127.255.255.255", "loopback", &["126.255.255.255", "128.0.0.0"]),
            ("168.63.129.16", "168.63.129.16", "cloud metadata", &["168.63.129.15", "168.63.129.17"]),
            ("169.254.169.254", "169.254.169.254", "cloud metadata", &[]),
            ("169.254.0.0", "169.254.255.255", "link-local", &["169.253.255.255", "169.255.0.0"]),
            ("172.16.0.0", "172.31.255.255", "private network", &["172.15.255.255", "172.32.0.0"]),
            ("192.0.0.0", "192.0.0.255", "protocol assignments", &["191.255.255.255", "192.0.1.0"]),
            ("192.0.2.0", "192.0.2.255", "documentation", &["192.0.1.255", "192.0.3.0"]),
            ("192.88.99.0", "192.88.99.255", "6to4 relay", &["192.88.98.255", "192.88.100.0"]),
            ("192.168.0.0", "192.168.255.255", "private network", &["192.167.255.255", "192.169.0.0"]),
            ("198.18.0.0", "198.19.255.255", "benchmarking", &["198.17.255.255", "198.20.0.0"]),
            ("198.51.100.0", "198.51.100.255", "documentation", &["198.51.99.255", "198.51.101.0"]),
            ("203.0.113.0", "203.0.113.255", "documentation", &["203.0.112.255", "203.0.114.0"]),
            ("224.0.0.0", "239.255.255.255", "multicast", &["223.255.255.255"]),
            ("240.0.0.0", "255.255.255.254", "reserved", &[]),
            ("255.255.255.255", "255.255.255.255", "broadcast", &[]),
            ("::", "::", "unspecified", &[]),
            ("::1", "::1", "loopback", &[]),
            ("::2", "::ffff:ffff", "IPv4-compatible", &["::1:0:0"]),
            ("::8.8.8.8", "::127.0.0.1", "IPv4-compatible", &[]),
            ("::ffff:0:0:0", "::ffff:0:7f00:1", "IPv4-translated", &[]),
            ("64:ff9b::", "64:ff9b::ffff:ffff", "NAT64", &["64:ff9a:ffff::", "64:ff9b:0:0:0:1::"]),
            ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "local NAT64", &["64:ff9b:2::"]),
            ("100::", "100::ffff:ffff:ffff:ffff", "discard only", &["ff:ffff::", "100:0:0:2::"]),
            ("100:0:0:1::", "100::1:ffff:ffff:ffff:ffff", "dummy prefix", &[]),
            ("2001::", "2001:0:ffff:ffff::", "Teredo", &["2000:ffff::"]),
            ("2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "protocol assignments", &["2001:200::"]),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "documentation", &["2001:db7::", "2001:db9::"]),
            ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "6to4", &["2003::"]),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "documentation", &["3ffe:ffff::", "3fff:1000::"]),
            ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "segment routing", &["5eff::", "5f01::"]),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "unique local network", &["fbff::"]),
            ("fd00:ec2::254", "fd00:ec2::254", "cloud metadata", &[]),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "link-local", &["fe00::", "fe7f::"]),
            ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "site-local", &[]),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast", &[]),
        ];
        let guard = Guard::default();
        for (first, last, name, outside) in cases {
            assert_eq!(what(&guard, first), Some(*name), "{first}");
            assert_eq!(what(&guard, last), Some(*name), "{last}");
            for neighbour in *outside {
                assert_eq!(what(&guard, neighbour), None, "{neighbour}");
            }
        }
        for (net, name) in RANGES_V4 {
            assert!(cases.iter().any(|c| c.2 == *name), "{net} has no case");
        }
        for (net, name) in RANGES_V6 {
            assert!(cases.iter().any(|c| c.2 == *name), "{net} has no case");
        }
    }

    #[test]
    fn public_addresses_pass() {
        for ip in ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::200e", "::ffff:8.8.8.8"] {
            assert_eq!(what(&Guard::default(), ip), None, "{ip}");
        }
    }

    #[test]
    fn an_allowed_network_overrides_its_range_and_nothing_else() {
        let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap(), "fd12::/16".parse().unwrap()]);
        for ip in ["127.0.0.1", "::ffff:127.0.0.1", "fd12::1"] {
            assert_eq!(what(&guard, ip), None, "{ip}");
        }
        for ip in ["10.0.0.1", "::1", "::127.0.0.1", "fd13::1", "64:ff9b::7f00:1", "::ffff:10.0.0.1"] {
            assert!(what(&guard, ip).is_some(), "{ip}");
        }
    }

    #[test]
    fn odd_spellings_of_an_address_in_a_url_are_seen_through() {
        let guard = Guard::default();
        for url in [
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1/",
            "http://0/",
            "http://127.0.0.1./",
            "http://%31%32%37.0.0.1/",
            "http://１２７.0.0.1/",
            "http://127。0。0。1/",
            "http://user:pass@169.254.169.254:80/latest/meta-data",
            "https://[::ffff:10.0.0.1]/",
            "https://[::ffff:a00:1]/",
            "https://[0:0:0:0:0:0:0:1]:8443/",
        ] {
            assert!(guard.check_url(&Url::parse(url).unwrap()).is_err(), "{url}");
        }
        for url in ["http://localhost/", "https://example.com/", "https://10.example.com/", "https://8.8.8.8/"] {
            assert_eq!(guard.check_url(&Url::parse(url).unwrap()), Ok(()), "{url}");
        }
    }

    #[test]
    fn the_refusal_names_the_range() {
        let blocked = Guard::default().check("10.1.2.3".parse().unwrap()).unwrap_err();
        assert_eq!(blocked.to_string(), "addresses in 10.0.0.0/8 (private network) are not allowed");
    }

    proptest! {
        #[test]
        fn a_mapped_address_is_judged_like_the_address_inside(bits: u32) {
            let (guard, ip) = (Guard::default(), Ipv4Addr::from(bits));
            let (plain, mapped) = (guard.check(ip.into()), guard.check(ip.to_ipv6_mapped().into()));
            prop_assert_eq!(plain.map_err(|b| b.range), mapped.map_err(|b| b.range));
        }

        #[test]
        fn no_transition_form_of_any_ipv4_address_passes(bits: u32) {
            let (guard, [a, b, c, d]) = (Guard::default(), bits.to_be_bytes());
            let (hi, lo) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            for form in [
                [0, 0, 0, 0, 0, 0, hi, lo],
                [0, 0, 0, 0, 0xffff, 0, hi, lo],
                [0x64, 0xff9b, 0, 0, 0, 0, hi, lo],
                [0x64, 0xff9b, 1, 0, 0, 0, hi, lo],
                [0x2002, hi, lo, 0, 0, 0, 0, 1],
                [0x2001, 0, 0, 0, 0, 0, !hi, !lo],
            ] {
                prop_assert!(guard.check(Ipv6Addr::from(form).into()).is_err());
            }
        }

        #[test]
        fn what_std_knows_to_be_special_never_passes(bits: u32, wide: u128) {
            let (guard, ip, ip6) = (Guard::default(), Ipv4Addr::from(bits), Ipv6Addr::from(wide));
            let special = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast()
                || ip.is_broadcast() || ip.is_documentation() || ip.is_unspecified();
            prop_assert!(!special || guard.check(ip.into()).is_err());
            let special = ip6.is_loopback() || ip6.is_multicast() || ip6.is_unspecified() || ip6.is_unique_local()
                || ip6.is_unicast_link_local();
            prop_assert!(!special || guard.check(ip6.into()).is_err());
        }
    }
}
