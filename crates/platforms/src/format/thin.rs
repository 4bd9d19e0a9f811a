//! Ids and a link: the payload stays here until somebody with a token asks for it.

use super::{RenderInput, Rendered, quoted};
use domain::MessageMeta;

/// The link is the address of the message in the API, which answers with the payload.
pub(super) fn render(input: &RenderInput<'_>, meta: &MessageMeta) -> Rendered {
    let event_id = meta.event_id.as_ref().map_or("null".to_owned(), |id| quoted(id.as_str()));
    let app = input.application.id;
    let link = format!("{}/api/v1/app/{app}/msg/{}/", input.public_url, meta.id);
    // Only the link and the user's own id can hold anything but plain characters.
    Rendered::json(format!(
        "{{\"type\":\"{}\",\"timestamp\":\"{}\",\"id\":\"{}\",\"eventId\":{event_id},\"applicationId\":\"{app}\",\"url\":{}}}",
        meta.event_type,
        meta.created_at,
        meta.id,
        quoted(&link),
    ))
}
