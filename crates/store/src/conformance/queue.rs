//! Accepting, leasing, recording, manual tries, background tasks, retention.
