// This file follows the event stream: it connects, applies events, and reconnects when it ends.

/** A stream without data for this long is broken: the server sends a comment every 15 s. */
const SILENCE_MS = 40_000;

const MAX_PAUSE_MS = 30_000;

/** The time left is read this often, one page at a time, because renewals are not events. */
const RENEWALS_MS = 1000;

/** Instances are read this often, because they are not in the event stream. */
const INSTANCES_MS = 5000;

/** Instances are read this often if the server does not know them. */
const NO_INSTANCES_MS = 60_000;

/** A page of the API has at most this many locks. */
const MAX_PAGE = 500;

const TOKEN_NEEDED = "a token is needed";

const link = {
  /** Aborts the stream that is open. */
  stop: null,
  /** This is true while the page shows the current state. */
  live: false,
  /** The reason why the connection was lost; null before that. */
  lost: null,
  /** The reported reason why the store does not respond; null while it responds. */
  store: null,
  /** The last moment at which the state was current; null before the first time. */
  currentAt: null,
  wake: () => {},
};

/** Yields server-sent events as { kind, data }. */
async function* events(body, onData) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let kind = "message";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    onData();
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("event: ")) {
        kind = line.slice(7);
      } else if (line.startsWith("data: ")) {
        yield { kind, data: JSON.parse(line.slice(6)) };
      }
    }
  }
}

async function follow(connected) {
  const stop = new AbortController();
  link.stop = stop;
  let silence;
  const onData = () => {
    clearTimeout(silence);
    silence = setTimeout(() => stop.abort(), SILENCE_MS);
    if (link.live) {
      link.currentAt = performance.now();
    }
  };
  try {
    onData();
    const response = await request("v1/events", { signal: stop.signal });
    connected();
    const seen = new Set();
    let complete = false;
    const gap = link.currentAt;
    for await (const { kind, data } of events(response.body, onData)) {
      if (kind === "lock") {
        applyLock(data, performance.now(), complete ? null : gap);
        seen.add(data.name);
      } else if (kind === "removed") {
        forget(data.name);
      } else if (kind === "unavailable") {
        link.store = data?.detail ?? "no reason given";
      } else if (kind === "available") {
        link.store = null;
      } else if (kind === "complete") {
        complete = true;
        [...locks.keys()].filter((name) => !seen.has(name)).forEach(forget);
      }
      link.lost = null;
      setLive(complete && link.store === null);
      draw();
    }
    throw new Error("the server ended the connection");
  } finally {
    clearTimeout(silence);
    stop.abort();
  }
}

/** Shows whether the state is current, and stops the clocks if it is not. */
function setLive(live) {
  link.live = live;
  if (live) {
    link.currentAt = performance.now();
    shown.complete = true;
  }
  frozen = live ? null : (link.currentAt ?? performance.now());
  document.body.classList.toggle("stale", !live);
  const at = link.currentAt;
  const asOf = at === null ? "" : `, showing the state as of ${timeOfDay(clock(at))}`;
  let text = "";
  if (link.lost !== null) {
    text = `${link.lost}${asOf}`;
  } else if (link.store !== null) {
    text = `the store does not respond${asOf}: ${plain(link.store)}`;
  }
  setText($("banner"), text);
  $("retry").hidden = link.lost === null;
}

function lossText(error) {
  if (error.status === 401) {
    return TOKEN_NEEDED;
  }
  const first = link.currentAt === null ? "no connection" : "connection lost";
  return error instanceof Problem ? `${first} (${plain(error.message)})` : first;
}

async function keepFollowing() {
  let failures = 0;
  for (;;) {
    try {
      await follow(() => (failures = 0));
    } catch (error) {
      failures += 1;
      link.lost = lossText(error);
      link.store = null;
      setInstances(null);
      setLive(false);
      draw();
      const needsToken = error.status === 401;
      if (needsToken) {
        askToken(error);
      }
      await pause(needsToken ? null : failures);
    }
  }
}

/** Waits longer after each failure, with jitter; without a number of failures it waits forever. */
async function pause(failures) {
  const longest = Math.min(MAX_PAUSE_MS, 1000 * 2 ** Math.min(failures ?? 0, 10));
  const ms = longest / 2 + (Math.random() * longest) / 2;
  setText($("retry-now"), failures === null ? "Enter the token" : "Try again now");
  setText($("again"), failures === null ? "" : `Retrying in ${span(ms + 999)}.`);
  await new Promise((resolve) => {
    link.wake = resolve;
    if (failures !== null) {
      setTimeout(resolve, ms);
    }
  });
  setText($("again"), "Trying…");
}

function retryNow() {
  link.wake();
}

/** Reads the time left of the leases whose rows exist. */
async function readLeft() {
  const names = ordered();
  const held = [...rows.keys()].map((name) => locks.get(name)).filter((entry) => entry?.lock.holder);
  const indexes = held.map(({ index }) => index).sort((a, b) => a - b);
  while (indexes.length > 0 && link.live) {
    const first = indexes[0];
    const count = indexes.filter((index) => index < first + MAX_PAGE).length;
    const [last] = indexes.splice(0, count).slice(-1);
    const query = new URLSearchParams({ limit: Math.min(MAX_PAGE, last - first + 1) });
    if (first > 0) {
      query.set("after", names[first - 1]);
    }
    const sent = performance.now();
    const page = await read(`v1/locks?${query}`);
    page.locks.forEach((lock) => renewed(lock, sent));
    if (link.live) {
      link.currentAt = sent;
    }
    await sleep(RENEWALS_MS);
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function keepReadingLeft() {
  for (;;) {
    await sleep(RENEWALS_MS);
    if (!link.live || document.hidden) {
      continue;
    }
    const stop = link.stop;
    try {
      await readLeft();
    } catch (error) {
      if (error instanceof Problem) {
        // The stream reports store failures; after too many requests, fewer are sent.
        await sleep(5 * RENEWALS_MS);
      } else {
        stop?.abort();
      }
    }
  }
}

async function keepReadingInstances() {
  for (;;) {
    let pause = RENEWALS_MS;
    if (link.live && !document.hidden) {
      pause = INSTANCES_MS;
      try {
        const { instances } = await read("v1/instances");
        setInstances(instances);
      } catch (error) {
        setInstances(null);
        // Some servers and stores do not support instance records.
        pause = [404, 501].includes(error.status) ? NO_INSTANCES_MS : pause;
      }
      draw();
    }
    await sleep(pause);
  }
}

function startStream() {
  $("retry-now").addEventListener("click", () => {
    if (token.get() === null && link.lost === TOKEN_NEEDED) {
      $("ask").showModal();
    } else {
      retryNow();
    }
  });
  const retry = () => {
    if (!document.hidden && link.lost !== TOKEN_NEEDED) {
      retryNow();
    }
  };
  addEventListener("online", retry);
  document.addEventListener("visibilitychange", retry);
  keepFollowing();
  keepReadingLeft();
  keepReadingInstances();
}

startView();
startActions();
startStream();
