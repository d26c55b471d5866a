// The contrast of every piece of text on a page, from its computed styles.
// It asks the browser itself, not a script in the page: it works with JavaScript off, too.

import type { Page } from 'playwright-core'

export interface SeenText {
  text: string
  color: string
  background: string
  /** From 1 (invisible) to 21 (black on white). */
  contrast: number
}

const TRANSPARENT = /^rgba\(.*, 0\)$/

/** @throws Error if a colour is translucent, or nothing gives a text its background */
export async function readTexts (page: Page): Promise<SeenText[]> {
  const session = await page.context().newCDPSession(page)
  const { documents, strings } = await session.send('DOMSnapshot.captureSnapshot', {
    computedStyles: ['color', 'background-color']
  })
  await session.detach()
  const texts: SeenText[] = []
  for (const { nodes, layout } of documents) {
    const parents = nodes.parentIndex ?? []
    const stylesOf = new Map(layout.nodeIndex.map((node, box) => [node, layout.styles[box]?.map(style => strings[style])]))

    const backgroundOf = (node: number | undefined): string => {
      if (node === undefined || node < 0) throw new Error('text without a background')
      const background = stylesOf.get(node)?.[1]
      return background === undefined || TRANSPARENT.test(background) ? backgroundOf(parents[node]) : background
    }

    layout.nodeIndex.forEach((node, box) => {
      const text = strings[layout.text[box] ?? -1]?.trim()
      if (text === undefined || text === '') return
      const color = stylesOf.get(node)?.[0] ?? ''
      const background = backgroundOf(parents[node])
      texts.push({ text, color, background, contrast: contrast(color, background) })
    })
  }
  return texts
}

/** WCAG 2.2, "contrast ratio". */
function contrast (one: string, other: string): number {
  const [darker = 0, lighter = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b)
  return (lighter + 0.05) / (darker + 0.05)
}

/** WCAG 2.2, "relative luminance". */
function luminance (color: string): number {
  const channels = /^rgb\((\d+), (\d+), (\d+)\)$/.exec(color)
  if (channels === null) throw new Error(`${color} is no opaque colour`)
  const [red = 0, green = 0, blue = 0] = channels.slice(1).map(channel => {
    const value = Number(channel) / 255
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}
