import { messageOf } from '../contract/errors.ts'
import type { EventOf } from '../contract/events.ts'
import type { RunSpec } from '../contract/run.ts'
import { isFinalRun } from '../contract/status.ts'
import { type ChildStart, childSubmission, type ParentRun } from './child.ts'
import type { Submission } from './face.ts'
import type { RunStore } from './ports.ts'

export interface ChildrenPorts {
  store: RunStore
  conductor(runId: string): ParentRun | undefined
  begin(submission: Submission, parent: NonNullable<RunSpec['parent']>): Promise<unknown>
  cancel(runId: string, options: { message: string; force: boolean }): Promise<void>
  closed(): boolean
}

/** The dealings between a run and its sub-workflows, which are runs of their own. */
export class Children {
  readonly #ports: ChildrenPorts

  constructor(ports: ChildrenPorts) {
    this.#ports = ports
  }

  /** Begins a child whose start is committed, unless it is there. */
  async start(above: ParentRun, child: ChildStart): Promise<void> {
    const { step, phase, instance, run_id } = child
    const { run_id: parentId, owner, tenant, repository } = above.spec
    const end = (status: 'canceled' | 'failed', message?: string) =>
      above.childFinished({ step, phase, instance, run_id, status, message })
    try {
      const there = await this.#ports.store.get(run_id)
      if (there && isFinalRun(there.status)) this.ended(there, there)
      if (there) return
      if (above.canceledChild(run_id) !== undefined) return await end('canceled')
      const { workflow, vars, depth } = childSubmission(above, child)
      const parent = { run_id: parentId, step, phase, instance, depth }
      await this.#ports.begin({ workflow, run_id, vars, owner, tenant, repository }, parent)
      await this.#pass(above, run_id)
    } catch (error) {
      // Left open in the log, it is begun when the run is taken up again.
      if (this.#ports.closed()) return
      await end('failed', messageOf(error)).catch(() => {})
    }
  }

  /** A child has ended: its parent goes on, where it is conducted. */
  ended(
    { run_id, parent }: Pick<RunSpec, 'run_id' | 'parent'>,
    { status, message, outputs }: Pick<EventOf<'child.finished'>, 'status' | 'message' | 'outputs'>,
  ): void {
    if (!parent) return
    const { step, phase, instance } = parent
    const end = { step, phase, instance, run_id, status, message, outputs }
    void this.#ports
      .conductor(parent.run_id)
      ?.childFinished(end)
      .catch(() => {})
  }

  /** Taken up again: its parent may have asked for its end before, or have ended without it. */
  async takenUp({ run_id, parent }: RunSpec): Promise<void> {
    if (!parent) return
    const above = this.#ports.conductor(parent.run_id)
    if (above) return this.#pass(above, run_id)
    const record = await this.#ports.store.get(parent.run_id)
    if (record && isFinalRun(record.status)) await this.cancel(run_id, true)
  }

  async cancel(runId: string, force: boolean): Promise<void> {
    await this.#ports.cancel(runId, { message: 'its parent run was canceled', force }).catch(() => {})
  }

  /** The end that the parent asked for came before the child was there to be told. */
  async #pass(above: ParentRun, runId: string): Promise<void> {
    const force = above.canceledChild(runId)
    if (force !== undefined) await this.cancel(runId, force)
  }
}
