// Runs before each test file. Files that share a process share the modules too, so a hook in cli.ts would run after the first
// of them only.
import { afterAll, expect } from 'vitest'
import { leaks } from './cli.js'

/** Fails the test file if a process that it started showed a secret. */
afterAll(() => expect(leaks.splice(0)).toEqual([]))
