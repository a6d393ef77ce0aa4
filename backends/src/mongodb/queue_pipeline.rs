//! Builds the update pipelines of queues. [`entries`](crate::shell::entries) says what they do.
//!
//! Each pipeline first decides, and writes its mark if it changes the document. A later stage changes
//! a marked document only.
//!
//! The field `clock` has the time of the decision that changed the queue last. The server's time is
//! that of the start of a command, which may wait for another one that started later. The clock of
//! each decision is therefore the later of the two times, and entries that have expired by it are
//! dropped: a command that waited extends no entry whose end was reported to another client.

use mongodb::bson::{Bson, Document, doc};

use super::pipeline::{AcquireMarks, is, is_enabled, is_free, is_new, is_ours, literal, next, now};
use crate::shell::entries::MARKER;
use crate::{EnterOptions, LeaseId, LockName, MAX_ENTRIES};

fn is_marked() -> Document {
    doc! { "$eq": ["$lease", literal(&MARKER.to_string())] }
}

/// Returns the time of this decision.
fn clock() -> Document {
    doc! { "$cond": [is_marked(), { "$max": [now(), "$clock"] }, now()] }
}

fn is_in_force() -> Document {
    doc! { "$and": [is_marked(), is("expires", "long"), { "$gt": ["$expires", clock()] }] }
}

fn stored() -> Document {
    doc! { "$cond": [is("queue", "array"), "$queue", []] }
}

/// Returns whether the document has a queue, in force or expired, and the fields have their types.
/// Another document is left unchanged, so that it is reported.
fn has_queue() -> Document {
    let mut has_types = vec![Bson::from(is_of_type("e", "string", Some("")))];
    for (field, kind) in [
        ("l", "string"),
        ("p", "long"),
        ("w", "long"),
        ("h", "string"),
        ("t", "long"),
        ("x", "long"),
    ] {
        has_types.push(is_of_type(field, kind, None).into());
    }
    let is_foreign = doc! { "$eq": [{ "$and": has_types }, false] };
    let foreign = doc! { "$filter": { "input": stored(), "as": "entry", "cond": is_foreign } };
    let mut conditions = vec![
        is_ours(),
        doc! { "$gt": ["$token", 0_i64] },
        is_marked(),
        doc! { "$or": [is("ending", "missing"), is("ending", "string")] },
        doc! { "$eq": [foreign, []] },
        doc! { "$lt": ["$clock", "$expires"] },
    ];
    for (field, kind) in [
        ("kind", "string"),
        ("capacity", "long"),
        ("queue", "array"),
        ("clock", "long"),
        ("expires", "long"),
        ("granted", "long"),
        ("holder", "string"),
    ] {
        conditions.push(is(field, kind));
    }
    doc! { "$and": conditions }
}

/// Returns whether a field of an entry has the type. A field that may be missing has a default.
fn is_of_type(field: &str, kind: &str, default: Option<&str>) -> Document {
    let value = Bson::from(format!("$$entry.{field}"));
    let value = match default {
        Some(default) => Bson::from(doc! { "$ifNull": [value, default] }),
        None => value,
    };
    doc! { "$eq": [{ "$type": value }, kind] }
}

/// Returns the live entries, in order.
fn live() -> Document {
    let is_live = doc! { "$gt": ["$$entry.x", "$$clock"] };
    let live = doc! { "$filter": { "input": stored(), "as": "entry", "cond": is_live } };
    let live = doc! { "$let": { "vars": { "clock": clock() }, "in": live } };
    doc! { "$cond": [is_in_force(), live, []] }
}

fn is_of(entry: &str, lease: LeaseId) -> Document {
    doc! { "$eq": [format!("$${entry}.l"), literal(&lease.to_string())] }
}

fn of_lease(input: impl Into<Bson>, lease: LeaseId) -> Document {
    let input: Bson = input.into();
    doc! { "$filter": { "input": input, "as": "entry", "cond": is_of("entry", lease) } }
}

fn changed_by(mark: &str) -> Document {
    doc! { "$eq": ["$call", literal(mark)] }
}

/// Makes these changes if the condition is true.
fn set_if(condition: &Document, changes: Document) -> Document {
    let mut fields = Document::new();
    for (field, changed) in changes {
        let unchanged = format!("${field}");
        fields.insert(field, doc! { "$cond": [condition.clone(), changed, unchanged] });
    }
    doc! { "$set": fields }
}

