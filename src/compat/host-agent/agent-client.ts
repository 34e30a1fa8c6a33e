import * as http from 'node:http'
import type { AttemptSpec, StreamName } from '../../contract/attempt.ts'
import type { ErrorBody } from '../../contract/errors.ts'
import type { TaskStatus } from './wire.ts'

/** The outcome of one request. */
export type Answer =
  | { type: 'ok'; status: number; body: unknown }
  | { type: 'refused'; status: number; code?: string; message: string }
  /** No answer. `again`: another try may succeed, and this one may have arrived. */
  | { type: 'failed'; again: boolean; message: string }

interface Request {
  method: 'GET' | 'POST'
  path: string
  query?: Record<string, string | number>
  body?: unknown
}

/** Limit far above the largest answer of an agent; more is not from an agent. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

/** The connections to all agents, which stay open between requests. */
export class AgentConnections {
  readonly #http = new http.Agent({ keepAlive: true })
  #https: http.Agent | undefined

  async open(url: URL, options: http.RequestOptions): Promise<http.ClientRequest> {
    if (url.protocol === 'http:') return http.request(url, { ...options, agent: this.#http })
    const https = await import('node:https')
    this.#https ??= new https.Agent({ keepAlive: true })
    return https.request(url, { ...options, agent: this.#https })
  }

  /** May be called twice. */
  close(): void {
    this.#http.destroy()
    this.#https?.destroy()
  }
}

/** Client of one host agent. No method throws. */
export class AgentClient {
  readonly #connections: AgentConnections
  readonly #base: URL
  readonly #token: string
  readonly #timeoutMs: number

  constructor(connections: AgentConnections, base: URL, token: string, timeoutMs: number) {
    this.#connections = connections
    this.#base = base
    this.#token = token
    this.#timeoutMs = timeoutMs
  }

  /** `secrets`: values by variable, for an attempt that has secrets. */
  run(
    spec: AttemptSpec,
    secrets: Record<string, string> | undefined,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<Answer> {
    const { timeout_ms, requires: _requires, address: _address, token_env: _tokenEnv, ...body } = spec
    const timeout_seconds = timeout_ms === undefined ? undefined : timeout_ms / 1000
    return this.#ask(
      {
        method: 'POST',
        path: secrets ? 'run-with-secrets' : 'run',
        query: { encoding: 'base64', reports_from: 0, wait_ms: waitMs },
        body: { ...body, secret_values: secrets, timeout_seconds },
      },
      signal,
    )
  }

  status(
    taskId: string,
    from: { reports: number; streams: Record<StreamName, number> },
    waitMs: number,
    signal: AbortSignal,
  ): Promise<Answer> {
    const query = {
      task_id: taskId,
      stdout_offset: from.streams.stdout,
      stderr_offset: from.streams.stderr,
      reports_from: from.reports,
      encoding: 'base64',
      wait_ms: waitMs,
    }
    return this.#ask({ method: 'GET', path: 'status', query }, signal)
  }

  cancel(taskId: string, reason: string, graceMs: number, signal: AbortSignal): Promise<Answer> {
    return this.#ask(
      { method: 'POST', path: 'cancel', query: { task_id: taskId, reason, grace_ms: graceMs } },
      signal,
    )
  }

  /** Lists the agent's tasks of one run or of one status. */
  tasks(of: { run_id?: string; status?: TaskStatus }, signal: AbortSignal): Promise<Answer> {
    const query: Record<string, string> = {}
    for (const [name, value] of Object.entries(of)) if (value !== undefined) query[name] = value
    return this.#ask({ method: 'GET', path: 'tasks', query }, signal)
  }

  async #ask(request: Request, signal: AbortSignal): Promise<Answer> {
    const timeout = new AbortController()
    const timer = setTimeout(() => timeout.abort(), this.#timeoutMs)
    const leave = () => timeout.abort()
    signal.addEventListener('abort', leave)
    try {
      if (signal.aborted) leave()
      return await this.#exchange(request, timeout.signal)
    } catch (error) {
      if (timeout.signal.aborted && !signal.aborted)
        return { type: 'failed', again: true, message: `did not answer within ${this.#timeoutMs / 1000} s` }
      return { type: 'failed', ...connectFailure(error as NodeJS.ErrnoException) }
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', leave)
    }
  }

  async #exchange(message: Request, signal: AbortSignal): Promise<Answer> {
    const url = new URL(message.path, this.#base)
    for (const [name, value] of Object.entries(message.query ?? {})) url.searchParams.set(name, String(value))
    const body = message.body === undefined ? undefined : Buffer.from(JSON.stringify(message.body))
    const request = await this.#connections.open(url, {
      method: message.method,
      signal,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length }),
      },
    })
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      request.on('error', reject).on('response', resolve)
      request.end(body)
    })
    const chunks: Buffer[] = []
    let length = 0
    for await (const chunk of response as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > MAX_ANSWER_BYTES) return noAgent(response, 'its answer is too long')
      chunks.push(chunk)
    }
    return read(response, Buffer.concat(chunks).toString('utf8'))
  }
}

