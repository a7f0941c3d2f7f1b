//! RingCentral's streaming profiles: which queue's or campaign's calls are streamed where.
//!
//! They come over HTTP and are kept in `state_dir`, one file that is replaced whole, so that it is
//! never half written. A queue is one of our groups, named by its number or name, or the calls whose
//! channel has its number in [`QUEUE_VARIABLE`]; a campaign is the outgoing calls whose channel has
//! its number in [`CAMPAIGN_VARIABLE`].

use std::{
    fmt, fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    facts::{CallFacts, Direction},
    spec::{StreamForm, StreamSpec},
};

/// The channel variable that says which campaign an outgoing call belongs to.
pub const CAMPAIGN_VARIABLE: &str = "GW_CAMPAIGN";
/// The channel variable that says which queue a call is of, where the group's name isn't its id.
pub const QUEUE_VARIABLE: &str = "GW_QUEUE";
/// The file in `state_dir`.
pub const FILE: &str = "products.json";
/// Profiles in all; each call looks at every one.
const MOST: usize = 1000;
/// Longest text of a profile.
const MAX_TEXT: usize = 1024;

/// A streaming profile, as RingCentral has it.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Product {
    pub product_type: ProductType,
    /// The queue's number, or the name of one of our groups; the campaign's number.
    pub product_id: ProductId,
    #[serde(default)]
    pub sub_account_id: String,
    #[serde(default)]
    pub main_account_id: String,
    #[serde(default)]
    pub rc_account_id: String,
    /// Where audio goes; `wss:` alone.
    #[schema(pattern = "^wss://")]
    pub streaming_url: String,
    /// Sent as `Authorization: Bearer …`, so that the consumer knows who streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProductType {
    /// Calls that come in for a group.
    Queue,
    /// Calls that go out for a campaign.
    Campaign,
}

/// A number, or a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ProductId {
    Number(u64),
    Name(String),
}

/// Why a profile isn't taken.
#[derive(Debug, thiserror::Error)]
pub enum ProductError {
    #[error("{0}")]
    Bad(String),
    #[error("there are {MOST} profiles already")]
    TooMany,
    #[error("there is no state_dir to keep it in")]
    NoPlace,
    #[error("it can't be kept: {0}")]
    Disk(#[from] io::Error),
}

impl fmt::Debug for Product {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Product({:?} {})", self.product_type, self.product_id)
    }
}

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl ProductType {
    /// The type of this name, in any case, as it stands in a path.
    pub fn parse(text: &str) -> Option<Self> {
        [("QUEUE", Self::Queue), ("CAMPAIGN", Self::Campaign)]
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
            .map(|(_, kind)| kind)
    }
}

impl Product {
    /// Whether this call is streamed.
    pub fn wants(&self, facts: &CallFacts) -> bool {
        let id = self.product_id.to_string();
        match self.product_type {
            ProductType::Queue => {
                facts.direction == Direction::In
                    && (facts.group == id || facts.variables.get(QUEUE_VARIABLE) == Some(&id))
            }
            ProductType::Campaign => {
                facts.direction == Direction::Out
                    && facts.variables.get(CAMPAIGN_VARIABLE) == Some(&id)
            }
        }
    }

    /// The stream that it asks for, or what is wrong with it.
    pub fn spec(&self) -> Result<StreamSpec, ProductError> {
        let bad = |text: String| Err(ProductError::Bad(text));
        let texts = [&self.sub_account_id, &self.main_account_id, &self.rc_account_id];
        if texts.into_iter().any(|text| text.len() > MAX_TEXT) {
            return bad("an account's id is too long".to_owned());
        }
        if !self.streaming_url.to_ascii_lowercase().starts_with("wss://") {
            return bad("streamingUrl doesn't begin with wss://".to_owned());
        }
        let number = match &self.product_id {
            ProductId::Number(number) => *number,
            ProductId::Name(name) if crate::call::is_extension(name) => {
                name.parse().unwrap_or_default()
            }
            ProductId::Name(_) => return bad("productId can't be a group's name".to_owned()),
        };
        let form = StreamForm {
            name: format!("product {}", self.product_id),
            format: "ringcentral".to_owned(),
            url: self.streaming_url.clone(),
            token: self.secret.clone(),
            product_type: match self.product_type {
                ProductType::Queue => "Queue".to_owned(),
                ProductType::Campaign => "Campaign".to_owned(),
            },
            product_id: Some(number),
            account_id: self.main_account_id.clone(),
            subaccount_id: self.sub_account_id.clone(),
            rc_account_id: self.rc_account_id.clone(),
            ..StreamForm::default()
        };
        form.read(None).map_err(|faults| {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            ProductError::Bad(faults.join("; "))
        })
    }

    fn is(&self, kind: ProductType, id: &str) -> bool {
        self.product_type == kind && self.product_id.to_string() == id
    }
}

/// All profiles.
#[derive(Debug, Default)]
pub struct Products(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    list: Vec<Product>,
    file: Option<PathBuf>,
}

