import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ErrandError } from '../../contract/errors.ts'
import { DEFAULT_TENANT } from '../auth/tokens.ts'
import { DataSize } from '../ops/data-size.ts'
import type { ApiApp, ApiContext } from './api-context.ts'
import { needAdmin, needOperator } from './http/access.ts'
import type { Handlers } from './http/routes.ts'

export function healthHandlers({ version, engine, outside }: ApiContext) {
  const startedMs = performance.now()
  return {
    'GET /health': () => ({
      status: 'ok' as const,
      ok: true as const,
      version,
      uptime_seconds: Math.round(performance.now() - startedMs) / 1000,
      taking_up: engine.takingUp(),
    }),
    'GET /health/services': ({ identity: { user } }) => ({
      failing: outside.list(user.tenant, user.tenant === DEFAULT_TENANT),
    }),
  } satisfies Partial<Handlers>
}

/** Limits how many set-aside runs are named. */
const MOST_NAMED = 20

/** Serves facts about the hub as a whole to its operators. */
export function hubFactsHandlers({ version, engine, accounts, dataFolder, runsKeptMs }: ApiContext) {
  const startedMs = performance.now()
  const size = new DataSize(dataFolder)
  return {
    'GET /api/hub': async ({ identity }) => {
      needOperator(identity, 'read this')
      const aside = engine.setAside()
      const named = await Promise.all(aside.slice(0, MOST_NAMED).map((runId) => engine.get(runId)))
      const byTenant = Map.groupBy(await accounts.users(), ({ tenant }) => tenant)
      return {
        version,
        uptime_seconds: Math.round(performance.now() - startedMs) / 1000,
        data: await size.now(),
        ...(runsKeptMs !== undefined && { runs_kept_seconds: runsKeptMs / 1000 }),
        set_aside: named.flatMap((run) => (run?.set_aside ? [{ run_id: run.run_id, ...run.set_aside }] : [])),
        runs_set_aside: aside.length,
        tenants: [...byTenant]
          .map(([name, users]) => ({
            name,
            users: users.length,
            admins: users.filter(({ role }) => role === 'admin').length,
          }))
          .sort((a, b) => a.name.localeCompare(b.name)),
      }
    },
  } satisfies Partial<Handlers>
}

/** Serves metrics of the whole hub, across tenants, to its operators, who are the admins of the first tenant. */
export function metricsHandlers({ metrics }: ApiContext) {
  return {
    'GET /metrics': async ({ identity }, reply) => {
      // Absent if everybody on the hub's machine may read them.
      if (identity !== null) needAdmin(identity)
      if (identity !== null && identity.user.tenant !== DEFAULT_TENANT)
        throw new ErrandError('forbidden', "Only admins of the hub's first tenant may read its metrics.", {
          hint: 'Ask one of them for a metrics token: errand tokens create NAME --scope metrics',
        })
      reply.header('cache-control', 'no-store').type('text/plain; version=0.0.4; charset=utf-8')
      return reply.serializer((text) => text as string).send(metrics.text())
    },
  } satisfies Partial<Handlers>
}

/** The documentation that `openapi.ts` generates from the routes. */
export interface ApiDocs {
  /** The OpenAPI document, as JSON. */
  document: string
  /** Answers a request under `/docs`. */
  answer(request: IncomingMessage, response: ServerResponse): void
  close(): Promise<void>
}

/** Serves the documentation. It is generated on first use, because an idle hub should use little memory. */
export function docsHandlers({ version }: ApiContext, app: ApiApp) {
  let docs: Promise<ApiDocs> | undefined
  const load = () => {
    docs ??= import('./openapi.ts').then(({ describeApi }) => describeApi(version))
    return docs
  }

  const page = async (request: FastifyRequest, reply: FastifyReply) => {
    const { answer } = await load()
    reply.hijack()
    answer(request.raw, reply.raw)
    return undefined
  }
  app.addHook('onClose', async () => {
    await (await docs?.catch(() => undefined))?.close()
  })

  return {
    'GET /api/openapi.json': async (_request, reply) => {
      reply.type('application/json; charset=utf-8')
      return reply.send((await load()).document)
    },
    'GET /docs': page,
    'GET /docs/*': page,
  } satisfies Partial<Handlers>
}
