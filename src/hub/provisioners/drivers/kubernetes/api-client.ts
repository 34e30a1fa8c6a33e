import { Agent, request } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { jsonOf } from '../../../../platform/text.ts'
import { ProvisionError, sentence, shownAnswer } from '../../provisioner.ts'
import { type Access, type AccessOptions, readAccess } from './access.ts'

/** A refusal of the API server. */
export class KubernetesError extends ProvisionError {
  /** HTTP status; 0 if the body was not one of Kubernetes, and so came from something in between. */
  readonly status: number

  constructor(message: string, options: { status: number; permanent?: boolean; hint?: string }) {
    super(message, options)
    this.status = options.status
  }
}

export interface KubernetesApiOptions extends AccessOptions {
  /** Milliseconds that one request may take. Default 15,000. */
  timeoutMs?: number
}

export interface Call {
  query?: Readonly<Record<string, string>>
  body?: object
}

/** A Kubernetes object, with the fields that all have in common. */
export interface KubernetesObject {
  metadata: {
    name: string
    uid: string
    creationTimestamp: string
    deletionTimestamp?: string
    labels?: Record<string, string>
  }
}

/** Milliseconds that the access is cached: tokens and certificates are renewed in their files. */
const ACCESS_MS = 60_000
const MAX_ANSWER_BYTES = 64 * 1024 ** 2
const PAGE = '500'
const TRIES = 3
const MOST_WAIT_MS = 5_000

interface Answer {
  status: number
  retryAfterMs: number
  body: unknown
  text: string
}

/** Client for the API server of one cluster. Each call rejects with a `ProvisionError`. Calls may run concurrently. */
export class KubernetesApi {
  readonly #options: KubernetesApiOptions
  #known: { access: Access; readAtMs: number; agent: Agent } | undefined
  #closed = false

  constructor(options: KubernetesApiOptions) {
    this.#options = options
  }

