import { createServer } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { API_KEY, runCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { item, uuid } from '../support/plain-list.js'

/** More than the heap can hold. */
const PAGES = Number(process.env.LARGE_PAGES ?? 25)
const PAGE_JOBS = 50
const MOST_MEGABYTES = 300

/** Writes the most memory that the process has held, in kilobytes, at its end. */
const REPORT_PEAK = `data:text/javascript,import{writeSync}from'node:fs';process.on('exit',()=>writeSync(2,'peak '+process.resourceUsage().maxRSS))`

interface LargeList {
  /** Bytes of a page, about. */
  readonly pageBytes: number
  /** What the unknown field of each job repeats, as JSON text of a string without its quotes. */
  readonly letters: string
  /** Whether the jobs are valid. */
  readonly isValid: boolean
}

/** Serves pages whose jobs have a large unknown field. */
async function serveLargeList({ pageBytes, letters, isValid }: LargeList): Promise<string> {
  const total = PAGES * PAGE_JOBS
  const note = letters.repeat(Math.floor(pageBytes / PAGE_JOBS / Buffer.byteLength(letters)))
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? '', 'http://list')
    const [page, limit] = [Number(searchParams.get('page')), Number(searchParams.get('limit'))]
    response.write(
      `{"pagination":{"page":${page},"limit":${limit},"total":${total},"totalPages":${Math.ceil(total / limit)}},"jobs":[`,
    )
    for (let place = (page - 1) * limit; place < Math.min(total, page * limit); place += 1) {
      const createdAt = new Date(Date.UTC(2026, 0, 1) - place * 1000).toISOString()
      const job = item(place, { createdAt, totalUrls: isValid ? 4 : -1 })
      response.write(`${place % limit === 0 ? '' : ','}${job.slice(0, -1)},"note":"${place} ${note}"}`)
    }
    response.end(']}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return `http://127.0.0.1:${address.port}/api`
}

const LISTS: readonly (LargeList & { what: string })[] = [
  { what: 'letters of one byte', pageBytes: 12e6, letters: 'a page of letters ', isValid: true },
  { what: 'letters of several bytes', pageBytes: 12e6, letters: 'ünïcødé 🕷 ', isValid: true },
  { what: 'jobs that are rejected', pageBytes: 12e6, letters: 'a page of letters ', isValid: false },
]

test.each(LISTS)(
  `stores ${PAGES} pages of 12 MB of $what with a heap of 256 MB`,
  { timeout: 400_000 },
  async (list) => {
    await using database = await createCliDatabase()
    const url = await serveLargeList(list)

    const { code, stdout, stderr } = await runCli(['sync', '--json'], {
      env: { SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: url, DATABASE_URL: database.url, LOG_LEVEL: 'warn' },
      nodeFlags: ['--max-old-space-size=256', '--import', REPORT_PEAK],
    })

    const megabytes = Number(/peak (\d+)/.exec(stderr)?.[1]) / 1024
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/^peak \d+$/) })
    expect(JSON.parse(stdout)).toMatchObject({ status: 'complete', listedTotal: PAGES * PAGE_JOBS })
    expect(megabytes).toBeLessThan(MOST_MEGABYTES)
    const note = list.isValid ? "extra ->> 'note'" : "payload::json ->> 'note'"
    const table = list.isValid ? 'batch_jobs' : 'rejected_jobs'
    const rows = await database.sql<{ uuid: string; note: string }>(
      `SELECT uuid, md5(${note}) AS note FROM spidra.${table} WHERE uuid = '${uuid(1_234)}'`,
    )
    expect(rows).toHaveLength(1)
    expect(
      await database.sql(`SELECT count(*)::integer AS jobs FROM spidra.${table} WHERE length(${note}) > 40000`),
    ).toEqual([{ jobs: PAGES * PAGE_JOBS }])
  },
)
