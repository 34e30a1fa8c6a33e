import type { ActionCatalog, ActionContract } from '../../contract/actions.ts'
import { VarName } from '../../contract/workflow.ts'
import { actionHint } from './hints.ts'
import { asText, own } from './loose.ts'
import type { ValuePath } from './positions.ts'
import type { Report } from './report.ts'
import { safeParse } from './safe-parse.ts'

/** The contract of the action named at `path`, where there is one. */
export function checkAction(
  report: Report,
  path: ValuePath,
  action: unknown,
  catalog: ActionCatalog,
): ActionContract | undefined {
  const name = asText(action)
  if (!name) return undefined
  const contract = Object.hasOwn(catalog, name) ? catalog[name] : undefined
  if (contract?.made_by !== undefined) {
    report.say(path, `names "${name}", which no file can have`, {
      hint: `start it with: ${contract.made_by}`,
    })
    return undefined
  }
  if (contract) return contract
  const all = Object.keys(catalog).filter((known) => catalog[known]!.made_by === undefined)
  report.say(path, `names ${JSON.stringify(name.slice(0, 80))}, and there is no such action`, {
    hint: () => actionHint(name, all),
  })
  return undefined
}

/** The keys that a step which the engine itself carries out cannot have, and what to do instead. */
const hostOnly: Readonly<Record<string, string>> = {
  targets: 'leave targets out',
  retry: 'leave retry out, or put it on the steps of the sub-workflow',
  on_disconnect: 'leave on_disconnect out, or write it on the steps of the sub-workflow',
  expect_vars: 'leave expect_vars out',
  secrets: 'leave secrets out; the steps of a sub-workflow name their own',
  resources: 'leave resources out, or write them on the steps of the sub-workflow',
  limits: 'leave limits out, or write them on the steps of the sub-workflow',
  outputs: 'leave outputs out; the outputs of a sub-workflow become variables by themselves',
  timeout_seconds:
    'for an approval write timeout_seconds under args; for a sub-workflow write it in that workflow',
}

export function checkEngineStep(report: Report, path: ValuePath, step: unknown, action: string): void {
  for (const [key, hint] of Object.entries(hostOnly)) {
    if (own(step, key) !== undefined)
      report.say([...path, key], `cannot be used: ${action} runs on no host`, { at: 'key', hint })
  }
}

const processActions = ['cmd.run', 'shell.run']

/** A variable that a step must export has to come from somewhere. */
export function checkExpectedVars(report: Report, path: ValuePath, step: unknown, action: string): void {
  const expected = own(step, 'expect_vars')
  if (!processActions.includes(action) || !Array.isArray(expected)) return
  if (own(own(step, 'args'), 'export_vars') === true) return
  const outputs = own(step, 'outputs')
  for (const [index, name] of expected.entries()) {
    // What is no name at all is told by the schema.
    if (!safeParse(VarName, name).success || own(outputs, name) !== undefined) continue
    report.say(
      [...path, 'expect_vars', index],
      `names ${JSON.stringify(name)}, which the step cannot export`,
      {
        hint: 'write export_vars: true under args, or name it under outputs',
      },
    )
  }
}
