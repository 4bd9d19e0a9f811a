//! Canvas's tools of an application: keys for vendors, installed tools, invitations to register. A secret is shown once, on
//! the page that follows its making.

use crate::{
    applications::ConfirmPage,
    form::Form,
    page::{Answer, Frame, Page, Room, app_path, go, in_words, is_about_input, show},
    session::Visitor,
    words::{Mark, When, count},
};
use askama::Template;
use axum::{extract::Path, response::IntoResponse};
use domain::lti::{RootAccount, ToolState};
use http::{HeaderValue, header};
use service::{
    AppScope, Patch, ServiceError,
    lti::{AccountChange, DeveloperKeyChange, DeveloperKeyInput, RegistrationInput, ToolChange, ToolInput},
};

struct KeyRow {
    id: String,
    name: String,
    active: bool,
    mark: Mark,
    created: When,
}

struct ToolRow {
    guid: String,
    name: String,
    active: bool,
    mark: Mark,
    subscriptions: String,
    created: When,
}

struct InvitationRow {
    key: String,
    expires: When,
}

/// Something that is shown once.
#[derive(Default)]
struct Fresh {
    title: String,
    /// Names and values, each to be copied.
    values: Vec<(&'static str, String)>,
    /// Where a browser sends them, if they are a form.
    action: String,
}

#[derive(Template)]
#[template(path = "tools.html")]
struct ToolsPage {
    frame: Frame,
    path: String,
    account: RootAccount,
    platform_url: String,
    keys: Vec<KeyRow>,
    tools: Vec<ToolRow>,
    invitations: Vec<InvitationRow>,
    fresh: Option<Fresh>,
    problem: String,
}

async fn page(
    visitor: &Visitor,
    scope: &AppScope,
    fresh: Option<Fresh>,
    problem: String,
) -> Result<ToolsPage, ServiceError> {
    let (service, now) = (visitor.service(), visitor.now());
    let account = service.root_account(scope).await?;
    let mark = |active| if active { Mark::Delivered } else { Mark::Off };
    let keys = service.developer_keys(scope).await?.into_iter().map(|k| KeyRow {
        id: k.id.to_string(),
        name: k.name,
        active: k.active,
        mark: mark(k.active),
        created: When::new(k.created_at, now),
    });
    let mut tools = Vec::new();
    for tool in service.tools(scope).await? {
        let active = tool.state == ToolState::Active;
        tools.push(ToolRow {
            subscriptions: count(service.subscriptions_of(scope, &tool).await?, "subscription"),
            guid: tool.guid.to_string(),
            name: if tool.name.is_empty() { "Without a name".to_owned() } else { tool.name },
            active,
            mark: mark(active),
            created: When::new(tool.created_at, now),
        });
    }
    let open = service.registrations(scope).await?.into_iter();
    let invitations = open.map(|r| InvitationRow { key: r.key.to_string(), expires: When::new(r.expires_at, now) });
    Ok(ToolsPage {
        frame: Frame::of(visitor, scope.application(), Room::Tools, "Tools"),
        path: path(scope),
        platform_url: account.platform_url.clone().unwrap_or_default(),
        account,
        keys: keys.collect(),
        tools,
        invitations: invitations.collect(),
        fresh,
        problem,
    })
}

fn path(scope: &AppScope) -> String {
    format!("{}/tools", app_path(scope.application()))
}

/// The page with what is shown once, or with what was wrong.
async fn after(visitor: &Visitor, scope: &AppScope, made: Result<Fresh, ServiceError>) -> Answer {
    let (fresh, problem) = match made {
        Ok(fresh) => (Some(fresh), String::new()),
        Err(e) if is_about_input(&e) => (None, in_words(&e)),
        Err(e) => return Err(e.into()),
    };
    Ok(show(&page(visitor, scope, fresh, problem).await?)?.into_response())
}

async fn scope_of(visitor: &Visitor, app: &str) -> Result<AppScope, ServiceError> {
    visitor.service().open_managed(&visitor.actor, app).await
}

pub(crate) async fn list(visitor: Visitor, Path(app): Path<String>) -> Page {
    let scope = scope_of(&visitor, &app).await?;
    show(&page(&visitor, &scope, None, String::new()).await?)
}

pub(crate) async fn save_account(visitor: Visitor, Path(app): Path<String>, Form(form): Form) -> Answer {
    let scope = scope_of(&visitor, &app).await?;
    let change = AccountChange {
        uuid: form.some("uuid"),
        id: form.some("id"),
        guid: form.some("guid"),
        platform_url: Patch::replace(form.some("platform_url")),
    };
    match visitor.service().change_root_account(&scope, change).await {
        Ok(_) => {
            visitor.say("The account's ids were saved.");
            Ok(go(&path(&scope)))
        }
        Err(e) => after(&visitor, &scope, Err(e)).await,
    }
}

pub(crate) async fn create_key(visitor: Visitor, Path(app): Path<String>, Form(form): Form) -> Answer {
    let scope = scope_of(&visitor, &app).await?;
    let input = DeveloperKeyInput { name: form.get("name").to_owned(), capabilities: None };
    let made = visitor.service().create_developer_key(&scope, input).await.map(|key| Fresh {
        title: format!("The developer key of {}", key.name),
        values: vec![("Id", key.id.to_string()), ("Secret", key.secret.expose().to_owned())],
        ..Fresh::default()
    });
    after(&visitor, &scope, made).await
}

pub(crate) async fn switch_key(visitor: Visitor, Path((app, id)): Path<(String, String)>, Form(form): Form) -> Answer {
    let scope = scope_of(&visitor, &app).await?;
    let active = form.get("to") == "on";
    let change = DeveloperKeyChange { active: Some(active), ..DeveloperKeyChange::default() };
    let key = visitor.service().change_developer_key(&scope, &id, change).await?;
    visitor.say(format!("The key of {} is {}.", key.name, if active { "active" } else { "switched off" }));
    Ok(go(&path(&scope)))
}

pub(crate) async fn confirm_delete_key(visitor: Visitor, Path((app, id)): Path<(String, String)>) -> Page {
    let scope = scope_of(&visitor, &app).await?;
    let key = visitor.service().developer_key(&scope, &id).await?;
    show(&ConfirmPage {
        frame: Frame::of(&visitor, scope.application(), Room::Tools, format!("Remove the key of {}?", key.name)),
        text: vec!["Its tools get no tokens any more. Their subscriptions stay, and go on delivering.".to_owned()],
        action: format!("{}/keys/{id}/delete", path(&scope)),
        button: "Remove key".to_owned(),
        back: path(&scope),
        dangerous: true,
    })
}

pub(crate) async fn delete_key(visitor: Visitor, Path((app, id)): Path<(String, String)>) -> Answer {
    let scope = scope_of(&visitor, &app).await?;
    visitor.service().delete_developer_key(&scope, &id).await?;
    visitor.say("The key was removed.");
    Ok(go(&path(&scope)))
}

pub(crate) async fn create_tool(visitor: Visitor, Path(app): Path<String>, Form(form): Form) -> Answer {
    let scope = scope_of(&visitor, &app).await?;
    let input = ToolInput {
        name: form.get("name").to_owned(),
        developer_key: form.get("key").to_owned(),
        capabilities: None,
        services: None,
        event_url: form.some("event_url"),
    };
    let made = visitor.service().create_tool(&scope, input).await.map(|tool| Fresh {
        title: format!("The tool {}", tool.name),
        values: vec![("Guid", tool.guid.to_string()), ("Shared secret", tool.secret.expose().to_owned())],
        ..Fresh::default()
    });
    after(&visitor, &scope, made).await
}

pub(crate) async fn switch_tool(
    visitor: Visitor,
    Path((app, guid)): Path<(String, String)>,
    Form(form): Form,
) -> Answer {
    let scope = scope_of(&visitor, &app).await?;
    let state = if form.get("to") == "on" { ToolState::Active } else { ToolState::Disabled };
    let change = ToolChange { state: Some(state), ..ToolChange::default() };
    let tool = visitor.service().change_tool(&scope, &guid, change).await?;
    visitor.say(format!("{} is {}.", tool.name, tool.state.name()));
    Ok(go(&path(&scope)))
}

pub(crate) async fn confirm_delete_tool(visitor: Visitor, Path((app, guid)): Path<(String, String)>) -> Page {
    let scope = scope_of(&visitor, &app).await?;
    let tool = visitor.service().tool(&scope, &guid).await?;
    let subscriptions = visitor.service().subscriptions_of(&scope, &tool).await?;
    show(&ConfirmPage {
        frame: Frame::of(&visitor, scope.application(), Room::Tools, format!("Remove {}?", tool.name)),
        text: vec![
            format!("It gets no tokens any more, and its {} will be gone.", count(subscriptions, "subscription")),
            "What waits to be delivered to it is not sent any more. This cannot be undone.".to_owned(),
        ],
        action: format!("{}/installed/{guid}/delete", path(&scope)),
        button: "Remove tool".to_owned(),
        back: path(&scope),
        dangerous: true,
    })
}

pub(crate) async fn delete_tool(visitor: Visitor, Path((app, guid)): Path<(String, String)>) -> Answer {
    let scope = scope_of(&visitor, &app).await?;
    visitor.service().delete_tool(&scope, &guid).await?;
    visitor.say("The tool and its subscriptions were removed.");
    Ok(go(&path(&scope)))
}

pub(crate) async fn invite(visitor: Visitor, Path(app): Path<String>, Form(form): Form) -> Answer {
    let scope = scope_of(&visitor, &app).await?;
    let to = form.get("registration_url").to_owned();
    let made =
        match origin_of(&to) {
            Some(_) => visitor.service().invite_tool(&scope, RegistrationInput::default()).await.map(|invitation| {
                Fresh { title: "An invitation to register".to_owned(), values: invitation.form, action: to.clone() }
            }),
            None => Err(ServiceError::invalid(
                &["body", "registration_url"],
                "The registration address must begin with https:// or http://.",
            )),
        };
    let mut response = after(&visitor, &scope, made).await?;
    // The form of this one page goes to the tool.
    if let Some(policy) =
        origin_of(&to).and_then(|origin| HeaderValue::from_str(&crate::door::policy_for(&origin)).ok())
    {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

/// `https://tool.example`: scheme, host and port of an address, if it has only characters that a header may hold.
fn origin_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://").filter(|(s, _)| matches!(*s, "http" | "https"))?;
    let host = rest.split(['/', '?', '#']).next()?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    (!host.is_empty() && host.bytes().all(fits)).then(|| format!("{scheme}://{host}"))
}

pub(crate) async fn withdraw(visitor: Visitor, Path((app, key)): Path<(String, String)>) -> Answer {
    let scope = scope_of(&visitor, &app).await?;
    visitor.service().withdraw_invitation(&scope, &key).await?;
    visitor.say("The invitation was revoked.");
    Ok(go(&path(&scope)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_goes_to_an_origin_and_to_nothing_that_ends_a_policy() {
        assert_eq!(origin_of("https://tool.example:8443/register?x"), Some("https://tool.example:8443".to_owned()));
        for odd in
            ["tool.example", "javascript://x", "https://", "https://a;script-src *", "https://a b", "https://u@h"]
        {
            assert_eq!(origin_of(odd), None, "{odd}");
        }
    }
}
