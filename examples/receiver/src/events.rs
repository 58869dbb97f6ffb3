//! What was received.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;
use serde_json::Value;

/// One delivery.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// When it came, RFC 3339.
    pub received_at: String,
    /// What Orion sent.
    pub payload: Value,
}

/// The last events, so many and no more.
#[derive(Debug)]
pub(crate) struct Events {
    last: Mutex<VecDeque<Event>>,
    most: usize,
}

impl Events {
    pub(crate) fn new(most: usize) -> Self {
        Self { last: Mutex::default(), most }
    }

    pub(crate) fn push(&self, event: Event) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.push_front(event);
        last.truncate(self.most);
    }

    pub(crate) fn newest_first(&self) -> Vec<Event> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
