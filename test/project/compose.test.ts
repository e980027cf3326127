import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { variables } from '../../src/config/variables.js'
import { runCli } from '../support/cli.js'

/** Addresses and paths inside the container are the image's, and the tests have no place there. */
const NOT_HANDED_ON = ['HTTP_HOST', 'HTTP_PORT', 'NODE_EXTRA_CA_CERTS', 'TEST_DATABASE_URL']

test('compose.yaml hands every variable of the contract on to the worker', async () => {
  const [, worker = ''] = (await readFile('compose.yaml', 'utf8')).split('\n  worker:\n')
  const handedOn = [...worker.matchAll(/^ {6}([A-Z_]+):/gm)].map(([, name]) => name)
  const contract = variables({ needsKey: true, production: true, allowHttp: false, isTerminal: false }).shape

  expect(handedOn.concat(NOT_HANDED_ON).sort()).toEqual(Object.keys(contract).sort())
})

test('compose.yaml demands nothing: with a key or with an accounts file, the worker itself says what is missing', async () => {
  const text = await readFile('compose.yaml', 'utf8')

  expect(text.match(/\$\{\w+:?\?[^}]*\}/g)).toBeNull()
})

test('the worker without a key and without an accounts file names the variable, and ends', async () => {
  // What compose hands on when nothing is set.
  const { code, stderr } = await runCli(['start'], { env: { NODE_ENV: 'production', DATABASE_URL: 'postgres://p/p' } })

  expect(code).toBe(2)
  expect(stderr).toMatch(/^SPIDRA_API_KEY is required/m)
  expect(stderr).toMatch(/SPIDRA_ACCOUNTS_FILE/)
})
