//! The embedded database as something to move out of: its tables, row by row, in the order of their keys.

use super::{Sqlite, connect, failed};
use crate::{
    error::StoreError,
    moving::{Row, Value},
    seal::MainKey,
};
use rusqlite::{Connection, types::ValueRef};
use std::path::Path;

/// Tables whose content belongs to this database or engine alone; counts by the hour are made anew.
const LEFT_BEHIND: [&str; 6] =
    ["meta", "refinery_schema_history", "sqlite_sequence", "counted", "attempt_hour", "message_hour"];

/// One table.
#[derive(Clone, Debug)]
pub(crate) struct SourceTable {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    /// Places of the key's columns.
    pub(crate) key: Vec<usize>,
}

/// A database that nobody uses meanwhile.
pub(crate) struct Source {
    conn: Connection,
    /// Keeps others out.
    _store: Sqlite,
}

impl Source {
    /// Opens it as a server would: tables up to date, key checked, others kept out.
    pub(crate) fn open(path: &Path, key: &MainKey) -> Result<Self, StoreError> {
        let (store, _) = Sqlite::open(path, key)?;
        Ok(Self { conn: connect(path, super::CACHE_KIB, true)?, _store: store })
    }

    /// All tables to move.
    pub(crate) fn tables(&self) -> Result<Vec<SourceTable>, StoreError> {
        let mut statement =
            self.conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").map_err(failed)?;
        let names: Vec<String> = statement.query_map([], |r| r.get(0)).and_then(Iterator::collect).map_err(failed)?;
        names.into_iter().filter(|n| !LEFT_BEHIND.contains(&n.as_str())).map(|name| self.table(name)).collect()
    }

    fn table(&self, name: String) -> Result<SourceTable, StoreError> {
        let mut statement =
            self.conn.prepare("SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid").map_err(failed)?;
        let found: Vec<(String, i64)> =
            statement.query_map([&name], |r| Ok((r.get(0)?, r.get(1)?))).and_then(Iterator::collect).map_err(failed)?;
        let mut key: Vec<(i64, usize)> =
            found.iter().enumerate().filter(|(_, (_, pk))| *pk > 0).map(|(i, (_, pk))| (*pk, i)).collect();
        key.sort_unstable();
        let key = key.into_iter().map(|(_, i)| i).collect();
        Ok(SourceTable { columns: found.into_iter().map(|(name, _)| name).collect(), name, key })
    }

    /// How many rows a table has.
    pub(crate) fn count(&self, table: &SourceTable) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM \"{}\"", table.name);
        self.conn.query_row(&sql, [], |r| r.get::<_, i64>(0)).map(i64::unsigned_abs).map_err(failed)
    }

    /// The rows behind a key, up to `rows` of them and about `bytes`.
    pub(crate) fn rows_after(
        &self,
        table: &SourceTable,
        after: Option<&[Value]>,
        rows: usize,
        bytes: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let quoted = |i: &usize| format!("\"{}\"", table.columns[*i]);
        let key = table.key.iter().map(quoted).collect::<Vec<_>>().join(", ");
        let all = (0..table.columns.len()).map(|i| quoted(&i)).collect::<Vec<_>>().join(", ");
        let marks = vec!["?"; table.key.len()].join(", ");
        let beyond = if after.is_some() { format!("WHERE ({key}) > ({marks})") } else { String::new() };
        let sql = format!("SELECT {all} FROM \"{}\" {beyond} ORDER BY {key} LIMIT {rows}", table.name);
        let mut statement = self.conn.prepare_cached(&sql).map_err(failed)?;
        let given = rusqlite::params_from_iter(after.unwrap_or_default().iter());
        let mut found = statement.query(given).map_err(failed)?;
        let (mut page, mut weight) = (Vec::new(), 0);
        while weight < bytes
            && let Some(row) = found.next().map_err(failed)?
        {
            let read = |i| row.get_ref(i).map_err(failed).and_then(value);
            let values: Row = (0..table.columns.len()).map(read).collect::<Result<_, _>>()?;
            weight += values.iter().map(Value::weight).sum::<usize>();
            page.push(values);
        }
        Ok(page)
    }
}

fn value(found: ValueRef<'_>) -> Result<Value, StoreError> {
    Ok(match found {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => Value::Integer(n),
        ValueRef::Real(n) => return Err(StoreError::Unavailable(format!("a fraction ({n}) where none belongs"))),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    })
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::ToSqlOutput::Borrowed;
        Ok(Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(n) => ValueRef::Integer(*n),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
