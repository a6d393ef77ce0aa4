// The model has the locks by their latest events, the terms that were seen, and the candidates.
//
// Every time is of performance.now(): the server sends durations, and calendar clocks may differ.

/** The strip covers the time of the known terms, within these bounds. */
const [MIN_WINDOW_MS, MAX_WINDOW_MS] = [60_000, 10 * 60_000];

/** At most this many terms of a lock are kept. */
const MAX_TERMS = 30;

/** name => { lock, at, full, terms, index, text }; its durations were correct at `at`. */
const locks = new Map();

/** The names are in the order of the server: by bytes of UTF-8. */
let order = [];
let unordered = false;

/** name => instances that campaign for it; null if they are unknown. */
let campaigns = null;

/** The last listed name of each instance that campaigns for more names than it lists. */
let unlisted = [];

/** The last moment at which the state was current; null while it is current. */
let frozen = null;

/** The start of the first term that was seen. */
let firstTerm = Infinity;

const now = () => frozen ?? performance.now();

const clock = (at) => new Date(Date.now() - (performance.now() - at));

/** Surrogates are sorted after all other code units. */
const rank = (unit) => (unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit);

function byBytes(a, b) {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i += 1) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x !== y) {
      return rank(x) - rank(y);
    }
  }
  return a.length - b.length;
}

function ordered() {
  if (unordered) {
    order = [...locks.keys()].sort(byBytes);
    order.forEach((name, index) => (locks.get(name).index = index));
    unordered = false;
  }
  return order;
}

/** Applies a lock event; changes after the moment `gap` may have been missed. */
function applyLock(lock, at, gap) {
  let entry = locks.get(lock.name);
  if (entry === undefined) {
    entry = { terms: [], full: 0, lock: { holders: [] } };
    locks.set(lock.name, entry);
    unordered = true;
  }
  const sameTerm = termToken(entry.lock) === termToken(lock);
  entry.full = Math.max(lock.left_ms ?? 0, sameTerm ? entry.full : 0);
  entry.lock = lock;
  entry.at = at;
  const { holders, waiters, disabled, ending, corrupt } = lock;
  const why = [disabled?.reason, disabled?.by, ending, corrupt];
  const people = [...holders, ...waiters].flatMap(({ holder }) => [holder.label, holder.host]);
  const texts = [lock.name, ...people, ...why];
  entry.text = texts.filter(Boolean).join("\n").toLowerCase();
  recordTerm(entry, gap);
}

/** Returns whether both describe the same state; durations always differ. */
function same(one, other) {
  const entries = (list) => list.map(({ token, ending }) => [token, ending]);
  const describe = ({ token, state, kind, holders, waiters, disabled, corrupt }) => {
    const queue = [kind, entries(holders), entries(waiters)];
    return JSON.stringify([token, state, queue, disabled?.reason, disabled?.by, corrupt]);
  };
  return describe(one) === describe(other);
}

/** Applies a time left that was read, if nothing else changed: renewals are not events. */
function renewed(lock, at) {
  const entry = locks.get(lock.name);
  if (entry !== undefined && entry.at < at && same(entry.lock, lock)) {
    entry.lock = lock;
    entry.full = Math.max(entry.full, lock.left_ms ?? 0);
    entry.at = at;
  }
}

function forget(name) {
  unordered = locks.delete(name) || unordered;
}

function recordTerm(entry, gap) {
  const { lock, terms, at } = entry;
  const last = terms.at(-1);
  const token = termToken(lock);
  const held = token !== null;
  if (held && last?.token === token) {
    return;
  }
  // In a queue the time counts from when the entry was made, which may have waited since.
  const waited = lock.kind !== "exclusive" && last !== undefined;
  const from = held && !waited ? at - lock.held_for_ms : at;
  if (last && last.to === null) {
    // The term ended at an unknown moment after it was last seen.
    last.to = gap ?? Math.max(last.from, Math.min(at, from));
    last.unsure = gap !== null;
  }
  if (held) {
    firstTerm = Math.min(firstTerm, from);
    terms.push({ token, holder: lock.holder, from, to: null, unsure: false });
    terms.splice(0, Math.max(0, terms.length - MAX_TERMS));
  }
}

/** Returns the time that the strip covers, in whole minutes. */
function windowMs() {
  const known = Math.ceil((now() - firstTerm) / 60_000) * 60_000;
  return Math.max(MIN_WINDOW_MS, Math.min(MAX_WINDOW_MS, known || 0));
}

/** Returns the time that is left of the lease, in ms; null if nobody holds it. */
function left({ lock, at }) {
  return lock.left_ms === null ? null : Math.max(0, lock.left_ms - Math.max(0, now() - at));
}

/** Returns a duration of an entry, grown to the present moment. */
const grown = (entry, ms) => ms + Math.max(0, now() - entry.at);

function setInstances(instances) {
  campaigns = instances && new Map();
  const more = (instances ?? []).filter((instance) => instance.unlisted > 0);
  unlisted = more.map((instance) => instance.campaigns.at(-1) ?? "");
  for (const instance of instances ?? []) {
    for (const name of instance.campaigns) {
      campaigns.set(name, [...(campaigns.get(name) ?? []), instance]);
    }
  }
}

/** Returns the standbys; null if they are unknown. */
function standbys({ lock }) {
  const held = holding(lock);
  return campaigns && (campaigns.get(lock.name) ?? []).filter(({ instance }) => !held.has(instance));
}

/**
  * Returns whether the lock has no standby, as far as is known: a lock that is held without a
  * campaign is not an election, nobody has to wait for a permit or to read, and an instance that
  * campaigns for more names than it lists may be a standby for the names after its last listed one.
 */
function isAlone(entry) {
  const { state, name, kind } = entry.lock;
  const held = holding(entry.lock);
  const leads = () => campaigns?.get(name)?.some(({ instance }) => held.has(instance));
  const listed = () => !unlisted.some((last) => byBytes(last, name) < 0);
  const needsOne = state === "held" && !WITHOUT_STANDBYS.includes(kind);
  return needsOne && leads() === true && standbys(entry).length === 0 && listed();
}

function isShown(entry, filter, only) {
  const { state, disabled } = entry.lock;
  const chosen =
    only === "all" ||
    (only === "disabled" && disabled !== null) ||
    (only === "alone" && isAlone(entry)) ||
    (only === "held" && (state === "held" || state === "ending")) ||
    only === state;
  return chosen && (filter === "" || entry.text.includes(filter));
}
