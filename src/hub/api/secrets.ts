import * as z from 'zod'
import { ErrandError } from '../../contract/errors.ts'
import { secretFault, secretWarnings } from '../../contract/secret-value.ts'
import {
  ListSecrets,
  PutSecret,
  SecretAddress,
  SecretKept,
  SecretList,
  SecretName,
  type SecretScope,
  type SecretView,
} from '../../contract/secrets.ts'
import type { Identity } from '../auth/auth.ts'
import type { SecretPlace, StoredSecret } from '../store/secrets.ts'
import { isAdmin, needAdmin } from './access.ts'
import type { ApiApp, ApiContext } from './api-context.ts'

const tags = ['secrets']

const secretView = (secret: StoredSecret): SecretView => ({
  name: secret.name,
  scope: secret.scope as SecretScope,
  ...(secret.scope === 'tenant' ? {} : { [secret.scope]: secret.scope_name }),
  created_at: secret.created_at,
  created_by: secret.created_by,
  updated_at: secret.updated_at,
  updated_by: secret.updated_by,
})

export function secretRoutes(app: ApiApp, { secrets }: ApiContext): void {
  app.get(
    '/api/secrets',
    {
      schema: {
        tags,
        summary: 'The secrets of the tenant, never their values',
        querystring: ListSecrets,
        response: { 200: SecretList },
      },
    },
    async ({ identity, query }) => {
      const { name, scope, repository, workflow } = query
      const found = (await secrets.list({ tenant: identity.user.tenant, name, scope }))
        // A secret of one run is nobody's to look at.
        .filter((secret) => secret.scope !== 'run')
        .map(secretView)
      return {
        secrets: found.filter(
          (secret) =>
            (repository === undefined || secret.repository === repository) &&
            (workflow === undefined || secret.workflow === workflow),
        ),
      }
    },
  )

  app.put(
    '/api/secrets/:name',
    {
      schema: {
        tags,
        summary: 'Keep a secret, in the place of the one that is there',
        params: SecretName,
        body: PutSecret,
        response: { 200: SecretKept, 201: SecretKept },
      },
    },
    async ({ identity, params, body }, reply) => {
      const { value, ...address } = body
      const fault = secretFault(value)
      if (fault !== undefined)
        throw new ErrandError('bad_request', `body.value ${fault}.`, {
          details: [{ field: 'body.value', message: fault }],
        })
      const place = placeOf(identity, params.name, address)
      const before = await mayChange(identity, place)
      const kept = await secrets.set(place, value as string, identity.user.name)
      reply.code(before === undefined ? 201 : 200)
      return { ...secretView(kept), warnings: secretWarnings(value as string) }
    },
  )

  app.delete(
    '/api/secrets/:name',
    {
      schema: {
        tags,
        summary: 'Delete a secret, at once',
        params: SecretName,
        querystring: SecretAddress,
        response: { 204: z.void() },
      },
    },
    async ({ identity, params, query }, reply) => {
      const place = placeOf(identity, params.name, query)
      if ((await mayChange(identity, place)) === undefined || !(await secrets.remove(place)))
        throw new ErrandError('secret_not_found', `There is no secret "${params.name}"${scopeText(place)}.`, {
          hint: 'List them with: errand secrets list',
        })
      return reply.code(204).send()
    },
  )

  /** What is there now. The tenant's secrets are for admins to change, what another user has made as well. */
  async function mayChange(identity: Identity, place: SecretPlace): Promise<StoredSecret | undefined> {
    if (place.scope === 'tenant') needAdmin(identity)
    const before = await secrets.get(place)
    if (before !== undefined && before.created_by !== identity.user.name && !isAdmin(identity))
      throw new ErrandError('forbidden', `The secret "${place.name}" was made by ${before.created_by}.`, {
        hint: `Ask ${before.created_by} or an admin to change it.`,
      })
    return before
  }
}

function placeOf({ user }: Identity, name: string, { repository, workflow }: SecretAddress): SecretPlace {
  const of = { tenant: user.tenant, name }
  if (repository !== undefined) return { ...of, scope: 'repository', scope_name: repository }
  if (workflow !== undefined) return { ...of, scope: 'workflow', scope_name: workflow }
  return { ...of, scope: 'tenant', scope_name: '' }
}

const scopeText = ({ scope, scope_name }: SecretPlace): string =>
  scope === 'tenant' ? ' for all runs' : ` for the ${scope} "${scope_name}"`
