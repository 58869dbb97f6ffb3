//! What a process keeps over its calls of Orion, whichever connection they are of.

use crate::fence::Fence;
use crate::metrics::OrionCalls;

/// Over the calls of a process.
#[derive(Clone, Default)]
pub struct Oversight {
    /// Until when anything may be changed.
    pub fence: Fence,
    /// Where they are counted.
    pub calls: OrionCalls,
}
