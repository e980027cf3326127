import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { API_KEY, createFolder, runCli } from '../support/cli.js'

const READING = [['status'], ['report'], ['verify'], ['grant-reader', 'analyst']]

test.each(READING)('%s without a database creates none, says what to do, and ends with 2', async (...args) => {
  await using folder = await createFolder()

  const { code, stdout, stderr } = await runCli(args, { cwd: folder.path, env: { SPIDRA_API_KEY: API_KEY } })

  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toMatch(/^spidra-sync: There is no database yet: DATABASE_URL is not set, .+ "spidra-sync start"/)
  expect(stderr).not.toContain('--demo')
  expect(existsSync(join(folder.path, '.spidra-sync'))).toBe(false)
})

test('beside the data of a demo, the message names --demo', async () => {
  await using folder = await createFolder()
  const data = join(folder.path, '.spidra-sync', 'demo', 'data')
  await mkdir(data, { recursive: true })
  await writeFile(join(data, 'PG_VERSION'), '18\n')

  const { code, stderr } = await runCli(['status'], { cwd: folder.path })

  expect([code, stderr]).toEqual([
    2,
    expect.stringContaining('Or add --demo: the demo in this folder has a database.\n'),
  ])
})

test.each(['status', 'report', 'doctor'])('%s --demo without a demo says so, and ends with 2', async (command) => {
  await using folder = await createFolder()

  const { code, stderr } = await runCli([command, '--demo'], { cwd: folder.path })

  expect([code, stderr]).toEqual([
    2,
    `spidra-sync: There is no demo in ${folder.path}: start one there with "spidra-sync demo".\n`,
  ])
  expect(existsSync(join(folder.path, '.spidra-sync'))).toBe(false)
})
