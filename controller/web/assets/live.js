// The server says when something has changed; the page is asked for again and made like the new one with the least that
// has to change. What is focused, opened, scrolled or just being read stays the very element that it was.
(() => {
  "use strict";
  const [main, live, said] = ["main", "live", "said"].map((id) => document.getElementById(id));
  let asking = false, again = false;

  // What stands for something has a key and is found by it; anything else is found by how it looks, but for the words of
  // its times, which are from here.
  const key = (n) => n.id || n.dataset?.part || "";
  const look = (n) => (key(n) ? n.nodeName + "#" + key(n) : n.outerHTML?.replace(/(<time [^>]*>)[^<]*/g, "$1") ?? n.data);
  const weight = (n) => (key(n) ? 1000 : n.nodeType === Node.ELEMENT_NODE ? 10 : 1);

  // pairs finds for each wanted child the one that is there: the best row of those that are in both, and between them what
  // is of the same kind.
  const pairs = (have, want) => {
    const a = have.map(look), b = want.map(look), best = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
    for (let i = a.length - 1; i >= 0; i--) {
      for (let j = b.length - 1; j >= 0; j--) best[i][j] = a[i] === b[j] ? best[i + 1][j + 1] + weight(have[i]) : Math.max(best[i + 1][j], best[i][j + 1]);
    }
    const found = new Map();
    let spare = [], open = [], i = 0, j = 0;
    const settle = () => {
      for (const n of open) {
        const k = spare.findIndex((e) => e.nodeName === n.nodeName && !key(e) && !key(n));
        if (k >= 0) { found.set(n, spare[k]); spare.splice(0, k + 1); }
      }
      [spare, open] = [[], []];
    };
    while (i < a.length || j < b.length) {
      if (i < a.length && j < b.length && a[i] === b[j]) { settle(); found.set(want[j++], have[i++]); }
      else if (j === b.length || (i < a.length && best[i + 1][j] >= best[i][j + 1])) spare.push(have[i++]);
      else open.push(want[j++]);
    }
    settle();
    return found;
  };

  const ours = new Set(["open", "tabindex"]); // attributes that the viewer or this script has set
  const patch = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== Node.ELEMENT_NODE) { old.data = fresh.data; return; }
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !ours.has(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    if (old.matches("time[data-relative]")) return;
    const want = [...fresh.childNodes], found = pairs([...old.childNodes], want), kept = new Set(found.values());
    for (const e of [...old.childNodes]) if (!kept.has(e)) e.remove();
    let at = old.firstChild;
    for (const n of want) {
      if (found.has(n)) { patch(at, n); at = at.nextSibling; } else old.insertBefore(n, at);
    }
  };

  // Who had the focus keeps it, or gets it back where the same is again, or else next to where it was.
  const renew = (fresh) => {
    const tails = [...main.querySelectorAll("[data-tail]")].filter((e) => e.scrollTop + e.clientHeight >= e.scrollHeight - 4);
    const way = [];
    for (let e = document.activeElement; main.contains(e); e = e.parentElement) way.push(e);
    patch(main, fresh);
    for (const e of tails) e.scrollTop = e.scrollHeight;
    const [held] = way;
    if (!held || held.isConnected) return;
    const next = document.getElementById(held.id) ?? [...main.querySelectorAll("a")].find((a) => a.href === held.href) ?? way.find((e) => e.isConnected && e.matches("section, main"));
    if (next.tabIndex < 0) next.tabIndex = -1;
    next.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (asking) { again = true; return; }
    asking = true;
    let missed = false;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.redirected) { location.reload(); return; }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (answer.ok) {
        renew(page.getElementById("main"));
        document.title = page.title;
        announce(page);
      }
      missed = answer.status >= 500;
      tick();
    } catch { missed = true; }
    asking = false;
    if (again) { again = false; refresh(); } else if (missed) setTimeout(refresh, 2000); // nothing may come that would ask again
  };

  // What changes is said aloud, once: which service, why, and how the whole is. One voice says everything, so that no page
  // talks when it opens. What this tab was told last is kept: how an action ended is heard on the page that follows it.
  const say = (text) => { said.textContent = said.textContent === text ? text + "\u00a0" : text; };
  const tidings = (page) => Object.fromEntries([...page.querySelectorAll("#tidings li")].map((e) => [e.dataset.key, { state: e.dataset.state, over: e.dataset.over, text: e.textContent }]));
  let told;
  const remember = (now) => { told = now; try { sessionStorage.setItem("told", JSON.stringify(now)); } catch { /* then only while the page stays */ } };
  const announce = (page) => {
    const now = tidings(page), before = told, whole = page.getElementById("tidings").dataset;
    remember(now);
    const news = [
      ...Object.keys(now).filter((k) => now[k].state !== before[k]?.state).map((k) => now[k].text),
      ...Object.keys(before).filter((k) => before[k].over && !now[k] && whole.subjects.split(",").includes(k)).map((k) => before[k].over),
    ];
    if (news.length > 3) news.splice(0, news.length, whole.headline); else if (news.length > 0) news.push(whole.tally);
    if (news.length > 0) say(news.filter(Boolean).join(". ") + ".");
  };

  // Times are said from here: "12 seconds ago", "in 40 minutes".
  const count = (n, what) => n + " " + what + (n === 1 ? "" : "s");
  const tick = () => {
    const now = Date.now();
    for (const e of document.querySelectorAll("time[data-relative]")) {
      const at = Date.parse(e.dateTime), s = Math.round(Math.abs(at - now) / 1000);
      const size = s < 100 ? count(s, "second") : s < 6000 ? count(Math.round(s / 60), "minute") : s < 172800 ? count(Math.round(s / 3600), "hour") : count(Math.round(s / 86400), "day");
      const text = s < 1 ? "now" : at < now ? size + " ago" : "in " + size;
      if (e.firstChild.data !== text) e.firstChild.data = text;
    }
  };
  for (const e of document.querySelectorAll("[data-tail]")) e.scrollTop = e.scrollHeight;
  tick();
  setInterval(tick, 1000);

  if (!document.getElementById("tidings")) { live.remove(); return; }
  try { told = JSON.parse(sessionStorage.getItem("told")); } catch { /* as if nothing had been told */ }
  if (!told) remember(tidings(document));
  if (document.getElementById("log")) setInterval(() => { if (!document.hidden) refresh(); }, 3000); // a log has no events

  // A lost connection is seen at once, and said aloud when it lasts.
  const show = (text, state) => { if (live.textContent !== text) { live.textContent = text; live.dataset.state = state; } };
  let waiting = 0, lost = false;
  const connect = () => {
    const stream = new EventSource("/events");
    stream.onopen = () => {
      show("live", "on");
      clearTimeout(waiting);
      waiting = 0;
      if (lost) { lost = false; say("Connected again."); }
    };
    stream.onerror = () => {
      show("connection lost, trying again", "off");
      waiting ||= setTimeout(() => { lost = true; say("The connection is lost. What is shown may be old."); }, 10000);
      if (stream.readyState === EventSource.CLOSED) setTimeout(() => { refresh(); connect(); }, 5000); // refused, and not tried again by itself
    };
    stream.addEventListener("changed", refresh);
  };
  connect();
})();
