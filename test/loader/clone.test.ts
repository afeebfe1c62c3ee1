import { describe, expect, it } from 'vitest'
import { cloneSpec, load, openObject, type ObjectSpec } from '../../src/loader/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { loadFixture } from '../support/fixture.ts'

async function open(name: string): Promise<ObjectSpec> {
  return openObject(await loadFixture(`fixtures/clang19/${name}.bpf.o`), { name: `${name}.bpf.o` })
}

describe('cloneSpec', () => {
  it('gives a spec that is changed by itself', async () => {
    const spec = await open('globals')
    const copy = cloneSpec(spec)
    copy.variables['bias']?.set(1000)
    const program = copy.programs['digest']
    const map = copy.maps['.bss']
    if (program === undefined || map === undefined) throw new Error('missing')
    program.autoload = false
    map.autocreate = false
    expect(copy.variables['bias']?.get()).toBe(1000)
    expect(spec.variables['bias']?.get()).not.toBe(1000)
    expect([spec.programs['digest']?.autoload, spec.maps['.bss']?.autocreate]).toEqual([true, true])
    spec.variables['total']?.set(77n)
    expect(copy.variables['total']?.get()).not.toBe(77n)
  })

  it('shares what does not change', async () => {
    const spec = await open('map_in_map')
    const copy = cloneSpec(spec)
    expect(copy.btf).toBe(spec.btf)
    expect(copy.functions).toBe(spec.functions)
    const inner = Object.values(copy.maps).find((map) => map.inner !== null)
    if (inner?.inner == null) throw new Error('missing')
    inner.inner.maxEntries = 99
    expect(spec.maps[inner.name]?.inner?.maxEntries).not.toBe(99)
  })

  it('loads as the original does, with its own settings', async () => {
    const spec = await open('globals')
    const copy = cloneSpec(spec)
    copy.variables['bias']?.set(100)
    const balances: unknown[] = []
    for (const one of [spec, copy]) {
      await using live = await load(one, createVm(), { strict: true })
      live.programs['update']?.run({ data: new Uint8Array(64).fill(3) })
      balances.push(live.variables['balance']?.get())
    }
    const [plain, changed] = balances as [number, number]
    expect(changed - plain).toBe(100 - (spec.variables['bias']?.get() as number))
  })
})
