import type { Operation } from '../../../isa/index.ts'
import { unsupported } from '../reject.ts'
import type { Walk } from '../walk.ts'
import { stepHelperCall } from './helper.ts'
import { stepKfuncCall } from './kfunc.ts'
import { stepLocalCall } from './local.ts'

/** A call; true when it has moved the walk to another instruction itself, `exit` when it ends the program. */
export function stepCall(walk: Walk, op: Extract<Operation, { kind: 'call' }>): boolean | 'exit' {
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (op.call) {
    case 'local':
      stepLocalCall(walk, op)
      return true
    case 'helper':
      return stepHelperCall(walk, op.imm)
    case 'kfunc':
      return stepKfuncCall(walk) === 'exit' ? 'exit' : false
    default:
      return unsupported('calls through registers')
  }
}
