import type { TaskView } from '../../../contract/tasks/task-api.ts'
import { TaskStage } from '../../../contract/tasks/task-log.ts'
import { type CommandGroup, command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { exitCodes } from '../../exit-codes.ts'
import { hubOptions, oneOf } from '../../option-values.ts'
import { jsonOption, jsonText, printJson, printTable } from '../../print.ts'
import { between } from '../../render/summary.ts'
import { lineText } from '../../render/terminal-text.ts'
import { colorChoice, showOptions } from '../../run-options.ts'
import { runsLogs } from '../run/runs-logs.ts'
import { taskApply } from './task-apply.ts'
import { taskArtifacts, taskDiff } from './task-artifacts.ts'
import { eventLine, followTask } from './task-follow.ts'
import { taskRun } from './task-run.ts'

const list = command({
  summary: 'List tasks: first those that wait for an answer, then open ones, then ended ones, newest first.',
  options: {
    state: { type: 'string', value: 'LIST', help: 'Only tasks in this state, such as running,failed' },
    repo: { type: 'string', value: 'URL', help: 'Only tasks of this repository' },
    spec: { type: 'string', value: 'NAME', help: 'Only tasks of this spec' },
    owner: { type: 'string', value: 'NAME', help: 'Only tasks of this user' },
    limit: { type: 'string', value: 'N', help: 'Most tasks to list (default: 50, at most 500)' },
    cursor: { type: 'string', value: 'CURSOR', help: 'Continue after an earlier list' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand task list', 'errand task list --state running,in_review'],
  async run({ state, repo, spec, owner, limit, cursor, json, ...hub }) {
    const page = await connect(hub).tasks.list({ state, repo, spec, owner, sort: 'active', limit, cursor })
    if (json) printJson(page)
    else {
      const rows = page.tasks.map((task) => [
        task.id,
        task.task_id,
        task.state,
        task.title,
        task.why ?? task.message ?? task.reason,
      ])
      printTable(['ID', 'TASK', 'STATE', 'TITLE', 'WHY'], rows, 'No tasks match.')
      if (page.next_cursor !== undefined)
        process.stdout.write(`More: errand task list --cursor ${lineText(page.next_cursor)}\n`)
    }
    return exitCodes.success
  },
})

const show = command({
  summary: 'Show a task and its tries.',
  args: '<id>',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand task show task_0123', 'errand task show login-form/42'],
  async run({ json, ...hub }, [id]) {
    const task = await connect(hub).tasks.get(id!)
    if (json) {
      printJson(task)
      return exitCodes.success
    }
    for (const line of factsOf(task)) process.stdout.write(`${lineText(line)}\n`)
    const rows = task.tries.map((each) => [
      `${each.number}`,
      each.run_id,
      each.status ?? 'running',
      each.stage,
      between(each.started_at, each.ended_at),
      each.message ?? each.reason,
    ])
    process.stdout.write('\n')
    printTable(['TRY', 'RUN', 'STATUS', 'FROM', 'TIME', 'WHY'], rows, 'No try has started.')
    return exitCodes.success
  },
})

function factsOf(task: TaskView): string[] {
  const { pushed, pull_request, checkpoint, tests, spent } = task
  const facts: (string | undefined)[] = [
    `${task.id}  ${task.title}  ${task.state}`,
    task.why ?? task.message ?? task.reason,
    task.repo && `repository ${task.repo}`,
    ...task.depends_on.map((each) => `after ${each.id} (${each.task_id}): ${each.state}`),
    pushed && `pushed ${pushed.sha} to ${pushed.branch}`,
    pull_request && `pull request ${pull_request.url} (${pull_request.state})`,
    followed(task),
    ...tests.map(
      ({ suite, passed, failed, skipped }) =>
        `tests of ${suite}: ${passed} passed, ${failed} failed, ${skipped} skipped`,
    ),
    checkpoint && `work is saved up to ${checkpoint.tip}; a retry starts at ${checkpoint.next}`,
    spent.tokens === undefined ? undefined : `${spent.tokens} tokens`,
    spent.cost_usd === undefined ? undefined : `${spent.cost_usd.toFixed(2)} US dollars`,
    task.artifact_count > 0 ? `${task.artifact_count} artifacts` : undefined,
  ]
  return facts.filter((fact) => fact !== undefined && fact !== '') as string[]
}

function followed({ follow }: TaskView): string | undefined {
  if (follow === undefined) return undefined
  const { state, message, tries } = follow
  const made = tries === 0 ? '' : `, ${tries} ${tries === 1 ? 'try' : 'tries'} made`
  return `follow: ${state}${made}${message === undefined ? '' : `: ${message}`}`
}

const events = command({
  summary: 'Print the log of a task, one event per line, until the task is over.',
  args: '<id>',
  options: {
    after: { type: 'string', value: 'SEQ', help: 'Only events after this one' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand task events task_0123', 'errand task events task_0123 --json'],
  async run({ after = '0', json, ...hub }, [id]) {
    if (!/^\d+$/.test(after))
      throw new UsageError(`--after is "${after}"`, 'use the seq of an event, a number from 0')
    for await (const event of connect(hub).taskEvents(id!, { after: Number(after) })) {
      const line = json ? jsonText(event) : eventLine(event)
      if (line !== undefined) process.stdout.write(json ? `${line}\n` : `${event.time}  ${line}\n`)
    }
    return exitCodes.success
  },
})

const logs = command({
  summary: 'Show what the last try of a task has printed.',
  args: '<id>',
  options: {
    follow: { type: 'boolean', short: 'f', help: 'Follow the try until it ends' },
    try: { type: 'string', value: 'N', help: 'Number of another try, from 1' },
    json: { type: 'boolean', help: 'Print one JSON event per line, and {"type":"result"} at the end' },
    ...showOptions,
    ...hubOptions,
  },
  examples: ['errand task logs task_0123', 'errand task logs task_0123 --try 1'],
  async run({ try: number, ...options }, [id]) {
    const { runs } = await connect(options).tasks.runs(id!)
    const run = number === undefined ? runs.at(-1) : runs.find((each) => `${each.number}` === number)
    if (run === undefined)
      throw new UsageError(
        number === undefined ? `no try of task ${id} has started` : `task ${id} has no try ${number}`,
        `list its tries with: errand task show ${id}`,
      )
    // Both commands have the same options, except for `--try`.
    return await runsLogs.run(options as unknown as Parameters<typeof runsLogs.run>[0], [run.run_id])
  },
})

const cancel = command({
  summary: 'Cancel a task and its run.',
  args: '<id>',
  options: {
    'with-dependants': {
      type: 'boolean',
      help: 'Also cancel the tasks that depend on it, which are blocked otherwise',
    },
    message: { type: 'string', short: 'm', value: 'TEXT', help: 'Message to store with the task' },
    ...hubOptions,
  },
  examples: ['errand task cancel task_0123'],
  async run({ 'with-dependants': with_dependants, message, ...hub }, [id]) {
    const { state } = await connect(hub).tasks.cancel(id!, { with_dependants, message })
    process.stdout.write(`${lineText(id!)} is ${state}.\n`)
    return exitCodes.success
  },
})

const retry = command({
  summary: 'Start another try of a task, from the work that is saved.',
  args: '<id>',
  options: {
    from: { type: 'string', value: 'STEP', help: `Stage to start at: ${TaskStage.options.join(', ')}` },
    prompt: { type: 'string', value: 'TEXT', help: 'Prompt for the agent, which builds on the saved work' },
    follow: { type: 'boolean', short: 'f', help: 'Follow the task until it is settled; Ctrl-C cancels it' },
    json: { type: 'boolean', help: 'With --follow: print one JSON event per line' },
    ...showOptions,
    ...hubOptions,
  },
  examples: ['errand task retry task_0123', 'errand task retry task_0123 --from push'],
  async run({ from, prompt, follow, json = false, verbose, color, ...hub }, [id]) {
    const client = connect(hub)
    const stage = oneOf('--from', from, TaskStage.options)
    const { last_seq: after } = await client.tasks.get(id!)
    const { id: task, state } = await client.tasks.retry(id!, { from: stage, prompt })
    if (!follow) {
      process.stdout.write(json ? `${jsonText({ id: task, state })}\n` : `${task} is ${state}.\n`)
      return exitCodes.success
    }
    return await followTask(client, task, { json, verbose, color: colorChoice(color), after })
  },
})

const follow = command({
  summary: 'Let the agent react to checks and reviews of its pull request; "off" ends that.',
  args: '<id> [off]',
  options: { ...hubOptions },
  examples: ['errand task follow task_0123', 'errand task follow task_0123 off'],
  async run(hub, [id, word]) {
    if (word !== undefined && word !== 'off')
      throw new UsageError(`unexpected argument "${word}"`, 'write off, or nothing')
    await connect(hub).tasks.follow(id!, { follow: word === undefined })
    process.stdout.write(`${lineText(id!)} is ${word === undefined ? '' : 'not '}followed.\n`)
    return exitCodes.success
  },
})

const remove = command({
  summary: 'Delete tasks that are over, with their logs and the runs of their tries.',
  args: '<id> [more...]',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand task delete task_0123'],
  async run({ json, ...hub }, ids) {
    const client = connect(hub)
    for (const id of ids) {
      const answer = await client.tasks.delete(id)
      const runs = answer.runs.length === 1 ? 'a run' : `${answer.runs.length} runs`
      if (json) printJson(answer)
      else process.stdout.write(`${answer.deleted} is deleted, with ${runs}.\n`)
    }
    return exitCodes.success
  },
})

const answer = (decision: 'approve' | 'reject', summary: string) =>
  command({
    summary,
    args: '<id>',
    options: {
      comment: { type: 'string', short: 'm', value: 'TEXT', help: 'Comment for the agent' },
      step: { type: 'string', value: 'NAME', help: 'Step that asks (default: the one that asks now)' },
      ...hubOptions,
    },
    examples: [`errand task ${decision} task_0123`],
    async run({ comment, step, ...hub }, [id]) {
      const { state } = await connect(hub).tasks.approve(id!, { decision, comment, step })
      process.stdout.write(`${lineText(id!)} is ${state}.\n`)
      return exitCodes.success
    },
  })

const prompt = command({
  summary: 'Give a prompt to the agent that works on a task.',
  args: '<id> <prompt>',
  options: { ...hubOptions },
  examples: ['errand task prompt task_0123 "Keep the old name as an alias"'],
  async run(hub, [id, text]) {
    const { run_id } = await connect(hub).tasks.prompt(id!, { prompt: text! })
    process.stdout.write(`The prompt was given to the agent of ${lineText(run_id)}.\n`)
    return exitCodes.success
  },
})

const open = command({
  summary: 'Print the address of the pull request of a task, or else of its issue.',
  args: '<id>',
  options: { ...hubOptions },
  examples: ['errand task open task_0123'],
  async run(hub, [id]) {
    const { pull_request, task } = await connect(hub).tasks.get(id!)
    const url = pull_request?.url ?? task.issue
    if (url === undefined)
      throw new UsageError(
        `task ${id} has neither a pull request nor an issue`,
        `see what it has with: errand task show ${id}`,
      )
    process.stdout.write(`${lineText(url)}\n`)
    return exitCodes.success
  },
})

export const task: CommandGroup = {
  summary: 'Run coding tasks on a hub.',
  commands: {
    run: taskRun,
    list,
    show,
    events,
    logs,
    artifacts: taskArtifacts,
    diff: taskDiff,
    apply: taskApply,
    cancel,
    retry,
    follow,
    approve: answer('approve', 'Approve what a task asks.'),
    reject: answer('reject', 'Reject what a task asks.'),
    prompt,
    open,
    delete: remove,
  },
}
