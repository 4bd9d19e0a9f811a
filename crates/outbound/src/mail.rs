//! Mail over SMTP, to the operator's own server. The address guard does not hold here: the server is the operator's
//! choice, nobody else's.

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};
use std::time::Duration;

/// For a whole conversation.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why no mail can be sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The server's address cannot be used.
    #[error("the mail server's address cannot be used: {0}")]
    Server(lettre::transport::smtp::Error),
    /// The sender or the recipient is no mailbox.
    #[error("'{0}' is no mailbox")]
    Mailbox(String),
    /// The message cannot be written.
    #[error("the mail cannot be written: {0}")]
    Message(#[from] lettre::error::Error),
    /// The server did not take it.
    #[error("the mail server did not take it: {0}")]
    Refused(lettre::transport::smtp::Error),
}

/// Sends mail.
pub struct Mail {
    from: Mailbox,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl Mail {
    /// Through a server such as `smtps://user:password@mail.example.edu`, from a mailbox such as
    /// `Schoolbell <schoolbell@example.edu>`. Nothing is sent yet.
    pub fn new(server: &str, from: &str) -> Result<Self, MailError> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(server).map_err(MailError::Server)?;
        let from = from.parse().map_err(|_| MailError::Mailbox(from.to_owned()))?;
        Ok(Self { from, transport: transport.timeout(Some(TIMEOUT)).build() })
    }

    /// Sends plain text.
    pub async fn send(&self, to: &str, subject: &str, text: String) -> Result<(), MailError> {
        let to: Mailbox = to.parse().map_err(|_| MailError::Mailbox(to.to_owned()))?;
        let builder = Message::builder().from(self.from.clone()).to(to).subject(subject);
        let message = builder.header(ContentType::TEXT_PLAIN).body(text)?;
        self.transport.send(message).await.map(|_| ()).map_err(MailError::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_server_or_no_mailbox_is_refused_at_once() {
        assert!(Mail::new("smtp://127.0.0.1:25", "Schoolbell <bell@example.edu>").is_ok());
        assert!(matches!(Mail::new("http://x", "bell@example.edu"), Err(MailError::Server(_))));
        assert!(matches!(Mail::new("smtp://x", "nobody"), Err(MailError::Mailbox(_))));
        let mail = Mail::new("smtp://127.0.0.1:1", "bell@example.edu").unwrap();
        let smuggled = mail.send("a@b.c\r\nBcc: all@b.c", "x", String::new()).await;
        assert!(matches!(smuggled, Err(MailError::Mailbox(_))));
        assert!(matches!(mail.send("a@b.c", "x", String::new()).await, Err(MailError::Refused(_))));
    }
}
