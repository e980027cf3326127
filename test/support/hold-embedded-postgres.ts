// A process that opens the embedded Postgres in the directory given as argument, prints its URL, and runs until its
// standard input ends.
import { openEmbeddedPostgres } from '../../src/db/embedded/postgres.js'

const [directory = ''] = process.argv.slice(2)
const server = await openEmbeddedPostgres({ directory })
process.stdout.write(`${server.url}\n`)
for await (const _ of process.stdin);
await server.close()
