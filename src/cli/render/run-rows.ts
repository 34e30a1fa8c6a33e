import type { EventOf, RunEvent, StepPhase } from '../../contract/events.ts'
import { isFinalStep, type Reason, type StepStatus } from '../../contract/status.ts'

/** Describes one line of the summary: a step on one host, or a step that ran on none. */
export interface Row {
  step: string
  phase: StepPhase
  host: string
  /** True if its step is an on-demand step that was skipped, which is not shown. */
  isIdle?: boolean
  status: StepStatus
  reason?: Reason
  message?: string
  exitCode?: number
  tries: number
  startedAt?: string
  finishedAt?: string
}

/** Collects the rows of a run from its events alone, so that they are the same wherever the run is. */
export class RunRows {
  readonly rows: Row[] = []
  readonly #steps = new Map<string, Row[]>()
  readonly #attempts = new Map<number, Row>()

  add(event: RunEvent): void {
    switch (event.type) {
      case 'step.started':
        this.#open(
          event,
          event.instances.map(({ host, vars, carried, ended }) => ({
            host: instanceName(host, vars),
            status: ended?.status ?? (carried === undefined ? 'queued' : 'success'),
            reason: ended?.reason,
            message: ended?.message ?? (carried === undefined ? undefined : 'result reused'),
          })),
        )
        break
      case 'step.skipped':
        this.#open(event, [
          {
            host: '',
            status: 'skipped',
            reason: event.reason,
            message: event.message,
            isIdle: event.on_demand,
          },
        ])
        break
      case 'attempt.created': {
        const row = this.#steps.get(key(event))?.[event.instance]
        if (row === undefined) break
        this.#attempts.set(event.attempt, row)
        row.tries = event.try
        row.startedAt ??= event.time
        row.status = event.waiting === undefined ? 'running' : 'waiting'
        break
      }
      case 'attempt.waiting':
      case 'attempt.assigned': {
        const row = this.#attempts.get(event.attempt)
        if (row !== undefined) row.status = event.type === 'attempt.waiting' ? 'waiting' : 'running'
        break
      }
      case 'attempt.finished': {
        const row = this.#attempts.get(event.attempt)
        if (row === undefined) break
        Object.assign(row, { finishedAt: event.time, reason: event.reason, message: event.message })
        row.exitCode = event.exit_code
        row.status = event.retry_at === undefined ? event.outcome : 'waiting'
        break
      }
      case 'approval.requested':
      case 'child.started':
        this.#update(event, { status: 'waiting', startedAt: event.time })
        break
      case 'child.finished':
        this.#update(event, {
          ...{ status: event.status, message: event.message, finishedAt: event.time },
          reason: event.status === 'failed' ? 'child_failed' : undefined,
        })
        break
      case 'step.finished':
        this.#finish(event)
        break
    }
  }

  /** Returns the row of an attempt. */
  of(attempt: number): Row | undefined {
    return this.#attempts.get(attempt)
  }

  /** Returns the rows of a step. */
  ofStep(step: StepKey): readonly Row[] {
    return this.#steps.get(key(step)) ?? []
  }

  #open(
    event: EventOf<'step.started' | 'step.skipped'>,
    begun: Pick<Row, 'host' | 'status' | 'reason' | 'message' | 'isIdle'>[],
  ): void {
    const rows = begun.map((one): Row => ({ ...one, step: event.step, phase: event.phase, tries: 0 }))
    this.#steps.set(key(event), rows)
    this.rows.push(...rows)
  }

  #update(event: StepKey & { instance: number }, change: Partial<Row>): void {
    const row = this.#steps.get(key(event))?.[event.instance]
    if (row !== undefined) Object.assign(row, change)
  }

  #finish(event: EventOf<'step.finished'>): void {
    const { status, reason, message } = event
    // A step that could not even start has no instance.
    if (this.#steps.get(key(event))?.length === 0) {
      this.rows.push({ ...placeOf(event), host: '', tries: 0, status, reason, message })
    }
    for (const row of this.#steps.get(key(event)) ?? []) {
      if (!isFinalStep(row.status)) Object.assign(row, { status, reason, message, finishedAt: event.time })
    }
  }
}

type StepKey = Pick<Row, 'step' | 'phase'>
/** The phase is part of the key: a step and its rollback have the same name. */
const key = ({ step, phase }: StepKey): string => `${phase} ${step}`
const placeOf = ({ step, phase }: StepKey): StepKey => ({ step, phase })

/** Formats an instance: `web-1`, or `web-1 [node=20]` for one combination of a matrix. */
export function instanceName(host: string, vars: Record<string, string> | undefined): string {
  if (vars === undefined) return host
  const values = Object.entries(vars).map(
    ([name, value]) => `${name}=${value.length > 30 ? `${value.slice(0, 29)}…` : value}`,
  )
  return `${host} [${values.join(' ')}]`
}
