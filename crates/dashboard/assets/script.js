// Everything works without this. It copies, refreshes what moves, opens confirmations in place, and says times in the
// viewer's own time zone.
"use strict";
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const times = (root) => {
    for (const t of root.querySelectorAll("time[datetime]")) {
      const text = `${exact.format(new Date(t.dateTime))} (${zone})`;
      if (t.classList.contains("exact")) t.textContent = text;
      else t.title = text;
    }
  };
  times(document);
  // Times in forms are the viewer's own; what is sent is the instant, which everybody means the same by.
  const local = (at) => new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, at.getUTCSeconds() ? 19 : 16);
  const moments = (root) => {
    for (const n of root.querySelectorAll("[data-zone-name]")) n.textContent = zone;
    for (const n of root.querySelectorAll("input[data-instant]")) {
      const at = new Date(n.dataset.instant);
      if (!isNaN(at)) n.dataset.shown = n.value = local(at);
    }
  };
  moments(document);
  document.addEventListener("formdata", (event) => {
    for (const n of event.target.querySelectorAll("input[data-instant]")) {
      const at = new Date(n.value);
      // Twice a year a local time is two instants: one that was not touched stays the one it was.
      if (n.value && n.value === n.dataset.shown) event.formData.set(n.name, n.dataset.instant);
      else if (n.value && !isNaN(at)) event.formData.set(n.name, at.toISOString());
    }
  });
  // What a chart says about time, in the viewer's own zone too.
  const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
  const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const minute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  for (const n of document.querySelectorAll("[data-at][data-utc]")) {
    const form = n.dataset.short === "day" ? day : n.dataset.short === "hour" ? hour : minute;
    n.textContent = n.textContent.replace(n.dataset.utc, form.format(new Date(n.dataset.at)));
  }
  for (const n of document.querySelectorAll("[data-zone]")) n.textContent = `Times in ${zone}`;

  const copy = async (button, text) => {
    const label = button.dataset.label ?? (button.dataset.label = button.textContent);
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
    catch { button.textContent = "Could not copy"; }
    setTimeout(() => { button.textContent = label; }, 1500);
  };

  const dialog = document.getElementById("dialog");
  let asked = 0;
  // The latest that was asked for is shown; what counts again in a dialog is not, once that was closed.
  const open = async (link, again = false) => {
    const mine = ++asked;
    try {
      const page = new DOMParser().parseFromString(await (await fetch(link.href)).text(), "text/html");
      if (mine !== asked || (again && !dialog.open)) return;
      const part = page.querySelector("[data-confirm]");
      if (!part) throw new Error("no confirmation there");
      const menu = document.querySelector("details.menu[open]");
      if (menu) { menu.querySelector("summary").focus(); menu.open = false; }
      dialog.replaceChildren(document.adoptNode(part));
      times(dialog);
      moments(dialog);
      if (!dialog.open) dialog.showModal();
      dialog.querySelector("[data-close]")?.focus();
    } catch { if (mine === asked && (!again || dialog.open)) location.href = link.href; }
  };

  document.addEventListener("click", (event) => {
    const at = (selector) => event.target.closest(selector);
    const button = at("[data-copy], [data-copy-from]");
    if (button) copy(button, button.dataset.copy ?? document.getElementById(button.dataset.copyFrom).textContent);
    const link = at("a[data-dialog]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) { event.preventDefault(); open(link); }
    if (at("dialog [data-close]")) { event.preventDefault(); dialog.close(); }
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  // Counting again in a dialog stays in the dialog.
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("dialog form[data-count]");
    if (form) { event.preventDefault(); open({ href: `${form.action}?${new URLSearchParams(new FormData(form))}` }, true); }
  });
  document.addEventListener("change", (event) => {
    const form = event.target.closest("select")?.closest("form[data-count]");
    if (form && event.target.value !== "own") { form.elements.at.value = ""; form.requestSubmit(); }
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
    if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
  });

  // Parts that move are read again from the page's own address. Not while somebody is in them, or looks elsewhere.
  const parts = [...document.querySelectorAll("[data-live]")];
  const key = (row) => `${row.querySelector("a.row")?.href} ${row.querySelector(".state")?.textContent}`;
  const refresh = async (only) => {
    const busy = (part) => part.contains(document.activeElement) || part.querySelector("details[open].menu")
      || (getSelection().anchorNode && !getSelection().isCollapsed && part.contains(getSelection().anchorNode));
    if (document.hidden || dialog.open) return;
    let page;
    try {
      const answer = await fetch(location.href, { headers: { "x-refresh": "1" } });
      if (!answer.ok || answer.redirected) return;
      page = new DOMParser().parseFromString(await answer.text(), "text/html");
    } catch { return; }
    for (const part of only) {
      const next = page.getElementById(part.id);
      if (!next || busy(part) || next.innerHTML === part.dataset.last) continue;
      part.dataset.last = next.innerHTML;
      const opened = [...part.querySelectorAll("details")].map((d) => d.open);
      if ("done" in next.dataset) part.dataset.done = "";
      const seen = new Set([...part.querySelectorAll("tbody tr")].map(key));
      part.replaceChildren(...document.adoptNode(next).childNodes);
      const rows = [...part.querySelectorAll("tbody tr")], fresh = rows.filter((row) => !seen.has(key(row)));
      if (fresh.length * 2 < rows.length) for (const row of fresh) row.classList.add("new");
      part.querySelectorAll("details").forEach((d, i) => { if (opened.length && i < opened.length) d.open = opened[i]; });
      times(part);
    }
  };
  if (parts.length) {
    const every = Math.min(...parts.map((p) => Number(p.dataset.live)));
    setInterval(() => { const left = parts.filter((p) => !("done" in p.dataset)); if (left.length) refresh(left); }, every);
  }

  // On a phone the rooms are behind a button.
  const rail = document.querySelector(".rail");
  const rooms = document.getElementById("rooms");
  if (rail && rooms) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "rooms-button";
    button.textContent = "Menu";
    button.setAttribute("aria-controls", "rooms");
    const fold = (open) => { rail.classList.toggle("open", open); button.setAttribute("aria-expanded", String(open)); };
    button.addEventListener("click", () => fold(!rail.classList.contains("open")));
    rail.addEventListener("keydown", (e) => { if (e.key === "Escape" && rail.classList.contains("open")) { fold(false); button.focus(); } });
    rooms.before(button);
    rail.classList.add("folds");
    fold(false);
  }

  // The switcher lists other applications when it is opened.
  const switcher = document.querySelector("details[data-switch]");
  switcher?.addEventListener("toggle", async () => {
    if (!switcher.open || "filled" in switcher.dataset) return;
    switcher.dataset.filled = "";
    try {
      const list = new DOMParser().parseFromString(await (await fetch(switcher.dataset.switch, { headers: { "x-refresh": "1" } })).text(), "text/html");
      const links = [...list.querySelectorAll("table td:first-child a.row")].map((found) => {
        const link = document.createElement("a");
        link.href = found.getAttribute("href");
        link.textContent = found.textContent;
        return link;
      });
      switcher.querySelector("div").prepend(...links);
    } catch { /* The link to all of them is there. */ }
  });

  // Groups that tick all of theirs, a search, and a count.
  for (const tree of document.querySelectorAll("[data-tree]")) {
    const choices = [...tree.querySelectorAll("[data-choice]")];
    if (choices.length < 2) continue;
    const field = document.createElement("p");
    field.className = "field";
    const label = document.createElement("label");
    label.textContent = "Search";
    label.htmlFor = "tree-search";
    const search = document.createElement("input");
    search.id = "tree-search";
    search.type = "search";
    field.append(label, search);
    const count = document.createElement("p");
    count.className = "quiet";
    count.setAttribute("role", "status");
    tree.before(field);
    const boxes = (root) => [...root.querySelectorAll("input[name=event]")];
    const updates = [];
    const update = () => {
      for (const u of updates) u();
      const n = boxes(tree).filter((b) => b.checked).length;
      if (boxes(tree).length) count.textContent = n ? `${n} event type${n > 1 ? "s" : ""} selected` : tree.dataset.none ?? "Receiving all events";
    };
    for (const group of tree.querySelectorAll("fieldset[data-group]")) {
      if (boxes(group).length < 2) continue;
      const legend = group.querySelector("legend");
      const all = document.createElement("label");
      all.className = "tick";
      all.classList.add("all");
      group.classList.add("has-all");
      const box = document.createElement("input");
      box.type = "checkbox";
      const text = document.createElement("span");
      text.textContent = `All of ${legend.firstChild.textContent.trim()}`;
      all.append(box, text);
      legend.after(all);
      box.addEventListener("change", () => { for (const b of boxes(group)) b.checked = box.checked; update(); });
      updates.push(() => {
        const mine = boxes(group), n = mine.filter((b) => b.checked).length;
        box.checked = n === mine.length;
        box.indeterminate = n > 0 && n < mine.length;
      });
    }
    if (boxes(tree).length) tree.before(count);
    tree.addEventListener("change", update);
    update();
    search.addEventListener("input", () => {
      const word = search.value.trim().toLowerCase();
      for (const c of choices) c.hidden = !c.textContent.toLowerCase().includes(word);
      for (const g of tree.querySelectorAll("[data-group]")) g.hidden = [...g.querySelectorAll("[data-choice]")].every((c) => c.hidden);
    });
    search.addEventListener("keydown", (e) => { if (e.key === "Enter") e.preventDefault(); });
  }

  // The page between a button and the OpenID provider: a form may lead to our own pages only.
  const onward = document.querySelector("a[data-onward]");
  if (onward) location.replace(onward.href);

  // The portal's token is behind the hash sign, where no server and no proxy sees it; it leaves the address at once.
  const portal = document.querySelector("form[data-portal]");
  if (portal && location.hash.includes("key=")) {
    portal.elements.key.value = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
    portal.submit();
  }
})();
