//! Recordings on this machine's disk, until they are where they belong: a file of audio and beside
//! it a page that says whose it is.
//!
//! Blocking; for threads that may wait. What a crash leaves is found and put in order by [`Spool::left`].

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    event::{Pause, stamp},
    facts::CallFacts,
    wav,
};

/// Recordings are for few eyes.
const MODE: u32 = 0o640;
/// The file whose lock says that a gateway uses this spool.
const LOCK: &str = ".lock";
/// Largest page: a call's facts and a thousand pauses.
const MOST_PAGE: u64 = 1024 * 1024;

/// A folder for recordings on their way.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    /// Held as long as the spool is: two gateways would take each other's growing files for left
    /// ones.
    _lock: File,
}

/// What is known about a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    pub recording: Uuid,
    /// The file's name without `.wav`; the store's prefix comes before it.
    pub name: String,
    pub call: CallFacts,
    pub by: String,
    #[serde(with = "stamp")]
    pub started: SystemTime,
    #[serde(with = "stamp::maybe", default)]
    pub ended: Option<SystemTime>,
    #[serde(default)]
    pub milliseconds: u64,
    /// Slots that the disk was too slow for.
    #[serde(default)]
    pub lost: u64,
    #[serde(default)]
    pub repaired: bool,
    #[serde(default)]
    pub pauses: Vec<Pause>,
    /// Ids of the events that tell its end and its place, so that telling again is no news.
    pub ended_event: Uuid,
    pub stored_event: Uuid,
}

/// A recording's file while it grows.
#[derive(Debug)]
pub struct Growing {
    file: File,
    /// Audio that the head tells.
    audio: u64,
}

