//! The one thread that talks to SQLite, and how asynchronous code asks it to.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::order_store::OrderStore;
use crate::program_error::ProgramError;

/// How many questions may wait for the thread; more wait for a place.
const QUEUE_LENGTH: usize = 1024;

/// How long closing may take. It comes on top of the drain limit, which may be used up by then.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

type Job = Box<dyn FnOnce(&mut OrderStore) + Send>;

enum Message {
    Work(Job),
    Close(oneshot::Sender<rusqlite::Result<()>>),
}

/// Why the database gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// SQLite reports an error.
    #[error("the database reports: {0}; check the disk's free space and the file's permissions")]
    Sqlite(#[from] rusqlite::Error),
    /// The database is closed already.
    #[error("the database is closed; send the request again when the API has started anew")]
    Closed,
    /// Closing took too long.
    #[error("the database was not closed within {}s; check the disk for errors", CLOSE_LIMIT.as_secs())]
    CloseTooSlow,
}

/// A handle to the database's thread. Clones use the same thread.
#[derive(Debug, Clone)]
pub struct Database {
    queue: mpsc::Sender<Message>,
}

impl Database {
    /// Starts the database's thread.
    pub fn start(store: OrderStore) -> Result<Self, ProgramError> {
        let (queue, messages) = mpsc::channel(QUEUE_LENGTH);
        std::thread::Builder::new()
            .name("database".to_owned())
            .spawn(move || answer(store, messages))
            .map_err(ProgramError::Runtime)?;
        Ok(Self { queue })
    }

    /// Runs `work` on the database's thread. Once begun it is finished there, even when nobody waits any more.
    pub async fn run<T, F>(&self, work: F) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: FnOnce(&mut OrderStore) -> rusqlite::Result<T> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let job: Job = Box::new(move |store| {
            // The one who asked may have given up.
            let _ = sender.send(work(store));
        });
        self.queue.send(Message::Work(job)).await.map_err(|_| DatabaseError::Closed)?;
        Ok(answer.await.map_err(|_| DatabaseError::Closed)??)
    }

    /// Finishes what is queued, empties the write-ahead log and closes the file.
    pub async fn close(&self) -> Result<(), DatabaseError> {
        let closed = async {
            let (sender, answer) = oneshot::channel();
            self.queue.send(Message::Close(sender)).await.map_err(|_| DatabaseError::Closed)?;
            Ok(answer.await.map_err(|_| DatabaseError::Closed)??)
        };
        timeout(CLOSE_LIMIT, closed).await.map_err(|_| DatabaseError::CloseTooSlow)?
    }
}

/// The thread: one message after the other, until the database is closed.
fn answer(mut store: OrderStore, mut messages: mpsc::Receiver<Message>) {
    while let Some(message) = messages.blocking_recv() {
        match message {
            Message::Work(job) => job(&mut store),
            Message::Close(sender) => {
                // Whoever asked may have lost patience.
                let _ = sender.send(store.close());
                return;
            }
        }
    }
}
