import type { AttemptInput } from '../../contract/agent.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import type { BotLive } from '../../contract/bot.ts'
import type { Reason } from '../../contract/status.ts'
import type { AttemptSink } from '../../engine/ports.ts'
import type { Inbox } from './inbox.ts'
import type { UserQueue } from './lines.ts'
import type { Need, RunnerKey } from './needs.ts'

export type Stage =
  | { type: 'waiting'; why: string }
  /** A runner is chosen, which is being committed. */
  | { type: 'assigning'; runner: RunnerKey }
  | { type: 'placed'; runner: RunnerKey }
  /** The engine wants it no more; a cancel or the run's end follows. */
  | { type: 'parked' }
  /** Its end, made here, is being committed. */
  | { type: 'ending' }

/**
 * Which process of the runner was last sent `start`, with which storage. `unknown`: a hub process before this one may have
 * sent it, to the storage that it was placed on or to none that is still there.
 */
export type Sent =
  | { type: 'never' }
  | { type: 'unknown'; storage: string | undefined }
  | { type: 'to'; boot: string; storage: string | undefined }

/** An attempt, as the fleet has it. */
export interface Assignment {
  readonly spec: AttemptSpec
  readonly sink: AttemptSink
  /** `key` is equal for equal needs. */
  readonly need: { need: Need; key: string }
  /** Equal for the steps of its run that share its workspace. */
  readonly workspace: string
  /** Grows from one to the next that came. */
  arrival: number
  /** Where it waits. */
  queue: UserQueue | undefined
  /** The last under which it was handed out; 0: never. */
  epoch: number
  stage: Stage
  inbox: Inbox
  sent: Sent
  /** The runner has said that it has it. */
  begun: boolean
  /** The last that its runner has told of the bot that it is. */
  live?: BotLive
  cancel?: { reason: Reason; force: boolean }
  /** Given and not taken yet, by id, oldest first. */
  readonly inputs: Map<string, AttemptInput>
  /** Runners that rejected it, and what is said of each. */
  readonly rejections: Map<RunnerKey, string>
}

/** The runner it is with, or will be when that is committed. */
export function runnerOf({ stage }: Assignment): RunnerKey | undefined {
  return stage.type === 'assigning' || stage.type === 'placed' ? stage.runner : undefined
}
