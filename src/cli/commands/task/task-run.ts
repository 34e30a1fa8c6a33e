import { randomUUID } from 'node:crypto'
import { ErrandError } from '../../../contract/errors.ts'
import type { TaskInput } from '../../../contract/tasks/task.ts'
import type { CreateTasksInput } from '../../../contract/tasks/task-api.ts'
import { command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { exitCodes } from '../../exit-codes.ts'
import { hubOptions } from '../../option-values.ts'
import { jsonText } from '../../print.ts'
import { lineText } from '../../render/terminal-text.ts'
import { colorChoice, showOptions } from '../../run-options.ts'
import { type Configured, configured, inGroup, notStored } from './task-config-file.ts'
import { readTaskFile } from './task-file.ts'
import { followTask, followTasks } from './task-follow.ts'

export const taskRun = command({
  summary: 'Run coding tasks: from a file, from an issue, or one that the options describe.',
  args: '[file|-|issue]',
  options: {
    title: { type: 'string', value: 'TEXT', help: 'What the task is to do' },
    description: { type: 'string', value: 'TEXT', help: 'Longer description of the task' },
    repo: { type: 'string', value: 'URL', help: 'Repository to work on' },
    ref: {
      type: 'string',
      value: 'REF',
      help: 'Branch, tag or commit to start from (default: the default branch)',
    },
    branch: { type: 'string', value: 'NAME', help: 'Branch to push (default: one named after the task)' },
    agent: { type: 'string', value: 'NAME', help: 'Agent to use (default: builtin)' },
    model: { type: 'string', value: 'NAME', help: 'Model of the agent' },
    command: {
      ...{ type: 'string', multiple: true, value: 'WORD' },
      help: 'With --agent acp: the program, then its arguments',
    },
    criterion: {
      type: 'string',
      multiple: true,
      value: 'TEXT',
      help: 'Criterion that the result must meet',
    },
    test: {
      type: 'string',
      multiple: true,
      value: 'CMD',
      help: 'Command that must pass',
    },
    id: {
      type: 'string',
      value: 'ID',
      help: 'Your own id: a task with an id that exists is not created again',
    },
    plan: { type: 'boolean', help: "Ask a person to approve the agent's plan first" },
    config: { type: 'string', value: 'FILE', help: 'Configuration file with defaults for all tasks' },
    limit: { type: 'string', value: 'N', help: 'How many tasks of the file run at once' },
    detach: { type: 'boolean', help: 'Print the ids and do not wait' },
    json: { type: 'boolean', help: 'Print one JSON event per line, and {"type":"result"} at the end' },
    ...showOptions,
    ...hubOptions,
  },
  examples: [
    'errand task run task.yaml',
    'errand task run --title "Fix the login" --repo https://git.example/shop/web --test "npm test"',
    'errand task run https://git.example/shop/web/issues/12 --agent claude_code',
    'errand task run tasks.yaml --limit 4 --detach',
    'errand task run --config local.yaml task.yaml',
  ],
  async run(options, [file]) {
    const { json = false, detach, verbose, color } = options
    const taskOptions = askOf(file, options)
    const { request, pool }: Configured =
      options.config === undefined ? { request: taskOptions } : configured(taskOptions, options.config)
    if (file !== undefined && options.title !== undefined)
      throw new UsageError(`${file} and --title both describe the task`, 'leave one out')
    const client = connect(options)
    const input =
      pool === undefined ? request : inGroup(request, pool, await client.runners.groups(), options.config!)
    if (options.config !== undefined) {
      const stored = new Set((await client.secrets.list({})).secrets.map(({ name }) => name))
      for (const warning of notStored(input, stored)) process.stderr.write(`${lineText(warning)}\n`)
    }
    const { tasks } = await client.tasks.create(input, { idempotencyKey: randomUUID() }).catch((error) => {
      if (!json) reportFaults(error)
      throw error
    })
    if (detach) {
      for (const { id, task_id } of tasks)
        process.stdout.write(json ? `${jsonText({ id, task_id })}\n` : `${id}\n`)
      return exitCodes.success
    }
    if (!json)
      for (const { id, task_id } of tasks)
        process.stdout.write(`task ${id} (${lineText(task_id)}) on ${client.url}\n`)
    const show = { json, verbose, color: colorChoice(color) }
    const [one, ...others] = tasks
    if (others.length === 0) return await followTask(client, one!.id, show)
    return await followTasks(
      client,
      tasks.map(({ id }) => id),
      show,
    )
  },
})

function askOf(file: string | undefined, options: TaskValues & { limit?: string }): CreateTasksInput {
  if (file === undefined) return { task: taskOf(options) }
  return isAddress(file) ? ofIssue(file, options) : withLimit(readTaskFile(file), options.limit)
}

const isAddress = (text: string): boolean => /^https?:\/\//i.test(text)

/** Returns the request for an issue, with options as defaults. Throws `UsageError` for an option that it decides. */
function ofIssue(issue: string, { criterion, test, branch, ...values }: TaskValues): CreateTasksInput {
  for (const name of ['repo', 'description', 'id'] as const)
    if (values[name] !== undefined)
      throw new UsageError(`${issue} and --${name} both describe the task`, 'leave one out')
  const { ref, agent, model, command: program, plan } = values
  return {
    issue,
    defaults: {
      ...{ ref, branch_name: branch, agent, model, command: program, plan },
      ...{ acceptance_criteria: criterion, test_commands: test },
    },
  }
}

interface TaskValues {
  title?: string
  description?: string
  repo?: string
  ref?: string
  branch?: string
  agent?: string
  model?: string
  command?: string[]
  criterion?: string[]
  test?: string[]
  id?: string
  plan?: boolean
}

function taskOf({ title, repo, branch, criterion, test, id, ...values }: TaskValues): TaskInput {
  if (title === undefined)
    throw new UsageError('no task given', 'name a task file, or give --title and --repo')
  if (repo === undefined) throw new UsageError('--repo is missing', 'name the repository to work on')
  const { description, ref, agent, model, command: program, plan } = values
  return {
    ...{ task_id: id, title, description, repo_url: repo, ref, branch_name: branch, agent, model, plan },
    ...{ command: program, acceptance_criteria: criterion, test_commands: test },
  }
}

function withLimit(tasks: CreateTasksInput, text: string | undefined): CreateTasksInput {
  if (text === undefined) return tasks
  const limit = Number(text)
  if (!Number.isInteger(limit) || limit < 1)
    throw new UsageError(`--limit is "${text}"`, 'use a number from 1')
  return { ...tasks, limit }
}

/** Prints all mistakes in a file, above the error itself. */
function reportFaults(error: unknown): void {
  if (!(error instanceof ErrandError) || !Array.isArray(error.details) || error.details.length < 2) return
  for (const { field, message } of error.details as { field?: string; message?: string }[])
    if (field !== undefined && message !== undefined)
      process.stderr.write(`${lineText(field.replace(/^body\./, ''))}: ${lineText(message)}\n`)
}
