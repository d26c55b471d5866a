import { join } from 'node:path'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import staticSite from '../../src/serve/static-site.ts'

async function open (t: Test, files: Record<string, string> = {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(staticSite, {
    root: t.testdir({
      'index.html': '<p>welcome',
      '404.html': '<p>not here',
      'style.css': 'p { margin: 0 }',
      '.secret': 'hidden',
      folder: { 'index.html': '<p>folder' },
      ...files
    })
  })
  return app
}

t.test('the index is served at the root', async t => {
  const { statusCode, headers, body } = await (await open(t)).inject('/')
  t.equal(statusCode, 200)
  t.match(headers['content-type'], 'text/html')
  t.equal(body, '<p>welcome')
})

t.test('a page must be asked for each time', async t => {
  t.equal((await (await open(t)).inject('/')).headers['cache-control'], 'no-cache')
})

t.test('what a page names may be kept for a while', async t => {
  t.equal((await (await open(t)).inject('/style.css')).headers['cache-control'], 'public, max-age=3600')
})

t.test('what has not changed is not sent again', async t => {
  const app = await open(t)
  const { headers: { etag, 'last-modified': modified } } = await app.inject('/style.css')
  for (const headers of [{ 'if-none-match': String(etag) }, { 'if-modified-since': String(modified) }]) {
    const { statusCode, body } = await app.inject({ url: '/style.css', headers })
    t.equal(statusCode, 304)
    t.equal(body, '')
  }
})

t.test('a part of a file can be asked for', async t => {
  const { statusCode, headers, body } = await (await open(t)).inject({ url: '/style.css', headers: { range: 'bytes=0-4' } })
  t.equal(statusCode, 206)
  t.match(headers['content-range'], /^bytes 0-4\//)
  t.equal(body, 'p { m')
})

t.test('a part that is not there cannot', async t => {
  const { statusCode } = await (await open(t)).inject({ url: '/style.css', headers: { range: 'bytes=1000-' } })
  t.equal(statusCode, 416)
})

t.test('HEAD gets no body', async t => {
  const { statusCode, headers, body } = await (await open(t)).inject({ method: 'HEAD', url: '/style.css' })
  t.equal(statusCode, 200)
  t.equal(headers['content-length'], '15')
  t.equal(body, '')
})

t.test('what is not there gets the page that says so, which is not kept', async t => {
  const app = await open(t)
  for (const url of ['/missing', '/missing/deep.html']) {
    const { statusCode, headers, body } = await app.inject(url)
    t.equal(statusCode, 404)
    t.match(headers['content-type'], 'text/html')
    t.equal(headers['cache-control'], 'no-cache')
    t.equal(body, '<p>not here')
  }
})

t.test('a site without such a page says it in plain text', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(staticSite, { root: t.testdir({ 'index.html': '<p>welcome' }) })
  const { statusCode, headers, body } = await app.inject('/missing')
  t.equal(statusCode, 404)
  t.match(headers['content-type'], 'text/plain')
  t.equal(body, 'Not found\n')
})

t.test('dotfiles are not there', async t => {
  t.equal((await (await open(t)).inject('/.secret')).statusCode, 404)
})

t.test('nothing outside of the folder is there', async t => {
  const app = await open(t)
  for (const url of ['/../package.json', '/..%2fpackage.json', '/%2e%2e/package.json', '/folder/..%2f..%2fpackage.json', '//etc/passwd']) {
    const { statusCode, body } = await app.inject(url)
    t.ok([400, 403, 404].includes(statusCode), `${url}: ${statusCode}`)
    t.notMatch(body, /myserver|root:/)
  }
})

t.test('nothing can be written', async t => {
  const app = await open(t)
  for (const method of ['POST', 'PUT', 'DELETE'] as const) {
    t.equal((await app.inject({ method, url: '/style.css', payload: 'x' })).statusCode, 404, method)
  }
})

t.test('a file that is added later is served', async t => {
  const root = t.testdir({ 'index.html': '<p>welcome' })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(staticSite, { root })
  t.equal((await app.inject('/later.txt')).statusCode, 404)
  const { writeFile } = await import('node:fs/promises')
  await writeFile(join(root, 'later.txt'), 'later')
  t.equal((await app.inject('/later.txt')).body, 'later')
})
