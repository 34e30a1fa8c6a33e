import type { IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import * as z from 'zod'
import type { BotLive } from '../../contract/bots/bot.ts'
import { messageOf } from '../../contract/errors.ts'
import {
  commonProtocol,
  type Hello,
  HubFrame,
  MAX_FRAME_BYTES,
  OLDEST_PROTOCOL_VERSION,
  PROTOCOL_VERSION,
  type RunnerFrame,
} from '../../contract/protocol.ts'
import type { RunnerAnswer } from '../../contract/tasks/pool-ask.ts'
import { FrameWriter, Liveness } from '../../platform/websocket.ts'
import type { AttemptGateway } from './attempt-gateway.ts'
import type { Lease } from './lease.ts'
import { isSheltered } from './link-url.ts'
import { OutputPump, TrackedAttempts } from './outgoing.ts'

export type RunnerIdentity = Omit<
  Hello,
  'type' | 'protocol' | 'newest_protocol' | 'boot_id' | 'storage_id' | 'attempts'
>

export type ConnectionEnd =
  /** The hub is not there, or the link broke. `nobody`: its machine answers, but nothing listens at its port. */
  | { type: 'broken'; why: string; nobody?: boolean }
  /** A side sent something that the other cannot accept, and would do so again. */
  | { type: 'misunderstood'; why: string }
  /** The hub refused the link and gave a reason. */
  | { type: 'refused'; code: string; message: string; retry: boolean }
  /** The server answered with HTTP instead of a WebSocket. */
  | { type: 'answered'; status: number; code: string; message: string }

export interface ConnectionOptions {
  url: URL
  token: string
  identity: RunnerIdentity & Pick<Hello, 'boot_id' | 'storage_id'>
  holdings: AttemptGateway
  lease: Lease
  /** Interval in ms, until the hub sends another. */
  heartbeatMs: number
  handshakeTimeoutMs: number
  /**
   * Called when the hub accepts the link. `lostAfterMs`: how long after the end of the link the hub gives up what this
   * runner has.
   */
  welcomed(lostAfterMs: number, sentAtMs: number): void
  /** Answers a question of the hub; never rejects. The signal aborts when the link ends. */
  answer(askId: string, ask: Ask['ask'], signal: AbortSignal): Promise<RunnerAnswer>
  /** Returns the state of the bots on this machine; all of it is sent over each new link. */
  bots?(): BotLive[]
  /** Called with the first frame of an unknown kind; the connection ignores such frames. */
  unknown(kind: string): void
}

/** Parses just enough of an unreadable `start` to report the error. */
const Unreadable = z.object({
  type: z.literal('start'),
  epoch: z.number().int().min(1),
  spec: z.object({ attempt_id: z.string() }),
})

type Start = Extract<HubFrame, { type: 'start' }>
type Ask = Extract<HubFrame, { type: 'ask' }>
/** Frames in which a runner reports changes of its machine. */
export type MachineNews = Extract<RunnerFrame, { type: 'agents' | 'containers' | 'isolation' | 'bots' }>
type Welcome = Extract<HubFrame, { type: 'welcome' }>

const CLOSE_TIMEOUT_MS = 2_000
/**
 * Number of handshake timeouts after which a missing `welcome` counts as lost, so that a new link asks for it. A hub
 * that resumes its runs sometimes takes that long, and that does no harm.
 */
const WELCOME_HANDSHAKES = 3
/**
 * Close codes for a frame that breaks the protocol, has the wrong kind, is not text, breaks the rules or is too large
 * (RFC 6455, 7.4.1).
 */
const MISUNDERSTOOD = new Set([1002, 1003, 1007, 1008, 1009])

const known: ReadonlySet<unknown> = new Set(HubFrame.options.flatMap(({ shape }) => [...shape.type.values]))

/** Handles one connection to the hub, from hello to its end. The next one sends whatever this one could not. */
export class HubConnection {
  /** Resolves to how it ended; never rejects. */
  readonly ended: Promise<ConnectionEnd>
  readonly #options: ConnectionOptions
  readonly #ws: WebSocket
  readonly #end: (end: ConnectionEnd) => void
  #writer: FrameWriter | undefined
  #tracked: TrackedAttempts | undefined
  #liveness: Liveness | undefined
  #asking: NodeJS.Timeout | undefined
  #progress: NodeJS.Timeout | undefined
  #unwelcome: NodeJS.Timeout | undefined
  #helloAtMs = 0
  #welcomed = false
  #closed = false
  readonly #over = new AbortController()
  #draining: boolean
  #unknownReported = false
  /** News not sent to the hub yet. */
  readonly #news = new Map<string, MachineNews>()

  constructor(options: ConnectionOptions, draining: boolean) {
    this.#options = options
    this.#draining = draining
    const { promise, resolve } = Promise.withResolvers<ConnectionEnd>()
    this.ended = promise
    this.#end = (end) => {
      this.#stop()
      resolve(end)
    }
    const ws = new WebSocket(options.url, {
      headers: { authorization: `Bearer ${options.token}` },
      perMessageDeflate: false,
      maxPayload: MAX_FRAME_BYTES,
      handshakeTimeout: options.handshakeTimeoutMs,
      closeTimeout: CLOSE_TIMEOUT_MS,
      // Masks only keep a frame from looking like a request to a proxy that reads along (RFC 6455, 10.3). Masking each
      // byte is the most expensive part of sending output.
      ...(isSheltered(options.url) && { generateMask: (mask: Buffer) => void mask.fill(0) }),
    } as ConstructorParameters<typeof WebSocket>[2])
    this.#ws = ws
    ws.on('upgrade', (response) => {
      this.#writer = new FrameWriter(ws, response.socket)
      this.#tracked = new TrackedAttempts(new OutputPump(this.#writer))
    })
    ws.on('open', () => this.#hello())
    ws.on('message', (data, isBinary) => this.#receive(data as Buffer, isBinary))
    ws.on('pong', (data) => options.lease.answered(Number(data.toString()), this.#welcomed))
    ws.on('unexpected-response', (_, response) => void this.#answered(response))
    ws.on('error', (error) => this.#end({ type: 'broken', why: whyOf(error), nobody: isRefused(error) }))
    ws.on('close', (code, reason) =>
      this.#end({
        type: MISUNDERSTOOD.has(code) ? 'misunderstood' : 'broken',
        why: `the link was closed (${code}${reason.length > 0 ? `, ${reason}` : ''})`,
      }),
    )
  }

  /** Accepts nothing new from now on. */
  drain(): void {
    if (this.#draining) return
    this.#draining = true
    if (this.#welcomed) this.#send({ type: 'draining' })
  }

  send(news: MachineNews): void {
    if (this.#welcomed) this.#sendNews(news)
    else if (news.type !== 'bots') this.#news.set(news.type, news)
  }

  /** Ends the link; attempts continue. Idempotent. */
  close(): void {
    if (this.#ws.readyState === WebSocket.CONNECTING) this.#ws.terminate()
    else this.#ws.close(1001)
    this.#end({ type: 'broken', why: 'the runner closed it' })
  }

  #stop(): void {
    this.#closed = true
    this.#over.abort()
    this.#liveness?.stop()
    clearInterval(this.#asking)
    clearInterval(this.#progress)
    clearTimeout(this.#unwelcome)
    this.#tracked?.close()
  }

  #send(frame: RunnerFrame): void {
    if (!this.#closed) this.#writer?.send(JSON.stringify(frame))
  }

  #hello(): void {
    this.#watchLiveness(this.#options.heartbeatMs)
    this.#helloAtMs = this.#options.lease.now()
    const attempts = this.#options.holdings.all().map(({ spec, epoch, ended, reports }) => ({
      attempt_id: spec.attempt_id,
      epoch,
      ended,
      reports: ended ? reports.length - 1 : reports.length,
    }))
    const runs = this.#options.holdings.runs()
    const speaks = { protocol: OLDEST_PROTOCOL_VERSION, newest_protocol: PROTOCOL_VERSION }
    this.#send({ type: 'hello', ...speaks, ...this.#options.identity, attempts, runs })
    const welcomeMs = WELCOME_HANDSHAKES * this.#options.handshakeTimeoutMs
    const why = `the hub did not welcome this runner within ${welcomeMs / 1000} s`
    this.#unwelcome = setTimeout(() => {
      this.#ws.terminate()
      this.#end({ type: 'broken', why })
    }, welcomeMs)
  }

  #watchLiveness(intervalMs: number): void {
    const { lease } = this.#options
    clearInterval(this.#asking)
    // The answer carries the data sent with the ping (RFC 6455, 5.5.3): its time.
    this.#asking = setInterval(
      () => this.#ws.ping(String(lease.now()), undefined, () => {}),
      lease.askEveryMs(intervalMs),
    )
    this.#liveness?.stop()
    this.#liveness = new Liveness(this.#ws, intervalMs, () => {
      this.#ws.terminate()
      this.#end({ type: 'broken', why: 'the hub was silent for three heartbeats' })
    })
  }

  #receive(data: Buffer, isBinary: boolean): void {
    if (this.#closed) return
    let value: { type?: unknown; protocol?: unknown }
    try {
      // The hub sends no binary frames yet.
      value = isBinary ? { type: 'binary' } : (JSON.parse(data.toString()) ?? {})
    } catch (error) {
      this.#misunderstand(`the hub sent something that is not a frame: ${messageOf(error)}`)
      return
    }
    const { type, protocol } = value
    if (typeof type === 'string' && !known.has(type)) {
      if (!this.#unknownReported) this.#options.unknown(type)
      this.#unknownReported = true
    } else if (type === 'welcome' && !(typeof protocol === 'number' && commonProtocol({ protocol })))
      this.#otherProtocol(protocol)
    else this.#understand(value)
  }

  #understand(value: object): void {
    const parsed = HubFrame.safeParse(value)
    if (parsed.success) {
      this.#take(parsed.data)
      return
    }
    const start = Unreadable.safeParse(value)
    const why = messageOf(parsed.error)
    // Another runner may support it, and the link is needed for what runs here.
    if (start.success) {
      const { epoch, spec } = start.data
      const message = `this runner cannot read the attempt: ${why}`
      this.#send({ type: 'rejected', attempt_id: spec.attempt_id, epoch, message })
    } else this.#misunderstand(`the hub sent something that is not a frame: ${why}`)
  }

  #misunderstand(why: string): void {
    this.#ws.close(1002)
    this.#end({ type: 'misunderstood', why })
  }

  #otherProtocol(protocol: unknown): void {
    this.#ws.close(1002)
    const theirs = typeof protocol === 'number' ? protocol : 'none'
    const newer = typeof protocol === 'number' && protocol > PROTOCOL_VERSION
    const mine =
      OLDEST_PROTOCOL_VERSION === PROTOCOL_VERSION
        ? PROTOCOL_VERSION
        : `${OLDEST_PROTOCOL_VERSION} to ${PROTOCOL_VERSION}`
    const message = `The hub speaks protocol ${theirs}, this runner speaks ${mine}. Update Errand ${newer ? 'on this machine' : 'on the machine of the hub'}.`
    this.#end({ type: 'refused', code: 'protocol_mismatch', message, retry: true })
  }

  #take(frame: HubFrame): void {
    const { holdings } = this.#options
    if (frame.type === 'welcome') this.#welcome(frame)
    else if (frame.type === 'start') void this.#start(frame)
    else if (frame.type === 'ack') {
      const { attempt_id, epoch, reports, streams, resend = false } = frame
      this.#tracked!.acked(attempt_id, epoch, reports, streams, resend)
    } else if (frame.type === 'cancel')
      holdings.cancel(frame.attempt_id, frame.epoch, frame.grace_ms, frame.reason)
    else if (frame.type === 'input') holdings.input(frame.attempt_id, frame.epoch, frame.input)
    else if (frame.type === 'ask') void this.#answer(frame)
    else if (frame.type === 'forget_run') void holdings.forgetRun(frame.run_id)
    else if (frame.type === 'refused') {
      this.#ws.close(1000)
      this.#end(frame)
    } else this.#drop(frame.attempt_id, frame.epoch)
  }

  /** Sends news; a hub that knows no boxes does not know their frame either. */
  #sendNews(news: MachineNews): void {
    if (news.type !== 'isolation' || this.#tracked!.knownReports.has('network')) this.#send(news)
  }

  #welcome(frame: Welcome): void {
    if (this.#welcomed) return
    this.#welcomed = true
    clearTimeout(this.#unwelcome)
    this.#options.welcomed(frame.lost_after_ms, this.#helloAtMs)
    this.#watchLiveness(frame.heartbeat_ms)
    if (frame.progress === true) this.#progress = setInterval(() => this.#sendProgress(), frame.heartbeat_ms)
    if (this.#draining) this.#send({ type: 'draining' })
    this.#tracked!.knownReports = new Set(frame.reports)
    for (const news of this.#news.values()) this.#sendNews(news)
    // Sent before the bots' reports: whoever waits for a bot to be up must know whether it has a check.
    const bots = this.#options.bots?.() ?? []
    if (bots.length > 0) this.#send({ type: 'bots', bots })
    const held = new Map(this.#options.holdings.all().map((each) => [each.spec.attempt_id, each]))
    for (const answer of frame.attempts) {
      const attempt = held.get(answer.attempt_id)
      if (answer.state === 'superseded') this.#drop(answer.attempt_id, answer.epoch)
      else if (attempt?.epoch === answer.epoch) this.#tracked!.track(attempt, answer.reports, answer.streams)
    }
  }

  /** Sends how far each attempt is, so that the hub finds what was lost on the way while the link lives. */
  #sendProgress(): void {
    const attempts = this.#tracked!.progress().map(({ held, sent }) => ({
      ...{ attempt_id: held.spec.attempt_id, epoch: held.epoch },
      ...(sent && { sent }),
      ...this.#options.holdings.received(held),
    }))
    if (attempts.length > 0) this.#send({ type: 'progress', attempts })
  }

  async #start({ spec, epoch, secrets }: Start): Promise<void> {
    const head = { attempt_id: spec.attempt_id, epoch }
    try {
      if (this.#draining) throw new Error('the runner is draining')
      const held = await this.#options.holdings.start(spec, epoch, secrets)
      this.#send({ type: 'claimed', ...head })
      this.#tracked!.track(held, 0, {})
    } catch (error) {
      this.#send({ type: 'rejected', ...head, message: messageOf(error) })
    }
  }

  async #answer({ ask_id, ask }: Ask): Promise<void> {
    const answer = await this.#options.answer(ask_id, ask, this.#over.signal)
    this.#send({ type: 'answer', ask_id, answer })
  }

  #drop(attempt_id: string, epoch: number): void {
    this.#tracked!.drop(attempt_id, epoch)
    this.#options.holdings.release(attempt_id, epoch)
  }

  async #answered(response: IncomingMessage): Promise<void> {
    const error = await errorOfAnswer(response)
    this.#ws.terminate()
    this.#end({ type: 'answered', status: response.statusCode ?? 0, ...error })
  }
}

/** Returns the reason of an error. Connecting to a name with several addresses fails with one error for each. */
function whyOf(error: Error): string {
  return error instanceof AggregateError ? error.errors.map(messageOf).join(', ') : messageOf(error)
}

function isRefused(error: Error): boolean {
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error]
  return errors.every((each) => (each as NodeJS.ErrnoException).code === 'ECONNREFUSED')
}

const MAX_BYTES = 64 * 1024

/** Reads the error that was answered instead of a link; its texts are empty if there is none. */
async function errorOfAnswer(response: IncomingMessage): Promise<{ code: string; message: string }> {
  let body = ''
  try {
    for await (const chunk of response) {
      body += chunk
      if (body.length > MAX_BYTES) break
    }
  } catch {
    // A partial answer is useless: the status says enough.
  }
  try {
    const { code, message } = JSON.parse(body).error
    return { code: String(code), message: String(message) }
  } catch {
    return { code: '', message: '' }
  }
}
