//! The browser's side.

pub mod token;
