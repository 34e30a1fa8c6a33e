import type { AttemptSpec } from '../../../contract/attempt.ts'
import type { Action, HeldAttempt } from '../../ports.ts'
import type { AttemptSecrets } from '../../secrets/attempt-secrets.ts'
import type { AttemptFacts, AttemptFolder } from '../attempt-folder.ts'

/** An attempt that is to be started. */
export interface Order<A extends Action = Action> {
  spec: AttemptSpec
  epoch: number
  action: A
  secrets: AttemptSecrets
}

/** An attempt that an earlier process of this runner has left. */
export interface Left {
  folder: AttemptFolder
  facts: AttemptFacts
  /** Undefined where there were none, or they are gone. */
  secrets: AttemptSecrets | undefined
  /** Throws where this runner does not have it, and may be of another kind by now. */
  action(): Action
}

/** How the attempts of one kind are started on this machine, and taken up again: one file each in this folder. */
export interface AttemptKind {
  /** Awaited before each start; absent: there is nothing to load. */
  load?(): Promise<void>
  /** Synchronous, so that two calls for one attempt cannot both start it. What it answers is held. */
  start(order: Order): HeldAttempt
  /** Absent: it is gone with its process, and leaves nothing to be found. */
  recover?(left: Left): Promise<void>
}
