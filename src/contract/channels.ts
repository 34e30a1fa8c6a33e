import * as z from 'zod'
import { PlainName } from './plain-name.ts'

/** Requests and answers of `/api/me/channels`: the channels at which a person is notified. */

const time = z.string().describe('RFC 3339, UTC')

/** Most channels that a user may have. */
export const MOST_CHANNELS = 10

export const ChannelKind = z.enum(['webhook', 'ntfy', 'email'])
export type ChannelKind = z.infer<typeof ChannelKind>
export const ChannelTopic = z.enum(['needs_me', 'failures'])
export type ChannelTopic = z.infer<typeof ChannelTopic>

const topics = z
  .array(ChannelTopic)
  .min(1)
  .max(2)
  .default(['needs_me', 'failures'])
  .describe(
    '`needs_me`: questions that this person may answer. `failures`: their own runs that did not succeed',
  )
const name = PlainName.optional().describe('Default: its kind and its server or address')
const url = z
  .url({ protocol: /^https?$/, error: 'must be an address that begins with https:// or http://' })
  .max(2000)

/** `POST /api/me/channels`. Only the name is ever returned. */
export const CreateChannel = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('webhook'),
    name,
    tells: topics,
    url,
    secret: z
      .string()
      .min(16, 'a secret must have at least 16 characters')
      .max(200)
      .optional()
      .describe('Signs each notice; default: a new secret, returned only in this answer'),
  }),
  z.strictObject({
    kind: z.literal('ntfy'),
    name,
    tells: topics,
    url: url.describe('Address of the topic, such as https://ntfy.sh/TOPIC'),
    token: z.string().min(1).max(500).optional().describe('Needed if the topic asks for one'),
  }),
  z.strictObject({
    kind: z.literal('email'),
    name,
    tells: topics,
    address: z.email('is not an e-mail address').max(254),
  }),
])
export type CreateChannel = z.infer<typeof CreateChannel>
export type CreateChannelInput = z.input<typeof CreateChannel>

export const ChannelView = z.object({
  id: z.string(),
  kind: ChannelKind,
  name: z.string(),
  to: z.string().describe('The server or the e-mail address; never the rest of a URL'),
  tells: z.array(ChannelTopic),
  created_at: time,
  last_sent_at: time.optional(),
  waiting: z.number().int().describe('Notices that are still to be sent'),
  failure: z
    .object({ message: z.string(), at: time, dropped: z.boolean() })
    .optional()
    .describe('Why the last try failed; `dropped`: it is not tried again. Absent once a notice was sent'),
})
export type ChannelView = z.infer<typeof ChannelView>
export const ChannelList = z.object({
  channels: z.array(ChannelView),
  can_mail: z.boolean().describe('Whether the hub knows a mail server'),
})
export type ChannelList = z.infer<typeof ChannelList>
export const ChannelCreated = ChannelView.extend({
  secret: z.string().optional().describe('Secret of a webhook; shown only this once'),
})
export type ChannelCreated = z.infer<typeof ChannelCreated>
export const ChannelTested = z.object({ sent: z.literal(true) })

/** The body of a webhook. */
export const WebhookNotice = z.object({
  id: z.string().describe('The same for every try of one notice'),
  kind: z.enum(['question', 'failure', 'test']),
  title: z.string(),
  text: z.string(),
  run_id: z.string().optional(),
  workflow_name: z.string().optional(),
  step: z.string().optional(),
  url: z.string().describe('Opens the question or the run; opening it does not answer anything'),
  at: time,
})
export type WebhookNotice = z.infer<typeof WebhookNotice>
