import { builtinActions, DEFAULT_MAX_OUTPUT_BYTES } from '../contract/actions.ts'
import type { Workflow } from '../contract/workflow.ts'
import { didYouMean } from '../engine/workflow-file/hints/did-you-mean.ts'
import { UsageError } from './command.ts'
import { oneOf } from './option-values.ts'
import { type ColorChoice, colorChoices } from './render/terminal-text.ts'

/** Sets the folder for the whole output of steps that name none of their own. Changes the workflow in place. */
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

/** Returns a function for how many bytes of a step's output are shown. `within`: steps that lead to its workflow. */
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

/** Returns the most bytes that are shown of a stream of any step, including those of sub-workflows. */
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

/** Options for how a run is shown, wherever it is. */
export const showOptions = {
  verbose: { type: 'boolean', help: 'Show each instance of a step separately, however many there are' },
  color: {
    type: 'string',
    value: 'WHEN',
    help: 'When to use colours, also those of steps: auto (default), always or never',
  },
} as const

/** Reads `--color`. Throws a UsageError. */
export const colorChoice = (text: string | undefined): ColorChoice | undefined =>
  oneOf('--color', text, colorChoices)

/** Options that the three ways to run a file share. */
export const runOptions = {
  var: { type: 'string', multiple: true, value: 'K=V', help: 'Set an input or a variable' },
  secret: {
    type: 'string',
    multiple: true,
    value: 'NAME',
    help: 'Pass a secret from the environment; also NAME=@FILE or NAME=value',
  },
  'run-id': { type: 'string', value: 'ID', help: 'Id for the run (default: a new one)' },
  'output-path': {
    type: 'string',
    value: 'DIR',
    help: 'Folder for the whole output of steps that do not name one',
  },
  yes: { type: 'boolean', short: 'y', help: 'Approve every step that asks for approval' },
  approve: { type: 'string', multiple: true, value: 'STEP', help: 'Approve this step' },
  json: { type: 'boolean', help: 'Print one JSON event per line, and {"type":"result"} at the end' },
  ...showOptions,
} as const

/** Throws a usage error if `--approve` names no step, of the workflow or its sub-workflows, that asks for approval. */
export function checkApproved(names: readonly string[], workflow: Pick<Workflow, 'steps' | 'finally'>): void {
  const asking = askingSteps(workflow)
  const wrong = names.find((name) => !asking.includes(name))
  if (wrong === undefined) return
  throw new UsageError(
    `--approve names "${wrong}", but no step of that name asks for approval`,
    didYouMean(
      wrong,
      asking,
      asking.length === 0 ? 'no step asks for approval' : `steps that ask: ${asking.join(', ')}`,
    ),
  )
}

const askingSteps = ({ steps, finally: last = [] }: Pick<Workflow, 'steps' | 'finally'>): string[] =>
  [...steps, ...last].flatMap(({ name, action, args }) => {
    if (action === 'approval.wait') return name
    return action === 'workflow.run' && args.workflow ? askingSteps(args.workflow as Workflow) : []
  })
