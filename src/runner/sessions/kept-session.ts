import type { Agent } from '../../agents/agent.ts'
import type { AttemptInput } from '../../contract/agent.ts'
import type { JournaledReports } from '../attempts/journaled-reports.ts'
import type { Ending } from '../attempts/outcome.ts'
import type { ProcessOutput } from '../attempts/process-output.ts'
import type { Masker } from '../masking/masker.ts'
import type { AgentPlan } from '../ports.ts'
import { AgentLaunches } from './agent-launches.ts'
import type { AgentStart } from './agent-start.ts'
import type { HeardProcessOptions } from './heard-process.ts'
import { Session } from './session.ts'
import type { Launched, SessionEvent } from './session-event.ts'
import type { ToldOnce } from './told-once.ts'
import type { Told } from './update-teller.ts'

/** How much of the end of its standard error is told where an agent fails. */
const STDERR_TAIL_BYTES = 8 * 1024

export interface KeptSessionOptions {
  plan: AgentPlan
  agent: Agent
  start: AgentStart
  /** Where the agent's processes are, and in what they run. */
  place: Pick<HeardProcessOptions, 'path' | 'mark' | 'cage' | 'news'>
  masker?: Masker
  journal: JournaledReports
  output: ProcessOutput
  told: ToldOnce
  onRunning(pid: number, startedAtMs: number): void
  onStartFailed(ending: Ending): void
  /** What must be kept could not be; the message is the journal's where there is none. */
  onUnkept(message?: string): void
  /** It has taken in a line or an event; not called while it is replayed. */
  onNews(): void
}

/** A session and the agent that it is with: each event is kept before it counts, so that all of it can be replayed. */
export class KeptSession {
  readonly session: Session
  readonly launches: AgentLaunches
  readonly #options: KeptSessionOptions
  readonly #seen = new Set<string>()
  #replaying = false
  #over = false

  /** Throws `invalid_argument`. */
  constructor(options: KeptSessionOptions) {
    const { plan, agent, start, place, masker, output, told, onRunning, onUnkept } = options
    this.#options = options
    this.launches = new AgentLaunches({
      ...place,
      agent,
      start,
      stderr: output.files.stderr,
      onRunning,
      onLine: (line) => this.#line(line),
      onEnd: (ending) => this.#exited(ending),
      onUnkept,
    })
    this.session = new Session({
      plan,
      title: agent.title,
      agent: agent.name,
      masker,
      tell: (item) => this.#tell(item),
      say: (text) => told.say(text),
      connect: this.launches.connect,
    })
  }

  /** Nothing counts any more. */
  get over(): boolean {
    return this.#over
  }
  /** The first launch that is in the journal. */
  get firstLaunched(): Launched | undefined {
    return this.#options.journal.events.map(({ event }) => event).find((event) => event.type === 'launched')
  }

  /** Comes to where an earlier process of this runner was: what that did is not done again. */
  async replay(): Promise<void> {
    this.#replaying = true
    for (const { at, event } of this.#options.journal.events) {
      await this.launches.process?.replay(at, event.type === 'exited')
      this.#take(event)
    }
    this.#replaying = false
  }

  input(input: AttemptInput): void {
    if (!this.#seen.has(input.input_id)) this.apply({ type: 'input', input })
  }

  apply(event: SessionEvent): void {
    if (this.#over) return
    const { journal, onUnkept, onNews } = this.#options
    try {
      journal.keepEvent(this.launches.process?.offset ?? 0, event)
    } catch {
      return void onUnkept()
    }
    this.#take(event)
    onNews()
  }

  end(): void {
    this.#over = true
    this.launches.process?.ignore()
  }

  /** It is in the journal: it counts. */
  #take(event: SessionEvent): void {
    if (event.type === 'input') this.#seen.add(event.input.input_id)
    if (event.type === 'launched') this.launches.launched(event)
    this.session.apply(event)
    if (event.type === 'exited' || event.type === 'gone') this.launches.over()
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

  #tell(item: Told): void {
    const { start, told } = this.#options
    if (item.type === 'update' && item.update.kind === 'session' && !this.#replaying)
      start.sessionsKnown(item.update.session_id, this.launches.last)
    told.tell(item)
  }
}
