import { agentRun } from '../../blueprints/agent.ts'
import { workflowRun } from '../../blueprints/workflow.ts'
import { oldAgentRequest } from '../../compat/agent-api.ts'
import { type Attachment, builtinActions } from '../../contract/actions.ts'
import { ErrandError } from '../../contract/errors.ts'
import { newRunId } from '../../contract/ids.ts'
import { isCredentialName } from '../../contract/names.ts'
import type { CreateRun, RunRecord, RunView, StepView } from '../../contract/run.ts'
import type { AnswerApproval, RunStatusView } from '../../contract/run-api.ts'
import { StepStatus } from '../../contract/status.ts'
import { DEFAULT_HOST, RunLabels, type Workflow } from '../../contract/workflow.ts'
import type { Submission } from '../../engine/api.ts'
import { runSummary } from '../../engine/core/view.ts'
import { ASIDE_LENGTH, parseWorkflow } from '../../engine/workflow-file/check.ts'
import { fieldProblems, inputValues } from '../../engine/workflow-file/inputs.ts'
import type { Problem } from '../../engine/workflow-file/problems.ts'
import { writtenWorkflow } from '../../engine/workflow-file/written.ts'
import { agentsOf, checkAgentName } from '../agents/known-agents.ts'
import { attachmentsOf } from '../agents/prompt-attachments.ts'
import { needApprover } from '../approvals/approvers.ts'
import type { Identity } from '../auth/auth.ts'
import { IdempotentRuns } from '../idempotent-runs.ts'
import { deleteRun } from '../ops/retention.ts'
import { TOKEN_SECRETS } from '../tasks/repository-tokens.ts'
import type { ApiContext } from './api-context.ts'
import { chosenRunId, isAdmin, needAdmin, readableRun, visibleRun } from './http/access.ts'
import type { Handlers } from './http/routes.ts'
import { runQuery, statusesIn } from './run-lists.ts'

export function runHandlers({ engine, accounts, repositories, runners, secrets, stored }: ApiContext) {
  const idempotent = new IdempotentRuns(engine, accounts)

  return {
    'POST /api/runs': async ({ identity, body, query, headers }, reply) => {
      const vars = query.var === undefined ? body.vars : { ...body.vars, ...variables([query.var].flat()) }
      const repository = query.repository ?? body.repository
      const checkAgent = async (name: string) =>
        checkAgentName(name, await runners.list(identity.user.tenant))
      const { name: owner, tenant } = identity.user
      const warnings: Problem[] = []
      const submission = {
        run_id: chosenRunId(identity, query.run_id ?? body.run_id),
        ...(await blueprintRun({ ...body, vars }, checkAgent, (ids) =>
          attachmentsOf(stored, { tenant, owner }, ids),
        )),
        repository,
        labels:
          query.label === undefined ? body.labels : { ...body.labels, ...labelsOf([query.label].flat()) },
        box: { isolation: body.isolation, network: body.network, image: body.image },
        group: repositories.groupOf(repository),
        checkout_token: (repo: string) =>
          secrets.firstSeen({ tenant, owner, repository }, TOKEN_SECRETS, repo),
        owner,
        tenant,
        onWarnings: (found: readonly Problem[]) => void warnings.push(...found),
      }
      const key = headers['idempotency-key']
      const { record, fresh } =
        key === undefined
          ? { record: await engine.submit(submission), fresh: true }
          : await idempotent.create(key, submission)
      reply.code(fresh ? 201 : 200).header('location', `/api/runs/${record.run_id}`)
      return { ...runSummary(record), ...(warnings.length > 0 && { warnings }) }
    },

    'GET /api/runs': async ({ identity, query }) => {
      const { limit, cursor, ...filter } = query
      const runFilter = runQuery(identity, filter)
      if (runFilter === undefined) return { runs: [] }
      const page = await engine.list({ ...runFilter, limit, cursor })
      return { runs: page.runs.map(runSummary), next_cursor: page.next_cursor }
    },

    'GET /api/runs/:id': async ({ identity, params, query }) => {
      await readableRun(engine, identity, params.id)
      return withChainFor(identity, await engine.view(params.id, query))
    },

    'GET /api/runs/:id/steps/:step/instances': async ({ identity, params, query }) => {
      await readableRun(engine, identity, params.id)
      const { phase, status, ...rest } = query
      const statuses = status === undefined ? undefined : statusesIn(status, StepStatus)
      return await engine.instances(params.id, { phase, name: params.step }, { ...rest, statuses })
    },

    'GET /api/runs/:id/steps/:step/overview': async ({ identity, params, query }) => {
      await readableRun(engine, identity, params.id)
      return await engine.overview(params.id, { phase: query.phase, name: params.step })
    },

    'GET /api/runs/:id/last-good': async ({ identity, params }) => {
      await readableRun(engine, identity, params.id)
      return await engine.lastGood(params.id)
    },

    'GET /api/runs/:id/workflow': async ({ identity, params }) => {
      const run = await readableRun(engine, identity, params.id)
      const { run_id, workflow_name, workflow, vars, repository } = run
      return { run_id, workflow_name, workflow, vars, repository, ...fileOf(run) }
    },

    'GET /api/runs/:id/outline': async ({ identity, params }) => {
      const { run_id, workflow } = await readableRun(engine, identity, params.id)
      const { steps = [], finally: last } = workflow as Partial<Workflow>
      return { run_id, steps: steps.map(outlineOf), finally: last?.map(outlineOf) }
    },
  } satisfies Partial<Handlers>
}

