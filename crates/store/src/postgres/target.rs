//! This engine's database as something to move into: rows of another engine's tables become rows of ours.

use super::{
    check_key,
    connect::{Address, refuse_transaction_pooler},
    failed, migrate,
    partitions::Partitions,
    pool::{Pool, Tx},
    rows,
};
use crate::{
    error::StoreError,
    moving::{Row, Sum, Value},
    seal::{MainKey, Sealer},
    sqlite::SourceTable,
};
use futures_util::{StreamExt as _, pin_mut};
use tokio_postgres::types::ToSql;

/// Tables that must be empty before a move begins, for all others hang on them.
const EMPTY: &str = "SELECT NOT EXISTS (SELECT 1 FROM app) AND NOT EXISTS (SELECT 1 FROM event_type)
    AND NOT EXISTS (SELECT 1 FROM message) AND NOT EXISTS (SELECT 1 FROM node WHERE NOT gone)";
const KEPT: &str = "SELECT value FROM meta WHERE name = $1";
const KEEP: &str = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2";
const COLUMNS: &str = "SELECT column_name::text, data_type::text FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = $1";
const IDENTITIES: &str = "SELECT table_name::text, column_name::text FROM information_schema.columns
    WHERE table_schema = current_schema() AND is_identity = 'YES' AND table_name <> 'node'";
const EVENT_IDS: &str = "INSERT INTO event_id (app, event_id, message)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[])";
/// A move that has begun and not ended; what it came from.
pub(super) const MOVING: &str = "moving";

/// Refuses to work on a database into which a move has not ended.
pub(super) async fn refuse_half_moved(pool: &Pool) -> Result<(), StoreError> {
    match pool.read_first(KEPT, &[&MOVING]).await? {
        Some(_) => Err(StoreError::Unavailable(
            "a move into this database has not ended: run `schoolbell migrate` again, it goes on where it was".into(),
        )),
        None => Ok(()),
    }
}

/// What a value becomes in its column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    BigInt,
    Int,
    SmallInt,
    Bool,
    Text,
    Bytes,
}

/// The columns of ours that a table's rows go to.
pub(crate) struct Columns {
    /// Name and kind, and which column of the source; none where it is found out otherwise.
    columns: Vec<(String, Kind, Option<usize>)>,
}

impl Columns {
    /// A row as it is written, in our columns' order. What means something else here is changed.
    pub(crate) fn as_written(&self, table: &SourceTable, row: Row) -> Row {
        let is_leased =
            |row: &Row| table.columns.iter().position(|c| c == "state").map(|i| &row[i]) == Some(&Value::Integer(1));
        let leased = table.name == "delivery" && is_leased(&row);
        let written = self.columns.iter().map(|(name, kind, from)| {
            let value = from.map_or(Value::Null, |i| row[i].clone());
            match (name.as_str(), value) {
                // Leases are numbers of runs there and of nodes here: what was on the wire waits.
                ("state", _) if leased => Value::Integer(0),
                ("lease", _) if table.name == "delivery" => Value::Null,
                (_, Value::Text(text)) if *kind == Kind::Text => Value::Text(rows::text(&text).into_owned()),
                (_, value) => value,
            }
        });
        written.collect()
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|(column, ..)| column == name)
    }
}

/// A database that nobody uses meanwhile.
pub(crate) struct Target {
    pool: Pool,
    partitions: Partitions,
}

impl Target {
    /// Opens an empty database, or one into which a move from the same place has begun.
    pub(crate) async fn open(url: &str, key: &MainKey, from: &str) -> Result<Self, StoreError> {
        let address = Address::read(url)?;
        refuse_transaction_pooler(&address).await?;
        migrate(&address).await?;
        let pool = Pool::new(address);
        check_key(&pool, &Sealer::new(key)).await?;
        match pool.read_first(KEPT, &[&MOVING]).await? {
            Some(row) if rows::col::<&[u8]>(&row, 0)? == from.as_bytes() => {}
            Some(row) => {
                let other = String::from_utf8_lossy(rows::col(&row, 0)?).into_owned();
                return Err(StoreError::Unavailable(format!("a move from {other} into this database has not ended")));
            }
            None => {
                let empty = pool.read_first(EMPTY, &[]).await?.ok_or(StoreError::NotFound)?;
                if !rows::col::<bool>(&empty, 0)? {
                    return Err(StoreError::Unavailable(
                        "the new database is in use or holds something already: stop its nodes, and give an empty one"
                            .into(),
                    ));
                }
                pool.execute(KEEP, &[&MOVING, &from.as_bytes()]).await?;
            }
        }
        let partitions = Partitions::new(pool.clone());
        Ok(Self { pool, partitions })
    }

