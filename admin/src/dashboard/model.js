// What the page knows: locks as last told, their terms as seen, and who campaigns.
//
// Every time is of performance.now(): the server tells durations, and calendars may differ.

/** Terms are drawn for as long as any is known, within these bounds. */
const [LEAST_WINDOW_MS, WINDOW_MS] = [60_000, 10 * 60_000];

/** The most terms that are kept of a lock. */
const MOST_TERMS = 30;

/** name => { lock, at, full, terms, index, text }; `at` is when its durations were right. */
const locks = new Map();

/** The names in the order of the server: by bytes of UTF-8. */
let order = [];
let unordered = false;

/** name => instances that campaign for it; null when that is not known. */
let campaigns = null;

/** Of instances that campaign for more names than they list: the last that they list. */
let unlisted = [];

/** Since when the state is not known to be current, and the last moment it was. */
let frozen = null;

/** When the first term began that was ever seen. */
let firstTerm = Infinity;

const now = () => frozen ?? performance.now();

const clock = (at) => new Date(Date.now() - (performance.now() - at));

/** Surrogates stand for what comes after all else. */
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

/** Takes in a lock as an event tells it; `gap` is the moment after which something was missed. */
function tell(lock, at, gap) {
  let entry = locks.get(lock.name);
  if (entry === undefined) {
    entry = { terms: [], full: 0, lock: { token: null } };
    locks.set(lock.name, entry);
    unordered = true;
  }
  const sameTerm = entry.lock.token === lock.token;
  entry.full = Math.max(lock.left_ms ?? 0, sameTerm ? entry.full : 0);
  entry.lock = lock;
  entry.at = at;
  const { holder, disabled, ending, corrupt } = lock;
  const why = [disabled?.reason, disabled?.by, ending, corrupt];
  const texts = [lock.name, holder?.label, holder?.host, ...why];
  entry.text = texts.filter(Boolean).join("\n").toLowerCase();
  seeTerm(entry, gap);
}

/** Whether both tell of the same state; durations always differ. */
function same(one, other) {
  const told = ({ token, state, holder, ending, disabled, corrupt }) =>
    JSON.stringify([token, state, holder?.instance, ending, disabled?.reason, disabled?.by, corrupt]);
  return told(one) === told(other);
}

/** A renewal is no event: what is left is read now and then, and taken if nothing else changed. */
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

function seeTerm(entry, gap) {
  const { lock, terms, at } = entry;
  const last = terms.at(-1);
  const held = lock.holder !== null && lock.token !== null;
  if (held && last?.token === lock.token) {
    return;
  }
  const from = held ? at - lock.held_for_ms : at;
  if (last && last.to === null) {
    // What ended unseen ended at some time after it was last seen.
    last.to = gap ?? Math.max(last.from, Math.min(at, from));
    last.unsure = gap !== null;
  }
  if (held) {
    firstTerm = Math.min(firstTerm, from);
    terms.push({ token: lock.token, holder: lock.holder, from, to: null, unsure: false });
    terms.splice(0, Math.max(0, terms.length - MOST_TERMS));
  }
}

/** For how long terms are drawn, in whole minutes. */
function windowMs() {
  const known = Math.ceil((now() - firstTerm) / 60_000) * 60_000;
  return Math.max(LEAST_WINDOW_MS, Math.min(WINDOW_MS, known || 0));
}

/** What is left of the lease, in ms; null when nobody holds it. */
function left({ lock, at }) {
  return lock.left_ms === null ? null : Math.max(0, lock.left_ms - Math.max(0, now() - at));
}

/** How old a duration of an entry is by now. */
const grown = (entry, ms) => ms + Math.max(0, now() - entry.at);

function know(instances) {
  campaigns = instances && new Map();
  const more = (instances ?? []).filter((instance) => instance.unlisted > 0);
  unlisted = more.map((instance) => instance.campaigns.at(-1) ?? "");
  for (const instance of instances ?? []) {
    for (const name of instance.campaigns) {
      campaigns.set(name, [...(campaigns.get(name) ?? []), instance]);
    }
  }
}

/** Who would take over; null when that is not known. */
function standbys({ lock }) {
  const holder = lock.holder?.instance;
  return campaigns && (campaigns.get(lock.name) ?? []).filter(({ instance }) => instance !== holder);
}

/**
 * Whether its leader's end would leave it without one, as far as is known: what is held without a
 * campaign is no election, and who campaigns for more names than are listed may stand by for those
 * that come after.
 */
function isAlone(entry) {
  const { state, name, holder } = entry.lock;
  const leads = () => campaigns?.get(name)?.some(({ instance }) => instance === holder.instance);
  const listed = () => !unlisted.some((last) => byBytes(last, name) < 0);
  return state === "held" && leads() === true && standbys(entry).length === 0 && listed();
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
