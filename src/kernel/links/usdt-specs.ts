import { BpfError } from '../../bytes/index.ts'
import { BtfKind, writeValue, type Btf } from '../../btf/index.ts'
import type { AttachObject, BackendMap } from '../../loader/index.ts'
import { UpdateFlag } from '../../uapi/index.ts'
import type { AttachSite } from './site.ts'
import { UsdtArgType, type UsdtArg } from './usdt-args.ts'

/** Maps that usdt.bpf.h defines. */
const SPECS = '__bpf_usdt_specs'
const IPS = '__bpf_usdt_ip_to_spec_id'

/** Numbers of the specs of an object: those given back, and the next one that was never given out. */
interface Numbers {
  readonly free: number[]
  next: number
}
const numbersOf = new WeakMap<BackendMap, Numbers>()

/** The maps through which usdt.bpf.h learns in a program where the arguments of a probe are. */
export class UsdtSpecs {
  readonly #site: AttachSite
  readonly #btf: Btf
  readonly #typeId: number
  readonly #specs: BackendMap
  readonly #ips: BackendMap | null
  readonly #numbers: Numbers
  /** What this attachment uses, to be given back. */
  readonly #used: number[] = []
  readonly #addresses: Uint8Array[] = []

  /** @throws BpfError `usage` for an object without usdt.bpf.h */
  constructor(site: AttachSite, object: AttachObject | null) {
    const specs = object?.maps.get(SPECS)
    const typeId = object?.mapSpecs[SPECS]?.valueTypeId ?? 0
    if (object === null || specs === undefined || object.btf === null || typeId === 0) {
      throw site.usage(`USDT probes need the map ${SPECS}: include <bpf/usdt.bpf.h> in the program`)
    }
    this.#site = site
    this.#btf = object.btf
    this.#typeId = typeId
    this.#specs = specs
    this.#ips = object.maps.get(IPS) ?? null
    let numbers = numbersOf.get(specs)
    if (numbers === undefined) numbersOf.set(specs, (numbers = { free: [], next: 0 }))
    this.#numbers = numbers
  }

  /** Writes a spec; returns its number. @throws BpfError `limit` when the map is full */
  add(args: readonly UsdtArg[], cookie: bigint): number {
    const number = this.#numbers.free.pop() ?? this.#numbers.next++
    if (number >= this.#specs.maxEntries) {
      this.#numbers.next--
      const why = `${SPECS} has room for ${this.#specs.maxEntries} kinds of probes: define BPF_USDT_MAX_SPEC_CNT larger`
      throw new BpfError('limit', why, { where: this.#site.where })
    }
    this.#used.push(number)
    const bytes = new Uint8Array(this.#specs.valueSize)
    const value = {
      args: args.map((arg) => this.#argument(arg)),
      usdt_cookie: BigInt.asUintN(64, cookie),
      arg_cnt: args.length,
    }
    writeValue(this.#btf, this.#typeId, value, bytes)
    this.#specs.update(key32(number), bytes)
    return number
  }

  /** For kernels without cookies, where a program looks its spec up by the address that it was hit at. */
  addAddress(address: bigint, number: number): void {
    if (this.#ips === null) throw this.#site.usage(`USDT probes need the map ${IPS} on this kernel`)
    const key = new Uint8Array(BigUint64Array.of(address).buffer)
    this.#ips.update(key, key32(number), UpdateFlag.NOEXIST)
    this.#addresses.push(key)
  }

  /** Gives the numbers back. */
  release(): void {
    this.#numbers.free.push(...this.#used.splice(0))
    try {
      for (const key of this.#addresses.splice(0)) this.#ips?.delete(key)
    } catch {
      // The object was closed before the link.
    }
  }

  /** The members differ between versions of usdt.bpf.h; index registers came with libbpf 1.7. */
  #argument(arg: UsdtArg): Record<string, number | bigint | boolean> {
    const known = {
      val_off: BigInt.asUintN(64, arg.value),
      arg_type: arg.type,
      reg_off: arg.register,
      arg_signed: arg.signed,
      arg_bitshift: 64 - arg.size * 8,
    }
    if (arg.type !== UsdtArgType.SIB) return known
    if (!hasMember(this.#btf, 'idx_reg_off')) {
      throw this.#site.unsupported(
        'an argument lies at an indexed address, which only usdt.bpf.h of libbpf 1.7 can read',
      )
    }
    return { ...known, idx_reg_off: arg.index, scale_bitshift: arg.shift }
  }
}

function hasMember(btf: Btf, name: string): boolean {
  const id = btf.findByName('__bpf_usdt_arg_spec', BtfKind.STRUCT)
  const type = id === undefined ? null : btf.type(id)
  return type?.kind === BtfKind.STRUCT && type.members.some((member) => member.name === name)
}

function key32(number: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(number).buffer)
}
