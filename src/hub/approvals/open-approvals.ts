import type { Approvers } from '../../contract/approvers.ts'
import type { RunEvent } from '../../contract/events.ts'

/** A waiting approval that names who may answer. */
interface OpenApproval {
  step: string
  approvers: Approvers
}

/**
 * Tracks, by run, the open approvals that name who may answer. It follows the logs, so nobody has to search all runs
 * for them.
 */
export class OpenApprovals {
  readonly #byRun = new Map<string, Map<string, OpenApproval>>()

  /** Takes the run's next events in log order, or all events of a log that is read again from its start. */
  seen(runId: string, events: readonly RunEvent[]): void {
    for (const event of events) {
      if (event.type === 'approval.requested' && event.approvers !== undefined)
        this.#of(runId).set(keyOf(event), { step: event.step, approvers: event.approvers })
      else if (event.type === 'approval.answered') this.#drop(runId, (key) => key === keyOf(event))
      else if (event.type === 'step.finished')
        this.#drop(runId, (key) => key.startsWith(`${event.phase} ${event.step}\0`))
      else if (event.type === 'run.finished') this.#byRun.delete(runId)
    }
  }

  /** Returns the ids of runs with an approval for which `fits` holds, in the order in which they began to ask. */
  runs(fits: (approvers: Approvers) => boolean): string[] {
    const asking = [...this.#byRun].filter(([, open]) =>
      [...open.values()].some(({ approvers }) => fits(approvers)),
    )
    return asking.map(([runId]) => runId)
  }

  #of(runId: string): Map<string, OpenApproval> {
    const open = this.#byRun.get(runId) ?? new Map<string, OpenApproval>()
    this.#byRun.set(runId, open)
    return open
  }

  #drop(runId: string, which: (key: string) => boolean): void {
    const open = this.#byRun.get(runId)
    if (open === undefined) return
    for (const key of [...open.keys()]) if (which(key)) open.delete(key)
    if (open.size === 0) this.#byRun.delete(runId)
  }
}

const keyOf = ({ phase, step, instance }: { phase: string; step: string; instance: number }): string =>
  `${phase} ${step}\0${instance}`
