// The view draws the table: only the rows of one page exist, and only their changes are written.

const ROWS = 50;

const TICK_MS = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 250;

const $ = (id) => document.getElementById(id);

/** name => { tr, and its parts } for each existing row. */
const rows = new Map();

const shown = { filter: "", only: "all", first: 0, complete: false };

function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

function setClass(element, name) {
  if (element.className !== name) {
    element.className = name;
  }
}

/** Returns the colour of an instance, the same wherever it leads. */
function hue(instance) {
  let hash = 0;
  for (const one of instance) {
    hash = (Math.imul(hash, 31) + one.charCodeAt(0)) >>> 0;
  }
  return String((hash * 137) % 360);
}

let due = false;

/** Draws once before the next frame, even if many events arrive until then. */
function draw() {
  if (!due) {
    due = true;
    requestAnimationFrame(() => {
      due = false;
      drawNow();
    });
  }
}

function drawNow() {
  const names = ordered();
  const chosen = names.filter((name) => isShown(locks.get(name), shown.filter, shown.only));
  const lastPage = Math.max(0, Math.ceil(chosen.length / ROWS) - 1) * ROWS;
  shown.first = Math.min(shown.first, lastPage);
  drawRows(chosen.slice(shown.first, shown.first + ROWS));
  drawAround(names, chosen);
  drawDetails();
}

function drawRows(names) {
  const wanted = new Set(names);
  for (const [name, row] of rows) {
    if (!wanted.has(name)) {
      row.tr.remove();
      rows.delete(name);
    }
  }
  const body = $("rows");
  names.forEach((name, index) => {
    let row = rows.get(name);
    if (row === undefined) {
      row = makeRow(name);
      rows.set(name, row);
    }
    // Rows are moved only if necessary, because a row that moves loses the focus.
    if (body.children[index] !== row.tr) {
      body.insertBefore(row.tr, body.children[index] ?? null);
    }
    drawRow(row, locks.get(name));
  });
}

function makeRow(name) {
  const tr = $("row").content.firstElementChild.cloneNode(true);
  const part = (selector) => tr.querySelector(selector);
  tr.dataset.lock = name;
  const row = {
    tr,
    name: part(".name"),
    state: part(".state"),
    why: part(".why"),
    since: part(".since"),
    queue: part(".queue"),
    who: part(".who"),
    where: part(".where"),
    token: part(".token"),
    seconds: part(".seconds"),
    bar: part(".bar"),
    fill: part(".bar i"),
    standbys: part(".standbys bdi"),
    strip: part(".strip"),
    toggle: part(".switch"),
    resign: part(".resign"),
  };
  row.name.firstElementChild.textContent = plain(name);
  row.name.addEventListener("click", () => openDetails(name));
  row.toggle.addEventListener("click", () => {
    openAction(locks.get(name)?.lock.disabled ? "enable" : "disable", name);
  });
  row.resign.addEventListener("click", () => openAction("resign", name));
  return row;
}

function drawRow(row, entry) {
  const { lock } = entry;
  const { holder, state, disabled } = lock;
  setClass(row.tr, state);
  setText(row.state, STATE_NAMES[state] ?? plain(String(state)));
  setText(row.why, why(entry));
  setText(row.since, since(entry));
  setText(row.queue, queueText(lock));
  setText(row.who, holder ? whoHolds(lock) : "–");
  setText(row.where, holder ? where(holder) : "");
  setText(row.token, shownToken(lock));
  drawStandbys(row, entry);
  const verb = disabled ? "Enable" : "Disable";
  setText(row.toggle, verb);
  row.toggle.setAttribute("aria-label", `${verb} ${plain(lock.name)}`);
  row.resign.setAttribute("aria-label", `Resign ${plain(lock.name)}`);
  const canResign = state === "held";
  if (!canResign && document.activeElement === row.resign) {
    row.toggle.focus();
  }
  row.resign.hidden = !canResign;
  drawLeft(row, entry);
  drawStrip(row.strip, entry);
}

/** Returns the token of the first holder, or else the latest token of the name. */
const shownToken = (lock) => String(termToken(lock) ?? lock.token ?? "–");

function drawStandbys(row, entry) {
  const others = standbys(entry);
  const alone = isAlone(entry);
  let text = "–";
  if (alone) {
    text = "no standby";
  } else if (others?.length > 0) {
    const more = others.length > 3 ? ` and ${others.length - 3} more` : "";
    text = others.slice(0, 3).map(who).join("; ") + more;
  }
  setText(row.standbys, text);
  setClass(row.standbys, alone ? "warning" : "");
}

