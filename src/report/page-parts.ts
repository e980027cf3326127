import { toCount, toDuration, toPercent, toTimeLabels } from './format.js'
import { html, type Markup, toDocument } from './html.js'

/** The parts in which the live pages and the file differ. */
export interface Surroundings {
  readonly head: Markup
  /** Links to other pages and the form of the filters; null in a file. */
  readonly controls: Markup | null
  /** The script of a file, at the end of its body. Default: the head loads it. */
  readonly script?: Markup
}

/** A query as it is shown below a page: `name` is the target of links. */
export interface ShownQuery {
  readonly name: string
  readonly title: string
  /** Ready for psql. */
  readonly text: string
}

/** Composes a page around its sections. */
export function toPage(
  { head, controls, script }: Surroundings,
  { title, sections, sql, readAt }: { title: string; sections: Markup; sql: readonly ShownQuery[]; readAt: Date },
): string {
  return toDocument(
    head,
    title,
    html`<header><p class="brand">spidra-sync</p>${controls}</header>
<main id="main">${sections}${sqlBlock(sql)}</main>
<footer><p>Read ${toTime(readAt, `${readAt.toISOString().slice(0, 16).replace('T', ' ')} UTC`)}, in one snapshot of the database. All days and times are UTC.</p></footer>${script ?? null}`,
  )
}

function sqlBlock(queries: readonly ShownQuery[]): Markup {
  return html`<section class="card sql" aria-labelledby="sql"><h2 id="sql">SQL behind the numbers</h2>
<p class="note">The queries of this page, ready for psql. They run for every role that may read the views, such as one of "spidra-sync grant-reader".</p>
<div class="queries">${queries.map(
    ({ name, title, text }) => html`<div class="query"><h3 id="sql-${name}">${title}</h3>
<pre tabindex="0" role="region" aria-label="SQL: ${title}"><code>${text}</code></pre></div>
`,
  )}</div></section>`
}

/** A cell of a table. `value` is what a CSV file has in place of the shown text. A long text may break between lines. */
export type Cell =
  | string
  | Markup
  | { readonly shown: string | Markup; readonly value?: string | number | null; readonly isLong?: boolean }

/** A number of things. */
export function countCell(count: number): Cell {
  return { shown: toCount(count), value: count }
}

/** A duration. */
export function secondsCell(seconds: number | null): Cell {
  return { shown: toDuration(seconds), value: seconds }
}

/** The time since something, in whole seconds. */
export function ageCell(seconds: number | null): Cell {
  return secondsCell(seconds === null ? null : Math.floor(seconds))
}

/** A share of 1. */
export function shareCell(share: number | null): Cell {
  return { shown: toPercent(share), value: share }
}

/** The rows of a table of which each has an instant, shown with seconds where minutes repeat. */
export function timedRows<Item>(
  items: readonly Item[],
  instantOf: (item: Item) => Date,
  now: Date,
  toCells: (item: Item, time: Cell) => Cell[],
): Cell[][] {
  const labels = toTimeLabels(items.map(instantOf), now)
  return items.map((item, i) => {
    const instant = instantOf(item)
    return toCells(item, { shown: toTime(instant, labels[i] ?? ''), value: instant.toISOString() })
  })
}

/** The finished URLs of a job, as a bar and as numbers. */
export function progressCell(job: {
  readonly uuid: string
  readonly completed_count: number
  readonly failed_count: number
  readonly total_urls: number
}): Cell {
  const finished = job.completed_count + job.failed_count
  const share = job.total_urls === 0 ? 0 : Math.min(1, finished / job.total_urls)
  const numbers = `${toCount(finished)} / ${toCount(job.total_urls)}`
  return {
    shown: html`<progress max="1" value="${share}" aria-label="Progress of ${job.uuid}">${toPercent(share)}</progress> ${numbers}`,
    value: `${finished} / ${job.total_urls}`,
  }
}

/** A text of any length. */
export function longCell(shown: string | Markup): Cell {
  return { shown, isLong: true }
}

/** An instant as text that the script can show in local time too. */
export function toTime(instant: Date, text: string): Markup {
  return html`<time datetime="${instant.toISOString()}">${text}</time>`
}

/**
 * A sentence that does not break inside a duration, and whose times of day in UTC, unless they have another day than `now`'s,
 * the script can show in local time too.
 */
