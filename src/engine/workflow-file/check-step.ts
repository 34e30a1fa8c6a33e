import { type ActionCatalog, type ActionContract, shippedAgents } from '../../contract/actions.ts'
import { ErrandError } from '../../contract/errors.ts'
import { DEFAULT_HOST, MAX_INSTANCES, outputRegex, VarName } from '../../contract/workflow.ts'
import { didYouMean, nearest } from './hints/did-you-mean.ts'
import { actionHint, valueHint } from './hints/hints.ts'
import { findingsOf, safeParse } from './issue-messages.ts'
import { asList, asMap, asText, entriesOf, own, valueAt } from './loose-values.ts'
import type { ValuePath } from './positions.ts'
import type { Report } from './problems.ts'
import { templateMistakes } from './template.ts'
import { parseWhen, type WhenAst } from './when.ts'

/** A step's arguments, checked and with their defaults. */
export interface CheckedArgs {
  args?: Record<string, unknown>
  rollback?: Record<string, unknown>
}

/**
 * Checks everything about a step that its schema cannot express. `hosts` are the inventory's, undefined when the
 * inventory is broken.
 */
export function checkStep(
  report: Report,
  path: ValuePath,
  step: unknown,
  catalog: ActionCatalog,
  hosts: ReadonlySet<string> | undefined,
): CheckedArgs {
  checkTargets(report, [...path, 'targets'], own(step, 'targets'), hosts)
  checkWhen(report, [...path, 'when'], own(step, 'when'))
  checkTemplates(report, [...path, 'env'], own(step, 'env'))
  checkTemplates(report, [...path, 'targets'], own(step, 'targets'))
  checkOutputs(report, [...path, 'outputs'], own(step, 'outputs'))
  checkInstances(report, path, step)
  checkNeededFiles(report, [...path, 'needs_files'], own(step, 'needs_files'))

  const name = own(step, 'action')
  const action = checkAction(report, [...path, 'action'], name, catalog)
  if (action?.place === 'engine') checkEngineStep(report, path, step, String(name))
  if (action) checkExpectedVars(report, path, step, String(name))
  return {
    args: action && checkArgs(report, [...path, 'args'], own(step, 'args'), action, String(name)),
    rollback: checkRollback(report, [...path, 'rollback'], own(step, 'rollback'), catalog),
  }
}

function checkRollback(report: Report, path: ValuePath, rollback: unknown, catalog: ActionCatalog) {
  if (rollback !== undefined && path[0] === 'finally') {
    report.say(path, 'has no effect', { at: 'key', hint: 'finally steps are not rolled back; leave it out' })
  }
  const action = checkAction(report, [...path, 'action'], own(rollback, 'action'), catalog)
  if (action?.place === 'engine') {
    const message = `cannot be ${String(own(rollback, 'action'))}, which does not run on a host`
    report.say([...path, 'action'], message, { hint: 'a rollback runs where its step ran' })
    return undefined
  }
  return (
    action &&
    checkArgs(report, [...path, 'args'], own(rollback, 'args'), action, String(own(rollback, 'action')))
  )
}

function checkTargets(
  report: Report,
  path: ValuePath,
  targets: unknown,
  hosts: ReadonlySet<string> | undefined,
): void {
  const seen = new Set<unknown>()
  for (const [index, target] of asList(targets).entries()) {
    if (typeof target !== 'string' || target === '' || isTemplate(target)) continue
    const quoted = JSON.stringify(target)
    if (seen.has(target)) report.say([...path, index], `names ${quoted} twice`, { hint: 'name it once' })
    seen.add(target)
    if (hosts === undefined || target === DEFAULT_HOST || hosts.has(target)) continue
    report.say([...path, index], `names ${quoted}, which is not in inventory.hosts`, {
      hint: () =>
        target === 'all' || target === '*'
          ? `name each: targets: [${[...hosts].join(', ') || DEFAULT_HOST}]`
          : didYouMean(target, [DEFAULT_HOST, ...hosts], hostHint(target)),
    })
  }
}

const hostHint = (name: string): string =>
  `write inventory: {hosts: {${/^[\w.-]+$/.test(name) ? name : 'web'}: {address: "http://10.0.0.5:7072"}}} at the top level`

/** Checks that `matrix` and `foreach` are not combined, and that a step has a limited number of instances. */
function checkInstances(report: Report, path: ValuePath, step: unknown): void {
  const matrix = own(step, 'matrix')
  const foreach = own(step, 'foreach')
  if (typeof foreach === 'string') checkTemplates(report, [...path, 'foreach'], foreach)
  if (matrix !== undefined && foreach !== undefined) {
    const hint = 'keep one of them; a matrix with one variable is a foreach with a named item'
    report.say([...path, 'foreach'], 'cannot be combined with matrix', { at: 'key', hint })
  }
  const items = asMap(matrix)
    ? entriesOf(matrix).reduce((product, [, values]) => product * Math.max(1, asList(values).length), 1)
    : asList(foreach).length
  const times = items * Math.max(1, asList(own(step, 'targets')).length)
  if (times <= MAX_INSTANCES) return
  const key = matrix === undefined ? 'foreach' : 'matrix'
  report.say([...path, key], `makes the step run ${times} times`, {
    at: 'key',
    hint: `the limit is ${MAX_INSTANCES}`,
  })
}

