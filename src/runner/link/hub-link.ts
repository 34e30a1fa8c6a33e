import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BotLive } from '../../contract/bots/bot.ts'
import { ErrandError, type ErrorCode, errorStatus } from '../../contract/errors.ts'
import type { Log } from '../../platform/log.ts'
import { Backoff } from '../../platform/time.ts'
import type { Attempts } from '../ports.ts'
import { AttemptGateway } from './attempt-gateway.ts'
import {
  type ConnectionEnd,
  type ConnectionOptions,
  HubConnection,
  type MachineNews,
  type RunnerIdentity,
} from './hub-connection.ts'
import type { HubRetry } from './hub-retry.ts'
import { Lease } from './lease.ts'
import { linkUrl } from './link-url.ts'

export interface HubLinkOptions {
  /** URL of the hub: http or https, with the path that it is served under. */
  url: string
  token: string
  identity: RunnerIdentity
  /** Attempts of this machine, already recovered. */
  attempts: Attempts
  /** Answers questions, like `ConnectionOptions.answer`. Absent if this runner has nothing to ask for. */
  answer?: ConnectionOptions['answer']
  /** Returns the state of the bots on this machine now. */
  bots?(): BotLive[]
  log: Log
  /** Informed of each link and of its end. */
  retry?: HubRetry
  /** File of the lease; see `LeaseOptions.file`. */
  leaseFile?: string
  /** Clock; see `LeaseOptions.now`. */
  now?: () => number
  signal?: AbortSignal
  /** Interval in ms, until the hub sends another. Default 5,000. */
  heartbeatMs?: number
  /** Timeout in ms. Default 10,000. */
  handshakeTimeoutMs?: number
}

const FIRST_RETRY_MS = 100
const LAST_RETRY_MS = 10_000
/** Pauses after a failure that only a person can fix, such as with an update: retries are slow. */
const SLOW_RETRY = { firstMs: 1_000, maxMs: 300_000 }
/** Limit for logged kinds of ignored frames. */
const MAX_REPORTED = 20

/**
 * Maintains the runner's link to its hub: reconnects whenever it breaks, until it is closed or the hub refuses for
 * good.
 */
export class HubLink {
  readonly #options: HubLinkOptions
  readonly #stop = new AbortController()
  readonly #bootId = randomUUID()
  #session: HubConnection | undefined
  readonly #machine: Pick<RunnerIdentity, 'agents' | 'containers' | 'isolation'> = {}
  #welcomed = false
  /** Time from the last welcome; undefined before the first. */
  #lostAfterMs: number | undefined
  /** When the hub first said that the token is revoked, since the last welcome. */
  #revokedAtMs: number | undefined
  /** Set when the hub said that it stops. */
  #hubStopped = false
  #draining = false
  readonly #slowly = new Backoff(SLOW_RETRY)
  readonly #leftAside = new Set<string>()
  #lastMessage = ''

  constructor(options: HubLinkOptions) {
    this.#options = options
  }

  get connected(): boolean {
    return this.#welcomed
  }

