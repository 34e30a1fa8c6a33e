import { Input } from '../../contract/workflow.ts'
import { isScalar, misfit } from './input-values.ts'
import { asList, entriesOf, own } from './loose.ts'
import type { Report } from './report.ts'

/** Choices fit the type, and the default fits both. */
export function checkInputs(report: Report, workflow: unknown): void {
  for (const [name, input] of entriesOf(own(workflow, 'inputs'))) {
    const type = Input.shape.type.safeParse(own(input, 'type'))
    if (!type.success) continue
    const choices = asList(own(input, 'enum'))
    for (const [index, choice] of choices.entries()) {
      const wrong = isScalar(choice) ? misfit(choice, { type: type.data }) : undefined
      if (wrong)
        report.say(['inputs', name, 'enum', index], wrong, { hint: `the input's type is ${type.data}` })
    }
    const fallback = own(input, 'default')
    if (!isScalar(fallback)) continue
    const given = choices.filter(isScalar)
    const wrong = misfit(fallback, { type: type.data, enum: given.length > 0 ? given : undefined })
    if (wrong) report.say(['inputs', name, 'default'], wrong)
  }
}
