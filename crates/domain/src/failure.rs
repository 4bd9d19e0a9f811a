//! Why an attempt failed, in words: one table for API, dashboard, logs and mails.

/// What happened to an attempt that failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FailureReason {
    /// The host name does not resolve.
    NameNotFound,
    /// The name resolves only to addresses that endpoints may not reach.
    AddressNotAllowed,
    /// Nobody listens there.
    ConnectionRefused,
    /// The connection broke before a whole answer came.
    ConnectionLost,
    /// The certificate's time is over, or has not come.
    CertificateExpired,
    /// The certificate is for another name.
    CertificateWrongName,
    /// The certificate's issuer is not trusted.
    CertificateUnknownIssuer,
    /// Another failure to agree on TLS.
    Tls,
    /// No connection within the deadline.
    ConnectTimeout,
    /// No answer's head within the deadline.
    ResponseTimeout,
    /// The answer's body did not end within the deadline.
    BodyTimeout,
    /// The answer is longer than what is read of one.
    AnswerTooLarge,
    /// What came back is not HTTP.
    NotHttp,
    /// The request could not be made from the endpoint's settings.
    BadRequest,
    /// The endpoint's filter or transform failed on this payload.
    ExpressionFailed,
    /// The endpoint's format cannot carry this payload.
    FormatFailed,
    /// The queue does not exist.
    QueueMissing,
    /// The queue's owner does not let us in.
    QueueRefused,
    /// The message is larger than the queue takes.
    QueueTooLarge,
    /// 3xx: redirects are never followed.
    Redirect,
    /// 401 or 403.
    Unauthorized,
    /// 404.
    NotFound,
    /// 410: the receiver unsubscribed.
    Gone,
    /// 413.
    TooLarge,
    /// 415.
    UnsupportedType,
    /// 429.
    TooManyRequests,
    /// Another 4xx.
    ClientError,
    /// 5xx.
    ServerError,
    /// 1xx or a status outside the known classes.
    OddStatus,
}

use FailureReason as R;

/// Code (stable, stored), sentence, what to do.
const TABLE: &[(FailureReason, &str, &str, &str)] = &[
    (
        R::NameNotFound,
        "name-not-found",
        "The host name does not exist.",
        "Check the address for a typing error, or the name's DNS records.",
    ),
    (
        R::AddressNotAllowed,
        "address-not-allowed",
        "Requests to this IP range are blocked.",
        "Use a public address, or ask the operator to add the network to ALLOW_SUBNETS.",
    ),
    (
        R::ConnectionRefused,
        "connection-refused",
        "The connection was refused: nothing listens at that address.",
        "Start the receiver, or check the port.",
    ),
    (
        R::ConnectionLost,
        "connection-lost",
        "The connection broke before a whole answer came.",
        "Look into the receiver's log for a crash or a restart.",
    ),
    (
        R::CertificateExpired,
        "certificate-expired",
        "The receiver's certificate is not valid at this time.",
        "Renew the certificate.",
    ),
    (
        R::CertificateWrongName,
        "certificate-wrong-name",
        "The receiver's certificate is for another name.",
        "Use the name in the certificate, or get one for this name.",
    ),
    (
        R::CertificateUnknownIssuer,
        "certificate-unknown-issuer",
        "The receiver's certificate comes from an unknown issuer.",
        "Install the whole certificate chain, or ask the operator to trust the issuer.",
    ),
    (
        R::Tls,
        "tls",
        "No secure connection could be agreed on.",
        "The receiver must offer TLS 1.2 or 1.3 with a modern cipher.",
    ),
    (
        R::ConnectTimeout,
        "connect-timeout",
        "No connection came about in time.",
        "Check that the receiver is up and no firewall drops the packets.",
    ),
    (
        R::ResponseTimeout,
        "response-timeout",
        "The request timed out before an answer came.",
        "Answer at once and do the work afterwards.",
    ),
    (R::BodyTimeout, "body-timeout", "The request timed out before the answer ended.", "Answer with a short body."),
    (
        R::AnswerTooLarge,
        "answer-too-large",
        "The answer is longer than what is read of one.",
        "Answer with less, or ask the operator to raise WEBFILTER_ANSWER_LIMIT.",
    ),
    (R::NotHttp, "not-http", "What came back is not HTTP.", "Check the port and whether it should be https."),
    (
        R::BadRequest,
        "bad-request",
        "The request could not be made from the endpoint's settings.",
        "Check the endpoint's address and headers.",
    ),
    (
        R::ExpressionFailed,
        "expression-failed",
        "The endpoint's expression failed on this payload; nothing was sent.",
        "Correct the filter or the transform, try it with a dry run, and send the message again.",
    ),
    (
        R::FormatFailed,
        "format-failed",
        "The payload does not fit the endpoint's format; nothing was sent.",
        "Publish what the format needs, or choose another format, and send the message again.",
    ),
    (
        R::QueueMissing,
        "queue-missing",
        "The queue does not exist.",
        "Check its URL or ARN and its region, or make the queue, and recover what failed.",
    ),
    (
        R::QueueRefused,
        "queue-refused",
        "The queue's owner does not let this server write to it.",
        "Give the endpoint a key that may send messages, or let this server's role in by the queue's policy, and recover \
         what failed.",
    ),
    (
        R::QueueTooLarge,
        "queue-too-large",
        "The message is larger than the queue takes.",
        "Raise the queue's limit, as far as that goes, or choose a smaller format or a transform, and recover what failed.",
    ),
    (
        R::Redirect,
        "redirect",
        "The receiver answered with a redirect, which is never followed.",
        "Use the address it redirects to.",
    ),
    (
        R::Unauthorized,
        "unauthorized",
        "The receiver refused the request's credentials.",
        "Check the signing secret, and the password or key in the endpoint's headers.",
    ),
    (
        R::NotFound,
        "not-found",
        "The receiver knows no such path.",
        "Check the address; an inactive workflow answers like this too.",
    ),
    (
        R::Gone,
        "gone",
        "The receiver said that it is gone for good.",
        "The endpoint was switched off; switch it on again if that was a mistake.",
    ),
    (
        R::TooLarge,
        "too-large",
        "The receiver refused the payload as too large.",
        "Raise the receiver's limit, or choose a smaller format.",
    ),
    (
        R::UnsupportedType,
        "unsupported-type",
        "The receiver does not take this content type.",
        "Choose another encoding for the endpoint.",
    ),
    (
        R::TooManyRequests,
        "too-many-requests",
        "The receiver asked us to slow down.",
        "Set a throttle rate on the endpoint.",
    ),
    (R::ClientError, "client-error", "The receiver refused the request.", "Read its answer; its log may say more."),
    (R::ServerError, "server-error", "The receiver failed.", "Look into the receiver's log."),
    (
        R::OddStatus,
        "odd-status",
        "The receiver answered with a status that means nothing here.",
        "Answer with 200 or 204.",
    ),
];

