//! `schoolbell send`: publishes one event to a running server.

use super::{Failure, say};
use crate::{
    client::ApiClient,
    clock::SystemClock,
    secrets,
    settings::{Flags, Hidden, Settings},
};
use bytes::Bytes;
use clap::Args;
use domain::{Clock as _, OrganizationId};
use hyper::Method;
use serde_json::value::RawValue;
use service::Tokens;
use std::{io::Read as _, path::PathBuf};

/// What to publish, and where.
#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    /// Id or uid of the application
    app: String,
    /// What happened, such as submission.created
    event_type: String,
    /// File with the payload, a JSON object; - reads standard input
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Your own id of the event: the same one is accepted once only
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
    /// Label that endpoints can select; may be given several times
    #[arg(long = "channel", value_name = "CHANNEL")]
    channels: Vec<String>,
    #[command(flatten)]
    server: Server,
}

/// A running server.
#[derive(Args, Debug)]
pub(crate) struct Server {
    /// Address of the server [default: PUBLIC_URL or LISTEN of the settings]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// API token [default: one made with the secret beside the database]
    #[arg(long, value_name = "TOKEN", env = "SCHOOLBELL_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Server {
    /// A client for it.
    pub(crate) fn client(self, flags: &Flags) -> Result<ApiClient, Failure> {
        let settings = Settings::load(flags)?;
        let server = self.server.unwrap_or_else(|| settings.address_for_others(settings.listen));
        let token = match self.token {
            Some(token) => Hidden::new(token),
            None => local_token(&settings)?,
        };
        ApiClient::new(&server, token).map_err(|e| Failure::Usage(e.to_string()))
    }
}

/// Publishes the event and prints the message's id.
pub(crate) async fn run(args: SendArgs, flags: &Flags) -> Result<(), Failure> {
    let payload = read_payload(&args.data)?;
    let client = args.server.client(flags)?;

    let message = serde_json::json!({ "eventType": args.event_type, "eventId": args.event_id });
    let body = with_payload(message, &args.channels, &payload);
    let path = format!("/app/{}/msg/", segment(&args.app));
    let answer = client.call(Method::POST, &path, Some(body)).await.map_err(Failure::other)?;
    let id = answer["id"].as_str().ok_or_else(|| Failure::other("the server's answer holds no message id"))?;
    say(id);
    Ok(())
}

fn read_payload(path: &PathBuf) -> Result<Box<RawValue>, Failure> {
    let mut text = String::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut text).map(|_| ()),
        false => std::fs::read_to_string(path).map(|read| text = read),
    };
    read.map_err(|e| Failure::Usage(format!("--data: {} cannot be read: {e}", path.display())))?;
    let payload: Box<RawValue> = serde_json::from_str(&text)
        .map_err(|e| Failure::Usage(format!("--data: {} is not JSON: {e}", path.display())))?;
    match payload.get().starts_with('{') {
        true => Ok(payload),
        false => Err(Failure::Usage(format!("--data: {} has to hold a JSON object", path.display()))),
    }
}

/// The body of the call. The payload goes in as the text it is: it is delivered byte for byte.
fn with_payload(mut message: serde_json::Value, channels: &[String], payload: &RawValue) -> Bytes {
    if !channels.is_empty() {
        message["channels"] = channels.into();
    }
    let head = message.to_string();
    // The object without its last brace, then the payload.
    format!("{},\"payload\":{}}}", &head[..head.len() - 1], payload.get()).into()
}

fn local_token(settings: &Settings) -> Result<Hidden, Failure> {
    let organization: OrganizationId = OrganizationId::DEFAULT.parse().map_err(Failure::other)?;
    let secret = secrets::jwt_secret(settings)?;
    Ok(Hidden::new(Tokens::new(secret.expose()).for_organization(&organization, SystemClock.now())))
}

/// A text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_not_rewritten() {
        let payload: Box<RawValue> = serde_json::from_str("{ \"b\": 1.50, \"a\": 1e3 }").unwrap();
        let body = with_payload(serde_json::json!({ "eventType": "x" }), &["a".into()], &payload);
        let want = "{\"channels\":[\"a\"],\"eventType\":\"x\",\"payload\":{ \"b\": 1.50, \"a\": 1e3 }}";
        assert_eq!(body, want);
    }

    #[test]
    fn an_application_is_one_segment() {
        assert_eq!(segment("app_1"), "app_1");
        assert_eq!(segment("a/b c"), "a%2Fb%20c");
    }
}
