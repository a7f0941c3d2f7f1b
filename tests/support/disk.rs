//! A disk that can be full: a file system in memory of a few MiB, for tests that run as root.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

/// A mounted file system; gone with this value.
pub struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where nothing can be mounted, which is said.
    pub fn mount(mib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0755"), "tmpfs"])
            .arg(folder.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self { folder }),
            _ => {
                println!("skipped: only root can mount a disk that is to be full");
                None
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Leaves not a byte free.
    pub fn fill(&self) {
        let mut file =
            fs::OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        for piece in [64 * 1024, 4096, 1] {
            let bytes = vec![7; piece];
            while file.write_all(&bytes).is_ok() {}
        }
    }

    /// Whether there is really nothing left.
    pub fn is_full(&self) -> bool {
        let full = fs::write(self.path().join("probe"), [7; 4096]).is_err();
        let _ = fs::remove_file(self.path().join("probe"));
        full
    }

    pub fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whatever still has a file open doesn't keep it in the list.
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}
