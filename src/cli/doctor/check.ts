/** One thing that was looked at. */
export interface Check {
  readonly name: string
  /** `note`: works, or is not needed by most; `missing`: does not work. */
  readonly status: 'ok' | 'note' | 'missing'
  readonly detail: string
  /** What to do about it, null when nothing is to be done. */
  readonly fix: string | null
}

export function ok(name: string, detail: string): Check {
  return { name, status: 'ok', detail, fix: null }
}

export function note(name: string, detail: string, fix: string | null): Check {
  return { name, status: 'note', detail, fix }
}

export function missing(name: string, detail: string, fix: string | null): Check {
  return { name, status: 'missing', detail, fix }
}
