//! A write to a single document needs no transaction: a field of the document keeps the newest
//! token.

use ::mongodb::bson::{Bson, Document, doc};
use leasehold_core::FencingToken;

use super::fence::MongoFence;

/// An application's document keeps the newest token that has written to it in this field.
pub const FIELD: &str = "leasehold_fence";

impl MongoFence {
    /// Returns the filter for a write to a single document, without a transaction.
    ///
    /// It matches as long as no newer term has written to that document with
    /// [`update`](Self::update). So an older term is refused only where a newer one has written
    /// already, and no raise is needed. An upsert that is refused fails because the `_id` exists.
    ///
    /// ```
    /// # use leasehold_fence::{Result, mongodb::MongoFence};
    /// # use mongodb::{Collection, bson::{Document, doc}};
    /// # async fn example(fence: &MongoFence, pages: &Collection<Document>) -> Result<()> {
    /// let change = fence.update(doc! { "$set": { "text": "new" } });
    /// let written = pages.update_one(fence.filter(doc! { "_id": "home" }), change).await;
    /// if written.map_err(|cause| fence.error(cause))?.matched_count == 0 {
    ///     // The document is missing, or a newer term has written to it.
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn filter(&self, filter: Document) -> Document {
        with_no_newer(filter, self.term().token())
    }

    /// Returns an update with operators, such as `$set`, that also keeps the term in the document.
    #[must_use]
    pub fn update(&self, update: Document) -> Document {
        with_term(update, self.term().floor())
    }
}

fn with_no_newer(filter: Document, token: FencingToken) -> Document {
    let newer = doc! { "$gt": i64::from(token) };
    doc! { "$and": [filter, { FIELD: { "$not": newer } }] }
}

fn with_term(mut update: Document, floor: FencingToken) -> Document {
    let floor = i64::from(floor);
    match update.get_mut("$max") {
        Some(Bson::Document(fields)) => {
            fields.insert(FIELD, floor);
        }
        // The server refuses an update whose `$max` is not a document.
        Some(_) => {}
        None => {
            update.insert("$max", doc! { FIELD: floor });
        }
    }
    update
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guarded_write_keeps_its_own_filter_and_operators() {
        let token = FencingToken::new(7).unwrap();
        let filter = with_no_newer(doc! { "_id": 1 }, token);
        let condition = doc! { "leasehold_fence": { "$not": { "$gt": 7_i64 } } };
        assert_eq!(filter, doc! { "$and": [{ "_id": 1 }, condition] });
        let update = with_term(doc! { "$max": { "peak": 3 }, "$inc": { "runs": 1 } }, token);
        let maximums = doc! { "peak": 3, "leasehold_fence": 7_i64 };
        assert_eq!(update, doc! { "$max": maximums, "$inc": { "runs": 1 } });
        let update = with_term(doc! { "$set": { "a": 1 } }, token);
        assert_eq!(update, doc! { "$set": { "a": 1 }, "$max": { "leasehold_fence": 7_i64 } });
    }
}
