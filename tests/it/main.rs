//! The tests that run the real program against real neighbours.
