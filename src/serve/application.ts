// The application behind the switch: a Fastify server with the maintenance plugin in front of what is configured.
// It never listens and never exits.

import type { Server } from 'node:http'
import { pathToFileURL } from 'node:url'
import Fastify, { type FastifyBaseLogger, type FastifyPluginAsync, type FastifyServerOptions } from 'fastify'
import { ServiceError, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import maintenance, { frameworkErrors as answerFrameworkError } from '../maintenance/plugin.ts'
import { noSchemas } from '../no-schemas.ts'
import type { WorkerData } from '../worker-protocol.ts'
import accessLog, { FailureLog, logWhenOver } from './access-log.ts'
import { trackConnections, type Served } from './served.ts'
import staticSite from './static-site.ts'

// What an application may take to load, a database that is slow to answer included.
const LOAD_TIMEOUT_MS = 60_000
// Node's own default, which Fastify switches off: without it a client that never ends its request is never over.
const REQUEST_TIMEOUT_MS = 300_000

/** @throws ServiceError ERR_APP_LOAD, or whatever the application throws while it loads */
export async function openApplication (data: WorkerData, logger: Logger): Promise<Served> {
  const { config, memory, notice, slot } = data
  const logsRequests = logger.isLevelEnabled('info')
  const frameworkErrors: FastifyServerOptions['frameworkErrors'] = (error, request, reply) => {
    if (logsRequests) logWhenOver(reply)
    answerFrameworkError(error, request, reply)
  }
  const app = Fastify({
    loggerInstance: logger as FastifyBaseLogger,
    logController: new FailureLog(),
    trustProxy: config.trustProxy.length > 0 && [...config.trustProxy],
    requestTimeout: REQUEST_TIMEOUT_MS,
    pluginTimeout: LOAD_TIMEOUT_MS,
    // Requests that come in while the service stops are finished like all others.
    return503OnClosing: false,
    frameworkErrors,
    ...config.app === undefined && noSchemas
  })
  const server = app.server as Server
  // Before the maintenance plugin, which follows hooks that come after it, since they might go on for long.
  if (logsRequests) await app.register(accessLog)
  await app.register(maintenance, { ...notice, shared: { memory, worker: slot } })
  if (config.app === undefined) await app.register(staticSite, { root: config.publicDir })
  else await app.register(loadModule(config.app))
  await app.ready()

  const connections = trackConnections(server)
  return {
    server,
    connections,
    setNotice: notice => app.maintenance.setNotice(notice),
    inFlight: app.maintenance.entries,
    drained: () => app.maintenance.runDrainedHooks(),
    end: () => app.close()
  }
}

// Imported by a plugin of its own, so that a module that never finishes loading runs into the time limit. It shares
// the root's context, as if its author had made the server.
function loadModule (path: string): FastifyPluginAsync {
  const load: FastifyPluginAsync = async app => {
    let module
    try {
      module = await import(pathToFileURL(path).href)
    } catch (error) {
      throw new ServiceError('ERR_APP_LOAD', `APP=${path} cannot be loaded: ${messageOf(error)}`, error)
    }
    if (typeof module.default !== 'function') {
      throw new ServiceError('ERR_APP_LOAD', `APP=${path}: expected a Fastify plugin as its default export`)
    }
    await app.register(module.default)
  }
  return Object.assign(load, { [Symbol.for('skip-override')]: true })
}
