//! The configuration of Open edX's webhook plugin: its two tables, as Django dumps them.
//!
//! Each row becomes an endpoint or a webfilter with a uid of its own, so that a second import changes instead of adding.

use super::{OpenedxArgs, Wire};
use crate::{
    client::{ApiClient, ClientError},
    commands::{Failure, say, send::segment},
    settings::Flags,
};
use bytes::Bytes;
use domain::{Encoding, Format};
use hyper::{Method, StatusCode};
use platforms::openedx::event_type_of_signal;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::Read as _;
use url::Url;

/// The largest file that is read: a site has a handful of rows.
const FILE_MAX: u64 = 64 << 20;
const WEBHOOK: &str = "openedx_webhooks.webhook";
const WEBFILTER: &str = "openedx_webhooks.webfilter";

/// An object of a dump; those of other models are passed over.
#[derive(Deserialize)]
struct Row {
    model: String,
    pk: i64,
    fields: Value,
}

/// What both tables have.
#[derive(Deserialize)]
struct Common {
    #[serde(default)]
    description: Option<String>,
    event: String,
    webhook_url: String,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    use_www_form_encoding: bool,
}

/// What only webfilters have.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Switches {
    disable_filtering: bool,
    disable_halt: bool,
    halt_on_4xx: bool,
    halt_on_5xx: bool,
    halt_on_request_exception: bool,
    redirect_on_4xx: Option<String>,
    redirect_on_5xx: Option<String>,
    redirect_on_request_exception: Option<String>,
}

fn yes() -> bool {
    true
}

/// Something to make.
#[derive(Debug, PartialEq)]
struct Plan {
    /// For people: `webhook 3`.
    what: String,
    /// Where it goes, below the application.
    path: String,
    /// What is put there.
    body: Value,
}

/// Makes what the file says; what cannot be made is told, and the rest is made all the same.
pub(super) async fn run(args: OpenedxArgs, flags: &Flags) -> Result<(), Failure> {
    let plans = read(&args)?;
    if args.dry_run {
        for plan in plans {
            match plan {
                Ok(plan) => say(format_args!("{}: {}", plan.what, shown(&plan.body))),
                Err(problem) => eprintln!("{problem}"),
            }
        }
        return Ok(());
    }
    let client = args.server.client(flags)?;
    let app = format!("/app/{}/", segment(&args.app));
    must_be_a_site(&client, &app, &args.app).await?;
    let (mut made, mut failed) = (0, 0);
    for plan in plans {
        match plan {
            Err(problem) => {
                eprintln!("{problem}");
                failed += 1;
            }
            Ok(plan) => match put(&client, &app, &plan).await {
                Ok(left_out) => {
                    say(format_args!("{}: {}{left_out}", plan.what, shown(&plan.body)));
                    made += 1;
                }
                // Without a server there is nothing to go on with.
                Err(e @ (ClientError::Unreachable { .. } | ClientError::Broken { .. })) => {
                    return Err(Failure::other(e));
                }
                Err(e) => {
                    eprintln!("{}: {e}", plan.what);
                    failed += 1;
                }
            },
        }
    }
    eprintln!("imported {made}, failed {failed}");
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Other(format!("{failed} could not be imported; correct them and import again"))),
    }
}

fn read(args: &OpenedxArgs) -> Result<Vec<Result<Plan, String>>, Failure> {
    let cannot = |e: &dyn std::fmt::Display| Failure::Usage(format!("{} cannot be read: {e}", args.file.display()));
    let mut text = String::new();
    let file: Box<dyn std::io::Read> = match args.file.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => Box::new(std::fs::File::open(&args.file).map_err(|e| cannot(&e))?),
    };
    file.take(FILE_MAX).read_to_string(&mut text).map_err(|e| cannot(&e))?;
    let rows: Vec<Row> = serde_json::from_str(&text).map_err(|e| {
        Failure::Usage(format!(
            "{} is no dump of Django ({e}): make one with `manage.py lms dumpdata openedx_webhooks`",
            args.file.display()
        ))
    })?;
    let mut plans: Vec<_> = rows
        .into_iter()
        .filter_map(|row| match row.model.as_str() {
            WEBHOOK => Some((0, row.pk, webhook(row, args.wire))),
            WEBFILTER => Some((1, row.pk, webfilter(row, args.wire))),
            _ => None,
        })
        .collect();
    // The plugin asks in the order of the keys.
    plans.sort_by_key(|(table, pk, _)| (*table, *pk));
    match plans.is_empty() {
        true => Err(Failure::Usage(format!("{} holds no webhooks and no webfilters", args.file.display()))),
        false => Ok(plans.into_iter().map(|(_, _, plan)| plan).collect()),
    }
}

