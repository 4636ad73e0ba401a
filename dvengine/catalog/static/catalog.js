// What the pages gain from JavaScript: a search box on the front page, tabs and a copy button on code. Without it nothing is lost.
"use strict";

// The same folding and stemming as the file index (dvengine/catalog/_words.py); the endings come with the page.
const SPELLED = { "å": "aa", "æ": "ae", "ä": "ae", "ø": "oe", "ö": "oe", "đ": "d", "ŋ": "n", "ŧ": "t", "ð": "d" };
const fold = (text) =>
  text.normalize("NFC").toLowerCase().replace(/[åæäøöđŋŧð]/g, (c) => SPELLED[c]).normalize("NFD").replace(/\p{M}/gu, "");
const wordsOf = (text) => fold(text).match(/[\p{L}\p{N}]+/gu) || [];

function stem(word, suffixes) {
  const kept = (s) => word.slice(0, -s.length);
  const ending = suffixes.find((s) => word.endsWith(s) && kept(s).length >= 3 && !(s[0] === "e" && /[ao]$/.test(kept(s))));
  return ending ? kept(ending) : word;
}

function startSearch(form) {
  const data = JSON.parse(document.getElementById("catalog-data").textContent);
  const cards = [...document.querySelectorAll(".card")].map((element) => ({
    element,
    words: (data.words[element.dataset.page] || "").split(" "),
  }));
  const stop = new Set(data.stop);
  const found = document.getElementById("found");
  const access = form.elements.access;
  const holds = (card, word) => {
    const root = stem(word, data.suffixes);
    return card.words.some((w) => w.startsWith(word) || stem(w, data.suffixes) === root || (root.length >= 4 && w.includes(root)));
  };
  const show = () => {
    const all = wordsOf(form.elements.q.value);
    const few = all.filter((word) => !stop.has(word));
    const asked = few.length ? few : all;
    let shown = 0;
    for (const card of cards) {
      const fits = (!access || !access.value || card.element.dataset.access === access.value) && asked.every((w) => holds(card, w));
      card.element.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    const narrowed = asked.length || (access && access.value);
    found.textContent = !narrowed ? "" : shown === 0 ? "No package fits. Try fewer or other words." : `${shown} of ${cards.length} packages`;
    const address = new URL(location.href);
    address.hash = asked.length ? `q=${encodeURIComponent(form.elements.q.value)}` : "";
    history.replaceState(null, "", address);
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", show);
  form.hidden = cards.length < 2;
  const kept = /^#q=(.*)$/.exec(location.hash);
  if (kept) {
    try { form.elements.q.value = decodeURIComponent(kept[1]); } catch { /* a broken address asks for nothing */ }
    show();
  }
}

function startTabs(box, number) {
  const panels = [...box.querySelectorAll("details")];
  const bar = document.createElement("div");
  const list = document.createElement("div");
  bar.className = "tabs";
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-label", box.dataset.tabs);
  const tabs = panels.map((panel, i) => {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.id = `tab-${number}-${i}`;
    tab.textContent = panel.querySelector("summary").textContent;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", `panel-${number}-${i}`);
    panel.id = `panel-${number}-${i}`;
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", tab.id);
    panel.open = true;
    tab.addEventListener("click", () => choose(i));
    list.append(tab);
    return tab;
  });
  const choose = (chosen) => {
    tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === chosen));
      tab.tabIndex = i === chosen ? 0 : -1;
      panels[i].hidden = i !== chosen;
    });
  };
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length;
    choose(next);
    tabs[next].focus();
  });
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "copy";
  copy.textContent = "Copy";
  copy.addEventListener("click", async () => {
    const code = panels.find((panel) => !panel.hidden).querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      copy.textContent = "Selected";
    }
    setTimeout(() => { copy.textContent = "Copy"; }, 2000);
  });
  bar.append(list, copy);
  box.prepend(bar);
  box.classList.add("tabbed");
  choose(0);
}

const form = document.getElementById("search");
if (form) startSearch(form);
document.querySelectorAll("[data-tabs]").forEach(startTabs);
