//! Where recordings belong: a folder of this machine, or a bucket of an S3-compatible store.
//!
//! A file is there whole or not at all: the folder gets it under another name first, the bucket by
//! one request or by parts that count only when they are all there.

mod found;

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig, aws::AmazonS3Builder,
    buffered::BufWriter, path::Path as Key,
};
use tokio::{io::AsyncWriteExt, task::spawn_blocking};

pub use found::Found;

/// A file up to this size goes in one request, a larger one in parts of this size: it is also what
/// an upload holds in memory, twice.
const PART: usize = 8 * 1024 * 1024;
/// Parts that are on their way at the same time.
const PARTS: usize = 2;
/// How long one request may take: a part over a slow line.
const REQUEST_TIME: Duration = Duration::from_secs(120);
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Bytes that are read of a file at once.
const CHUNK: usize = 256 * 1024;

/// Where recordings belong, as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Folder(PathBuf),
    S3(Bucket),
}

/// A bucket. Its credentials come from the environment (`AWS_ACCESS_KEY_ID`, …).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    pub name: String,
    /// Empty means Amazon's own.
    pub endpoint: String,
    pub region: String,
}

/// A place that can be written to.
#[derive(Debug, Clone)]
pub struct Store {
    kind: Kind,
    prefix: String,
}

#[derive(Debug, Clone)]
enum Kind {
    Folder(PathBuf),
    S3(Arc<dyn ObjectStore>, String),
}

impl Store {
    pub fn open(place: &Place, prefix: &str) -> Result<Self, String> {
        let kind = match place {
            Place::Folder(folder) => Kind::Folder(folder.clone()),
            Place::S3(bucket) => {
                let options = ClientOptions::new()
                    .with_timeout(REQUEST_TIME)
                    .with_connect_timeout(CONNECT_TIME)
                    .with_allow_http(true);
                let mut builder = AmazonS3Builder::from_env()
                    .with_bucket_name(&bucket.name)
                    .with_region(&bucket.region)
                    .with_client_options(options)
                    // The spool tries again, for as long as it takes.
                    .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
                if !bucket.endpoint.is_empty() {
                    builder = builder.with_endpoint(&bucket.endpoint).with_allow_http(true);
                }
                let store = builder.build().map_err(|error| error.to_string())?;
                Kind::S3(Arc::new(store), bucket.name.clone())
            }
        };
        Ok(Self { kind, prefix: normal_prefix(prefix) })
    }

    /// Puts a file to its place, and says which that is.
    pub async fn put(&self, name: &str, file: &Path) -> Result<String, String> {
        let key = format!("{}{name}.wav", self.prefix);
        match &self.kind {
            Kind::Folder(folder) => {
                let (to, from) = (folder.join(&key), file.to_owned());
                let place = format!("file://{}", to.display());
                let put = spawn_blocking(move || put_file(&from, &to)).await;
                put.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
                Ok(place)
            }
            Kind::S3(store, bucket) => {
                put_object(store.clone(), &key, file).await.map_err(|e| one_line(&*e))?;
                Ok(format!("s3://{bucket}/{key}"))
            }
        }
    }

    /// Finds a file at its place; `None` if it isn't there.
    pub async fn find(&self, name: &str) -> Result<Option<Found>, String> {
        let key = format!("{}{name}.wav", self.prefix);
        match &self.kind {
            Kind::Folder(folder) => {
                let path = folder.join(&key);
                spawn_blocking(move || Found::file(&path))
                    .await
                    .map_err(|e| e.to_string())?
                    .map_err(|e| e.to_string())
            }
            Kind::S3(store, _) => {
                let key = Key::from(key);
                match store.head(&key).await {
                    Ok(facts) => Ok(Some(Found::object(store.clone(), key, facts.size))),
                    Err(object_store::Error::NotFound { .. }) => Ok(None),
                    Err(error) => Err(one_line(&error)),
                }
            }
        }
    }
}

