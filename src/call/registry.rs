//! Who is logged in, and which call has taken whom.
//!
//! Promises: an extension has at most one login; a login is in at most one call; a login is
//! removed by its own number only, so a late clean-up can't evict a newer one.

use std::collections::HashMap;

use super::{CallId, Extension, LoginId, RingId};

/// The table of logins; `H` is how a login's phone is reached.
#[derive(Debug)]
pub struct Registry<H> {
    lines: HashMap<Extension, Line<H>>,
    /// How many lines are taken; every ring and release asks.
    taken: usize,
}

#[derive(Debug)]
struct Line<H> {
    login: LoginId,
    handle: H,
    taken: Option<(CallId, RingId)>,
}

/// What a call gets when it asks for a phone.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim<'a, H> {
    /// The phone was free and is now this call's until it is released.
    Taken(&'a H),
    /// The phone is in a call, or rings for one.
    Busy,
    /// Nobody is logged in as this extension.
    Away,
}

impl<H> Default for Registry<H> {
    fn default() -> Self {
        Self { lines: HashMap::new(), taken: 0 }
    }
}

impl<H> Registry<H> {
    /// Logs a phone in, or names the login that holds the extension.
    pub fn register(
        &mut self,
        ext: &Extension,
        login: LoginId,
        handle: H,
    ) -> Result<(), (LoginId, &H)> {
        use std::collections::hash_map::Entry;
        match self.lines.entry(ext.clone()) {
            Entry::Occupied(entry) => {
                let line = entry.into_mut();
                Err((line.login, &line.handle))
            }
            Entry::Vacant(entry) => {
                entry.insert(Line { login, handle, taken: None });
                Ok(())
            }
        }
    }

    /// Logs out this login, if it is still the one that holds the extension.
    pub fn unregister(&mut self, ext: &Extension, login: LoginId) -> Option<H> {
        if self.lines.get(ext)?.login != login {
            return None;
        }
        let line = self.lines.remove(ext)?;
        self.taken -= usize::from(line.taken.is_some());
        Some(line.handle)
    }

    /// Takes the phone for a call, if it is there and free.
    pub fn claim(&mut self, ext: &Extension, call: CallId, ring: RingId) -> Claim<'_, H> {
        match self.lines.get_mut(ext) {
            None => Claim::Away,
            Some(line) if line.taken.is_some() => Claim::Busy,
            Some(line) => {
                line.taken = Some((call, ring));
                self.taken += 1;
                Claim::Taken(&line.handle)
            }
        }
    }

    /// Frees the phone, if this call's ringing is what holds it.
    pub fn release(&mut self, ext: &Extension, call: CallId, ring: RingId) -> bool {
        match self.lines.get_mut(ext) {
            Some(line) if line.taken == Some((call, ring)) => {
                line.taken = None;
                self.taken -= 1;
                true
            }
            _ => false,
        }
    }

    /// Everybody who is logged in.
    pub fn handles(&self) -> impl Iterator<Item = &H> {
        self.lines.values().map(|line| &line.handle)
    }

    /// Every login: its extension, how it is reached, and which call has taken it.
    pub fn each(&self) -> impl Iterator<Item = (&Extension, &H, Option<CallId>)> {
        self.lines.iter().map(|(ext, line)| (ext, &line.handle, line.taken.map(|(call, _)| call)))
    }

    /// How many are logged in.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many are in a call or ring.
    pub fn taken(&self) -> usize {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(n: u128) -> CallId {
        CallId::from_uuid(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn a_late_logout_does_not_evict_a_newer_login() {
        let mut registry = Registry::default();
        let ext = Extension::from("2001");
        registry.register(&ext, LoginId(1), ()).unwrap();
        assert!(registry.register(&ext, LoginId(2), ()).is_err());
        assert!(registry.unregister(&ext, LoginId(1)).is_some());
        registry.register(&ext, LoginId(2), ()).unwrap();
        assert!(registry.unregister(&ext, LoginId(1)).is_none());
        assert_eq!(registry.len(), 1);
    }

    #[test]
    fn a_phone_is_in_at_most_one_call() {
        let mut registry = Registry::default();
        let ext = Extension::from("2001");
        assert_eq!(registry.claim(&ext, call(1), RingId(0)), Claim::Away);
        registry.register(&ext, LoginId(1), ()).unwrap();
        assert_eq!(registry.claim(&ext, call(1), RingId(0)), Claim::Taken(&()));
        assert_eq!(registry.claim(&ext, call(2), RingId(0)), Claim::Busy);
        assert!(!registry.release(&ext, call(2), RingId(0)), "not the holder");
        assert!(!registry.release(&ext, call(1), RingId(1)), "another ringing of the holder");
        assert!(registry.release(&ext, call(1), RingId(0)));
        assert_eq!(registry.claim(&ext, call(2), RingId(0)), Claim::Taken(&()));
    }

    #[test]
    fn a_new_login_starts_free_though_the_old_one_was_taken() {
        let mut registry = Registry::default();
        let ext = Extension::from("2001");
        registry.register(&ext, LoginId(1), ()).unwrap();
        registry.claim(&ext, call(1), RingId(0));
        registry.unregister(&ext, LoginId(1));
        registry.register(&ext, LoginId(2), ()).unwrap();
        assert_eq!(registry.taken(), 0);
        assert!(!registry.release(&ext, call(1), RingId(0)));
        assert_eq!(registry.claim(&ext, call(2), RingId(0)), Claim::Taken(&()));
    }
}
