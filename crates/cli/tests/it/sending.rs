//! `send` and `listen` around a server.

use crate::process::{Home, api};
use serde_json::Value;

#[test]
fn an_event_goes_from_send_to_listen_and_verifies() {
    let home = Home::new();
    let token = home.says(&["token"]);
    let mut server = home.serve(&["--retry-schedule", "50ms,50ms"]);
    let address = server.address();
    let server_url = format!("http://{address}");
    api(address, &token, "POST", "/app/", r#"{"name":"a","uid":"school"}"#);

    let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    let mut good = home.start(&["listen", "--port", "0", "--secret", secret]);
    let endpoint = |listens: std::net::SocketAddr| format!(r#"{{"url":"http://{listens}/hook","secret":"{secret}"}}"#);
    api(address, &token, "POST", "/app/school/endpoint/", &endpoint(good.address()));

    let send = ["send", "school", "lesson.started", "--data", "-", "--channel", "room:1", "--server", &server_url];
    let output = home.run_with(&send, "{\"type\": \"lesson.started\", \"room\": 1}");
    assert!(output.status.success(), "{output:?}");
    let id = String::from_utf8(output.stdout).unwrap().trim_end().to_owned();
    assert!(id.starts_with("msg_"), "{id}");

    assert!(good.line_with("POST /hook").ends_with("lesson.started"));
    assert!(good.line().contains("signature verified"));
    assert!(good.line_with("webhook-id").ends_with(&id));
    assert!(good.line_with("\"room\": 1").starts_with("    "));
    let message: Value =
        serde_json::from_str(&api(address, &token, "GET", &format!("/app/school/msg/{id}/"), "")).unwrap();
    assert_eq!(message["channels"], serde_json::json!(["room:1"]));
}

#[test]
fn listen_says_why_a_signature_is_wrong_and_plays_a_broken_receiver() {
    let home = Home::new();
    let token = home.says(&["token"]);
    let mut server = home.serve(&["--retry-schedule", "50ms"]);
    let address = server.address();
    api(address, &token, "POST", "/app/", r#"{"name":"a","uid":"school"}"#);
    let other = "whsec_ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7";
    let mut broken = home.start(&["listen", "--port", "0", "--secret", other, "--status", "500"]);
    let url = format!(r#"{{"url":"http://{}/"}}"#, broken.address());
    api(address, &token, "POST", "/app/school/endpoint/", &url);
    home.write("event.json", r#"{"event":"lesson.ended"}"#);
    home.says(&["send", "school", "lesson.ended", "--data", "event.json", "--server", &format!("http://{address}")]);
    for _ in 0..2 {
        assert!(broken.line_with("POST /").ends_with("lesson.ended"));
        let judged = broken.line();
        assert!(judged.contains("SIGNATURE REFUSED: no signature in the header was made with this secret"), "{judged}");
        assert!(judged.ends_with("answered 500"), "{judged}");
    }
}

#[test]
fn a_refusal_is_told_in_the_servers_words() {
    let home = Home::new();
    let mut server = home.serve(&[]);
    let url = format!("http://{}", server.address());
    home.write("event.json", "{}");
    let output = home.run(&["send", "nobody", "x", "--data", "event.json", "--server", &url]);
    assert_eq!(output.status.code(), Some(1));
    let problem = String::from_utf8(output.stderr).unwrap();
    assert!(problem.contains("the server refused (404 Not Found): "), "{problem}");
    let output = home.run(&["send", "nobody", "x", "--data", "event.json", "--server", &url, "--token", "wrong"]);
    let problem = String::from_utf8(output.stderr).unwrap();
    assert!(problem.contains("the server refused (401 Unauthorized): "), "{problem}");
}