  /** Returns how to reach the cluster, read again every minute. */
  async access(): Promise<Access> {
    return (await this.#connection(ACCESS_MS)).access
  }

  /** Returns the body of the answer. Throws a `KubernetesError` if the server refuses. */
  async call<T>(method: string, path: string, signal: AbortSignal, call: Call = {}): Promise<T> {
    const search = call.query === undefined ? '' : `?${new URLSearchParams(call.query)}`
    for (let tries = 1, maxAgeMs = ACCESS_MS; ; tries++) {
      const { access, agent } = await this.#connection(maxAgeMs)
      const answer = await this.#ask(access, agent, { method, path: path + search, signal, body: call.body })
      if (answer.status < 300) return answer.body as T
      // The token may have been renewed by now.
      const isStale = answer.status === 401 && maxAgeMs > 0
      if (isStale) maxAgeMs = 0
      else if (answer.status !== 429 || tries >= TRIES) throw refusal(answer, access)
      else await sleep(Math.min(MOST_WAIT_MS, answer.retryAfterMs), undefined, { signal })
    }
  }

  /** Lists all objects that match the query, page by page. */
  async list<T>(path: string, signal: AbortSignal, query: Readonly<Record<string, string>>): Promise<T[]> {
    const items: T[] = []
    for (let next = ''; ; ) {
      const page = { ...query, limit: PAGE, ...(next !== '' && { continue: next }) }
      try {
        const answer = await this.call<{ items?: T[]; metadata?: { continue?: string } }>(
          'GET',
          path,
          signal,
          { query: page },
        )
        // Go may write an empty list as null. An answer without `items` is not a list and says nothing about what
        // there is.
        if (!Object.hasOwn(answer, 'items')) throw await this.#noList(answer)
        items.push(...(answer.items ?? []))
        next = answer.metadata?.continue ?? ''
        if (next === '') return items
      } catch (error) {
        // The snapshot behind the pages is too old: start over.
        if (!(error instanceof KubernetesError) || error.status !== 410 || next === '') throw error
        items.length = 0
        next = ''
      }
    }
  }

  async #noList(answer: object): Promise<ProvisionError> {
    const { server } = (await this.#connection(ACCESS_MS)).access
    const shown = shownAnswer(JSON.stringify(answer))
    return new ProvisionError(`${server} did not answer with a list: ${shown}.`, {
      unanswered: true,
      hint: 'Check that this address leads directly to an API server.',
    })
  }

  /** Drops the connections, also after calls in progress. Later calls open their own. */
  close(): void {
    this.#closed = true
    if (this.#known !== undefined) release(this.#known.agent)
  }

  async #connection(maxAgeMs: number): Promise<{ access: Access; agent: Agent }> {
    const known = this.#known
    if (known !== undefined && performance.now() - known.readAtMs < maxAgeMs) return known
    const access = await readAccess(this.#options)
    const { ca, cert, key, insecure, serverName } = access
    const isSame =
      JSON.stringify({ ...known?.access, token: '' }) === JSON.stringify({ ...access, token: '' })
    const agent = isSame
      ? known!.agent
      : new Agent({
          keepAlive: !this.#closed,
          ...{ ca, cert, key, rejectUnauthorized: !insecure },
          ...(serverName !== undefined && { servername: serverName }),
        })
    if (!isSame && known !== undefined) release(known.agent)
    this.#known = { access, agent, readAtMs: performance.now() }
    return this.#known
  }

  async #ask(
    access: Access,
    agent: Agent,
    requested: { method: string; path: string; signal: AbortSignal; body: object | undefined },
  ): Promise<Answer> {
    const { timeoutMs = 15_000 } = this.#options
    const late = AbortSignal.timeout(timeoutMs)
    const { method, path, signal } = requested
    const body = requested.body === undefined ? undefined : JSON.stringify(requested.body)
    let isReused = false
    try {
      return await new Promise<Answer>((resolve, reject) => {
        const sent = request(
          `${access.server}${path}`,
          {
            ...{ method, agent, signal: AbortSignal.any([signal, late]) },
            headers: {
              accept: 'application/json',
              ...(access.token !== undefined && { authorization: `Bearer ${access.token}` }),
              ...(body !== undefined && {
                'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
                'content-length': Buffer.byteLength(body),
              }),
            },
          },
          (response) => {
            const parts: Buffer[] = []
            let bytes = 0
            response.on('data', (part: Buffer) => {
              parts.push(part)
              bytes += part.length
              if (bytes > MAX_ANSWER_BYTES) sent.destroy(new Error('its answer is too long'))
            })
            response.once('error', reject)
            response.once('end', () => {
              const text = Buffer.concat(parts).toString()
              const seconds = Number(response.headers['retry-after'] ?? 1)
              const retryAfterMs = Number.isFinite(seconds) ? Math.max(0, seconds) * 1000 : 1000
              resolve({ status: response.statusCode!, retryAfterMs, text, body: jsonOf(text) })
            })
            response.once('close', () =>
              reject(new Error('it closed the connection in the middle of its answer')),
            )
          },
        )
        sent.once('error', (error) => {
          isReused = sent.reusedSocket
          reject(error)
        })
        sent.end(body)
      }).then((answer) => {
        if (answer.status < 300 && answer.body === undefined)
          throw new ProvisionError(
            `${access.server} did not answer like Kubernetes: ${shownAnswer(answer.text)}.`,
            { unanswered: true, hint: 'Check that this address leads directly to an API server.' },
          )
        return answer
      })
    } catch (error) {
      if (error instanceof ProvisionError) throw error
      if (signal.aborted)
        throw new ProvisionError('The call was stopped because the hub is stopping.', { cause: error })
      if (late.aborted)
        throw new ProvisionError(`${access.server} did not answer within ${timeoutMs / 1000} s.`, {
          unanswered: true,
          hint: 'The hub tries again.',
          cause: error,
        })
      // The server had closed a reused connection. Each call may safely arrive twice.
      if (isReused) return await this.#ask(access, agent, requested)
      throw unreachable(access, error as NodeJS.ErrnoException)
    }
  }
}

/** Closes idle connections at once and each other one after its answer. */
function release(agent: Agent): void {
  agent.maxFreeSockets = 0
  for (const socket of Object.values(agent.freeSockets).flat()) socket?.destroy()
}

/** OpenSSL and Node error codes that mean a wrong certificate. */
const CERTIFICATE =
  /CERT|SIGNATURE|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL|ERR_OSSL|EPROTO|HOSTNAME_MISMATCH|ERR_CRYPTO/

function unreachable({ server }: Access, error: NodeJS.ErrnoException): ProvisionError {
  const { code = '', message, cause } = error
  if (/^(ECONN|ENOTFOUND|EHOST|ENET|EAI_|ETIMEDOUT|EPIPE)/.test(code))
    return new ProvisionError(`The API server ${server} cannot be reached: ${message}.`, {
      unanswered: true,
      hint: 'The hub tries again. Existing runners continue.',
      cause,
    })
  if (CERTIFICATE.test(code))
    return new ProvisionError(`The TLS connection to ${server} failed: ${message}.`, {
      permanent: true,
      hint: 'Check the certificate authority, the client certificate and the address in the kubeconfig. One of them is wrong or out of date.',
      cause,
    })
  return new ProvisionError(`The API server ${server} gave an incomplete answer: ${message}.`, {
    unanswered: true,
    hint: 'The hub tries again.',
    cause,
  })
}

interface StatusBody {
  message?: string
  reason?: string
  details?: { kind?: string; name?: string; causes?: { message?: string; field?: string }[] }
}

function refusal({ status, body, text }: Answer, { server }: Access): KubernetesError {
  const { message, details, reason } = (body ?? {}) as StatusBody
  const output = `Kubernetes refused the request (${status}): ${sentence(message ?? shownAnswer(text))}`
  const no = (permanent: boolean, hint?: string, what = output) =>
    new KubernetesError(what, {
      status: body === undefined ? 0 : status,
      permanent,
      ...(hint !== undefined && { hint }),
    })
  if (status === 401)
    return no(
      true,
      'The token or client certificate has expired or was revoked. The hub reads it again every minute.',
      `${server} does not accept the credentials of the hub (401): ${sentence(message ?? 'Unauthorized')}`,
    )
  if (status === 403 && /exceeded quota/.test(message ?? ''))
    return no(
      /limited: [^ ]*\b[^ =]+=0\b/.test(message!),
      'The namespace has a ResourceQuota. Raise it, or lower max, memory or cpus of the group.',
    )
  if (status === 403 && /failed quota|must specify/.test(message ?? ''))
    return no(true, 'The ResourceQuota of the namespace requires limits. Set memory and cpus of the group.')
  if (status === 403 && /is being terminated/.test(message ?? ''))
    return no(true, 'The namespace is being deleted. Set another one in the group: namespace')
  if (status === 403)
    return no(true, 'The verbs that the hub needs are in deploy/kubernetes/rbac.yaml (docs/kubernetes.md).')
  if (status === 404 && details?.kind === 'namespaces')
    return no(
      true,
      `Create it (kubectl create namespace ${details.name}), or set another one in the group: namespace`,
    )
  if (status === 400 || status === 422) return no(true, 'A setting of the group does not fit this cluster.')
  if (status === 429) return no(false, 'The hub tries again.')
  return no(
    false,
    reason === undefined && body === undefined
      ? 'Check that this is the address of an API server.'
      : undefined,
  )
}
