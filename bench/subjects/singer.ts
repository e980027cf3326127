import { pythonPeer } from './python-peer.js'
import { truthOf } from './subject.js'

const TABLE = 'spidra_singer.batch_jobs'

/** A Singer tap on the SDK of Meltano (https://sdk.meltano.com), piped into MeltanoLabs' target-postgres. */
export const singer = pythonPeer({
  name: 'Singer',
  packages: ['singer-sdk==0.54.9', 'meltanolabs-target-postgres==0.8.1'],
  script: 'singer_peer.py',
  table: TABLE,
  truthSql: truthOf(TABLE, ['status', '"totalUrls"', '"completedCount"', '"failedCount"']),
})
