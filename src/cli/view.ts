// A view: lines of which those in the middle give way where a terminal has too few rows for all.

export interface Entry {
  text: string
  /** How many in flight it speaks of. */
  count: number
}

export interface View {
  head: readonly string[]
  list: readonly Entry[]
  /** How many more belong in the list, without being known by name. */
  unnamed: number
  foot: readonly string[]
}

// From here on most characters take two columns; too many rows counted are better than too few.
const FIRST_WIDE = 0x1100

export function renderView (view: View): string {
  return linesOf(view, view.list.length).join('\n')
}

/** As much of the list as fits; in the worst case the first line is what stays. */
export function fitView (view: View, rows: number, columns: number): string {
  const rowsOf = (line: string): number => Math.max(1, Math.ceil(widthOf(line) / columns))
  const fits = (lines: readonly string[]): boolean => lines.reduce((sum, line) => sum + rowsOf(line), 0) <= rows
  for (let named = view.list.length; named >= 0; named--) {
    const lines = linesOf(view, named)
    if (fits(lines)) return lines.join('\n')
  }
  const lines = linesOf(view, 0)
  while (lines.length > 1 && !fits(lines)) lines.pop()
  return lines.join('\n')
}

function linesOf ({ head, list, unnamed, foot }: View, named: number): string[] {
  const more = list.slice(named).reduce((sum, { count }) => sum + count, unnamed)
  return [...head, ...list.slice(0, named).map(({ text }) => text), ...more > 0 ? [`  and ${more} more`] : [], ...foot]
}

function widthOf (line: string): number {
  return [...line].reduce((width, character) => width + (character.codePointAt(0)! < FIRST_WIDE ? 1 : 2), 0)
}
