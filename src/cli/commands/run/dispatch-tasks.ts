import { setTimeout as sleep } from 'node:timers/promises'
import type * as z from 'zod'
import {
  AgentClient,
  AgentConnections,
  type Answer,
  agentAccess,
  type NamedHost,
} from '../../../compat/host-agent/agent-client.ts'
import { type ListedTask, readInWords, TaskAnswer, TaskList } from '../../../compat/host-agent/wire.ts'
import { setting } from '../../../config/read-setting.ts'
import { ErrandError, type ErrorCode, errorStatus } from '../../../contract/errors.ts'
import type { Workflow } from '../../../contract/workflow.ts'
import { command, UsageError } from '../../command.ts'
import { reportError } from '../../exit-codes.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'
import { lineText } from '../../render/terminal-text.ts'
import { fileOption, readSource } from '../../workflow-source.ts'
import { hostOption, hostOptions, tokenOption, withHosts } from './dispatch-hosts.ts'

const REQUEST_TIMEOUT_MS = 10_000
/** Time between SIGTERM and SIGKILL. */
const GRACE_MS = 5000
/** Time that a task may take to end after the last signal. */
const END_WITHIN_MS = 15_000

const agentOptions = {
  ...hostOption,
  host: { ...hostOption.host, help: 'Address of an agent server' },
  file: { ...fileOption.file, help: 'Workflow file: use the agent servers of its inventory' },
  ...tokenOption,
} as const

export const dispatchTasks = command({
  summary: 'List the tasks of agent servers, even after a dispatch was killed.',
  options: {
    ...agentOptions,
    run: { type: 'string', value: 'RUN', help: 'Only tasks of this run' },
    all: { type: 'boolean', short: 'a', help: 'Also tasks that have ended, which are kept for an hour' },
    ...jsonOption,
  },
  examples: [
    'errand dispatch tasks --host 10.0.0.5:7072 --token T',
    'errand dispatch tasks -f flow.yaml --token T --all --json',
  ],
  async run({ run, all, json, ...where }) {
    return await withAgents(where, async (agents) => {
      const { found, failures } = await settled(
        agents.map((agent) => agent.list({ run_id: run, status: all ? undefined : 'running' })),
      )
      const tasks = found.flat()
      const rows = tasks.map(({ task_id, host, status, step, workflow_name, started_at, message }) => [
        task_id,
        host,
        status,
        step,
        workflow_name,
        started_at?.slice(0, 19),
        message?.split('\n')[0],
      ])
      if (json) printJson(tasks)
      else if (rows.length > 0 || failures.length === 0)
        printTable(
          ['TASK', 'HOST', 'STATUS', 'STEP', 'WORKFLOW', 'STARTED', 'WHY'],
          rows,
          all ? 'There are no tasks.' : 'No tasks are running. Use --all to show those that have ended.',
        )
      return Math.max(0, ...failures.map((each) => reportError(each)))
    })
  },
})

export const dispatchCancel = command({
  summary: 'Cancel a task of an agent server, or all tasks of a run, and wait until they have ended.',
  args: '<task|run> [more...]',
  options: {
    ...agentOptions,
    force: { type: 'boolean', help: 'Kill it immediately, not after five seconds' },
    ...jsonOption,
  },
  examples: [
    'errand dispatch cancel run_0123 --host 10.0.0.5:7072 --token T',
    'errand dispatch cancel run_0123.4 -f flow.yaml --token T',
  ],
  async run({ force, json, ...where }, ids) {
    return await withAgents(where, async (agents) => {
      const { found, failures } = await settled(agents.map((agent) => agent.find(ids)))
      const tasks = found.flat()
      const faults = [...failures]
      for (const id of ids) {
        const named = tasks.filter(({ task }) => isNamed(task, id))
        if (named.some(({ task }) => task.status === 'running')) continue
        // The task may be on a server that does not answer.
        if (named.length > 0 || failures.length === 0) faults.push(noneRunning(id, named.length > 0))
      }
      const running = tasks.filter(({ task }) => task.status === 'running')
      const ended = await settled(
        running.map(async ({ agent, task }) => {
          const end = await agent.end(task, force ? 0 : GRACE_MS)
          if (!json) process.stdout.write(`${lineText(`${end.task_id} on ${end.host}`)} is ${end.status}.\n`)
          return end
        }),
      )
      if (json) printJson(ended.found)
      return Math.max(0, ...[...faults, ...ended.failures].map((each) => reportError(each)))
    })
  },
})

const isNamed = ({ task_id, run_id }: ListedTask, id: string): boolean => task_id === id || run_id === id

/** Waits for all of them, and returns their results and failures separately. */
async function settled<T>(works: readonly Promise<T>[]): Promise<{ found: T[]; failures: unknown[] }> {
  const answers = await Promise.allSettled(works)
  return {
    found: answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : [])),
    failures: answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason] : [])),
  }
}

const noneRunning = (id: string, hasEnded: boolean): ErrandError =>
  hasEnded
    ? new ErrandError('conflict', `"${id}" has already ended.`, {
        hint: 'See how it ended with: errand dispatch tasks --all',
      })
    : new ErrandError('not_found', `None of these agent servers knows a task or run "${id}".`, {
        hint: 'List tasks with: errand dispatch tasks --all. Ended tasks are kept for an hour.',
      })

interface Where {
  host?: string[]
  file?: string
  token?: string
}

type FoundTask = ListedTask & { address: string }

