import { afterAll, describe, expect, it } from 'vitest'
import { load, openObject, type Backend, type LoadedObject } from '../../src/loader/index.ts'
import { ProgType } from '../../src/uapi/index.ts'
import { loadFixture } from '../support/fixture.ts'

/** Objects of test/contract/objects, whose programs return 0 or the line of the check that failed. */
const OBJECTS = [
  'dynptr',
  'maps',
  'timers',
  'objects',
  'kfuncs',
  'cpumask',
  'arena',
  'exceptions',
  'strings',
  'locks',
] as const

/** An object with programs that test themselves, loaded once. */
export async function loadFeatures(name: string, backend: Backend): Promise<LoadedObject> {
  return load(openObject(await loadFixture(`test/contract/objects/${name}.bpf.o`)), backend, {})
}

/** Features of the kernel, tested from inside of programs. */
export async function featureContract(backend: Backend): Promise<void> {
  for (const name of OBJECTS) {
    const loaded = await loadFeatures(name, backend)
    afterAll(() => loaded.close())
    describe(name, () => {
      it('loads', () => {
        expect(loaded.report.programs.filter(({ status }) => status !== 'loaded')).toEqual([])
      })

      it.each(Object.keys(loaded.programs))('%s', (program) => {
        const { spec } = loaded.programs[program]!
        const input = spec.type === ProgType.SYSCALL ? {} : { data: new Uint8Array(64) }
        expect(loaded.programs[program]!.run(input).retval).toBe(0)
      })
    })
  }
}
