import { readFileSync } from 'node:fs'
import { parse, YAMLError } from 'yaml'
import { ErrandError } from '../../../contract/errors.ts'
import type { CreateTasksInput } from '../../../contract/tasks/task-api.ts'
import { UsageError } from '../../command.ts'

/** A task, a list of tasks, or `{tasks, limit}` with what all of them share beside it, in YAML or JSON. */
export function readTaskFile(file: string): CreateTasksInput {
  return tasksOf(file, textOf(file))
}

/** The request that the text of a file of tasks asks for; `file` is for messages. Throws `bad_request`. */
export function tasksOf(file: string, text: string): CreateTasksInput {
  const value = parsed(file, text)
  if (Array.isArray(value)) return { tasks: value as never }
  if (!isMap(value))
    throw new ErrandError(
      'bad_request',
      `${file} is no task: it holds ${value === null ? 'nothing' : 'a text'}.`,
      {
        hint: 'Write at least: title, and repo_url.',
      },
    )
  const { tasks, limit, ...shared } = value
  if (tasks === undefined) return { task: value as never }
  if (!Array.isArray(tasks) || !tasks.every(isMap))
    throw new ErrandError('bad_request', `${file}: "tasks" is no list of tasks.`, {
      hint: 'Begin each with "- title: ...".',
    })
  // What a task says itself goes before what stands beside them all.
  return {
    tasks: tasks.map((task) => ({ ...shared, ...task })) as never,
    ...(limit !== undefined && { limit: limit as number }),
  }
}

function parsed(file: string, text: string): unknown {
  try {
    return parse(text, { maxAliasCount: 100 }) as unknown
  } catch (cause) {
    const where = cause instanceof YAMLError && cause.linePos ? `:${cause.linePos[0].line}` : ''
    const [why] = (cause as Error).message.split('\n')
    throw new ErrandError('bad_request', `${file}${where} is no YAML: ${why}`, {
      hint: 'Put texts with ":" or "#" in them into quotes.',
      cause,
    })
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (cause) {
    throw new UsageError(
      `${file} cannot be read: ${(cause as Error).message}`,
      'name a file of tasks, or - for standard input',
    )
  }
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
