// How the three shipped pages look and read, as the real service serves them to a real browser.

import t, { type Test } from 'tap'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { launchBrowser, whySkipped } from './browser.ts'
import { readTexts } from './contrast.ts'
import { startService } from './service.ts'

// WCAG 2.2, 1.4.3 (AA).
const LEAST_CONTRAST = 4.5
// WCAG 2.2, 2.2.2: what moves for longer needs a way to stop it.
const LONGEST_MOTION_MS = 5000
const PHONE = { width: 320, height: 640 }

// Many pages, and a browser takes its time on a busy machine: tap's half minute can be too short.
t.setTimeout(180_000)

t.test('the pages in a browser', { skip: whySkipped() }, async t => {
  const browser = await launchBrowser(t)
  const service = await startService(t)
  await t.test('the welcome page', t => checkPage(t, browser, `${service.origin}/`, 200, 'myserver is running'))
  await t.test('the page for what is not there', async t => {
    await checkPage(t, browser, `${service.origin}/no/such/page`, 404, 'Page not found')
    await t.test('leads home', async t => {
      const page = await open(t, browser, `${service.origin}/no/such/page`)
      await page.getByRole('link').click()
      await page.getByRole('heading', { name: 'myserver is running' }).waitFor()
      t.equal(page.url(), `${service.origin}/`)
    })
  })
  await service.signal('SIGUSR1', 'maintenance-entered')
  await t.test('the maintenance page', async t => {
    await checkPage(t, browser, `${service.origin}/any/path`, 503, 'Down for maintenance')
    await t.test('stays out of search engines', async t => {
      const page = await open(t, browser, service.origin)
      t.equal(await page.getAttribute('meta[name=robots]', 'content'), 'noindex')
    })
  })
})

async function checkPage (t: Test, browser: Browser, url: string, status: number, title: string): Promise<void> {
  await t.test('says what it is, also to a screen reader', async t => {
    const page = await open(t, browser)
    const response = await page.goto(url)
    t.equal(response?.status(), status)
    t.equal(await page.title(), title)
    t.equal(await page.getAttribute('html', 'lang'), 'en')
    t.equal(await page.getByRole('heading', { level: 1, name: title, exact: true }).count(), 1)
    t.equal(await page.getByRole('heading', { level: 1 }).count(), 1, 'one first heading')
    t.equal(await page.getByRole('main').count(), 1, 'one main landmark')
    t.match(await page.locator('body').ariaSnapshot(), /^- main:(\n {2}.*)*$/, 'nothing outside it')
  })

  await t.test('asks for nothing but itself', async t => {
    const page = await open(t, browser)
    const requests: string[] = []
    page.on('request', request => requests.push(request.url()))
    await page.goto(url, { waitUntil: 'networkidle' })
    t.strictSame(requests, [url])
    // Without one the browser asks for /favicon.ico, which is not among the requests it reports.
    t.equal(await page.locator('link[rel=icon][href^="data:"]').count(), 1)
    t.equal(await page.locator('script').count(), 0, 'no scripts')
  })

  await t.test('has enough contrast in light, in dark and in forced colours', async t => {
    const page = await open(t, browser, url)
    const backgrounds: string[] = []
    for (const forcedColors of ['none', 'active'] as const) {
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme, forcedColors })
        const texts = await readTexts(page)
        const heading = texts.find(({ text }) => text === title)
        t.ok(heading, 'the heading is there to be seen')
        t.strictSame(texts.filter(({ contrast }) => contrast < LEAST_CONTRAST), [], `${colorScheme}, forced: ${forcedColors}`)
        backgrounds.push(heading?.background ?? '')
      }
    }
    t.equal(new Set(backgrounds).size, backgrounds.length, 'each has a background of its own')
  })

  await t.test('fits a small phone without scrolling sideways, also with text twice as large', async t => {
    const page = await open(t, browser, url, { viewport: PHONE })
    t.equal(await measure(page, 'document.documentElement.scrollWidth'), PHONE.width)
    await page.addStyleTag({ content: 'html { font-size: 200% }' })
    t.equal(await measure(page, 'document.documentElement.scrollWidth'), PHONE.width)
  })

  await t.test('stands still for those who ask for it, and soon for everybody', async t => {
    const still = await open(t, browser, url, { reducedMotion: 'reduce' })
    t.equal(await measure(still, 'document.getAnimations().length'), 0)
    const page = await open(t, browser, url, { reducedMotion: 'no-preference' })
    const ends = 'Math.max(0, ...document.getAnimations().map(motion => motion.effect.getComputedTiming().endTime))'
    t.ok(await measure(page, ends) <= LONGEST_MOTION_MS)
  })

  await t.test('looks the same with JavaScript off', async t => {
    const [withScripts, without] = await Promise.all([true, false].map(async javaScriptEnabled => {
      const page = await open(t, browser, url, { javaScriptEnabled, reducedMotion: 'reduce' })
      return await page.screenshot({ fullPage: true })
    }))
    t.ok(withScripts !== undefined && without !== undefined && withScripts.equals(without))
  })
}

/** A page in a profile of its own, closed with the test. */
async function open (t: Test, browser: Browser, url?: string, options?: BrowserContextOptions): Promise<Page> {
  const context = await browser.newContext(options)
  t.teardown(() => context.close())
  const page = await context.newPage()
  if (url !== undefined) await page.goto(url)
  return page
}

function measure (page: Page, expression: string): Promise<number> {
  return page.evaluate<number>(expression)
}
