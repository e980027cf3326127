// The script that people write first. Run as `hand-written.ts row|transaction`. With BENCH_REMEDY=1 it waits as a 429 asks.
import { setTimeout as sleep } from 'node:timers/promises'
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../src/db/generated/client.js'

interface Item {
  readonly uuid: string
  readonly status: string
  readonly totalUrls: number
  readonly completedCount: number
  readonly failedCount: number
  readonly outputFormat: string | null
  readonly scrapingChannel: string | null
  readonly createdAt: string
  readonly finishedAt: string | null
}

const { SPIDRA_API_URL, SPIDRA_API_KEY = '', DATABASE_URL = '', BENCH_REMEDY } = process.env
const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: DATABASE_URL }) })

function upsert({ uuid, ...job }: Item) {
  const { status, totalUrls, completedCount, failedCount, outputFormat, scrapingChannel, createdAt, finishedAt } = job
  const data = { status, totalUrls, completedCount, failedCount, outputFormat, scrapingChannel, createdAt, finishedAt }
  return prisma.batchJob.upsert({ where: { uuid }, create: { uuid, ...data }, update: data })
}

async function fetchPage(url: string): Promise<Response> {
  const response = await fetch(url, { headers: { 'x-api-key': SPIDRA_API_KEY } })
  if (response.status !== 429 || BENCH_REMEDY !== '1') return response
  await sleep(Number(response.headers.get('retry-after')) * 1000)
  return fetchPage(url)
}

for (let page = 1, totalPages = 1; page <= totalPages; page += 1) {
  const url = `${SPIDRA_API_URL}/batch/scrape?page=${page}&limit=50`
  const response = await fetchPage(url)
  if (!response.ok) throw new Error(`HTTP ${response.status}`)
  const body = (await response.json()) as { jobs: Item[]; pagination: { totalPages: number } }
  totalPages = body.pagination.totalPages
  if (process.argv[2] === 'transaction') await prisma.$transaction(body.jobs.map(upsert))
  else for (const job of body.jobs) await upsert(job)
}
await prisma.$disconnect()
