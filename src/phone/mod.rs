//! The browser's side: its dialects (pure), tokens, the door, and the task of one login.

pub mod door;
pub mod first;
pub mod login;
pub mod pages;
pub mod plain;
pub mod session;
pub mod task;
pub mod token;
pub mod v1;
