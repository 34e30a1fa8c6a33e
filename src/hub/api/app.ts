import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import Fastify, { type FastifyError } from 'fastify'
import { ErrandError } from '../../contract/errors.ts'
import type { EngineFace } from '../../engine/api.ts'
import type { CheckAside } from '../../engine/workflow-file/check-aside.ts'
import { type CallerOf, callersBehind } from '../../platform/callers.ts'
import type { Log } from '../../platform/log.ts'
import type { AccountStore } from '../../stores/accounts.ts'
import type { ArtifactStore } from '../../stores/artifacts/artifact-store.ts'
import type { ChannelStore } from '../../stores/sqlite/channels.ts'
import type { PersonalStore } from '../../stores/sqlite/personal.ts'
import type { FollowUps } from '../agents/follow-ups.ts'
import type { OpenApprovals } from '../approvals/open-approvals.ts'
import type { RunArtifacts } from '../artifacts/run-artifacts.ts'
import type { StoredArtifacts } from '../artifacts/stored-artifacts.ts'
import type { Auth } from '../auth/auth.ts'
import type { Bots } from '../bots/bots.ts'
import type { Uploads } from '../bots/uploads.ts'
import type { ForgeHooks } from '../forges/forge-hooks.ts'
import type { RunLines } from '../log-index/run-lines.ts'
import type { Notifier } from '../notify/notifier.ts'
import type { HubMetrics } from '../ops/hub-metrics.ts'
import type { BuiltPage } from '../page/built-page.ts'
import type { Changes } from '../page/changes.ts'
import type { Secrets } from '../secrets.ts'
import type { RepoPool } from '../tasks/repo-pool.ts'
import type { Tasks } from '../tasks/tasks.ts'
import { loginHandlers, tokenHandlers, userHandlers } from './accounts.ts'
import { agentHandlers, chatHandlers, inputHandlers } from './agents.ts'
import {
  type ApiApp,
  type ApiContext,
  type ApiLimits,
  DEFAULT_API_LIMITS,
  type Repositories,
  type RunnersFace,
  type WorkspaceQueries,
} from './api-context.ts'
import { approvalHandlers } from './approvals.ts'
import { artifactHandlers } from './artifacts.ts'
import { botDataHandlers } from './bot-data.ts'
import { botLogHandlers } from './bot-logs.ts'
import { botHandlers } from './bots.ts'
import { channelHandlers } from './channels.ts'
import { guard } from './http/access.ts'
import { arrivesWithin, readBodies } from './http/body-parsers.ts'
import { answerBrokenRequest, answerErrors, sendError } from './http/error-answers.ts'
import { PacedResponses } from './http/paced-response.ts'
import { requestValidator } from './http/request-validator.ts'
import { type Handlers, registerRoutes } from './http/routes.ts'
import { docsHandlers, healthHandlers, hubFactsHandlers, metricsHandlers } from './hub.ts'
import { pageHandlers, sendPage } from './page.ts'
import { runLineHandlers } from './run-lines.ts'
import { runListHandlers } from './run-lists.ts'
import { runOutputHandlers } from './run-output.ts'
import { runShareHandlers } from './run-shares.ts'
import { runnerGroupHandlers } from './runner-groups.ts'
import { enrolmentHandlers, runnerHandlers } from './runners.ts'
import { runActionHandlers, runHandlers, runStatusHandlers, validateHandlers } from './runs.ts'
import { secretHandlers } from './secrets.ts'
import { artifactServiceHandlers } from './services/artifact-service.ts'
import { jobHandlers } from './services/jobs.ts'
import { repoPoolHandlers } from './services/repo-pool.ts'
import { taskRegistryHandlers } from './services/task-registry.ts'
import { sessionFolderHandlers } from './session-folder.ts'
import { eventHandlers } from './streams/events.ts'
import { runEventHandlers } from './streams/run-events.ts'
import { taskHandlers } from './tasks.ts'
import { uploadHandlers } from './uploads.ts'
import { seenHandlers, viewHandlers } from './views.ts'

export interface ApiOptions {
  engine: EngineFace
  accounts: AccountStore
  runners: RunnersFace
  /** Settings of repositories; by default there are none. */
  repositories?: Repositories
  /** Absent if no group provisions its runners. */
  pools?: ApiContext['pools']
  secrets: Secrets
  bots: Bots
  tasks: Tasks
  hooks: ForgeHooks
  followUps: FollowUps
  uploads: Uploads
  artifacts: RunArtifacts
  stored: StoredArtifacts
  lines: RunLines
  pool: RepoPool
  asks: WorkspaceQueries
  contents: Pick<ArtifactStore, 'receive'>
  auth: Auth
  version: string
  limits?: Partial<ApiLimits>
  /** Names under which a proxy on this machine passes requests on. */
  hosts?: readonly string[]
  checkAside: CheckAside
  /** Finds the address of the caller. By default no proxy is trusted to name it. */
  callerOf?: CallerOf
  /** True if a runner of the hub itself runs steps as the hub's user. */
  ownRunner?: boolean
  metrics: HubMetrics
  outside: ApiContext['outside']
  dataFolder: string
  runsKeptMs?: number
  changes: { runs: Changes; tasks: Changes }
  approvals: OpenApprovals
  channels: ChannelStore
  personal: PersonalStore
  notifier: Notifier
  /** Absent if the hub has no dashboard. */
  page?: BuiltPage
  /** True if requests from this machine may read `/metrics` without a token. */
  openMetrics?: boolean
  log: Log
}

/** Milliseconds that the head of a request has to arrive; the body has `ApiLimits.requestMs`. */
const HEADERS_TIMEOUT_MS = 60_000

/**
 * Creates the hub's HTTP API, not yet listening. Others may listen for `upgrade` on `app.server`, and must close the
 * sockets that they upgrade. `app.close()` ends the event streams, then waits for the requests in progress.
 */