/** Returns the contract of the action named at `path`, if there is one. */
function checkAction(
  report: Report,
  path: ValuePath,
  action: unknown,
  catalog: ActionCatalog,
): ActionContract | undefined {
  const name = asText(action)
  if (!name) return undefined
  const contract = Object.hasOwn(catalog, name) ? catalog[name] : undefined
  if (contract?.made_by !== undefined) {
    report.say(path, `names "${name}", which a file cannot use`, {
      hint: `start it with: ${contract.made_by}`,
    })
    return undefined
  }
  if (contract) return contract
  const all = Object.keys(catalog).filter((known) => catalog[known]!.made_by === undefined)
  report.say(path, `names ${JSON.stringify(name.slice(0, 80))}, but there is no such action`, {
    hint: () => actionHint(name, all),
  })
  return undefined
}

/** Keys that a step which the engine itself runs cannot have, and what to do instead. */
const hostOnly: Readonly<Record<string, string>> = {
  targets: 'leave targets out',
  retry: 'leave retry out, or write it in the steps of the sub-workflow',
  on_disconnect: 'leave on_disconnect out, or write it in the steps of the sub-workflow',
  expect_vars: 'leave expect_vars out',
  secrets: 'leave secrets out; the steps of a sub-workflow name their own',
  resources: 'leave resources out, or write them in the steps of the sub-workflow',
  limits: 'leave limits out, or write them in the steps of the sub-workflow',
  needs_files: 'leave needs_files out, or write them in the steps of the sub-workflow',
  artifacts: 'leave artifacts out, or write them in the steps of the sub-workflow',
  outputs: 'leave outputs out; the outputs of a sub-workflow become variables automatically',
  timeout_seconds:
    'for an approval, write timeout_seconds under args; for a sub-workflow, write it in that workflow',
}

function checkEngineStep(report: Report, path: ValuePath, step: unknown, action: string): void {
  for (const [key, hint] of Object.entries(hostOnly)) {
    if (own(step, key) !== undefined)
      report.say([...path, key], `cannot be used: ${action} does not run on a host`, { at: 'key', hint })
  }
}

const processActions = ['cmd.run', 'shell.run']

