//! The orders in SQLite. Everything here blocks.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use crate::order::{NewOrder, Order, OrderState};

/// WAL lets readers read while we write. FULL flushes the log to the disk at each commit, so that a commit outlives
/// a power cut, not just a kill.
const SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";

/// AUTOINCREMENT: an id is never used twice. The index holds the pending orders only, which are few.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS orders (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        item TEXT NOT NULL,
        quantity INTEGER NOT NULL,
        done INTEGER NOT NULL DEFAULT 0,
        received_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
    ) STRICT;
    CREATE INDEX IF NOT EXISTS pending_orders ON orders (id) WHERE done = 0;
";

const COLUMNS: &str = "id, item, quantity, done, received_at";

/// How many orders there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderCounts {
    /// All orders.
    pub received: u64,
    /// Those not processed yet.
    pub pending: u64,
}

/// The orders in one database file.
#[derive(Debug)]
pub struct OrderStore {
    connection: Connection,
}

impl OrderStore {
    /// Opens the database, and creates it where there is none.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(SETTINGS)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection })
    }

    /// Opens a database that must exist, to look into it. SQLite may have to recover the log of a killed process
    /// first, which is why it is not opened read-only.
    pub fn open_existing(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // SQLite opens a file without looking into it. This finds out whether there is a table of orders.
        connection.prepare("SELECT id FROM orders")?;
        Ok(Self { connection })
    }

    /// Stores an order. When this returns its id, the order is on the disk.
    pub fn add(&mut self, order: &NewOrder) -> rusqlite::Result<i64> {
        self.connection
            .prepare_cached("INSERT INTO orders (item, quantity) VALUES (?1, ?2)")?
            .execute(params![order.item, order.quantity])?;
        Ok(self.connection.last_insert_rowid())
    }

    /// The order with this id.
    pub fn find(&mut self, id: i64) -> rusqlite::Result<Option<Order>> {
        self.connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM orders WHERE id = ?1"))?
            .query_row([id], order)
            .optional()
    }

    /// The newest orders, at most `limit`.
    pub fn newest(&mut self, limit: u32) -> rusqlite::Result<Vec<Order>> {
        self.connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM orders ORDER BY id DESC LIMIT ?1"))?
            .query_map([limit], order)?
            .collect()
    }

    /// The oldest order that is not processed yet.
    pub fn next_pending(&mut self) -> rusqlite::Result<Option<i64>> {
        self.connection
            .prepare_cached("SELECT id FROM orders WHERE done = 0 ORDER BY id LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()
    }

    /// Marks an order as processed.
    pub fn mark_done(&mut self, id: i64) -> rusqlite::Result<()> {
        self.connection.prepare_cached("UPDATE orders SET done = 1 WHERE id = ?1")?.execute([id])?;
        Ok(())
    }

    /// How many orders there are.
    pub fn counts(&mut self) -> rusqlite::Result<OrderCounts> {
        let count = |sql| self.connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0));
        let received = count("SELECT count(*) FROM orders")?;
        let pending = count("SELECT count(*) FROM orders WHERE done = 0")?;
        Ok(OrderCounts { received: received.unsigned_abs(), pending: pending.unsigned_abs() })
    }

    /// Moves the log into the database file as far as readers allow, so that it does not grow for ever.
    pub fn checkpoint(&mut self) -> rusqlite::Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }

    /// Moves the whole log into the database file and closes it.
    pub fn close(self) -> rusqlite::Result<()> {
        // A reader may keep the log from being emptied. That is no fault: the orders are safe in the log, too.
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        self.connection.close().map_err(|(_, error)| error)
    }
}

fn order(row: &Row<'_>) -> rusqlite::Result<Order> {
    let state = if row.get("done")? { OrderState::Done } else { OrderState::Pending };
    Ok(Order {
        id: row.get("id")?,
        item: row.get("item")?,
        quantity: row.get("quantity")?,
        state,
        received_at: row.get("received_at")?,
    })
}
