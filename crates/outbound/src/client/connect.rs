//! From a target to an open connection: resolve, ask the guard about every address, connect to one that passed, agree
//! on TLS.
//!
//! The address that is checked is the address that is connected to; there is no second look-up in between.

use super::{ClientError, Failure, Progress, connection::Connection};
use crate::{
    guard::{Blocked, Guard},
    target::{HostName, Origin},
};
use domain::FailureReason;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use hickory_resolver::{
    ResolverBuilder, TokioResolver,
    config::{LookupIpStrategy, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
};
use rustls::{
    CertificateError, ClientConfig, OtherError,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName},
};
use rustls_platform_verifier::Verifier;
use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Addresses of one name that are tried at most.
const ADDRESSES_MAX: usize = 8;
/// How long one address is tried alone before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(300);
/// Names whose answers the resolver remembers.
const NAMES_REMEMBERED: u64 = 2_048;
/// TLS sessions remembered for resumption, in all.
const SESSIONS_REMEMBERED: usize = 1_024;

pub(crate) struct Connector {
    guard: Arc<Guard>,
    resolver: TokioResolver,
    /// `None` where the machine trusts nobody: then nothing can be sent over https.
    tls: Option<TlsConnector>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({:?})", self.guard)
    }
}

impl Connector {
    pub(super) fn new(guard: Arc<Guard>, extra_roots: Vec<CertificateDer<'static>>) -> Result<Self, ClientError> {
        Ok(Self { guard, resolver: resolver()?, tls: tls(extra_roots)? })
    }

    /// Which addresses may be reached.
    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// A connection to an origin; over TLS if a certificate has to be for somebody.
    pub(crate) async fn connect(
        &self,
        origin: &Origin,
        server_name: Option<&ServerName<'static>>,
        progress: &mut Progress,
    ) -> Result<Connection, Failure> {
        *progress = Progress::Resolving;
        let addresses = self.addresses(&origin.host, origin.port).await?;
        *progress = Progress::Connecting;
        let tcp = connect_any(&addresses).await.map_err(|error| connect_failure(&error))?;
        // Best effort: without it small requests may wait for an acknowledgement.
        let _ = tcp.set_nodelay(true);
        let stream = match server_name {
            None => Stream::Plain(tcp),
            Some(name) => {
                *progress = Progress::Securing;
                self.secure(tcp, name.clone()).await?
            }
        };
        Connection::over(stream).await
    }

    /// The addresses that may be connected to, at least one.
    async fn addresses(&self, host: &HostName, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        let not_allowed =
            |blocked: Blocked| Failure::new(FailureReason::AddressNotAllowed, format!("{host}: {blocked}"));
        let name = match host {
            HostName::Address(ip) => {
                self.guard.check(*ip).map_err(not_allowed)?;
                return Ok(vec![SocketAddr::new(*ip, port)]);
            }
            HostName::Name(name) => name,
        };
        let found = self.resolver.lookup_ip(name.as_str()).await.map_err(|e| lookup_failure(name, &e))?;
        let mut refused = None;
        let mut addresses = Vec::new();
        for ip in found.iter() {
            match self.guard.check(ip) {
                Ok(()) if addresses.len() < ADDRESSES_MAX => addresses.push(SocketAddr::new(ip, port)),
                Ok(()) => {}
                Err(blocked) => refused = Some(blocked),
            }
        }
        match (addresses.is_empty(), refused) {
            (false, _) => Ok(addresses),
            (true, Some(blocked)) => Err(not_allowed(blocked)),
            (true, None) => Err(Failure::new(FailureReason::NameNotFound, format!("{name} has no address"))),
        }
    }

    async fn secure(&self, tcp: TcpStream, name: ServerName<'static>) -> Result<Stream, Failure> {
        let tls = self.tls.as_ref().ok_or_else(|| {
            Failure::new(
                FailureReason::CertificateUnknownIssuer,
                "this server's machine has no trusted certificate authorities: install the package ca-certificates",
            )
        })?;
        let stream = tls.connect(name, tcp).await.map_err(|error| tls_failure(&error))?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// One resolver for all: it remembers answers as long as they are good, and knows `/etc/hosts`.
fn resolver() -> Result<TokioResolver, ClientError> {
    let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|error| {
        tracing::warn!(%error, "no name servers are configured: only the names in the hosts file will be found");
        without_name_servers()
    });
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = NAMES_REMEMBERED;
    builder.build().map_err(|error| ClientError::Resolver(error.to_string()))
}

fn without_name_servers() -> ResolverBuilder<TokioRuntimeProvider> {
    let nobody = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
    TokioResolver::builder_with_config(nobody, TokioRuntimeProvider::default())
}

/// Trusts what the machine trusts, and `extra_roots`.
fn tls(extra_roots: Vec<CertificateDer<'static>>) -> Result<Option<TlsConnector>, ClientError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let no_extra_roots = extra_roots.is_empty();
    let verifier = match Verifier::new_with_extra_roots(extra_roots, Arc::clone(&provider)) {
        Ok(verifier) => verifier,
        Err(error) if no_extra_roots => {
            tracing::warn!(%error, "https endpoints cannot be reached: install the package ca-certificates");
            return Ok(None);
        }
        Err(error) => return Err(ClientError::ExtraRoot(error)),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Tls)?
        // The method's name warns of verifiers that verify nothing; this one does what the platform does.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS_REMEMBERED);
    Ok(Some(TlsConnector::from(Arc::new(config))))
}

/// Connects to the first address that answers. Each one has a head start on the next, so that a dead one costs little.
async fn connect_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter().copied();
    let mut trying = FuturesUnordered::new();
    let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let next = waiting.next();
        let more = next.is_some();
        trying.extend(next.map(TcpStream::connect));
        let head_start = tokio::time::sleep(HEAD_START);
        tokio::select! {
            biased;
            tried = trying.next() => match tried {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => last_error = error,
                None => return Err(last_error),
            },
            () = head_start, if more => {}
        }
    }
}

