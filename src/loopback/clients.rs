//! The connections to the listener whose request has not arrived yet, so many at most.
//!
//! Browsers open connections that they never use, and any program on this machine may hold many
//! open. When there are too many, the oldest is closed: the request that counts is sent as soon as
//! its connection is open, so it is never the oldest for long.

use std::collections::VecDeque;
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;

use crate::util::lock;

/// How many connections may wait at the same time. A browser opens a handful.
pub(super) const MAX_WAITING: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    clients: VecDeque<(u64, TcpStream)>,
}

impl Waiting {
    /// Adds a connection, and closes the oldest if there are too many. Returns a number for
    /// [`Waiting::remove`].
    pub(super) fn add(&self, client: TcpStream) -> u64 {
        let mut queue = lock(&self.0);
        queue.next += 1;
        let number = queue.next;
        queue.clients.push_back((number, client));
        if queue.clients.len() > MAX_WAITING {
            close_oldest(&mut queue);
        }
        number
    }

    /// Closes the oldest connection, because the system allows no more.
    pub(super) fn make_room(&self) {
        close_oldest(&mut lock(&self.0));
    }

    /// The request of this connection has arrived, or the connection has ended.
    pub(super) fn remove(&self, number: u64) {
        lock(&self.0).clients.retain(|(other, _)| *other != number);
    }
}

fn close_oldest(queue: &mut Queue) {
    if let Some((_, client)) = queue.clients.pop_front() {
        // Ends the read of the thread that serves it. A connection that is closed already is fine.
        let _ = client.shutdown(Shutdown::Both);
    }
}