fn encoding(common: &Common) -> &'static str {
    if common.use_www_form_encoding { Encoding::Form } else { Encoding::Json }.name()
}

fn webhook(row: Row, wire: Wire) -> Result<Plan, String> {
    let what = format!("webhook {}", row.pk);
    let common: Common = serde_json::from_value(row.fields).map_err(|e| format!("{what}: {e}"))?;
    let event_type = event_type_of_signal(&common.event)
        .ok_or_else(|| format!("{what}: there is no event {}; it was not imported", common.event))?;
    let format = match wire {
        Wire::V22 => Format::OpenedxV22,
        Wire::V21 => Format::OpenedxV21,
        Wire::V1 => Format::OpenedxV1,
    };
    let uid = format!("openedx-webhook-{}", row.pk);
    let body = json!({
        "uid": uid,
        "url": common.webhook_url,
        "description": common.description.as_deref().filter(|d| !d.is_empty()).unwrap_or(&common.event),
        "eventTypes": [event_type],
        "disabled": !common.enabled,
        "format": format.name(),
        "encoding": encoding(&common),
    });
    Ok(Plan { what, path: format!("endpoint/{uid}/"), body })
}

fn webfilter(row: Row, wire: Wire) -> Result<Plan, String> {
    let what = format!("webfilter {}", row.pk);
    let unread = |e| format!("{what}: {e}");
    let switches: Switches = serde_json::from_value(row.fields.clone()).map_err(unread)?;
    let common: Common = serde_json::from_value(row.fields).map_err(unread)?;
    let uid = format!("openedx-webfilter-{}", row.pk);
    let redirect = |url: Option<String>| url.filter(|u| !u.is_empty());
    let body = json!({
        "uid": uid,
        "filter": common.event,
        "url": common.webhook_url,
        "description": common.description.clone().unwrap_or_default(),
        "enabled": common.enabled,
        "encoding": encoding(&common),
        "wireVersion": if wire == Wire::V22 { "v22" } else { "v21" },
        "disableFiltering": switches.disable_filtering,
        "disableHalting": switches.disable_halt,
        "haltOn4xx": switches.halt_on_4xx,
        "haltOn5xx": switches.halt_on_5xx,
        "haltOnRequestException": switches.halt_on_request_exception,
        "redirectOn4xx": redirect(switches.redirect_on_4xx),
        "redirectOn5xx": redirect(switches.redirect_on_5xx),
        "redirectOnRequestException": redirect(switches.redirect_on_request_exception),
    });
    Ok(Plan { what, path: format!("webfilter/{uid}/"), body })
}

/// Puts it there; tells what was left out because it never had an effect.
async fn put(client: &ApiClient, app: &str, plan: &Plan) -> Result<String, ClientError> {
    let mut body = plan.body.clone();
    let mut left_out = String::new();
    if let Some(filter) = body["filter"].as_str() {
        let path = format!("{app}webfilter/filter/{}/", segment(filter));
        let filter = client.call(Method::GET, &path, None).await?;
        left_out = without_effect(&mut body, filter["haltException"].is_string(), filter["canRedirect"] == true);
    }
    let path = format!("{app}{}", plan.path);
    client.call(Method::PUT, &path, Some(Bytes::from(body.to_string()))).await?;
    Ok(left_out)
}

/// Takes out what the plugin lets one set for every filter, and ignores for some: halts and redirects.
fn without_effect(body: &mut Value, can_halt: bool, can_redirect: bool) -> String {
    let mut left_out = Vec::new();
    for why in ["4xx", "5xx", "RequestException"] {
        let (halt, redirect) = (format!("haltOn{why}"), format!("redirectOn{why}"));
        if !can_halt && body[&halt] == true {
            body[&halt] = json!(false);
            left_out.push(halt);
        }
        if !body[&redirect].is_null() && (!can_halt || !can_redirect) {
            body[&redirect] = Value::Null;
            left_out.push(redirect);
        }
    }
    match left_out.is_empty() {
        true => String::new(),
        false => format!(" (without {}, which this filter cannot do)", left_out.join(", ")),
    }
}

