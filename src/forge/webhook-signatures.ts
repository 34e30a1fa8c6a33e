import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { ForgeKind } from '../contract/tasks/forge.ts'

/** Headers as Node gives them: names in lower case. */
type Headers = Readonly<Record<string, string | string[] | undefined>>

/** How old a signed message of Standard Webhooks may be, and how far ahead its clock. */
const TOLERANCE_SECONDS = 300

/**
 * Whether a webhook is from whom has the secret, by its raw body: GitHub's and Gitea's HMAC-SHA256, GitLab's token, or where they
 * stand there the headers of Standard Webhooks (GitLab's newer ones). A secret that is empty fits nothing.
 */
export function isSigned(
  kind: ForgeKind,
  headers: Headers,
  body: Uint8Array,
  secret: string,
  nowMs = Date.now(),
): boolean {
  if (secret === '') return false
  if (kind === 'github') {
    const given = /^sha256=([0-9a-f]{64})$/i.exec(one(headers['x-hub-signature-256']))?.[1]
    return isHmac(given, body, secret)
  }
  if (kind === 'gitea')
    return isHmac(one(headers['x-forgejo-signature']) || one(headers['x-gitea-signature']), body, secret)
  if (headers['webhook-signature'] !== undefined) return isStandardSigned(headers, body, secret, nowMs)
  const given = one(headers['x-gitlab-token'])
  return given !== '' && same(sha256(given), sha256(secret))
}

/** By https://www.standardwebhooks.com: `secret` as it is given out, with `whsec_` and base64, or any other text. */
export function isStandardSigned(
  headers: Headers,
  body: Uint8Array,
  secret: string,
  nowMs = Date.now(),
): boolean {
  const id = one(headers['webhook-id'])
  const time = one(headers['webhook-timestamp'])
  if (secret === '' || id === '' || !/^\d{1,12}$/.test(time)) return false
  if (Math.abs(nowMs / 1000 - Number(time)) > TOLERANCE_SECONDS) return false
  const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret)
  const wanted = createHmac('sha256', key).update(`${id}.${time}.`).update(body).digest()
  return one(headers['webhook-signature'])
    .split(' ')
    .some((each) => each.startsWith('v1,') && same(Buffer.from(each.slice(3), 'base64'), wanted))
}

/** The id by which a delivery that comes twice is known; undefined where its sender gives none. */
export const deliveryId = (headers: Headers): string | undefined =>
  ['x-github-delivery', 'x-gitea-delivery', 'x-gitlab-event-uuid', 'webhook-id', 'idempotency-key']
    .map((name) => one(headers[name]))
    .find((id) => id !== '')

function isHmac(given: string | undefined, body: Uint8Array, secret: string): boolean {
  if (given === undefined || !/^[0-9a-f]{64}$/i.test(given)) return false
  return same(Buffer.from(given, 'hex'), createHmac('sha256', secret).update(body).digest())
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()
const same = (a: Buffer, b: Buffer): boolean => a.length === b.length && timingSafeEqual(a, b)
/** A header that came twice is none. */
const one = (value: string | string[] | undefined): string => (typeof value === 'string' ? value : '')
