import { ErrandError } from '../contract/errors.ts'
import type { NewEvent } from '../contract/events.ts'
import type { EngineFace } from './face.ts'
import type { RunState } from './state.ts'

/** Returns the events of an answer to a step's questions. Throws `approval_not_pending`, and changes nothing. */
export function approvalAnswers(
  runId: string,
  { main, finally: atTheEnd }: RunState,
  answer: Parameters<EngineFace['answer']>[1],
): NewEvent[] {
  const waiting = [...main, ...atTheEnd].filter((step) => step.instances.some(({ approval }) => approval))
  const events: NewEvent[] = []
  for (const { name, phase, instances } of waiting)
    for (const [instance, { approval }] of instances.entries())
      if (name === answer.step && approval)
        events.push({ type: 'approval.answered', ...answer, phase, instance })
  if (events.length > 0) return events
  throw new ErrandError(
    'approval_not_pending',
    `Step "${answer.step}" of run ${runId} waits for no approval.`,
    {
      hint:
        waiting.length > 0
          ? `Waiting: ${waiting.map(({ name }) => `"${name}"`).join(', ')}.`
          : 'No step of this run waits for one.',
    },
  )
}
