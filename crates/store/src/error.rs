//! What can go wrong in a store, by what the caller can do about it.

/// Why an operation did not happen. Nothing of it is stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The object is gone, or never was.
    #[error("not found")]
    NotFound,
    /// The uid is already used by another object of its scope.
    #[error("the uid is already in use")]
    UidTaken,
    /// Somebody else changed the object meanwhile: read it again and repeat.
    #[error("the object changed meanwhile")]
    Changed,
    /// The disk is full. Works again by itself when there is space.
    #[error("the disk that holds the database is full")]
    Full,
    /// Too much is waiting to be written; try again in a moment.
    #[error("the database is busy")]
    Busy,
    /// The database cannot be reached or written; the text is for the operator.
    #[error("the database failed: {0}")]
    Unavailable(String),
    /// Another process has the database open.
    #[error("another Schoolbell process is using {0}; stop it first, or give this one its own DATABASE")]
    InUse(String),
    /// The key in use is not the one that the secrets were sealed with.
    #[error("MAIN_KEY is not the key that this database's secrets were encrypted with")]
    WrongKey,
    /// A row that makes no sense.
    #[error("table {table}, column {column}, row {row}: {problem}")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// Where in the row.
        column: &'static str,
        /// Which row.
        row: String,
        /// What is wrong.
        problem: String,
    },
}
