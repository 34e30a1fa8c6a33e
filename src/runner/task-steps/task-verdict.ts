import type { output } from '../../contract/mini-zod.ts'
import type { TaskVerdictArgs } from '../../contract/tasks/actions.ts'
import { type PlatformStep, StepFailure } from '../platform-steps/platform-step.ts'

const MAX_MESSAGE = 2000

const hints = {
  gave_up:
    'The work so far is saved: errand task diff. Add details to the task, or choose another agent or model.',
  review: 'The findings are among the artifacts of the run. Fix them, or write review: {must_pass: false}.',
} as const

/** Ends a try that did not succeed, after everything to be stored of it is stored. */
export const taskVerdict: PlatformStep = {
  async run({ args, shown }) {
    const { reason, message } = args as output<typeof TaskVerdictArgs>
    throw new StepFailure(reason, shown(message).slice(0, MAX_MESSAGE), hints[reason])
  },
}
