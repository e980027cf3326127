/** A job as the table stores it. Timestamps are ISO 8601 text, so that microseconds survive; `extra` is JSON text. */
export interface JobRow {
  /** Lower case. */
  readonly uuid: string
  readonly status: string
  readonly totalUrls: number
  readonly completedCount: number
  readonly failedCount: number
  readonly outputFormat: string | null
  readonly scrapingChannel: string | null
  readonly createdAt: string
  readonly finishedAt: string | null
  readonly extra: string | null
}

/** The rows as JSON text, one parameter for a whole chunk. Only the columns: a caller's rows may carry more. */
export function rowsParameter(rows: readonly JobRow[]): string {
  return JSON.stringify(
    rows.map((row) => ({
      uuid: row.uuid,
      status: row.status,
      totalUrls: row.totalUrls,
      completedCount: row.completedCount,
      failedCount: row.failedCount,
      outputFormat: row.outputFormat,
      scrapingChannel: row.scrapingChannel,
      createdAt: row.createdAt,
      finishedAt: row.finishedAt,
      extra: row.extra,
    })),
  )
}
