import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { assemble } from '../../src/isa/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { Side, hex, prepareInsns } from './fuzz-programs-run.mjs'
import { batches, context, testPacket } from './isa-vs-kernel-cases.mjs'

interface Recorded {
  readonly name: string
  readonly runs: readonly { readonly run: number; readonly words: readonly string[] }[]
}

/** What the kernel answered to some of the cases; `node test/oracle/isa-vs-kernel.mjs --bless` writes it. */
const golden = JSON.parse(
  readFileSync(new URL('isa-vs-kernel-golden.json', import.meta.url), 'utf8'),
) as readonly Recorded[]

describe.each(['jit', 'interpreter'])('instructions on edge values give what the kernel gives: %s', (engine) => {
  test('all recorded cases', () => {
    const side = new Side(engine, createVm({ verify: false, jit: engine === 'jit' }))
    const all = new Map(batches().map((batch) => [batch.name, batch]))
    let cases = 0
    for (const { name, runs } of golden) {
      const batch = all.get(name)!
      const program = side.load(prepareInsns(batch.type, assemble(batch.text)))
      for (const { run, words } of runs) {
        const operands = batch.runs[run]!
        let got: readonly string[] | null
        if (batch.type === 'tc') {
          side.reset()
          const { retval } = program.run({ data: testPacket() })
          got = [`${retval} ${hex(side.maps.get('data')!.lookup(new Uint8Array(4))!.subarray(0, 8))}`]
        } else {
          side.maps.get('data')!.update(new Uint8Array(4), new Uint8Array(128))
          got = hex(program.run({ ctx: context(batch, operands) }).ctx!.subarray(16)).match(/.{16}/g)
        }
        expect(got, `${name} of ${operands.map((value) => value.toString(16)).join(' and ')}`).toEqual(words)
        cases += words.length
      }
      program.close()
    }
    side.backend.close()
    expect(cases).toBeGreaterThan(5000)
  })
})
