//! What several tests share.

pub(crate) mod webhook_cases;
pub(crate) mod webhook_updates;
