// Programs that try out one access to a context each. Imports nothing of elfbee, since tests have it from src and scripts
// from dist.

export const LARGEST_CONTEXT = 264
/** Bytes of an access. */
export const SIZES = [1, 2, 4, 8]
/** `number`: what is loaded is masked, which pointers cannot be. */
export const FORMS = ['load', 'number', 'signed', 'store', 'constant']

/** The place of an access through r1. */
export const place = (size, at) => `*(u${size * 8} *)(r1 ${at < 0 ? '' : '+'}${at})`

/** The text of a program for a hook; null when there is no such access. */
export function accessText(form, size, at, retval) {
  const where = place(size, at)
  const end = `\nr0 = ${retval}\nexit`
  switch (form) {
    case 'load':
      return `r2 = ${where}${end}`
    case 'number':
      return `r2 = ${where}\nr2 &= 1${end}`
    case 'signed':
      return size === 8 ? null : `r2 = ${where.replace('(u', '(s')}${end}`
    case 'store':
      return `r2 = 0\n${where} = r2${end}`
    default:
      return `${where} = 0${end}`
  }
}

/** Helpers 0 to 213 are called: those that are there, and some that are not. */
export const HELPERS_TRIED = 214

/** What the kernel says to helpers that a program type does not have. */
export const NOT_OFFERED = /^(program of this type cannot use helper|invalid func) /
