import { pythonPeer } from './python-peer.js'
import { truthOf } from './subject.js'

/** PyAirbyte (https://github.com/airbytehq/PyAirbyte) with a declarative manifest and its Postgres cache. */
export const airbyte = pythonPeer({
  name: 'PyAirbyte',
  packages: ['airbyte==0.71.3'],
  script: 'airbyte_peer.py',
  truthSql: truthOf('spidra_airbyte.batch_jobs', ['status', '"totalurls"', '"completedcount"', '"failedcount"']),
})