/// Sets the fields that follow from the queue, if the condition is true. A name without entries is
/// free, as after a release.
fn follow_queue(condition: &Document) -> Document {
    let is_empty = doc! { "$eq": ["$queue", []] };
    let first = doc! { "$reduce": {
        "input": "$queue",
        "initialValue": Bson::Null,
        "in": { "$ifNull": ["$$value", "$$this.h"] },
    } };
    let last = doc! { "$max": { "$map": {
        "input": "$queue", "as": "entry", "in": "$$entry.x",
    } } };
    let mut changes = doc! {
        "holder": { "$cond": [is_empty.clone(), "$$REMOVE", first] },
        "expires": { "$cond": [is_empty.clone(), "$$REMOVE", last] },
    };
    for field in ["lease", "granted", "ending", "kind", "capacity", "clock", "queue"] {
        let kept = format!("${field}");
        changes.insert(field, doc! { "$cond": [is_empty.clone(), "$$REMOVE", kept] });
    }
    set_if(condition, changes)
}

/// Adds an entry, or leaves the document as it is. A retry of an attempt whose entry is live changes
/// only the mark and the clock, and drops the expired entries.
pub(super) fn enter(
    name: &LockName,
    options: &EnterOptions,
    holder: &str,
    ttl: i64,
    marks: &AcquireMarks,
) -> Vec<Document> {
    let EnterOptions { lease, kind, weight, wait, .. } = options;
    let (weight, capacity) = (i64::from(*weight), i64::from(kind.capacity()));
    let most = i64::try_from(MAX_ENTRIES).unwrap_or(i64::MAX);
    let has_queue_in_force = doc! { "$and": [has_queue(), is_in_force()] };
    let is_unused = doc! { "$or": [is_new(name), { "$and": [is_ours(), is_free()] }] };
    let is_same_kind = doc! { "$and": [
        { "$eq": ["$kind", literal(&kind.code())] },
        { "$eq": ["$capacity", capacity] },
    ] };
    let mut conditions = vec![
        is_enabled(),
        doc! { "$or": [is_unused, has_queue_in_force.clone()] },
        doc! { "$or": [{ "$eq": ["$$live", []] }, is_same_kind] },
        doc! { "$eq": [of_lease("$$live", *lease), []] },
        doc! { "$lt": [{ "$size": "$$live" }, most] },
    ];
    if !wait {
        let weights = doc! { "$map": { "input": "$$live", "as": "entry", "in": "$$entry.w" } };
        let used = doc! { "$add": [{ "$sum": weights }, weight] };
        conditions.push(doc! { "$lte": [used, capacity] });
    }
    let may_enter = doc! { "$let": { "vars": { "live": live() }, "in": { "$and": conditions } } };
    let has_entered = doc! { "$ne": [of_lease(live(), *lease), []] };
    let is_repeated = doc! { "$and": [is_enabled(), has_queue_in_force, has_entered] };
    let repeated = doc! { "$cond": [is_repeated, literal(&marks.repeated), "$call"] };
    let call = doc! { "$cond": [may_enter, literal(&marks.granted), repeated] };

    let entered = changed_by(&marks.granted);
    let changed = doc! { "$or": [entered.clone(), changed_by(&marks.repeated)] };
    let entry = doc! {
        "l": literal(&lease.to_string()),
        "p": next("token"),
        "w": weight,
        "h": literal(holder),
        "t": now(),
        "x": { "$add": [clock(), ttl] },
    };
    // A disable concerns the entries that were made before it.
    let marked = doc! { "$mergeObjects": ["$$entry", { "e": "$ending" }] };
    let marked = doc! { "$map": { "input": live(), "as": "entry", "in": marked } };
    let before = doc! { "$cond": [is("ending", "string"), marked, live()] };
    let queue = doc! { "$cond": [
        entered.clone(), { "$concatArrays": [before, [entry]] }, live(),
    ] };
    let mut changes = doc! {
        "token": next("token"),
        "lease": MARKER.to_string(),
        "granted": now(),
        "kind": literal(&kind.code()),
        "capacity": capacity,
        "ending": "$$REMOVE",
        "signal": { "$ifNull": ["$signal", 0_i64] },
    };
    for (field, value) in changes.iter_mut() {
        *value = doc! { "$cond": [entered.clone(), value.clone(), format!("${field}")] }.into();
    }
    changes.extend(doc! { "queue": queue, "clock": clock() });
    vec![doc! { "$set": { "call": call } }, set_if(&changed, changes), follow_queue(&changed)]
}

