//! Builds the filters and update pipelines, by which the server decides.
//!
//! Values of callers are passed as `$literal`, since a pipeline interprets `$` and `.` in strings.
//! A condition names the type of each field that it compares: a field that Leasehold did not write
//! is neither in force nor free, and is left unchanged so that it is reported.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use uuid::Uuid;

use super::record::VERSION;
use crate::{DisableOptions, LeaseId, LockName};

/// Returns the server's time at the start of the command, in milliseconds since 1970.
pub(super) fn now() -> Document {
    doc! { "$toLong": "$$NOW" }
}

pub(super) fn literal(value: &str) -> Document {
    doc! { "$literal": value }
}

pub(super) fn is(field: &str, kind: &str) -> Document {
    doc! { "$eq": [{ "$type": format!("${field}") }, kind] }
}

/// Returns the next value of a field: larger than before, and at least the time in microseconds.
pub(super) fn next(field: &str) -> Document {
    let previous = format!("${field}");
    doc! { "$max": [{ "$add": [previous, 1_i64] }, { "$multiply": [now(), 1000_i64] }] }
}

/// Returns whether an upsert is creating the document.
pub(super) fn is_new(name: &LockName) -> Document {
    doc! { "$eq": ["$$ROOT", { "_id": literal(name.as_str()) }] }
}

pub(super) fn is_ours() -> Document {
    doc! { "$and": [is("token", "long"), is("signal", "long"), is_of_our_version()] }
}

/// Excludes a document of a later version, which may have another meaning. It is left unchanged and
/// reported.
fn is_of_our_version() -> Document {
    doc! { "$lte": [{ "$ifNull": ["$version", VERSION] }, VERSION] }
}

pub(super) fn is_enabled() -> Document {
    is("disabled", "missing")
}

fn is_held() -> Document {
    let in_time = doc! { "$gt": ["$expires", now()] };
    doc! { "$and": [is("lease", "string"), is("expires", "long"), in_time] }
}

pub(super) fn is_free() -> Document {
    let never = doc! { "$and": [is("lease", "missing"), is("expires", "missing")] };
    let in_time = doc! { "$lte": ["$expires", now()] };
    doc! { "$or": [never, { "$and": [is("expires", "long"), in_time] }] }
}

/// Matches the name in any state.
pub(super) fn named(name: &LockName) -> Document {
    doc! { "_id": name.as_str() }
}

fn is_of_lease(lease: LeaseId) -> Document {
    doc! { "$eq": ["$lease", literal(&lease.to_string())] }
}

/// Returns whether a lease is in force, its holder need not stop, and the fields have their types.
pub(super) fn is_extendable() -> Document {
    doc! { "$and": [
        is_enabled(),
        is_ours(),
        { "$gt": ["$token", 0_i64] },
        is_held(),
        is("holder", "string"),
        is("granted", "long"),
        is("ending", "missing"),
    ] }
}

/// Returns a new mark. It shows in the reply to a call whether that call changed the document.
pub(super) fn new_mark() -> String {
    LeaseId::new().to_string()
}

/// Makes the changes and writes the mark if the condition is true. Otherwise the document stays as
/// it is.
///
/// The condition is a part of the change and not of the filter, which names the `_id` alone: a
/// server may read the whole collection for a filter with an expression.
fn change_if(condition: Document, mark: &str, changes: Document) -> Vec<Document> {
    let is_marked = doc! { "$eq": ["$call", literal(mark)] };
    let mut fields = Document::new();
    for (field, changed) in changes {
        let unchanged = format!("${field}");
        fields.insert(field, doc! { "$cond": [is_marked.clone(), changed, unchanged] });
    }
    vec![
        doc! { "$set": { "call": { "$cond": [condition, literal(mark), "$call"] } } },
        doc! { "$set": fields },
    ]
}

/// The marks that show in the reply to [`acquire`] what the call did.
pub(super) struct AcquireMarks {
    /// This call granted the name.
    pub(super) granted: String,
    /// An earlier call granted it to the same lease. The mark is written so that the reply waits
    /// until a majority has that grant.
    pub(super) repeated: String,
}