fn lookup_failure(name: &str, error: &NetError) -> Failure {
    match error {
        e if e.is_no_records_found() => Failure::new(FailureReason::NameNotFound, format!("{name} has no address")),
        NetError::Timeout => {
            Failure::new(FailureReason::ConnectTimeout, format!("the name servers did not answer about {name}"))
        }
        e => Failure::new(FailureReason::NameNotFound, format!("looking up {name}: {e}")),
    }
}

fn connect_failure(error: &io::Error) -> Failure {
    let reason = match error.kind() {
        io::ErrorKind::TimedOut => FailureReason::ConnectTimeout,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => FailureReason::ConnectionLost,
        // Refused, or no way there at all.
        _ => FailureReason::ConnectionRefused,
    };
    Failure::new(reason, format!("connecting: {error}"))
}

fn tls_failure(error: &io::Error) -> Failure {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return Failure::new(FailureReason::ConnectionLost, format!("while agreeing on TLS: {error}"));
    };
    let (reason, hint) = match tls {
        rustls::Error::InvalidCertificate(fault) => certificate_failure(fault),
        rustls::Error::InvalidMessage(_) => (FailureReason::Tls, " (does the receiver speak TLS at this port?)"),
        _ => (FailureReason::Tls, ""),
    };
    Failure::new(reason, format!("{tls}{hint}"))
}

fn certificate_failure(fault: &CertificateError) -> (FailureReason, &'static str) {
    use CertificateError as C;
    match fault {
        C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. } => {
            (FailureReason::CertificateExpired, "")
        }
        C::NotValidForName | C::NotValidForNameContext { .. } => (FailureReason::CertificateWrongName, ""),
        // A bad signature is what an issuer of the same name but with another key makes: a private authority that was
        // made anew.
        C::UnknownIssuer | C::BadSignature => (FailureReason::CertificateUnknownIssuer, ""),
        C::Other(other) if is_self_signed(other) => {
            (FailureReason::CertificateUnknownIssuer, " (it is self-signed and made as an authority's)")
        }
        _ => (FailureReason::Tls, ""),
    }
}

/// What the usual commands for a self-signed certificate make is an authority's certificate in a receiver's hand.
fn is_self_signed(fault: &OtherError) -> bool {
    matches!(fault.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// The bytes below HTTP.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_write(cx, data),
            Self::Tls(s) => Pin::new(s).poll_write(cx, data),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_flush(cx),
            Self::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_write_vectored(cx, pieces),
            Self::Tls(s) => Pin::new(s).poll_write_vectored(cx, pieces),
        }
    }
    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(s) => s.is_write_vectored(),
            Self::Tls(s) => s.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::Hosts;
    use tokio::net::TcpListener;

    fn connector(allow: &str, hosts: &str) -> Connector {
        let mut resolver = without_name_servers().build().unwrap();
        let mut known = Hosts::default();
        known.read_hosts_conf(hosts.as_bytes()).unwrap();
        resolver.set_hosts(Arc::new(known));
        Connector { guard: Arc::new(Guard::new(vec![allow.parse().unwrap()])), resolver, tls: None }
    }

    async fn addresses(connector: &Connector, name: &str) -> Result<Vec<String>, FailureReason> {
        let found = connector.addresses(&HostName::Name(name.into()), 80).await;
        found.map(|found| found.iter().map(ToString::to_string).collect()).map_err(|f| f.reason)
    }

    #[tokio::test]
    async fn only_the_addresses_of_a_name_that_passed_are_used() {
        let hosts = "127.0.0.1 mixed.test\n10.0.0.1 mixed.test inside.test\n8.8.8.8 public.test\n";
        let c = connector("127.0.0.0/8", hosts);
        assert_eq!(addresses(&c, "mixed.test").await, Ok(vec!["127.0.0.1:80".into()]));
        assert_eq!(addresses(&c, "public.test").await, Ok(vec!["8.8.8.8:80".into()]));
        assert_eq!(addresses(&c, "inside.test").await, Err(FailureReason::AddressNotAllowed));
    }

    #[tokio::test]
    async fn names_that_do_not_exist_are_not_found() {
        let c = connector("127.0.0.0/8", "");
        for name in ["nowhere.invalid.", "unknown.test.", "bad..name", &"x".repeat(300)] {
            assert_eq!(addresses(&c, name).await, Err(FailureReason::NameNotFound), "{name}");
        }
    }

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Bound, so that nobody else gets it, and not listening.
        let quiet = tokio::net::TcpSocket::new_v4().unwrap();
        quiet.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let closed = quiet.local_addr().unwrap();
        let open = listener.local_addr().unwrap();
        assert_eq!(connect_any(&[closed, closed, open]).await.unwrap().peer_addr().unwrap(), open);
        assert_eq!(connect_any(&[closed, closed]).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert!(connect_any(&[]).await.is_err());
    }
}
