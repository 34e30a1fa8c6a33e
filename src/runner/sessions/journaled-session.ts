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
import type { EndpointUsageOptions } from './boxed/endpoint-usage.ts'
import { type Connect, Session } from './session.ts'
import type { Launched, SessionEvent } from './session-state.ts'
import type { UpdatePipeline } from './update-pipeline.ts'

/** Bytes from the end of standard error that are reported if an agent fails. */
const STDERR_TAIL_BYTES = 8 * 1024

export interface JournaledSessionOptions {
  plan: AgentPlan
  agent: Agent
  start: AgentStart
  /** Folder of the attempt, in which each process has its own, and the environment that they run in. */
  place: Pick<AgentChildOptions, 'path' | 'mark' | 'cage' | 'box' | 'news'>
  /** Attachments of its prompts, which are there before the prompts count. */
  attachments: Pick<PromptAttachments, 'fetchAll' | 'read'>
  /** Options for the endpoint of its box; absent if there is no box. */
  endpoint?: EndpointUsageOptions
  journal: AttemptJournal
  output: FileOutput
  updates: UpdatePipeline
  onRunning(pid: number, startedAtMs: number): void
  onStartFailed(ending: Ending): void
  /** Called if something essential could not be stored; without a message, that is the journal. */
  onUnwritten(message?: string): void
  /** Called when the session has taken a line or an event; not called during a replay. */
  onNews(): void
}

/**
 * Runs a session and the agent's processes, one after another. Each event is stored before it counts, so that all of it
 * can be replayed.
 */
export class JournaledSession {
  readonly session: Session
  readonly #options: JournaledSessionOptions
  readonly #seen = new Set<string>()
  #child: AgentChild | undefined
  #lastLaunched: Launched | undefined
  #exitedAtMs: number | undefined
  #launches = 0
  #logOffset = 0
  #logEnded = false
  #replaying = false
  #over = false

  /** Opens the session. Throws `invalid_argument`. */
  constructor(options: JournaledSessionOptions) {
    const { plan, agent, start, endpoint, updates, attachments } = options
    this.#options = options
    this.session = new Session({
      plan,
      title: agent.title,
      agent: agent.name,
      updates,
      endpoint,
      connect: this.#connect,
      attached: (attachment) => attachments.read(attachment),
      onSessionId: (sessionId) => {
        if (!this.#replaying) start.sessionsKnown(sessionId, this.#lastLaunched)
      },
    })
  }

  /** Set when nothing counts any more. */
  get over(): boolean {
    return this.#over
  }
  /** Process that runs now. */
  get child(): AgentChild | undefined {
    return this.#child
  }
  /** Offset up to which the log of its endpoint was read. */
  get logOffset(): number {
    return this.#logOffset
  }
  /** Set when its endpoint is closed and its log completely read. */
  get logEnded(): boolean {
    return this.#logEnded
  }
  /** Time in ms when the last exited process exited. */
  get exitedAtMs(): number | undefined {
    return this.#exitedAtMs
  }
  /** Launch of the last process, even if it is over. */
  get lastLaunched(): Launched | undefined {
    return this.#lastLaunched
  }
  /** First launch in the journal. */
  get firstLaunched(): Launched | undefined {
    return this.#options.journal.events.map(({ event }) => event).find((event) => event.type === 'launched')
  }

  /** Replays the journal to the state of an earlier process of this runner; does not repeat what that process did. */
  async replay(): Promise<void> {
    this.#replaying = true
    for (const { at, event } of this.#options.journal.events) {
      await this.#child?.replay(at, event.type === 'exited')
      this.#take(event)
    }
    this.#replaying = false
  }

  /** Starts the launched process. Throws `invalid_argument`. */
  begin(claim = 1): void {
    this.#child?.begin(this.#options.start.launch(this.#lastLaunched!, this.#processName), claim)
  }

  input(input: AttemptInput): void {
    if (!this.#seen.has(input.input_id)) this.apply({ type: 'input', input })
  }

  apply(event: SessionEvent): void {
    // Usage that was counted still counts, even at the end.
    if (this.#over && event.type !== 'told') return
    const { journal, onUnwritten, onNews } = this.#options
    try {
      journal.keepEvent(this.#child?.offset ?? 0, event)
    } catch {
      return void onUnwritten()
    }
    this.#take(event)
    onNews()
  }

  /** Ends the session: nothing counts any more. */
  end(): void {
    this.#over = true
    this.#child?.ignore()
  }

  /** Closes the session; its process keeps running. Idempotent. */
  close(): void {
    this.#child?.close()
  }

  /** Applies an event that is in the journal. */
  #take(event: SessionEvent): void {
    if (event.type === 'input') this.#seen.add(event.input.input_id)
    if (event.type === 'exited') this.#exitedAtMs = this.#child?.endedAtMs
    if (event.type === 'launched') this.#launched(event)
    if (event.type === 'told') {
      this.#logOffset = event.offset
      this.#logEnded = event.last === true
    }
    this.session.apply(event)
    if (event.type !== 'exited' && event.type !== 'gone') return
    this.#child?.close()
    this.#child = undefined
  }

  /** Prepares for the process; `begin` follows. */
  #launched(event: Launched): void {
    const { place, output, onRunning, onUnwritten } = this.#options
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
      onUnwritten,
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

/** Deletes everything that the agent of an ended session wrote and received; its reports stay. */
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
