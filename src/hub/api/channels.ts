import { randomBytes } from 'node:crypto'
import { type ChannelView, type CreateChannel, MOST_CHANNELS } from '../../contract/channels.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { ChannelState, NotificationChannel } from '../../stores/sqlite/channels.ts'
import type { Identity } from '../auth/auth.ts'
import { newId } from '../auth/tokens.ts'
import type { ChannelValue } from '../notify/send-notice.ts'
import type { ApiContext } from './api-context.ts'
import type { Handlers } from './http/routes.ts'

/** Milliseconds between two tests of a channel. */
const TEST_PAUSE_MS = 5000

const view = (
  { id, kind, name, to, tells, created_at }: NotificationChannel,
  state: ChannelState,
): ChannelView => ({
  id,
  kind,
  name,
  to,
  tells: [...tells],
  created_at,
  ...state,
})

export function channelHandlers({ channels, notifier, secrets }: ApiContext) {
  const tested = new Map<string, number>()

  const own = async (identity: Identity, id: string): Promise<NotificationChannel> => {
    const channel = await channels.get(id)
    if (channel?.user_id === identity.user.id) return channel
    throw new ErrandError('not_found', `Channel with the id "${id}" not found among your channels.`, {
      hint: 'List your channels with: errand channels list',
    })
  }

  return {
    'GET /api/me/channels': async ({ identity }) => {
      const found = await channels.ofUser(identity.user.id)
      return {
        channels: found.map(({ waiting, last_sent_at, failure, ...channel }) =>
          view(channel, { waiting, last_sent_at, failure }),
        ),
        can_mail: notifier.sender.canMail,
      }
    },

    'POST /api/me/channels': async ({ identity: { user }, body }, reply) => {
      if ((await channels.ofUser(user.id)).length >= MOST_CHANNELS)
        throw new ErrandError(
          'quota_exceeded',
          `You already have ${MOST_CHANNELS} channels, which is the maximum.`,
          {
            hint: 'Remove one first. List your channels with: errand channels list',
          },
        )
      if (body.kind === 'email' && !notifier.sender.canMail)
        throw new ErrandError('unavailable', 'This hub cannot send e-mail: no mail server is configured.', {
          hint: 'Ask the operator of the hub to set ERRAND_SMTP_URL.',
        })
      const { value, to, secret } = channelValue(body)
      const channel = {
        id: newId('channel'),
        user_id: user.id,
        tenant: user.tenant,
        kind: body.kind,
        name: body.name ?? `${body.kind} ${to}`.slice(0, 100),
        to,
        tells: [...new Set(body.tells)],
        created_at: new Date().toISOString(),
      }
      // Stored before the channel, which needs it. If the hub is killed in between, the leftover is deleted with the
      // user.
      await secrets.setOfChannel({ ...channel, owner: user.name }, JSON.stringify(value))
      await channels.add(channel)
      reply.header('cache-control', 'no-store')
      return { ...view({ ...channel, owner: user.name }, { waiting: 0 }), secret }
    },

    'POST /api/me/channels/:id/test': async ({ identity, params }) => {
      const channel = await own(identity, params.id)
      const waitMs = (tested.get(channel.id) ?? 0) + TEST_PAUSE_MS - Date.now()
      if (waitMs > 0)
        throw new ErrandError('rate_limited', 'A test was sent to this channel just now.', {
          hint: `Try again in ${Math.ceil(waitMs / 1000)} s.`,
        })
      if (tested.size > 10_000) tested.clear()
      tested.set(channel.id, Date.now())
      await notifier.test(channel)
      return { sent: true as const }
    },

    'DELETE /api/me/channels/:id': async ({ identity, params }) => {
      const channel = await own(identity, params.id)
      await channels.remove(channel.id)
      await secrets.dropOfChannel(channel)
    },
  } satisfies Partial<Handlers>
}

/**
 * Returns the part that is stored sealed, the part that is shown, and the secret if it was generated. Throws
 * `bad_request`.
 */
function channelValue(body: CreateChannel): { value: ChannelValue; to: string; secret?: string } {
  if (body.kind === 'email') return { value: { kind: 'email', address: body.address }, to: body.address }
  const url = new URL(body.url)
  if (url.username !== '' || url.password !== '')
    throw new ErrandError('bad_request', 'body.url: contains a user name or a password.', {
      hint: 'Leave them out. For an ntfy topic, use "token" instead.',
    })
  const to = url.host.slice(0, 200)
  if (body.kind === 'webhook') {
    const { secret = randomBytes(24).toString('base64url') } = body
    const made = body.secret === undefined ? secret : undefined
    return { value: { kind: 'webhook', url: url.href, secret }, to, secret: made }
  }
  if (url.pathname.replace(/\//g, '') === '')
    throw new ErrandError('bad_request', 'body.url: does not name a topic.', {
      hint: 'For example: https://ntfy.sh/TOPIC',
    })
  return { value: { kind: 'ntfy', url: url.href, token: body.token }, to }
}
