//! What is kept of a receiver's answer.

use domain::Outcome;

/// Stored of an answer that is not text: shown in base64, as Svix does.
const RESPONSE_MAX: usize = 20_000;

/// What is stored of an answer: its text, or base64 if it is not text; or why there was none.
pub(crate) fn response_text(outcome: Outcome) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    match outcome {
        Outcome::Answered { body, .. } => match std::str::from_utf8(&body) {
            Ok(text) => text.to_owned(),
            // A character cut in two at the limit does not make it binary.
            Err(e) if e.error_len().is_none() => String::from_utf8_lossy(&body[..e.valid_up_to()]).into_owned(),
            Err(_) => {
                let mut text = STANDARD.encode(&body);
                text.truncate(RESPONSE_MAX);
                text
            }
        },
        Outcome::Failed { reason, detail, .. } if detail.is_empty() => reason.sentence().to_owned(),
        Outcome::Failed { reason, detail, .. } => format!("{} ({detail})", reason.sentence()),
    }
}
