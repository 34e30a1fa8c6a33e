import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Agent, AgentProtocol } from '../../agents/agent.ts'
import type { AttemptInput } from '../../contract/agent.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import type { PromptAttachments } from '../artifacts/prompt-attachments.ts'
import type { FileOutput } from '../attempts/file-output.ts'
import type { AttemptJournal, JournalEntry } from '../attempts/journal.ts'
import type { Ending } from '../attempts/verdict.ts'
import type { AgentPlan } from '../ports.ts'
import { AgentChild, type AgentChildOptions } from './agent-child.ts'
import type { AgentStart } from './agent-start.ts'
import type { DoorNewsOptions } from './boxed/door-news.ts'
import { type Connect, Session } from './session.ts'
import type { Launched, SessionEvent } from './session-state.ts'
import type { UpdatePipeline } from './update-pipeline.ts'

/** How much of the end of its standard error is told where an agent fails. */
const STDERR_TAIL_BYTES = 8 * 1024

export interface JournaledSessionOptions {
  plan: AgentPlan
  agent: Agent
  start: AgentStart
  /** Folder of the attempt, each process has one in it; and in what they run. */
  place: Pick<AgentChildOptions, 'path' | 'mark' | 'cage' | 'box' | 'news'>
  /** The attachments of its prompts, which are there before these count. */
  attachments: Pick<PromptAttachments, 'bring' | 'read'>
  /** Of the box that it is in; absent: none. */
  door?: DoorNewsOptions
  journal: AttemptJournal
  output: FileOutput
  updates: UpdatePipeline
  onRunning(pid: number, startedAtMs: number): void
  onStartFailed(ending: Ending): void
  /** Something could not be kept that must be; the message is the journal's where there is none. */
  onUnkept(message?: string): void
  /** The session has taken in a line or an event; not called while it is replayed. */
  onNews(): void
}

/**
 * A session and the processes of the agent that it is with, one after another. Each event is kept before it counts, so
 * that all of it can be replayed.
 */
export class JournaledSession {
  readonly session: Session
  readonly #options: JournaledSessionOptions
  readonly #seen = new Set<string>()
  #child: AgentChild | undefined
  #lastLaunched: Launched | undefined
  #exitedAtMs: number | undefined
  #launches = 0
  #toldOffset = 0
  #toldLast = false
  #replaying = false
  #over = false

  /** Throws `invalid_argument`. */
  constructor(options: JournaledSessionOptions) {
    const { plan, agent, start, door, updates, attachments } = options
    this.#options = options
    this.session = new Session({
      plan,
      title: agent.title,
      agent: agent.name,
      updates,
      door,
      connect: this.#connect,
      attached: (attachment) => attachments.read(attachment),
      onSessionId: (sessionId) => {
        if (!this.#replaying) start.sessionsKnown(sessionId, this.#lastLaunched)
      },
    })
  }

  /** Nothing counts any more. */
  get over(): boolean {
    return this.#over
  }
  /** The process that there is now. */
  get child(): AgentChild | undefined {
    return this.#child
  }
  /** How much of what its door tells was taken in. */
  get toldOffset(): number {
    return this.#toldOffset
  }
  /** Its door is closed, and told all. */
  get toldLast(): boolean {
    return this.#toldLast
  }
  /** When the last process that has exited did so. */
  get exitedAtMs(): number | undefined {
    return this.#exitedAtMs
  }
  /** How the last process was launched, also where it is over. */
  get lastLaunched(): Launched | undefined {
    return this.#lastLaunched
  }
  /** The first launch that is in the journal. */
  get firstLaunched(): Launched | undefined {
    return this.#options.journal.events.map(({ event }) => event).find((event) => event.type === 'launched')
  }

  /** Comes to where an earlier process of this runner was: what that did is not done again. */
  async replay(): Promise<void> {
    this.#replaying = true
    for (const { at, event } of this.#options.journal.events) {
      await this.#child?.replay(at, event.type === 'exited')
      this.#take(event)
    }
    this.#replaying = false
  }

  /** Starts the process that was launched. Throws `invalid_argument`. */
  begin(claim = 1): void {
    this.#child?.begin(this.#options.start.launch(this.#lastLaunched!, this.#processName), claim)
  }

  input(input: AttemptInput): void {
    if (!this.#seen.has(input.input_id)) this.apply({ type: 'input', input })
  }

  apply(event: SessionEvent): void {
    // What was counted counts, also what comes at the end.
    if (this.#over && event.type !== 'told') return
    const { journal, onUnkept, onNews } = this.#options
    try {
      journal.keepEvent(this.#child?.offset ?? 0, event)
    } catch {
      return void onUnkept()
    }
    this.#take(event)
    onNews()
  }

  /** Nothing counts any more. */
  end(): void {
    this.#over = true
    this.#child?.ignore()
  }

  /** Its process goes on. May be called twice. */
  close(): void {
    this.#child?.close()
  }

  /** The event is in the journal: it counts. */
  #take(event: SessionEvent): void {
    if (event.type === 'input') this.#seen.add(event.input.input_id)
    if (event.type === 'exited') this.#exitedAtMs = this.#child?.endedAtMs
    if (event.type === 'launched') this.#launched(event)
    if (event.type === 'told') {
      this.#toldOffset = event.offset
      this.#toldLast = event.last === true
    }
    this.session.apply(event)
    if (event.type !== 'exited' && event.type !== 'gone') return
    this.#child?.close()
    this.#child = undefined
  }

  /** Makes ready for the process; `begin` follows. */
  #launched(event: Launched): void {
    const { place, output, onRunning, onUnkept } = this.#options
    this.#lastLaunched = event
    this.#child?.close()
    this.#launches++
    this.#child = new AgentChild({
      ...place,
      path: join(place.path, this.#processName),
      boxed: this.#processName,
      stderr: output.files.stderr,
      onRunning,
      onLine: (line) => this.#line(line),
      onEnd: (ending) => this.#exited(ending),
      onUnkept,
    })
  }

  get #processName(): string {
    return `process.${this.#launches}`
  }

  readonly #connect: Connect = (launched, port): AgentProtocol => {
    const { agent, start } = this.#options
    const child = this.#child
    return agent.protocol(start.request(launched), { ...port, send: (line) => child!.send(line) })
  }

  #line(line: string): void {
    this.session.line(line)
    if (!this.#replaying) this.#options.onNews()
  }

  async #exited(end: Ending): Promise<void> {
    const { output, onStartFailed } = this.#options
    if (end.type === 'start_failed') return void onStartFailed(end)
    if (end.type === 'lost') return void this.apply({ type: 'gone', why: end.why })
    const stderr = (await output.tail('stderr', STDERR_TAIL_BYTES)).toString()
    if (end.type === 'exited') this.apply({ type: 'exited', code: end.code, stderr })
    else this.apply({ type: 'exited', signal: end.type === 'signaled' ? end.signal : undefined, stderr })
  }
}

/** Of a session that is over, deletes all that its agent said and was told; what it reported stays. */
export function dropConversation(folder: string): void {
  for (const name of readdirSync(folder))
    if (/^(process\.\d+|temp|files-before|attachments)$/.test(name))
      rmSync(join(folder, name), { recursive: true, force: true })
  const journal = join(folder, 'reports')
  const reports = readFileSync(journal, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && (JSON.parse(line) as JournalEntry).type === 'report')
  try {
    writeFileAtomic(journal, `${reports.join('\n')}\n`, { mode: 0o600, durable: false })
  } catch {
    // No space: it goes with its folder.
  }
}