export function withTimes(sentence: string, now: Date): Markup {
  const parts = sentence.split(/((?:\d{4}-\d\d-\d\d )?\b(?<![A-Z][a-z]{2} )\d\d:\d\d(?::\d\d)? UTC)/)
  return html`${parts.map((part, i) => (i % 2 === 0 ? unbroken(part) : toTimeOf(part, now)))}`
}

/** Joins the parts of each duration, as of 3 min 20 s, by spaces that do not break. */
export function unbroken(text: string): string {
  return text.replace(/\b\d[\d,.]* (?:s|min|h|d)\b(?: \d+ (?:s|min|h)\b)?/g, (duration) =>
    duration.replaceAll(' ', '\u00a0'),
  )
}

/** A text that a server wrote may look like a time and be none. */
function toTimeOf(clock: string, now: Date): Markup | string {
  const [time, day = now.toISOString().slice(0, 10)] = clock.replace(' UTC', '').split(' ').reverse()
  const instant = new Date(`${day}T${time}Z`)
  return Number.isNaN(instant.getTime()) ? clock : toTime(instant, clock)
}

/**
 * A table whose first column names the rows.
 *
 * @param empty the sentence that takes the place of a table without rows
 * @param isStacked on a narrow screen each row becomes a list of its cells, each with its heading
 */
export function tableOf(
  headings: readonly string[],
  rows: readonly (readonly Cell[])[],
  { empty = 'None.', isStacked = false }: { readonly empty?: string; readonly isStacked?: boolean } = {},
): Markup {
  if (rows.length === 0) return html`<p class="none">${empty}</p>`
  const body = rows.map(
    (row) => html`<tr>${row.map((cell, i) => cellOf(cell, i, isStacked ? (headings[i] ?? '') : null))}</tr>
`,
  )
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${headings.join(', ')}"><table${isStacked ? html` class="stacked"` : null}><thead><tr>${headings.map((heading) => html`<th scope="col">${heading}</th>`)}</tr></thead><tbody>
${body}</tbody></table></div>`
}

function cellOf(cell: Cell, column: number, heading: string | null): Markup {
  const { shown, value, isLong } = isPlain(cell) ? { shown: cell } : cell
  const attributes = [
    isLong === true ? html` class="long"` : null,
    value === undefined || value === null || String(value) === shown ? null : html` data-value="${value}"`,
    heading === null || column === 0 ? null : html` data-heading="${heading}"`,
  ]
  return column === 0 ? html`<th scope="row"${attributes}>${shown}</th>` : html`<td${attributes}>${shown}</td>`
}

function isPlain(cell: Cell): cell is string | Markup {
  return typeof cell === 'string' || 'text' in cell
}

/**
 * A section with a title, a count, and a link to its query.
 *
 * @param options `isFilling`: where the grid of charts has three columns, it takes two of them
 */
export function card(
  sql: string | null,
  title: string,
  count: string,
  body: Markup,
  { isFilling = false }: { readonly isFilling?: boolean } = {},
): Markup {
  return html`<section class="card${isFilling ? ' filling' : ''}"><h2>${title} <span class="count">${count}</span></h2>${body}${sql === null ? null : sourceOf(sql, title)}</section>
`
}

/** The link to the query that a section comes from. */
export function sourceOf(sql: string, title: string): Markup {
  return html`<p class="source"><a href="#sql-${sql}">SQL<span class="hidden"> of ${title}</span></a></p>`
}

/** Shows a uuid, or only its first eight characters, which tell jobs apart; the rest is invisible, but it is copied with them. */
export function uuidCell(uuid: string, isShort = true): Cell {
  if (!isShort) return html`<code>${uuid}</code>`
  return {
    shown: html`<code title="${uuid}">${uuid.slice(0, 8)}<span class="hidden">${uuid.slice(8)}</span></code>`,
    value: uuid,
  }
}

/** A status of a run in its colour. */
export function statusBadge(status: string): Markup {
  return html`<span class="badge ${statusColor(status)}">${status}</span>`
}

function statusColor(status: string): string {
  switch (status) {
    case 'complete':
      return 'succeeded'
    case 'partial':
      return 'partly'
    case 'failed':
      return 'failed'
    case 'running':
      return 'open'
    default:
      return 'cancelled'
  }
}
