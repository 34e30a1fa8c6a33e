import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunnerGroup, RunnerWait, WaitingStep } from '../../contract/fleet/runner-groups.ts'
import { Mutex } from '../../platform/sync.ts'
import type { Identity } from '../auth/auth.ts'
import { DEFAULT_TENANT } from '../auth/tokens.ts'
import { DEFAULT_GROUP, groupOf } from '../fleet/matching.ts'
import { noPool } from '../provisioners/pool-settings.ts'
import type { ApiContext } from './api-context.ts'
import { isAdmin, needOperator } from './http/access.ts'
import type { Handlers } from './http/routes.ts'

/** Limits how many waiting steps of a group are listed. */
const MOST_STEPS = 20

/** Returns the work that waits, by group, as far as that person may see it. */
export function waitsOf(
  waiting: readonly { spec: AttemptSpec; why: string }[],
  identity: Identity,
): RunnerWait[] {
  const groups = new Map<
    string | undefined,
    { runs: Set<string>; attempts: number; steps: Map<string, WaitingStep> }
  >()
  for (const { spec, why } of waiting) {
    const { run_id, workflow_name, step, owner, requires } = spec
    const name = groupOf(requires)
    const group = groups.get(name) ?? { runs: new Set(), attempts: 0, steps: new Map() }
    groups.set(name, group)
    group.runs.add(run_id)
    group.attempts++
    if (!isAdmin(identity) && owner !== identity.user.name) continue
    const key = JSON.stringify([run_id, step, why])
    const known = group.steps.get(key)
    if (known !== undefined) known.attempts++
    else if (group.steps.size < MOST_STEPS)
      group.steps.set(key, { run_id, workflow_name, step, attempts: 1, why })
  }
  return [...groups]
    .map(([group, { runs, attempts, steps }]) => ({
      ...(group !== undefined && { group }),
      ...{ runs: runs.size, attempts, steps: [...steps.values()] },
    }))
    .sort((a, b) => (a.group ?? '').localeCompare(b.group ?? ''))
}

interface CreatedGroup {
  name: string
  created_at: string
  created_by: string
}

/** Manages the groups that admins have made. They are a setting of each tenant, and changes run one after another. */
class CreatedGroups {
  readonly #accounts: ApiContext['accounts']
  readonly #changes = new Mutex()

  constructor(accounts: ApiContext['accounts']) {
    this.#accounts = accounts
  }

  async of(tenant: string): Promise<CreatedGroup[]> {
    return JSON.parse((await this.#accounts.setting(keyOf(tenant))) ?? '[]') as CreatedGroup[]
  }

  /** Changes the groups, one change after another. A change that throws changes nothing. */
  change(tenant: string, to: (groups: CreatedGroup[]) => CreatedGroup[]): Promise<void> {
    return this.#changes.run(async () => {
      await this.#accounts.setSetting(keyOf(tenant), JSON.stringify(to(await this.of(tenant))))
    })
  }
}
const keyOf = (tenant: string) => `runner_groups ${tenant}`

