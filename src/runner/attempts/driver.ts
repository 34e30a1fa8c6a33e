import type { AttemptInput, DeniedUses } from '../../contract/agent.ts'
import type { AttemptSpec, AttemptUsage } from '../../contract/attempt.ts'
import type { WorkspaceLook } from '../../contract/runs/workspace-looks.ts'
import type { RunnerAnswer } from '../../contract/tasks/pool-ask.ts'
import type { Masker } from '../masking/masker.ts'
import type { Action } from '../ports.ts'
import type { AttemptFiles } from './attempt-files.ts'
import type { AttemptFolder } from './attempt-folder.ts'
import type { AttemptJournal } from './journal.ts'
import type { Cause, Ending } from './verdict.ts'

/**
 * Something that carries out one attempt: a process, an action of this process, an agent, a bot. The attempt tells it what
 * to do; what comes of that it tells the attempt through `Driven`. It keeps no state of the attempt's.
 */
export interface Driver {
  /** Begins, at once. What cannot be begun is the attempt's end (`finish`), not an error. */
  begin(): void
  /**
   * Goes on where an earlier process of this runner was; absent: nothing of it outlives its process. Rejects only where
   * nothing can be told of any file just now: then it is left as it is.
   */
  recover?(): Promise<void>
  /** Something for what it carries out, once or more often. */
  input?(input: AttemptInput): void
  /** Answers what is asked of the folder that it works in; `send` takes a body. Absent: none is shown. */
  look?(ask: WorkspaceLook, send: (text: string) => Promise<void>): Promise<RunnerAnswer>
  /** Now and then while it goes on. True: there is news. */
  poll?(): boolean
  /** Ends what goes on, within this grace, and then calls `finish`. A second call, with 0, can only make it quicker. */
  stop(graceMs: number): void
  /** Its end is known: what can end by itself is told so, before all else is looked at. */
  farewell?(ending: Ending): void
  /** Ends what it leaves behind. What it has to tell beside its output is told by then. */
  sweep(ending: Ending): Promise<Swept>
  /** While it sweeps: without a grace from now on. */
  hurry?(): void
  /** The last words of the end's message; the output is final. Asked where it came to its end by itself. */
  lastWords?(): Promise<string | undefined>
  /** The usage as the driver knows it; absent: as the limits have measured it. */
  usage?(): AttemptUsage | undefined
  /** Ends all of it without a grace. Nobody watches it any more, and nothing is told. */
  kill(): Promise<void>
  /** This process lets go of it, and what runs goes on; absent: it cannot, and is ended. */
  leave?(): void | Promise<void>
}

/** The state that a driver leaves behind when it has swept. */
export interface Swept {
  /** A process of it could not be killed. */
  survives?: boolean
  denied?: DeniedUses
}

/** An attempt, as its driver sees it. */
export interface Driven {
  readonly spec: AttemptSpec
  /** All that is told of the attempt. Its end is told by `finish` alone. */
  readonly journal: AttemptJournal
  /** Why it is ended; known also where the order was given before a restart. */
  readonly cause: Cause | undefined
  /** Hides its secrets; undefined where there are none. */
  readonly masker: Masker | undefined
  /** The process is there: told once, watched, and its time is limited. */
  running(pid: number | undefined, startedAtMs: number): void
  /** There is more of its output. */
  refresh(): boolean
  /** Ends it for this reason; the first one counts. */
  stop(cause: Cause, graceMs: number): void
  /** Carries out the order to end that came before a restart; nothing where there was none. */
  stopAsOrdered(): void
  /** Something that had to be kept was not: ends the attempt at once. Without a message it is the journal. */
  unkept(message?: string): void
  /** The attempt is over, once: what is left is swept, its output measured, its end told. Never rejects. */
  finish(ending: Ending, more?: Over): Promise<void>
}

export interface Over {
  /** Default: now. */
  endedAtMs?: number
  /** When that was tried, of what could not be started; absent: its end says no duration then. */
  beganAtMs?: number
  /** Variables that it exported itself. */
  exports?: Record<string, string>
}

/** How the attempts of one kind of action are carried out on this machine, where they stand in folders. */
export interface DriverKind {
  /** In the facts of an attempt; absent: a process. */
  readonly kind?: 'agent' | 'bot' | 'platform'
  /** Nothing of it runs below this process: the machine's limits are kept and measured by who runs it. */
  readonly limitsItself?: boolean
  /** Awaited before the first driver is made; absent: there is nothing to load. */
  load?(): Promise<void>
  /** Whether standard output is read for exported variables. */
  exportsVars?(action: Action, spec: AttemptSpec): boolean
  /** Before the output in it is opened, where it has not ended. */
  mend?(folder: AttemptFolder): void
  /** `action` throws where this runner does not have it; it may be of another kind by now. */
  driver(attempt: Driven, kept: AttemptFiles, action: () => Action): Driver
  /** The end is kept: deletes what it holds of the step's secrets. */
  dropSecrets?(kept: AttemptFiles): void
}
