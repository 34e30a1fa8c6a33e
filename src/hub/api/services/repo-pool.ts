import type { ApiContext } from '../api-context.ts'
import type { Handlers } from '../http/routes.ts'
import { requesterOf } from '../tasks.ts'

/** Serves the repo pool with the paths and fields that older systems know. */
export function repoPoolHandlers({ pool }: ApiContext) {
  return {
    'GET /api/pool/health': () => ({ status: 'ok' as const }),

    'POST /api/pool/slots/allocate': ({ identity, body }) => pool.allocate(requesterOf(identity), body),

    'GET /api/pool/slots/:id': ({ identity, params }) => pool.view(requesterOf(identity), params.id),

    'POST /api/pool/slots/:id/release': async ({ identity, params, headers }) => {
      await pool.release(requesterOf(identity), params.id, fenceOf(headers['if-match']))
      return { slot_id: params.id, state: 'free' as const }
    },

    'POST /api/pool/slots/:id/renew': ({ identity, params, headers, body }) => {
      const fence = fenceOf(headers['if-match'])
      return pool.renew(requesterOf(identity), params.id, { fence, lease_seconds: body.lease_seconds })
    },
  } satisfies Partial<Handlers>
}

/** Returns the fence from a header, which holds an entity tag or the plain fence; `*` matches any. */
function fenceOf(header: string | undefined): string | undefined {
  const text = header?.trim().replace(/^"(.*)"$/, '$1')
  return text === undefined || text === '' || text === '*' ? undefined : text
}
