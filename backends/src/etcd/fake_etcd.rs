//! Runs transactions as etcd does, for tests of what they decide.

use std::collections::BTreeMap;

use etcd_client::proto::{
    PbCompare, PbDeleteResponse, PbKeyValue, PbPutResponse, PbRangeResponse, PbResponseHeader,
    PbResponseOp, PbTargetUnion, PbTxnOpRequest, PbTxnOpResponse, PbTxnRequest, PbTxnResponse,
};
use etcd_client::{CompareOp, Txn, TxnResponse};

/// A fake etcd has the keys and the revision of one.
#[derive(Debug, Default)]
pub(super) struct FakeEtcd {
    keys: BTreeMap<Vec<u8>, PbKeyValue>,
    revision: i64,
}

impl FakeEtcd {
    /// Runs a transaction, whose writes have a revision of their own.
    pub(super) fn run(&mut self, txn: Txn) -> TxnResponse {
        let (next, mut wrote) = (self.revision + 1, false);
        let mut response = self.apply(txn.into(), next, &mut wrote);
        if wrote {
            self.revision = next;
        }
        let header = PbResponseHeader { revision: self.revision, ..PbResponseHeader::default() };
        response.header = Some(header);
        TxnResponse(response)
    }

    /// Ends an etcd lease, which removes its keys.
    pub(super) fn expire(&mut self, lease: i64) {
        self.revision += 1;
        self.keys.retain(|_, kv| kv.lease != lease);
    }

    fn apply(&mut self, txn: PbTxnRequest, revision: i64, wrote: &mut bool) -> PbTxnResponse {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let operations = if succeeded { txn.success } else { txn.failure };
        let responses = operations.into_iter().map(|operation| {
            let response = match operation.request.expect("an operation") {
                PbTxnOpRequest::RequestRange(range) => {
                    let kvs = self.range(&range.key, &range.range_end);
                    let count = i64::try_from(kvs.len()).unwrap();
                    let kvs = if range.count_only { Vec::new() } else { kvs };
                    let got = PbRangeResponse { kvs, count, ..PbRangeResponse::default() };
                    PbTxnOpResponse::ResponseRange(got)
                }
                PbTxnOpRequest::RequestPut(put) => {
                    *wrote = true;
                    let before = self.keys.get(&put.key);
                    let kept = before.map(|kv| kv.value.clone());
                    let kv = PbKeyValue {
                        key: put.key.clone(),
                        value: if put.ignore_value { kept.expect("a value") } else { put.value },
                        create_revision: before.map_or(revision, |kv| kv.create_revision),
                        mod_revision: revision,
                        lease: put.lease,
                        ..PbKeyValue::default()
                    };
                    self.keys.insert(put.key, kv);
                    PbTxnOpResponse::ResponsePut(PbPutResponse::default())
                }
                PbTxnOpRequest::RequestDeleteRange(delete) => {
                    assert!(delete.range_end.is_empty(), "only single keys are deleted");
                    *wrote |= self.keys.remove(&delete.key).is_some();
                    PbTxnOpResponse::ResponseDeleteRange(PbDeleteResponse::default())
                }
                PbTxnOpRequest::RequestTxn(txn) => {
                    PbTxnOpResponse::ResponseTxn(self.apply(txn, revision, wrote))
                }
            };
            PbResponseOp { response: Some(response) }
        });
        let responses = responses.collect();
        PbTxnResponse { succeeded, responses, ..PbTxnResponse::default() }
    }

    fn range(&self, key: &[u8], end: &[u8]) -> Vec<PbKeyValue> {
        if end.is_empty() {
            return self.keys.get(key).cloned().into_iter().collect();
        }
        let of_range = |kv: &&PbKeyValue| kv.key.as_slice() >= key && kv.key.as_slice() < end;
        self.keys.values().filter(of_range).cloned().collect()
    }

    /// A comparison holds if it holds for each key of its range, or for a key with the revision 0 if
    /// there is none. That of a value does not hold then.
    fn holds(&self, compare: &PbCompare) -> bool {
        let found = self.range(&compare.key, &compare.range_end);
        let is_value = matches!(compare.target_union, Some(PbTargetUnion::Value(_)));
        if found.is_empty() {
            return !is_value && holds_for(compare, &PbKeyValue::default());
        }
        found.iter().all(|kv| holds_for(compare, kv))
    }
}

fn holds_for(compare: &PbCompare, kv: &PbKeyValue) -> bool {
    let ordering = match compare.target_union.as_ref().expect("a target") {
        PbTargetUnion::CreateRevision(revision) => kv.create_revision.cmp(revision),
        PbTargetUnion::ModRevision(revision) => kv.mod_revision.cmp(revision),
        PbTargetUnion::Value(value) => kv.value.cmp(value),
        other => panic!("{other:?} is not compared"),
    };
    match compare.result {
        op if op == CompareOp::Equal as i32 => ordering.is_eq(),
        op if op == CompareOp::Greater as i32 => ordering.is_gt(),
        op if op == CompareOp::Less as i32 => ordering.is_lt(),
        op => panic!("{op} is not used"),
    }
}
