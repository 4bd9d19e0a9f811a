//! What students handed in, read from the messages that are still stored.

use crate::{
    Service, Window,
    access::AppScope,
    actor::{Capability, Permission},
    error::ServiceError,
};
use domain::{Cursor, EventTypeName, Ksuid, MessageId, Timestamp};
use platforms::replit::{self, HandedIn};
use serde_json::Value;
use std::collections::BTreeSet;
use store::MessageFilter;

/// Messages read from the store at once.
const STEP: usize = 100;
/// Messages looked at for one page at most; a page may therefore be shorter than asked for and still not be the last.
const LOOK_AT: usize = 2_000;

/// Which submissions are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SubmissionsOf {
    /// Of this student.
    pub student: Option<i64>,
    /// For this assignment.
    pub assignment: Option<i64>,
}

impl SubmissionsOf {
    fn takes(&self, found: &HandedIn) -> bool {
        self.student.is_none_or(|id| id == found.student) && self.assignment.is_none_or(|id| id == found.assignment)
    }
}

/// What a student handed in.
#[derive(Clone, PartialEq, Debug)]
pub struct Submission {
    /// The message that said so.
    pub message: MessageId,
    /// When it was published.
    pub at: Timestamp,
    /// What receivers were sent of it, without the secret.
    pub delivered: Value,
}

/// A page of submissions, newest first.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SubmissionPage {
    /// The submissions.
    pub items: Vec<Submission>,
    /// Where to go on; absent at the end.
    pub next: Option<MessageId>,
}

impl Service {
    /// A page of what was handed in, newest first, as far as payloads are still stored.
    pub async fn submission_history(
        &self,
        scope: &AppScope,
        of: SubmissionsOf,
        limit: usize,
        after: Option<Ksuid>,
    ) -> Result<SubmissionPage, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        scope.must(Permission::SeePayloads)?;
        self.note_look(scope, "", "submissions").await;
        let event_type = EventTypeName::new(replit::EVENT).map_err(|_| ServiceError::Internal)?;
        let of_type = BTreeSet::from([event_type]);
        let filter = scope.narrowed(MessageFilter { event_types: Some(of_type), ..MessageFilter::default() });
        let mut page = SubmissionPage::default();
        let (mut cursor, mut seen) = (after, 0);
        while page.items.len() < limit && seen < LOOK_AT {
            let window = Window { cursor: cursor.map(Cursor::After), ..Window::newest(STEP) };
            let found = self.store.messages(scope.key(), window.range(self.ids.latest()), &filter, true).await?;
            for message in &found.items {
                cursor = Some(message.meta.id.0);
                seen += 1;
                let Some(payload) = &message.payload else { continue };
                if replit::handed_in(payload).is_some_and(|found| of.takes(&found))
                    && let Some(delivered) = replit::shown(payload)
                {
                    page.items.push(Submission { message: message.meta.id, at: message.meta.created_at, delivered });
                    if page.items.len() == limit {
                        break;
                    }
                }
            }
            if !found.more && page.items.len() < limit {
                return Ok(page);
            }
        }
        page.next = cursor.map(MessageId);
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_counts_as_any() {
        let found = HandedIn { student: 1, assignment: 2 };
        let takes = |student, assignment| SubmissionsOf { student, assignment }.takes(&found);
        assert!(takes(None, None) && takes(Some(1), None) && takes(None, Some(2)) && takes(Some(1), Some(2)));
        assert!(!takes(Some(2), None) && !takes(Some(1), Some(1)));
    }
}
