import { hash } from 'node:crypto'
import type { ConfiguredForge } from '../../config/config-file.ts'
import { ErrandError } from '../../contract/errors.ts'
import { isSigned } from '../../forge/webhook-signatures.ts'
import { DEFAULT_TENANT } from '../auth/tokens.ts'
import type { Secrets } from '../secrets.ts'

/** A place at a forge where something has happened; absent `number`: anywhere in the repository. */
export interface ForgeNews {
  /** In small letters. */
  host: string
  /** `owner/name` */
  path: string
  /** Of an issue or a pull request. */
  number?: number
}

export interface ForgeHooksOptions {
  forges: { forgeOf(host: string): ConfiguredForge | undefined }
  secrets: Pick<Secrets, 'valueSeen'>
  /** Looks there. Answers at how many things. */
  wake(news: ForgeNews): number
}

type Headers = Readonly<Record<string, string | string[] | undefined>>

/** Messages that are known again. */
const MOST_KNOWN = 1_000

/**
 * Takes the webhooks of the configured forges. A message says where to look, and nothing else of it is believed: what is there is
 * asked of the forge. So one that comes again does nothing that looking again would not.
 */
export class ForgeHooks {
  readonly #options: ForgeHooksOptions
  /** Of bodies: their ids are not signed. */
  readonly #known = new Set<string>()

  constructor(options: ForgeHooksOptions) {
    this.#options = options
  }

  /** `body`: as it came. Answers how many things are looked at. Throws `unauthorized`, and `bad_request` for a body that is no object. */
  async take(given: string, { headers, body }: { headers: Headers; body: string }): Promise<number> {
    const host = given.toLowerCase()
    const { forges, secrets, wake } = this.#options
    const forge = forges.forgeOf(host)
    const secret =
      forge?.webhook_secret &&
      (await secrets.valueSeen({ tenant: DEFAULT_TENANT, owner: '' }, [forge.webhook_secret]))
    const bytes = Buffer.from(body)
    // Who may not know which forges there are is told the same of all.
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

/** Undefined where it is of no repository, as a forge's first greeting is. */
function newsOf(body: string): Omit<ForgeNews, 'host'> | undefined {
  let message: unknown
  try {
    message = JSON.parse(body)
  } catch {
    // Told below.
  }
  if (typeof message !== 'object' || message === null)
    throw new ErrandError('bad_request', 'The message is no JSON object.', {
      hint: 'Choose application/json as the content type of the webhook.',
    })
  const part = (name: string): Json => {
    const value = (message as Json)[name]
    return typeof value === 'object' && value !== null ? (value as Json) : {}
  }
  // Of GitHub and Gitea; of GitLab.
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
