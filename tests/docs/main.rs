//! The pages that people read say what the program says, and what they tell to do can be done.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod book;
mod commands;
mod followed;
mod kubectl;
mod pages;
mod tables;
mod yaml;
