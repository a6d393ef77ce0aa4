//! Builds the updates of a batch of renewals directly as BSON. Building a `Document` for each would
//! take longer than the rest of what a client does for a lease.

use mongodb::bson::{RawArrayBuf, RawDocumentBuf, rawdoc};

use super::pipeline;
use super::record::millis;
use crate::{Error, RenewOptions, Result};

/// The parts of the updates that are the same for each lease.
struct CommonParts {
    is_extendable: RawDocumentBuf,
    now: RawDocumentBuf,
}

impl CommonParts {
    fn new() -> mongodb::bson::error::Result<Self> {
        Ok(Self {
            is_extendable: RawDocumentBuf::try_from(pipeline::is_extendable())?,
            now: RawDocumentBuf::try_from(pipeline::now())?,
        })
    }

    /// Returns the update that extends one lease, or leaves its document as it is. It does the same
    /// as [`pipeline::renew`] without a mark, since the reply to a batch has no documents.
    fn update(&self, RenewOptions { name, lease, ttl, .. }: &RenewOptions) -> RawDocumentBuf {
        let is_of_lease = rawdoc! { "$eq": ["$lease", { "$literal": lease.to_string() }] };
        let is_renewable = rawdoc! { "$and": [self.is_extendable.clone(), is_of_lease] };
        let expiry = rawdoc! { "$add": [self.now.clone(), millis(*ttl)] };
        let expires = rawdoc! { "$cond": [is_renewable, expiry, "$expires"] };
        rawdoc! { "q": { "_id": name.as_str() }, "u": [{ "$set": { "expires": expires } }] }
    }
}

/// Returns an update for each lease.
pub(super) fn updates(leases: &[&RenewOptions]) -> Result<RawArrayBuf> {
    let common = CommonParts::new().map_err(|source| {
        Error::invalid("the renewals cannot be encoded as BSON").with_source(source)
    })?;
    Ok(leases.iter().map(|lease| common.update(lease)).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mongodb::bson::{Bson, Document, doc};

    use super::*;
    use crate::{LeaseId, LockName};

    /// Returns the condition by which a stage sets the field, and the values for both cases.
    fn choice<'a>(stage: &'a Document, field: &str) -> &'a [Bson] {
        let set = stage.get_document("$set").unwrap();
        set.get_document(field).unwrap().get_array("$cond").unwrap()
    }

    #[test]
    fn each_update_of_a_batch_finds_its_document_by_the_id_and_extends_one_lease() {
        let renewal = |name: &str, secs: u64| {
            let name = LockName::new(name).unwrap();
            RenewOptions::new(name, LeaseId::new(), Duration::from_secs(secs))
        };
        let leases = [renewal("job", 3), renewal("$a.b", 7)];
        let updates = updates(&leases.iter().collect::<Vec<_>>()).unwrap();
        let updates = Document::try_from(rawdoc! { "updates": updates }).unwrap();
        let expected = leases.iter().map(|RenewOptions { name, lease, ttl, .. }| {
            // The pipeline for one lease marks the document first, and then extends a marked one.
            let stages = pipeline::renew(*lease, millis(*ttl), "mark");
            let [mark, extend] = &stages[..] else { panic!("{stages:?}") };
            let [is_renewable, ..] = choice(mark, "call") else { panic!("{mark}") };
            let [_, expiry, unchanged] = choice(extend, "expires") else { panic!("{extend}") };
            let expires =
                doc! { "$cond": [is_renewable.clone(), expiry.clone(), unchanged.clone()] };
            let set = doc! { "$set": { "expires": expires } };
            Bson::from(doc! { "q": { "_id": name.as_str() }, "u": [set] })
        });
        assert_eq!(updates.get_array("updates").unwrap(), &expected.collect::<Vec<_>>());
    }
}
