import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { playwright } from '@vitest/browser-playwright'
import { defineConfig } from 'vitest/config'
import type { Plugin } from 'vitest/config'

/** Chromium for the browser project: CHROMIUM, or Debian's. Without one only the Node project runs. */
const chromium = [process.env['CHROMIUM'], '/usr/bin/chromium'].find((path) => path !== undefined && existsSync(path))
if (chromium === undefined) {
  if (process.env['REQUIRE_BROWSER'] === '1')
    throw new Error('REQUIRE_BROWSER=1, but there is no Chromium (set CHROMIUM)')
  console.warn('browser tests are skipped: no Chromium found (install it, or set CHROMIUM to its path)')
}

/** TEST_DIST=1 runs the same tests on the built package. */
const useDist: Plugin = {
  name: 'use-dist',
  enforce: 'pre',
  resolveId(source, importer) {
    if (importer === undefined || !/\/test\//.test(importer) || !/\/src\/.*\.ts$/.test(source)) return null
    return resolve(dirname(importer), source.replace('/src/', '/dist/').replace(/\.ts$/, '.js'))
  },
}

export default defineConfig({
  plugins: process.env['TEST_DIST'] === '1' ? [useDist] : [],
  test: {
    reporters: ['default', './test/support/closing-line.ts'],
    testTimeout: 30_000,
    // The kernel is one shared thing, and CI has two cores.
    maxWorkers: 2,
    projects: [
      { extends: true, test: { name: 'node', include: ['test/**/*.test.ts'] } },
      ...(chromium === undefined ? [] : [browserProject(chromium)]),
    ],
  },
})

/** The same unit tests of the pure layers in headless Chromium. */
function browserProject(executablePath: string) {
  return {
    extends: true as const,
    test: {
      name: 'browser',
      include: ['test/{bytes,uapi,isa,elf,btf,loader,vm,testing}/**/*.test.ts'],
      browser: {
        enabled: true,
        headless: true,
        screenshotFailures: false,
        provider: playwright({
          launchOptions: {
            executablePath,
            args: [
              '--no-sandbox',
              '--disable-gpu',
              '--disable-quic',
              '--no-first-run',
              '--disable-background-networking',
              '--disable-component-update',
              '--disable-sync',
            ],
          },
        }),
        instances: [{ browser: 'chromium' as const }],
      },
    },
  }
}
