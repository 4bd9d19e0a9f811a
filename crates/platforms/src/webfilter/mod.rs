//! Filters as data: which ones a platform has, what may be changed in each and what may be raised; and what a webfilter is
//! sent ([`wire`]).
//!
//! A platform without a catalogue, and any name with a full stop, gets the open rules of [`FilterRules::own`].

#[cfg(test)]
mod tests;
pub mod wire;

use domain::{FilterName, webfilter::FilterRules};
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

/// The filters of a platform.
#[derive(Debug)]
pub struct Catalogue {
    rules: Vec<Arc<FilterRules>>,
    /// By each name that a filter goes by.
    names: HashMap<String, usize>,
}

/// Platforms that have filters, by name.
static CATALOGUES: LazyLock<[(&str, Catalogue); 1]> =
    LazyLock::new(|| [("openedx", Catalogue::read(include_str!("openedx.json")))]);

/// The filters of a platform, if it has any.
pub fn catalogue(platform: Option<&str>) -> Option<&'static Catalogue> {
    let platform = platform?;
    CATALOGUES.iter().find(|(name, _)| *name == platform).map(|(_, catalogue)| catalogue)
}

impl Catalogue {
    fn read(text: &str) -> Self {
        // A test reads every catalogue that comes with the program.
        #[allow(clippy::expect_used)]
        let rules: Vec<FilterRules> = serde_json::from_str(text).expect("the catalogue can be read");
        let mut names = HashMap::new();
        for (index, filter) in rules.iter().enumerate() {
            let others = filter.filter_type.iter().chain(&filter.stored_as).map(String::as_str);
            for name in others.chain([filter.name.as_str()]) {
                names.insert(name.to_owned(), index);
            }
        }
        Self { rules: rules.into_iter().map(Arc::new).collect(), names }
    }

    /// All of them.
    pub fn filters(&self) -> &[Arc<FilterRules>] {
        &self.rules
    }

    /// By its name, the platform's string for it, or the name that older plugins stored.
    pub fn find(&self, name: &str) -> Option<&Arc<FilterRules>> {
        self.names.get(name).and_then(|index| self.rules.get(*index))
    }
}

/// The rules of a filter, in words of a platform or made up. `None` for a name that the platform's catalogue should have,
/// but has not.
pub fn rules(platform: Option<&str>, name: &FilterName) -> Option<Arc<FilterRules>> {
    let own = || Arc::new(FilterRules::own(name.clone()));
    match catalogue(platform) {
        None => Some(own()),
        Some(catalogue) => match catalogue.find(name.as_str()) {
            Some(rules) => Some(rules.clone()),
            None => name.as_str().contains('.').then(own),
        },
    }
}
