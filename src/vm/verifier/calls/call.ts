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
    case 'helper': {
      const moved = stepHelperCall(walk, op.imm)
      touchArguments(walk)
      return moved
    }
    case 'kfunc': {
      const outcome = stepKfuncCall(walk)
      touchArguments(walk)
      return outcome === 'exit' ? 'exit' : false
    }
    default:
      return unsupported('calls through registers')
  }
}

/** A call changes its result and clobbers its arguments. */
function touchArguments(walk: Walk): void {
  if (walk.trace !== null) walk.trace.regs |= 0b111111
}
