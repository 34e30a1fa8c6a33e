import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ErrandError } from '../../contract/errors.ts'
import { type TaskState, taskState, taskStateWords } from '../../contract/tasks/task.ts'
import type { TaskSummary, TaskView, TryView } from '../../contract/tasks/task-api.ts'
import type { TaskRecord } from '../../contract/tasks/task-record.ts'
import { isOver, spentOf, standOf, type TaskFold } from '../../engine/tasks/evolve-task.ts'
import { followView } from '../../engine/tasks/following.ts'
import { repositoryKey } from '../../engine/tasks/task-graph.ts'
import { taskResult } from '../../engine/tasks/task-result.ts'
import { isApprover, needApprover } from '../approvals/approvers.ts'
import type { Identity } from '../auth/auth.ts'
import { deleteRun } from '../ops/retention.ts'
import type { ChangedRow } from '../page/changes.ts'
import type { Requester } from '../tasks/new-tasks.ts'
import type { LoadedTask } from '../tasks/task-logs.ts'
import type { ApiContext } from './api-context.ts'
import { isAdmin } from './http/access.ts'
import { sendEventStream } from './http/event-stream.ts'
import type { Handlers } from './http/routes.ts'

export const requesterOf = (identity: Identity): Requester => ({
  owner: identity.user.name,
  tenant: identity.user.tenant,
  isAdmin: isAdmin(identity),
})

export function taskHandlers(context: ApiContext) {
  const { tasks, engine, accounts } = context
  const named = (identity: Identity, { id }: { id: string }) => ({ by: requesterOf(identity), ref: id })

  return {
    'POST /api/tasks': async ({ identity, body, headers }, reply) => {
      const { task, tasks: several, issue, defaults, limit } = body
      if ([task, several, issue].filter((each) => each !== undefined).length !== 1)
        throw new ErrandError('bad_request', 'body: exactly one of "task", "tasks" and "issue" is needed.', {
          hint: 'For example: {"task": {"title": "...", "repo_url": "https://..."}}',
        })
      if (defaults !== undefined && issue === undefined)
        throw new ErrandError('bad_request', 'body.defaults: is only allowed with "issue".', {
          hint: 'Put these fields into the task.',
        })
      const input =
        task === undefined ? { tasks: several!, field: 'body.tasks' } : { tasks: [task], field: 'body.task' }
      const key = headers['idempotency-key']
      const by = requesterOf(identity)
      const made = await (issue === undefined
        ? tasks.create(by, { ...input, limit, key })
        : tasks.createOfIssue(by, { issue, defaults }))
      reply.code(made.fresh ? 201 : 200)
      if (several === undefined) reply.header('location', `/api/tasks/${made.tasks[0]!.id}`)
      return {
        tasks: made.tasks.map(({ id, own_id, spec_name, state }) => ({
          id,
          task_id: own_id,
          spec_name,
          state,
        })),
      }
    },

    'GET /api/tasks': async ({ identity, query }) => {
      const { state, repo, spec, owner, agent, text, sort, limit, cursor } = query
      const by = requesterOf(identity)
      if (!by.isAdmin && owner !== undefined && owner !== by.owner) return { tasks: [] }
      const page = await tasks.list({
        tenant: by.tenant,
        owner: by.isAdmin ? owner : by.owner,
        states: state === undefined ? undefined : states(state),
        repo: repo === undefined ? undefined : repositoryKey(repo),
        spec_name: spec,
        agent,
        text,
        sort,
        limit,
        cursor,
      })
      return { tasks: page.tasks.map(summaryOf), next_cursor: page.next_cursor }
    },

    'GET /api/tasks/:id': async ({ identity, params }) => {
      const task = await tasks.get(named(identity, params))
      return viewOf(task, await tasks.dependencies(task))
    },

    'DELETE /api/tasks/:id': ({ identity, params }) =>
      tasks.remove(named(identity, params), async (runId) => {
        const run = await engine.get(runId)
        return run === undefined ? [] : await deleteRun(engine, accounts, run)
      }),

    'GET /api/tasks/:id/events': async (request, reply) => {
      await context.streams.turn(request.identity.user.id)
      const task = await tasks.get(named(request.identity, request.params))
      const lastId = request.headers['last-event-id']
      const after = lastId ? Number(lastId) : (request.query.after ?? 0)
      const accept = request.raw.headers.accept ?? ''
      if (accept.includes('application/json') && !accept.includes('text/event-stream'))
        return await tasks.events(task.id, after, request.query.limit)
      // An EventSource reconnects to an ended stream until this answer tells it to stop.
      if (lastId && isOver(task.fold) && after >= task.fold.seq)
        return await (reply as FastifyReply).code(204).send()
      await sendEvents(context, request, reply, task, after)
    },

    'GET /api/tasks/:id/runs': async ({ identity, params }) => {
      const { fold } = await tasks.get(named(identity, params))
      return { runs: triesOf(fold) }
    },

    'GET /api/tasks/:id/artifacts': async ({ identity, params }) => {
      const { fold } = await tasks.get(named(identity, params))
      return { artifacts: [...fold.artifacts], external: [...fold.foreign_artifacts] }
    },

    'POST /api/tasks/:id/cancel': async ({ identity, params, body }) =>
      summaryOf(await tasks.cancel(named(identity, params), body)),

    'POST /api/tasks/:id/retry': async ({ identity, params, body }) =>
      summaryOf(await tasks.retry(named(identity, params), body)),

    'POST /api/tasks/:id/follow': async ({ identity, params, body }) =>
      summaryOf(await tasks.follow(named(identity, params), body)),

    'POST /api/tasks/:id/approve': async ({ identity, params, body }) =>
      summaryOf(
        await tasks.approve(named(identity, params), body, {
          isNamed: (run) => isApprover(run, identity.user),
          check: (approvers, run) => needApprover(approvers, identity.user, run),
        }),
      ),

    'POST /api/hooks/forges/:host': async ({ params, headers, body }) => ({
      woken: await context.hooks.take(params.host, {
        headers: headers as IncomingHttpHeaders,
        body: typeof body === 'string' ? body : '',
      }),
    }),

    'POST /api/tasks/:id/prompt': ({ identity, params, body }) => tasks.prompt(named(identity, params), body),
  } satisfies Partial<Handlers>
}

