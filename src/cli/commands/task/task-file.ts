import { readFileSync } from 'node:fs'
import { parse, YAMLError } from 'yaml'
import { ErrandError } from '../../../contract/errors.ts'
import type { CreateTasksInput } from '../../../contract/tasks/task-api.ts'
import { UsageError } from '../../command.ts'

/** Reads a task, a list of tasks, or `{tasks, limit}` with shared settings beside it, in YAML or JSON. */
export function readTaskFile(file: string): CreateTasksInput {
  return tasksOf(file, textOf(file))
}

/** Parses the text of a task file into a request; `file` is for messages. Throws `bad_request`. */
export function tasksOf(file: string, text: string): CreateTasksInput {
  const value = parsed(file, text)
  if (Array.isArray(value)) return { tasks: value as never }
  if (!isMap(value))
    throw new ErrandError(
      'bad_request',
      `${file} is not a task: it holds ${value === null ? 'nothing' : 'a text'}.`,
      {
        hint: 'Write at least title and repo_url.',
      },
    )
  const { tasks, limit, ...shared } = value
  if (tasks === undefined) return { task: value as never }
  if (!Array.isArray(tasks) || !tasks.every(isMap))
    throw new ErrandError('bad_request', `${file}: "tasks" is not a list of tasks.`, {
      hint: 'Start each task with "- title: ...".',
    })
  // Settings of a task win over the shared ones.
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
    throw new ErrandError('bad_request', `${file}${where} is not valid YAML: ${why}`, {
      hint: 'Put texts that contain ":" or "#" in quotes.',
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
      'name a task file, or - for standard input',
    )
  }
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
