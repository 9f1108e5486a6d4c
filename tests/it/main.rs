//! The tests that run the real program against real neighbours.

#[path = "../support/mod.rs"]
mod support;

mod practice_portal;
