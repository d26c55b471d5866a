import t from 'tap'
import { Manager, storedWitness, WITNESS } from '../../src/control/manager.ts'
import type { Notification, Systemd } from '../../src/platform/systemd.ts'

/** A service manager that can be too busy to listen. */
class Busy {
  readonly heard: unknown[] = []
  isListening = true
  readonly manager: Manager

  constructor () {
    const hear = (what: unknown): boolean => {
      if (this.isListening) this.heard.push(what)
      return this.isListening
    }
    const systemd: Systemd = {
      managed: true,
      watchdogPingMs: undefined,
      notify: (notification: Notification) => hear(notification),
      store: name => hear(`store ${name}`),
      unstore: name => hear(`unstore ${name}`),
      journal: () => false
    }
    this.manager = new Manager(systemd)
  }
}

t.test('it is told at once, and once', async t => {
  const it = new Busy()
  it.manager.tell({ STATUS: 'live' })
  t.ok(it.manager.store('listen', 7))
  t.ok(it.manager.retry())
  t.same(it.heard, [{ STATUS: 'live' }, 'store listen'])
})

t.test('where it does not listen it is told later, of two statuses the newer one', async t => {
  const it = new Busy()
  it.isListening = false
  it.manager.tell({ READY: 1, STATUS: 'live' })
  it.manager.tell({ STATUS: 'maintenance' })
  t.notOk(it.manager.retry())
  it.isListening = true
  t.ok(it.manager.retry())
  t.ok(it.manager.retry())
  t.same(it.heard, [{ READY: 1, STATUS: 'maintenance' }])
})

t.test('what it keeps is told in order, and what was meanwhile given up is not told at all', async t => {
  const it = new Busy()
  it.isListening = false
  t.notOk(it.manager.unstore('listen'))
  t.notOk(it.manager.store('listen', 7))
  t.notOk(it.manager.store('maintenance', 8))
  t.notOk(it.manager.unstore('maintenance'))
  it.isListening = true
  it.manager.retry()
  t.same(it.heard, ['unstore listen', 'store listen', 'unstore maintenance'])
})

t.test('the witness is told once, says when it could not be, and is told as soon as it can be', async t => {
  const it = new Busy()
  const witness = storedWitness(it.manager, true, false)
  it.isListening = false
  t.throws(() => witness.set(), { message: /does not listen/ })
  t.throws(() => witness.set(), { message: /does not listen/ })
  it.isListening = true
  witness.set()
  t.same(it.heard, [`store ${WITNESS}`])
  it.isListening = false
  t.throws(() => witness.clear(), { message: /does not listen/ })
  it.isListening = true
  it.manager.retry()
  t.same(it.heard, [`store ${WITNESS}`, `unstore ${WITNESS}`])
})

t.test('a witness that is there from before is not stored again, and is cleared', async t => {
  const it = new Busy()
  const witness = storedWitness(it.manager, true, true)
  witness.set()
  t.same(it.heard, [])
  witness.clear()
  t.same(it.heard, [`unstore ${WITNESS}`])
})
