import { fork } from 'node:child_process'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import { CLI } from '../support/cli.js'

test.each([
  ['at once', async () => {}],
  ['later', (child: ReturnType<typeof fork>) => once(child.stdout ?? child, 'data')],
])('who is not to outlive its parent ends in order, also where that goes %s', async (_when, wait) => {
  const { PATH } = process.env
  const child = fork(CLI, ['simulate', '--port', '0'], { env: { PATH, END_WITH_PARENT: 'true' }, silent: true })
  onTestFinished(() => void child.kill('SIGKILL'))
  await wait(child)

  child.disconnect()

  expect(await once(child, 'exit')).toEqual([0, null])
})
