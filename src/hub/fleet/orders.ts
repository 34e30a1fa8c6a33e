import type { AttemptInput } from '../../contract/agent.ts'
import type { HubFrame } from '../../contract/protocol.ts'
import { MAX_FRAME_BYTES } from '../../contract/protocol.ts'
import type { Assignment } from './assignment.ts'
import { canceled, type Ledger } from './ledger.ts'
import type { Runner } from './roster.ts'
import type { RunnerLink } from './runner-link.ts'

/** Sends `start` to the connected runner that it was placed on; or ends it, where that is no use. */
export function orderStart(assignment: Assignment, runner: Runner, ledger: Ledger): void {
  const { epoch, spec, cancel } = assignment
  if (cancel) {
    ledger.settle(assignment, canceled(cancel.reason))
    return
  }
  const frame = JSON.stringify({ type: 'start', epoch, spec } satisfies HubFrame)
  if (Buffer.byteLength(frame) > MAX_FRAME_BYTES) {
    ledger.settle(assignment, {
      type: 'ended',
      outcome: 'failed',
      reason: 'invalid_argument',
      message: `Its arguments and variables are over ${MAX_FRAME_BYTES} bytes, the most a runner is sent. Put them in a file.`,
    })
    return
  }
  const link = runner.link!
  assignment.sent = { type: 'to', boot: link.boot! }
  link.sendText(frame)
  orderInputs(assignment, link)
}

/** Sends what was given and not taken yet. */
export function orderInputs(assignment: Assignment, link: RunnerLink): void {
  for (const input of assignment.inputs.values()) orderInput(assignment, link, input)
}

export function orderInput({ spec, epoch }: Assignment, link: RunnerLink, input: AttemptInput): void {
  link.send({ type: 'input', attempt_id: spec.attempt_id, epoch, input })
}

/** Sends `cancel`; forced, without a grace. */
export function orderCancel({ spec, epoch, cancel }: Assignment, link: RunnerLink, graceMs: number): void {
  if (!cancel) return
  const grace_ms = cancel.force ? 0 : graceMs
  link.send({ type: 'cancel', attempt_id: spec.attempt_id, epoch, grace_ms, reason: cancel.reason })
}