/** Returns the file that a run was made from, if any, and the values it was given. */
function fileOf({ blueprint, workflow: stored, vars }: RunRecord) {
  if (blueprint !== 'workflow') return {}
  const workflow = stored as Workflow
  const { yaml, left_out } = writtenWorkflow(workflow, builtinActions)
  const credentialInputs = Object.keys(workflow.inputs ?? {}).filter((name) => isCredentialName(name))
  return { yaml, given: inputValues(workflow, vars), left_out: [...left_out, ...credentialInputs] }
}

const outlineOf = ({ name, needs, when, foreach, rollback }: Workflow['steps'][number]) => ({
  ...{ name, needs, when },
  foreach: typeof foreach === 'string' ? foreach : undefined,
  rollback: rollback !== undefined || undefined,
})

function factsOf({ name, inputs = {}, steps, finally: last = [] }: Workflow) {
  const all = [...steps, ...last]
  return {
    name,
    steps: all.length,
    hosts: new Set(all.flatMap(({ targets }) => targets ?? [DEFAULT_HOST])).size,
    inputs: Object.entries(inputs).map(([of, input]) => ({
      ...input,
      name: of,
      secret: isCredentialName(of),
    })),
  }
}

/** Parses the labels of a query. Throws `bad_request`. */
function labelsOf(pairs: readonly string[]): Record<string, string> {
  const { data, error } = RunLabels.safeParse(variables(pairs, 'label'))
  if (data !== undefined) return data
  throw new ErrandError('bad_request', `query.label: ${error.issues[0]?.message}.`, {
    hint: 'For example: ?label=team=db. You may repeat it.',
  })
}

function variables(pairs: readonly string[], field = 'var'): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      if (at > 0) return [pair.slice(0, at), pair.slice(at + 1)]
      throw new ErrandError('bad_request', `query.${field}: must have the form KEY=value.`, {
        hint: `For example: ?${field}=NAME=world. You may repeat it.`,
      })
    }),
  )
}

/** Returns the run with those tries of its chain that are the user's; an admin gets all. */
function withChainFor(identity: Identity, view: RunView): RunView {
  if (view.chain === undefined || isAdmin(identity)) return view
  const chain = view.chain.filter(({ owner }) => owner === identity.user.name)
  return { ...view, chain, retried_as: chain.findLast(({ retry_of }) => retry_of === view.run_id)?.run_id }
}

type Made = Pick<Submission, 'blueprint' | 'yaml' | 'workflow' | 'vars'>

const shapes = ['yaml', 'workflow', 'agent', 'input'] as const

/**
 * Returns the run that a create request asks for, according to the request's shape. Throws `bad_request` and whatever
 * blueprints and `checkAgent` throw.
 */
async function blueprintRun(
  body: CreateRun,
  checkAgent: (name: string) => Promise<void>,
  attachments: (ids: readonly string[] | undefined) => Promise<Attachment[]>,
): Promise<Made> {
  const present = shapes.filter((shape) => body[shape] !== undefined)
  const [shape, other] = present
  if (shape === undefined || other !== undefined)
    throw new ErrandError(
      'bad_request',
      `body: exactly one of "yaml", "workflow" and "agent" is needed${listed(present)}.`,
      {
        hint: 'For a workflow, send its text as "yaml", or the same as JSON in "workflow". For an agent, send {"agent": {"prompt": "..."}}.',
      },
    )
  const blueprint = shape === 'yaml' || shape === 'workflow' ? 'workflow' : 'agent'
  if (body.blueprint !== undefined && body.blueprint !== blueprint)
    throw new ErrandError('bad_request', `body: blueprint "${body.blueprint}" does not accept "${shape}".`, {
      hint: `Send ${body.blueprint === 'agent' ? '"agent"' : '"yaml" or "workflow"'}.`,
    })
  if (body.metadata !== undefined && shape !== 'input')
    throw new ErrandError('bad_request', 'body: "metadata" is only allowed with "input".', {
      hint: 'Leave it out, or send a request of the agent API: {"input": {"text": "..."}, "metadata": {...}}',
    })
  if (blueprint === 'workflow') return workflowRun(body)
  if (Object.keys(body.vars).length > 0)
    throw new ErrandError('bad_request', 'body.vars: an agent run has no variables.', {
      hint: 'Set environment variables for the agent in "agent": {"env": {...}}.',
    })
  const request = body.agent ?? oldAgentRequest(body.input!, body.metadata)
  const made = agentRun(request, await attachments(request.attachments))
  if (request.agent !== undefined) await checkAgent(request.agent)
  return made
}

