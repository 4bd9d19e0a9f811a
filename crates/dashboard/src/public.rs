//! The public event catalogue of an application: for people without a sign-in, if the application says so.

use crate::{
    Dashboard,
    events::{Field, fields_of, personal, text_of},
    page::{Frame, Page, show as render},
};
use askama::Template;
use axum::extract::{Path, State};
use std::sync::Arc;

/// An event type as anybody sees it.
struct Shown {
    name: String,
    description: String,
    deprecated: bool,
    fields: Vec<Field>,
    example: String,
    personal: Vec<(&'static str, Vec<String>)>,
}

/// A family of them.
struct Family {
    name: String,
    types: Vec<Shown>,
}

#[derive(Template)]
#[template(path = "catalogue.html")]
struct CataloguePage {
    frame: Frame,
    name: String,
    total: usize,
    families: Vec<Family>,
}

pub(crate) async fn catalogue(State(dashboard): State<Arc<Dashboard>>, Path(id): Path<String>) -> Page {
    let (app, types) = dashboard.service.public_catalogue(&id).await?;
    let mut families: Vec<Family> = Vec::new();
    for t in &types {
        let first = t.name.as_str().split('.').next().unwrap_or_default();
        let family = t.group_name.as_deref().unwrap_or(first);
        let shown = Shown {
            name: t.name.to_string(),
            description: t.description.clone(),
            deprecated: t.deprecated,
            fields: fields_of(t),
            example: text_of(t.example(0)),
            personal: personal(t),
        };
        match families.iter_mut().find(|f| f.name == family) {
            Some(known) => known.types.push(shown),
            None => families.push(Family { name: family.to_owned(), types: vec![shown] }),
        }
    }
    let title = format!("Events of {}", app.name);
    render(&CataloguePage { frame: Frame::outside(&title), name: app.name, total: types.len(), families })
}