/// `/a//b` and `a/b/` mean what they look like: no slash at the beginning, and none twice. A prefix
/// may end within a name (`rec-`).
pub fn normal_prefix(prefix: &str) -> String {
    let ends = prefix.ends_with('/');
    let parts: Vec<&str> = prefix.split('/').filter(|part| !part.is_empty()).collect();
    let mut normal = parts.join("/");
    if ends && !normal.is_empty() {
        normal.push('/');
    }
    normal
}

fn put_file(from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let part = folder.join(format!(".{name}.part"));
    // The same file twice where that can be, a copy where the folder is another disk's.
    let _ = fs::remove_file(&part);
    if fs::hard_link(from, &part).is_err() {
        fs::copy(from, &part)?;
        File::open(&part)?.sync_all()?;
    }
    fs::rename(&part, to)?;
    File::open(folder)?.sync_all()
}

async fn put_object(
    store: Arc<dyn ObjectStore>,
    key: &str,
    file: &Path,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let path = file.to_owned();
    let mut file = spawn_blocking(move || File::open(path)).await??;
    let mut upload =
        BufWriter::with_capacity(store, Key::from(key), PART).with_max_concurrency(PARTS);
    loop {
        let read = spawn_blocking(move || {
            let mut chunk = Vec::with_capacity(CHUNK);
            let read = Read::by_ref(&mut file).take(CHUNK as u64).read_to_end(&mut chunk);
            read.map(|_| (chunk, file))
        });
        let (chunk, rest) = read.await??;
        file = rest;
        if chunk.is_empty() {
            break;
        }
        if let Err(error) = upload.put(Bytes::from(chunk)).await {
            let _ = upload.abort().await;
            return Err(error.into());
        }
    }
    // Nothing is aborted here: after its last word the library can't be asked to, and panics. Parts
    // of an upload that failed at the very end are for the bucket's own rules to clear away.
    upload.shutdown().await?;
    Ok(())
}

/// The last cause of an error: what the store said.
fn one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    text.truncate(text.char_indices().nth(300).map_or(text.len(), |(at, _)| at));
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[test]
    fn slashes_in_a_prefix_mean_what_they_look_like() {
        for (prefix, normal) in [
            ("", ""),
            ("/", ""),
            ("calls", "calls"),
            ("calls/", "calls/"),
            ("/calls//2026/", "calls/2026/"),
            ("rec-", "rec-"),
        ] {
            assert_eq!(normal_prefix(prefix), normal);
        }
    }

    #[tokio::test]
    async fn a_folder_gets_a_file_whole_and_gives_it_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let from = folder.path().join("x.wav");
        let all: Vec<u8> = (0..CHUNK + 5).map(|n| n as u8).collect();
        fs::write(&from, all).expect("written");
        let place = Place::Folder(folder.path().join("kept"));
        let store = Store::open(&place, "/a/b-").expect("a store");
        let put = store.put("id", &from).await.expect("stored");
        assert!(put.ends_with("/kept/a/b-id.wav"), "{put}");
        let bytes = fs::read(&from).expect("read");
        let whole = bytes.len() as u64;
        for (first, length) in [
            (0, whole),
            (0, 1),
            (5, 0),
            (7, CHUNK as u64),
            (whole - 1, 9),
            (whole, 1),
            (9, u64::MAX),
        ] {
            let found = store.find("id").await.expect("read").expect("there");
            assert_eq!(found.bytes, whole);
            let got = found.read(first, length).await.expect("read");
            let end = first.saturating_add(length).min(whole);
            assert_eq!(got.bytes, end - first);
            let parts: Vec<Bytes> = got.body.map(|part| part.expect("read")).collect().await;
            assert_eq!(parts.concat(), bytes[first as usize..end as usize], "{first} {length}");
        }
        assert!(store.find("nobody").await.expect("read").is_none());
    }
}
