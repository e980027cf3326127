/** A time range and the chosen variables, as Grafana fills them into a query. */
export interface View {
  readonly from: Date
  readonly to: Date
  /** Such as `1h`. */
  readonly interval: string
  readonly variables: Readonly<Record<string, readonly string[]>>
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

/**
 * Fills in Grafana's macros for Postgres and its variables. Throws on a macro that the dashboards do not use.
 *
 * @see https://grafana.com/docs/grafana/latest/datasources/postgres/query-editor/#macros
 */
export function toPlainSql(sql: string, { from, to, interval, variables }: View): string {
  const [begin, end] = [`'${from.toISOString()}'`, `'${to.toISOString()}'`]
  const plain = sql
    .replaceAll('$__interval', interval)
    .replace(/\$\{(\w+):sqlstring\}/g, (_, name: string) => {
      const values = variables[name]
      if (values === undefined) throw new Error(`the view has no variable ${name}`)
      return values.map((value) => `'${value.replaceAll("'", "''")}'`).join(',')
    })
    .replace(/\$__timeFilter\(([\w.]+)\)/g, (_, column: string) => `${column} BETWEEN ${begin} AND ${end}`)
    .replace(/\$__timeGroupAlias\((\w+), ?(\d+)([smhd])\)/g, (_, column: string, count: string, unit: string) => {
      const seconds = Number(count) * (SECONDS[unit] ?? Number.NaN)
      return `floor(extract(epoch from ${column})/${seconds})*${seconds} AS "time"`
    })
    .replaceAll('$__timeFrom()', begin)
    .replaceAll('$__timeTo()', end)
  const left = /\$[_{\w]+/.exec(plain)
  if (left !== null) throw new Error(`${left[0]} is not filled in`)
  return plain
}
