//! Which remotes may be reached at all. A URL comes from whoever writes an Environment, and names are resolved by whoever
//! owns them: neither must lead the agent to its own machine, to the metadata service of the cloud, or into the cluster.
//!
//! Names are resolved here before each connection, and every address has to be allowed. libgit2 resolves the name once more
//! when it connects; a name server that answers differently within that moment is not noticed, so a NetworkPolicy stands
//! behind this (docs/security.md).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use ipnet::IpNet;

use super::url::Scheme;
use super::{Cause, Credentials, GitError, Remote};
use crate::object::host;

/// What the platform lets the agent reach. The default is any host on the network, and nothing of this machine.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// The hosts, by pattern; any where none is named.
    pub hosts: Vec<String>,
    /// Addresses that are reached although they would be refused.
    pub addresses: Vec<IpNet>,
    /// The cluster's own addresses: refused unless they are among those above.
    pub cluster: Vec<IpNet>,
    /// Whether `file://` names folders of this machine.
    pub folders: bool,
}

impl Reach {
    /// Lets everything through: for what runs on a person's own machine.
    pub fn anywhere() -> Self {
        let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let addresses = any.into_iter().filter_map(|address| IpNet::new(address, 0).ok()).collect();
        Self { addresses, folders: true, ..Self::default() }
    }

    /// Says what is wrong with a remote, before it is connected to.
    pub(super) fn check(&self, remote: &Remote) -> Result<(), GitError> {
        let url = remote.url();
        let refused = |why: String| GitError::Refused { remote: url.to_string(), why };
        if url.scheme() == Scheme::File {
            let why = "folders of the agent's machine are git remotes only with --git-folders";
            return if self.folders { Ok(()) } else { Err(refused(why.to_owned())) };
        }
        let named = url.host_and_port().to_ascii_lowercase();
        if !self.hosts.is_empty() && !host::is_allowed(named.trim_end_matches('.'), &self.hosts) {
            return Err(refused(format!(
                "{} is none of the hosts that --git-host allows ({})",
                url.host(),
                self.hosts.join(", ")
            )));
        }
        if url.scheme() == Scheme::Http
            && matches!(remote.credentials(), Credentials::Token { .. })
            && !is_this_machine(url.host())
        {
            return Err(refused("a token is sent by https only; everyone on the way reads http".to_owned()));
        }
        Ok(())
    }

    /// Resolves the host of a remote, and says which of its addresses must not be reached.
    pub(super) fn resolve(&self, remote: &Remote) -> Result<(), GitError> {
        let url = remote.url();
        if url.scheme() == Scheme::File {
            return Ok(());
        }
        let unreachable = |error: std::io::Error| {
            let source = Cause(format!("failed to resolve address: {error}"));
            GitError::Unreachable { remote: url.to_string(), source }
        };
        for address in (url.host(), url.port()).to_socket_addrs().map_err(unreachable)? {
            if let Some(what) = self.refuses(address.ip()) {
                let (host, ip) = (url.host(), address.ip());
                let is = if ip.to_string() == host { String::new() } else { format!("{host} is {ip}, and ") };
                return Err(GitError::Refused {
                    remote: url.to_string(),
                    why: format!("{is}{ip} is {what}; --git-address {ip} allows it"),
                });
            }
        }
        Ok(())
    }

    /// What an address is, where it must not be reached.
    fn refuses(&self, address: IpAddr) -> Option<&'static str> {
        let address = address.to_canonical();
        let inner = match address {
            IpAddr::V6(v6) => translated(v6).map(IpAddr::V4),
            IpAddr::V4(_) => None,
        };
        if self.addresses.iter().any(|net| net.contains(&address)) {
            return None;
        }
        let is_clusters = |ip: &IpAddr| self.cluster.iter().any(|net| net.contains(ip));
        [Some(address), inner].into_iter().flatten().find_map(|ip| {
            special(ip).or_else(|| is_clusters(&ip).then_some("an address of the cluster itself"))
        })
    }
}

/// What an address is that no git server has.
fn special(address: IpAddr) -> Option<&'static str> {
    /// Where AWS answers for the metadata of a machine, beside the link-local address.
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);
    /// The same for the credentials of a pod (EKS Pod Identity).
    const POD_IDENTITY: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0023);
    if address.is_loopback() {
        return Some("this machine itself");
    }
    if address.is_unspecified() || address.is_multicast() {
        return Some("no address of a single machine");
    }
    match address {
        IpAddr::V4(v4) if v4.is_link_local() => Some("a link-local address, where clouds serve credentials"),
        // 0.0.0.0/8 is this network; Linux takes some of it for this machine.
        IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.is_broadcast() => Some("no address of a single machine"),
        IpAddr::V6(METADATA | POD_IDENTITY) => Some("where AWS serves credentials"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("a link-local address"),
        _ => None,
    }
}

