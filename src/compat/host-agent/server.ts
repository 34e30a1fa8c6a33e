import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { hostname } from 'node:os'
import { ErrandError } from '../../contract/errors.ts'
import { type HostAgentRoute, hostAgentRoutes } from '../../contract/routes/host-agent.ts'
import { shownElsewhere } from '../../platform/shown-address.ts'
import type { Attempts } from '../../runner/ports.ts'
import { type ListenAddress, listenOn, parseListenAddress, urlOf } from './listen-address.ts'
import { hostActions } from './task-spec.ts'
import { type HostRequest, type Reply, TaskRetention, Tasks } from './tasks.ts'
import { MAX_BODY_BYTES } from './wire.ts'

export interface HostAgentOptions {
  /** The attempts that run the tasks. The agent recovers them; their opener closes them, after the agent. */
  attempts: Attempts
  token: string
  version: string
  /** Milliseconds after which `/run` answers 202. Default 4,000. */
  asyncAfterMs?: number
  /** Milliseconds from SIGTERM to SIGKILL, unless the canceling client says otherwise. Default 5,000. */
  cancelGraceMs?: number
  /** Most bytes of a request body. Default 8 MiB. */
  maxBodyBytes?: number
  /** Default one hour. */
  keepEndedMs?: number
  /** Default 1,000. */
  keepEnded?: number
  /** Default one minute, or `keepEndedMs` where that is less. */
  keepAtLeastMs?: number
  log?: (line: string) => void
}

export interface HostAgent {
  /** Restores the tasks of an earlier start, and listens. ":7072" is loopback. Throws `address_in_use`. */
  listen(address: string): Promise<ListenAddress & { url: string }>
  /** Stops answering; tasks continue. May be called twice. */
  close(): Promise<void>
}

type Route = (request: HostRequest) => Promise<Reply>

/** Serves the workflow runner's host-agent protocol. Throws `invalid_argument` without a token. */
export function createHostAgent(options: HostAgentOptions): HostAgent {
  if (options.token.trim() === '')
    throw new ErrandError(
      'invalid_argument',
      'A host agent needs a token: without one, anyone could run commands here.',
      {
        hint: 'Start it with --token and a long random text, and give dispatch the same one.',
      },
    )
  const { attempts, log = () => {}, keepEndedMs = 3_600_000 } = options
  const keepAtLeastMs = Math.min(options.keepAtLeastMs ?? 60_000, keepEndedMs)
  const retention = new TaskRetention(
    attempts,
    { keepEndedMs, keepEnded: options.keepEnded ?? 1000, keepAtLeastMs },
    log,
  )
  const tasks = new Tasks({
    attempts,
    retention,
    asyncAfterMs: options.asyncAfterMs ?? 4000,
    cancelGraceMs: options.cancelGraceMs ?? 5000,
  })
  const checkToken = bearerCheck(options.token.trim())
  const closing = new AbortController()

  const health: Route = async () => ({
    status: 200,
    body: {
      status: 'ok',
      version: options.version,
      hostname: hostname(),
      running: tasks.running,
      time: new Date().toISOString(),
      timestamp: Math.floor(Date.now() / 1000),
      capability: hostActions,
    },
  })
  const routes: Record<HostAgentRoute, Route> = {
    'POST /run': (request) => tasks.run(request),
    'POST /run-with-secrets': (request) => tasks.run(request),
    'GET /status': (request) => tasks.status(request),
    'POST /status': (request) => tasks.oldStatus(request),
    'POST /cancel': (request) => tasks.cancel(request),
    'GET /tasks': (request) => tasks.list(request),
    'GET /run-status': (request) => tasks.runStatus(request),
    'GET /heartbeat': health,
    'POST /heartbeat': health,
    'GET /health': health,
  }
  const known = Object.keys(routes).map((name) => name.split(' ') as [method: string, path: string])

  const server = createServer((request, response) => {
    const gone = new AbortController()
    const leave = () => gone.abort()
    closing.signal.addEventListener('abort', leave)
    response.on('close', () => {
      closing.signal.removeEventListener('abort', leave)
      leave()
    })
    answer(request, gone.signal)
      .catch((error: unknown) => errorReply(error, log))
      .then((reply) => send(response, reply, closing.signal.aborted))
      .catch((error: unknown) => {
        log(`a request could not be answered: ${detailsOf(error)}`)
        response.destroy()
      })
  })

  async function answer(request: IncomingMessage, gone: AbortSignal): Promise<Reply> {
    if (closing.signal.aborted)
      throw new ErrandError('unavailable', 'This host agent is closing.', {
        hint: 'Try again once it has been restarted.',
      })
    const url = new URL(request.url ?? '/', 'http://host')
    const methods = known.flatMap(([method, path]) => (path === url.pathname ? [method] : []))
    const name = `${request.method} ${url.pathname}` as HostAgentRoute
    // Without a token, not even the existing routes are revealed; a path that is open to anyone is so for any method.
    if (!methods.some((method) => isOpen(`${method} ${url.pathname}`))) checkToken(request)
    if (methods.length === 0)
      throw new ErrandError('not_found', `${url.pathname} does not exist here.`, {
        hint: `A host agent answers ${[...new Set(known.map(([, path]) => path))].join(', ')}.`,
      })
    if (!Object.hasOwn(routes, name))
      throw new ErrandError('method_not_allowed', `${url.pathname} does not accept ${request.method}.`, {
        hint: `Use ${methods.join(' or ')}.`,
      })
    const query = Object.fromEntries(url.searchParams)
    return routes[name]({
      query,
      body: () => jsonBody(request, options.maxBodyBytes ?? MAX_BODY_BYTES),
      gone,
    })
  }

  let listening: Promise<ListenAddress & { url: string }> | undefined
  let closed: Promise<void> | undefined
  return {
    listen(address) {
      listening ??= (async () => {
        const listen = parseListenAddress(address)
        for (const attempt of await attempts.recover()) retention.watch(attempt)
        const bound = await listenOn(server, listen)
        retention.start()
        return { ...bound, url: shownElsewhere(urlOf(bound)) }
      })()
      return listening
    },
    close() {
      closed ??= (async () => {
        closing.abort()
        await listening?.catch(() => {})
        retention.close()
        if (!server.listening) return
        await new Promise<void>((resolve) => {
          // Running answers get this long; then their connections are cut.
          const cut = setTimeout(() => server.closeAllConnections(), 2000)
          server.close(() => {
            clearTimeout(cut)
            resolve()
          })
          server.closeIdleConnections()
        })
      })()
      return closed
    },
  }
}