impl Products {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what an earlier run has kept, and keeps there what comes. Blocks on the disk.
    pub fn load(&self, state_dir: &Path) -> Result<usize, ProductError> {
        let file = state_dir.join(FILE);
        let mut kept = self.kept();
        kept.file = Some(file.clone());
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        kept.list = serde_json::from_slice(&text)
            .map_err(|error| ProductError::Bad(format!("{}: {error}", file.display())))?;
        Ok(kept.list.len())
    }

    /// The streams that profiles ask for with this call.
    pub fn streams_for(&self, facts: &CallFacts) -> Vec<StreamSpec> {
        let kept = self.kept();
        let wanted = kept.list.iter().filter(|product| product.wants(facts));
        wanted.filter_map(|product| product.spec().ok()).collect()
    }

    pub fn list(&self) -> Vec<Product> {
        self.kept().list.clone()
    }

    pub fn get(&self, kind: ProductType, id: &str) -> Option<Product> {
        self.kept().list.iter().find(|product| product.is(kind, id)).cloned()
    }

    /// Keeps a profile, in the place of the one with the same type and id. Blocks on the disk.
    pub fn put(&self, product: Product) -> Result<(), ProductError> {
        product.spec()?;
        let mut kept = self.kept();
        let mut list = kept.list.clone();
        let id = product.product_id.to_string();
        list.retain(|other| !other.is(product.product_type, &id));
        if list.len() >= MOST {
            return Err(ProductError::TooMany);
        }
        list.push(product);
        kept.replace(list)
    }

    /// Forgets a profile; false if there was none. Blocks on the disk.
    pub fn remove(&self, kind: ProductType, id: &str) -> Result<bool, ProductError> {
        let mut kept = self.kept();
        let mut list = kept.list.clone();
        list.retain(|product| !product.is(kind, id));
        if list.len() == kept.list.len() {
            return Ok(false);
        }
        kept.replace(list).map(|()| true)
    }
}

impl Kept {
    /// On the disk first: what was promised is there after a power cut.
    fn replace(&mut self, list: Vec<Product>) -> Result<(), ProductError> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = self.file.as_ref().ok_or(ProductError::NoPlace)?;
        let text = serde_json::to_vec_pretty(&list).map_err(io::Error::other)?;
        let new = file.with_extension("json.new");
        // Secrets are in it.
        let mut out = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        out.write_all(&text)?;
        out.sync_all()?;
        fs::rename(&new, file)?;
        self.list = list;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(text: serde_json::Value) -> Product {
        serde_json::from_value(text).unwrap()
    }

    fn sample() -> serde_json::Value {
        serde_json::json!({
            "productType": "QUEUE", "productId": 1234, "subAccountId": "99990001",
            "mainAccountId": "99990000", "rcAccountId": "123456789",
            "streamingUrl": "wss://sample.com", "secret": "sampleSecret",
        })
    }

    #[test]
    fn a_profile_is_answered_as_it_was_sent() {
        let product = product(sample());
        assert_eq!(serde_json::to_value(&product).unwrap(), sample());
        assert!(product.spec().is_ok());
        assert!(!format!("{product:?}").contains("sampleSecret"));
    }

    #[test]
    fn ws_without_tls_is_refused() {
        for url in ["ws://sample.com", "https://sample.com", "", "wss://"] {
            let mut text = sample();
            text["streamingUrl"] = url.into();
            assert!(product(text).spec().is_err(), "{url}");
        }
    }

    #[test]
    fn a_queue_is_a_group_and_a_campaign_a_variable_of_outgoing_calls() {
        let queue = product(sample());
        let mut facts = CallFacts { group: "1234".into(), ..CallFacts::default() };
        assert!(queue.wants(&facts));
        facts.group = "12".into();
        assert!(!queue.wants(&facts));
        facts.variables.insert(QUEUE_VARIABLE.into(), "1234".into());
        assert!(queue.wants(&facts));
        let mut text = sample();
        text["productType"] = "CAMPAIGN".into();
        let campaign = product(text);
        facts.variables.insert(CAMPAIGN_VARIABLE.into(), "1234".into());
        assert!(!campaign.wants(&facts), "it came in");
        facts.direction = Direction::Out;
        assert!(campaign.wants(&facts));
    }

    #[test]
    fn profiles_outlive_the_process_and_are_replaced_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let products = Products::default();
        assert!(matches!(products.put(product(sample())), Err(ProductError::NoPlace)));
        assert_eq!(products.load(folder.path()).unwrap(), 0);
        products.put(product(sample())).unwrap();
        let mut newer = sample();
        newer["streamingUrl"] = "wss://newer.example".into();
        products.put(product(newer)).unwrap();
        let again = Products::default();
        assert_eq!(again.load(folder.path()).unwrap(), 1);
        assert_eq!(
            again.get(ProductType::Queue, "1234").unwrap().streaming_url,
            "wss://newer.example"
        );
        assert!(again.remove(ProductType::Queue, "1234").unwrap());
        assert!(!again.remove(ProductType::Queue, "1234").unwrap());
        assert_eq!(Products::default().load(folder.path()).unwrap(), 0);
    }
}
