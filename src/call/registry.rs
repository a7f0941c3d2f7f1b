//! Who is logged in, and which call has taken whom.
//!
//! Promises: an extension has one login, or as many as [`MAX_DEVICES`] where it may have more than
//! one; a login is in no more calls than it has room for; a login is removed by its own number
//! only, so a late clean-up can't evict a newer one.

use std::collections::HashMap;

use super::{Extension, LoginId, RingKey};

/// Logins of one extension that ring together. A person has a few screens; a call keeps room for
/// what each of them may say.
pub const MAX_DEVICES: usize = 8;
/// Calls of one login.
const MAX_ROOM: usize = 2;

/// The table of logins; `H` is how a login's phone is reached.
#[derive(Debug)]
pub struct Registry<H> {
    lines: HashMap<Extension, Vec<Device<H>>>,
    /// How many are logged in, and how many of them are taken; every ring and release asks.
    devices: usize,
    taken: usize,
}

/// Whether a login's page can be rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its page answers.
    Reachable,
    /// It is connected and its page doesn't answer.
    Silent,
    /// Its connection is lost, and it is waited for.
    Detached,
}

/// One login.
#[derive(Debug)]
pub struct Device<H> {
    pub login: LoginId,
    pub handle: H,
    /// Calls that may ring it at once.
    room: u8,
    standing: Standing,
    taken: [Option<RingKey>; MAX_ROOM],
}

/// What a call gets when it asks for an extension.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim<H> {
    /// These phones had room and are now this call's until they are released.
    Taken(Vec<(LoginId, H)>),
    /// Every phone is in a call, or rings for one.
    Busy,
    /// Somebody is logged in, and no page answers.
    Unreachable,
    /// Nobody is logged in as this extension.
    Away,
}

impl<H> Device<H> {
    /// The calls that it is in or rings for.
    pub fn calls(&self) -> impl Iterator<Item = RingKey> {
        self.taken.iter().flatten().copied()
    }

    pub fn is_taken(&self) -> bool {
        self.calls().next().is_some()
    }

    pub fn standing(&self) -> Standing {
        self.standing
    }

    fn take(&mut self, key: RingKey, room: usize) -> bool {
        if self.calls().count() >= room.min(MAX_ROOM) {
            return false;
        }
        let free = self.taken.iter_mut().find(|slot| slot.is_none());
        free.map(|slot| *slot = Some(key)).is_some()
    }
}

impl<H> Default for Registry<H> {
    fn default() -> Self {
        Self { lines: HashMap::new(), devices: 0, taken: 0 }
    }
}

impl<H: Clone> Registry<H> {
    /// Logs a phone in; `beside` others of the same extension only if that is allowed. False if it
    /// is not, or there are too many: [`Registry::of`] says who they are.
    pub fn register(&mut self, ext: &Extension, login: LoginId, handle: H, beside: bool) -> bool {
        let others = self.lines.get(ext).map_or(0, Vec::len);
        if others >= if beside { MAX_DEVICES } else { 1 } {
            return false;
        }
        let standing = Standing::Reachable;
        let device = Device { login, handle, room: 1, standing, taken: [None; MAX_ROOM] };
        let line = self.lines.entry(ext.clone()).or_default();
        line.reserve_exact(1);
        line.push(device);
        self.devices += 1;
        true
    }

    /// Logs out this login, if it is still there.
    pub fn unregister(&mut self, ext: &Extension, login: LoginId) -> Option<H> {
        let line = self.lines.get_mut(ext)?;
        let at = line.iter().position(|device| device.login == login)?;
        let device = line.remove(at);
        if line.is_empty() {
            self.lines.remove(ext);
        }
        self.devices -= 1;
        self.taken -= usize::from(device.is_taken());
        Some(device.handle)
    }

    /// Takes every phone of an extension that is there and has room.
    pub fn claim(&mut self, ext: &Extension, key: RingKey) -> Claim<H> {
        let Some(line) = self.lines.get_mut(ext) else { return Claim::Away };
        let mut taken = Vec::new();
        let mut busy = false;
        for device in line.iter_mut().filter(|device| device.standing == Standing::Reachable) {
            let was_free = !device.is_taken();
            if device.take(key, usize::from(device.room)) {
                self.taken += usize::from(was_free);
                taken.push((device.login, device.handle.clone()));
            } else {
                busy = true;
            }
        }
        match (taken.is_empty(), busy) {
            (false, _) => Claim::Taken(taken),
            (true, true) => Claim::Busy,
            (true, false) => Claim::Unreachable,
        }
    }

