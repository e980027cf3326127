import { pythonPeer } from './python-peer.js'
import { truthOf } from './subject.js'

const TABLE = 'spidra_airbyte.batch_jobs'

/** PyAirbyte (https://github.com/airbytehq/PyAirbyte) with a declarative manifest and its Postgres cache. */
export const airbyte = pythonPeer({
  name: 'PyAirbyte',
  packages: ['airbyte==0.71.3'],
  script: 'airbyte_peer.py',
  table: TABLE,
  truthSql: truthOf(TABLE, ['status', '"totalurls"', '"completedcount"', '"failedcount"']),
})
