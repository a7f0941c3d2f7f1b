//! PURE: audio. `frame` has the sizes, `framer` cuts a stream into whole frames, `pacer` keeps
//! what is ahead in Asterisk's queue small, `music` is what who is held hears.

pub mod frame;
pub mod framer;
pub mod music;
pub mod pacer;
