import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import { ErrandError, type ErrorCode } from '../../contract/errors.ts'
import {
  commonProtocol,
  decodeOutputFrame,
  type Hello,
  type HubFrame,
  isOutputFrame,
  MAX_FRAME_BYTES,
  OLDEST_PROTOCOL_VERSION,
  type OutputFrame,
  PROTOCOL_VERSION,
  RunnerFrame,
} from '../../contract/protocol.ts'
import { within } from '../../platform/races.ts'
import { FrameWriter, Liveness } from '../../platform/websocket.ts'
import type { Assignment } from './assignments.ts'
import type { Meter } from './inbox.ts'

/** High mark: when more output than this waits for the store, reading stops until it falls below the low mark. */
const HIGH_BYTES = 4 * 1024 * 1024
const LOW_BYTES = 1024 * 1024
const CLOSE_POLICY = 1008
const CLOSE_GOING_AWAY = 1001

/** Identifies the token that opened the link. */
export interface Principal {
  tenant: string
  /** Set if the token is only for runners of this group. */
  group?: string
  /** Set if the token is only for this runner. */
  runner_id?: string
}

export interface LinkHandlers {
  hello(link: RunnerLink, hello: Hello): void
  frame(link: RunnerLink, frame: Exclude<RunnerFrame, Hello>): void
  output(link: RunnerLink, frame: OutputFrame): void
  /** Called for the first frame of a kind that this hub does not know. The link ignores all such frames. */
  unknown(link: RunnerLink, kind: string): void
  closed(link: RunnerLink): void
}

export interface LinkTiming {
  heartbeatMs: number
  helloTimeoutMs: number
}

/**
 * Handles the hub's end of one connection: frames in and out, and heartbeats. It buffers no more than the store can
 * take.
 */
export class RunnerLink implements Meter {
  readonly principal: Principal
  /** Address of the other end, as far as it is known. */
  readonly address: string
  readonly acks = new Acks((frame) => this.send(frame))
  lastSeenAtMs = Date.now()
  /** Resolves when the socket is closed. */
  readonly gone: Promise<void>
  #hello: Hello | undefined
  #closed = false
  #left = false
  readonly #ws: WebSocket
  readonly #writer: FrameWriter
  readonly #handlers: LinkHandlers
  readonly #liveness: Liveness
  readonly #helloTimer: NodeJS.Timeout
  #unstoredBytes = 0
  #unknownReported = false