/// The IPv4 address that one of IPv6 leads to by way of a translator: NAT64 (64:ff9b::/96), 6to4 (2002::/16).
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match (a, b) {
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => Some(of(g, h)),
        (0x2002, _) => Some(of(b, c)),
        // The deprecated form ::a.b.c.d.
        (0, 0) if [c, d, e, f] == [0; 4] && g != 0 => Some(of(g, h)),
        _ => None,
    }
}

/// Whether a host is written as this machine: what is sent to it is on no wire.
fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn remote(url: &str, credentials: Credentials) -> Remote {
        Remote::new(url, credentials).unwrap()
    }

    fn token() -> Credentials {
        Credentials::Token { username: "git".to_owned(), token: "t0ken".to_owned() }
    }

    #[test]
    fn addresses_of_this_machine_of_the_cloud_and_of_the_cluster_are_refused() {
        let reach = Reach { cluster: vec![net("10.96.0.0/12"), net("fd00:10::/32")], ..Reach::default() };
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "::169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "10.96.0.1",
            "::ffff:10.100.3.4",
            "64:ff9b::a60:1",
            "fd00:10::7",
        ] {
            assert!(reach.refuses(address.parse().unwrap()).is_some(), "{address}");
        }
        for address in ["192.0.2.1", "10.0.0.1", "172.16.0.9", "192.168.1.1", "2001:db8::1", "fd00::1"] {
            assert_eq!(reach.refuses(address.parse().unwrap()), None, "{address}");
        }
        let reach = Reach { addresses: vec![net("10.100.3.4/32"), net("127.0.0.0/8")], ..reach };
        for address in ["10.100.3.4", "127.0.0.1", "::ffff:127.0.0.1"] {
            assert_eq!(reach.refuses(address.parse().unwrap()), None, "{address}");
        }
        assert!(reach.refuses("10.100.3.5".parse().unwrap()).is_some());
        let anywhere = Reach::anywhere();
        assert!(
            ["127.0.0.1", "::1", "169.254.0.1"]
                .iter()
                .all(|ip| anywhere.refuses(ip.parse().unwrap()).is_none())
        );
    }

    #[test]
    fn only_hosts_that_are_named_are_reached() {
        let reach = Reach {
            hosts: vec!["git.example".to_owned(), "*.corp.example:8443".to_owned()],
            ..Reach::default()
        };
        let check = |url: &str| reach.check(&remote(url, Credentials::None));
        for url in [
            "https://git.example/x",
            "https://GIT.example./x",
            "git@git.example:team/x",
            "https://a.corp.example:8443/x",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
        for url in [
            "https://git.example.evil/x",
            "https://evil.example/x",
            "git@a.git.example:x",
            "https://a.corp.example/x",
        ] {
            let error = check(url).unwrap_err();
            assert!(
                matches!(&error, GitError::Refused { why, .. } if why.contains("--git-host")),
                "{url}: {error}"
            );
        }
    }

    #[test]
    fn a_token_is_never_sent_over_http_but_to_this_machine() {
        let reach = Reach::default();
        assert_eq!(reach.check(&remote("http://git.example/x", Credentials::None)), Ok(()));
        assert_eq!(reach.check(&remote("https://git.example/x", token())), Ok(()));
        assert_eq!(reach.check(&remote("http://127.0.0.1:3000/x", token())), Ok(()));
        assert!(reach.check(&remote("http://git.example/x", token())).is_err());
        assert!(reach.check(&remote("http://t0ken@git.example/x", Credentials::None)).is_err());
        assert!(reach.check(&remote("http://localhost.evil.example/x", token())).is_err());
    }

    #[test]
    fn folders_are_remotes_only_where_the_platform_says_so() {
        let folder = remote("file:///srv/git/infra.git", Credentials::None);
        assert!(Reach::default().check(&folder).is_err());
        assert_eq!(Reach { folders: true, ..Reach::default() }.check(&folder), Ok(()));
    }

    #[test]
    fn what_a_name_leads_to_is_said() {
        let error =
            Reach::default().resolve(&remote("https://localhost:1/x", Credentials::None)).unwrap_err();
        assert!(error.to_string().contains("localhost is"), "{error}");
        assert!(error.to_string().contains("this machine itself"), "{error}");
        assert_eq!(Reach::anywhere().resolve(&remote("https://localhost:1/x", Credentials::None)), Ok(()));
    }
}