const listed = (names: readonly string[]) =>
  names.length === 0 ? '' : `, not ${names.map((shape) => `"${shape}"`).join(' and ')} at once`

export function validateHandlers({ runners, checkAside }: ApiContext) {
  return {
    'POST /api/validate': async ({ identity, body }) => {
      const agents = agentsOf(await runners.list(identity.user.tenant))
      const { tenant, name } = identity.user
      const { problems, workflow } =
        body.yaml.length < ASIDE_LENGTH
          ? parseWorkflow(body.yaml, { catalog: builtinActions, agents })
          : await checkAside({ text: body.yaml, agents }, `${tenant}/${name}`)
      const valid = problems.every(({ severity }) => severity !== 'error')
      if (workflow === undefined) return { valid, problems }
      const vars = body.vars === undefined ? {} : { vars: fieldProblems(workflow, body.vars) }
      return { valid, problems, workflow: factsOf(workflow), ...vars }
    },
  } satisfies Partial<Handlers>
}

export function runStatusHandlers({ engine }: ApiContext) {
  return {
    'GET /run-status': async ({ identity, query }) => {
      const record = await readableRun(engine, identity, query.run_id)
      return runStatus(record, (await engine.view(record.run_id)).steps)
    },
  } satisfies Partial<Handlers>
}

const reportedFirst: readonly StepStatus[] = ['failed', 'interrupted', 'canceled', 'running', 'waiting']

function runStatus(record: RunRecord, steps: readonly StepView[]): RunStatusView {
  const statuses = record.finished_at === undefined ? reportedFirst.slice(3) : reportedFirst.slice(0, 3)
  const step = record.status === 'success' ? undefined : steps.find(({ status }) => statuses.includes(status))
  const instance = step?.instances.find(({ status }) => statuses.includes(status))
  const failed = record.status !== 'success' && record.finished_at !== undefined
  return {
    run_id: record.run_id,
    workflow_name: record.workflow_name,
    status: record.status,
    step: step?.step,
    host: instance?.host,
    error: failed ? (record.message ?? step?.message ?? record.reason) : undefined,
    started_at: record.started_at,
    finished_at: record.finished_at,
    last_notify_error: record.last_notify_error,
  }
}

export function runActionHandlers({ engine, accounts }: ApiContext) {
  const idempotent = new IdempotentRuns(engine, accounts)
  /** Returns the run's status after the change. */
  const accepted = async (runId: string) => ({ run_id: runId, status: (await engine.get(runId))!.status })

  const decide = async (
    identity: Identity,
    runId: string,
    answer: AnswerApproval & { decision: 'approve' | 'reject' },
  ) => {
    const run = await readableRun(engine, identity, runId)
    const by = identity.user
    await engine.answer(runId, { ...answer, by: by.name }, (approvers) => needApprover(approvers, by, run))
    return await accepted(runId)
  }

  return {
    'POST /api/runs/:id/cancel': async ({ identity, params, body }) => {
      await visibleRun(engine, identity, params.id)
      await engine.cancel(params.id, { by: identity.user.name, ...body })
      return await accepted(params.id)
    },

    'POST /api/runs/:id/resume': async ({ identity, params }) => {
      await visibleRun(engine, identity, params.id)
      needAdmin(identity)
      return runSummary(await engine.resumeRun(params.id))
    },

    'POST /api/runs/:id/retry': async ({ identity, params, body, headers }, reply) => {
      await visibleRun(engine, identity, params.id)
      const who = { owner: identity.user.name, tenant: identity.user.tenant }
      const begin = (run_id?: string) => engine.retry(params.id, { ...body, owner: who.owner, run_id })
      const key = headers['idempotency-key']
      const { record, fresh } =
        key === undefined
          ? { record: await begin(), fresh: true }
          : await idempotent.once(key, who, { retry: params.id, ...body }, newRunId(), begin)
      reply.code(fresh ? 201 : 200).header('location', `/api/runs/${record.run_id}`)
      return runSummary(record)
    },

    'POST /api/runs/:id/retry-plan': async ({ identity, params, body }) => {
      await visibleRun(engine, identity, params.id)
      return await engine.retryPlan(params.id, body)
    },

    'POST /api/runs/:id/rollback': async ({ identity, params }, reply) => {
      await visibleRun(engine, identity, params.id)
      const record = await engine.rollback(params.id, { owner: identity.user.name })
      reply.header('location', `/api/runs/${record.run_id}`)
      return runSummary(record)
    },

    'DELETE /api/runs/:id': async ({ identity, params }) => {
      const run = await visibleRun(engine, identity, params.id)
      return { deleted: await deleteRun(engine, accounts, run) }
    },

    'POST /api/runs/:id/approve': ({ identity, params, body }) =>
      decide(identity, params.id, { ...body, decision: 'approve' }),

    'POST /api/runs/:id/reject': ({ identity, params, body }) =>
      decide(identity, params.id, { ...body, decision: 'reject' }),
  } satisfies Partial<Handlers>
}
