// Supabase's sync engine for Stripe on an equivalent workload: its own fetch loop and upsert read the pages of our list,
// each job presented as a Stripe product. BENCH_HOME is the folder that the engine is installed in.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const { SPIDRA_API_URL, SPIDRA_API_KEY, DATABASE_URL, BENCH_HOME } = process.env
const installed = createRequire(`${BENCH_HOME}/package.json`)
const { StripeSync, runMigrations } = await import(
  pathToFileURL(installed.resolve('@supabase/stripe-sync-engine')).href
)

async function* listProducts() {
  for (let page = 1, totalPages = 1; page <= totalPages; page += 1) {
    const url = `${SPIDRA_API_URL}/batch/scrape?page=${page}&limit=50`
    const response = await fetch(url, { headers: { 'x-api-key': SPIDRA_API_KEY } })
    if (!response.ok) throw new Error(`HTTP ${response.status}`)
    const { jobs, pagination } = await response.json()
    totalPages = pagination.totalPages
    for (const { uuid, status, totalUrls, completedCount, failedCount, ...rest } of jobs) {
      const created = Math.floor(Date.parse(rest.createdAt) / 1000)
      const name = `${status} ${totalUrls} ${completedCount} ${failedCount}`
      yield {
        id: uuid,
        object: 'product',
        active: true,
        name,
        created,
        updated: created,
        livemode: false,
        metadata: rest,
      }
    }
  }
}

await runMigrations({ databaseUrl: DATABASE_URL, schema: 'stripe' })
const sync = new StripeSync({
  poolConfig: { connectionString: DATABASE_URL },
  stripeSecretKey: 'sk_test_none',
  stripeWebhookSecret: 'whsec_none',
})
sync.stripe = { products: { list: listProducts } }
await sync.syncProducts()
await sync.postgresClient.pool.end()
