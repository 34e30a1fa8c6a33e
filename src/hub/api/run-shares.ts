import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord } from '../../contract/run.ts'
import type { Share, UnshareRun } from '../../contract/runs/shares.ts'
import type { ApiContext } from './api-context.ts'
import { readableRun, visibleRun } from './http/access.ts'
import type { Handlers } from './http/routes.ts'

/**
 * Serves the list of those with whom a run is shared. Its owner and admins change it; everybody who may read the run
 * reads it.
 */
export function runShareHandlers({ engine, accounts }: ApiContext) {
  const listed = ({ run_id, owner }: RunRecord, shares: readonly Share[] = []) => ({
    run_id,
    owner,
    shares: [...shares],
  })

  /**
   * Returns the user under the stored spelling of the name. Throws `not_found` if no such user is in the tenant, or
   * if the run is that user's own.
   */
  async function known(
    { tenant, owner, run_id }: RunRecord,
    { user, role }: UnshareRun,
  ): Promise<UnshareRun> {
    if (user === undefined) return { role }
    const found = await accounts.userByName({ tenant, name: user })
    if (found === undefined || found.disabled)
      throw new ErrandError('not_found', `User "${user}" not found, so run ${run_id} was not shared.`, {
        hint: 'Admins list users with: errand users list',
      })
    if (found.name === owner)
      throw new ErrandError(
        'bad_request',
        `Run ${run_id} belongs to ${owner}: there is no need to share it.`,
        {
          hint: 'Name another user.',
        },
      )
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
      // Includes a user who was deleted since.
      const there = run.shares?.find(
        (share) => share.user?.toLowerCase() === user?.toLowerCase() && share.role === role,
      )
      if (there === undefined)
        throw new ErrandError(
          'not_found',
          `Run ${run.run_id} is not shared with ${user ?? `the role "${role}"`}.`,
          {
            hint: `List its shares with: errand sessions shares ${run.run_id}`,
          },
        )
      const change = { user: there.user, role: there.role, by: identity.user.name }
      return listed(run, await engine.share(run.run_id, change))
    },
  } satisfies Partial<Handlers>
}
