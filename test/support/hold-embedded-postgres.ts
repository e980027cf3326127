// A process that opens the embedded Postgres in the directory of its argument, tells its URL, and stays until its
// standard input ends.
import { openEmbeddedPostgres } from '../../src/db/embedded/postgres.js'

const [directory = ''] = process.argv.slice(2)
const server = await openEmbeddedPostgres({ directory })
process.stdout.write(`${server.url}\n`)
for await (const _ of process.stdin);
await server.close()
