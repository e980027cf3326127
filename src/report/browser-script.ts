/**
 * The script of the pages. Everything works without it: it adds the values of charts at the pointer, local times, buttons that
 * copy SQL and save tables as CSV, and a refresh that keeps opened tables, positions of scrolling and the focus. It asks only
 * the server that it came from. `data-refresh` of its element: seconds between two refreshes.
 */
export const BROWSER_SCRIPT = `'use strict';
(() => {
  const refreshSeconds = Number(document.currentScript.dataset.refresh);

  const create = (name, className, text) =>
    Object.assign(document.createElement(name), { className, textContent: text });

  /** Local times, beside UTC and as titles. */
  const addLocalTimes = (root) => {
    for (const time of root.querySelectorAll('time')) {
      const date = new Date(time.dateTime);
      time.title = date.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'long' });
      if (date.getTimezoneOffset() === 0) continue;
      const isOtherDay = date.getDate() !== date.getUTCDate();
      const second = /:\\d\\d:/.test(time.textContent) ? '2-digit' : undefined;
      const day = isOtherDay ? { day: 'numeric', month: 'short' } : {};
      const shown = date.toLocaleString('en-GB', { hour: '2-digit', minute: '2-digit', second, ...day });
      time.after(create('span', 'local', ' (' + shown + ' local)'));
    }
  };

  const copy = async (pre) => {
    try {
      await navigator.clipboard.writeText(pre.textContent);
    } catch {
      // The clipboard needs HTTPS or localhost.
      getSelection().selectAllChildren(pre);
      document.execCommand('copy');
    }
  };

  const addCopyButtons = (root) => {
    for (const pre of root.querySelectorAll('.sql pre')) {
      const button = create('button', 'small', 'Copy');
      button.type = 'button';
      button.setAttribute('aria-label', 'Copy SQL: ' + pre.previousElementSibling.textContent);
      button.addEventListener('click', async () => {
        await copy(pre);
        button.textContent = 'Copied';
        setTimeout(() => { button.textContent = 'Copy'; }, 2000);
      });
      pre.previousElementSibling.append(button);
    }
  };

  const toField = (cell) => {
    const text = (cell.dataset.value ?? cell.textContent).trim();
    // A spreadsheet would run such a text as a formula.
    const safe = /^[=+@\\t-]/.test(text) && Number.isNaN(Number(text)) ? "'" + text : text;
    return /[",\\n\\r]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
  };

  const addCsvButtons = (root) => {
    for (const table of root.querySelectorAll('.card table')) {
      const card = table.closest('.card');
      const title = card.querySelector('h1, h2').firstChild.textContent.trim();
      const button = create('button', 'small', 'CSV');
      button.type = 'button';
      button.setAttribute('aria-label', 'Save as CSV: ' + title);
      button.addEventListener('click', () => {
        const lines = Array.from(table.rows, (row) => Array.from(row.cells, toField).join(','));
        const blob = new Blob(['\\ufeff' + lines.join('\\r\\n') + '\\r\\n'], { type: 'text/csv' });
        const link = create('a', '', '');
        link.href = URL.createObjectURL(blob);
        link.download = title.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-') + '.csv';
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      });
      card.querySelector('.source').prepend(button, ' ');
    }
  };

  const enhance = (root) => {
    addLocalTimes(root);
    addCopyButtons(root);
    addCsvButtons(root);
  };

  /** Shows the row of the chart's table that belongs to the point nearest to the pointer. */
  const tip = create('div', 'tip', '');
  tip.hidden = true;
  tip.setAttribute('aria-hidden', 'true');
  const guide = document.createElementNS('http://www.w3.org/2000/svg', 'line');
  guide.setAttribute('stroke', 'var(--axis)');
  guide.setAttribute('y1', '0');

  const hideTip = () => {
    tip.hidden = true;
    guide.remove();
  };

  const showTip = ({ target, clientX, clientY }) => {
    const chart = target instanceof Element ? target.closest('svg.chart') : null;
    if (chart === null) return hideTip();
    const { width, height } = chart.viewBox.baseVal;
    const box = chart.getBoundingClientRect();
    const at = ((clientX - box.left) / box.width) * width;
    const points = chart.dataset.x.split(' ').map(Number);
    const nearest = points.reduce((best, x, i) => (Math.abs(x - at) < Math.abs(points[best] - at) ? i : best), 0);
    const table = chart.closest('.card').querySelector('table');
    const row = table?.tBodies[0].rows[nearest];
    if (row === undefined) return hideTip();
    const lines = Array.from(row.cells, (cell, i) => {
      const line = create('div', '', '');
      const value = create('b', '', cell.textContent);
      line.append(...(i === 0 ? [value] : [table.tHead.rows[0].cells[i].textContent + ' ', value]));
      return line;
    });
    tip.replaceChildren(...lines);
    tip.hidden = false;
    const left = clientX + 16 + tip.offsetWidth > innerWidth ? clientX - 16 - tip.offsetWidth : clientX + 16;
    tip.style.left = Math.max(4, left) + 'px';
    tip.style.top = Math.max(4, Math.min(clientY + 12, innerHeight - tip.offsetHeight - 4)) + 'px';
    for (const name of ['x1', 'x2']) guide.setAttribute(name, points[nearest]);
    guide.setAttribute('y2', height);
    chart.append(guide);
  };

  /** What a reader has opened and scrolled, by the order of the elements with the same name. */
  const keyed = (root, selector) => {
    const seen = new Map();
    return Array.from(root.querySelectorAll(selector), (element) => {
      const name = element.getAttribute('aria-label') ?? element.querySelector('summary')?.textContent ?? '';
      const count = (seen.get(name) ?? 0) + 1;
      seen.set(name, count);
      return [name + count, element];
    });
  };

  const FOCUSABLE = 'a, button, summary, [tabindex]';

  const replace = (fresh) => {
    const main = document.getElementById('main');
    const scroll = [scrollX, scrollY];
    const opened = new Map(keyed(main, 'details').map(([key, details]) => [key, details.open]));
    const places = new Map(keyed(main, '.scroll, pre').map(([key, box]) => [key, [box.scrollLeft, box.scrollTop]]));
    const focused = Array.from(main.querySelectorAll(FOCUSABLE)).indexOf(document.activeElement);
    hideTip();
    enhance(fresh);
    main.replaceWith(fresh);
    for (const [key, details] of keyed(fresh, 'details')) details.open = opened.get(key) ?? details.open;
    for (const [key, box] of keyed(fresh, '.scroll, pre')) box.scrollTo(...(places.get(key) ?? [0, 0]));
    if (focused >= 0) fresh.querySelectorAll(FOCUSABLE)[focused]?.focus({ preventScroll: true });
    scrollTo(...scroll);
  };

  const refresh = async () => {
    const main = document.getElementById('main');
    const selection = getSelection();
    if (document.hidden || (!selection.isCollapsed && main.contains(selection.anchorNode))) return;
    try {
      const answer = await fetch(location.href, { signal: AbortSignal.timeout(60_000) });
      if (answer.status === 401) return location.reload();
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      const fresh = page.getElementById('main');
      if (fresh === null) throw new Error('no page');
      replace(document.adoptNode(fresh));
      // The page of an error has neither.
      for (const name of ['header:not(:has(form, nav))', 'footer']) {
        const next = page.querySelector(name.split(':')[0]);
        if (next !== null) document.querySelector(name)?.replaceWith(next);
      }
      const footer = document.querySelector('footer');
      if (footer !== null) addLocalTimes(footer);
    } catch {
      const note = main.querySelector('.offline') ?? create('p', 'offline', 'spidra-sync does not answer: these are the numbers of its last answer.');
      note.setAttribute('role', 'status');
      main.prepend(note);
    }
  };

  enhance(document);
  document.body.append(tip);
  document.addEventListener('pointermove', showTip);
  document.addEventListener('pointerdown', showTip);
  document.addEventListener('scroll', hideTip, { passive: true });
  if (refreshSeconds > 0) {
    setInterval(refresh, refreshSeconds * 1000);
    document.addEventListener('visibilitychange', refresh);
  }
})();
`