export function createApi(options: ApiOptions): ApiApp {
  const limits = { ...DEFAULT_API_LIMITS, ...options.limits }
  const context: ApiContext = {
    ...options,
    pools: options.pools,
    repositories: options.repositories ?? { groupOf: () => undefined },
    hosts: options.hosts ?? [],
    limits,
    streams: new PacedResponses(limits),
  }
  const errors = { log: options.log }
  const app: ApiApp = Fastify({
    logger: false,
    bodyLimit: limits.bodyBytes,
    exposeHeadRoutes: false,
    genReqId: () => randomUUID(),
    // The hub answers these itself, in the same shape as other errors.
    return503OnClosing: false,
    // Node's timeout would apply to every route.
    requestTimeout: 0,
    routerOptions: { ignoreTrailingSlash: true },
    frameworkErrors(error, request, reply) {
      arrivesWithin(request.raw, reply.raw, limits.requestMs)
      sendError(error as FastifyError, request, reply, errors)
    },
    clientErrorHandler: answerBrokenRequest,
    schemaController: {
      // Set here so that Fastify does not load its own compilers, which take some megabytes.
      compilersFactory: {
        buildValidator: () => requestValidator as never,
        buildSerializer: () => () => JSON.stringify,
      },
    },
  })

  app.server.headersTimeout = HEADERS_TIMEOUT_MS
  const callerOf = options.callerOf ?? callersBehind([])
  let isStopping = false
  app.addHook('onRequest', async (_request, reply) => {
    if (!isStopping) return
    const error = new ErrandError('unavailable', 'This hub is stopping.', {
      hint: 'Try again once it is up.',
    })
    return reply.code(error.status).header('connection', 'close').send(error.toBody())
  })
  app.decorateRequest('caller', '')
  app.addHook('onRequest', async (request) => {
    request.caller = callerOf(request.raw)
  })
  logRequests(app, options.log)
  readBodies(app, limits)
  guard(app, {
    auth: options.auth,
    hosts: context.hosts,
    openMetrics: options.openMetrics ?? false,
  })
  answerErrors(app, { ...errors, nothingAt: (request, reply) => sendPage(options.page, request, reply) })
  const closeUnusedConnections = closeUnused(app.server)
  app.addHook('preClose', async () => {
    isStopping = true
    context.streams.close()
    closeUnusedConnections()
  })
  registerRoutes(app, handlersOf(app, context))
  return app
}

/** Logs a line at `debug` for each request, without its query, which may contain a token. */
function logRequests(app: ApiApp, log: Log): void {
  app.addHook('onResponse', async ({ method, url, identity, id, caller }, reply) => {
    const path = url.split('?')[0]!
    const status = reply.raw.statusCode
    const ms = Math.round(reply.elapsedTime)
    const user = (identity as typeof identity | null)?.user.name
    const of = { method, path, status, ms, user, caller, request_id: id }
    log(`${method} ${path} ${status}`, { level: 'debug', ...of })
  })
}

/**
 * Returns a function that closes the connections without a request so far. Node counts them as busy, and browsers
 * open some in advance: a stopping server would wait a minute for them.
 */
function closeUnused(server: Server): () => void {
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  return () => {
    for (const socket of open) if (socket.bytesRead === 0) socket.destroy()
  }
}

/** Returns one handler for each route. The compiler reports a missing one, and one that is not in the table. */
function handlersOf(app: ApiApp, context: ApiContext): Handlers {
  return {
    ...runHandlers(context),
    ...runListHandlers(context),
    ...viewHandlers(context),
    ...seenHandlers(context),
    ...runActionHandlers(context),
    ...runShareHandlers(context),
    ...sessionFolderHandlers(context),
    ...approvalHandlers(context),
    ...inputHandlers(context),
    ...chatHandlers(context, app),
    ...runEventHandlers(context),
    ...eventHandlers(context),
    ...runOutputHandlers(context),
    ...runLineHandlers(context),
    ...artifactHandlers(context),
    ...artifactServiceHandlers(context),
    ...repoPoolHandlers(context),
    ...runStatusHandlers(context),
    ...validateHandlers(context),
    ...taskHandlers(context),
    ...taskRegistryHandlers(context),
    ...botHandlers(context),
    ...botLogHandlers(context),
    ...botDataHandlers(context),
    ...uploadHandlers(context),
    ...jobHandlers(context),
    ...runnerHandlers(context),
    ...runnerGroupHandlers(context),
    ...enrolmentHandlers(context),
    ...secretHandlers(context),
    ...loginHandlers(context),
    ...tokenHandlers(context),
    ...userHandlers(context),
    ...channelHandlers(context),
    ...healthHandlers(context),
    ...hubFactsHandlers(context),
    ...metricsHandlers(context),
    ...agentHandlers(context),
    ...pageHandlers(context),
    ...docsHandlers(context, app),
  }
}

/** Starts to listen and returns the URL. Throws `address_in_use` or `invalid_argument`. */
export async function listen(app: ApiApp, { host, port }: { host: string; port: number }): Promise<string> {
  try {
    await app.listen({ host, port })
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'EADDRINUSE') {
      throw new ErrandError('address_in_use', `Port ${port} on ${host} is taken by another program.`, {
        hint: `Choose another with --port, such as: errand up --port ${port + 1}`,
        cause,
      })
    }
    throw new ErrandError('invalid_argument', `Cannot listen on ${host}:${port}: ${message}`, {
      hint: 'Name an address of this machine with --host, and a port that this user may take with --port.',
      cause,
    })
  }
  const { address, port: bound } = app.server.address() as AddressInfo
  return `http://${address.includes(':') ? `[${address}]` : address}:${bound}`
}