function read(response: http.IncomingMessage, text: string): Answer {
  const status = response.statusCode!
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    if (gateway(status))
      return { type: 'failed', again: true, message: `is behind a gateway that answers ${status}` }
    return noAgent(response, `HTTP ${status}, ${response.headers['content-type'] ?? 'no content type'}`)
  }
  if (status >= 200 && status < 300) return { type: 'ok', status, body }
  const error = (body as Partial<ErrorBody> | null)?.error
  if (gateway(status)) return { type: 'failed', again: true, message: error?.message ?? `answers ${status}` }
  if (typeof error?.message !== 'string') return noAgent(response, `HTTP ${status}`)
  return {
    type: 'refused',
    status,
    code: error.code,
    message: [error.message, error.hint].filter(Boolean).join(' '),
  }
}

/** Reports whether a status means that the service is down for the moment, and a later request may succeed. */
const gateway = (status: number): boolean => status === 502 || status === 503 || status === 504

const noAgent = (response: http.IncomingMessage, what: string): Answer => ({
  type: 'refused',
  status: response.statusCode!,
  message: `The server there is not a host agent (${what}).`,
})

/** The meaning of a failed request: `again` when the next try may succeed, or the request may have arrived. */
interface ConnectFailure {
  again: boolean
  /** Continues "Host … ": "refused the connection". */
  message: string
}

const unsentCodes: Record<string, string> = {
  ECONNREFUSED: 'refused the connection: nothing listens there',
  ENOTFOUND: 'has a name that cannot be resolved',
  EHOSTUNREACH: 'cannot be reached over the network',
  ENETUNREACH: 'cannot be reached over the network',
  EADDRNOTAVAIL: 'has an address that cannot be connected to',
  CERT_HAS_EXPIRED: 'has an expired certificate',
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'has a certificate that is not trusted (name a file of trusted certificates in NODE_EXTRA_CA_CERTS)',
  SELF_SIGNED_CERT_IN_CHAIN:
    'has a certificate that is not trusted (name a file of trusted certificates in NODE_EXTRA_CA_CERTS)',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'has a certificate that is not trusted (name a file of trusted certificates in NODE_EXTRA_CA_CERTS)',
  ERR_TLS_CERT_ALTNAME_INVALID: 'has a certificate for another name',
  EPROTO: 'does not speak TLS: write http:// in its address',
}
const passing: Record<string, string> = {
  ECONNRESET: 'closed the connection',
  EPIPE: 'closed the connection',
  ETIMEDOUT: 'did not accept the connection in time',
  EAI_AGAIN: 'has a name that cannot be resolved at the moment',
}

/** Interprets the error of a Node socket or request. */
function connectFailure(error: NodeJS.ErrnoException): ConnectFailure {
  const known = unsentCodes[error.code ?? '']
  if (known !== undefined) return { again: false, message: known }
  if (error.code?.startsWith('HPE_')) return { again: false, message: 'does not speak HTTP' }
  return { again: true, message: passing[error.code ?? ''] ?? `could not be contacted: ${error.message}` }
}

/** A host as an inventory names it. */
export type NamedHost = Pick<AttemptSpec, 'host' | 'address' | 'token_env'>

export interface TokenSources {
  /** The token for hosts whose inventory entry names no `token_env`. */
  token?: string
  /** The environment in which `token_env` is looked up. */
  env: Readonly<Record<string, string | undefined>>
}

type AgentAccess =
  | { base: URL; token: string; missing?: undefined }
  | { missing: 'address' | 'token'; message: string; hint: string }

/** Returns how to reach the host agent of a host, or what is missing for that. */
export function agentAccess({ host, address, token_env }: NamedHost, sources: TokenSources): AgentAccess {
  if (address === undefined)
    return {
      missing: 'address',
      message: `Host "${host}" has no address.`,
      hint: `Set inventory.hosts.${host}.address, for example to "http://10.0.0.5:7072".`,
    }
  const base = URL.canParse(address) ? new URL(address) : undefined
  if (base === undefined || !/^https?:$/.test(base.protocol))
    return {
      missing: 'address',
      message: `The address "${address}" of host "${host}" is not a URL.`,
      hint: 'Write it as "http://10.0.0.5:7072".',
    }
  if (!base.pathname.endsWith('/')) base.pathname += '/'
  const token = (token_env === undefined ? sources.token : sources.env[token_env])?.trim()
  if (token) return { base, token }
  const hint =
    token_env === undefined
      ? 'Give --token, or set ERRAND_TOKEN.'
      : `Set the environment variable ${token_env} that its inventory entry names.`
  return { missing: 'token', message: `No token for host "${host}".`, hint }
}
