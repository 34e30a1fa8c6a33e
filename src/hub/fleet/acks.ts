import type { HubFrame } from '../../contract/protocol.ts'
import type { Assignment } from './assignment.ts'

/** Tells a runner over one link what is committed of its attempts; acks of one turn of the event loop are joined. */
export class Acks {
  readonly #send: (frame: HubFrame) => void
  /** The marks to be acked, and whether what follows them is to be sent again. */
  readonly #due = new Map<Assignment, boolean>()

  constructor(send: (frame: HubFrame) => void) {
    this.#send = send
  }

  soon(assignment: Assignment, resend: boolean): void {
    if (this.#due.size === 0) setImmediate(() => this.#sendAll())
    this.#due.set(assignment, resend || this.#due.get(assignment) === true)
  }

  /** Its end is committed, which says all that an ack would. */
  release(assignment: Assignment): void {
    this.#due.delete(assignment)
    this.#send({ type: 'release', attempt_id: assignment.spec.attempt_id, epoch: assignment.epoch })
  }

  #sendAll(): void {
    for (const [{ spec, epoch, inbox }, resend] of this.#due) {
      const { reports, stdout, stderr } = inbox.committed
      const streams = { stdout, stderr }
      this.#send({
        type: 'ack',
        attempt_id: spec.attempt_id,
        epoch,
        reports,
        streams,
        ...(resend ? { resend } : {}),
      })
    }
    this.#due.clear()
  }
}
