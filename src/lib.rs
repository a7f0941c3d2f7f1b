#![forbid(unsafe_code)]
pub mod call;
pub mod media;
