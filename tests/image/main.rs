//! The image that `make image` has made: what is in it, and that it does the main job. `make test-image` makes it first;
//! where there is none of the present commit the tests are skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod contents;
mod layout;
mod program;
mod pushed;
mod runs;
