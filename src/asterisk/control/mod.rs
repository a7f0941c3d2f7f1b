//! Call control: what phones ask of Asterisk's manager, and what the manager knows of calls.
//!
//! `desk` is the one task, which works off the exchange's desk; `orders` carries out one request
//! each; `book` (pure) says what events mean for the calls that are up, `passed` (pure) what becomes of
//! callers who were passed on, `attempts` (pure) whom the dialplan dials, `order` (pure) what actions
//! are made of, `outcome` (pure) why a dialled call was not answered.
//!
//! No call and no phone waits for anything here: requests have a queue and a deadline, and a call
//! that nobody tells anything of goes on without.

mod attempts;
pub mod book;
mod desk;
pub mod order;
mod orders;
pub mod outcome;
pub mod passed;

pub use desk::start;