impl FailureReason {
    fn row(self) -> &'static (FailureReason, &'static str, &'static str, &'static str) {
        // A test holds that every variant has its row; the fallback row keeps this total.
        TABLE.iter().find(|r| r.0 == self).unwrap_or(&TABLE[0])
    }
    /// A stable short name, as it is stored and used in metrics.
    pub fn code(self) -> &'static str {
        self.row().1
    }
    /// From [`Self::code`].
    pub fn from_code(code: &str) -> Option<Self> {
        TABLE.iter().find(|r| r.1 == code).map(|r| r.0)
    }
    /// What happened, as a sentence.
    pub fn sentence(self) -> &'static str {
        self.row().2
    }
    /// What to do about it, as a sentence.
    pub fn advice(self) -> &'static str {
        self.row().3
    }
    /// Why an answer with this status is a failure; `None` for 2xx.
    pub fn of_status(status: u16) -> Option<Self> {
        Some(match status {
            200..=299 => return None,
            300..=399 => R::Redirect,
            401 | 403 => R::Unauthorized,
            404 => R::NotFound,
            410 => R::Gone,
            413 => R::TooLarge,
            415 => R::UnsupportedType,
            429 => R::TooManyRequests,
            400..=499 => R::ClientError,
            500..=599 => R::ServerError,
            _ => R::OddStatus,
        })
    }
    /// Whether the receiver as a whole seems down, rather than this one message unwelcome.
    pub fn blames_receiver(self) -> bool {
        !matches!(
            self,
            R::TooLarge
                | R::QueueTooLarge
                | R::UnsupportedType
                | R::ClientError
                | R::BadRequest
                | R::ExpressionFailed
                | R::FormatFailed
        )
    }
    /// Whether another try would end the same way as long as nobody changes the endpoint.
    pub fn is_final(self) -> bool {
        matches!(self, R::ExpressionFailed | R::FormatFailed | R::QueueMissing | R::QueueRefused | R::QueueTooLarge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_and_reason_has_its_words() {
        for status in 0..1000 {
            if let Some(r) = FailureReason::of_status(status) {
                assert_eq!(r.row().0, r);
            }
        }
        for row in TABLE {
            assert_eq!(FailureReason::from_code(row.0.code()), Some(row.0));
            assert!(row.2.ends_with('.') && row.3.ends_with('.'));
        }
    }
}
