import { asList, asText, own } from './loose-values.ts'
import type { ValuePath } from './positions.ts'
import type { Report } from './problems.ts'

/** Checks whether the boxes of a file contradict themselves: `isolation`, `network`, `image`. */
export function checkBoxes(report: Report, workflow: unknown): void {
  const steps = (['steps', 'finally'] as const).flatMap((list) =>
    asList(own(workflow, list)).map((step, index) => ({ step, path: [list, index] as ValuePath })),
  )
  checkNetwork(report, [], workflow)
  for (const { step, path } of steps) {
    checkNetwork(report, path, step)
    checkEngineStep(report, path, step)
    const kinds = [own(workflow, 'isolation'), own(step, 'isolation')]
    if (own(step, 'image') !== undefined && !kinds.includes('container')) sayNoContainer(report, path)
  }
  const all = [workflow, ...steps.map(({ step }) => step)]
  const isContainer = all.some((each) => own(each, 'isolation') === 'container')
  if (own(workflow, 'image') !== undefined && !isContainer) sayNoContainer(report, [])
}

function checkNetwork(report: Report, path: ValuePath, at: unknown): void {
  const network = own(at, 'network')
  if (own(at, 'isolation') !== 'none' || network === undefined || network === 'all') return
  report.say([...path, 'network'], 'needs a box, but isolation is none', {
    at: 'key',
    hint: 'without a box, processes open their own sockets and can reach everything; write isolation: sandbox, or leave isolation out',
  })
}

function sayNoContainer(report: Report, path: ValuePath): void {
  const what = path.length === 0 ? 'no step runs in a container' : 'the step does not run in a container'
  report.say([...path, 'image'], `has no effect: ${what}`, {
    at: 'key',
    hint: 'write isolation: container beside it, or leave image out',
  })
}

/**
 * Checks a step that the engine runs: a sub-workflow passes its box to its steps, while a step that waits for a person
 * runs nowhere.
 */
function checkEngineStep(report: Report, path: ValuePath, step: unknown): void {
  const action = asText(own(step, 'action'))
  if (action !== 'approval.wait') return
  for (const key of ['isolation', 'network', 'image'])
    if (own(step, key) !== undefined)
      report.say([...path, key], `cannot be used: ${action} does not run on a host`, {
        at: 'key',
        hint: `leave ${key} out`,
      })
}
