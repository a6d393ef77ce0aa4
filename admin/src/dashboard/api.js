// This file calls the server. Paths are relative to the page, wherever it is mounted.

const base = location.pathname.endsWith("/") ? location.pathname : `${location.pathname}/`;

/** A write without a reply within this time has an unknown outcome. */
const WRITE_MS = 30_000;

const READ_MS = 15_000;

/** The bearer token is in this tab's storage, or only in memory if the page may not use storage. */
const token = {
  key: `leasehold token ${base}`,
  memory: null,
  get() {
    try {
      return sessionStorage.getItem(this.key);
    } catch {
      return this.memory;
    }
  },
  set(value) {
    this.memory = value;
    try {
      if (value === null) {
        sessionStorage.removeItem(this.key);
      } else {
        sessionStorage.setItem(this.key, value);
      }
    } catch {
      // The token stays in memory.
    }
  },
};

/** A problem is a response that is not a success. */
class Problem extends Error {
  constructor(status, title, detail) {
    super(detail ? `${title}: ${detail}` : title);
    this.status = status;
    this.detail = detail || title;
  }
}

/** Resolves to a successful response. Otherwise it throws, with a Problem if the server replied. */
async function request(path, { body, signal } = {}) {
  const headers = new Headers();
  const shown = token.get();
  if (shown !== null) {
    try {
      headers.set("Authorization", `Bearer ${shown}`);
    } catch {
      throw new Problem(401, "no valid token", "a token has printable ASCII characters only");
    }
  }
  const options = { headers, cache: "no-store", signal };
  if (body !== undefined) {
    headers.set("Content-Type", "application/json");
    options.method = "POST";
    options.body = JSON.stringify(body);
  }
  // In the mode "same-origin", Referrer-Policy would set the header Origin to "null".
  const response = await fetch(base + path, options);
  if (response.ok) {
    return response;
  }
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // The response is that of a proxy.
  }
  const title = problem?.title || `status ${response.status}`;
  throw new Problem(response.status, title, problem?.detail || "");
}

async function read(path) {
  const response = await request(path, { signal: AbortSignal.timeout(READ_MS) });
  return response.json();
}

/** Disables, enables or resigns; resolves to the outcome. */
async function write(verb, name, body) {
  const signal = AbortSignal.timeout(WRITE_MS);
  try {
    if (name === "." || name === "..") {
      return await writeDots(verb, name, body, signal);
    }
    const path = `v1/locks/${encodeURIComponent(name)}/${verb}`;
    const response = await request(path, { body, signal });
    return (await response.json()).outcome;
  } catch (error) {
    if (error instanceof Problem) {
      throw error;
    }
    const detail = "it may have happened; check before you retry";
    throw new Problem(0, "no reply", detail);
  }
}

/** Browsers remove these two names from paths, even if encoded, so they are sent in the body. */
async function writeDots(verb, lockName, { reason }, signal) {
  const call = async (path, body) => {
    const response = await request(`api/mastercontrols/${path}`, { body, signal });
    return response.json();
  };
  if (verb !== "enable") {
    const reply = await call("disable", { lockName, reason });
    if (reply.endsWith(" is already flagged as disabled")) {
      if (verb === "disable") {
        return "already_disabled";
      }
      // An enable would undo another operator's disable.
      throw new Problem(409, "the lock is disabled", "so its leader is already stopping");
    }
  }
  if (verb !== "disable") {
    await call("enable", { lockName });
  }
  return { disable: "disabled", enable: "enabled", resign: "resigning" }[verb];
}