/// Grants the name, or leaves it as it is. Fields that a later version added are kept.
pub(super) fn acquire(
    name: &LockName,
    lease: LeaseId,
    holder: &str,
    ttl: i64,
    marks: &AcquireMarks,
) -> Vec<Document> {
    let grantable = doc! {
        "$and": [is_enabled(), { "$or": [is_new(name), { "$and": [is_ours(), is_free()] }] }]
    };
    let granted = doc! {
        "token": next("token"),
        "lease": literal(&lease.to_string()),
        "holder": literal(holder),
        "granted": now(),
        "expires": expiry(ttl),
        "call": literal(&marks.granted),
        "signal": { "$ifNull": ["$signal", 0_i64] },
    };
    let granted = doc! { "$mergeObjects": ["$$ROOT", granted] };
    let mine = doc! { "$and": [is_enabled(), is_ours(), is_held(), is_of_lease(lease)] };
    let repeated = doc! { "$mergeObjects": ["$$ROOT", { "call": literal(&marks.repeated) }] };
    let otherwise = doc! { "$cond": [mine, repeated, "$$ROOT"] };
    // An earlier disable set the mark for the previous lease.
    let is_granted = doc! { "$eq": ["$call", literal(&marks.granted)] };
    let ending = doc! { "$cond": [is_granted, "$$REMOVE", "$ending"] };
    vec![
        doc! { "$replaceWith": { "$cond": [grantable, granted, otherwise] } },
        doc! { "$set": { "ending": ending } },
    ]
}

/// Returns the time at which a lease ends that is granted or extended now.
fn expiry(ttl: i64) -> Document {
    doc! { "$add": [now(), ttl] }
}

/// Extends the lease of that id, or leaves the document as it is.
pub(super) fn renew(lease: LeaseId, ttl: i64, mark: &str) -> Vec<Document> {
    let is_renewable = doc! { "$and": [is_extendable(), is_of_lease(lease)] };
    change_if(is_renewable, mark, doc! { "expires": expiry(ttl) })
}

/// Ends the lease of that id if it is in force, or leaves the document as it is.
pub(super) fn release(lease: LeaseId, mark: &str) -> Vec<Document> {
    let mut changes = doc! { "signal": next("signal") };
    for field in ["lease", "holder", "granted", "expires", "ending"] {
        changes.insert(field, "$$REMOVE");
    }
    let is_held = doc! { "$and": [is_of_our_version(), is_held(), is_of_lease(lease)] };
    change_if(is_held, mark, changes)
}

/// Disables the name, or leaves it as it is. `call` distinguishes this call from an earlier one.
pub(super) fn disable(name: &LockName, options: &DisableOptions, call: &str) -> Vec<Document> {
    let reason = literal(options.reason.as_str());
    let mut disabled = doc! { "reason": reason.clone(), "at": now(), "call": literal(call) };
    if let Some(by) = &options.by {
        disabled.insert("by", literal(by));
    }
    let changed = doc! {
        "token": { "$ifNull": ["$token", 0_i64] },
        "disabled": disabled,
        "signal": next("signal"),
    };
    // The mark outlives an enable, so that the holder still stops.
    let marked = doc! { "$cond": [is_held(), { "ending": reason }, {}] };
    let may = doc! { "$and": [is_enabled(), { "$or": [is_new(name), is_ours()] }] };
    let merged = doc! { "$mergeObjects": ["$$ROOT", changed, marked] };
    vec![doc! { "$replaceWith": { "$cond": [may, merged, "$$ROOT"] } }]
}

/// Enables the name if it is disabled, or leaves it as it is.
pub(super) fn enable(mark: &str) -> Vec<Document> {
    let is_disabled = doc! { "$and": [is_ours(), { "$eq": [is_enabled(), false] }] };
    change_if(is_disabled, mark, doc! { "disabled": "$$REMOVE", "signal": next("signal") })
}

