//! The client against receivers that behave and receivers that do not.

#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect is to stop right there")]

use bytes::Bytes;
use domain::{Endpoint, FailureReason as R, Outcome, Timestamp};
use http::{HeaderMap, HeaderValue};
use outbound::{Client, ClientOptions, Guard, OutgoingRequest, Sent, Target, VerifyingKey, verify};
use std::{sync::Arc, time::Duration};
use testkit::{
    Authority, Place, Receiver, Reply, Validity,
    build::{SECRET, endpoint},
};

const ID: &str = "msg_2mTcXJ0N4pQ7Vb9dKf3hLs8wYzA";
const BODY: &[u8] = br#"{"type":"track.started"}"#;
const NOW: Timestamp = Timestamp::from_micros(1_714_000_000_000_000);
/// For tests in which the deadline passes.
const SHORT: Duration = Duration::from_secs(1);

fn loopback() -> ClientOptions {
    let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
    ClientOptions::new(Arc::new(guard), "Schoolbell/test")
}

fn client() -> Client {
    Client::new(loopback()).unwrap()
}

fn impatient() -> Client {
    Client::new(ClientOptions { timeout: SHORT, ..loopback() }).unwrap()
}

fn request() -> OutgoingRequest<'static> {
    OutgoingRequest {
        id: ID,
        now: NOW,
        content_type: HeaderValue::from_static("application/json"),
        body: Bytes::from_static(BODY),
        extra_headers: HeaderMap::new(),
    }
}

async fn send_to(client: &Client, endpoint: &Endpoint) -> Sent {
    client.send(&Target::prepare(endpoint).unwrap(), request()).await
}

async fn send(client: &Client, url: &str) -> Outcome {
    send_to(client, &endpoint(url)).await.outcome
}

fn answered(status: u16, body: &str) -> Outcome {
    Outcome::Answered { status, body: Bytes::copy_from_slice(body.as_bytes()), retry_after: None }
}

/// Reason and status of a failure.
fn failed(outcome: &Outcome) -> (R, Option<u16>) {
    match outcome {
        Outcome::Failed { reason, status, detail } => {
            assert!(!detail.is_empty());
            (*reason, *status)
        }
        answered => panic!("{answered:?}"),
    }
}

#[tokio::test]
async fn a_request_arrives_whole_and_signed() {
    let receiver = Receiver::start().await.always(Reply::body(201, "thanks"));
    let sent = send_to(&client(), &endpoint(&receiver.url_at("127.0.0.1", "/hook?a=b#part"))).await;
    assert_eq!(sent.outcome, answered(201, "thanks"));
    assert!(sent.duration > Duration::ZERO);

    let got = &receiver.requests()[0];
    assert_eq!((got.method.as_str(), got.path.as_str(), got.body.as_ref()), ("POST", "/hook?a=b", BODY));
    assert_eq!(got.header("host"), receiver.address().to_string());
    assert_eq!(got.header("content-type"), "application/json");
    assert_eq!(got.header("user-agent"), "Schoolbell/test");
    assert_eq!(got.header("accept"), "*/*");
    assert_eq!(got.header("content-length"), BODY.len().to_string());
    let lines: Vec<_> = got.head.lines().collect();
    assert!(lines[1].starts_with("Host: ") && lines[2].starts_with("Svix-Id: "), "{}", got.head);

    let key: VerifyingKey = SECRET.parse().unwrap();
    let mut headers = got.headers.clone();
    assert_eq!(verify(&key, &headers, &got.body, NOW, Some(Duration::ZERO)), Ok(()));
    for part in ["svix-id", "svix-timestamp", "svix-signature"] {
        headers.remove(part);
    }
    assert_eq!(verify(&key, &headers, &got.body, NOW, Some(Duration::ZERO)), Ok(()));
}

#[tokio::test]
async fn an_empty_body_has_a_length_too() {
    let receiver = Receiver::start().await;
    let target = Target::prepare(&endpoint(&receiver.url())).unwrap();
    let sent = client().send(&target, OutgoingRequest { body: Bytes::new(), ..request() }).await;
    assert_eq!(sent.outcome, answered(200, ""));
    assert_eq!(receiver.requests()[0].header("content-length"), "0");
}

#[tokio::test]
async fn a_large_payload_arrives_unchanged() {
    let receiver = Receiver::start().await;
    let body: Bytes = (0..2_000_000_u32).map(|i| (i % 251) as u8).collect();
    let target = Target::prepare(&endpoint(&receiver.url())).unwrap();
    let sent = client().send(&target, OutgoingRequest { body: body.clone(), ..request() }).await;
    assert_eq!(sent.outcome, answered(200, ""));
    assert!(receiver.requests()[0].body == body);
}

