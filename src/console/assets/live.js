// The requests as they come. Everything that a client sent is set as text, never as markup.
"use strict";
(() => {
  const table = document.querySelector("#live tbody");
  if (!table) return;
  const state = document.querySelector("#live-state");
  const wanted = new URLSearchParams(location.search);
  const most = 200;
  let lost = 0;

  const fits = (line) => [...wanted].every(([name, value]) => String(line[name] ?? "") === value);

  const cell = (row, text, filter) => {
    const cell = row.insertCell();
    if (!filter) {
      cell.textContent = text;
      return;
    }
    const query = new URLSearchParams(wanted);
    query.set(filter, text);
    const link = document.createElement("a");
    link.href = "/live?" + query;
    link.textContent = text;
    cell.append(link);
  };

  const show = (line) => {
    if (!fits(line)) return;
    const row = table.insertRow(0);
    cell(row, line.time);
    cell(row, line.client, "client");
    cell(row, line.route, "route");
    cell(row, line.request);
    cell(row, line.status, "status");
    cell(row, line.verdict, "verdict");
    cell(row, line.ms);
    while (table.rows.length > most) table.deleteRow(-1);
  };

  const source = new EventSource("/live/stream");
  source.addEventListener("open", () => { state.textContent = "Connected"; });
  source.addEventListener("error", () => { state.textContent = "Not connected; trying again"; });
  source.addEventListener("request", (event) => show(JSON.parse(event.data)));
  source.addEventListener("lost", (event) => {
    lost += Number(event.data);
    state.textContent = "Connected; " + lost + " requests came too fast to show";
  });
})();

// A file can be chosen in place of pasting its text.
(() => {
  for (const input of document.querySelectorAll("input[data-into]")) {
    input.closest("label").hidden = false;
    input.addEventListener("change", async () => {
      const [file] = input.files;
      if (file) input.form.elements[input.dataset.into].value = await file.text();
    });
  }
})();
