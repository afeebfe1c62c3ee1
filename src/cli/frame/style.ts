/** Text attributes, or plain text when nobody can see them. */
export interface Style {
  bold(text: string): string
  dim(text: string): string
  red(text: string): string
  green(text: string): string
  yellow(text: string): string
}

const same = (text: string): string => text
const PLAIN: Style = { bold: same, dim: same, red: same, green: same, yellow: same }

const sgr =
  (on: number, off: number) =>
  (text: string): string =>
    `\u001b[${on}m${text}\u001b[${off}m`
const COLOURED: Style = {
  bold: sgr(1, 22),
  dim: sgr(2, 22),
  red: sgr(31, 39),
  green: sgr(32, 39),
  yellow: sgr(33, 39),
}

export function styleFor(coloured: boolean): Style {
  return coloured ? COLOURED : PLAIN
}
