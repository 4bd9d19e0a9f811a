//! What the planner makes of the statements that every delivery costs. It guesses sizes, and a guess that turns a look into
//! the index for each key into reading a whole table costs nothing in small tests and everything under load.

use super::{
    Postgres,
    accept::INSERT_PLAIN_DELIVERIES,
    claim::{CONTENT, GIVE_BACK, LEASE},
    hourly::{ATTEMPTS, BY_PAGES, MESSAGES},
    partitions::first_key,
    record::{RECORD, RELEASE},
};
use crate::seal::MainKey;
use tokio_postgres::SimpleQueryMessage;

const VARIABLE: &str = "SCHOOLBELL_TEST_POSTGRES";
/// Statements that find rows by their keys, and how many values they take.
const BY_KEY: [(&str, &str, usize); 5] = [
    ("RECORD", RECORD, 18),
    ("RELEASE", RELEASE, 4),
    ("LEASE", LEASE, 4),
    ("GIVE_BACK", GIVE_BACK, 4),
    ("CONTENT", CONTENT, 2),
];

/// The plans of a session as it is when it was just told to make them anew.
async fn plans(store: &Postgres) -> Vec<(&'static str, String)> {
    let conn = store.pool.lend().await.unwrap();
    conn.batch("DISCARD PLANS").await.unwrap();
    let mut plans = Vec::new();
    for (name, sql, values) in BY_KEY {
        let nothing = vec!["NULL"; values].join(", ");
        let ask = format!("PREPARE asked AS {sql}; EXPLAIN EXECUTE asked ({nothing}); DEALLOCATE asked");
        let answer = conn.ask(&ask).await.unwrap();
        let lines = answer.iter().filter_map(|m| match m {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        plans.push((name, lines.collect::<Vec<_>>().join("\n")));
    }
    plans
}

#[tokio::test]
async fn what_is_found_by_its_key_costs_the_same_however_much_is_under_way() {
    let Ok(server) = std::env::var(VARIABLE) else {
        eprintln!("{VARIABLE} is not set: nothing was tested");
        return;
    };
    let name = format!("plans_{}", std::process::id());
    let (client, connection) = tokio_postgres::connect(&server, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let mut url: url::Url = server.parse().unwrap();
    url.set_path(&name);
    let (store, _commits) = Postgres::open(url.as_str(), "one", &MainKey::generate()).await.unwrap();

    let week = first_key(100);
    store.partitions.ensure([week, first_key(101)].into_iter()).await.unwrap();
    let lease = store.node.lease();
    let deliveries: Vec<i64> = (0..3000).map(|n| week + n).collect();
    let ones = vec![1_i64; deliveries.len()];
    let states = vec![1_i16; deliveries.len()];
    store.pool.execute(INSERT_PLAIN_DELIVERIES, &[&lease, &ones, &ones, &deliveries, &ones, &states]).await.unwrap();
    let message = "INSERT INTO message (app, key, tail, created_at, expires_hour, event_type, payload)
        SELECT 1, key, '123456789012', 1, 1, 'a', 'x' FROM unnest($1::bigint[]) AS key";
    store.pool.execute(message, &[&deliveries]).await.unwrap();

    // As in the first minutes of a week; then as autovacuum found it when all of it was on its way; then when it was small.
    for known in ["SELECT 1", "ANALYZE", "DELETE FROM delivery WHERE message % 10 <> 0; VACUUM ANALYZE"] {
        for statement in known.split("; ") {
            store.pool.lend().await.unwrap().batch(statement).await.unwrap();
        }
        for (name, plan) in plans(&store).await {
            assert!(!plan.contains("Join Filter"), "{name}, after {known}:\n{plan}");
            assert!(!plan.contains("delivery_lease"), "{name}, after {known}:\n{plan}");
        }
    }
    let attempts =
        "INSERT INTO attempt (app, key, endpoint, message, at, duration_ms, response_status, status, trigger, tail,
            url, response)
        SELECT 1, key, 1, key, 1, 1, 200, 0, 0, '123456789012', 'x', 'x' FROM unnest($1::bigint[]) AS key";
    store.pool.execute(attempts, &[&deliveries]).await.unwrap();
    for known in ["SELECT 1", "ANALYZE"] {
        let conn = store.pool.lend().await.unwrap();
        conn.batch(known).await.unwrap();
        conn.batch("BEGIN").await.unwrap();
        conn.batch(BY_PAGES).await.unwrap();
        for sql in [ATTEMPTS, MESSAGES] {
            let asked = format!("EXPLAIN {sql} WHERE a.key >= {} AND a.key < {}", week + 10, week + 20);
            let answer = conn.ask(&asked).await.unwrap();
            let lines = answer.iter().filter_map(|m| match m {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            });
            let plan = lines.collect::<Vec<_>>().join("\n");
            // The ranges of pages that hold the keys, and each attempt's message by its key; of this week only.
            assert!(plan.contains("_key_idx") && !plan.contains("Join Filter"), "after {known}:\n{plan}");
            assert!(!plan.contains("Seq Scan"), "after {known}:\n{plan}");
            assert!(!plan.contains("attempt_w101"), "after {known}:\n{plan}");
        }
        conn.batch("ROLLBACK").await.unwrap();
    }
    drop(store);
    client.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
}