#[tokio::test]
async fn every_status_is_an_answer_and_redirects_are_not_followed() {
    let elsewhere = Receiver::start().await;
    let receiver = Receiver::start().await.replying([
        Reply::from(204),
        Reply::from(500),
        Reply::body(404, "no"),
        Reply::redirect(&elsewhere.url()),
        Reply::from(304),
        Reply::from(799),
    ]);
    let (client, url) = (client(), receiver.url());
    for (status, body, reason) in [
        (204, "", None),
        (500, "", Some(R::ServerError)),
        (404, "no", Some(R::NotFound)),
        (302, "", Some(R::Redirect)),
        (304, "", Some(R::Redirect)),
        (799, "", Some(R::OddStatus)),
    ] {
        let outcome = send(&client, &url).await;
        assert_eq!((&outcome, outcome.reason()), (&answered(status, body), reason));
    }
    assert_eq!((receiver.connections(), elsewhere.connections()), (1, 0));
}

#[tokio::test]
async fn retry_after_is_passed_on() {
    let receiver = Receiver::start().await.replying([
        Reply::retry_after(503, "120"),
        Reply::retry_after(429, "Wed, 24 Apr 2024 23:07:40 GMT"),
        Reply::retry_after(503, "soon"),
    ]);
    let client = client();
    for want in [Some(120), Some(60), None] {
        match send(&client, &receiver.url()).await {
            Outcome::Answered { retry_after, .. } => assert_eq!(retry_after, want.map(Duration::from_secs)),
            failed => panic!("{failed:?}"),
        }
    }
}

