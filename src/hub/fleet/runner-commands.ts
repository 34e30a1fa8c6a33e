import type { AttemptInput } from '../../contract/agent.ts'
import type { AttemptEnd, AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { Hello, HubFrame } from '../../contract/protocol.ts'
import { MAX_FRAME_BYTES } from '../../contract/protocol.ts'
import type { TakenSecrets } from '../../contract/secrets.ts'
import type { SecretSource } from '../../engine/ports.ts'
import { type Assignment, type Assignments, canceled, type Sent } from './assignments.ts'
import { withGroupBox } from './matching.ts'
import type { Runner } from './roster.ts'
import type { RunnerLink } from './runner-link.ts'

/**
 * Sends `start` to the connected runner that the attempt was placed on, or ends the attempt if it cannot be started.
 * The values of its secrets are fetched for each sending and stored nowhere here.
 */
export function commandStart(assignment: Assignment, runner: Runner, assignments: Assignments): void {
  if (Object.values(assignment.spec.secrets ?? {}).some(({ from }) => from === 'hub'))
    void startWithSecrets(assignment, runner, assignments)
  else sendStart(assignment, runner, assignments)
}

async function startWithSecrets(
  assignment: Assignment,
  runner: Runner,
  assignments: Assignments,
): Promise<void> {
  const { epoch } = assignment
  const { link } = runner
  /**
   * Reports whether the start is still due. The attempt may have ended or been handed on; a new link got its own
   * start.
   */
  const isStillHere = () => {
    const { stage } = assignment
    return (
      assignment.epoch === epoch &&
      stage.type === 'placed' &&
      stage.runner === runner.key &&
      runner.link === link
    )
  }
  try {
    let taken: TakenSecrets = {}
    const secrets = await revealed(assignment.spec, assignments.secrets, (added) => {
      taken = added
    })
    if (!isStillHere()) return
    assignment.sink.secrets?.(taken)
    sendStart(assignment, runner, assignments, secrets)
  } catch (error) {
    if (isStillHere()) assignments.settle(assignment, withoutSecrets(error))
  }
}

async function revealed(
  spec: AttemptSpec,
  source: SecretSource | undefined,
  onTaken: (taken: TakenSecrets) => void,
) {
  if (source === undefined) throw new ErrandError('secret_not_found', 'This hub stores no secrets.')
  return source.reveal(spec, onTaken)
}

function withoutSecrets(error: unknown): AttemptEnd {
  const { message, hint = '' } = error as ErrandError
  const isRefused = error instanceof ErrandError && ['secret_not_found', 'forbidden'].includes(error.code)
  const reason = isRefused ? 'invalid_argument' : 'start_failed'
  return { type: 'ended', outcome: 'failed', reason, message: `${message} ${hint}`.trimEnd() }
}

function sendStart(
  assignment: Assignment,
  runner: Runner,
  assignments: Assignments,
  secrets?: Record<string, string>,
): void {
  const { epoch, cancel } = assignment
  const spec = withGroupBox(assignment.spec, assignment.box)
  if (cancel) {
    assignments.settle(assignment, canceled(cancel.reason))
    return
  }
  const frame = JSON.stringify({ type: 'start', epoch, spec, secrets } satisfies HubFrame)
  if (Buffer.byteLength(frame) > MAX_FRAME_BYTES) {
    assignments.settle(assignment, {
      type: 'ended',
      outcome: 'failed',
      reason: 'invalid_argument',
      message: `The arguments, variables and secrets have more than ${MAX_FRAME_BYTES} bytes together, the limit for a message to a runner. Put large values in a file.`,
    })
    return
  }
  const link = runner.link!
  assignment.sent = sentTo(runner.hello!)
  link.sendText(frame)
  commandInputs(assignment, link)
}

export const sentTo = ({ boot_id, storage_id }: Hello): Sent => ({
  type: 'to',
  boot: boot_id,
  storage: storage_id,
})

/** Sends the inputs that were given and not taken yet. */
export function commandInputs(assignment: Assignment, link: RunnerLink): void {
  for (const input of assignment.inputs.values()) commandInput(assignment, link, input)
}

export function commandInput({ spec, epoch }: Assignment, link: RunnerLink, input: AttemptInput): void {
  link.send({ type: 'input', attempt_id: spec.attempt_id, epoch, input })
}

/** Sends `cancel`, with a grace of 0 if forced. */
export function commandCancel({ spec, epoch, cancel }: Assignment, link: RunnerLink, graceMs: number): void {
  if (!cancel) return
  const grace_ms = cancel.force ? 0 : graceMs
  link.send({ type: 'cancel', attempt_id: spec.attempt_id, epoch, grace_ms, reason: cancel.reason })
}
