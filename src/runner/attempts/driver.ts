import type { AttemptInput, DeniedUses } from '../../contract/agent.ts'
import type { AttemptSpec, AttemptUsage } from '../../contract/attempt.ts'
import type { WorkspaceQuery } from '../../contract/runs/workspace-queries.ts'
import type { RunnerAnswer } from '../../contract/tasks/pool-ask.ts'
import type { Masker } from '../masking/masker.ts'
import type { Action } from '../ports.ts'
import type { AttemptFiles } from './attempt-files.ts'
import type { AttemptFolder } from './attempt-folder.ts'
import type { AttemptJournal } from './journal.ts'
import type { Cause, Ending } from './verdict.ts'

/**
 * Runs one attempt as a process, an action of this process, an agent or a bot. The attempt tells the driver what to do;
 * the driver reports back through `Driven`. It holds none of the attempt's state.
 */
export interface Driver {
  /** Begins at once. If it cannot, that is the attempt's end (`finish`), not an error. */
  begin(): void
  /**
   * Continues where an earlier process of this runner was; absent if nothing of it outlives its process. Rejects only
   * if no file can be read at the moment: then it stays unchanged.
   */
  recover?(): Promise<void>
  /** Passes on an input, once or more often. */
  input?(input: AttemptInput): void
  /** Answers a query about its working folder; `send` sends a body. Absent if the folder is not shown. */
  viewFolder?(ask: WorkspaceQuery, send: (text: string) => Promise<void>): Promise<RunnerAnswer>
  /** Polls the attempt while it runs; returns true if there is news. */
  poll?(): boolean
  /**
   * Ends everything that runs within this grace, and then calls `finish`. A second call, with 0, can only make it
   * quicker.
   */
  stop(graceMs: number): void
  /** Announces the known end, so that whatever can end by itself does, before everything else is checked. */
  beforeSweep?(ending: Ending): void
  /** Ends what it leaves behind. By the time it resolves, it has reported everything besides its output. */
  sweep(ending: Ending): Promise<Swept>
  /** Continues a sweep without a grace. */
  expedite?(): void
  /** Returns the last part of the end's message, when the output is final. Called if the attempt ended by itself. */
  finalMessage?(): Promise<string | undefined>
  /** Returns the usage that the driver knows; if absent, the usage that the limits have measured. */
  usage?(): AttemptUsage | undefined
  /** Ends all of it without a grace. Nobody watches it any more, and nothing is reported. */
  kill(): Promise<void>
  /** Leaves the attempt to run without this process; if absent, the attempt cannot, and is ended. */
  leave?(): void | Promise<void>
}

/** Describes the state that a driver leaves behind after its sweep. */
export interface Swept {
  /** Set if one of its processes could not be killed. */
  survives?: boolean
  denied?: DeniedUses
}

/** Describes an attempt as its driver sees it. */
export interface Driven {
  readonly spec: AttemptSpec
  /** Holds all reports of the attempt. Only `finish` reports its end. */
  readonly journal: AttemptJournal
  /** Cause of its end; also known if the order was given before a restart. */
  readonly cause: Cause | undefined
  /** Hides its secrets; undefined if there are none. */
  readonly masker: Masker | undefined
  /** Records that the process runs: it is reported once, watched, and its time is limited. */
  running(pid: number | undefined, startedAtMs: number): void
  /** Records that there is more output. */
  refresh(): boolean
  /** Ends it for this cause; the first cause counts. */
  stop(cause: Cause, graceMs: number): void
  /** Executes the order to end that was given before a restart; does nothing if there was none. */
  stopAsOrdered(): void
  /**
   * Ends the attempt at once because something that had to be stored was not. Without a message, that is the journal.
   */
  failUnwritten(message?: string): void
  /** Ends the attempt, once: sweeps what is left, measures its output and reports its end. Never rejects. */
  finish(ending: Ending, more?: Over): Promise<void>
}

export interface Over {
  /** End time in ms; default: now. */
  endedAtMs?: number
  /** Time in ms when a start was tried that failed; if absent, its end has no duration. */
  beganAtMs?: number
  /** Variables that it exported itself. */
  exports?: Record<string, string>
}

/** Describes how this machine runs the attempts of one kind of action, if they have folders. */
export interface DriverKind {
  /** Kind in the facts of an attempt; absent for a process. */
  readonly kind?: 'agent' | 'bot' | 'platform'
  /** Set if nothing of it runs below this process: whoever runs it keeps and measures the machine's limits. */
  readonly limitsItself?: boolean
  /** Loads the code; awaited before the first driver is made. Absent if there is nothing to load. */
  load?(): Promise<void>
  /** Reports whether standard output is read for exported variables. */
  exportsVars?(action: Action, spec: AttemptSpec): boolean
  /** Repairs the folder of an attempt that has not ended, before the output in it is opened. */
  repair?(folder: AttemptFolder): void
  /** Makes a driver. `action` throws if this runner does not have it; it may be of another kind by now. */
  driver(attempt: Driven, files: AttemptFiles, action: () => Action): Driver
  /** Deletes the step's secrets after the end is stored. */
  dropSecrets?(files: AttemptFiles): void
}