/// The application is there and is a site, or is made.
async fn must_be_a_site(client: &ApiClient, path: &str, name: &str) -> Result<(), Failure> {
    match client.call(Method::GET, path, None).await {
        Ok(app) if app["platform"] == "openedx" => Ok(()),
        Ok(_) => Err(Failure::Usage(format!(
            "the application {name} has another platform: import into a new one, or set its platform to openedx"
        ))),
        Err(ClientError::Refused { status: StatusCode::NOT_FOUND, .. }) if !name.starts_with("app_") => {
            let body = json!({ "name": name, "uid": name, "platform": "openedx" }).to_string();
            client.call(Method::POST, "/app/", Some(body.into())).await.map_err(Failure::other)?;
            say(format_args!("application {name}: made"));
            Ok(())
        }
        Err(e) => Err(Failure::other(e)),
    }
}

/// What it is for and where it goes, without a password that may stand in the address.
fn shown(body: &Value) -> String {
    let name = body["filter"].as_str().or_else(|| body["eventTypes"][0].as_str()).unwrap_or_default();
    let address = body["url"].as_str().and_then(|u| Url::parse(u).ok());
    let address = address.map(|mut url| {
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.to_string()
    });
    let off = if body["disabled"] == true || body["enabled"] == false { ", switched off" } else { "" };
    format!("{name} to {}{off}", address.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(model: &str, fields: Value) -> Row {
        Row { model: model.to_owned(), pk: 3, fields }
    }

    #[test]
    fn a_webhook_becomes_an_endpoint_for_one_event() {
        let fields = json!({"created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z",
            "event": "SESSION_LOGIN_COMPLETED", "webhook_url": "https://u:p@e.example/h?a=1", "enabled": false,
            "use_www_form_encoding": true});
        let plan = webhook(row(WEBHOOK, fields), Wire::V21).unwrap();
        assert_eq!((plan.path.as_str(), plan.what.as_str()), ("endpoint/openedx-webhook-3/", "webhook 3"));
        assert_eq!(
            plan.body,
            json!({"uid": "openedx-webhook-3", "url": "https://u:p@e.example/h?a=1", "disabled": true,
                "description": "SESSION_LOGIN_COMPLETED", "encoding": "form", "format": "openedx-v21",
                "eventTypes": ["org.openedx.learning.auth.session.login.completed.v1"]})
        );
        let shown = shown(&plan.body);
        assert!(shown.ends_with("to https://e.example/h?a=1, switched off"), "{shown}");
        let unknown = json!({"event": "NO_SUCH", "webhook_url": "https://e.example"});
        assert!(webhook(row(WEBHOOK, unknown), Wire::V22).unwrap_err().contains("NO_SUCH"));
    }

    #[test]
    fn a_webfilter_keeps_its_switches_but_those_that_never_had_an_effect() {
        let fields = json!({"event": "IDVPageURLRequested", "webhook_url": "https://e.example", "description": "d",
            "disable_halt": true, "halt_on_4xx": true, "redirect_on_4xx": "https://e.example/no", "redirect_on_5xx": ""});
        let plan = webfilter(row(WEBFILTER, fields), Wire::V22).unwrap();
        assert_eq!((&plan.body["enabled"], &plan.body["disableHalting"]), (&json!(true), &json!(true)));
        assert_eq!(plan.body["redirectOn4xx"], "https://e.example/no");
        assert_eq!(plan.body["redirectOn5xx"], Value::Null);
        let mut can = plan.body.clone();
        assert_eq!(without_effect(&mut can, true, true), "");
        assert_eq!(can, plan.body);
        let mut cannot = plan.body.clone();
        assert!(without_effect(&mut cannot, false, false).contains("haltOn4xx, redirectOn4xx"));
        assert_eq!((&cannot["haltOn4xx"], &cannot["redirectOn4xx"]), (&json!(false), &Value::Null));
    }
}
