// What is wrong with the page for somebody who does not see it, or not as its author did: a list of complaints. It looks
// at what the accessibility tree does not tell: colours, sizes, references, and what moves.
(() => {
  const wrong = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const called = (e) => {
    const own = e.id ? "#" + e.id : e.getAttribute("class") ? "." + e.getAttribute("class").trim().replace(/\s+/g, ".") : "";
    return e.localName + own + (e.localName === "body" || own.startsWith("#") || !e.parentElement ? "" : " in " + called(e.parentElement));
  };
  const shown = (e) => e.checkVisibility({ contentVisibilityAuto: true, visibilityProperty: true });

  // A reader pronounces by the language, and begins with the title.
  if (!document.documentElement.lang) wrong.push("the page has no language");
  if (!/\S/.test(document.title)) wrong.push("the page has no title");

  // What refers to another element finds it, and only one.
  for (const [id, those] of Object.entries(Object.groupBy(all("[id]"), (e) => e.id))) if (those.length > 1) wrong.push(`${those.length} elements have the id ${id}`);
  for (const name of ["aria-labelledby", "aria-describedby", "aria-controls", "for"]) {
    for (const e of all(`[${name}]`)) for (const id of e.getAttribute(name).split(/\s+/)) if (!document.getElementById(id)) wrong.push(`${called(e)}: ${name} refers to ${id}, which is not there`);
  }
  for (const e of all('a[href^="#"]')) if (!document.querySelector(e.getAttribute("href"))) wrong.push(`${called(e)} leads nowhere`);

  // The keyboard goes in the order of reading, and wherever something scrolls.
  for (const e of all("[tabindex]")) if (e.tabIndex > 0) wrong.push(`${called(e)} is out of the order of the keyboard`);
  for (const e of all("main *")) {
    const s = getComputedStyle(e);
    const scrolls = (e.scrollWidth > e.clientWidth + 1 && /auto|scroll/.test(s.overflowX)) || (e.scrollHeight > e.clientHeight + 1 && /auto|scroll/.test(s.overflowY));
    if (scrolls && shown(e) && e.tabIndex < 0) wrong.push(`${called(e)} scrolls, and not with the keyboard`);
  }

  const stops = all("a, button, input:not([type=hidden]), summary, [tabindex='0']").filter((e) => shown(e) && !e.matches(".skip")).map((e) => [e, e.getBoundingClientRect()]);
  stops.forEach(([e, r], i) => { if (i > 0 && r.bottom < stops[i - 1][1].top) wrong.push(`${called(e)} comes after ${called(stops[i - 1][0])} and stands above it`); });

  // Tables and lists are what they look like.
  for (const e of all("th:not([scope])")) wrong.push(`${called(e)}: a heading of neither a row nor a column`);
  for (const e of all("ul > :not(li), ol > :not(li)")) wrong.push(`${called(e)} is in a list and no item of it`);
  for (const e of all("li")) if (!/^[UO]L$/.test(e.parentElement.tagName)) wrong.push(`${called(e)} is an item of no list`);

  // Hidden from the reader is only what is said beside it in words, and nothing that takes the focus.
  for (const e of all('[aria-hidden="true"]')) {
    if (e.matches(":focus-within") || e.querySelector("a, button, input, summary, [tabindex]")) wrong.push(`${called(e)} is hidden from readers and takes the focus`);
    if (e.localName !== "svg" && !e.matches(".scale")) wrong.push(`${called(e)} is hidden from readers`);
    if (!/[\p{L}\p{N}]/u.test(e.parentElement.textContent)) wrong.push(`${called(e)} has no words beside it`);
  }

  // What has the colour of a state says it in words too.
  for (const e of all(".ok, .warn, .bad, .recovered, .pending, .failed, .yes, .no, .unknown")) {
    if (!e.closest("svg") && shown(e) && !/[\p{L}\p{N}]/u.test(e.innerText)) wrong.push(`${called(e)} says its state by colour only`);
  }

  // Nothing moves by itself.
  for (const e of all("*")) {
    const s = getComputedStyle(e);
    if (s.animationName !== "none" || parseFloat(s.transitionDuration) > 0) wrong.push(`${called(e)} moves`);
  }

  // Fingers hit what is at least 24 pixels high and wide, but for links within a text.
  for (const e of all("a, button, input:not([type=hidden]), summary")) {
    const r = e.getBoundingClientRect();
    if (shown(e) && getComputedStyle(e).display !== "inline" && (r.width < 24 || r.height < 24)) wrong.push(`${called(e)} is only ${Math.round(r.width)} by ${Math.round(r.height)} pixels`);
  }

  // Contrast, as WCAG 2 computes it.
  const paper = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    paper.clearRect(0, 0, 1, 1);
    paper.fillStyle = colour;
    paper.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = paper.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, share, ground) => [0, 1, 2].map((i) => top[i] * share + ground[i] * (1 - share));
  const ground = (e) => {
    if (!e) return rgba("canvas").slice(0, 3);
    const [r, g, b, a] = rgba(getComputedStyle(e).backgroundColor);
    return a === 1 ? [r, g, b] : over([r, g, b], a, ground(e.parentElement));
  };
  const light = (c) => c.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const against = (e, colour, least, what) => {
    const under = ground(e.closest("svg")?.parentElement ?? e), c = rgba(colour);
    const got = contrast(over(c, c[3] * parseFloat(getComputedStyle(e).opacity), under), under);
    if (got < least) wrong.push(`${what} has a contrast of ${got.toFixed(2)}, at least ${least} is needed: ${called(e)}`);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!/\S/.test(texts.currentNode.data) || !shown(e) || e.closest(".hidden, .skip:not(:focus)")) continue;
    const s = getComputedStyle(e), size = parseFloat(s.fontSize), large = size >= 24 || (size >= 18.66 && s.fontWeight >= 700);
    against(e, s.color, large ? 3 : 4.5, `"${texts.currentNode.data.trim().slice(0, 30)}"`);
  }
  // Of graphics all but the ground that the others stand on, and what stands for nothing known.
  for (const e of all("svg :is(path, circle, rect):not(.none, .track)")) {
    const s = getComputedStyle(e);
    if (!shown(e)) continue;
    if (s.fill !== "none") against(e, s.fill, 3, "a shape");
    if (s.stroke !== "none") against(e, s.stroke, 3, "a line");
  }
  for (const e of all(".button, button, input:not([type=hidden])")) {
    const s = getComputedStyle(e), under = ground(e.parentElement);
    const edge = Math.max(contrast(ground(e), under), contrast(over(rgba(s.borderTopColor), rgba(s.borderTopColor)[3], under), under));
    if (shown(e) && edge < 3) wrong.push(`the edge of ${called(e)} has a contrast of ${edge.toFixed(2)}, at least 3 is needed`);
  }
  return [...new Set(wrong)];
})()