    /// Takes one phone for a call of its own; a second one, too. `None` if it has no room, or is
    /// not there any more.
    pub fn claim_own(&mut self, ext: &Extension, login: LoginId, key: RingKey) -> Option<H> {
        let device = find(&mut self.lines, ext, login)?;
        let was_free = !device.is_taken();
        if !device.take(key, MAX_ROOM) {
            return None;
        }
        self.taken += usize::from(was_free);
        Some(device.handle.clone())
    }

    /// Frees a phone, if this call's ringing is what holds it.
    pub fn release(&mut self, ext: &Extension, login: LoginId, key: RingKey) -> bool {
        let Some(device) = find(&mut self.lines, ext, login) else { return false };
        let Some(slot) = device.taken.iter_mut().find(|slot| **slot == Some(key)) else {
            return false;
        };
        *slot = None;
        self.taken -= usize::from(!device.is_taken());
        true
    }

    /// How many calls may ring this phone at once.
    pub fn set_room(&mut self, ext: &Extension, login: LoginId, room: u8) {
        if let Some(device) = find(&mut self.lines, ext, login) {
            device.room = room;
        }
    }

    /// Whether this phone can be rung. True if whether the extension can has changed by that.
    pub fn set_standing(&mut self, ext: &Extension, login: LoginId, standing: Standing) -> bool {
        let before = self.is_reachable(ext);
        if let Some(device) = find(&mut self.lines, ext, login) {
            device.standing = standing;
        }
        self.is_reachable(ext) != before
    }

    /// Whether a page of this extension answers.
    pub fn is_reachable(&self, ext: &Extension) -> bool {
        self.of(ext).iter().any(|device| device.standing == Standing::Reachable)
    }

    /// The phones of an extension, oldest first.
    pub fn of(&self, ext: &Extension) -> &[Device<H>] {
        self.lines.get(ext).map_or(&[], Vec::as_slice)
    }

    /// Everybody who is logged in.
    pub fn handles(&self) -> impl Iterator<Item = &H> {
        self.lines.values().flatten().map(|device| &device.handle)
    }

    /// Every login, with its extension.
    pub fn each(&self) -> impl Iterator<Item = (&Extension, &Device<H>)> {
        self.lines.iter().flat_map(|(ext, line)| line.iter().map(move |device| (ext, device)))
    }

    /// How many are logged in.
    pub fn len(&self) -> usize {
        self.devices
    }

    pub fn is_empty(&self) -> bool {
        self.devices == 0
    }

    /// How many are in a call or ring.
    pub fn taken(&self) -> usize {
        self.taken
    }
}

