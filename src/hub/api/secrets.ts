import { ErrandError } from '../../contract/errors.ts'
import type { SecretAddress, SecretScope, SecretView } from '../../contract/secrets.ts'
import { secretFault, secretWarnings } from '../../contract/step-secrets.ts'
import type { SecretPlace } from '../../stores/secrets/secret-store.ts'
import type { Identity } from '../auth/auth.ts'
import { isPeoples, originOf } from '../secrets.ts'
import { allowing, tokenHosts } from '../tasks/repository-tokens.ts'
import type { ApiContext } from './api-context.ts'
import { isAdmin, needAdmin } from './http/access.ts'
import type { Handlers } from './http/routes.ts'

const secretView = (secret: Parameters<typeof originOf>[0]): SecretView => ({
  ...originOf(secret),
  hosts: tokenHosts(secret)?.slice(),
  created_at: secret.created_at,
  created_by: secret.created_by,
  updated_at: secret.updated_at,
})

const hostWarnings = (secret: Parameters<typeof originOf>[0]): string[] =>
  tokenHosts(secret)?.length === 0
    ? [
        `The secret is not sent to any server, because none was named. Name each server: ${allowing(secret, 'HOST')}`,
      ]
    : []

export function secretHandlers({ secrets }: ApiContext) {
  return {
    'GET /api/secrets': async ({ identity, query }) => {
      const { name, scope, repository, workflow, owner } = query
      const { user } = identity
      const found = (await secrets.list({ tenant: user.tenant, name, scope, owner }))
        .filter(isPeoples)
        .filter((secret) => isAdmin(identity) || secret.owner === undefined || secret.owner === user.name)
        .map(secretView)
      return {
        secrets: found.filter(
          (secret) =>
            (repository === undefined || secret.repository === repository) &&
            (workflow === undefined || secret.workflow === workflow),
        ),
      }
    },

    'PUT /api/secrets/:name': async ({ identity, params, body }, reply) => {
      reply.code(200)
      const { value, hosts, ...address } = body
      if (value === undefined) {
        const place = placeOf(identity, params.name, address)
        const changed = await secrets.setHosts(place, hosts!, identity.user.name)
        if (changed !== undefined) return { ...secretView(changed), warnings: hostWarnings(changed) }
        throw new ErrandError('secret_not_found', `Secret "${params.name}" not found${scopeText(place)}.`, {
          hint: `Set its value too: errand secrets set ${params.name}`,
        })
      }
      const fault = secretFault(value)
      if (fault !== undefined)
        throw new ErrandError('bad_request', `body.value ${fault}.`, {
          details: [{ field: 'body.value', message: fault }],
        })
      const place = placeOf(identity, params.name, address)
      const before = await secrets.get(place)
      const stored = await secrets.set(place, value as string, identity.user.name, hosts)
      // Remove one from before they were an admin: their own runs would still use it.
      if (place.owner === undefined) await secrets.remove({ ...place, owner: identity.user.name })
      reply.code(before === undefined ? 201 : 200)
      return {
        ...secretView(stored),
        warnings: [...secretWarnings(value as string), ...hostWarnings(stored)],
      }
    },

    'DELETE /api/secrets/:name': async ({ identity, params, query }) => {
      const place = placeOf(identity, params.name, query)
      if (!(await secrets.remove(place)))
        throw new ErrandError('secret_not_found', `Secret "${params.name}" not found${scopeText(place)}.`, {
          hint: 'List secrets with: errand secrets list',
        })
    },
  } satisfies Partial<Handlers>
}

/**
 * Returns the place of the secret that this user's request means. An admin's secrets are for everybody's runs. Those
 * that another user sets for the name of a repository or workflow are only for that user's runs, because whoever
 * starts a run chooses these names. Throws `forbidden`.
 */
function placeOf(
  identity: Identity,
  name: string,
  { repository, workflow, owner }: SecretAddress,
): SecretPlace & { scope: SecretScope } {
  const { user } = identity
  const of = { tenant: user.tenant, name }
  if (repository === undefined && workflow === undefined) {
    needAdmin(identity)
    return { ...of, scope: 'tenant', scope_name: '' }
  }
  if (owner !== undefined && owner !== user.name) needAdmin(identity)
  const whose = owner ?? (isAdmin(identity) ? undefined : user.name)
  const place = { ...of, ...(whose === undefined ? {} : { owner: whose }) }
  return repository === undefined
    ? { ...place, scope: 'workflow', scope_name: workflow! }
    : { ...place, scope: 'repository', scope_name: repository }
}

const scopeText = ({ scope, scope_name, owner }: SecretPlace): string => {
  if (scope === 'tenant') return ' for all runs'
  return ` for ${owner === undefined ? 'all runs' : `runs of "${owner}"`} of the ${scope} "${scope_name}"`
}
