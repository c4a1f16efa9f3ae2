"use strict";
// Sorting and filtering of tables, and opening what a link leads to.  Without it everything
// can be read; so the controls are made here and stand on no page where they would do nothing.
(() => {
  const make = (name, fields, ...inner) => {
    const found = Object.assign(document.createElement(name), fields);
    found.append(...inner);
    return found;
  };
  const collator = new Intl.Collator("en", { numeric: true });

  const sortable = (table) => {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const headings = [...table.tHead.rows[0].cells];
    const sort = (column, order) => {
      headings.forEach((heading, place) => {
        if (place === column && order) heading.setAttribute("aria-sort", order);
        else heading.removeAttribute("aria-sort");
      });
      if (!order) return body.append(...rows);
      const keys = new Map(rows.map((row) => {
        const cell = row.cells[column];
        const summary = cell.querySelector("summary");
        return [row, cell.dataset.by ?? (summary ?? cell).textContent];
      }));
      const sign = order === "ascending" ? 1 : -1;
      const number = headings[column].classList.contains("number");
      const compare = (a, b) => number ? keys.get(a) - keys.get(b) : collator.compare(keys.get(a), keys.get(b));
      body.append(...rows.slice().sort((a, b) => sign * compare(a, b)));
    };
    headings.forEach((heading, column) => {
      const button = make("button", { type: "button" }, ...heading.childNodes);
      button.addEventListener("click", () => {
        const next = { ascending: "descending", descending: "" };
        sort(column, next[heading.getAttribute("aria-sort")] ?? "ascending");
      });
      heading.append(button);
    });
    return rows;
  };

  const sieve = (table, rows) => {
    const statuses = [...new Set(rows.map((row) => row.cells[0].textContent))];
    const words = make("input", { type: "search", placeholder: "filter by text" });
    words.setAttribute("aria-label", "Filter by text");
    const status = make("select", {}, make("option", { value: "" }, "every status"));
    status.setAttribute("aria-label", "Filter by status");
    for (const one of statuses) status.append(make("option", { value: one }, one));
    const count = make("output", { className: "dim" });
    const texts = new Map();
    const text = (row) => {
      if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
      return texts.get(row);
    };
    const apply = () => {
      const wanted = words.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        row.hidden = Boolean((status.value && row.cells[0].textContent !== status.value)
          || (wanted && !text(row).includes(wanted)));
        shown += !row.hidden;
      }
      count.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} shown`;
    };
    words.addEventListener("input", apply);
    status.addEventListener("change", apply);
    const open = make("button", { type: "button" }, "open all");
    open.addEventListener("click", () => {
      const opened = open.textContent === "open all";
      for (const row of rows) {
        const found = row.hidden ? null : row.querySelector("details");
        if (found) found.open = opened;
      }
      open.textContent = opened ? "close all" : "open all";
    });
    const controls = make("div", { className: "sieve" }, words, status, open, count);
    controls.setAttribute("role", "search");
    table.parentElement.before(controls);
    return () => { words.value = ""; status.value = ""; apply(); };
  };

  const resets = new Map();
  for (const table of document.querySelectorAll("table.sortable")) {
    const rows = sortable(table);
    if (table.classList.contains("units") && rows.length > 1) resets.set(table, sieve(table, rows));
  }
  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    const row = target && target.closest("tr");
    if (!row) return;
    if (row.hidden) resets.get(row.closest("table"))?.();
    const details = row.querySelector("details");
    if (details) details.open = true;
    row.scrollIntoView();
  };
  // Where the style sheet cannot: browsers without ::details-content.
  addEventListener("beforeprint", () => {
    for (const rest of document.querySelectorAll(".rest")) rest.open = true;
  });
  addEventListener("hashchange", reveal);
  reveal();
})();
