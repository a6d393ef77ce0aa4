// This file has the dialogs: disable, enable and resign; the details of a lock; the token.

const act = { verb: null, name: null, busy: false };

/** Says who is asked to stop. */
const asked = (entry) =>
  entry?.lock.holders.length > 1
    ? `All its ${entry.lock.holders.length} holders are asked to stop`
    : "Its holder is asked to stop";

const VERBS = {
  disable: {
    title: "Disable",
    what: (entry) =>
      `${asked(entry)}, and it is not granted to anyone until it is enabled again.`,
  },
  enable: {
    title: "Enable",
    what: (entry) => entry && `It is ${since(entry)}: ${why(entry)}`,
  },
  resign: {
    title: "Resign",
    what: (entry) => {
      if (entry && isAlone(entry)) {
        return `${asked(entry)}. No other instance is a candidate, so nobody will take over.`;
      }
      // For a lock that is not an election, its waiters are unknown.
      const hasStandby = entry && standbys(entry)?.length > 0;
      if (hasStandby) {
        return `${asked(entry)}, and the lead moves to another instance.`;
      }
      const waits = entry?.lock.waiters.length > 0;
      return `${asked(entry)}.${waits ? " Those that wait enter the queue again." : ""}`;
    },
  },
};

function openAction(verb, name) {
  const { title, what } = VERBS[verb];
  Object.assign(act, { verb, name });
  setText($("act-title"), `${title} this lock?`);
  setText($("act-name"), plain(name));
  setText($("act-what"), what(locks.get(name)) ?? "");
  setText($("act-do"), title);
  setText($("act-error"), "");
  $("act-reason").value = "";
  $("act-reason").required = verb !== "enable";
  $("act-why").hidden = verb === "enable";
  $("act").showModal();
  (verb === "enable" ? $("act-do") : $("act-reason")).focus();
}

async function doAction() {
  if (act.busy) {
    return;
  }
  const { verb, name } = act;
  const reason = $("act-reason").value;
  act.busy = true;
  $("act-do").disabled = true;
  setText($("act-error"), "");
  try {
    const outcome = await write(verb, name, verb === "enable" ? {} : { reason });
    showMessage(`${plain(name)}: ${OUTCOMES[outcome] ?? plain(String(outcome))}`);
    $("act").close();
  } catch (error) {
    setText($("act-error"), plain(error.message));
    if (error.status === 401) {
      askToken(error);
    }
  } finally {
    act.busy = false;
    $("act-do").disabled = false;
  }
}

let messageTimer = 0;

function showMessage(text) {
  setText($("said"), text);
  clearTimeout(messageTimer);
  messageTimer = setTimeout(() => setText($("said"), ""), 15_000);
}

let detailed = null;

function openDetails(name) {
  detailed = name;
  $("details-title").firstElementChild.textContent = plain(name);
  drawDetails();
  $("details").showModal();
}

function drawDetails() {
  const entry = locks.get(detailed);
  if (entry === undefined) {
    return;
  }
  const { lock } = entry;
  const { holder } = lock;
  const others = standbys(entry);
  const ms = left(entry);
  fill($("details").querySelector("dl"), [
    ["State", since(entry) || STATE_NAMES[lock.state]],
    ["Reason", why(entry)],
    ["Holder", holder ? who(holder) : "nobody"],
    ["Host and process", holder && plain(`${holder.host}, pid ${holder.pid}`)],
    ["Instance", holder?.instance],
    ["Held", holder && heldSince(entry)],
    ["Time left", ms === null ? null : span(ms)],
    ["Fencing token", lock.token === null ? "never granted" : shownToken(lock)],
    ...queueDetails(entry),
    ["Standbys", others && (others.map(who).join("; ") || "none")],
  ]);
  const list = $("details-terms");
  const texts = entry.terms.map(termText).reverse();
  while (list.children.length > texts.length) {
    list.lastElementChild.remove();
  }
  texts.forEach((text, index) => {
    setText(list.children[index] ?? list.appendChild(document.createElement("li")), text);
  });
}

function heldSince(entry) {
  const { held_for_ms: ms } = entry.lock;
  return `since ${moment(clock(entry.at - ms))} (${span(grown(entry, ms))})`;
}

/** Fills a list with pairs of words; a pair without the second word is omitted. */
function fill(list, pairs) {
  const words = pairs.filter(([, text]) => text).flat();
  while (list.children.length > words.length) {
    list.lastElementChild.remove();
  }
  words.forEach((word, index) => {
    const kind = index % 2 === 0 ? "dt" : "dd";
    setText(list.children[index] ?? list.appendChild(document.createElement(kind)), word);
  });
}

function askToken(problem) {
  const refused = token.get() !== null;
  setText($("ask-error"), refused ? `This token is not accepted: ${plain(problem.detail)}` : "");
  token.set(null);
  $("forget").hidden = true;
  $("ask-token").value = "";
  if (!$("ask").open) {
    $("ask").showModal();
  }
  $("ask-token").focus();
}

function startActions() {
  const submit = (dialog, done) => {
    $(dialog).querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      done();
    });
  };
  submit("act", doAction);
  submit("ask", () => {
    token.set($("ask-token").value.trim());
    $("ask-token").value = "";
    $("forget").hidden = false;
    $("ask").close();
    retryNow();
  });
  $("act-cancel").addEventListener("click", () => $("act").close());
  $("ask-cancel").addEventListener("click", () => $("ask").close());
  $("details-close").addEventListener("click", () => $("details").close());
  $("details").addEventListener("close", () => (detailed = null));
  $("forget").hidden = token.get() === null;
  $("forget").addEventListener("click", () => {
    token.set(null);
    location.reload();
  });
}