impl Spool {
    /// Opens a folder, and makes it if need be.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(MODE)
            .open(folder.join(LOCK))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::other("another gateway uses this spool"))?;
        Ok(Self { folder: folder.to_owned(), _lock: lock })
    }

    /// Bytes that are free for us.
    pub fn free(&self) -> io::Result<u64> {
        let facts = rustix::fs::statvfs(&self.folder)?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
    }

    pub fn audio_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.wav"))
    }

    fn page_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    /// Begins a recording: its page first, so that no audio is without one.
    pub fn begin(&self, page: &Page) -> io::Result<Growing> {
        self.write_page(page)?;
        let path = self.audio_path(&page.name);
        let file = OpenOptions::new().create_new(true).write(true).mode(MODE).open(path)?;
        file.write_all_at(&wav::head(0), 0)?;
        self.sync_folder()?;
        Ok(Growing { file, audio: 0 })
    }

    /// Writes a page anew, all of it or nothing.
    pub fn write_page(&self, page: &Page) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(page)?;
        let path = self.page_path(&page.name);
        let part = path.with_extension("json.part");
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(MODE).open(&part)?;
        file.write_all(&text)?;
        file.sync_data()?;
        fs::rename(&part, &path)
    }

    /// Forgets a recording that is where it belongs.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        // The audio first: a page without audio is nothing, audio without a page would be stored
        // again.
        for path in [self.audio_path(name), self.page_path(name)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// What an earlier run has left, in order of their beginning. Those that weren't ended are
    /// made whole. What can't be read is told by name and left alone.
    pub fn left(&self) -> io::Result<(Vec<Page>, Vec<String>)> {
        let (mut pages, mut strange) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let kind = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            match kind {
                "json" => match self.left_page(&path) {
                    Ok(page) => pages.extend(page),
                    Err(error) => strange.push(format!("{}: {error}", path.display())),
                },
                "wav" if !path.with_extension("json").exists() => {
                    strange.push(format!("{}: nothing says whose it is", path.display()));
                }
                "part" => {
                    let _ = fs::remove_file(&path);
                }
                _ => {}
            }
        }
        pages.sort_by_key(|page| page.started);
        Ok((pages, strange))
    }

    fn left_page(&self, path: &Path) -> io::Result<Option<Page>> {
        if fs::metadata(path)?.len() > MOST_PAGE {
            return Err(io::Error::other("too large for a page"));
        }
        let mut page: Page = serde_json::from_slice(&fs::read(path)?)?;
        let named = path.file_stem().and_then(|stem| stem.to_str());
        if named != Some(page.name.as_str()) {
            return Err(io::Error::other("names another recording"));
        }
        let audio = self.audio_path(&page.name);
        if !audio.exists() {
            // The crash came between the page and the audio, or while it was removed.
            fs::remove_file(path)?;
            return Ok(None);
        }
        if page.ended.is_none() {
            let length = repair(&audio)?;
            page.milliseconds = wav::milliseconds(length);
            page.ended = Some(page.started + std::time::Duration::from_millis(page.milliseconds));
            page.repaired = true;
            self.write_page(&page)?;
        }
        Ok(Some(page))
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

impl Growing {
    /// Writes audio at its place and then tells it in the head; what lies between is silent. Once
    /// this has returned, it survives a power cut. Where it fails, it can be tried again.
    pub fn write(&mut self, offset: u64, audio: &[u8]) -> io::Result<()> {
        self.file.write_all_at(audio, wav::HEAD as u64 + offset)?;
        self.audio = self.audio.max(offset + audio.len() as u64);
        self.file.write_all_at(&wav::head(self.audio), 0)?;
        self.file.sync_data()
    }

    pub fn audio(&self) -> u64 {
        self.audio
    }

    /// Makes what is there whole, also after a write that failed in the middle.
    pub fn finish(self) -> io::Result<u64> {
        self.file.set_len(wav::HEAD as u64 + self.audio)?;
        self.file.write_all_at(&wav::head(self.audio), 0)?;
        self.file.sync_all()?;
        Ok(self.audio)
    }
}

/// Has the head of a file tell what the file holds; gives how much audio that is.
pub fn repair(path: &Path) -> io::Result<u64> {
    let file = OpenOptions::new().write(true).open(path)?;
    let audio = wav::audio_of(file.metadata()?.len()).min(wav::MOST);
    Growing { file, audio }.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(name: &str) -> Page {
        Page {
            recording: Uuid::from_u128(1),
            name: name.to_owned(),
            call: CallFacts::default(),
            by: "configuration".to_owned(),
            started: SystemTime::UNIX_EPOCH,
            ended: None,
            milliseconds: 0,
            lost: 0,
            repaired: false,
            pauses: Vec::new(),
            ended_event: Uuid::from_u128(2),
            stored_event: Uuid::from_u128(3),
        }
    }

    fn samples(path: &Path) -> Vec<i16> {
        let mut reader = hound::WavReader::open(path).expect("a WAV file");
        reader.samples().map(|s| s.expect("a sample")).collect()
    }

    #[test]
    fn a_recording_is_playable_at_every_moment() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(folder.path()).expect("a spool");
        let mut growing = spool.begin(&page("a")).expect("begun");
        let path = spool.audio_path("a");
        assert_eq!(samples(&path), [0i16; 0]);
        growing.write(0, &[1, 0, 2, 0]).expect("written");
        assert_eq!(samples(&path), [1, 2]);
        growing.write(8, &[3, 0, 4, 0]).expect("written");
        assert_eq!(samples(&path), [1, 2, 0, 0, 3, 4], "what was lost is silent");
        assert_eq!(growing.finish().expect("finished"), 12);
    }

    #[test]
    fn what_a_crash_has_left_is_made_whole_wherever_it_was_cut() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(folder.path()).expect("a spool");
        for (n, extra) in [0usize, 1, 3, 4, 1279].into_iter().enumerate() {
            let name = format!("cut{n}");
            let mut growing = spool.begin(&page(&name)).expect("begun");
            growing.write(0, &[5, 0, 6, 0]).expect("written");
            // Written, but not told by the head yet.
            growing.file.write_all_at(&vec![7; extra], 48).expect("written");
        }
        let (left, strange) = spool.left().expect("read");
        assert_eq!((left.len(), strange.len()), (5, 0));
        for page in left {
            assert!(page.repaired && page.ended.is_some());
            let samples = samples(&spool.audio_path(&page.name));
            assert_eq!(samples[..2], [5, 6]);
            let length = fs::metadata(spool.audio_path(&page.name)).expect("there").len();
            assert_eq!(length, 44 + 2 * samples.len() as u64);
        }
        // Once more: they are whole now, and known.
        assert!(spool.left().expect("read").0.iter().all(|page| page.ended.is_some()));
    }

    #[test]
    fn nonsense_in_the_spool_is_told_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(folder.path()).expect("a spool");
        fs::write(folder.path().join("a.json"), "{").expect("written");
        fs::write(folder.path().join("b.wav"), "x").expect("written");
        spool.write_page(&page("c")).expect("written");
        fs::rename(folder.path().join("c.json"), folder.path().join("d.json")).expect("renamed");
        spool.write_page(&page("e")).expect("written");
        let (left, strange) = spool.left().expect("read");
        assert_eq!((left.len(), strange.len()), (0, 3), "{strange:?}");
        assert!(!folder.path().join("e.json").exists(), "a page without audio is nothing");
        assert!(folder.path().join("b.wav").exists());
    }

    #[test]
    fn two_gateways_do_not_share_a_spool() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Spool::open(folder.path()).expect("a spool");
        assert!(Spool::open(folder.path()).is_err());
        drop(first);
        assert!(Spool::open(folder.path()).is_ok());
    }
}
