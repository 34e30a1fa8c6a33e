import { WorkflowRunArgs } from '../../contract/actions.ts'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { EventOf } from '../../contract/events.ts'
import { type BoxAsk, strictestAsk } from '../../contract/isolation.ts'
import type { RunSpec } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { Submission } from '../api.ts'
import { InstanceSet } from '../core/instance-set.ts'
import { instanceEnv } from '../core/lookup.ts'
import { type Plan, plannedStep } from '../core/plan.ts'
import { instanceOf, type RunState, stepOf } from '../core/state.ts'
import type { RunStore } from '../ports.ts'
import { fillArgs } from '../workflow-file/template.ts'
import type { Started } from './submission.ts'

/** How deep sub-workflows may stand in one another. */
const MAX_DEPTH = 10

/** A sub-workflow, and the instance that waits for it. */
export type ChildStart = Pick<EventOf<'child.started'>, 'step' | 'phase' | 'instance' | 'run_id'>

/** A run with sub-workflows, as far as they are its. */
export interface ParentRun {
  readonly spec: RunSpec
  readonly plan: Plan
  readonly state: RunState
  childFinished(end: Omit<EventOf<'child.finished'>, 'seq' | 'time' | 'type'>): Promise<void>
  /** Whether it has asked for the end of a child, and whether by force; undefined: it has not. */
  canceledChild(runId: string): boolean | undefined
}

/** The submission that a sub-workflow is started with. Throws for inputs that do not work out and for too deep a nesting. */
function childSubmission({ plan, state, spec }: ParentRun, child: ChildStart) {
  const depth = (spec.parent?.depth ?? 0) + 1
  if (depth > MAX_DEPTH)
    throw new ErrandError(
      'invalid_workflow',
      `Sub-workflows stand more than ${MAX_DEPTH} deep in one another.`,
      { hint: 'Flatten them, or see whether one runs itself.' },
    )
  const planned = plannedStep(plan, child.phase, child.step)
  const { instance } = instanceOf(state, child)
  const { lookup } = instanceEnv(plan, state, { run_id: spec.run_id }, planned, instance)
  const { workflow, inputs } = WorkflowRunArgs.parse(fillArgs(planned.step.args, planned.raw, lookup))
  if (!workflow)
    throw new ErrandError('invalid_workflow', `Step "${child.step}" names a file that was not read.`, {
      hint: 'Write the workflow itself under args.workflow, or submit with the CLI, which puts the file in.',
    })
  return { workflow: { ...workflow, ...atLeast(plan.workflow, planned.step, workflow) }, vars: inputs, depth }
}

/** The sub-run of the run that this one retries, where it is to be gone on with. */
function childBefore({ spec, state }: ParentRun, child: ChildStart) {
  const before = child.phase === 'main' ? spec.retry?.children?.[child.step] : undefined
  if (before === undefined) return undefined
  const left = new InstanceSet(before)
  const { instances } = stepOf(state, child.phase, child.step)
  // Of several that are alike each takes its own.
  for (const instance of instances.slice(0, child.instance))
    if (instance.child && !instance.carried) left.take(instance)
  return left.take(instances[child.instance]!)
}

/** The box of the run above and of its step is the least that the steps of a sub-workflow have. */
const atLeast = (above: BoxAsk, step: BoxAsk, own: BoxAsk): BoxAsk =>
  strictestAsk(strictestAsk(above, step), own)

/** The children that a run waits for, as they were started. */
export function openChildren(state: RunState): ChildStart[] {
  const children: ChildStart[] = []
  for (const step of [...state.main, ...state.rollback, ...state.finally])
    for (const [instance, { child, status }] of step?.instances.entries() ?? [])
      if (step && child && status === 'waiting')
        children.push({ step: step.name, phase: step.phase, instance, run_id: child })
  return children
}

export interface ChildrenPorts {
  store: RunStore
  conductor(runId: string): ParentRun | undefined
  begin(submission: Submission, started: Started): Promise<unknown>
  /** How a sub-run is begun that is a retry of this one; undefined where it cannot be: it is gone, or is not like it. */
  retried(
    of: NonNullable<NonNullable<RunSpec['retry']>['children']>[string][number],
    submission: Pick<Submission, 'workflow' | 'vars'>,
  ): Promise<(Started & Pick<Submission, 'workflow'>) | undefined>
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
      const before = childBefore(above, child)
      const again = before && (await this.#ports.retried(before, { workflow, vars }))
      const { workflow: boxed = workflow, ...started } = again ?? {}
      const submission = { workflow: boxed, run_id, vars, owner, tenant, repository }
      await this.#ports.begin(submission, { parent, ...started })
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

/** The sub-workflows of one run whose end it has asked for. */
export class ChildCancels {
  readonly #cancel: (runId: string, force: boolean) => void
  readonly #forced = new Map<string, boolean>()

  constructor(cancel: (runId: string, force: boolean) => void) {
    this.#cancel = cancel
  }

  /** Whether that of a child was, and whether by force; undefined: it was not. */
  get(runId: string): boolean | undefined {
    return this.#forced.get(runId)
  }

  /** Returns what is to be done for it after the commit. Deciding asks until the child has ended; once is enough. */
  ask(runId: string, force: boolean): (() => void)[] {
    const before = this.#forced.get(runId)
    if (before === true || before === force) return []
    this.#forced.set(runId, force)
    return [() => this.#cancel(runId, force)]
  }

  /** By force, and again where it was asked for. */
  endAll(children: readonly { run_id: string }[]): void {
    for (const { run_id } of children) {
      this.#forced.set(run_id, true)
      this.#cancel(run_id, true)
    }
  }
}
