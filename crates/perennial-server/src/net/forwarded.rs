//! Who is asking when a proxy stands between: what it says is believed only where it is configured.
//!
//! Addresses are read from the right, the end that our own proxies wrote, as long as the one that wrote it is
//! trusted; the first that is not is the caller. What stands left of it is anybody's word.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

use crate::config::ProxyHeader;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The proxies that are believed, and the one header in which they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    pub(crate) networks: Vec<IpNet>,
    pub(crate) header: ProxyHeader,
}

/// The far end, behind whatever proxies are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FarEnd {
    pub(super) addr: IpAddr,
    pub(super) secure: bool,
}

impl Proxies {
    pub(super) fn trusts(&self, addr: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&addr))
    }

    /// Who is asking, over a connection from `peer`.
    pub(super) fn far_end(&self, peer: IpAddr, tls: bool, headers: &HeaderMap) -> FarEnd {
        let direct = FarEnd { addr: peer, secure: tls };
        if !self.trusts(peer) {
            return direct;
        }
        match self.header {
            ProxyHeader::XForwarded => {
                let hops = values(headers, &X_FORWARDED_FOR).flat_map(|line| line.split(','));
                let secure = values(headers, &X_FORWARDED_PROTO)
                    .flat_map(|line| line.split(','))
                    .next_back()
                    .map_or(tls, |proto| proto.trim().eq_ignore_ascii_case("https"));
                FarEnd { addr: self.first_untrusted(peer, hops.map(address)), secure }
            }
            ProxyHeader::Forwarded => {
                let elements: Vec<Element> =
                    values(headers, &header::FORWARDED).flat_map(|line| elements(line).into_iter()).collect();
                let secure = elements
                    .last()
                    .and_then(|element| element.proto.as_deref())
                    .map_or(tls, |proto| proto.eq_ignore_ascii_case("https"));
                FarEnd {
                    addr: self.first_untrusted(peer, elements.iter().map(|element| element.addr)),
                    secure,
                }
            }
        }
    }

    /// A hop that is no address (RFC 7239, 6.3: `unknown`, `_hidden`) ends the walk at the one that told it.
    fn first_untrusted(&self, peer: IpAddr, hops: impl DoubleEndedIterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut last = peer;
        for hop in hops.rev() {
            let Some(addr) = hop else { break };
            last = addr;
            if !self.trusts(addr) {
                break;
            }
        }
        last
    }
}

fn values<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl DoubleEndedIterator<Item = &'a str> + use<'a> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("unreadable"))
}

/// An address as proxies write it: with or without a port, IPv6 with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let addr = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|addr| addr.ip())).ok()?;
    Some(addr.to_canonical())
}

/// One hop (RFC 7239, 4).
struct Element {
    addr: Option<IpAddr>,
    proto: Option<String>,
}

fn elements(line: &str) -> Vec<Element> {
    split_outside_quotes(line, ',')
        .map(|element| {
            let pair = |name: &str| {
                split_outside_quotes(element, ';').find_map(|pair| {
                    let (own, value) = pair.split_once('=')?;
                    own.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
                })
            };
            Element { addr: pair("for").and_then(|value| address(&value)), proto: pair("proto") }
        })
        .collect()
}

fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn far_end(header: ProxyHeader, peer: &str, lines: &[(&'static str, &'static str)]) -> (String, bool) {
        let proxies = Proxies { networks: vec!["10.0.0.0/8".parse().unwrap()], header };
        let end = proxies.far_end(peer.parse().unwrap(), false, &headers(lines));
        (end.addr.to_string(), end.secure)
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let lines = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")];
        assert_eq!(far_end(ProxyHeader::XForwarded, "203.0.113.9", &lines), ("203.0.113.9".into(), false));
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_caller() {
        let lines = [("x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.0.0.2"), ("x-forwarded-proto", "https")];
        assert_eq!(far_end(ProxyHeader::XForwarded, "10.0.0.1", &lines), ("192.0.2.1".into(), true));
    }

    #[test]
    fn two_lines_are_one_list() {
        let lines = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "[2001:db8::1]:4711")];
        assert_eq!(far_end(ProxyHeader::XForwarded, "10.0.0.1", &lines), ("2001:db8::1".into(), false));
    }

    #[test]
    fn a_hop_that_is_no_address_ends_the_walk_at_the_proxy() {
        let lines = [("x-forwarded-for", "192.0.2.1, unknown")];
        assert_eq!(far_end(ProxyHeader::XForwarded, "10.0.0.1", &lines), ("10.0.0.1".into(), false));
    }

    #[test]
    fn the_header_that_is_not_configured_is_anybodys_word() {
        let lines = [("forwarded", "for=6.6.6.6;proto=https"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(far_end(ProxyHeader::XForwarded, "10.0.0.1", &lines), ("192.0.2.1".into(), false));
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_writes_it() {
        let lines = [("forwarded", "for=\"6.6.6.6, 7\", For=\"[2001:db8::7]:80\";Proto=https;by=10.0.0.1")];
        assert_eq!(far_end(ProxyHeader::Forwarded, "10.0.0.1", &lines), ("2001:db8::7".into(), true));
    }
}