function sendEvents(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  { id }: TaskRecord,
  after: number,
): Promise<void> {
  const { tasks } = context
  const about = {
    what: 'events',
    runId: id,
    goOn: 'Reconnect with Last-Event-ID.',
    allow: (identity: Identity) => tasks.get({ by: requesterOf(identity), ref: id }),
  } as const
  return sendEventStream(context, request, reply, about, async (paced) => {
    for await (const event of tasks.watch(id, after, paced.gone)) {
      const wait = paced.write(`id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
      if (wait !== undefined) await wait
      if (paced.gone.aborted) return
    }
    paced.end()
  })
}

function states(text: string): TaskState[] {
  return text.split(',').map((word) => {
    const state = taskState(word)
    if (state !== undefined) return state
    throw new ErrandError('bad_request', `query.state: "${word}" is not a state of a task.`, {
      hint: `Use one or more of ${taskStateWords.join(', ')}.`,
    })
  })
}

const summaryOf = (record: TaskRecord): TaskSummary => ({
  id: record.id,
  task_id: record.own_id,
  spec_name: record.spec_name,
  title: record.title,
  repo: record.repo === '' ? undefined : record.repo,
  owner: record.owner,
  state: record.state,
  reason: record.reason,
  message: record.message,
  why: record.why,
  run_id: record.open_run,
  retry_at: record.retry_at,
  agent: record.task.agent,
  try_count: record.tries ?? 0,
  test_figures: record.tests,
  pull_request: record.pull_request,
  priority: record.priority,
  created_at: record.created_at,
  updated_at: record.updated_at,
})

/** Returns the row of a task in lists, for its owner and admins; undefined if the task is gone. */
export const rowOfTask = (record: TaskRecord | undefined): ChangedRow | undefined =>
  record && {
    tenant: record.tenant,
    owner: record.owner,
    asks: () => false,
    json: JSON.stringify(summaryOf(record)),
  }

const triesOf = ({ tries }: TaskFold): TryView[] => tries.map((each) => ({ ...each }))

function viewOf(task: TaskRecord & LoadedTask, depends_on: TaskView['depends_on']): TaskView {
  const { spec, fold } = task
  return {
    ...summaryOf({ ...task, ...standOf(fold) }),
    task: spec.task,
    depends_on,
    tries: triesOf(fold),
    spent: spentOf(fold),
    checkpoint: fold.checkpoint,
    tests: [...fold.tests],
    pushed: fold.pushed,
    follow: followView(spec.task, fold.follow),
    artifact_count: fold.artifacts.length,
    result: taskResult(fold),
    metadata: fold.metadata,
    last_seq: fold.seq,
  }
}