  constructor(
    ws: WebSocket,
    { socket, address, principal }: { socket: Socket; address: string; principal: Principal },
    handlers: LinkHandlers,
    timing: LinkTiming,
  ) {
    this.principal = principal
    this.address = address
    this.#ws = ws
    this.#writer = new FrameWriter(ws, socket)
    this.#handlers = handlers
    this.#liveness = new Liveness(ws, timing.heartbeatMs, () => this.terminate())
    this.#helloTimer = setTimeout(
      () => this.refuse('bad_request', `No hello arrived within ${timing.helloTimeoutMs} ms.`, true),
      timing.helloTimeoutMs,
    )
    ws.on('message', (data, isBinary) => this.#receive(data as Buffer, isBinary))
    ws.on('pong', () => this.#seen()).on('ping', () => this.#seen())
    // On a frame over the limit, or data that is not WebSocket, ws closes the link with the reason.
    ws.on('error', () => {})
    this.gone = new Promise((resolve) => ws.once('close', () => resolve()))
    ws.on('close', (code) => {
      this.#left = code === CLOSE_GOING_AWAY
      this.#over()
    })
  }

  get hello(): Hello | undefined {
    return this.#hello
  }

  /** Identifies the process of the runner. */
  get boot(): string | undefined {
    return this.#hello?.boot_id
  }

  get closed(): boolean {
    return this.#closed
  }

  /** True if the runner closed the link in order, as it does when it ends. */
  get left(): boolean {
    return this.#left
  }

  send(frame: HubFrame): void {
    this.sendText(JSON.stringify(frame))
  }

  sendText(frame: string): void {
    if (!this.#closed) this.#writer.send(frame)
  }

  /** Sends the reason and closes the link. */
  refuse(code: ErrorCode, message: string, retry: boolean): void {
    if (this.#closed) return
    this.send({ type: 'refused', code, message, retry })
    this.#ws.close(CLOSE_POLICY, code)
    this.#over()
  }

  /** Resolves to true if the runner gives a sign of life within the time. */
  async answers(withinMs: number): Promise<boolean> {
    if (this.#closed) return false
    if (this.#ws.isPaused) return true
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const alive = () => resolve(true)
    const gone = () => resolve(false)
    this.#ws.once('pong', alive).once('message', alive).once('close', gone)
    this.#ws.ping(() => {})
    const answer = await within(withinMs, promise, () => false)
    this.#ws.off('pong', alive).off('message', alive).off('close', gone)
    return answer
  }

  took(bytes: number): void {
    this.#unstoredBytes += bytes
    if (this.#unstoredBytes > HIGH_BYTES) this.#ws.pause()
  }

  gave(bytes: number): void {
    this.#unstoredBytes -= bytes
    if (this.#unstoredBytes < LOW_BYTES && this.#ws.isPaused) this.#ws.resume()
  }

  /** Closes the link at once; may be called twice. */
  terminate(): void {
    this.#ws.terminate()
    this.#over()
  }

  #over(): void {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#helloTimer)
    this.#liveness.stop()
    // Read and drop what still arrives, so that the close is seen.
    if (this.#ws.isPaused) this.#ws.resume()
    this.#handlers.closed(this)
  }

  #seen(): void {
    this.lastSeenAtMs = Date.now()
  }

  #receive(data: Buffer, isBinary: boolean): void {
    if (this.#closed) return
    this.#seen()
    try {
      if (data.length > MAX_FRAME_BYTES)
        throw new ErrandError(
          'frame_too_large',
          `A frame has ${data.length} bytes; the limit is ${MAX_FRAME_BYTES}.`,
        )
      if (isBinary) {
        const known = isOutputFrame(data)
        if (this.#hello && !known) this.#leaveAside('binary')
        else if (this.#hello) this.#handlers.output(this, decodeOutputFrame(data))
        else throw new ErrandError('bad_request', 'The first frame must be hello.')
      } else this.#receiveText(data.toString())
    } catch (error) {
      if (!(error instanceof ErrandError)) throw error
      this.refuse(error.code, error.message, !isForGood(error.code))
    }
  }

  #receiveText(text: string): void {
    const frame = parseRunnerFrame(text)
    if (typeof frame === 'string' || frame.type !== 'hello') {
      if (!this.#hello) throw new ErrandError('bad_request', 'The first frame must be hello.')
      if (typeof frame === 'string') this.#leaveAside(frame)
      else this.#handlers.frame(this, frame)
    } else if (!this.#hello) {
      this.#hello = frame
      clearTimeout(this.#helloTimer)
      this.#handlers.hello(this, frame)
    }
  }

  #leaveAside(kind: string): void {
    if (!this.#unknownReported) this.#handlers.unknown(this, kind)
    this.#unknownReported = true
  }
}

/**
 * Acknowledges to a runner, over one link, what is committed of its attempts. Acks of one turn of the event loop are
 * merged.
 */
class Acks {
  readonly #send: (frame: HubFrame) => void
  /** Attempts whose marks are due, and whether the runner should resend what follows them. */
  readonly #due = new Map<Assignment, boolean>()

  constructor(send: (frame: HubFrame) => void) {
    this.#send = send
  }

  soon(assignment: Assignment, resend: boolean): void {
    if (this.#due.size === 0) setImmediate(() => this.#sendAll())
    this.#due.set(assignment, resend || this.#due.get(assignment) === true)
  }

  /** Sends `release` for an attempt whose end is committed, in place of a due ack. */
  release(assignment: Assignment): void {
    this.#due.delete(assignment)
    this.#send({ type: 'release', attempt_id: assignment.spec.attempt_id, epoch: assignment.epoch })
  }

  #sendAll(): void {
    for (const [{ spec, epoch, inbox }, resend] of this.#due) {
      const { reports, stdout, stderr } = inbox.committed
      const streams = { stdout, stderr }
      this.#send({
        type: 'ack',
        attempt_id: spec.attempt_id,
        epoch,
        reports,
        streams,
        ...(resend ? { resend } : {}),
      })
    }
    this.#due.clear()
  }
}

const known: ReadonlySet<unknown> = new Set(
  RunnerFrame.options.flatMap(({ shape }) => [...shape.type.values]),
)

/**
 * Parses a text frame. A frame of a type that only a newer runner knows gives the name of the type. Throws an
 * `ErrandError` that explains an invalid frame.
 */
function parseRunnerFrame(text: string): RunnerFrame | string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new ErrandError('bad_request', 'A text frame is not valid JSON.', { cause })
  }
  const { type, protocol, newest_protocol } = (value ?? {}) as Record<string, unknown>
  // Check the version first: the rest may look different in another version.
  if (type === 'hello') needCommonProtocol(protocol, newest_protocol)
  if (typeof type === 'string' && !known.has(type)) return type
  const parsed = RunnerFrame.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new ErrandError(
    // A hello would be wrong again the next time, so it is refused for good.
    type === 'hello' ? 'invalid_argument' : 'bad_request',
    `A frame of type ${nameOf(type)} is not valid at "${issue?.path.join('.')}": ${issue?.message}`,
    { cause: parsed.error },
  )
}

function needCommonProtocol(oldest: unknown, newest: unknown = oldest): void {
  const numbers = Number.isInteger(oldest) && Number.isInteger(newest)
  const protocols = { protocol: oldest as number, newest_protocol: newest as number }
  if (numbers && commonProtocol(protocols) !== undefined) return
  const span = (from: string, to: string) => (from === to ? from : `${from} to ${to}`)
  const here = span(String(OLDEST_PROTOCOL_VERSION), String(PROTOCOL_VERSION))
  const old = numbers && protocols.protocol > PROTOCOL_VERSION ? 'on the hub' : "on the runner's machine"
  throw new ErrandError(
    'protocol_mismatch',
    `The runner speaks protocol ${span(nameOf(oldest), nameOf(newest))}, this hub speaks ${here}. Update Errand ${old}.`,
  )
}

/**
 * Names a value of any kind in a message. Long strings are cut, and lists and objects are only named: their text
 * could be as large as the frame, and deep nesting cannot be serialized.
 */
function nameOf(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 100))
  return value === null || typeof value !== 'object'
    ? String(value)
    : `(${Array.isArray(value) ? 'a list' : 'an object'})`
}

/** Reports whether the same runner would fail again. With a `protocol_mismatch`, it waits until one side is updated. */
const isForGood = (code: ErrorCode): boolean => code === 'invalid_argument'
