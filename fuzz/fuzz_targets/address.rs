//! Addresses of endpoints: whatever a URL looks like, a literal address in it is seen, and judged as what it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outbound::{Guard, Target, fuzzing};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use testkit::build::endpoint;
use url::{Host, Url};

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        any_url(text);
    }
    if let [a, b, c, d, how, rest @ ..] = data {
        spelled(Ipv4Addr::new(*a, *b, *c, *d), *how, rest);
    }
    if let Some(bytes) = data.first_chunk::<16>() {
        let ip = Ipv6Addr::from(*bytes);
        let url = Url::parse(&format!("https://[{ip}]/")).unwrap();
        assert_eq!(Guard::default().check_url(&url).is_ok(), Guard::default().check(ip.into()).is_ok());
        assert!(!is_special(ip.into()) || Guard::default().check(ip.into()).is_err(), "{ip} passed");
    }
});

fn any_url(text: &str) {
    let guard = Guard::default();
    let prepared = Target::prepare(&endpoint(text));
    let Ok(url) = Url::parse(text) else {
        assert!(prepared.is_err(), "{text} is no URL, but can be sent to");
        return;
    };
    // The normal form that is stored means the same.
    let stored = Target::prepare(&endpoint(url.as_str()));
    assert_eq!(prepared.is_ok(), stored.is_ok(), "{url}");
    let allowed = guard.check_url(&url).is_ok();
    let Ok(target) = prepared else { return };

    let (_, host, _) = fuzzing::origin(&target);
    match host.parse::<IpAddr>() {
        Ok(ip) => {
            assert_eq!(allowed, guard.check(ip).is_ok(), "{url} is judged unlike {ip}, where it leads");
            assert!(!allowed || !is_special(ip), "{ip} passed");
        }
        Err(_) => {
            assert!(allowed, "{url} holds no address");
            assert_eq!(c_address(&host), None, "{host} is an address to some resolvers");
        }
    }
    let shown = Url::parse(target.shown_url()).unwrap();
    assert!(shown.username().is_empty() && shown.password().is_none(), "credentials are shown: {shown}");
    assert_eq!((shown.host(), shown.path(), shown.query()), (url.host(), url.path(), url.query()));
}

/// One address in one of the ways that C libraries read.
fn spelled(ip: Ipv4Addr, how: u8, rest: &[u8]) {
    let part = |n: u32, how: u8| match how % 3 {
        0 => n.to_string(),
        1 => format!("0x{n:x}"),
        _ => format!("0{n:o}"),
    };
    let style = |i: usize| rest.get(i).copied().unwrap_or(how);
    let (bits, [a, b, c, d]) = (u32::from(ip), ip.octets().map(u32::from));
    let text = match how % 4 {
        0 => part(bits, style(0)),
        1 => format!("{}.{}", part(a, style(0)), part(bits & 0xff_ffff, style(1))),
        2 => format!("{}.{}.{}", part(a, style(0)), part(b, style(1)), part(bits & 0xffff, style(2))),
        _ => format!("{}.{}.{}.{}", part(a, style(0)), part(b, style(1)), part(c, style(2)), part(d, style(3))),
    };
    assert_eq!(c_address(&text), Some(ip));
    let dot = if how & 64 == 0 { "" } else { "." };
    let text: String = if how & 128 == 0 { text } else { text.bytes().map(|b| format!("%{b:02X}")).collect() };
    let url = Url::parse(&format!("http://user@{text}{dot}:8080/x")).unwrap();
    assert_eq!(url.host(), Some(Host::Ipv4(ip)), "{url}");
    assert_eq!(Guard::default().check_url(&url).is_ok(), Guard::default().check(ip.into()).is_ok());
    assert!(!is_special(ip.into()) || Guard::default().check_url(&url).is_err(), "{url} passed");
}

/// An address as inet_aton reads it: one to four numbers, decimal, octal or hexadecimal, the last one filling up.
fn c_address(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.strip_suffix('.').unwrap_or(text).split('.').collect();
    let number = |part: &str| match part.strip_prefix("0x").or(part.strip_prefix("0X")) {
        Some("") => None,
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None if part.len() > 1 && part.starts_with('0') => u64::from_str_radix(part, 8).ok(),
        None => part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?,
    };
    let numbers: Vec<u64> = parts.iter().map(|p| number(p)).collect::<Option<_>>()?;
    let (last, first) = numbers.split_last()?;
    if first.len() > 3 || first.iter().any(|n| *n > 255) || *last >= 1 << (8 * (4 - first.len())) {
        return None;
    }
    let high = first.iter().enumerate().map(|(i, n)| n << (24 - 8 * i)).sum::<u64>();
    u32::try_from(high + last).ok().map(Ipv4Addr::from)
}

/// What the standard library knows to be special, also inside of an IPv6 address. The guard knows more.
fn is_special(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.is_documentation()
                || ip.is_unspecified()
        }
        IpAddr::V6(ip) => {
            let [.., a, b] = ip.segments();
            let inside = Ipv4Addr::from((u32::from(a) << 16) | u32::from(b));
            let holds_one = ip.to_ipv4().is_some() || ip.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
            ip.is_loopback()
                || ip.is_multicast()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || (holds_one && is_special(inside.into()))
        }
    }
}
