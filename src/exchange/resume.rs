//! The resume id: by which a page that comes back says which phone it was.
//!
//! 128 random bits. It is no key by itself: a good token for the same extension is needed, too.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// One login's.
#[derive(Clone, Copy)]
pub struct ResumeId([u8; 16]);

impl ResumeId {
    /// From 16 random bytes.
    pub fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// The text of a `welcome`.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What a `login` says, if it can be one.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 22 {
            return None;
        }
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Whether both are the same, in a time that doesn't tell how much of them is.
    pub fn is(&self, other: &ResumeId) -> bool {
        let differing = self.0.iter().zip(&other.0).fold(0, |sum, (a, b)| sum | (a ^ b));
        std::hint::black_box(differing) == 0
    }
}

impl std::fmt::Debug for ResumeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResumeId(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resume_id_is_itself_and_nothing_else() {
        let id = ResumeId::new([7; 16]);
        let read = ResumeId::parse(&id.text()).expect("its own text");
        assert!(read.is(&id));
        let mut other = [7; 16];
        other[15] ^= 1;
        assert!(!ResumeId::new(other).is(&id));
        for bad in ["", "k3v", &"A".repeat(23), &"!".repeat(22)] {
            assert!(ResumeId::parse(bad).is_none(), "{bad}");
        }
        assert!(!format!("{id:?}").contains(&id.text()));
    }
}
