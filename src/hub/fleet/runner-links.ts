import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import type { BotLive } from '../../contract/bots/bot.ts'
import { ErrandError } from '../../contract/errors.ts'
import { splitAttemptId } from '../../contract/ids.ts'
import {
  type AttemptProgress,
  type Hello,
  MAX_FRAME_BYTES,
  type OutputFrame,
  type RunnerFrame,
} from '../../contract/protocol.ts'
import type { CallerOf } from '../../platform/callers.ts'
import type { Log } from '../../platform/log.ts'
import type { Assignment, Assignments } from './assignments.ts'
import type { Dispatch } from './dispatch.ts'
import type { Runner } from './roster.ts'
import { commandCancel, commandInput } from './runner-commands.ts'
import type { RunnerHandshake } from './runner-handshake.ts'
import { type LinkHandlers, type LinkTiming, type Principal, RunnerLink } from './runner-link.ts'
import type { RunnerQueries } from './runner-queries.ts'

export interface RunnerLinksOptions extends LinkTiming {
  authenticate: Authenticate
  handshake: RunnerHandshake
  incoming: Incoming
  asks: RunnerQueries
  /** Milliseconds that a token may be invalid (expired, or invalidated by another hub) before its link is closed. */
  recheckMs: number
  log: Log
}

/** Manages all connections of runners: accepts, counts, rechecks and closes them. */
export class RunnerLinks {
  readonly #options: RunnerLinksOptions
  readonly #handlers: LinkHandlers
  readonly #links = new Map<RunnerLink, Opened['again']>()
  readonly #detach: (() => void)[] = []
  readonly #rechecks: NodeJS.Timeout
  #opened = 0
  #closed = 0
  #stopped = false

  constructor(options: RunnerLinksOptions) {
    const { handshake, incoming, asks, recheckMs } = options
    this.#rechecks = setInterval(() => void this.recheck(), recheckMs).unref()
    this.#options = options
    this.#handlers = {
      hello: (link, hello) => handshake.hello(link, hello),
      frame: (link, frame) => incoming.frame(link, frame),
      output: (link, frame) => incoming.output(link, frame),
      unknown: (link, kind) => {
        const name = /^[\w.-]{1,100}$/.test(kind) ? kind : '(no name)'
        const runner_id = link.hello?.runner_id
        this.#options.log(
          `Runner "${runner_id}" sends frames that this hub does not know, for example of type ${name}. They are ignored.`,
          { runner_id },
        )
      },
      closed: (link) => {
        this.#links.delete(link)
        this.#closed++
        asks.closed(link)
        if (!this.#stopped) handshake.closed(link)
      },
    }
  }

  /** Number of links opened and closed so far. */
  get counts(): { opened: number; closed: number } {
    return { opened: this.#opened, closed: this.#closed }
  }

  attach(server: Server, callerOf: CallerOf): void {
    const accept = (ws: WebSocket, request: IncomingMessage, { principal, again }: Opened) => {
      if (this.#stopped) return ws.terminate()
      this.#opened++
      const from = { socket: request.socket, address: callerOf(request), principal }
      this.#links.set(new RunnerLink(ws, from, this.#handlers, this.#options), again)
    }
    this.#detach.push(acceptLinks(server, this.#options.authenticate, accept))
  }

  /** Closes the links whose token is no longer valid. */
  async recheck(): Promise<void> {
    for (const [link, again] of this.#links) {
      // If the store cannot be asked, no link is closed.
      const answer = await again().catch(() => undefined)
      if (answer && 'refused' in answer) link.refuse('unauthorized', answer.refused, true)
    }
  }

  /** Closes all links; may be called twice. */
  async close(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#rechecks)
    for (const detach of this.#detach.splice(0)) detach()
    const links = [...this.#links.keys()]
    for (const link of links) link.refuse('unavailable', 'The hub is stopping.', true)
    await Promise.all(links.map((link) => link.gone))
  }
}

const LINK_PATH = '/api/runner-link'

export type Authenticate = (token: string) => Promise<Principal | { refused: string; revoked?: boolean }>

/** The owner of the token that opened a link, and a way to check whether it still would. */
interface Opened {
  principal: Principal
  again(): ReturnType<Authenticate>
}

/** Milliseconds that the other end has to close a link. */
const CLOSE_TIMEOUT_MS = 2_000

/**
 * Turns upgrade requests on the link's path into WebSockets if their token is valid. Returns a function that stops
 * this.
 */
function acceptLinks(
  server: Server,
  authenticate: Authenticate,
  accept: (ws: WebSocket, request: IncomingMessage, opened: Opened) => void,
): () => void {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    // Up to twice the limit, the link itself can say why it closes.
    maxPayload: 2 * MAX_FRAME_BYTES,
    closeTimeout: CLOSE_TIMEOUT_MS,
  } as ConstructorParameters<typeof WebSocketServer>[0])

  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Node no longer handles this socket: an error without a listener would end the process.
    const broken = () => socket.destroy()
    socket.on('error', broken)
    if (request.url?.split('?')[0] !== LINK_PATH) {
      if (server.listenerCount('upgrade') === 1)
        refuse(socket, new ErrandError('not_found', `There is no WebSocket at ${request.url}.`))
      return
    }
    check(request, authenticate).then(
      (opened) => {
        socket.off('error', broken)
        sockets.handleUpgrade(request, socket, head, (ws) => accept(ws, request, opened))
      },
      (error: unknown) => refuse(socket, asErrandError(error)),
    )
  }
  server.on('upgrade', upgrade)
  return () => void server.off('upgrade', upgrade)
}