#[tokio::test]
async fn connections_are_kept_and_shared_by_targets_of_one_origin() {
    let receiver = Receiver::start().await.always(Reply::body(200, "ok"));
    let client = client();
    for path in ["/a", "/b", "/a", "/c"] {
        assert!(send(&client, &receiver.url_at("127.0.0.1", path)).await.is_success());
    }
    assert_eq!(receiver.connections(), 1);
    assert!(send(&client, &receiver.url_at("localhost", "/a")).await.is_success());
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_client_that_keeps_nothing_connects_each_time() {
    let receiver = Receiver::start().await;
    let client = Client::new(ClientOptions { idle_per_origin: 0, ..loopback() }).unwrap();
    for _ in 0..3 {
        assert!(send(&client, &receiver.url()).await.is_success());
    }
    assert_eq!(receiver.connections(), 3);
}

#[tokio::test]
async fn idle_connections_are_closed_after_a_while() {
    let receiver = Receiver::start().await;
    let client = Client::new(ClientOptions { idle_timeout: Duration::from_millis(1), ..loopback() }).unwrap();
    assert!(send(&client, &receiver.url()).await.is_success());
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(send(&client, &receiver.url()).await.is_success());
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_does_not_count_as_a_failure() {
    // The receiver closes after each answer without having said so, at a moment that we cannot know.
    let receiver = Receiver::start().await.always(Reply::from(200).then_close());
    let client = client();
    for _ in 0..100 {
        assert_eq!(send(&client, &receiver.url()).await, answered(200, ""));
    }
    assert!(receiver.requests().len() >= 100);

    // It resets the kept connection when the request has come.
    let place = Place::take();
    let receiver = Receiver::start_on(&place).await.replying([Reply::from(200), Reply::Reset, Reply::from(201)]);
    assert_eq!(send(&client, &receiver.url()).await, answered(200, ""));
    assert_eq!(send(&client, &receiver.url()).await, answered(201, ""));
    assert_eq!(receiver.requests().iter().map(|r| r.connection).collect::<Vec<_>>(), [0, 0, 1]);

    // It restarts.
    receiver.stop().await;
    let receiver = Receiver::start_on(&place).await;
    assert_eq!(send(&client, &receiver.url()).await, answered(200, ""));
}

#[tokio::test]
async fn a_fresh_connection_that_breaks_is_a_failure_at_once() {
    let receiver = Receiver::start().await.replying([Reply::Close, Reply::Reset]);
    let client = client();
    for _ in 0..2 {
        assert_eq!(failed(&send(&client, &receiver.url()).await), (R::ConnectionLost, None));
    }
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test]
async fn an_answer_cut_off_in_its_body_is_lost_whatever_its_status_was() {
    let receiver = Receiver::start().await.replying([Reply::CloseInBody, Reply::ResetInBody]);
    let client = client();
    assert_eq!(failed(&send(&client, &receiver.url()).await), (R::ConnectionLost, Some(200)));
    // The reset may overtake the head.
    assert_eq!(failed(&send(&client, &receiver.url()).await).0, R::ConnectionLost);
}

#[tokio::test]
async fn the_deadline_covers_the_whole_attempt() {
    let client = impatient();
    for (reply, reason, status) in [
        (Reply::Hang, R::ResponseTimeout, None),
        (Reply::from(200).after(Duration::from_secs(60)), R::ResponseTimeout, None),
        (Reply::HangInBody, R::BodyTimeout, Some(200)),
        (Reply::Drip, R::BodyTimeout, Some(200)),
    ] {
        let receiver = Receiver::start().await.always(reply);
        let sent = send_to(&client, &endpoint(&receiver.url())).await;
        assert_eq!(failed(&sent.outcome), (reason, status));
        assert!(sent.duration >= SHORT && sent.duration < SHORT * 30, "{:?}", sent.duration);
    }
}

#[tokio::test]
async fn a_handshake_that_hangs_is_a_connect_timeout() {
    // Accepts (the system does) and never says a word.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    assert_eq!(failed(&send(&impatient(), &url).await), (R::ConnectTimeout, None));
}

#[tokio::test]
async fn a_flood_counts_by_its_status_and_is_not_read() {
    let receiver = Receiver::start().await.replying([Reply::Flood]);
    let client = client();
    match send(&client, &receiver.url()).await {
        Outcome::Answered { status: 200, body, .. } => assert_eq!(body, "x".repeat(20_000)),
        other => panic!("{other:?}"),
    }
    assert!(receiver.flooded() < 100_000_000);
    // That connection is of no use any more; the next request gets another.
    assert_eq!(send(&client, &receiver.url()).await, answered(200, ""));
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_decompression_bomb_is_defused() {
    let receiver = Receiver::start().await.always(Reply::gzip_bomb());
    match send(&client(), &receiver.url()).await {
        Outcome::Answered { status: 200, body, .. } => assert_eq!(body, "0".repeat(20_000)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_not_http_is_called_so() {
    let client = client();
    for reply in [
        Reply::garbage(),
        Reply::BigHead,
        Reply::ManyHeaders,
        Reply::Garbage("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n".into()),
        Reply::Garbage("220 mail.example ESMTP\r\n".into()),
    ] {
        let receiver = Receiver::start().await.always(reply.clone());
        assert_eq!(failed(&send(&client, &receiver.url()).await), (R::NotHttp, None), "{reply:?}");
    }
    let receiver = Receiver::start()
        .await
        .always(Reply::Garbage("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\n".into()));
    assert_eq!(failed(&send(&client, &receiver.url()).await), (R::NotHttp, Some(200)));
}

#[tokio::test]
async fn odd_but_harmless_answers_are_understood() {
    let client = client();
    for text in [
        "HTTP/1.1 200 OK\r\nbad header name: x\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-Space : x\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok",
        "HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nsome: trailer\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let receiver = Receiver::start().await.always(Reply::Garbage(text.into()));
        assert_eq!(send(&client, &receiver.url()).await, answered(200, "ok"), "{text}");
    }
}

#[tokio::test]
async fn addresses_that_are_not_allowed_are_not_connected_to() {
    let receiver = Receiver::start().await;
    let strict = Client::new(ClientOptions { guard: Arc::default(), ..loopback() }).unwrap();
    for host in ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]"] {
        let outcome = send(&strict, &receiver.url_at(host, "/")).await;
        assert_eq!(failed(&outcome), (R::AddressNotAllowed, None), "{host}");
        assert!(matches!(&outcome, Outcome::Failed { detail, .. } if detail.contains("loopback")), "{outcome:?}");
    }
    assert_eq!(receiver.connections(), 0);
    assert!(send(&client(), &receiver.url_at("localhost", "/")).await.is_success());
}

#[tokio::test]
async fn a_kept_connection_does_not_open_a_way_around_the_guard() {
    // Another origin with the same address has connections of its own, so it is checked on its own.
    let receiver = Receiver::start().await;
    let only_one = Guard::new(vec!["127.0.0.1/32".parse().unwrap()]);
    let client = Client::new(ClientOptions { guard: Arc::new(only_one), ..loopback() }).unwrap();
    assert!(send(&client, &receiver.url()).await.is_success());
    assert_eq!(failed(&send(&client, &receiver.url_at("127.0.0.2", "/")).await).0, R::AddressNotAllowed);
}

#[tokio::test]
async fn nobody_listening_is_a_refused_connection() {
    let receiver = Receiver::start().await;
    let url = receiver.url();
    receiver.stop().await;
    assert_eq!(failed(&send(&client(), &url).await), (R::ConnectionRefused, None));
}

#[tokio::test]
async fn details_hold_no_secrets() {
    let receiver = Receiver::start().await.always(Reply::garbage());
    for url in [receiver.url(), format!("http://127.0.0.1:{}/", 1)] {
        let url = url.replace("http://", "http://user:hunter2@");
        let outcome = send(&client(), &url).await;
        assert!(!format!("{outcome:?}").contains("hunter2"), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_id_that_cannot_be_sent_is_a_bad_request() {
    let receiver = Receiver::start().await;
    let target = Target::prepare(&endpoint(&receiver.url())).unwrap();
    let sent = client().send(&target, OutgoingRequest { id: "a\nb", ..request() }).await;
    assert_eq!(failed(&sent.outcome), (R::BadRequest, None));
}

fn trusting(authority: &Authority) -> Client {
    Client::new(ClientOptions { extra_roots: vec![authority.certificate()], ..loopback() }).unwrap()
}

#[tokio::test]
async fn tls_receivers_with_a_good_certificate_are_reached_over_kept_connections() {
    let authority = Authority::new();
    let client = trusting(&authority);
    let receiver = Receiver::start_tls(authority.issue(&["localhost", "127.0.0.1"], Validity::Current)).await;
    receiver.reply_always(Reply::body(200, "ok"));
    for host in ["localhost", "127.0.0.1", "localhost", "127.0.0.1"] {
        assert_eq!(send(&client, &receiver.url_at(host, "/")).await, answered(200, "ok"));
    }
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_bad_certificate_is_refused_by_its_fault() {
    let (authority, stranger, namesake) = (Authority::new(), Authority::named("stranger"), Authority::new());
    let client = trusting(&authority);
    for (identity, reason) in [
        (authority.issue(&["localhost"], Validity::Expired), R::CertificateExpired),
        (authority.issue(&["other.example"], Validity::Current), R::CertificateWrongName),
        (stranger.issue(&["localhost"], Validity::Current), R::CertificateUnknownIssuer),
        (namesake.issue(&["localhost"], Validity::Current), R::CertificateUnknownIssuer),
        (stranger.as_receiver(), R::CertificateUnknownIssuer),
    ] {
        let receiver = Receiver::start_tls(identity).await;
        assert_eq!(failed(&send(&client, &receiver.url_at("localhost", "/")).await), (reason, None));
        assert!(receiver.requests().is_empty());
    }
}

#[tokio::test]
async fn https_to_a_port_without_tls_and_http_to_one_with_it_are_told_apart() {
    let authority = Authority::new();
    let client = trusting(&authority);
    let plain = Receiver::start().await;
    let url = plain.url().replace("http:", "https:");
    // The receiver in the tests cannot read the handshake as a request and hangs on to it, so somebody else answers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url.replace(&plain.address().to_string(), &listener.local_addr().unwrap().to_string());
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut sink = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut sink).await;
    });
    assert_eq!(failed(&send(&client, &url).await), (R::Tls, None));

    let secure = Receiver::start_tls(authority.issue(&["localhost"], Validity::Current)).await;
    let url = secure.url_at("localhost", "/").replace("https:", "http:");
    assert_eq!(failed(&send(&client, &url).await), (R::NotHttp, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_over_tls_shake_hands_less_than_once_in_a_hundred() {
    let authority = Authority::new();
    let client = Arc::new(trusting(&authority));
    let receiver = Receiver::start_tls(authority.issue(&["localhost"], Validity::Current)).await;
    let target = Arc::new(Target::prepare(&endpoint(&receiver.url_at("localhost", "/"))).unwrap());
    let mut lanes = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (client, target) = (Arc::clone(&client), Arc::clone(&target));
        lanes.spawn(async move {
            for _ in 0..125 {
                assert!(client.send(&target, request()).await.outcome.is_success());
            }
        });
    }
    lanes.join_all().await;
    assert_eq!(receiver.requests().len(), 1_000);
    assert!(receiver.connections() < 10, "{}", receiver.connections());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_all_arrive_and_share_few_connections() {
    let receiver = Receiver::start().await;
    let (client, target) = (Arc::new(client()), Arc::new(Target::prepare(&endpoint(&receiver.url())).unwrap()));
    let mut lanes = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (client, target) = (Arc::clone(&client), Arc::clone(&target));
        lanes.spawn(async move {
            for _ in 0..250 {
                assert!(client.send(&target, request()).await.outcome.is_success());
            }
        });
    }
    lanes.join_all().await;
    assert_eq!(receiver.requests().len(), 2_000);
    assert!(receiver.connections() <= 8, "{}", receiver.connections());
}