    /// Which of our columns a table's columns go to; refuses to leave one out.
    pub(crate) async fn columns(&self, table: &SourceTable) -> Result<Columns, StoreError> {
        let mut columns = Vec::new();
        for row in &self.pool.read(COLUMNS, &[&table.name]).await? {
            let (name, kind): (String, &str) = (rows::col(row, 0)?, rows::col(row, 1)?);
            let kind = match kind {
                "bigint" => Kind::BigInt,
                "integer" => Kind::Int,
                "smallint" => Kind::SmallInt,
                "boolean" => Kind::Bool,
                "text" => Kind::Text,
                "bytea" => Kind::Bytes,
                other => return Err(no_place(&table.name, &format!("{name} is {other}"))),
            };
            let from = table.columns.iter().position(|c| *c == name);
            columns.push((name, kind, from));
        }
        let columns = Columns { columns };
        // A row's own number says nothing: it is found by its hash.
        let left_out =
            table.columns.iter().find(|c| columns.place(c).is_none() && !(table.name == "idempotency" && *c == "n"));
        match left_out {
            Some(column) => Err(no_place(&table.name, column)),
            None => Ok(columns),
        }
    }

    /// Where a table's move is: the last key, and how many rows so far.
    pub(crate) async fn position(&self, table: &str) -> Result<(Option<Row>, u64), StoreError> {
        match self.pool.read_first(KEPT, &[&format!("{MOVING} {table}")]).await? {
            Some(row) => rows::from_json(&String::from_utf8_lossy(rows::col(&row, 0)?), "meta", "value", table),
            None => Ok((None, 0)),
        }
    }

    /// Writes rows, and that the move is at `key`, in one transaction.
    pub(crate) async fn write(
        &mut self,
        table: &SourceTable,
        columns: &Columns,
        page: Vec<Row>,
        key: &Row,
        so_far: u64,
    ) -> Result<(), StoreError> {
        let mut page: Vec<Row> = page.into_iter().map(|row| columns.as_written(table, row)).collect();
        let partitioned_by = match table.name.as_str() {
            "message" | "attempt" => columns.place("key"),
            "delivery" => columns.place("message"),
            _ => None,
        };
        if let Some(place) = partitioned_by {
            self.partitions.ensure(page.iter().filter_map(|row| integer(&row[place]))).await?;
        }
        let tx = self.pool.begin().await?;
        if table.name == "idempotency" {
            name_applications(&tx, columns, &mut page).await?;
        }
        insert(&tx, &table.name, columns, &page).await?;
        if table.name == "message" {
            insert_event_ids(&tx, columns, &page).await?;
        }
        let position = rows::to_json(&(Some(key), so_far));
        tx.execute(KEEP, &[&format!("{MOVING} {}", table.name), &position.as_bytes()]).await?;
        tx.commit().await
    }

    /// What a table holds now.
    pub(crate) async fn sum(&self, table: &SourceTable, columns: &Columns) -> Result<Sum, StoreError> {
        let names: Vec<String> = columns.columns.iter().map(|(name, ..)| format!("\"{name}\"")).collect();
        let sql = format!("SELECT {} FROM \"{}\"", names.join(", "), table.name);
        let tx = self.pool.begin().await?;
        tx.batch("SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on").await?;
        let found = tx.stream(&sql).await?;
        pin_mut!(found);
        let mut sum = Sum::default();
        while let Some(row) = found.next().await {
            let row = row.map_err(failed)?;
            let read = |(i, (_, kind, from)): (usize, &(String, Kind, Option<usize>))| match from {
                Some(_) => value(&row, i, *kind),
                None => Ok(Value::Null),
            };
            sum.add(&columns.columns.iter().enumerate().map(read).collect::<Result<Row, _>>()?);
        }
        Ok(sum)
    }

    /// New keys begin behind those that were moved, and nodes may start.
    pub(crate) async fn finish(&self) -> Result<(), StoreError> {
        let tx = self.pool.begin().await?;
        for row in &tx.all(IDENTITIES, &[]).await? {
            let (table, column): (&str, &str) = (rows::col(row, 0)?, rows::col(row, 1)?);
            tx.batch(&format!(
                "SELECT setval(pg_get_serial_sequence('{table}', '{column}'),
                    (SELECT greatest(max({column}), 0) + 1 FROM {table}), false)"
            ))
            .await?;
        }
        tx.execute("DELETE FROM meta WHERE name LIKE $1", &[&format!("{MOVING}%")]).await?;
        tx.batch("ANALYZE").await?;
        tx.commit().await
    }
}