async function check(request: IncomingMessage, authenticate: Authenticate): Promise<Opened> {
  const token = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1]
  const hint =
    'Enrol the machine (errand runners enroll-token, then errand runner enroll), or set ERRAND_TOKEN to a runner token.'
  if (token === undefined)
    throw new ErrandError('unauthorized', 'The runner link needs a bearer token.', { hint })
  const answer = await authenticate(token)
  if ('refused' in answer)
    throw new ErrandError(answer.revoked ? 'token_revoked' : 'unauthorized', answer.refused, { hint })
  return { principal: answer, again: () => authenticate(token) }
}

const asErrandError = (error: unknown) =>
  error instanceof ErrandError
    ? error
    : new ErrandError(
        'internal',
        `The token could not be checked: ${error instanceof Error ? error.message : error}`,
      )

function refuse(socket: Duplex, error: ErrandError): void {
  const body = JSON.stringify(error.toBody())
  const lines = [
    `HTTP/1.1 ${error.status} ${error.code}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    ...(error.status === 401 ? ['WWW-Authenticate: Bearer'] : []),
  ]
  socket.once('finish', () => socket.destroy())
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`)
}

interface IncomingOptions {
  handshake: RunnerHandshake
  assignments: Assignments
  dispatch: Dispatch
  asks: RunnerQueries
  graceMs: number
}

type Frame = Exclude<RunnerFrame, Hello>
type MachineFrame = Extract<Frame, { type: 'draining' | 'agents' | 'containers' | 'isolation' }>

const isOfMachine = (frame: Frame): frame is MachineFrame =>
  ['draining', 'agents', 'containers', 'isolation'].includes(frame.type)

/** Handles the frames of welcomed runners, both those about their machine and those about attempts. */
export class Incoming {
  readonly #options: IncomingOptions

  constructor(options: IncomingOptions) {
    this.#options = options
  }

  frame(link: RunnerLink, frame: Frame): void {
    const runner = this.#options.handshake.runnerOf(link)
    if (isOfMachine(frame)) {
      if (runner) this.#machine(runner, frame)
      return
    }
    if (frame.type === 'answer') {
      this.#options.asks.answered(link, frame.ask_id, frame.answer)
      return
    }
    if (frame.type === 'bots') {
      if (runner) for (const bot of frame.bots) this.#bot(runner, bot)
      return
    }
    if (frame.type === 'progress') {
      for (const attempt of frame.attempts) this.#compare(link, attempt)
      return
    }
    const assignment = this.#find(link, frame, frame.type !== 'rejected')
    if (!runner || !assignment) return
    if (frame.type === 'rejected') {
      // A draining runner would take it at another time.
      if (!runner.draining) {
        const why = `runner "${runner.id}" rejected it: ${frame.message}`
        assignment.rejections.set(runner.key, why)
      }
      assignment.sent = { type: 'never' }
      this.#options.dispatch.again(assignment)
      return
    }
    this.#options.dispatch.begun(assignment)
    if (frame.type === 'report') assignment.inbox.report(frame.n, frame.report)
    else if (frame.type === 'unordered') assignment.inbox.unordered(frame.stream, frame.offset, frame.length)
  }

  output(link: RunnerLink, frame: OutputFrame): void {
    const assignment = this.#find(link, frame, true)
    assignment?.inbox.output(frame.stream, frame.offset, frame.bytes, link)
  }

  /** Resends, or asks for, anything of the attempt that was lost over a link that stays open. */
  #compare(link: RunnerLink, { sent, cancel_grace_ms, inputs = [], ...attempt }: AttemptProgress): void {
    const assignment = this.#find(link, attempt, true)
    if (!assignment) return
    const { dispatch, graceMs } = this.#options
    dispatch.begun(assignment)
    if (sent) assignment.inbox.compare({ reports: sent.reports, ...sent.streams })
    for (const [id, input] of assignment.inputs)
      if (!inputs.includes(id)) commandInput(assignment, link, input)
    const { cancel } = assignment
    if (cancel && (cancel_grace_ms === undefined || (cancel.force && cancel_grace_ms > 0)))
      commandCancel(assignment, link, graceMs)
  }

  #machine(runner: Runner, frame: MachineFrame): void {
    if (frame.type === 'draining') runner.draining = true
    else if (!runner.hello) return
    else if (frame.type === 'containers') runner.hello.containers = frame.containers
    else if (frame.type === 'isolation') runner.hello.isolation = frame.isolation
    else {
      runner.hello.agents = frame.agents
      return
    }
    this.#options.dispatch.rosterChanged(runner)
  }

  /** Stores the live state of a bot. No log has it, so callers get what was reported last. */
  #bot(runner: Runner, bot: BotLive): void {
    const assignment = this.#options.assignments.get(bot.attempt_id)
    const { stage } = assignment ?? {}
    if (stage?.type === 'placed' && stage.runner === runner.key) assignment!.live = bot
  }

  /**
   * Returns the attempt that the frame is about. If the runner works on one it should not have, it gets `superseded`.
   */
  #find(
    link: RunnerLink,
    { attempt_id, epoch }: { attempt_id: string; epoch: number },
    worksOnIt: boolean,
  ): Assignment | undefined {
    const runner = this.#options.handshake.runnerOf(link)
    if (!runner) return undefined
    const assignment = this.#options.assignments.get(attempt_id)
    const stage = assignment?.stage
    if (assignment?.epoch === epoch && stage?.type === 'placed' && stage.runner === runner.key)
      return assignment
    if (this.#options.assignments.isAside(splitAttemptId(attempt_id).runId, runner.key)) return undefined
    const why = 'it has ended at the hub, or another runner has it'
    if (worksOnIt) link.send({ type: 'superseded', attempt_id, epoch, why })
    return undefined
  }
}
