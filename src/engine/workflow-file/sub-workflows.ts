import { posix } from 'node:path'
import type { ActionCatalog } from '../../contract/actions.ts'
import type { Workflow } from '../../contract/workflow.ts'
import type { CheckOptions } from './check.ts'
import { isTemplate } from './check-step.ts'
import { inputProblems } from './inputs.ts'
import { asMap } from './loose-values.ts'
import { parseYaml } from './parse.ts'
import type { ValuePath } from './positions.ts'
import type { Report } from './problems.ts'

const maxDepth = 10
const maxFiles = 200

type Check = (
  report: Report,
  value: unknown,
  catalog: ActionCatalog,
  subs: SubWorkflows,
) => Workflow | undefined

/** The position of a check in the tree of workflows, and how it continues. */
export interface SubWorkflows {
  check: Check
  readFile: CheckOptions['readFile']
  agents: CheckOptions['agents']
  hosts: CheckOptions['hosts']
  /** Folder of the first file, as problems name it. */
  shownFolder: string
  /** Files that lead here, from the first file's folder. */
  chain: readonly string[]
  depth: number
  /** Shared by the whole tree: one file may be used often, and each use copies it. */
  budget: { files: number }
}

export function subWorkflows({ file, readFile, agents, hosts }: CheckOptions, check: Check): SubWorkflows {
  const chain = file === undefined ? [] : [posix.basename(file)]
  const shownFolder = file === undefined ? '' : posix.dirname(file)
  return { check, readFile, agents, hosts, shownFolder, chain, depth: 0, budget: { files: maxFiles } }
}

/** Returns the arguments of `workflow.run` with its workflow checked; a file is replaced by its workflow. */
export function inlineWorkflow(
  report: Report,
  path: ValuePath,
  args: Record<string, unknown>,
  catalog: ActionCatalog,
  subs: SubWorkflows,
): Record<string, unknown> | undefined {
  const { file, workflow, inputs } = args
  if ((file === undefined) === (workflow === undefined)) {
    const both = file !== undefined
    report.say(
      path.slice(0, -1),
      both ? 'has both file and workflow under args' : 'names no workflow to run',
      {
        hint: both ? 'keep one of them' : 'write file: or workflow: under args',
      },
    )
    return undefined
  }
  const next = { ...subs, depth: subs.depth + 1 }
  const key = file === undefined ? 'workflow' : 'file'
  if (next.depth > maxDepth) {
    report.say([...path, key], `is nested more than ${maxDepth} levels deep`, {
      hint: 'flatten the workflows',
    })
    return undefined
  }
  const child =
    file === undefined
      ? subs.check(report.within([...path, 'workflow']), workflow, catalog, next)
      : fileWorkflow(report, [...path, 'file'], String(file), catalog, next)
  if (!child) return undefined
  const inputMap = asMap(inputs) as Record<string, string | number | boolean>
  for (const { input, message } of inputProblems(child, inputMap, isTemplate))
    report.say([...path, 'inputs', input], `does not fit workflow "${child.name}": ${message}`)
  return { workflow: child, inputs: inputMap }
}

function fileWorkflow(
  report: Report,
  path: ValuePath,
  file: string,
  catalog: ActionCatalog,
  subs: SubWorkflows,
): Workflow | undefined {
  const say = (message: string, hint?: string) => report.say(path, message, { hint })
  if (isTemplate(file))
    return void say(
      'cannot contain a variable',
      'files are read before the run starts; write the path itself',
    )
  if (!subs.readFile)
    return void say(
      'cannot be read here',
      'write the workflow itself under args.workflow, or use errand run or errand dispatch',
    )
  const folder = posix.dirname(subs.chain.at(-1) ?? '')
  const name = posix.isAbsolute(file) ? posix.normalize(file) : posix.join(folder, file)
  if (subs.chain.includes(name)) {
    return void say(
      `leads back to itself: ${[...subs.chain.slice(subs.chain.indexOf(name)), name].join(' -> ')}`,
      'a workflow cannot run itself',
    )
  }
  if (--subs.budget.files < 0)
    return void say('is one file too many', `a workflow can contain at most ${maxFiles} others`)
  let text: string
  try {
    text = subs.readFile(name)
  } catch (error) {
    return void say(
      `cannot be read: ${(error as Error).message}`,
      'the path is relative to the folder of this workflow file',
    )
  }
  const shown = posix.isAbsolute(name) ? name : posix.join(subs.shownFolder, name)
  const { value, locate, problems } = parseYaml(text)
  const inner = report.of(value, shown, locate)
  for (const problem of problems) inner.problems.push({ ...problem, file: shown })
  if (problems.length > 0) return undefined
  return subs.check(inner, value, catalog, { ...subs, chain: [...subs.chain, name] })
}