/// Reads what `matching` finds, with the server's time in the field `now`.
pub(super) fn read(matching: Document) -> Vec<Document> {
    vec![doc! { "$match": matching }, doc! { "$set": { "now": now() } }]
}

/// Reads a page of names from `from` on, without the one `after`.
pub(super) fn list(from: &str, after: Option<&str>, limit: i64) -> Vec<Document> {
    let mut names = doc! { "$gte": from };
    if let Some(after) = after {
        names.insert("$gt", after);
    }
    vec![
        doc! { "$match": { "_id": names } },
        doc! { "$sort": { "_id": 1 } },
        doc! { "$limit": limit },
        doc! { "$set": { "now": now() } },
    ]
}

/// Matches names that are enabled and not held, and whose latest grant is that long ago. Tokens
/// follow the clock, so the token shows the time of the grant.
fn unused_for(unused_for: Duration) -> Document {
    /// A century is longer than the age of any record, and no number overflows.
    const CENTURY: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);
    let millis = i64::try_from(unused_for.min(CENTURY).as_millis()).unwrap_or(i64::MAX);
    let before = doc! { "$multiply": [{ "$subtract": [now(), millis] }, 1000_i64] };
    let long_ago = doc! { "$lt": ["$token", before] };
    doc! {
        "disabled": { "$exists": false },
        "$expr": { "$and": [is_ours(), is_free(), long_ago] },
    }
}

/// Matches the name if it is unused.
pub(super) fn if_unused(name: &LockName, since: Duration) -> Document {
    let mut filter = unused_for(since);
    filter.insert("_id", name.as_str());
    filter
}

/// Reads a page of unused names.
pub(super) fn unused(after: Option<&str>, since: Duration, limit: usize) -> Vec<Document> {
    let mut filter = unused_for(since);
    filter.insert("_id", doc! { "$gt": after.unwrap_or_default() });
    vec![
        doc! { "$match": filter },
        doc! { "$sort": { "_id": 1 } },
        doc! { "$limit": i64::try_from(limit).unwrap_or(i64::MAX) },
        doc! { "$project": { "_id": 1 } },
    ]
}

/// Reads the names and signals of the last `window` milliseconds, with the queues.
pub(super) fn signals(window: i64) -> Vec<Document> {
    let since = doc! { "$multiply": [{ "$subtract": [now(), window] }, 1000_i64] };
    vec![
        doc! { "$match": { "signal": { "$type": "long" }, "$expr": { "$gt": ["$signal", since] } } },
        doc! { "$project": {
            "signal": 1, "lease": 1, "kind": 1, "capacity": 1, "queue": 1, "ending": 1,
            "disabled": 1,
        } },
    ]
}

/// Matches the record of that instance.
pub(super) fn instance(instance: Uuid) -> Document {
    doc! { "_id": instance.to_string() }
}

/// Stores the text of an instance, and replaces the whole document.
pub(super) fn announce(text: &str, ttl: i64) -> Vec<Document> {
    let kept = doc! { "_id": "$_id", "presence": literal(text), "expires": expiry(ttl) };
    vec![doc! { "$replaceWith": kept }]
}

/// Matches the records of instances that have expired.
pub(super) fn is_expired() -> Document {
    doc! { "expires": { "$type": "long" }, "$expr": { "$lte": ["$expires", now()] } }
}

/// Reads the records that have not expired, with the server's time in the field `now`.
pub(super) fn known_instances() -> Vec<Document> {
    read(doc! { "$nor": [is_expired()] })
}

/// Selects the changes that may concern waiters: heartbeats change no signal.
pub(super) fn signal_changes() -> Vec<Document> {
    let whole = ["insert", "replace"].map(Bson::from).to_vec();
    // These are changes by an operator.
    let others = ["delete", "drop", "rename", "dropDatabase", "invalidate"];
    let others = others.map(Bson::from).to_vec();
    vec![doc! { "$match": { "$or": [
        { "updateDescription.updatedFields.signal": { "$exists": true } },
        { "operationType": { "$in": whole }, "fullDocument.signal": { "$gt": 0_i64 } },
        { "operationType": { "$in": others } },
    ] } }]
}
