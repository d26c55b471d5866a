// Samples, what is made of them, and the table in which they are shown.

export interface Samples {
  unit: string
  values: number[]
}

/** One line of the table. */
export interface Row {
  name: string
  ours: Samples
  peer?: Samples
  /** Ours to the peer's, of each round. */
  ratios?: number[]
  /** The same for requests in a second of the server's processor time: what is left when the machine is busy. */
  processorRatios?: number[]
  target?: { text: string, isReached: boolean }
  /** What the reader should know about this line. */
  remark?: string
}

export function median (values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] ?? NaN
  return Number.isInteger(middle) ? (upper + (sorted[middle - 1] ?? NaN)) / 2 : upper
}

/** @param share 0.95: the value that 95 of a hundred do not exceed */
export function quantile (values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN
}

export function worst (values: readonly number[]): number {
  return Math.max(...values)
}

/** `0.973 (0.951-0.988)`: the median, the least and the greatest. */
export function spread (values: readonly number[]): string {
  const [middle, least, greatest] = [median(values), Math.min(...values), Math.max(...values)].map(shorten)
  return least === greatest ? String(middle) : `${middle} (${least}-${greatest})`
}

/** A Markdown table, so that it can be pasted where the results are kept. */
export function table (rows: readonly Row[]): string {
  const titles = ['case', 'ours', 'peer', 'ratio', 'ratio by CPU', 'target', 'reached']
  const cells = rows.map(({ name, ours, peer, ratios, processorRatios, target }) => [
    name,
    inUnit(ours),
    peer === undefined ? '' : inUnit(peer),
    ratios === undefined ? '' : spread(ratios),
    processorRatios === undefined ? '' : spread(processorRatios),
    target?.text ?? '',
    target === undefined ? '' : target.isReached ? 'yes' : '**no**'
  ])
  const widths = titles.map((title, column) => Math.max(title.length, ...cells.map(row => row[column]?.length ?? 0)))
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  const remarks = rows.flatMap(({ name, remark }) => remark === undefined ? [] : [`- ${name}: ${remark}`])
  return [line(titles), line(widths.map(width => '-'.repeat(width))), ...cells.map(line), '', ...remarks].join('\n')
}

function inUnit ({ unit, values }: Samples): string {
  return `${spread(values)} ${unit}`
}

function shorten (value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en', { useGrouping: false })
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value >= 1 ? value.toFixed(2) : value.toFixed(3)
}
