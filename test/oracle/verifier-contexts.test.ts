import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { assemble } from '../../src/isa/index.ts'
import { bareProgram } from '../../src/loader/index.ts'
import { ProgType } from '../../src/uapi/index.ts'
import { verify, type VerifyResult } from '../../src/vm/verifier/index.ts'
import {
  accessText,
  FORMS,
  type Form,
  HELPERS_TRIED,
  LARGEST_CONTEXT,
  NOT_OFFERED,
  SIZES,
} from './verifier-contexts-generate.mjs'

/** What Linux accepts for one program and attach type: by form and size, bits of the offsets in the context. */
interface Recorded {
  readonly name: string
  readonly type: number
  readonly attachType: number
  readonly retval: number
  readonly accepted: Readonly<Record<Form, readonly string[]>>
  readonly helpers: readonly number[]
}

/** `node test/oracle/verifier-contexts.mjs --bless` writes it. */
const golden = JSON.parse(
  readFileSync(new URL('verifier-contexts-golden.json', import.meta.url), 'utf8'),
) as readonly Recorded[]
/** bpf_override_return and bpf_probe_write_user: off by configuration and by lockdown on the machine that was asked. */
const SWITCHED_OFF = [58, 36]
const SLEEPABLE = 16

function judge(text: string, { type, attachType }: Recorded): VerifyResult {
  const flags = type === ProgType.SYSCALL ? SLEEPABLE : 0
  const program = bareProgram(assemble(text), { name: 'p', type, attachType, flags })
  return verify(program, { maps: {}, btf: null, kernelBtf: null, license: 'GPL', missingHelpers: SWITCHED_OFF })
}

describe('each program and attach type may do what it may in Linux', () => {
  test.each(golden.map((hook) => [hook.name, hook] as const))('%s', { timeout: 60_000 }, (_, hook) => {
    // Behind the last offset that some access may begin at, nothing changes.
    const used = Math.max(
      ...Object.values(hook.accepted)
        .flat()
        .map((bits) => BigInt(`0x${bits}`).toString(2).length),
    )
    const accepted: Partial<Record<Form, string[]>> = {}
    for (const form of FORMS) {
      accepted[form] = SIZES.map((size) => {
        let bits = 0n
        for (let at = 0; at < Math.min(used + 8, LARGEST_CONTEXT); at++) {
          const text = accessText(form, size, at, hook.retval)
          if (text !== null && judge(text, hook).ok) bits |= 1n << BigInt(at)
        }
        return bits.toString(16)
      })
    }
    expect(accepted).toEqual(hook.accepted)
    const calls = Array.from({ length: HELPERS_TRIED }, (_each, id) => id)
    const offered = calls.filter(
      (id) => !NOT_OFFERED.test(judge(`call ${id}\nr0 = ${hook.retval}\nexit`, hook).message ?? ''),
    )
    expect(offered).toEqual(hook.helpers)
  })
})