const isOpen = (name: string): boolean => hostAgentRoutes[name as HostAgentRoute].who === 'anyone'

function errorReply(error: unknown, log: (line: string) => void): Reply {
  if (error instanceof ErrandError) return { status: error.status, body: error.toBody() }
  log(`a request failed: ${detailsOf(error)}`)
  const internal = new ErrandError('internal', 'The host agent failed to answer this request.', {
    hint: 'See its log for the reason.',
  })
  return { status: internal.status, body: internal.toBody() }
}

const detailsOf = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error)

function send(response: ServerResponse, { status, body }: Reply, closing: boolean): void {
  if (response.destroyed) return
  const bytes = Buffer.from(`${JSON.stringify(body)}\n`)
  const close = closing || status === 413 ? { connection: 'close' } : {}
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': bytes.length, ...close })
  response.end(bytes)
}

const digest = (text: string) => createHash('sha256').update(text).digest()

/**
 * Makes the check of a request's token: `Authorization: Bearer T`, or `X-Runner-Token: T`, which old clients send too.
 */
function bearerCheck(token: string): (request: IncomingMessage) => void {
  const expected = digest(token)
  return (request) => {
    const bearer = /^bearer\s+(.*)$/i.exec(request.headers.authorization ?? '')?.[1]?.trim()
    const token = bearer ?? request.headers['x-runner-token']
    if (typeof token !== 'string' || token === '')
      throw new ErrandError('unauthorized', 'The token is missing.', {
        hint: 'Send the header "Authorization: Bearer <token>" with the token that the agent server was started with.',
      })
    // Hashes have equal length, so the time of the comparison reveals nothing about the token.
    if (!timingSafeEqual(digest(token), expected))
      throw new ErrandError(
        'unauthorized',
        'The token is wrong: this agent server was started with another one.',
        {
          hint: 'Give dispatch and agent-server the same --token.',
        },
      )
  }
}

/** Reads the JSON body of a request. Throws `body_too_large`, `bad_request`. An empty body is `{}`. */
async function jsonBody(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length <= maxBytes) chunks.push(chunk)
    // An oversized body is read to its end, up to a limit: otherwise the client would see a broken connection and not
    // the answer.
    else if (length > maxBytes * 8) break
  }
  if (length > maxBytes)
    throw new ErrandError('body_too_large', `The body is larger than ${maxBytes} bytes.`, {
      hint: 'Put large data into a file, or fetch it in the step.',
    })
  if (length === 0) return {}
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch (cause) {
    throw new ErrandError('bad_request', `The body is not valid JSON: ${(cause as Error).message}.`, {
      hint: 'Send one JSON object.',
      cause,
    })
  }
}
