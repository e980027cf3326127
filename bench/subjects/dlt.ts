import { pythonPeer } from './python-peer.js'
import { truthOf } from './subject.js'

const TABLE = 'spidra_dlt.batch_jobs'

/** dlt (https://dlthub.com): its REST API source into Postgres, merged by uuid with its upsert strategy. */
export const dlt = pythonPeer({
  name: 'dlt',
  packages: ['dlt[postgres]==1.31.0'],
  script: 'dlt_peer.py',
  table: TABLE,
  truthSql: truthOf(TABLE, ['status', 'total_urls', 'completed_count', 'failed_count']),
})
