// What a visitor's browser shows while the service is switched by real signals.

import t from 'tap'
import type { Page } from 'playwright-core'
import { launchBrowser, whySkipped } from './browser.ts'
import { startService } from './service.ts'

const WELCOME = 'myserver is running'
const MAINTENANCE = 'Down for maintenance'

t.test('the switch, seen in a browser', { skip: whySkipped() }, async t => {
  const browser = await launchBrowser(t)
  const service = await startService(t)
  const page = await browser.newPage()

  await t.test('live, the site shows', async t => {
    const response = await page.goto(`${service.origin}/`)
    t.equal(response?.status(), 200)
    t.equal(await heading(page), WELCOME)
  })

  await t.test('after SIGUSR1 every address shows the maintenance page', async t => {
    await service.signal('SIGUSR1', 'maintenance-entered')
    const reloaded = await page.reload()
    t.equal(reloaded?.status(), 503)
    t.equal(await heading(page), MAINTENANCE)
    for (const path of ['/', '/index.html', '/no/such/page', '/a/b/c.png?d=e', '/%E2%82%AC']) {
      const response = await page.goto(service.origin + path)
      t.equal(response?.status(), 503, path)
      t.match(response?.headers(), { 'content-type': /^text\/html/, 'cache-control': /no-store/, 'retry-after': /^\d+$/ })
      t.equal(await heading(page), MAINTENANCE, path)
    }
  })

  await t.test('after SIGUSR2 a reload shows the site again', async t => {
    await page.goto(`${service.origin}/`)
    await service.signal('SIGUSR2', 'maintenance-left')
    const response = await page.reload()
    t.equal(response?.status(), 200)
    t.equal(await heading(page), WELCOME)
  })

  await t.test('a visit does not keep what it saw: following a link shows what is true now', async t => {
    await page.goto(`${service.origin}/no/such/page`)
    await service.signal('SIGUSR1', 'maintenance-entered')
    await page.getByRole('link').click()
    await page.getByRole('heading', { name: MAINTENANCE }).waitFor()
    await service.signal('SIGUSR2', 'maintenance-left')
    const response = await page.goto(`${service.origin}/`)
    t.equal(response?.status(), 200)
    t.equal(await heading(page), WELCOME)
  })

  await t.test('a form that was refused can be sent again by reloading', async t => {
    await page.setContent(`<form method="post" action="${service.origin}/order"><button>Send</button></form>`)
    await service.signal('SIGUSR1', 'maintenance-entered')
    await page.getByRole('button').click()
    await page.getByRole('heading', { name: MAINTENANCE }).waitFor()
    await service.signal('SIGUSR2', 'maintenance-left')
    const response = await page.reload()
    t.equal(response?.request().method(), 'POST')
    t.not(response?.status(), 503)
  })

  await t.test('one visit during maintenance is one request, by the count of the service', async t => {
    await service.signal('SIGUSR1', 'maintenance-entered')
    const visitor = await browser.newPage()
    await visitor.goto(`${service.origin}/`, { waitUntil: 'networkidle' })
    const { refused } = await service.signal('SIGUSR2', 'maintenance-left')
    t.equal(refused, 1)
  })
})

function heading (page: Page): Promise<string> {
  return page.getByRole('heading', { level: 1 }).innerText()
}
