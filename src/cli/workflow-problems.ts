import { readFileSync } from 'node:fs'
import { ErrandError } from '../contract/errors.ts'
import { formatProblemWithSource, type Problem } from '../engine/file/problem.ts'
import { errorLine } from './tell-error.ts'
import type { WorkflowSource } from './workflow-source.ts'

/** Every problem with the line it stands in. */
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

/** Tells the problems of an `invalid_workflow` as `tellError` tells an error; false for any other error. */
export function tellProblems(error: unknown, source: WorkflowSource, json = false): boolean {
  if (!(error instanceof ErrandError) || error.code !== 'invalid_workflow') return false
  const { problems } = error.details as { problems?: Problem[] }
  if (problems === undefined) return false
  if (json) process.stdout.write(errorLine(error))
  process.stderr.write(problemsText(problems, source))
  return true
}
