import type { DashboardData, Filters } from '../report/dashboard-data.js'
import { html, type Markup } from '../report/html.js'

/** Of the URL: anything may stand there, and a name given twice is a list. */
export type Query = Readonly<Record<string, string | readonly string[] | undefined>>

const DEFAULT_DAYS = 30
const MAX_DAYS = 400
const PERIODS = [7, 30, 90]

/** What a URL asks for. What makes no sense is left at its default; whether there is such an account is not asked here. */
export function filtersOf(query: Query, account: string): Filters {
  const days = Number(textOf(query.days))
  const isPeriod = Number.isInteger(days) && days >= 1 && days <= MAX_DAYS
  return {
    account: textOf(query.account) ?? account,
    channel: textOf(query.channel),
    days: isPeriod ? days : DEFAULT_DAYS,
  }
}

/** Text that Postgres can take; null where there is none. */
function textOf(value: Query[string]): string | null {
  const last = typeof value === 'string' ? value : (value?.at(-1) ?? '')
  return last === '' || last.includes('\0') ? null : last.toWellFormed()
}

/** The form of the filters, and the link that stops the refreshing. */
export function toControls(data: DashboardData, { isRefreshing }: { readonly isRefreshing: boolean }): Markup {
  const { filters, accounts, channels } = data
  const periods = [...new Set([...PERIODS, filters.days])].sort((a, b) => a - b)
  const options = [
    select('account', 'Account', filters.account, accounts.map(toOption)),
    select('channel', 'Channel', filters.channel ?? '', [['', 'all'], ...channels.map(toOption)]),
    select(
      'days',
      'Period',
      String(filters.days),
      periods.map((days) => [String(days), days === 1 ? 'today' : `${days} days`]),
    ),
  ]
  const query = new URLSearchParams({
    account: filters.account,
    ...(filters.channel === null ? {} : { channel: filters.channel }),
    days: String(filters.days),
    ...(isRefreshing ? { refresh: 'off' } : {}),
  })
  const kept = isRefreshing ? null : html`<input type="hidden" name="refresh" value="off">`
  return html`<form method="get" action="/" aria-label="Filters">${options}${kept}<button>Show</button>
<a class="refresh" href="/?${query.toString()}">${isRefreshing ? 'Stop refreshing' : 'Refresh by itself'}</a></form>`
}

function select(name: string, label: string, chosen: string, options: readonly (readonly [string, string])[]): Markup {
  return html`<label>${label}<select name="${name}">${options.map(([value, text]) =>
    value === chosen
      ? html`<option value="${value}" selected>${text}</option>`
      : html`<option value="${value}">${text}</option>`,
  )}</select></label>`
}

function toOption(name: string): readonly [string, string] {
  return [name, name]
}