/** Checks that a variable that a step must export is set somewhere. */
function checkExpectedVars(report: Report, path: ValuePath, step: unknown, action: string): void {
  const expected = own(step, 'expect_vars')
  if (!processActions.includes(action) || !Array.isArray(expected)) return
  if (own(own(step, 'args'), 'export_vars') === true) return
  const outputs = own(step, 'outputs')
  for (const [index, name] of expected.entries()) {
    // The schema reports what is not a name at all.
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

/**
 * Checks arguments against their action's schema. Returns them with its defaults, or undefined. The result of a text
 * with a `${VAR}` is unknown yet, so it is checked again after it is filled in; only for an action that the engine
 * itself runs must it fit at once.
 */
function checkArgs(
  report: Report,
  path: ValuePath,
  args: unknown,
  contract: ActionContract,
  action: string,
): Record<string, unknown> | undefined {
  const map = asMap(args ?? {})
  if (!map) return undefined
  for (const [key, value] of entriesOf(map)) {
    const check = contract.raw.includes(key) ? checkShellText : checkTemplates
    check(report, [...path, key], value)
  }
  const parsed = safeParse(contract.args, map)
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
      !isTemplate(valueAt(map, issue.path as ValuePath)),
  )
  for (const finding of findingsOf(certain, contract.args, map, action)) report.found(finding, path)
  return certain.length === 0 ? { ...map } : undefined
}

export function isTemplate(value: unknown): boolean {
  return typeof value === 'string' && value.replaceAll('$${', '').includes('${')
}

const maxDepth = 100

/** Checks that every `${` in the texts of a value begins a variable. */
export function checkTemplates(report: Report, path: ValuePath, value: unknown, depth = 0): void {
  if (depth > maxDepth) {
    report.say(path, 'is nested too deeply', { hint: `at most ${maxDepth} levels` })
  } else if (typeof value === 'string') {
    for (const { index, message, hint } of templateMistakes(value))
      report.say(path, `is not valid: ${message}`, { at: index, hint })
  } else if (Array.isArray(value)) {
    for (const [index, inner] of value.entries()) checkTemplates(report, [...path, index], inner, depth + 1)
  } else {
    for (const [key, inner] of entriesOf(value)) checkTemplates(report, [...path, key], inner, depth + 1)
  }
}

/** Checks that each entry has one name or one glob, and a path in the workspace. */
function checkNeededFiles(report: Report, path: ValuePath, needed: unknown): void {
  for (const [index, one] of asList(needed).entries()) {
    const [name, glob, to] = [own(one, 'name'), own(one, 'glob'), asText(own(one, 'to'))]
    if ((name === undefined) === (glob === undefined))
      report.say([...path, index], name === undefined ? 'names no file' : 'has both a name and a glob', {
        hint: 'write name for one file, or glob for all files that match',
      })
    if (to !== undefined && (to.startsWith('/') || to.split('/').includes('..')))
      report.say([...path, index, 'to'], 'leads out of the workspace', {
        hint: 'use a path inside the workspace',
      })
  }
}

function checkWhen(report: Report, path: ValuePath, when: unknown): void {
  const text = asText(when)
  if (text === undefined) return
  try {
    const bare = bareWord(parseWhen(text))
    if (bare !== undefined)
      report.say(path, `uses no variable: ${bare} is plain text, so the result is always the same`, {
        hint: `a variable is written \${${bare}}`,
        severity: 'warning',
      })
  } catch (error) {
    if (!(error instanceof ErrandError)) throw error
    const column = (error.details as { column: number }).column
    report.say(path, `does not parse: ${error.message} (at character ${column})`, {
      at: column - 1,
      hint: error.hint,
    })
  }
}

/** Returns the first word that looks like a variable's name, in a test or comparison without variables. */
function bareWord(ast: WhenAst): string | undefined {
  if (ast.type === 'not') return bareWord(ast.term)
  if ('terms' in ast) {
    for (const term of ast.terms) {
      const found = bareWord(term)
      if (found !== undefined) return found
    }
    return undefined
  }
  const operands = ast.type === 'test' ? [ast.operand] : [ast.left, ast.right]
  if (operands.some((one) => one.type === 'variable' || one.text.includes('${'))) return undefined
  return operands.flatMap((one) =>
    one.type === 'word' && /^(?!(?:true|false)$)[A-Za-z_]\w*$/.test(one.text) ? one.text : [],
  )[0]
}

/**
 * Warns of another system's expressions in a shell's text, since the shell does not know them and reads them literally.
 */
function checkShellText(report: Report, path: ValuePath, text: unknown): void {
  const found = /\$\{\{\s*([\w.]{1,100})[^}\n]{0,100}\}\}/.exec(asText(text) ?? '')
  if (!found) return
  const [written, names] = found
  const [kind, name = 'NAME'] = names!.split('.')
  const variable = `"$${/^[A-Za-z_]\w*$/.test(name) ? name : 'NAME'}"`
  report.say(path, `contains ${written}, which is not shell syntax`, {
    at: found.index,
    severity: 'warning',
    hint: kind === 'secrets' ? `write ${variable}, and secrets: [${name}] in the step` : `write ${variable}`,
  })
}

/** Checks the regular expressions that extract outputs. */
function checkOutputs(report: Report, path: ValuePath, outputs: unknown): void {
  for (const [name, source] of entriesOf(outputs)) {
    const regex = asText(own(source, 'regex'))
    if (regex === undefined) continue
    try {
      outputRegex(regex)
    } catch (error) {
      const why = (error as Error).message.replace(/^Invalid regular expression: /, '')
      const hint = 'use the syntax of JavaScript with the flags m and u'
      report.say([...path, name, 'regex'], `is not a valid regular expression: ${why}`, { hint })
    }
  }
}

/** Warns of agents that neither ship with Errand nor are among `others`: a runner may still have them. */
export function checkAgents(report: Report, workflow: unknown, others: readonly string[]): void {
  const known = [...new Set([...shippedAgents, ...others])]
  for (const list of ['steps', 'finally'] as const)
    for (const [index, step] of asList(own(workflow, list)).entries()) {
      checkAgent(report, [list, index], step, known)
      checkAgent(report, [list, index, 'rollback'], own(step, 'rollback'), known)
    }
}

function checkAgent(report: Report, path: ValuePath, step: unknown, known: readonly string[]): void {
  const agent = own(own(step, 'args'), 'agent')
  if (own(step, 'action') !== 'agent.run' || typeof agent !== 'string' || agent === '') return
  if (isTemplate(agent) || known.includes(agent)) return
  const there = `use ${known.join(', ')}, or an agent that was added to a runner`
  const near = nearest(agent, known)
  report.say(
    [...path, 'args', 'agent'],
    `names ${JSON.stringify(agent.slice(0, 80))}, which is unknown here`,
    {
      hint: near === undefined ? there : `did you mean "${near}"? ${there}`,
      severity: 'warning',
    },
  )
}