fn find<'a, H>(
    lines: &'a mut HashMap<Extension, Vec<Device<H>>>,
    ext: &Extension,
    login: LoginId,
) -> Option<&'a mut Device<H>> {
    lines.get_mut(ext)?.iter_mut().find(|device| device.login == login)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{CallId, RingId};

    fn key(call: u128, ring: u32) -> RingKey {
        RingKey { call: CallId::from_uuid(uuid::Uuid::from_u128(call)), ring: RingId(ring) }
    }

    fn taken(logins: &[u64]) -> Claim<()> {
        Claim::Taken(logins.iter().map(|n| (LoginId(*n), ())).collect())
    }

    #[test]
    fn a_late_logout_does_not_evict_a_newer_login() {
        let mut registry = Registry::default();
        let ext = Extension::from("2001");
        assert!(registry.register(&ext, LoginId(1), (), false));
        assert!(!registry.register(&ext, LoginId(2), (), false));
        assert!(registry.unregister(&ext, LoginId(1)).is_some());
        assert!(registry.register(&ext, LoginId(2), (), false));
        assert!(registry.unregister(&ext, LoginId(1)).is_none());
        assert_eq!(registry.len(), 1);
    }

    #[test]
    fn a_phone_is_in_at_most_one_call() {
        let mut registry = Registry::default();
        let ext = Extension::from("2001");
        assert_eq!(registry.claim(&ext, key(1, 0)), Claim::Away);
        registry.register(&ext, LoginId(1), (), false);
        assert_eq!(registry.claim(&ext, key(1, 0)), taken(&[1]));
        assert_eq!(registry.claim(&ext, key(2, 0)), Claim::Busy);
        assert!(!registry.release(&ext, LoginId(1), key(2, 0)), "not the holder");
        assert!(!registry.release(&ext, LoginId(1), key(1, 1)), "another ringing of the holder");
        assert!(registry.release(&ext, LoginId(1), key(1, 0)));
        assert_eq!(registry.claim(&ext, key(2, 0)), taken(&[1]));
    }

    #[test]
    fn a_phone_with_call_waiting_has_room_for_a_second_call_and_not_for_a_third() {
        let mut registry = Registry::default();
        let ext = Extension::from("2001");
        registry.register(&ext, LoginId(1), (), false);
        registry.set_room(&ext, LoginId(1), 2);
        assert_eq!(registry.claim(&ext, key(1, 0)), taken(&[1]));
        assert_eq!(registry.claim(&ext, key(2, 0)), taken(&[1]));
        assert_eq!(registry.claim(&ext, key(3, 0)), Claim::Busy);
        assert_eq!(registry.taken(), 1, "one phone, however many calls");
        registry.release(&ext, LoginId(1), key(1, 0));
        assert_eq!(registry.taken(), 1);
        registry.release(&ext, LoginId(1), key(2, 0));
        assert_eq!(registry.taken(), 0);
    }

    #[test]
    fn a_phone_dials_beside_the_call_that_it_is_in_and_no_third() {
        let mut registry = Registry::default();
        let ext = Extension::from("2001");
        registry.register(&ext, LoginId(1), (), false);
        registry.claim(&ext, key(1, 0));
        assert!(registry.claim_own(&ext, LoginId(2), key(2, 0)).is_none(), "not logged in");
        assert!(registry.claim_own(&ext, LoginId(1), key(2, 0)).is_some());
        assert!(registry.claim_own(&ext, LoginId(1), key(3, 0)).is_none());
    }

    #[test]
    fn all_devices_that_have_room_and_answer_ring_together() {
        let mut registry = Registry::default();
        let ext = Extension::from("2001");
        for login in 1..=4 {
            assert!(registry.register(&ext, LoginId(login), (), true));
        }
        assert!(!registry.set_standing(&ext, LoginId(4), Standing::Silent), "others answer");
        registry.claim_own(&ext, LoginId(2), key(9, 0));
        assert_eq!(registry.claim(&ext, key(1, 0)), taken(&[1, 3]));
        assert_eq!(registry.taken(), 3);
        registry.unregister(&ext, LoginId(1));
        assert_eq!((registry.taken(), registry.len()), (2, 3));
    }

    #[test]
    fn frozen_pages_are_not_rung() {
        let mut registry = Registry::default();
        let ext = Extension::from("2001");
        registry.register(&ext, LoginId(1), (), false);
        assert!(registry.set_standing(&ext, LoginId(1), Standing::Silent));
        assert_eq!(registry.claim(&ext, key(1, 0)), Claim::Unreachable);
        assert!(registry.set_standing(&ext, LoginId(1), Standing::Reachable));
        assert_eq!(registry.claim(&ext, key(1, 0)), taken(&[1]));
    }

    #[test]
    fn an_extension_has_a_bounded_number_of_devices() {
        let mut registry = Registry::default();
        let ext = Extension::from("2001");
        let logged_in =
            (0..1000).filter(|n| registry.register(&ext, LoginId(*n), (), true)).count();
        assert_eq!((logged_in, registry.len()), (MAX_DEVICES, MAX_DEVICES));
    }

    #[test]
    fn a_new_login_starts_free_though_the_old_one_was_taken() {
        let mut registry = Registry::default();
        let ext = Extension::from("2001");
        registry.register(&ext, LoginId(1), (), false);
        registry.claim(&ext, key(1, 0));
        registry.unregister(&ext, LoginId(1));
        registry.register(&ext, LoginId(2), (), false);
        assert_eq!(registry.taken(), 0);
        assert!(!registry.release(&ext, LoginId(1), key(1, 0)));
        assert_eq!(registry.claim(&ext, key(2, 0)), taken(&[2]));
    }
}
