import type { StepInstance } from '../../contract/events.ts'
import type { Reason, RunStatus, StepStatus } from '../../contract/status.ts'
import type { PlannedStep } from './plan.ts'

/** The next thing to do. `record.ts` turns an intent into events; the conductor does the rest after the commit. */
export type Intent =
  | { type: 'start_step'; planned: PlannedStep; instances: StepInstance[] }
  | { type: 'skip_step'; planned: PlannedStep; reason: Reason; message?: string }
  /** A step that cannot begin because its targets or items cannot be worked out. */
  | { type: 'fail_step'; planned: PlannedStep; reason: Reason; message: string }
  | { type: 'finish_step'; planned: PlannedStep; status: StepStatus; reason?: Reason; message?: string }
  | { type: 'start_attempt'; planned: PlannedStep; instance: number; try: number }
  | { type: 'cancel_attempt'; number: number; reason: Reason; force: boolean }
  | { type: 'request_approval'; planned: PlannedStep; instance: number }
  | { type: 'expire_approval'; planned: PlannedStep; instance: number }
  | { type: 'start_child'; planned: PlannedStep; instance: number }
  | { type: 'cancel_child'; run_id: string; force: boolean }
  | { type: 'time_out' }
  | {
      type: 'finish_run'
      status: RunStatus
      reason?: Reason
      message?: string
      outputs?: Record<string, string>
    }
  | { type: 'wake'; at_ms: number }
