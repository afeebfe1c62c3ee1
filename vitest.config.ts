import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    reporters: ['default', './test/support/closing-line.ts'],
    testTimeout: 30_000,
    // The kernel is one shared thing, and the machine has two cores.
    maxWorkers: 2,
  },
})
