//! What the errors of queues mean. Codes come with and without a prefix, in two generations of names.
#![cfg_attr(not(feature = "sqs"), allow(dead_code))] // Asked by the SDK's side only.

use domain::FailureReason;

/// From an error's code and the HTTP status of the answer that it came in.
pub(super) fn reason_of(code: &str, message: &str, status: Option<u16>) -> FailureReason {
    let has = |parts: &[&str]| parts.iter().any(|part| code.contains(part));
    if has(&["NonExistentQueue", "QueueDoesNotExist", "QueueDeletedRecently", "InvalidAddress"]) {
        return FailureReason::QueueMissing;
    }
    // A session that ended is renewed by the next try.
    if has(&["ExpiredToken", "RequestExpired"]) {
        return FailureReason::Unauthorized;
    }
    if has(&["Throttl", "OverLimit", "RequestLimitExceeded", "SlowDown", "TooManyRequests"]) || status == Some(429) {
        return FailureReason::TooManyRequests;
    }
    if has(&[
        "AccessDenied",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "UnrecognizedClient",
        "IncompleteSignature",
        "InvalidSecurity",
        "AuthFailure",
        "OptInRequired",
        "NotAuthorized",
        "KmsDisabled",
        "KmsNotFound",
        "KmsOptInRequired",
        "KmsInvalid",
    ]) {
        return FailureReason::QueueRefused;
    }
    if has(&["BatchRequestTooLong", "MessageTooLong"])
        || (has(&["InvalidParameterValue"]) && message.contains("shorter"))
    {
        return FailureReason::QueueTooLarge;
    }
    if has(&["InvalidMessageContents"]) {
        return FailureReason::FormatFailed;
    }
    match status {
        Some(403 | 401) => FailureReason::QueueRefused,
        Some(500..=599) => FailureReason::ServerError,
        Some(_) => FailureReason::ClientError,
        None => FailureReason::ServerError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureReason as R;

    #[test]
    fn a_queue_that_is_gone_or_closed_is_final_and_a_busy_one_is_not() {
        for (code, status, want) in [
            ("AWS.SimpleQueueService.NonExistentQueue", 400, R::QueueMissing),
            ("QueueDoesNotExist", 400, R::QueueMissing),
            ("AccessDenied", 403, R::QueueRefused),
            ("AccessDeniedException", 400, R::QueueRefused),
            ("KmsAccessDenied", 400, R::QueueRefused),
            ("InvalidClientTokenId", 403, R::QueueRefused),
            ("SomethingNew", 403, R::QueueRefused),
            ("ExpiredToken", 403, R::Unauthorized),
            ("RequestThrottled", 403, R::TooManyRequests),
            ("ThrottlingException", 400, R::TooManyRequests),
            ("KmsThrottled", 400, R::TooManyRequests),
            ("AWS.SimpleQueueService.BatchRequestTooLong", 400, R::QueueTooLarge),
            ("InvalidMessageContents", 400, R::FormatFailed),
            ("ServiceUnavailable", 503, R::ServerError),
            ("InternalFailure", 500, R::ServerError),
            ("Odd", 400, R::ClientError),
        ] {
            assert_eq!(reason_of(code, "", Some(status)), want, "{code}");
        }
        assert!(R::QueueMissing.is_final() && R::QueueTooLarge.is_final() && R::QueueRefused.is_final());
        assert!(!R::TooManyRequests.is_final() && !R::Unauthorized.is_final() && !R::ServerError.is_final());
        let long = "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.";
        assert_eq!(reason_of("InvalidParameterValue", long, Some(400)), R::QueueTooLarge);
    }
}
