// What the service manager is told, and what it keeps for the next start. It may be too busy to listen: then it is told
// again until it has heard.

import { openSync } from 'node:fs'
import type { Notification, Systemd } from '../platform/systemd.ts'

/** Names in systemd's file descriptor store: the listening socket, and the witness that maintenance is on. */
export const LISTEN = 'listen'
export const WITNESS = 'maintenance'

/** Something about the store that it has not been told yet; without a descriptor nothing is to be kept under the name. */
interface Order {
  name: string
  fd: number | undefined
}

export class Manager {
  readonly #systemd: Systemd
  #news: Notification = {}
  #orders: Order[] = []

  constructor (systemd: Systemd) {
    this.#systemd = systemd
  }

  /** Of two values for the same key it hears the newer one. */
  tell (news: Notification): void {
    this.#news = { ...this.#news, ...news }
    this.retry()
  }

  /** Has a descriptor kept across restarts and crashes. @returns whether the manager has heard of it */
  store (name: string, fd: number): boolean {
    this.#orders.push({ name, fd })
    return this.retry(name)
  }

  /** Has nothing kept under a name any more. @returns the same */
  unstore (name: string): boolean {
    this.#orders = [...this.#orders.filter(order => order.name !== name), { name, fd: undefined }]
    return this.retry(name)
  }

  /** Tells what it has not heard yet, the oldest first. @returns whether nothing is left, of one name or at all */
  retry (name?: string): boolean {
    const { notify, store, unstore } = this.#systemd
    for (let order; (order = this.#orders[0]) !== undefined; this.#orders.shift()) {
      if (!(order.fd === undefined ? unstore(order.name) : store(order.name, order.fd))) break
    }
    if (Object.keys(this.#news).length > 0 && notify(this.#news)) this.#news = {}
    return name === undefined
      ? this.#orders.length === 0 && Object.keys(this.#news).length === 0
      : !this.#orders.some(order => order.name === name)
  }
}

/**
 * An open descriptor in systemd's store is there after a crash and a restart even if the disk is full or lost. What it
 * refers to does not matter; it is opened in advance, since there may be no descriptor left when it is needed.
 * @param isSet whether it is there from before
 */
export function storedWitness (manager: Manager, isManaged: boolean, isSet: boolean): { set (): void, clear (): void } {
  if (!isManaged) return { set () {}, clear () {} }
  const fd = openSync('/dev/null', 'r')
  const put = (on: boolean): void => {
    const isTold = on === isSet ? manager.retry(WITNESS) : on ? manager.store(WITNESS, fd) : manager.unstore(WITNESS)
    isSet = on
    if (!isTold) throw new Error('systemd does not listen')
  }
  return { set: () => put(true), clear: () => put(false) }
}
