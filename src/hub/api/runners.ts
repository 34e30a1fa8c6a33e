import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { RunnerView } from '../../contract/protocol.ts'
import type { ListedRunner, RunnersQuery, RunnerWork } from '../../contract/runner-api.ts'
import type { TenantRunner } from '../../stores/accounts.ts'
import type { Identity } from '../auth/auth.ts'
import { Enrolments } from '../auth/enrolment.ts'
import type { ApiContext, RunnersFace } from './api-context.ts'
import { isAdmin } from './http/access.ts'
import type { Handlers } from './http/routes.ts'

export function runnerHandlers({ runners, accounts, auth }: ApiContext) {
  /** Returns the runner. Throws `not_found`, also if it belongs to another tenant. */
  async function here({ user }: Identity, id: string): Promise<RunnerView> {
    const runner = (await runners.list(user.tenant)).find((each) => each.id === id)
    if (runner === undefined) throw unknownRunner(id)
    return runner
  }

  async function change(
    identity: Identity,
    id: string,
    to: (runner: TenantRunner) => boolean | Promise<boolean>,
  ): Promise<{ id: string }> {
    await here(identity, id)
    if (!(await to({ tenant: identity.user.tenant, id }))) throw unknownRunner(id)
    return { id }
  }

  return {
    'GET /api/runners': async ({ identity, query }) =>
      (await listedRunners(runners, identity)).filter(fitting(query)),

    'GET /api/runners/:id': async ({ identity, params }) => {
      const runner = await here(identity, params.id)
      const shown = (await runners.attempts({ tenant: identity.user.tenant, id: runner.id })).filter(
        ({ owner }) => isAdmin(identity) || owner === identity.user.name,
      )
      return { ...runner, attempts: shown.map(attemptView) }
    },

    'POST /api/runners/:id/drain': ({ identity, params }) =>
      change(identity, params.id, (runner) => runners.drain(runner)),

    'POST /api/runners/:id/resume': ({ identity, params }) =>
      change(identity, params.id, (runner) => runners.undrain(runner)),

    'DELETE /api/runners/:id': async ({ identity, params: { id }, query }) => {
      const { status } = await here(identity, id)
      if (status !== 'disconnected' && !query.force)
        throw new ErrandError('conflict', `The runner "${id}" is connected.`, {
          hint: `Drain and stop it first, or remove it by force and lose its current work: errand runners remove ${id} --force`,
        })
      const runner = { tenant: identity.user.tenant, id }
      await accounts.revokeRunnerTokens(runner, new Date().toISOString())
      if (!(await runners.remove(runner))) throw unknownRunner(id)
      auth.changed()
    },
  } satisfies Partial<Handlers>
}

/** Returns the filter of a query. Throws `bad_request`. */
function fitting({ status, group, label }: RunnersQuery): (runner: RunnerView) => boolean {
  const statuses = status?.split(',').map((each) => {
    const parsed = RunnerView.shape.status.safeParse(each.trim())
    if (parsed.success) return parsed.data
    throw new ErrandError('bad_request', `query.status: "${each}" is not a status of a runner.`, {
      hint: `Use one or more of ${RunnerView.shape.status.options.join(', ')}.`,
    })
  })
  const labels = [label ?? []].flat().map((text) => text.split(/=(.*)/s))
  return (runner) =>
    (statuses === undefined || statuses.includes(runner.status)) &&
    (group === undefined || runner.group === group) &&
    labels.every(
      ([name, value]) =>
        Object.hasOwn(runner.labels, name!) && (value === undefined || runner.labels[name!] === value),
    )
}

/** Limits how many steps of a runner are listed. */
const MOST_WORK = 20

/** Lists the runners of the person's tenant with their current work, as far as the person may see it. */
export async function listedRunners(runners: RunnersFace, identity: Identity): Promise<ListedRunner[]> {
  const { tenant, name } = identity.user
  return await Promise.all(
    (await runners.list(tenant)).map(async (runner) => {
      const steps = new Map<string, RunnerWork>()
      for (const { run_id, workflow_name, step, owner } of await runners.attempts({
        tenant,
        id: runner.id,
      })) {
        if (!isAdmin(identity) && owner !== name) continue
        const key = JSON.stringify([run_id, step])
        const known = steps.get(key)
        if (known !== undefined) known.attempts++
        else if (steps.size < MOST_WORK) steps.set(key, { run_id, workflow_name, step, attempts: 1 })
      }
      return { ...runner, doing: [...steps.values()] }
    }),
  )
}

const attemptView = ({ attempt_id, run_id, workflow_name, step, host, owner }: AttemptSpec) => ({
  attempt_id,
  run_id,
  workflow_name,
  step,
  host,
  owner,
})

const unknownRunner = (id: string) =>
  new ErrandError('not_found', `Runner "${id}" not found.`, {
    hint: 'List runners with: errand runners list',
  })

export function enrolmentHandlers({ accounts, auth, runners }: ApiContext) {
  const enrolments = new Enrolments({
    accounts,
    auth,
    connected: async ({ tenant, id }) =>
      (await runners.list(tenant)).find((each) => each.id === id && each.status !== 'disconnected'),
  })

  return {
    'POST /api/runners/enrollments': async ({ identity, body }, reply) => {
      reply.header('cache-control', 'no-store')
      return await enrolments.create(identity, body)
    },

    'POST /api/runners/enroll': async ({ body, caller }, reply) => {
      const enrolled = await enrolments.exchange(body, caller)
      reply.header('cache-control', 'no-store')
      return enrolled
    },
  } satisfies Partial<Handlers>
}