  /**
   * Runs the link; call it once. Resolves when the signal aborts or after `close`; attempts continue. Rejects with an
   * `ErrandError` if trying again is useless: a wrong URL or token, or a hub that refuses this runner for good. While
   * steps still run here, or if only an update can help, it tries again anyway.
   */
  async run(): Promise<void> {
    const { url, token, identity, attempts, log, signal } = this.#options
    const link = linkUrl(url)
    const holdings = new AttemptGateway(attempts, log)
    const lease = new Lease({
      runnerId: identity.runner_id,
      held: () => holdings.all(),
      file: this.#options.leaseFile,
      log,
      now: this.#options.now,
    })
    const backoff = new Backoff({ firstMs: FIRST_RETRY_MS, maxMs: LAST_RETRY_MS, jitter: 1 })
    const close = () => this.close()
    if (signal?.aborted) close()
    signal?.addEventListener('abort', close)
    lease.begin()
    try {
      while (!this.#stop.signal.aborted) {
        const beganAtMs = lease.now()
        let welcomed = false
        const end = await this.#connect({
          url: link,
          token,
          identity: { ...identity, ...this.#machine, boot_id: this.#bootId, storage_id: attempts.storageId },
          holdings,
          lease,
          heartbeatMs: this.#options.heartbeatMs ?? 5_000,
          handshakeTimeoutMs: this.#options.handshakeTimeoutMs ?? 10_000,
          welcomed: (lostAfterMs, sentAtMs) => {
            welcomed = true
            this.#slowly.reset()
            lease.welcomed(lostAfterMs, sentAtMs)
            this.#options.retry?.linked(lostAfterMs)
            this.#welcomed = true
            this.#hubStopped = false
            this.#lostAfterMs = lostAfterMs
            this.#revokedAtMs = undefined
            this.#say(`Connected to the hub at ${url} as runner "${identity.runner_id}".`)
          },
          answer: this.#options.answer ?? (async () => ({ exists: false })),
          bots: this.#options.bots,
          unknown: (kind) => this.#reportUnknown(kind),
        })
        if (this.#stop.signal.aborted) return
        if (end.type === 'refused' && end.code === 'unavailable') this.#hubStopped = true
        // A runner that is welcomed and then misunderstood would be misunderstood again at once.
        if (welcomed && (end.type === 'broken' || this.#hubStopped)) backoff.reset()
        // The hub's next process has not begun yet, and counts the time from its own start: an upgrade ends nothing.
        if (this.#hubStopped && isNobodyThere(end)) lease.answered(beganAtMs, false)
        // A runner that is refused for good first ends what was taken from it, since nobody else would.
        if (end.type === 'refused' && !end.retry) await holdings.released()
        if (end.type === 'answered' && end.code === 'token_revoked') await this.#endWhatIsLost(holdings)
        const waitMs = this.#judge(end, backoff, holdings)
        const mostMs = this.#hubStopped ? lease.askEveryMs(Number.POSITIVE_INFINITY) : waitMs
        await sleep(Math.min(waitMs, mostMs), undefined, { signal: this.#stop.signal }).catch(() => {})
      }
    } finally {
      lease.close()
      signal?.removeEventListener('abort', close)
    }
  }

  /** Accepts nothing new, finishes what it has, and stays so over new links. */
  drain(): void {
    this.#draining = true
    this.#session?.drain()
  }

  /** Reports what this machine has from now on. */
  send(news: MachineNews): void {
    if (news.type === 'agents') this.#machine.agents = news.agents
    else if (news.type === 'containers') this.#machine.containers = news.containers
    else if (news.type === 'isolation') this.#machine.isolation = news.isolation
    this.#session?.send(news)
  }

  /** Closes the link. Idempotent. */
  close(): void {
    this.#stop.abort()
    this.#session?.close()
  }

  async #connect(options: ConstructorParameters<typeof HubConnection>[0]): Promise<ConnectionEnd> {
    this.#session = new HubConnection(options, this.#draining)
    const end = await this.#session.ended
    this.#session = undefined
    this.#welcomed = false
    this.#options.retry?.unlinked()
    return end
  }

  /**
   * Ends what the hub has given up. A revoked token never opens a link again, and after `lostAfterMs` a hub that
   * answers has given up what this runner has; nobody else would end it. A token that is merely unknown may be a
   * mistake at the hub.
   */
  async #endWhatIsLost(holdings: AttemptGateway): Promise<void> {
    if (this.#lostAfterMs === undefined) return
    this.#revokedAtMs ??= performance.now()
    const left = holdings.all()
    if (left.length === 0 || performance.now() - this.#revokedAtMs < this.#lostAfterMs) return
    this.#options.log(
      `Ending everything that runs here. The hub has revoked the token and given up ${left.map(({ spec }) => spec.attempt_id).join(', ')}.`,
      { level: 'warn' },
    )
    for (const { spec, epoch } of left) holdings.release(spec.attempt_id, epoch)
    await holdings.released()
  }

  /** Returns the milliseconds to wait before the next try; throws if there must not be one. */
  #judge(end: ConnectionEnd, backoff: Backoff, holdings: AttemptGateway): number {
    const { url, identity } = this.#options
    if (end.type === 'refused') {
      const update = end.code === 'protocol_mismatch'
      if (!end.retry && !update && !holdings.running) throw new ErrandError(errorCode(end.code), end.message)
      this.#say(`The hub at ${url} refused runner "${identity.runner_id}": ${end.message}`)
      if (update || !end.retry) return this.#slowly.next()
    } else if (end.type === 'broken' || end.type === 'misunderstood') {
      this.#say(`No link to the hub at ${url}: ${end.why}. Trying again.`)
    } else if (end.status === 401) {
      const message = end.message || 'The token is wrong.'
      const hint =
        'Enroll this machine (errand runners enroll-token, then errand runner enroll), or set ERRAND_TOKEN to a runner token.'
      if (this.#lostAfterMs === undefined) throw new ErrandError('unauthorized', message, { hint })
      this.#say(`The hub at ${url} no longer knows the token: ${message} ${hint}`)
      return backoff.slowest()
    } else {
      const why = end.message || 'is there a hub at this URL?'
      this.#say(`The hub at ${url} answered ${end.status} instead of a link: ${why} Trying again.`)
    }
    return backoff.next()
  }

  #reportUnknown(kind: string): void {
    if (this.#leftAside.has(kind) || this.#leftAside.size >= MAX_REPORTED) return
    this.#leftAside.add(kind)
    const name = /^[\w.-]{1,100}$/.test(kind) ? kind : '(no name)'
    this.#options.log(
      `The hub sends frames that this runner does not know, such as type ${name}. They are ignored.`,
    )
  }

  /** Logs a message, but not the same one at every try. */
  #say(message: string): void {
    if (message === this.#lastMessage) return
    this.#lastMessage = message
    this.#options.log(message)
  }
}

const errorCode = (code: string): ErrorCode =>
  Object.hasOwn(errorStatus, code) ? (code as ErrorCode) : 'host_refused'

/** Tells whether nothing listens at the hub's port, or a proxy in front of it has no hub. */
const isNobodyThere = (end: ConnectionEnd): boolean =>
  (end.type === 'broken' && end.nobody === true) ||
  (end.type === 'answered' && (end.status === 502 || end.status === 503))
