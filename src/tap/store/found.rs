//! A recording that was found: how long it is, and any part of it. Only what is asked for is read,
//! and sent over a line.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::{GetOptions, ObjectStore, path::Path as Key};
use tokio::task::spawn_blocking;

use super::{CHUNK, one_line};
use crate::tap::view::Fetched;

/// A file that is there. One that grows is as long as it was when it was found.
#[derive(Debug)]
pub struct Found {
    pub bytes: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    File(File),
    Object(Arc<dyn ObjectStore>, Key),
}

impl Found {
    /// A file of this machine; `None` if it isn't there. Blocks.
    pub fn file(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = file.metadata()?.len();
        Ok(Some(Self { bytes, source: Source::File(file) }))
    }

    pub(super) fn object(store: Arc<dyn ObjectStore>, key: Key, bytes: u64) -> Self {
        Self { bytes, source: Source::Object(store, key) }
    }

    /// The bytes from `first` on, `length` of them or as many as there are.
    pub async fn read(self, first: u64, length: u64) -> Result<Fetched, String> {
        let first = first.min(self.bytes);
        let bytes = length.min(self.bytes - first);
        if bytes == 0 {
            // A store refuses to read nothing.
            return Ok(Fetched { bytes, body: futures_util::stream::empty().boxed() });
        }
        let body = match self.source {
            Source::File(file) => pieces(file, first, bytes),
            Source::Object(store, key) => {
                let part = GetOptions::new().with_range(Some(first..first + bytes));
                let got = store.get_opts(&key, part).await.map_err(|error| one_line(&error))?;
                if got.range != (first..first + bytes) {
                    return Err("the store sent another part than was asked for".to_owned());
                }
                got.into_stream().map(|part| part.map_err(io::Error::other)).boxed()
            }
        };
        Ok(Fetched { bytes, body })
    }
}

/// A file's bytes, read on threads that may wait.
fn pieces(
    file: File,
    first: u64,
    bytes: u64,
) -> std::pin::Pin<Box<dyn futures_util::Stream<Item = io::Result<Bytes>> + Send>> {
    let begin = (Arc::new(file), first, bytes);
    futures_util::stream::try_unfold(begin, |(file, at, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let reader = file.clone();
        let read = spawn_blocking(move || {
            let mut chunk = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
            reader.read_exact_at(&mut chunk, at).map(|()| Bytes::from(chunk))
        });
        let chunk = read.await.map_err(io::Error::other)??;
        let length = chunk.len() as u64;
        Ok(Some((chunk, (file, at + length, left - length))))
    })
    .boxed()
}
