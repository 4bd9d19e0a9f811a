//! How an endpoint's messages travel, as lines of a form: posted, or into a queue with its region and key.

use crate::typed::HIDDEN;
use domain::{
    Endpoint,
    lti::SharedSecret,
    queue::{QueueKey, Transport},
};
use service::{Patch, endpoints::EndpointChange, queues::QueueInput};

/// What to know about the form.
pub(crate) const HINT: &str = "https posts to the address; sqs puts messages into the queue whose URL or ARN the address is. A \
                               key that shows its ends only stays as it is stored; without region and key, both are removed.";

const TRANSPORT: &str = "transport";
const REGION: &str = "region";
const KEY: &str = "access key id";
const SECRET: &str = "secret access key";

/// One line for the overview.
pub(crate) fn in_words(e: &Endpoint) -> String {
    if e.options.transport == Transport::Https {
        return "posted to the address".to_owned();
    }
    let region = e.options.queue_region.as_ref().map(|r| format!(" in {r}")).unwrap_or_default();
    match &e.secrets.queue {
        Some(key) => format!("put into a queue{region} with the key {}", key.masked()),
        None => format!("put into a queue{region} with the server's own access"),
    }
}

/// What stands in the form.
pub(crate) fn lines(e: &Endpoint) -> String {
    let key = e.secrets.queue.as_ref();
    let lines = [
        (TRANSPORT, e.options.transport.name().to_owned()),
        (REGION, e.options.queue_region.clone().unwrap_or_default()),
        (KEY, key.map(QueueKey::masked).unwrap_or_default()),
        (SECRET, key.map(|_| HIDDEN.to_owned()).unwrap_or_default()),
    ];
    lines.map(|(name, value)| format!("{name}: {value}")).join("\n")
}

/// What the form says, as a change.
pub(crate) fn change(text: &str) -> Result<EndpointChange, String> {
    let (mut transport, mut region, mut id, mut secret) = (None, None, None, None);
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("'{line}' is no setting: write name: value"))?;
        let value = Some(value.trim().to_owned()).filter(|v| !v.is_empty());
        match name.trim() {
            TRANSPORT => transport = value,
            REGION => region = value,
            KEY => id = value,
            SECRET => secret = value,
            other => return Err(format!("there is no setting '{other}' here")),
        }
    }
    let is_kept = secret.as_deref() == Some(HIDDEN) && id.as_ref().is_none_or(|id| id.contains('…'));
    let key = match (id, secret) {
        (None, None) => None,
        _ if is_kept => None,
        (Some(_), Some(secret)) if secret == HIDDEN => return Err("another key needs its secret".to_owned()),
        (id, secret) => {
            Some(QueueKey { id: id.unwrap_or_default(), secret: SharedSecret::new(secret.unwrap_or_default()) })
        }
    };
    let nothing = region.is_none() && key.is_none() && !is_kept;
    let mut change = EndpointChange::default();
    change.extras.transport = Patch::replace(transport);
    change.extras.queue = if nothing { Patch::Clear } else { Patch::Set(QueueInput { region, key }) };
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(text: &str) -> Patch<QueueInput> {
        change(text).unwrap().extras.queue
    }

    #[test]
    fn a_key_that_is_hidden_stays_and_another_needs_its_secret() {
        let kept = queue("transport: sqs\nregion: eu-west-1\naccess key id: AKIA…MPLE\nsecret access key: ••••••");
        assert_eq!(kept, Patch::Set(QueueInput { region: Some("eu-west-1".into()), key: None }));
        assert!(change("access key id: AKIAOTHER\nsecret access key: ••••••").is_err());
        let Patch::Set(QueueInput { key: Some(key), .. }) = queue("access key id: AKIA\nsecret access key: a:b") else {
            panic!("a key was given")
        };
        assert_eq!((key.id.as_str(), key.secret.expose()), ("AKIA", "a:b"));
        assert_eq!(queue("transport: https\nregion:\naccess key id:\nsecret access key:"), Patch::Clear);
        assert!(change("nonsense").is_err() && change("port: 1").is_err());
    }
}
