// This file formats text. Names, reasons and labels may be hostile: they reach the page as text
// only.

/** Invisible characters, and those that change the text direction, are escaped: names are exact. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

const plain = (text) =>
  text.replace(INVISIBLE, (one) => `\\u{${one.codePointAt(0).toString(16)}}`);

const two = (number) => String(number).padStart(2, "0");

const timeOfDay = (date) =>
  `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;

const day = (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;

const moment = (date) =>
  (day(date) === day(new Date()) ? "" : `${day(date)} `) + timeOfDay(date);

function span(ms) {
  const seconds = Math.floor(ms / 1000);
  const [minutes, hours, days] = [60, 3600, 86_400].map((unit) => Math.floor(seconds / unit));
  if (days > 0) {
    return `${days} d ${hours % 24} h`;
  }
  if (hours > 0) {
    return `${hours} h ${two(minutes % 60)} min`;
  }
  return minutes > 0 ? `${minutes} min ${two(seconds % 60)} s` : `${seconds} s`;
}

const who = ({ label, host, pid }) => plain(label ?? `${host}, pid ${pid}`);

const where = ({ label, host, pid }) => (label === null ? "" : plain(`${host}, pid ${pid}`));

const STATE_NAMES = {
  held: "held",
  free: "free",
  ending: "stopping",
  disabled: "disabled",
  corrupt: "corrupt",
};

/** Returns why the record is corrupt, why the lock is disabled, or why its holder has to stop. */
const why = ({ lock }) => plain(lock.corrupt ?? lock.disabled?.reason ?? lock.ending ?? "");

/** Returns by whom the lock is disabled and since when, or that its holder has to stop. */
function since(entry) {
  const { corrupt, disabled, ending } = entry.lock;
  if (corrupt !== null) {
    return "the store cannot read its record";
  }
  if (disabled === null) {
    return ending === null ? "" : "its holder is asked to stop";
  }
  const by = disabled.by === null ? "" : ` by ${plain(disabled.by)}`;
  const at = moment(clock(entry.at - disabled.for_ms));
  return `disabled${by} since ${at} (${span(grown(entry, disabled.for_ms))})`;
}

function termText({ token, holder, from, to, unsure }) {
  const until = to === null ? "now" : (unsure ? "some time after " : "") + moment(clock(to));
  return `term ${token}: ${who(holder)}, from ${moment(clock(from))} to ${until}`;
}

const OUTCOMES = {
  disabled: "is disabled",
  already_disabled: "was already disabled; the first reason is kept",
  enabled: "is enabled",
  already_enabled: "was already enabled",
  resigning: "its holder is asked to stop",
  not_held: "not held; nothing changed",
};
