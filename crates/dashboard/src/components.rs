//! The parts that pages are made of, on one page: for whoever adds to them.

use crate::{
    page::{Frame, Page, show as render},
    session::Visitor,
    words::{Mark, When},
};
use askama::Template;
use std::time::Duration;

#[derive(Template)]
#[template(path = "components.html")]
struct ComponentsPage {
    frame: Frame,
    marks: [(Mark, &'static str); 6],
    colours: [&'static str; 18],
    soon: When,
    past: When,
}

pub(crate) async fn show(visitor: Visitor) -> Page {
    let now = visitor.now();
    render(&ComponentsPage {
        frame: Frame::new(&visitor, "Components"),
        marks: [
            (Mark::Delivered, "Delivered"),
            (Mark::Waiting, "Waiting"),
            (Mark::Failing, "Failing"),
            (Mark::Failed, "Failed"),
            (Mark::Changed, "Changed"),
            (Mark::Off, "Switched off"),
        ],
        colours: [
            "paper",
            "sheet",
            "line",
            "ink",
            "quiet",
            "accent",
            "on-accent",
            "tint",
            "green",
            "blue",
            "amber",
            "red",
            "grey",
            "green-bg",
            "blue-bg",
            "amber-bg",
            "red-bg",
            "grey-bg",
        ],
        soon: When::new(now.plus(Duration::from_secs(250)), now),
        past: When::new(now.minus(Duration::from_secs(7_300)), now),
    })
}
