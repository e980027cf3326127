import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { createFolder, runCli } from '../support/cli.js'

const { stdout: script } = await runCli(['completion', 'bash'])

/** What a real bash offers after these words, the last of which is being typed. */
async function offered(...words: readonly string[]): Promise<string[]> {
  await using folder = await createFolder()
  await writeFile(join(folder.path, 'script'), script)
  await writeFile(join(folder.path, 'page.html'), '')
  const typed = words.map((word) => `'${word}'`).join(' ')
  const ask = `source ./script; complete -p spidra-sync > registered; COMP_WORDS=(spidra-sync ${typed}); COMP_CWORD=${words.length}; _spidra_sync; printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', ask], { cwd: folder.path })
  return stdout.split('\n').filter((word) => word !== '')
}

test('offers the commands, and the flags of all', async () => {
  expect(await offered('')).toEqual(
    expect.arrayContaining(['start', 'grant-reader', '--version', '--account', '--help']),
  )
  expect(await offered('st')).toEqual(['start', 'status'])
})

test('offers the flags of a command, wherever it stands', async () => {
  expect(await offered('sync', '--')).toEqual(
    expect.arrayContaining(['--full', '--accept-removals', '--json', '--account', '--help']),
  )
  expect(await offered('--account', 'berlin', 'sync', '--f')).toEqual(['--full'])
})

test('offers the choices of a flag and of an argument, and files', async () => {
  expect(await offered('start', '--role', '')).toEqual(['scheduler', 'worker', 'both'])
  expect(await offered('completion', '')).toEqual(expect.arrayContaining(['bash', 'zsh', 'fish']))
  expect(await offered('report', '--html', 'page')).toEqual(['page.html'])
})

test('offers nothing for a value that only the user knows', async () => {
  expect(await offered('report', '--days', '')).toEqual([])
})

test.each(['zsh', 'fish'])('has every command and flag in the script for %s', async (shell) => {
  const { code, stdout } = await runCli(['completion', shell])

  expect(code).toBe(0)
  for (const word of ['grant-reader', 'accept-removals', 'rate-limit']) expect(stdout).toContain(word)
})

test('an unknown shell ends with 2 and the help of the command', async () => {
  const { code, stdout, stderr } = await runCli(['completion', 'tcsh'])

  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toMatch(/Allowed choices are bash, zsh, fish\.\n\nUsage: spidra-sync completion/)
})
