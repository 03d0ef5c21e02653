// The server says when something has changed; the page is asked for again and the parts that differ are put in their
// places. What is focused, opened or scrolled stays so.
(() => {
  "use strict";
  const live = document.getElementById("live");
  const say = (text, state) => { if (live.textContent !== text) { live.textContent = text; live.dataset.state = state; } };
  const parts = (root) => new Map([...root.querySelectorAll("[data-part]")].map((e) => [e.dataset.part, e]));
  const source = new Map([...parts(document)].map(([name, e]) => [name, e.outerHTML]));
  let asking = false, again = false;

  const swap = (old, fresh) => {
    const focus = old.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...old.querySelectorAll("details[open][id]")].map((d) => d.id);
    const scrolled = [...old.querySelectorAll("[data-tail]")].map((e) => [e.id, e.scrollTop + e.clientHeight >= e.scrollHeight - 4 ? -1 : e.scrollTop]);
    old.replaceWith(fresh);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    for (const [id, top] of scrolled) { const e = document.getElementById(id); if (e) e.scrollTop = top < 0 ? e.scrollHeight : top; }
    if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (asking) { again = true; return; }
    asking = true;
    let missed = false;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.redirected) { location.reload(); return; }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const now = parts(document), fresh = parts(page);
      if (answer.ok && [...now.keys()].join() !== [...fresh.keys()].join()) {
        document.getElementById("main").replaceWith(page.getElementById("main"));
        source.clear();
        for (const [name, e] of parts(document)) source.set(name, e.outerHTML);
      } else if (answer.ok) {
        for (const [name, e] of fresh) {
          const html = e.outerHTML;
          if (source.get(name) !== html) { source.set(name, html); swap(now.get(name), e); }
        }
      }
      missed = answer.status >= 500;
      if (answer.ok) { document.title = page.title; announce(); }
      tick();
    } catch { missed = true; }
    asking = false;
    if (again) { again = false; refresh(); } else if (missed) setTimeout(refresh, 2000); // nothing may come that would ask again
  };

  // What changed for the whole stack is said aloud, once.
  // It is read where it is shown: a part that was put in its place is no longer in the page that it came with.
  const headline = () => document.querySelector(".headline")?.textContent ?? "";
  let told = headline();
  const announce = () => { if (headline() !== told) { told = headline(); document.getElementById("said").textContent = told; } };

  // Times are said from here: "12 s ago", "in 40 s".
  const tick = () => {
    const now = Date.now();
    for (const e of document.querySelectorAll("time[data-relative]")) {
      const at = Date.parse(e.dateTime), s = Math.round(Math.abs(at - now) / 1000);
      const size = s < 100 ? s + " s" : s < 6000 ? Math.round(s / 60) + " min" : s < 172800 ? Math.round(s / 3600) + " h" : Math.round(s / 86400) + " days";
      const text = s < 1 ? "now" : at < now ? size + " ago" : "in " + size;
      if (!e.title) e.title = e.textContent;
      if (e.textContent !== text) e.textContent = text;
    }
  };
  for (const e of document.querySelectorAll("[data-tail]")) e.scrollTop = e.scrollHeight;
  tick();
  setInterval(tick, 1000);

  if (!document.querySelector("[data-part]")) { live.remove(); return; }
  if (document.getElementById("log")) setInterval(() => { if (!document.hidden) refresh(); }, 3000); // a log has no events
  const stream = new EventSource("/events");
  stream.onopen = () => say("live", "on");
  stream.onerror = () => say("connection lost, trying again", "off");
  stream.addEventListener("changed", refresh);
})();