function drawLeft(row, entry) {
  const ms = left(entry);
  setText(row.seconds, ms === null ? "–" : span(ms));
  row.bar.hidden = ms === null;
  if (ms !== null) {
    const part = entry.full > 0 ? Math.min(1, ms / entry.full) : 0;
    row.fill.style.transform = `scaleX(${part.toFixed(4)})`;
    setClass(row.bar, part < 0.25 ? "bar low" : "bar");
  }
}

function drawStrip(strip, { terms }) {
  const end = now();
  const window = windowMs();
  const begin = end - window;
  const recent = terms.filter(({ to }) => to === null || to > begin);
  while (strip.children.length > recent.length) {
    strip.lastElementChild.remove();
  }
  while (strip.children.length < recent.length) {
    strip.append(document.createElement("i"));
  }
  const percent = (at) => (100 * (Math.min(end, Math.max(begin, at)) - begin)) / window;
  recent.forEach((term, index) => {
    const block = strip.children[index];
    const from = percent(term.from);
    block.style.left = `${from.toFixed(2)}%`;
    block.style.width = `${(percent(term.to ?? end) - from).toFixed(2)}%`;
    block.style.setProperty("--hue", hue(term.holder.instance));
    setClass(block, term.unsure ? "unsure" : "");
    block.title = termText(term);
  });
  const count = recent.length === 1 ? "one term" : `${recent.length} terms`;
  const last = recent.at(-1);
  strip.setAttribute("aria-label", last ? `${count}; the last: ${termText(last)}` : "no terms");
}

function drawAround(names, chosen) {
  const count = { held: 0, ending: 0, free: 0, disabled: 0, corrupt: 0, alone: 0 };
  for (const name of names) {
    const entry = locks.get(name);
    count[entry.lock.state] += 1;
    count.alone += isAlone(entry) ? 1 : 0;
  }
  const parts = [`${names.length} ${names.length === 1 ? "lock" : "locks"}`];
  for (const [state, word] of Object.entries({ ...STATE_NAMES, alone: "without a standby" })) {
    if (count[state] > 0) {
      parts.push(`${count[state]} ${word}`);
    }
  }
  setText($("summary"), shown.complete ? parts.join(" · ") : "connecting…");
  drawWindow();
  $("nothing").hidden = chosen.length > 0 || !shown.complete;
  setText($("nothing"), names.length > 0 ? "No matching locks." : "No locks yet.");
  $("pages").hidden = chosen.length <= ROWS;
  const last = Math.min(chosen.length, shown.first + ROWS);
  setText($("range"), `${shown.first + 1} to ${last} of ${chosen.length}`);
  $("previous").disabled = shown.first === 0;
  $("next").disabled = last >= chosen.length;
}

function drawWindow() {
  const minutes = windowMs() / 60_000;
  setText($("window"), `Terms in the last ${minutes === 1 ? "minute" : `${minutes} minutes`}`);
}

/** Updates the parts that change with time. */
function tick(count) {
  if (document.hidden) {
    return;
  }
  for (const [name, row] of rows) {
    const entry = locks.get(name);
    if (entry === undefined) {
      continue;
    }
    drawLeft(row, entry);
    if (count % 8 === 0) {
      setText(row.since, since(entry));
      drawStrip(row.strip, entry);
    }
  }
  if (count % 8 === 0) {
    drawWindow();
  }
  drawDetails();
}

function startView() {
  const choose = () => {
    shown.filter = $("filter").value.toLowerCase();
    shown.only = $("only").value;
    shown.first = 0;
    draw();
  };
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("filter").addEventListener("input", choose);
  $("only").addEventListener("change", choose);
  const turn = (by) => {
    shown.first = Math.max(0, shown.first + by);
    draw();
    scrollTo({ top: 0 });
  };
  $("previous").addEventListener("click", () => turn(-ROWS));
  $("next").addEventListener("click", () => turn(ROWS));
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, dialog");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      $("filter").focus();
    } else if (event.key === "Escape" && event.target === $("filter")) {
      $("filter").value = "";
      choose();
    }
  });
  let count = 0;
  setInterval(() => tick((count += 1)), TICK_MS);
}
