import { randomBytes } from 'node:crypto'
import { ErrandError } from '../../contract/errors.ts'
import { type CreatePlace, MOST_PLACES, type PlaceView } from '../../contract/places.ts'
import type { Place, PlaceState } from '../../stores/sqlite/places.ts'
import type { Identity } from '../auth/auth.ts'
import { newId } from '../auth/tokens.ts'
import type { PlaceValue } from '../notify/send-notice.ts'
import type { ApiContext } from './api-context.ts'
import type { Handlers } from './http/routes.ts'

/** Milliseconds between two tests of a place. */
const TEST_PAUSE_MS = 5000

const view = ({ id, kind, name, to, tells, created_at }: Place, state: PlaceState): PlaceView => ({
  id,
  kind,
  name,
  to,
  tells: [...tells],
  created_at,
  ...state,
})

export function placeHandlers({ places, notifier, secrets }: ApiContext) {
  const tested = new Map<string, number>()

  const own = async (identity: Identity, id: string): Promise<Place> => {
    const place = await places.get(id)
    if (place?.user_id === identity.user.id) return place
    throw new ErrandError('not_found', `You have no place with the id "${id}".`, {
      hint: 'List them with: errand places list',
    })
  }

  return {
    'GET /api/me/places': async ({ identity }) => {
      const found = await places.ofUser(identity.user.id)
      return {
        places: found.map(({ waiting, last_sent_at, failure, ...place }) =>
          view(place, { waiting, last_sent_at, failure }),
        ),
        can_mail: notifier.sender.canMail,
      }
    },

    'POST /api/me/places': async ({ identity: { user }, body }, reply) => {
      if ((await places.ofUser(user.id)).length >= MOST_PLACES)
        throw new ErrandError('quota_exceeded', `You have ${MOST_PLACES} places, which is the most.`, {
          hint: 'Remove one first: errand places list',
        })
      if (body.kind === 'email' && !notifier.sender.canMail)
        throw new ErrandError('unavailable', 'This hub sends no mail: it knows no mail server.', {
          hint: 'Its operator gives it one with ERRAND_SMTP_URL.',
        })
      const { value, to, secret } = placeValue(body)
      const place = {
        id: newId('place'),
        user_id: user.id,
        tenant: user.tenant,
        kind: body.kind,
        name: body.name ?? `${body.kind} ${to}`.slice(0, 100),
        to,
        tells: [...new Set(body.tells)],
        created_at: new Date().toISOString(),
      }
      // Stored before the place, which needs it. If the hub is killed in between, the leftover is deleted with the
      // user.
      await secrets.setOfPlace({ ...place, owner: user.name }, JSON.stringify(value))
      await places.add(place)
      reply.header('cache-control', 'no-store')
      return { ...view({ ...place, owner: user.name }, { waiting: 0 }), secret }
    },

    'POST /api/me/places/:id/test': async ({ identity, params }) => {
      const place = await own(identity, params.id)
      const waitMs = (tested.get(place.id) ?? 0) + TEST_PAUSE_MS - Date.now()
      if (waitMs > 0)
        throw new ErrandError('rate_limited', 'A test was sent there just now.', {
          hint: `Try again in ${Math.ceil(waitMs / 1000)} s.`,
        })
      if (tested.size > 10_000) tested.clear()
      tested.set(place.id, Date.now())
      await notifier.test(place)
      return { sent: true as const }
    },

    'DELETE /api/me/places/:id': async ({ identity, params }) => {
      const place = await own(identity, params.id)
      await places.remove(place.id)
      await secrets.dropOfPlace(place)
    },
  } satisfies Partial<Handlers>
}

/**
 * Returns the part that is stored sealed, the part that is shown, and the secret if it was generated. Throws
 * `bad_request`.
 */
function placeValue(body: CreatePlace): { value: PlaceValue; to: string; secret?: string } {
  if (body.kind === 'email') return { value: { kind: 'email', address: body.address }, to: body.address }
  const url = new URL(body.url)
  if (url.username !== '' || url.password !== '')
    throw new ErrandError('bad_request', 'body.url: holds a user name or a password.', {
      hint: 'Leave them out; a topic of ntfy takes a "token".',
    })
  const to = url.host.slice(0, 200)
  if (body.kind === 'webhook') {
    const { secret = randomBytes(24).toString('base64url') } = body
    const made = body.secret === undefined ? secret : undefined
    return { value: { kind: 'webhook', url: url.href, secret }, to, secret: made }
  }
  if (url.pathname.replace(/\//g, '') === '')
    throw new ErrandError('bad_request', 'body.url: names no topic.', {
      hint: 'Such as https://ntfy.sh/TOPIC.',
    })
  return { value: { kind: 'ntfy', url: url.href, token: body.token }, to }
}
