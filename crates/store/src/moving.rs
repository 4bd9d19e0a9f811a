//! Moving house: all of an embedded database into an empty PostgreSQL one, table by table, in steps that each remember
//! where they ended. What is there afterwards is compared with what was there before, by counts and hashes.
//!
//! Knows rows, not what they mean; the few columns that mean something else on the other side are named in
//! [`crate::postgres`].

use crate::{
    error::StoreError,
    postgres::Target,
    seal::MainKey,
    sqlite::{Source, SourceTable},
};
use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Rows moved in one transaction.
const STEP_ROWS: usize = 1000;
/// Bytes moved in one transaction, about.
const STEP_BYTES: usize = 8 << 20;

/// A value of any column.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A row; its columns are those of its table.
pub(crate) type Row = Vec<Value>;

impl Value {
    /// Bytes in memory, about.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Null | Self::Integer(_) => 8,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// Where the move is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// What is done with it: `copying` or `comparing`.
    pub doing: &'static str,
    /// Which table.
    pub table: String,
    /// Rows of it so far.
    pub rows: u64,
    /// Rows that it has.
    pub of: u64,
}

/// What was moved, and found to be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Tables with their rows.
    pub tables: Vec<(String, u64)>,
}

/// What a table holds, whatever the order of its rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) rows: u64,
    hash: u128,
}

impl Sum {
    /// Adds a row. Texts and bytes are the same, since some columns hold one here and the other there.
    pub(crate) fn add(&mut self, row: &[Value]) {
        let mut digest = Context::new(&SHA256);
        for value in row {
            let (kind, bytes): (u8, &[u8]) = match value {
                Value::Null => (0, &[]),
                Value::Integer(n) => (1, &n.to_be_bytes()),
                Value::Text(text) => (2, text.as_bytes()),
                Value::Bytes(bytes) => (2, bytes),
            };
            digest.update(&[kind]);
            digest.update(&(bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        }
        let mut first = [0; 16];
        first.copy_from_slice(&digest.finish().as_ref()[..16]);
        self.rows += 1;
        self.hash = self.hash.wrapping_add(u128::from_be_bytes(first));
    }
}

/// Moves everything. Run again after it broke off, it goes on where it was. `MAIN_KEY` stays the same: sealed values are
/// moved as they are. Nobody may use either database meanwhile.
pub async fn sqlite_to_postgres(
    from: &Path,
    to: &str,
    key: &MainKey,
    mut progress: impl FnMut(Progress),
) -> Result<Moved, StoreError> {
    let source = Source::open(from, key)?;
    let mut target = Target::open(to, key, &from.display().to_string()).await?;
    let mut tables = source.tables()?;
    // The one that looks for messages comes after them.
    tables.sort_by_key(|t| t.name == "idempotency");
    for table in &tables {
        copy(&source, &mut target, table, &mut progress).await?;
    }
    let mut moved = Vec::new();
    for table in &tables {
        let sum = compare(&source, &mut target, table, &mut progress).await?;
        moved.push((table.name.clone(), sum.rows));
    }
    target.finish().await?;
    Ok(Moved { tables: moved })
}

async fn copy(
    source: &Source,
    target: &mut Target,
    table: &SourceTable,
    progress: &mut impl FnMut(Progress),
) -> Result<(), StoreError> {
    let of = source.count(table)?;
    let columns = target.columns(table).await?;
    let (mut after, mut rows) = target.position(&table.name).await?;
    loop {
        progress(Progress { doing: "copying", table: table.name.clone(), rows, of });
        let page = source.rows_after(table, after.as_deref(), STEP_ROWS, STEP_BYTES)?;
        let Some(last) = page.last() else { return Ok(()) };
        let key: Row = table.key.iter().map(|i| last[*i].clone()).collect();
        rows += page.len() as u64;
        target.write(table, &columns, page, &key, rows).await?;
        after = Some(key);
    }
}

async fn compare(
    source: &Source,
    target: &mut Target,
    table: &SourceTable,
    progress: &mut impl FnMut(Progress),
) -> Result<Sum, StoreError> {
    let of = source.count(table)?;
    let columns = target.columns(table).await?;
    let (mut expected, mut after) = (Sum::default(), None::<Row>);
    loop {
        progress(Progress { doing: "comparing", table: table.name.clone(), rows: expected.rows, of });
        let page = source.rows_after(table, after.as_deref(), STEP_ROWS, STEP_BYTES)?;
        let Some(last) = page.last() else { break };
        after = Some(table.key.iter().map(|i| last[*i].clone()).collect());
        for row in page {
            expected.add(&columns.as_written(table, row));
        }
    }
    let found = target.sum(table, &columns).await?;
    if found == expected {
        Ok(found)
    } else {
        Err(StoreError::Unavailable(format!(
            "table {} is not the same on both sides: {} rows here, {} there. Nothing may write to either database while it \
             is moved; empty the new one and begin again",
            table.name, expected.rows, found.rows
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_knows_every_value_and_no_order() {
        let rows = [
            vec![Value::Integer(1), Value::Text("a".into())],
            vec![Value::Null, Value::Bytes(b"b".to_vec())],
            vec![Value::Text("a".into()), Value::Integer(1)],
        ];
        let sum = |order: &[usize]| {
            let mut sum = Sum::default();
            order.iter().for_each(|i| sum.add(&rows[*i]));
            sum
        };
        assert_eq!(sum(&[0, 1, 2]), sum(&[2, 0, 1]));
        assert_ne!(sum(&[0, 1]), sum(&[0, 2]));
        assert_ne!(sum(&[0]), sum(&[2]));
        assert_ne!(sum(&[0]), sum(&[0, 0]));
    }
}
