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
import type { RunnerAsks } from './runner-asks.ts'
import { commandCancel, commandInput } from './runner-commands.ts'
import type { RunnerHandshake } from './runner-handshake.ts'
import { type LinkHandlers, type LinkTiming, type Principal, RunnerLink } from './runner-link.ts'

export interface RunnerLinksOptions extends LinkTiming {
  authenticate: Authenticate
  handshake: RunnerHandshake
  incoming: Incoming
  asks: RunnerAsks
  /** How long a token may be good no more, by its expiry or for another hub, before its link is closed. */
  recheckMs: number
  log: Log
}

/** All connections of runners: taken from servers, counted, looked at again, and closed. */
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
          `Runner "${runner_id}" sends frames that this hub does not know, such as of type ${name}: they are left aside.`,
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

  /** How many there have been. */
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

  /** Closes those whose token is no longer good. */
  async recheck(): Promise<void> {
    for (const [link, again] of this.#links) {
      // A store that cannot be asked refuses nobody.
      const answer = await again().catch(() => undefined)
      if (answer && 'refused' in answer) link.refuse('unauthorized', answer.refused, true)
    }
  }

  /** May be called twice. */
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

/** Whose token opened a link, and how to see whether it still would. */
interface Opened {
  principal: Principal
  again(): ReturnType<Authenticate>
}

/** How long the other end may take to close a link. */
const CLOSE_TIMEOUT_MS = 2_000

/** Turns upgrade requests on the link's path into WebSockets, where their token is good. Answers how to stop that. */
function acceptLinks(
  server: Server,
  authenticate: Authenticate,
  accept: (ws: WebSocket, request: IncomingMessage, opened: Opened) => void,
): () => void {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    // Up to twice the limit the link itself can say why it closes.
    maxPayload: 2 * MAX_FRAME_BYTES,
    closeTimeout: CLOSE_TIMEOUT_MS,
  } as ConstructorParameters<typeof WebSocketServer>[0])

  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Node has let go of it: an error that nobody hears would end this process.
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
  asks: RunnerAsks
  graceMs: number
}

type Frame = Exclude<RunnerFrame, Hello>
type MachineFrame = Extract<Frame, { type: 'draining' | 'agents' | 'containers' | 'isolation' }>

const isOfMachine = (frame: Frame): frame is MachineFrame =>
  ['draining', 'agents', 'containers', 'isolation'].includes(frame.type)

/** The frames of welcomed runners: of their machine, and of attempts. */
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
      // One that drains would take it at another time.
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

  /** Sends again, or asks for, whatever of the attempt was lost on its way over a link that lives. */
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

  /** The state of bots is in no log: whoever asks is told what was said last. */
  #bot(runner: Runner, bot: BotLive): void {
    const assignment = this.#options.assignments.get(bot.attempt_id)
    const { stage } = assignment ?? {}
    if (stage?.type === 'placed' && stage.runner === runner.key) assignment!.live = bot
  }

  /** Returns the attempt that the frame is about. A runner that is at something it should not be at is told so, if it works on it. */
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
    const why = 'it ended here, or was handed on'
    if (worksOnIt) link.send({ type: 'superseded', attempt_id, epoch, why })
    return undefined
  }
}
