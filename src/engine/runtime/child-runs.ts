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

/** Most levels of nested sub-workflows. */
const MAX_DEPTH = 10

/** A sub-workflow, and the instance that waits for it. */
export type ChildStart = Pick<EventOf<'child.started'>, 'step' | 'phase' | 'instance' | 'run_id'>

/** The parts of a run that its sub-workflows need. */
export interface ParentRun {
  readonly spec: RunSpec
  readonly plan: Plan
  readonly state: RunState
  childFinished(end: Omit<EventOf<'child.finished'>, 'seq' | 'time' | 'type'>): Promise<void>
  /** Returns whether the run has requested the end of a child, and by force or not; undefined when it has not. */
  canceledChild(runId: string): boolean | undefined
}

/**
 * Makes the submission that starts a sub-workflow. Throws for inputs that cannot be worked out, and for nesting that is
 * too deep.
 */
function childSubmission({ plan, state, spec }: ParentRun, child: ChildStart) {
  const depth = (spec.parent?.depth ?? 0) + 1
  if (depth > MAX_DEPTH)
    throw new ErrandError(
      'invalid_workflow',
      `Sub-workflows are nested more than ${MAX_DEPTH} levels deep.`,
      { hint: 'Flatten them, or check whether one runs itself.' },
    )
  const planned = plannedStep(plan, child.phase, child.step)
  const { instance } = instanceOf(state, child)
  const { lookup } = instanceEnv(plan, state, { run_id: spec.run_id }, planned, instance)
  const { workflow, inputs } = WorkflowRunArgs.parse(fillArgs(planned.step.args, planned.raw, lookup))
  if (!workflow)
    throw new ErrandError('invalid_workflow', `Step "${child.step}" names a file that was not read.`, {
      hint: 'Write the workflow itself under args.workflow, or submit with the CLI, which includes the file.',
    })
  return { workflow: { ...workflow, ...atLeast(plan.workflow, planned.step, workflow) }, vars: inputs, depth }
}

/** Finds the sub-run of the retried run that this child is to continue. */
function childBefore({ spec, state }: ParentRun, child: ChildStart) {
  const before = child.phase === 'main' ? spec.retry?.children?.[child.step] : undefined
  if (before === undefined) return undefined
  const left = new InstanceSet(before)
  const { instances } = stepOf(state, child.phase, child.step)
  // Of several that are alike, each instance takes its own.
  for (const instance of instances.slice(0, child.instance))
    if (instance.child && !instance.carried) left.take(instance)
  return left.take(instances[child.instance]!)
}

/** Combines boxes: that of the parent run and its step is the minimum for the steps of a sub-workflow. */
const atLeast = (above: BoxAsk, step: BoxAsk, own: BoxAsk): BoxAsk =>
  strictestAsk(strictestAsk(above, step), own)

/** Returns the children that a run waits for, as they were started. */
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
  /**
   * Works out how a sub-run begins as a retry of an earlier one. Undefined when that is impossible: the earlier one is
   * gone, or differs.
   */
  retried(
    of: NonNullable<NonNullable<RunSpec['retry']>['children']>[string][number],
    submission: Pick<Submission, 'workflow' | 'vars'>,
  ): Promise<(Started & Pick<Submission, 'workflow'>) | undefined>
  cancel(runId: string, options: { message: string; force: boolean }): Promise<void>
  closed(): boolean
}

/** Connects a run with its sub-workflows, which are runs of their own. */
export class Children {
  readonly #ports: ChildrenPorts

  constructor(ports: ChildrenPorts) {
    this.#ports = ports
  }

  /** Begins a child whose start is committed, unless it exists. */
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
      // The log leaves it open, so it begins when the run is resumed.
      if (this.#ports.closed()) return
      await end('failed', messageOf(error)).catch(() => {})
    }
  }

  /** Lets the parent of an ended child continue, where that parent is conducted. */
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

  /** Handles a resumed child: its parent may have requested its end before, or have ended without it. */
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

  /** Passes on an end that the parent requested before the child existed. */
  async #pass(above: ParentRun, runId: string): Promise<void> {
    const force = above.canceledChild(runId)
    if (force !== undefined) await this.cancel(runId, force)
  }
}

/** The sub-workflows of one run whose end it has requested. */
export class ChildCancels {
  readonly #cancel: (runId: string, force: boolean) => void
  readonly #forced = new Map<string, boolean>()

  constructor(cancel: (runId: string, force: boolean) => void) {
    this.#cancel = cancel
  }

  /** Returns whether a child's end was requested, and by force or not; undefined when it was not. */
  get(runId: string): boolean | undefined {
    return this.#forced.get(runId)
  }

  /**
   * Returns what to do for it after the commit. Deciding asks again until the child has ended, but one request is
   * enough.
   */
  ask(runId: string, force: boolean): (() => void)[] {
    const before = this.#forced.get(runId)
    if (before === true || before === force) return []
    this.#forced.set(runId, force)
    return [() => this.#cancel(runId, force)]
  }

  /** Requests the end of all children by force, even where it was requested before. */
  endAll(children: readonly { run_id: string }[]): void {
    for (const { run_id } of children) {
      this.#forced.set(run_id, true)
      this.#cancel(run_id, true)
    }
  }
}
