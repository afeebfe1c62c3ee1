import { rowsOf, type EnumRow } from './enum.ts'

/** Commands of bpf(2): enum bpf_cmd, include/uapi/linux/bpf.h of Linux 6.18. */
export const Cmd = {
  MAP_CREATE: 0,
  MAP_LOOKUP_ELEM: 1,
  MAP_UPDATE_ELEM: 2,
  MAP_DELETE_ELEM: 3,
  MAP_GET_NEXT_KEY: 4,
  PROG_LOAD: 5,
  OBJ_PIN: 6,
  OBJ_GET: 7,
  PROG_ATTACH: 8,
  PROG_DETACH: 9,
  PROG_TEST_RUN: 10,
  PROG_GET_NEXT_ID: 11,
  MAP_GET_NEXT_ID: 12,
  PROG_GET_FD_BY_ID: 13,
  MAP_GET_FD_BY_ID: 14,
  OBJ_GET_INFO_BY_FD: 15,
  PROG_QUERY: 16,
  RAW_TRACEPOINT_OPEN: 17,
  BTF_LOAD: 18,
  BTF_GET_FD_BY_ID: 19,
  TASK_FD_QUERY: 20,
  MAP_LOOKUP_AND_DELETE_ELEM: 21,
  MAP_FREEZE: 22,
  BTF_GET_NEXT_ID: 23,
  MAP_LOOKUP_BATCH: 24,
  MAP_LOOKUP_AND_DELETE_BATCH: 25,
  MAP_UPDATE_BATCH: 26,
  MAP_DELETE_BATCH: 27,
  LINK_CREATE: 28,
  LINK_UPDATE: 29,
  LINK_GET_FD_BY_ID: 30,
  LINK_GET_NEXT_ID: 31,
  ENABLE_STATS: 32,
  ITER_CREATE: 33,
  LINK_DETACH: 34,
  PROG_BIND_MAP: 35,
  TOKEN_CREATE: 36,
  PROG_STREAM_READ_BY_FD: 37,
} as const
export type Cmd = (typeof Cmd)[keyof typeof Cmd]

/** First kernel release with each value (from the git history of include/uapi/linux/bpf.h). */
const SINCE: Readonly<Record<keyof typeof Cmd, string>> = {
  MAP_CREATE: '3.18',
  MAP_LOOKUP_ELEM: '3.18',
  MAP_UPDATE_ELEM: '3.18',
  MAP_DELETE_ELEM: '3.18',
  MAP_GET_NEXT_KEY: '3.18',
  PROG_LOAD: '3.18',
  OBJ_PIN: '4.4',
  OBJ_GET: '4.4',
  PROG_ATTACH: '4.10',
  PROG_DETACH: '4.10',
  PROG_TEST_RUN: '4.12',
  PROG_GET_NEXT_ID: '4.13',
  MAP_GET_NEXT_ID: '4.13',
  PROG_GET_FD_BY_ID: '4.13',
  MAP_GET_FD_BY_ID: '4.13',
  OBJ_GET_INFO_BY_FD: '4.13',
  PROG_QUERY: '4.15',
  RAW_TRACEPOINT_OPEN: '4.17',
  BTF_LOAD: '4.18',
  BTF_GET_FD_BY_ID: '4.18',
  TASK_FD_QUERY: '4.18',
  MAP_LOOKUP_AND_DELETE_ELEM: '4.20',
  MAP_FREEZE: '5.2',
  BTF_GET_NEXT_ID: '5.4',
  MAP_LOOKUP_BATCH: '5.6',
  MAP_LOOKUP_AND_DELETE_BATCH: '5.6',
  MAP_UPDATE_BATCH: '5.6',
  MAP_DELETE_BATCH: '5.6',
  LINK_CREATE: '5.7',
  LINK_UPDATE: '5.7',
  LINK_GET_FD_BY_ID: '5.8',
  LINK_GET_NEXT_ID: '5.8',
  ENABLE_STATS: '5.8',
  ITER_CREATE: '5.8',
  LINK_DETACH: '5.9',
  PROG_BIND_MAP: '5.10',
  TOKEN_CREATE: '6.9',
  PROG_STREAM_READ_BY_FD: '6.17',
}

/** One row for each command, in order of value; `name` is libbpf's word. */
export const COMMANDS: readonly EnumRow[] = rowsOf(Cmd, SINCE, 'BPF_')

/** libbpf's word for a command (`commandName(1)` is `map_lookup_elem`); `unknown N` for a value that 6.18 does not have. */
export function commandName(value: number): string {
  return COMMANDS[value]?.name ?? `unknown ${value}`
}
