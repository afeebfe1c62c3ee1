import { HelperId } from '../../../uapi/index.ts'
import type { HelperGroup } from './helper.ts'

/** Infrared receivers: what a decoder reports is noted as effects of the run. */
export const LIRC_HELPERS: HelperGroup = {
  [HelperId.rc_repeat]: (rt) => {
    rt.effect('bpf_rc_repeat')
    return 0
  },
  [HelperId.rc_keydown]: (rt, _ctx, protocol, _scancode, toggle) => {
    rt.effect('bpf_rc_keydown', { protocol, scancode: rt.arg64(3), toggle: toggle !== 0 ? 1 : 0 })
    return 0
  },
  [HelperId.rc_pointer_rel]: (rt, _ctx, x, y) => {
    rt.effect('bpf_rc_pointer_rel', { rel_x: x | 0, rel_y: y | 0 })
    return 0
  },
}