/// Extends the entry of that lease, unless its holder has to leave, and drops expired entries. It
/// writes the mark whenever the document has a queue, so that the document shows the entries that
/// were live at its clock.
pub(super) fn renew(lease: LeaseId, ttl: i64, mark: &str) -> Vec<Document> {
    let extended = doc! { "$mergeObjects": ["$$entry", { "x": { "$add": ["$$clock", ttl] } }] };
    let may_stay = doc! { "$eq": [{ "$ifNull": ["$$entry.e", ""] }, ""] };
    let is_renewable = doc! { "$and": [is_of("entry", lease), may_stay] };
    let entry = doc! { "$cond": [is_renewable, extended, "$$entry"] };
    let all = doc! { "$map": { "input": live(), "as": "entry", "in": entry } };
    let all = doc! { "$let": { "vars": { "clock": clock() }, "in": all } };
    let may_extend = doc! { "$and": [is_enabled(), is("ending", "missing")] };
    let queue = doc! { "$cond": [may_extend, all, live()] };
    let changed = changed_by(mark);
    vec![
        doc! { "$set": { "call": { "$cond": [has_queue(), literal(mark), "$call"] } } },
        set_if(&changed, doc! { "queue": queue, "clock": clock() }),
        follow_queue(&changed),
    ]
}

/// Removes the entry of that lease if it is live, or leaves the document as it is. The field `woken`
/// becomes the signal and the leases that hold the lock because of it, separated by commas.
pub(super) fn leave(lease: LeaseId, mark: &str) -> Vec<Document> {
    let has_entered = doc! { "$ne": [of_lease(live(), lease), []] };
    let may_leave = doc! { "$and": [has_queue(), has_entered] };
    let is_other = doc! { "$eq": [is_of("entry", lease), false] };
    let others = doc! { "$filter": { "input": live(), "as": "entry", "cond": is_other } };
    let changed = changed_by(mark);
    let concerns_others = doc! { "$or": [{ "$ne": ["$woken", ""] }, { "$eq": ["$queue", []] }] };
    let signal = doc! { "$cond": [concerns_others, next("signal"), "$signal"] };
    let text = doc! { "$concat": [{ "$toString": "$signal" }, "$woken"] };
    let woken = doc! { "$cond": [{ "$eq": ["$woken", ""] }, "$$REMOVE", text] };
    vec![
        doc! { "$set": { "call": { "$cond": [may_leave, literal(mark), "$call"] } } },
        set_if(
            &changed,
            doc! { "queue": others, "clock": clock(), "woken": granted_by_leaving(lease) },
        ),
        set_if(&changed, doc! { "signal": signal }),
        set_if(&changed, doc! { "woken": woken }),
        follow_queue(&changed),
    ]
}

/// Returns the leases that hold the lock when that one has left, and did not before, each after a
/// comma. `used` sums up the weights so far, and `own` that of the entry that leaves.
fn granted_by_leaving(lease: LeaseId) -> Document {
    let own = doc! { "$cond": [is_of("this", lease), "$$this.w", 0_i64] };
    let sums = doc! {
        "used": { "$add": ["$$value.used", "$$this.w"] },
        "own": { "$add": ["$$value.own", own] },
    };
    let is_granted = doc! { "$and": [
        { "$eq": [is_of("this", lease), false] },
        { "$gt": ["$$used", "$capacity"] },
        { "$lte": [{ "$subtract": ["$$used", "$$own"] }, "$capacity"] },
    ] };
    let added = doc! { "$concat": ["$$value.woken", ",", "$$this.l"] };
    let step = doc! {
        "used": "$$used",
        "own": "$$own",
        "woken": { "$cond": [is_granted, added, "$$value.woken"] },
    };
    let reduced = doc! { "$reduce": {
        "input": live(),
        "initialValue": { "used": 0_i64, "own": 0_i64, "woken": "" },
        "in": { "$let": { "vars": sums, "in": step } },
    } };
    doc! { "$let": { "vars": { "reduced": reduced }, "in": "$$reduced.woken" } }
}

#[cfg(test)]
mod tests;
