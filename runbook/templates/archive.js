// The list of all runs. Text reaches the page as textContent only: names come from clusters.
"use strict";

const byId = (id) => document.getElementById(id);
const runs = JSON.parse(byId("runs").textContent);
const controls = byId("controls");
const filters = [...controls.querySelectorAll("select")];

function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

// A label is shown on a phone, where the table has no head.
function cell(content, className = "", label = "") {
  const made = element("td", "", className);
  if (label) made.dataset.label = label;
  made.append(...content.filter((part) => part !== ""));
  return made;
}

const spaced = (status) => status.replaceAll("-", " ");

function checks(counts) {
  const words = { pass: "passed", warn: "warned", fail: "failed", skip: "skipped" };
  return Object.entries(words)
    .filter(([verdict]) => counts[verdict])
    .flatMap(([verdict, word]) => [element("span", `${counts[verdict]} ${word}`, `count ${verdict}`), " "]);
}

function row(run) {
  const link = element("a", run.cluster || run.run);
  link.href = `${encodeURIComponent(run.run)}/${run.status === "unreadable" ? "" : "index.html"}`;
  const badge = run.rehearsal ? element("span", "REHEARSAL", "badge rehearsal") : "";
  const problem = run.problem ? element("small", run.problem) : "";
  const made = element("tr");
  made.append(
    cell([link, " ", badge, element("small", run.run)]),
    cell([run.started], "plain"),
    cell([element("span", spaced(run.status), run.status), run.at && !run.problem ? ` in ${run.at}` : "", problem]),
    cell([run.line], "plain"),
    cell([run.mode], "plain"),
    cell(checks(run.checks)),
    cell([run.changed ? String(run.changed) : ""], "number", "Changed"),
    cell([run.took], "number"),
  );
  return made;
}

function option(filter, value) {
  const made = element("option", filter.name === "status" ? spaced(value) : value);
  made.value = value;
  filter.append(made);
}

function show() {
  const words = controls.q.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const run of runs) {
    const fits =
      words.every((word) => run.text.includes(word)) &&
      filters.every((filter) => !filter.value || run[filter.name] === filter.value);
    run.row.hidden = !fits;
    shown += fits;
  }
  byId("count").value = runs.length ? `${shown} of ${runs.length} run${runs.length > 1 ? "s" : ""}` : "";
  byId("table").hidden = shown === 0;
  byId("empty").hidden = shown > 0;
}

// The view is kept in the address, behind the #, so that it can be linked and survives a reload.
function remember() {
  const set = [...new FormData(controls)].filter(([, value]) => value);
  history.replaceState(null, "", `#${new URLSearchParams(set)}`);
}

function recall() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  controls.q.value = wanted.get("q") ?? "";
  for (const filter of filters) {
    const value = wanted.get(filter.name) ?? "";
    if (![...filter.options].some((known) => known.value === value)) option(filter, value);
    filter.value = value;
  }
  show();
}

for (const run of runs) run.row = row(run);
byId("rows").append(...runs.map((run) => run.row));
for (const filter of filters) {
  const values = new Set(runs.map((run) => run[filter.name]).filter(Boolean));
  for (const value of [...values].sort()) option(filter, value);
}
byId("empty").textContent = runs.length
  ? "No run fits. “Show all” takes search and filters away."
  : "There is no run yet. “runbook run” makes one.";
controls.hidden = runs.length === 0;
function changed() {
  show();
  remember();
}
controls.addEventListener("input", changed); // while typing
controls.addEventListener("change", changed); // of a choice, in every browser
controls.addEventListener("submit", (event) => event.preventDefault());
controls.addEventListener("reset", () => setTimeout(changed)); // after the fields are empty
addEventListener("hashchange", recall);
recall();