export function runnerGroupHandlers({ runners, accounts, repositories, pools }: ApiContext) {
  const created = new CreatedGroups(accounts)

  async function groupsFor(identity: Identity): Promise<RunnerGroup[]> {
    const { tenant } = identity.user
    const groups = new Map<string, RunnerGroup>()
    const group = (name: string): RunnerGroup => {
      const found = groups.get(name) ?? {
        ...{ name, made: false, runners: [], connected: 0, slots: 0, running: 0, waiting: 0 },
        ...{ tokens: [], repositories: [] },
      }
      groups.set(name, found)
      return found
    }
    group(DEFAULT_GROUP)
    for (const { name, ...rest } of await created.of(tenant))
      Object.assign(group(name), { made: true, ...rest })
    for (const { id, group: name, status, slots, running } of await runners.list(tenant)) {
      const found = group(name)
      found.runners.push(id)
      if (status === 'disconnected') continue
      found.connected++
      found.slots += slots
      found.running += running
    }
    for (const { group: name, runs } of waitsOf(runners.waiting?.(tenant) ?? [], identity))
      if (name !== undefined) group(name).waiting = runs
    if (isAdmin(identity)) {
      const now = new Date().toISOString()
      for (const { id, name, group: of, runner_id, revoked_at, used_at, expires_at } of await accounts.tokens(
        { tenant },
      ))
        if (
          of !== undefined &&
          revoked_at === undefined &&
          used_at === undefined &&
          (expires_at ?? now) >= now
        )
          group(of).tokens.push({ id, name, ...(runner_id !== undefined && { runner_id }) })
    }
    // The file belongs to the hub, whose operators are in the first tenant.
    if (tenant === DEFAULT_TENANT)
      for (const { name, ...rest } of repositories.groups?.() ?? []) Object.assign(group(name), rest)
    for (const pool of pools?.list(tenant) ?? []) group(pool.group).pool = pool
    return [...groups.values()].sort((a, b) => a.name.localeCompare(b.name))
  }

  /** Checks that an admin has made the group and that nothing uses it. Throws `not_found` or `conflict`. */
  async function unused(identity: Identity, name: string): Promise<void> {
    const found = (await groupsFor(identity)).find((each) => each.name === name)
    if (found === undefined || (!found.made && isEmpty(found) && name !== DEFAULT_GROUP))
      throw new ErrandError('not_found', `Group "${name}" not found.`, {
        hint: 'List groups with: errand runners groups',
      })
    const { runners: ids, tokens, repositories: repos, waiting, isolation } = found
    const uses = [
      ids.length > 0 && `runners ${ids.slice(0, 5).join(', ')}${ids.length > 5 ? ', …' : ''}`,
      tokens.length > 0 && `${tokens.length} ${tokens.length === 1 ? 'token' : 'tokens'}`,
      repos.length > 0 && `repositories ${repos.slice(0, 5).join(', ')} in errand.yaml`,
      isolation !== undefined && 'its box in errand.yaml',
      found.pool !== undefined && 'its provisioner in errand.yaml',
      waiting > 0 && `${waiting} ${waiting === 1 ? 'waiting run' : 'waiting runs'}`,
    ].filter((use) => use !== false)
    if (uses.length > 0)
      throw new ErrandError('conflict', `The group "${name}" is in use: ${uses.join('; ')}.`, {
        hint: 'Start the runners with another --group, revoke the tokens, and change errand.yaml.',
        details: { runners: ids, tokens: tokens.map(({ id }) => id), repositories: repos, waiting },
      })
    if (!found.made)
      throw new ErrandError('conflict', `The group "${name}" always exists.`, {
        hint: 'Keep it: runs without a group use it.',
      })
  }

  const taken = (name: string) =>
    new ErrandError('conflict', `The group "${name}" already exists.`, { hint: 'Choose another name.' })

  return {
    'GET /api/runner-waits': ({ identity, query: { group } }) => {
      const all = waitsOf(runners.waiting?.(identity.user.tenant) ?? [], identity)
      return { waits: all.filter((wait) => group === undefined || wait.group === group) }
    },

    'GET /api/runner-groups': async ({ identity, query: { name, made: isMade } }) => ({
      groups: (await groupsFor(identity)).filter(
        (group) => (name ?? group.name) === group.name && (isMade ?? group.made) === group.made,
      ),
    }),

    'POST /api/runner-groups': async ({ identity, body: { name } }) => {
      const { tenant, name: created_by } = identity.user
      if (name === DEFAULT_GROUP) throw taken(name)
      await created.change(tenant, (groups) => {
        if (groups.some((each) => each.name === name)) throw taken(name)
        return [...groups, { name, created_at: new Date().toISOString(), created_by }]
      })
      return (await groupsFor(identity)).find((each) => each.name === name)!
    },

    'PATCH /api/runner-groups/:name': async ({ identity, params, body: { name } }) => {
      await unused(identity, params.name)
      const others = await groupsFor(identity)
      if (others.some((each) => each.name === name)) throw taken(name)
      await created.change(identity.user.tenant, (groups) =>
        groups.map((each) => (each.name === params.name ? { ...each, name } : each)),
      )
      return (await groupsFor(identity)).find((each) => each.name === name)!
    },

    'PATCH /api/runner-groups/:name/pool': async ({ identity, params: { name }, body }) => {
      needOperator(identity, 'change how runners are provisioned')
      if (pools === undefined) throw noPool(name)
      await pools.change(name, body, identity.user.name)
      return pools.list(identity.user.tenant).find(({ group }) => group === name)!
    },

    'POST /api/runner-groups/:name/empty': ({ identity, params: { name }, body: { working } }) => {
      needOperator(identity, 'remove runners of all tenants')
      if (pools === undefined) throw noPool(name)
      return { removed: pools.empty(name, { working, by: identity.user.name }) }
    },

    'DELETE /api/runner-groups/:name': async ({ identity, params }) => {
      await unused(identity, params.name)
      await created.change(identity.user.tenant, (groups) =>
        groups.filter(({ name }) => name !== params.name),
      )
    },
  } satisfies Partial<Handlers>
}

const isEmpty = ({ runners, tokens, repositories, waiting, isolation, pool }: RunnerGroup): boolean =>
  runners.length + tokens.length + repositories.length + waiting === 0 &&
  isolation === undefined &&
  pool === undefined
