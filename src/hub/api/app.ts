import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyError } from 'fastify'
import type { EngineFace } from '../../engine/face.ts'
import type { Log } from '../../platform/log.ts'
import type { FollowUps } from '../agents/follow-ups.ts'
import type { Auth } from '../auth/auth.ts'
import type { Bots } from '../bots/bots.ts'
import type { Uploads } from '../bots/uploads.ts'
import type { HubMetrics } from '../metrics/hub-metrics.ts'
import type { Secrets } from '../secrets/secrets.ts'
import type { AccountStore } from '../store/accounts.ts'
import { guard } from './access.ts'
import { logRequests } from './access-log.ts'
import {
  type ApiApp,
  type ApiContext,
  type ApiLimits,
  DEFAULT_API_LIMITS,
  type Repositories,
} from './api-context.ts'
import { arrivesWithin, readBodies } from './body-parsers.ts'
import { answerBrokenRequest, answerErrors, sendError } from './error-answers.ts'
import { handlersOf } from './handlers.ts'
import { PacedResponses } from './paced-response.ts'
import { requestValidator } from './request-validator.ts'
import { registerRoutes } from './routes.ts'
import type { RunnersFace } from './runners-face.ts'
import { closeUnused } from './unused-connections.ts'

export interface ApiOptions {
  engine: EngineFace
  accounts: AccountStore
  runners: RunnersFace
  /** Default: it was told of none. */
  repositories?: Repositories
  secrets: Secrets
  bots: Bots
  followUps: FollowUps
  uploads: Uploads
  auth: Auth
  version: string
  limits?: Partial<ApiLimits>
  /** Names under which a proxy on this machine passes people on. */
  hosts?: readonly string[]
  /** A runner of the hub's own carries out steps as the hub's user. */
  ownRunner?: boolean
  metrics: HubMetrics
  /** Who is on this machine reads `/metrics` without a token. */
  openMetrics?: boolean
  log: Log
}

/** The head of a request must have arrived within this; its body has `ApiLimits.requestMs`. */
const HEADERS_TIMEOUT_MS = 60_000

/**
 * The hub's HTTP API, not yet listening. `app.server` is there for others' `upgrade` listeners; whoever upgrades a
 * socket also closes it. `app.close()` ends the event streams, then waits for the requests under way.
 */
export function createApi(options: ApiOptions): ApiApp {
  const limits = { ...DEFAULT_API_LIMITS, ...options.limits }
  const context: ApiContext = {
    ...options,
    repositories: options.repositories ?? { groupOf: () => undefined },
    limits,
    streams: new PacedResponses(limits),
  }
  const errors = { bodyBytes: limits.bodyBytes, log: options.log }
  const app: ApiApp = Fastify({
    logger: false,
    bodyLimit: limits.bodyBytes,
    exposeHeadRoutes: false,
    genReqId: () => randomUUID(),
    // Node's would hold for every route.
    requestTimeout: 0,
    routerOptions: { ignoreTrailingSlash: true },
    frameworkErrors(error, request, reply) {
      arrivesWithin(request.raw, reply.raw, limits.requestMs)
      sendError(error as FastifyError, request, reply, errors)
    },
    clientErrorHandler: answerBrokenRequest,
    schemaController: {
      // Given here, so that Fastify does not load its own compilers (some megabytes).
      compilersFactory: {
        buildValidator: () => requestValidator as never,
        buildSerializer: () => () => JSON.stringify,
      },
    },
  })

  app.server.headersTimeout = HEADERS_TIMEOUT_MS
  logRequests(app, options.log)
  answerErrors(app, errors)
  readBodies(app, limits)
  guard(app, {
    auth: options.auth,
    hosts: options.hosts ?? [],
    openMetrics: options.openMetrics ?? false,
  })
  const closeUnusedConnections = closeUnused(app.server)
  app.addHook('preClose', async () => {
    context.streams.close()
    closeUnusedConnections()
  })
  registerRoutes(app, handlersOf(app, context))
  return app
}
