// This file describes the holders of a lock, and the queue of those that wait for it.

/** At most this many entries are listed in the details of a lock. */
const MAX_LISTED = 20;

/** The kinds of lock for which nobody has to wait, so they need no standby. */
const WITHOUT_STANDBYS = ["semaphore", "reader-writer"];

/** Returns the token of the first holder, whose terms are shown; null if nobody holds the lock. */
const termToken = ({ holders }) => holders?.[0]?.token ?? null;

/** Returns the instances that hold the lock. */
const holding = ({ holders }) => new Set(holders.map(({ holder }) => holder.instance));

const counted = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

/** Returns how much of the lock an entry has or needs, where that is not evident. */
function share({ kind }, { weight }) {
  if (kind === "reader-writer") {
    return weight > 1 ? ", writes" : ", reads";
  }
  return kind === "semaphore" && weight > 1 ? `, ${counted(weight, "permit")}` : "";
}

/** Returns the kind of a lock that is not exclusive, and how much of it is in use. */
function kindText({ kind, capacity, holders }) {
  const used = holders.reduce((sum, { weight }) => sum + weight, 0);
  switch (kind) {
    case null:
    case "exclusive":
      return "";
    case "fair":
      return "fair lock";
    case "semaphore":
      return `semaphore, ${used} of ${counted(capacity, "permit")}`;
    case "leaders":
      return `${used} of ${counted(capacity, "leader")}`;
    case "reader-writer":
      return holders[0]?.weight > 1 ? "held by a writer" : `held by ${counted(used, "reader")}`;
    default:
      return plain(String(kind));
  }
}

/** Returns the kind of a lock with a queue, and how many wait. */
function queueText(lock) {
  const { length } = lock.waiters;
  return kindText(lock) + (length > 0 ? `, ${length} waiting` : "");
}

/** Names the first holder, and says how many others there are. */
function whoHolds(lock) {
  const more = lock.holders.length - 1;
  return who(lock.holder) + (more > 0 ? ` and ${more} more` : "");
}

/** Returns the entries of a list as text, the first ones only. */
function listed(entry, list, number) {
  const entries = entry.lock[list].slice(0, MAX_LISTED).map((one) => {
    const ms = Math.max(0, one.left_ms - Math.max(0, now() - entry.at));
    const ending = one.ending === null ? "" : `, asked to stop: ${plain(one.ending)}`;
    const what = `${who(one.holder)}${share(entry.lock, one)}, token ${one.token}`;
    return `${number(one)}${what}, ${span(ms)} left${ending}`;
  });
  const more = entry.lock[list].length - entries.length;
  return entries.join("; ") + (more > 0 ? `; and ${more} more` : "");
}

/** Returns the rows of the details that an exclusive lock does not have. */
function queueDetails(entry) {
  const { kind } = entry.lock;
  if (kind === null || kind === "exclusive") {
    return [];
  }
  return [
    ["Kind", kindText(entry.lock)],
    ["Holders", listed(entry, "holders", () => "")],
    ["Queue", listed(entry, "waiters", ({ position }) => `${position}. `) || "nobody waits"],
  ];
}
