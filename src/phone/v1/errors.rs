//! The one table of errors: code and name of each, as docs/phone-protocol.md lists them.

use std::time::Duration;

use crate::{
    exchange::{
        Login,
        ask::{Refused, Why},
    },
    phone::token::TokenError,
};

/// What can be wrong with a request. The numbers are Twilio's where the thing is the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    TokenInvalid,
    TokenExpired,
    Timeout,
    Malformed,
    WrongState,
    OtherExtension,
    RateLimited,
    Forbidden,
    NoSuchCall,
    ExtensionInUse,
    Unavailable,
    BadNumber,
    Busy,
    Failed,
    Draining,
}

impl Code {
    pub const ALL: [Code; 15] = [
        Code::TokenInvalid,
        Code::TokenExpired,
        Code::Timeout,
        Code::Malformed,
        Code::WrongState,
        Code::OtherExtension,
        Code::RateLimited,
        Code::Forbidden,
        Code::NoSuchCall,
        Code::ExtensionInUse,
        Code::Unavailable,
        Code::BadNumber,
        Code::Busy,
        Code::Failed,
        Code::Draining,
    ];

    pub fn number(self) -> u16 {
        match self {
            Code::TokenInvalid => 20101,
            Code::TokenExpired => 20104,
            Code::Timeout => 31003,
            Code::Malformed => 31100,
            Code::WrongState => 31105,
            Code::OtherExtension => 31201,
            Code::RateLimited => 31206,
            Code::Forbidden => 31403,
            Code::NoSuchCall => 31404,
            Code::ExtensionInUse => 31409,
            Code::Unavailable => 31480,
            Code::BadNumber => 31484,
            Code::Busy => 31486,
            Code::Failed => 31500,
            Code::Draining => 31503,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Code::TokenInvalid => "token_invalid",
            Code::TokenExpired => "token_expired",
            Code::Timeout => "timeout",
            Code::Malformed => "malformed",
            Code::WrongState => "wrong_state",
            Code::OtherExtension => "other_extension",
            Code::RateLimited => "rate_limited",
            Code::Forbidden => "forbidden",
            Code::NoSuchCall => "no_such_call",
            Code::ExtensionInUse => "extension_in_use",
            Code::Unavailable => "unavailable",
            Code::BadNumber => "bad_number",
            Code::Busy => "busy",
            Code::Failed => "failed",
            Code::Draining => "draining",
        }
    }
}

/// A refusal, ready to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    /// For a person.
    pub message: String,
    pub retry_after: Option<Duration>,
    /// Who is logged in, for [`Code::ExtensionInUse`].
    pub devices: Vec<Login>,
}

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None, devices: Vec::new() }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let code = match refused.why {
            Why::Timeout => Code::Timeout,
            Why::RateLimited => Code::RateLimited,
            Why::Forbidden => Code::Forbidden,
            Why::NoSuchCall => Code::NoSuchCall,
            Why::WrongState => Code::WrongState,
            Why::Unavailable => Code::Unavailable,
            Why::BadNumber => Code::BadNumber,
            Why::Busy => Code::Busy,
            Why::Failed => Code::Failed,
            Why::Draining => Code::Draining,
        };
        Self { retry_after: refused.retry_after, ..Self::new(code, refused.message) }
    }
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        let code = match error {
            TokenError::Expired => Code::TokenExpired,
            _ => Code::TokenInvalid,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_in_the_document_and_the_document_has_no_other() {
        let document = include_str!("../../../docs/phone-protocol.md");
        let rows: Vec<(u16, &str)> = document
            .lines()
            .filter_map(|line| {
                let mut cells = line.split('|').map(str::trim).skip(1);
                let code = cells.next()?.parse().ok().filter(|code| *code > 10_000)?;
                Some((code, cells.next()?.trim_matches('`')))
            })
            .collect();
        let ours: Vec<_> = Code::ALL.map(|code| (code.number(), code.name())).to_vec();
        assert_eq!(rows, ours);
    }
}
