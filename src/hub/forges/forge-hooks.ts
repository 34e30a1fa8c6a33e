import { hash } from 'node:crypto'
import type { ConfiguredForge } from '../../config/config-file.ts'
import { ErrandError } from '../../contract/errors.ts'
import { isSigned } from '../../forge/webhook-signatures.ts'
import { DEFAULT_TENANT } from '../auth/tokens.ts'
import type { Secrets } from '../secrets.ts'

/** Place at a forge where something has happened. Without `number` it is the repository as a whole. */
export interface ForgeNews {
  /** Lower case. */
  host: string
  /** `owner/name` */
  path: string
  /** Number of an issue or a pull request. */
  number?: number
}

export interface ForgeHooksOptions {
  forges: { forgeOf(host: string): ConfiguredForge | undefined }
  secrets: Pick<Secrets, 'valueSeen'>
  /** Looks there. Returns the number of things concerned. */
  wake(news: ForgeNews): number
}

type Headers = Readonly<Record<string, string | string[] | undefined>>

/** Number of messages that are remembered. */
const MOST_KNOWN = 1_000

/**
 * Receives the webhooks of the configured forges. A message only says where to look; the facts are read from the
 * forge. A repeated message therefore does nothing that another look would not do.
 */
export class ForgeHooks {
  readonly #options: ForgeHooksOptions
  /** Hashes of bodies, because ids are not signed. */
  readonly #known = new Set<string>()

  constructor(options: ForgeHooksOptions) {
    this.#options = options
  }

  /**
   * Takes a message; `body` is the raw text. Returns how many things are looked at. Throws `unauthorized`, and
   * `bad_request` for a body that is not an object.
   */
  async take(address: string, { headers, body }: { headers: Headers; body: string }): Promise<number> {
    const host = address.toLowerCase()
    const { forges, secrets, wake } = this.#options
    const forge = forges.forgeOf(host)
    const secret =
      forge?.webhook_secret &&
      (await secrets.valueSeen({ tenant: DEFAULT_TENANT, owner: '' }, [forge.webhook_secret]))
    const bytes = Buffer.from(body)
    // The error is always the same, so that a stranger cannot learn which forges there are.
    if (!forge || !secret || !isSigned(forge.kind, headers, bytes, secret))
      throw new ErrandError('unauthorized', `The message is not signed with the secret for "${host}".`, {
        hint: 'errand.yaml names it: forges: [{host: HOST, kind: github, webhook_secret: NAME}]. Set it as an admin: errand secrets set NAME',
      })
    const news = newsOf(body)
    if (news === undefined) return 0
    const id = hash('sha256', bytes)
    if (this.#known.has(id)) return 0
    const woken = wake({ host, ...news })
    if (woken === 0) return 0
    this.#known.add(id)
    if (this.#known.size > MOST_KNOWN) this.#known.delete(this.#known.values().next().value!)
    return woken
  }
}

type Json = Readonly<Record<string, unknown>>

/** Returns the place that a message is about, or undefined if it names no repository, like a forge's first greeting. */
function newsOf(body: string): Omit<ForgeNews, 'host'> | undefined {
  let message: unknown
  try {
    message = JSON.parse(body)
  } catch {
    // The check below reports it.
  }
  if (typeof message !== 'object' || message === null)
    throw new ErrandError('bad_request', 'The message is not a JSON object.', {
      hint: 'Choose application/json as the content type of the webhook.',
    })
  const part = (name: string): Json => {
    const value = (message as Json)[name]
    return typeof value === 'object' && value !== null ? (value as Json) : {}
  }
  // The first is GitHub's and Gitea's, the second GitLab's.
  const path = part('repository').full_name ?? part('project').path_with_namespace
  if (typeof path !== 'string' || path === '') return undefined
  const { object_kind } = message as Json
  const isMerge = object_kind === 'merge_request' || object_kind === 'issue'
  const number =
    part('pull_request').number ??
    part('issue').number ??
    part('merge_request').iid ??
    (isMerge ? part('object_attributes').iid : undefined)
  return { path, ...(Number.isSafeInteger(number) && { number: number as number }) }
}
