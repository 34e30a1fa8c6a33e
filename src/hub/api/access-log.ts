import type { Log } from '../../platform/log.ts'
import type { ApiApp } from './api-context.ts'

/** A line at `debug` for each request; without its query, which may hold a token. */
export function logRequests(app: ApiApp, log: Log): void {
  app.addHook('onResponse', async ({ method, url, identity, id }, reply) => {
    const path = url.split('?')[0]!
    const status = reply.raw.statusCode
    const ms = Math.round(reply.elapsedTime)
    const user = (identity as typeof identity | null)?.user.name
    log(`${method} ${path} ${status}`, { level: 'debug', method, path, status, ms, user, request_id: id })
  })
}
