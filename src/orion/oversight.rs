//! What a process keeps over its calls of Orion, whichever connection they are of.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use crate::fence::Fence;
use crate::metrics::OrionCalls;

/// Is told of every answer: for who looks for what is wrong. Headers of answers are Orion's own, and may say anything.
pub trait Witness: Send + Sync {
    /// An answer has begun.
    fn answered(&self, status: StatusCode, headers: &HeaderMap);
}

/// Over the calls of a process.
#[derive(Clone, Default)]
pub struct Oversight {
    /// Until when anything may be changed.
    pub fence: Fence,
    /// Where they are counted.
    pub calls: OrionCalls,
    /// Who is told of their answers.
    pub witness: Option<Arc<dyn Witness>>,
}
