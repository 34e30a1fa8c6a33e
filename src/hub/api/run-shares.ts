import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord } from '../../contract/run.ts'
import type { Share, UnshareRun } from '../../contract/runs/shares.ts'
import type { ApiContext } from './api-context.ts'
import { readableRun, visibleRun } from './http/access.ts'
import type { Handlers } from './http/routes.ts'

/** With whom runs are shared: changed by their owners and admins, read by all who may read the run. */
export function runShareHandlers({ engine, accounts }: ApiContext) {
  const listed = ({ run_id, owner }: RunRecord, shares: readonly Share[] = []) => ({
    run_id,
    owner,
    shares: [...shares],
  })

  /** As its user is called. Throws `not_found` for one that is not of the tenant, or whose run it is. */
  async function known(
    { tenant, owner, run_id }: RunRecord,
    { user, role }: UnshareRun,
  ): Promise<UnshareRun> {
    if (user === undefined) return { role }
    const found = await accounts.userByName({ tenant, name: user })
    if (found === undefined || found.disabled)
      throw new ErrandError('not_found', `There is no user "${user}" to share run ${run_id} with.`, {
        hint: 'An admin lists them with: errand users list',
      })
    if (found.name === owner)
      throw new ErrandError('bad_request', `Run ${run_id} is ${owner}'s own: it need not be shared.`, {
        hint: 'Name somebody else.',
      })
    return { user: found.name }
  }

  return {
    'GET /api/runs/:id/shares': async ({ identity, params }) => {
      const run = await readableRun(engine, identity, params.id)
      return listed(run, run.shares)
    },

    'PUT /api/runs/:id/shares': async ({ identity, params, body }) => {
      const run = await visibleRun(engine, identity, params.id)
      const share = { ...(await known(run, body)), can: body.can, by: identity.user.name }
      return listed(run, await engine.share(run.run_id, share))
    },

    'DELETE /api/runs/:id/shares': async ({ identity, params, query }) => {
      const run = await visibleRun(engine, identity, params.id)
      const { user, role } = query
      // Also one who is a user no more.
      const there = run.shares?.find(
        (share) => share.user?.toLowerCase() === user?.toLowerCase() && share.role === role,
      )
      if (there === undefined)
        throw new ErrandError(
          'not_found',
          `Run ${run.run_id} is not shared with ${user ?? `the role "${role}"`}.`,
          {
            hint: `errand sessions shares ${run.run_id} lists with whom it is.`,
          },
        )
      const change = { user: there.user, role: there.role, by: identity.user.name }
      return listed(run, await engine.share(run.run_id, change))
    },
  } satisfies Partial<Handlers>
}
