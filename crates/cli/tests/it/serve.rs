//! The server as a process.

use crate::process::{Home, api, http};
use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    time::Duration,
};

#[test]
fn serve_says_where_it_listens_and_stops_when_asked() {
    for signal in ["TERM", "INT"] {
        let home = Home::new();
        let mut server = home.serve(&[]);
        let line = server.line();
        assert!(line.starts_with("Schoolbell listens on http://127.0.0.1:"), "{line}");
        server.signal(signal);
        let (status, log) = server.end();
        assert!(status.success(), "{status}: {log}");
        assert!(log.contains("stopping"), "{log}");
    }
}

#[test]
fn what_the_server_keeps_is_for_its_owner_only() {
    let home = Home::new();
    let mut server = home.serve(&[]);
    server.address();
    for name in ["schoolbell.db", "schoolbell.db.jwt-secret", "schoolbell.db.main-key"] {
        let mode = std::fs::metadata(home.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
}

#[test]
fn a_second_server_on_the_same_database_is_refused() {
    let home = Home::new();
    let mut first = home.serve(&[]);
    first.address();
    let second = home.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    let problem = String::from_utf8(second.stderr).unwrap();
    assert!(problem.contains("another Schoolbell process is using schoolbell.db"), "{problem}");
}

#[test]
fn a_taken_address_is_told() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = home.run(&["serve", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    let problem = String::from_utf8(output.stderr).unwrap();
    assert!(problem.contains(&format!("cannot listen on {address}")), "{problem}");
}

#[test]
fn a_database_whose_key_is_lost_is_refused_and_not_touched() {
    let home = Home::new();
    let mut server = home.serve(&[]);
    server.address();
    server.signal("TERM");
    server.end();
    std::fs::remove_file(home.path().join("schoolbell.db.main-key")).unwrap();
    let output = home.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(2));
    let problem = String::from_utf8(output.stderr).unwrap();
    assert!(problem.contains("put that file back from your backup, or set MAIN_KEY"), "{problem}");
    let other = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let output = home.run(&["serve", "--listen", "127.0.0.1:0", "--main-key", other]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("MAIN_KEY is not the key"));
}

#[test]
fn logs_are_json_lines_when_asked() {
    let home = Home::new();
    let mut server = home.serve(&["--log-format", "json"]);
    server.address();
    server.signal("TERM");
    let (_, log) = server.end();
    assert!(!log.trim().is_empty());
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
}

#[test]
fn health_metrics_and_the_document_are_there() {
    let home = Home::new();
    let mut server = home.serve(&[]);
    let address = server.address();
    for (path, want) in [
        ("/health", "HTTP/1.1 200"),
        ("/metrics", "schoolbell_accepted_total"),
        ("/api/v1/openapi.json", "\"openapi\""),
        ("/docs", "text/html"),
    ] {
        let answer = http(address, &format!("GET {path} HTTP/1.1"), "");
        assert!(answer.contains(want), "{path}: {answer}");
    }
}

#[test]
fn a_receiver_that_hangs_does_not_hold_up_the_stop_and_its_event_is_not_lost() {
    let home = Home::new();
    let token = home.says(&["token"]);
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", receiver.local_addr().unwrap());
    let mut server = home.serve(&["--request-timeout", "60s"]);
    let address = server.address();
    api(address, &token, "POST", "/app/", r#"{"name":"a","uid":"a"}"#);
    api(address, &token, "POST", "/app/a/endpoint/", &format!(r#"{{"url":"{url}"}}"#));
    api(address, &token, "POST", "/app/a/msg/", r#"{"eventType":"x","payload":{"n":1}}"#);
    // The request arrives and is never answered.
    let (mut hung, _) = receiver.accept().unwrap();
    hung.read_exact(&mut [0; 16]).unwrap();

    server.signal("TERM");
    // It is given half the time that the request has.
    let (status, log) = server.end();
    assert!(status.success(), "{log}");

    let mut again = home.serve(&[]);
    again.address();
    let (mut retry, _) = receiver.accept().unwrap();
    let mut beginning = [0; 4];
    retry.read_exact(&mut beginning).unwrap();
    assert_eq!(&beginning, b"POST");
    retry.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let home = Home::new();
    let token = home.says(&["token"]);
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", receiver.local_addr().unwrap());
    let mut server = home.serve(&[]);
    let address = server.address();
    api(address, &token, "POST", "/app/", r#"{"name":"a","uid":"a"}"#);
    api(address, &token, "POST", "/app/a/endpoint/", &format!(r#"{{"url":"{url}"}}"#));
    api(address, &token, "POST", "/app/a/msg/", r#"{"eventType":"x","payload":{"n":1}}"#);
    let _hung = receiver.accept().unwrap();
    server.signal("TERM");
    // Until the listener is gone the first signal may not have been heard.
    while std::net::TcpStream::connect(address).is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    // Those that come together with the first are the same request, as `timeout` sends them; a later one is another.
    for _ in 0..10 {
        server.signal("TERM");
        std::thread::sleep(Duration::from_millis(100));
    }
    let (status, _) = server.end();
    assert_eq!(status.code(), Some(130), "an orderly end would have been 0");
}
