import type { ActionContract } from '../../contract/actions.ts'
import { checkShellText, checkTemplates } from './check-texts.ts'
import { valueHint } from './hints.ts'
import { asMap, entriesOf, valueAt } from './loose.ts'
import type { ValuePath } from './positions.ts'
import type { Report } from './report.ts'
import { safeParse } from './safe-parse.ts'
import { findingsOf } from './sentences.ts'

/**
 * Checks arguments by their action's schema; answers them with its defaults, or undefined. What a text with a
 * `${VAR}` will say is not known yet: it is checked again when it is filled in; only
 * what the engine itself carries out has to fit at once.
 */
export function checkArgs(
  report: Report,
  path: ValuePath,
  args: unknown,
  contract: ActionContract,
  action: string,
): Record<string, unknown> | undefined {
  const given = asMap(args ?? {})
  if (!given) return undefined
  for (const [key, value] of entriesOf(given)) {
    const check = contract.raw.includes(key) ? checkShellText : checkTemplates
    check(report, [...path, key], value)
  }
  const parsed = safeParse(contract.args, given)
  if (parsed.success) return parsed.data as Record<string, unknown>
  if (args === undefined) {
    const hint = () => valueHint('step.args', undefined, { action })
    report.say(path, 'is missing', { at: 'key', hint })
    return undefined
  }
  const certain = parsed.error.issues.filter(
    (issue) =>
      contract.place === 'engine' ||
      issue.code === 'invalid_type' ||
      !isTemplate(valueAt(given, issue.path as ValuePath)),
  )
  for (const finding of findingsOf(certain, contract.args, given, action)) report.found(finding, path)
  return certain.length === 0 ? { ...given } : undefined
}

export function isTemplate(value: unknown): boolean {
  return typeof value === 'string' && value.replaceAll('$${', '').includes('${')
}
