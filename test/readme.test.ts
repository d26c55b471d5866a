import { spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { settings } from '../src/config.ts'
import { wordings } from '../src/control/reporting.ts'
import { newFolder, root } from './helpers/places.ts'
import { startService } from './helpers/service.ts'

const readme = readFileSync(join(root, 'README.md'), 'utf8')

/** The only block of code in a language. */
function block (language: string): string {
  const [, code] = new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's').exec(readme) ?? []
  if (code === undefined) throw new Error(`README.md has no block of ${language}`)
  return code
}

t.test('its table has every setting, with its default, and no other', async t => {
  const rows = [...readme.matchAll(/^\| `([A-Z_]+)` \| (?:`(.*)`)? ?\| (.*) \|$/gm)].map(([, name, fallback, help]) => ({ name, fallback, help }))
  t.same(rows, settings.map(setting => ({ name: setting.name, fallback: 'default' in setting ? setting.default : undefined, help: setting.help })))
})

t.test('it tells the MESSAGE_ID of every transition', async t => {
  const ids = [...readme.matchAll(/^\| \w+ \| `([0-9a-f]{32})` \|$/gm)].map(([, id]) => id)
  t.same(ids, Object.values(wordings).flatMap(({ id }) => id ?? []))
})

t.test('what the documents link to is there', async t => {
  for (const file of ['README.md', 'CONTRIBUTING.md', ...globSync('docs/**/*.md', { cwd: root })]) {
    for (const [, link = ''] of readFileSync(join(root, file), 'utf8').matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      t.ok(existsSync(join(root, dirname(file), link)), `${file}: ${link}`)
    }
  }
})

t.test('its application runs, and its health route is never refused', async t => {
  const app = join(newFolder(t), 'app.mjs')
  writeFileSync(app, block('js'))
  const service = await startService(t, { env: { APP: app } })
  service.send('SIGUSR1')
  await service.line('maintenance-drained')
  t.equal((await service.get('/orders')).status, 503)
  t.match(await service.get('/health'), { status: 200, body: 'ok' })
})

t.test('its use of the plugin in an application of one\'s own runs', async t => {
  const folder = newFolder(t)
  const file = join(folder, 'own.ts')
  writeFileSync(join(folder, 'maintenance.html'), '<p>Back soon')
  const code = block('ts').replaceAll("from './", `from '${root}/`).replace("from 'fastify'", `from '${root}/node_modules/fastify/fastify.js'`)
  writeFileSync(file, `${code}
app.get('/', async () => 'served')
const ask = async (): Promise<string> => (await app.inject('/')).body
console.log(await ask())
process.emit('SIGUSR1')
console.log(await ask())
process.emit('SIGUSR2')
console.log(await ask())
`)
  const { stdout, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8', cwd: folder })
  t.equal(stdout, 'served\n<p>Back soon\nserved\n', stderr)
})
