import { builtinActions, DEFAULT_MAX_OUTPUT_BYTES } from '../contract/actions.ts'
import type { Workflow } from '../contract/workflow.ts'
import { didYouMean } from '../engine/workflow-file/hints/did-you-mean.ts'
import { UsageError } from './command.ts'
import { oneOf } from './option-values.ts'
import { type ColorChoice, colorChoices } from './render/terminal-text.ts'

/** Where the whole output of the steps goes that name no folder of their own. The workflow is changed. */
export function setOutputPath(workflow: Workflow, folder: string): Workflow {
  for (const step of [...workflow.steps, ...(workflow.finally ?? [])]) {
    const args = builtinActions[step.action]?.args
    if (args !== undefined && 'shape' in args && Object.hasOwn(args.shape as object, 'output_path')) {
      step.args.output_path ??= folder
    }
    if (step.action === 'workflow.run') setOutputPath(step.args.workflow as Workflow, folder)
  }
  return workflow
}

/** How much of a step's output is shown; `within`: the steps that lead to its sub-workflow. */
export function shownBytes(workflow: unknown): (step: string, within: readonly string[]) => number {
  const known = new Map<string, ReadonlyMap<string, number>>()
  return (step, within) => {
    const path = JSON.stringify(within)
    const limits = known.get(path) ?? limitsOf(within.reduce(subWorkflow, workflow))
    known.set(path, limits)
    return limits.get(step) ?? DEFAULT_MAX_OUTPUT_BYTES
  }
}

const subWorkflow = (workflow: unknown, step: string): unknown =>
  stepsOf(workflow).find(({ name }) => name === step)?.args.workflow

const limitsOf = (workflow: unknown) => new Map(stepsOf(workflow).map((step) => [step.name, limitOf(step)]))

/** The most that is shown of a stream of any step, those of sub-workflows too. */
export function mostShownBytes(workflow: unknown): number {
  const all = stepsOf(workflow).map((step) =>
    step.args.workflow === undefined ? limitOf(step) : mostShownBytes(step.args.workflow),
  )
  return all.reduce((most, one) => Math.max(most, one), DEFAULT_MAX_OUTPUT_BYTES)
}

function stepsOf(workflow: unknown): Workflow['steps'] {
  const { steps = [], finally: last = [] } = (workflow ?? {}) as Partial<Workflow>
  return [...steps, ...last]
}

const limitOf = ({ args }: Workflow['steps'][number]): number =>
  typeof args.max_output_bytes === 'number' ? args.max_output_bytes : DEFAULT_MAX_OUTPUT_BYTES

/** How a run is shown, wherever it is. */
export const showOptions = {
  verbose: { type: 'boolean', help: 'Tell each instance of a step by itself, however many there are' },
  color: {
    type: 'string',
    value: 'WHEN',
    help: 'Colours, also those of the steps: auto (default), always or never',
  },
} as const

/** Throws a UsageError. */
export const colorChoice = (given: string | undefined): ColorChoice | undefined =>
  oneOf('--color', given, colorChoices)

/** Options that the three ways to run a file share. */
export const runOptions = {
  var: { type: 'string', multiple: true, value: 'K=V', help: 'Set an input or a variable' },
  secret: {
    type: 'string',
    multiple: true,
    value: 'NAME',
    help: 'Give a secret of the environment; also NAME=@FILE, or NAME=value',
  },
  'run-id': { type: 'string', value: 'ID', help: 'Name the run' },
  'output-path': {
    type: 'string',
    value: 'DIR',
    help: 'Folder for the whole output of steps that name none',
  },
  yes: { type: 'boolean', short: 'y', help: 'Approve every step that asks' },
  approve: { type: 'string', multiple: true, value: 'STEP', help: 'Approve this step' },
  json: { type: 'boolean', help: 'Print one JSON event a line, and {"type":"result"} at the end' },
  ...showOptions,
} as const

/** Throws a usage error where `--approve` names no step that asks, of the workflow or of one that it runs. */
export function checkApproved(given: readonly string[], workflow: Pick<Workflow, 'steps' | 'finally'>): void {
  const asking = askingSteps(workflow)
  const wrong = given.find((name) => !asking.includes(name))
  if (wrong === undefined) return
  throw new UsageError(
    `--approve names "${wrong}", and the workflow has no step of that name that asks`,
    didYouMean(
      wrong,
      asking,
      asking.length === 0 ? 'no step of it asks' : `what asks is ${asking.join(', ')}`,
    ),
  )
}

const askingSteps = ({ steps, finally: last = [] }: Pick<Workflow, 'steps' | 'finally'>): string[] =>
  [...steps, ...last].flatMap(({ name, action, args }) => {
    if (action === 'approval.wait') return name
    return action === 'workflow.run' && args.workflow ? askingSteps(args.workflow as Workflow) : []
  })