fn no_place(table: &str, what: &str) -> StoreError {
    StoreError::Unavailable(format!(
        "the new database has no place for {what} of table {table}: is it of another version?"
    ))
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(n) => Some(*n),
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Text(text) => Some(text.as_bytes()),
        Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

async fn insert(tx: &Tx, table: &str, columns: &Columns, page: &[Row]) -> Result<(), StoreError> {
    let mut arrays: Vec<Box<dyn ToSql + Sync + Send>> = Vec::new();
    let (mut names, mut marks) = (Vec::new(), Vec::new());
    for (i, (name, kind, _)) in columns.columns.iter().enumerate() {
        let each = || page.iter().map(|row| &row[i]);
        let numbers = || each().map(integer);
        let (array, of): (Box<dyn ToSql + Sync + Send>, _) = match kind {
            Kind::BigInt => (Box::new(numbers().collect::<Vec<_>>()), "bigint"),
            Kind::Int => {
                (Box::new(numbers().map(|n| n.and_then(|n| i32::try_from(n).ok())).collect::<Vec<_>>()), "integer")
            }
            Kind::SmallInt => {
                (Box::new(numbers().map(|n| n.and_then(|n| i16::try_from(n).ok())).collect::<Vec<_>>()), "smallint")
            }
            Kind::Bool => (Box::new(numbers().map(|n| n.map(|n| n != 0)).collect::<Vec<_>>()), "boolean"),
            Kind::Text => (Box::new(each().map(|v| text(v).map(str::to_owned)).collect::<Vec<_>>()), "text"),
            Kind::Bytes => (Box::new(each().map(|v| bytes(v).map(<[u8]>::to_vec)).collect::<Vec<_>>()), "bytea"),
        };
        arrays.push(array);
        names.push(format!("\"{name}\""));
        marks.push(format!("${}::{of}[]", i + 1));
    }
    let sql = format!(
        "INSERT INTO \"{table}\" ({}) OVERRIDING SYSTEM VALUE SELECT * FROM unnest({})",
        names.join(", "),
        marks.join(", ")
    );
    let arrays: Vec<&(dyn ToSql + Sync)> = arrays.iter().map(|a| &**a as &(dyn ToSql + Sync)).collect();
    tx.execute_once(&sql, &arrays).await
}

async fn insert_event_ids(tx: &Tx, columns: &Columns, page: &[Row]) -> Result<(), StoreError> {
    let (Some(app), Some(event_id), Some(key)) =
        (columns.place("app"), columns.place("event_id"), columns.place("key"))
    else {
        return Err(no_place("message", "event ids"));
    };
    let named: Vec<&Row> = page.iter().filter(|row| row[event_id] != Value::Null).collect();
    let apps: Vec<Option<i64>> = named.iter().map(|row| integer(&row[app])).collect();
    let ids: Vec<Option<&str>> = named.iter().map(|row| text(&row[event_id])).collect();
    let keys: Vec<Option<i64>> = named.iter().map(|row| integer(&row[key])).collect();
    tx.execute(EVENT_IDS, &[&apps, &ids, &keys]).await.map(|_| ())
}

/// A repeated request finds its message by application and key here; those whose message is gone are left as answers to
/// nobody.
async fn name_applications(tx: &Tx, columns: &Columns, page: &mut [Row]) -> Result<(), StoreError> {
    let (Some(app), Some(message)) = (columns.place("app"), columns.place("message")) else {
        return Err(no_place("idempotency", "messages"));
    };
    let keys: Vec<i64> = page.iter().filter_map(|row| integer(&row[message])).collect();
    let found = tx.all("SELECT key, app FROM message WHERE key = ANY ($1::bigint[])", &[&keys]).await?;
    let mut apps = std::collections::HashMap::new();
    for row in &found {
        apps.insert(rows::col::<i64>(row, 0)?, rows::col::<i64>(row, 1)?);
    }
    for row in page {
        if let Some(key) = integer(&row[message]) {
            row[app] = Value::Integer(apps.get(&key).copied().unwrap_or(0));
        }
    }
    Ok(())
}

fn value(row: &tokio_postgres::Row, i: usize, kind: Kind) -> Result<Value, StoreError> {
    let number = |n: Option<i64>| n.map_or(Value::Null, Value::Integer);
    Ok(match kind {
        Kind::BigInt => number(rows::col(row, i)?),
        Kind::Int => number(rows::col::<Option<i32>>(row, i)?.map(i64::from)),
        Kind::SmallInt => number(rows::col::<Option<i16>>(row, i)?.map(i64::from)),
        Kind::Bool => number(rows::col::<Option<bool>>(row, i)?.map(i64::from)),
        Kind::Text => rows::col::<Option<String>>(row, i)?.map_or(Value::Null, Value::Text),
        Kind::Bytes => rows::col::<Option<Vec<u8>>>(row, i)?.map_or(Value::Null, Value::Bytes),
    })
}
