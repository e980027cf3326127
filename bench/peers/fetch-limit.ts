// Fetches and parses every page, with CONCURRENCY requests in flight: the limit of the reading side.
import { Pool } from 'undici'

const { SPIDRA_API_URL = '', SPIDRA_API_KEY = '', CONCURRENCY = '1' } = process.env
const { origin, pathname } = new URL(SPIDRA_API_URL)
const connections = Number(CONCURRENCY)
const pool = new Pool(origin, { connections })

async function fetchPage(page: number): Promise<number> {
  const path = `${pathname}/batch/scrape?page=${page}&limit=50`
  const { body } = await pool.request({ method: 'GET', path, headers: { 'x-api-key': SPIDRA_API_KEY } })
  return JSON.parse(await body.text()).pagination.totalPages
}

const totalPages = await fetchPage(1)
let next = 2
await Promise.all(
  Array.from({ length: connections }, async () => {
    while (next <= totalPages) await fetchPage(next++)
  }),
)
await pool.close()