async function withAgents(where: Where, work: (agents: Agent[]) => Promise<number>): Promise<number> {
  const hosts = await hostsAt(where)
  const connections = new AgentConnections()
  try {
    const sources = {
      token: where.token ?? setting(process.env, 'ERRAND_TOKEN of agent servers'),
      env: process.env,
    }
    const agents: Agent[] = []
    let exitCode = 0
    for (const host of hosts) {
      const access = agentAccess(host, sources)
      if (access.missing === undefined) {
        const client = new AgentClient(connections, access.base, access.token, REQUEST_TIMEOUT_MS)
        agents.push(new Agent(host.host, host.address!, client))
        continue
      }
      const code = access.missing === 'token' ? 'unauthorized' : 'invalid_argument'
      exitCode = Math.max(exitCode, reportError(new ErrandError(code, access.message, { hint: access.hint })))
    }
    return agents.length === 0 ? exitCode : Math.max(exitCode, await work(agents))
  } finally {
    connections.close()
  }
}

/** Returns the hosts of `--host`, and the hosts with an address in the file's inventories. */
async function hostsAt({ host, file }: Where): Promise<NamedHost[]> {
  const hosts = hostOptions(host)
  if (file === undefined && hosts.size === 0)
    throw new UsageError('no agent server is named', 'give --host 10.0.0.5:7072, or -f with a workflow file')
  if (file === undefined) return [...hosts].map(([name, { address }]) => ({ host: name, address }))
  const { checkedWorkflow } = await import('../../workflow-source.ts')
  const source = await readSource(file)
  let workflow: Workflow
  try {
    workflow = withHosts(checkedWorkflow(source, [...hosts.keys()]), hosts)
  } catch (cause) {
    if (!(cause instanceof ErrandError)) throw cause
    throw new ErrandError(cause.code, cause.message, {
      hint: `List the mistakes with: errand validate ${file}`,
      cause,
    })
  }
  const found = new Map(
    inventories(workflow)
      .filter(({ address }) => address !== undefined)
      .map((each) => [each.address!, each]),
  )
  if (found.size > 0) return [...found.values()]
  throw new ErrandError('invalid_argument', `No host of ${file} has an address.`, {
    hint: 'Set inventory.hosts.NAME.address, or give --host 10.0.0.5:7072.',
  })
}

const inventories = ({ inventory, steps, finally: last = [] }: Workflow): NamedHost[] => [
  ...Object.entries(inventory?.hosts ?? {}).map(([host, entry]) => ({ ...entry, host })),
  ...[...steps, ...last].flatMap(({ action, args }) =>
    action === 'workflow.run' ? inventories(args.workflow as Workflow) : [],
  ),
]

/** Talks to one agent server. Its methods throw if the server does not answer or refuses. */
class Agent {
  readonly #name: string
  readonly #address: string
  readonly #client: AgentClient

  constructor(name: string, address: string, client: AgentClient) {
    this.#name = name
    this.#address = address
    this.#client = client
  }

  async list(of: Parameters<AgentClient['tasks']>[0]): Promise<FoundTask[]> {
    const answer = await this.#client.tasks(of, never)
    if (answer.type === 'refused' && answer.code === 'not_found')
      throw new ErrandError('host_refused', `${this.#at} runs a version that cannot list its tasks.`, {
        hint: 'Update Errand there.',
      })
    return this.#read(TaskList, answer).tasks.map((task) => ({
      ...task,
      host: this.#name,
      address: this.#address,
    }))
  }

  /** Returns the tasks that the ids name; an id is that of a task or of a run. */
  async find(ids: readonly string[]): Promise<{ agent: Agent; task: FoundTask }[]> {
    const tasks = await this.list({})
    return tasks.filter((task) => ids.some((id) => isNamed(task, id))).map((task) => ({ agent: this, task }))
  }

  /** Cancels a task and returns it once it has ended. Throws `conflict` if it does not end in time. */
  async end(task: FoundTask, graceMs: number): Promise<FoundTask> {
    const canceled = await this.#client.cancel(task.task_id, 'canceled', graceMs, never)
    // The task may have ended in the meantime.
    if (!(canceled.type === 'refused' && canceled.code === 'conflict')) this.#body(canceled)
    const giveUpAt = performance.now() + graceMs + END_WITHIN_MS
    const past = Number.MAX_SAFE_INTEGER
    for (;;) {
      const answer = await this.#client.status(
        task.task_id,
        { reports: past, streams: { stdout: past, stderr: past } },
        1000,
        never,
      )
      const { status, message } = this.#read(TaskAnswer, answer)
      if (status !== 'running') return { ...task, status, message }
      if (performance.now() > giveUpAt)
        throw new ErrandError('conflict', `${task.task_id} on ${this.#at} has not ended.`, {
          hint: 'Its processes were sent SIGKILL. Look at them on that machine.',
        })
      await sleep(50)
    }
  }

  #read<S extends z.core.$ZodType>(schema: S, answer: Answer): z.output<S> {
    const read = readInWords(schema, this.#body(answer), 'it')
    if (read.wrong === undefined) return read.data
    throw this.#refusal('host_refused', `the answer is not that of a host agent: ${read.wrong}.`)
  }

  get #at(): string {
    return `Host "${this.#name}" (${this.#address})`
  }

  #body(answer: Answer): unknown {
    if (answer.type === 'ok') return answer.body
    if (answer.type === 'failed')
      throw new ErrandError('host_unreachable', `${this.#at} ${answer.message}.`, {
        hint: 'Start "errand agent-server" there, or correct the address.',
      })
    const isKnown = answer.code !== undefined && Object.hasOwn(errorStatus, answer.code)
    throw this.#refusal(isKnown ? (answer.code as ErrorCode) : 'host_refused', answer.message)
  }

  #refusal(code: ErrorCode, words: string): ErrandError {
    return new ErrandError(code, `${this.#at}: ${words}`)
  }
}

const never = new AbortController().signal
