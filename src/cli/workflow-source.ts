import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { builtinActions } from '../contract/actions.ts'
import { ErrandError } from '../contract/errors.ts'
import type { Workflow } from '../contract/workflow.ts'
import { parseWorkflow } from '../engine/workflow-file/check.ts'
import { didYouMean } from '../engine/workflow-file/hints/did-you-mean.ts'
import { formatProblemWithSource, type Problem } from '../engine/workflow-file/problems.ts'
import { UsageError } from './command.ts'
import { errorLine } from './exit-codes.ts'

/** Describes a workflow as given on the command line. */
export interface WorkflowSource {
  text: string
  /** Path as typed; absent for standard input. */
  file?: string
  /** Reads a file by its path relative to this one's folder (for standard input: the working folder). */
  readFile(path: string): string
}

/** Option `-f FILE`, which names the file as the older tool did, instead of an argument. */
export const fileOption = {
  file: { type: 'string', short: 'f', value: 'FILE', help: 'The workflow file, or - for standard input' },
} as const

export function fileArgument(option: string | undefined, args: readonly string[]): string {
  const file = option ?? args[0]
  if (option !== undefined && args.length > 0)
    throw new UsageError(`both --file and "${args[0]}" name a workflow file`, 'name only one')
  if (file === undefined)
    throw new UsageError('no workflow file given', 'name one, or write - for standard input')
  return file
}

/** Reads a workflow from a file, or from standard input for `-`. Throws `bad_request`. */
export async function readSource(file: string): Promise<WorkflowSource> {
  const folder = file === '-' ? process.cwd() : dirname(file)
  const readFile = (path: string): string => readFileSync(resolve(folder, path), 'utf8')
  if (file === '-') return { text: await readStdin(), readFile }
  try {
    return { text: readFileSync(file, 'utf8'), file, readFile }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT')
      throw new ErrandError('bad_request', `File ${file} not found.`, { hint: nearby(file), cause })
    if (code === 'EISDIR')
      throw new ErrandError('bad_request', `${file} is a folder, not a workflow file.`, {
        hint: `Name a file in it, such as ${file.replace(/\/+$/, '')}/flow.yaml`,
        cause,
      })
    throw new ErrandError('bad_request', `${file} cannot be read: ${(cause as Error).message}`, {
      hint: 'Make it readable, or pipe its text to standard input and write -',
      cause,
    })
  }
}

async function readStdin(): Promise<string> {
  let text = ''
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk
  return text
}

function nearby(file: string): string {
  const folder = dirname(file)
  if (!existsSync(folder)) return `folder ${folder} does not exist either`
  return didYouMean(basename(file), readdirSync(folder)) ?? `relative paths start at ${process.cwd()}`
}

/**
 * Checks a workflow, prints its warnings and returns it with its sub-workflow files filled in. `hosts`: names that
 * targets may have besides those of its inventory. Throws `invalid_workflow`.
 */
export function checkedWorkflow(source: WorkflowSource, hosts?: readonly string[]): Workflow {
  const { text, file, readFile } = source
  const { workflow, problems } = parseWorkflow(text, { file, readFile, catalog: builtinActions, hosts })
  if (workflow === undefined)
    throw new ErrandError('invalid_workflow', 'The workflow has mistakes.', { details: { problems } })
  process.stderr.write(problemsText(problems, source))
  return workflow
}

/** Formats every problem with its source line. */
export function problemsText(problems: readonly Problem[], source: WorkflowSource): string {
  const texts = new Map<string | undefined, string | undefined>([[source.file, source.text]])
  const textOf = (file: string | undefined): string | undefined => {
    if (!texts.has(file)) texts.set(file, readIfThere(file!))
    return texts.get(file)
  }
  return problems.map((problem) => `${formatProblemWithSource(problem, textOf(problem.file))}\n`).join('')
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

/** Prints the problems of an `invalid_workflow` as `reportError` prints an error. Returns false for any other error. */
export function reportProblems(error: unknown, source: WorkflowSource, json = false): boolean {
  if (!(error instanceof ErrandError) || error.code !== 'invalid_workflow') return false
  const { problems } = error.details as { problems?: Problem[] }
  if (problems === undefined) return false
  if (json) process.stdout.write(errorLine(error))
  process.stderr.write(problemsText(problems, source))
  return true
}
