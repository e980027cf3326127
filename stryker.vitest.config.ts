import { defineConfig } from 'vitest/config'

/** For `npm run mutation`: the tests of the pure parts and of the small deciders, none of which needs Postgres. */
export default defineConfig({
  test: {
    include: [
      'test/sync/{seam,window,verdict,run-mode,page}.test.ts',
      'test/spidra/{budget-rules,rate-limit-headers,errors}.test.ts',
      'test/alerts/{decide,message}.test.ts',
      'test/http/{access,security-headers}.test.ts',
      'test/report/{freshness,status-text}.test.ts',
      'test/logging/*.test.ts',
      'test/config/{accounts,database-url}.test.ts',
    ],
    pool: 'forks',
    testTimeout: 30_000,
  },
})
