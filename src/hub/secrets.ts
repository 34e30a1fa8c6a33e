import { randomBytes } from 'node:crypto'
import type { AttemptSpec } from '../contract/attempt.ts'
import { ErrandError, type ErrorCode } from '../contract/errors.ts'
import type { RunSpec } from '../contract/run.ts'
import { SecretScope, type TakenSecrets } from '../contract/secrets.ts'
import type { ForgeSecret, SecretUse } from '../contract/step-secrets.ts'
import { forgesOf, hubSecrets, type Workflow } from '../contract/workflow.ts'
import { ROLLBACK_OF } from '../engine/core/retry.ts'
import type { RunSecrets, SecretSource } from '../engine/ports.ts'
import { type KeyRing, type Keys, seal, unseal } from '../stores/secrets/key-ring.ts'
import type { SecretPlace, SecretStore, StoredSecret } from '../stores/secrets/secret-store.ts'
import { DEFAULT_TENANT } from './auth/tokens.ts'
import { mayGoTo, notFor, sentTo } from './tasks/repository-tokens.ts'

/** The facts that decide which secrets a run sees. */
type Of = Pick<AttemptSpec, 'tenant' | 'repository' | 'workflow_name' | 'run_id' | 'owner'>

/** The owner of runs, and the repository they are for. */
interface Seer {
  tenant: string
  owner: string
  repository?: string
}

type RunOwner = Pick<RunSpec, 'run_id' | 'tenant' | 'owner'>
const placeOfRun = ({ tenant, run_id }: Omit<RunOwner, 'owner'>) =>
  ({ tenant, scope: 'run', scope_name: run_id }) as const

interface ChannelOwner {
  id: string
  tenant: string
  owner: string
}
/** Returns where a channel's value is stored. Its scope has an older name: sealed values are bound to it. */
const placeOfChannel = ({ id, tenant, owner }: ChannelOwner) =>
  ({ tenant, owner, scope: 'place', scope_name: id, name: 'place' }) as const

/** Secrets that the hub itself needs: one signs sessions, the other derives the tokens of provisioned runners. */
type HubSecret = 'sessions' | 'made_runners'
const placeOfHub = (name: HubSecret) => ({ tenant: '', scope: 'hub', scope_name: '', name }) as const
const isOfHub = ({ scope }: StoredSecret): boolean => scope === 'hub'

/** Makes tokens of repositories, and says which secrets are used only for that. */
export interface ForgeTokens {
  /** Reports whether a secret with this name is the key of an App or of webhooks. */
  isKey(name: string): boolean
  /** Returns the API address that the operator has set for a host. */
  apiUrlOf(host: string): string | undefined
  /** Makes a token; `keyOf` returns the values of keys. Throws an ErrandError. */
  token(ask: ForgeSecret, keyOf: (name: string) => Promise<string>): Promise<string>
  /** Returns why a step of a run may not have the token, or undefined if it may. */
  fault(spec: Pick<AttemptSpec, 'action' | 'args'>, variable: string, use: ForgeSecret): string | undefined
}

/**
 * Stores the secrets of all tenants and of single runs. Values enter through `set` and leave only through `reveal`,
 * `valueSeen`, `ofChannel` and `ofHub`.
 */
export class Secrets implements SecretSource, RunSecrets {
  readonly #store: SecretStore
  readonly #keys: KeyRing
  readonly #forges: ForgeTokens | undefined

  /** Without `forges`, no token is made. */
  constructor(store: SecretStore, keys: KeyRing, forges?: ForgeTokens) {
    this.#store = store
    this.#keys = keys
    this.#forges = forges
  }

  /** Sets a secret. Without `hosts`, those of an existing secret stay. Throws `store_failed` if there is no key. */
  async set<P extends SecretPlace>(
    place: P,
    value: string,
    by: string,
    hosts?: readonly string[],
  ): Promise<StoredSecret & Pick<P, 'scope'>> {
    const keys = await this.#open()
    const [key] = keys.all
    const now = new Date().toISOString()
    return this.#store.put({
      ...place,
      sealed: seal(value, key, place),
      key_id: key.id,
      hosts,
      ...{ created_at: now, created_by: by, updated_at: now, updated_by: by },
    }) as Promise<StoredSecret & Pick<P, 'scope'>>
  }

  /** Changes only the hosts. Returns undefined if there is no such secret. */
  setHosts<P extends SecretPlace>(place: P, hosts: readonly string[], by: string) {
    const change = { hosts, updated_at: new Date().toISOString(), updated_by: by }
    return this.#store.setHosts(place, change) as Promise<(StoredSecret & Pick<P, 'scope'>) | undefined>
  }

  get(place: SecretPlace): Promise<StoredSecret | undefined> {
    return this.#store.get(place)
  }

  list(filter: Partial<SecretPlace> & { tenant: string }): Promise<StoredSecret[]> {
    return this.#store.list(filter)
  }

  remove(place: SecretPlace): Promise<boolean> {
    return this.#store.remove(place)
  }

  async reveal(spec: AttemptSpec, onTaken?: (taken: TakenSecrets) => void): Promise<Record<string, string>> {
    const all = Object.entries(spec.secrets ?? {}).filter(([, { from }]) => from === 'hub')
    const uses = all.filter(([, { forge }]) => forge === undefined)
    const found = await this.#seenBy(
      spec,
      uses.map(([, { name }]) => name),
    )
    for (const [variable, { name }] of uses)
      for (const address of sentTo(spec, variable, (host) => this.#forges?.apiUrlOf(host))) {
        const secret = found.get(name)!
        if (isPeoples(secret) && !mayGoTo(secret, address)) throw notFor(secret, address)
      }
    const keys = this.#keys.keys({ make: false })
    const values = uses.map(([variable, { name }]) => [variable, opened(found.get(name)!, keys)])
    onTaken?.(
      Object.fromEntries(
        uses.flatMap(([variable, { name, as }]) => {
          const secret = found.get(name)!
          return isPeoples(secret) && as !== 'mask' ? [[variable, originOf(secret)]] : []
        }),
      ),
    )
    return { ...Object.fromEntries(values), ...(await this.#made(spec, all)) }
  }

  /**
   * Throws `invalid_argument` for a run whose workflow names missing secrets, and for one that is no coding task and
   * wants tokens made.
   */
  async admit({ run_id, tenant, owner, repository, workflow, blueprint }: RunSpec): Promise<void> {
    const [forge] = forgesOf(workflow as Workflow)
    if (forge !== undefined && blueprint !== 'task') throw refusedToken(forge, 'only coding tasks get one')
    for (const { workflow_name, names } of hubSecrets(workflow as Workflow))
      await this.#seenBy({ run_id, tenant, owner, repository, workflow_name }, names, 'invalid_argument')
  }

  /**
   * Returns the first of these names for which a run of this user would get a value, whatever its workflow is called.
   * With `address`, the value must also be allowed to go there as a token.
   */
  async firstSeen(of: Seer, names: readonly string[], address?: string): Promise<string | undefined> {
    for await (const secret of this.#seen(of, names))
      if (address === undefined || mayGoTo(secret, address)) return secret.name
    return undefined
  }

  /** Returns the value of the secret that `firstSeen` finds, for requests that the hub makes itself for this user. */
  async valueSeen(of: Seer, names: readonly string[], address?: string): Promise<string | undefined> {
    for await (const secret of this.#seen(of, names))
      if (address === undefined || mayGoTo(secret, address))
        return opened(secret, this.#keys.keys({ make: false }))
    return undefined
  }

  /**
   * Returns why the first of these that such a run would get may not go to the address; undefined if it may, or if
   * there is none.
   */
  async refusal(of: Seer, names: readonly string[], address: string): Promise<ErrandError | undefined> {
    for await (const secret of this.#seen(of, names))
      return mayGoTo(secret, address) ? undefined : notFor(secret, address)
    return undefined
  }

  async *#seen({ tenant, owner, repository }: Seer, names: readonly string[]): AsyncGenerator<StoredSecret> {
    const of = { tenant, owner, repository, workflow_name: '', run_id: '' }
    for (const name of names) {
      const secret = narrowest(await this.#store.named(tenant, name), of)
      if (secret !== undefined) yield secret
    }
  }

  /** Stores the value of a user's notification channel. */
  async setOfChannel({ id, ...user }: ChannelOwner, value: string): Promise<void> {
    await this.set(placeOfChannel({ id, ...user }), value, user.owner)
  }

  /** Returns the value of a notification channel for the hub's own requests, or undefined if there is none. */
  async ofChannel(channel: ChannelOwner): Promise<string | undefined> {
    const secret = await this.#store.get(placeOfChannel(channel))
    return secret && opened(secret, this.#keys.keys({ make: false }))
  }

  async dropOfChannel(channel: ChannelOwner): Promise<void> {
    await this.#store.remove(placeOfChannel(channel))
  }

  /**
   * Returns a secret of the hub itself, which is generated at the first start. If its key is missing, the value lasts
   * only for this process, because the key may be put back, and `tell` gets the reason. If no secret of people needs
   * the lost key, the hub's secret is replaced.
   */
  async ofHub(name: HubSecret, report: (error: ErrandError) => void): Promise<string> {
    const place = placeOfHub(name)
    const stored = await this.#store.get(place)
    const made = randomBytes(32).toString('base64url')
    try {
      const keys = await this.#open()
      const isLost = stored !== undefined && !keys.all.some(({ id }) => id === stored.key_id)
      const sealed = isLost ? await this.#store.list({}) : []
      const isNeeded = sealed.some((secret) => !isOfHub(secret) && secret.key_id === stored?.key_id)
      if (stored !== undefined && (!isLost || isNeeded)) return opened(stored, keys)
    } catch (error) {
      if (!(error instanceof ErrandError)) throw error
      report(error)
      return made
    }
    await this.set(place, made, 'the hub')
    return made
  }

  /** Deletes the secrets of a user who is gone, so that the next person with the name does not get them. */
  async dropOfUser(user: { tenant: string; owner: string }): Promise<void> {
    for (const secret of await this.#store.list(user)) await this.#store.remove(secret)
  }

  /** Stores secrets that only one run sees. */
  async setOfRun(run: RunOwner, values: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, value] of Object.entries(values))
      await this.set({ ...placeOfRun(run), name }, value, run.owner)
  }

  /** Returns their values, for another run of the same thing. */
  async ofRun(run: Omit<RunOwner, 'owner'>): Promise<Record<string, string>> {
    const found = await this.#store.list(placeOfRun(run))
    if (found.length === 0) return {}
    const keys = this.#keys.keys({ make: false })
    return Object.fromEntries(found.map((secret) => [secret.name, opened(secret, keys)]))
  }

  /** Deletes all of them, or the one with the name. */
  async dropOfRun(run: Omit<RunOwner, 'owner'>, name?: string): Promise<void> {
    const of = { ...placeOfRun(run), name }
    for (const secret of await this.#store.list(of)) await this.#store.remove(secret)
  }

  /** Returns the runs that have secrets of their own. */
  async runs(): Promise<Omit<RunOwner, 'owner'>[]> {
    const found = await this.#store.list({ scope: 'run' })
    const byRun = new Map(found.map(({ tenant, scope_name }) => [scope_name, { tenant, run_id: scope_name }]))
    return [...byRun.values()]
  }

  /**
   * Seals with the first key whatever another key has sealed, and returns how many secrets that were. Throws
   * `store_failed` if there are secrets but no key, if none of the keys opens one, or if a given key is invalid.
   */
  async reseal(): Promise<number> {
    const secrets = await this.#store.list({})
    if (secrets.every(isOfHub) && !this.#keys.isConfigured) return 0
    const keys = this.#keys.keys({ make: false })
    const [key] = keys.all
    const isKnown = ({ key_id }: StoredSecret) => keys.all.some(({ id }) => id === key_id)
    const old = secrets.filter((secret) => secret.key_id !== key.id && (isKnown(secret) || !isOfHub(secret)))
    for (const secret of old)
      await this.#store.reseal(secret, seal(opened(secret, keys), key, secret), key.id)
    return old.length
  }

  /** Makes tokens for the repository of the step, by variable. */
  async #made(spec: AttemptSpec, all: readonly [string, SecretUse][]): Promise<Record<string, string>> {
    const made: Record<string, string> = {}
    for (const [variable, { forge }] of all) {
      if (forge === undefined) continue
      const fault = this.#forges ? this.#forges.fault(spec, variable, forge) : 'this hub does not create any'
      if (this.#forges === undefined || fault !== undefined) throw refusedToken(forge.host, fault!)
      made[variable] = await this.#forges.token(forge, (name) =>
        this.#ofTenant(spec.tenant ?? DEFAULT_TENANT, name),
      )
    }
    return made
  }

  /** Returns the value of a secret that an admin has set for all runs of a tenant. */
  async #ofTenant(tenant: string, name: string): Promise<string> {
    const secret = await this.#store.get({ tenant, scope: 'tenant', scope_name: '', name })
    if (secret !== undefined) return opened(secret, this.#keys.keys({ make: false }))
    throw new ErrandError(
      'secret_not_found',
      `Secret "${name}" not found for all runs. An admin must set it.`,
      {
        hint: `Set it with: errand secrets set ${name}=@FILE`,
        details: { secrets: [name] },
      },
    )
  }

  /** Returns the secrets. Throws the code with the names of all missing ones. */
  async #seenBy(
    of: Of,
    names: readonly string[],
    code: ErrorCode = 'secret_not_found',
  ): Promise<Map<string, StoredSecret>> {
    const found = new Map<string, StoredSecret>()
    if (names.length === 0) return found
    const tenant = of.tenant ?? DEFAULT_TENANT
    const key = names.find((name) => this.#forges?.isKey(name))
    if (key !== undefined)
      throw new ErrandError(
        code,
        `The secret "${key}" is the key of an App or of webhooks. No step may use it.`,
        {
          hint: 'Leave it out: a task that uses the repository gets a token that the hub creates with this key.',
          details: { secrets: [key] },
        },
      )
    for (const name of names) {
      const own = await this.#store.get({ ...placeOfRun({ tenant, run_id: of.run_id }), name })
      const secret = own ?? narrowest(await this.#store.named(tenant, name), of)
      if (secret) found.set(name, secret)
    }
    const missing = names.filter((name) => !found.has(name))
    if (missing.length > 0) throw notFound(missing, of, code)
    return found
  }

  async #open(): Promise<Keys> {
    try {
      return this.#keys.keys({ make: false })
    } catch (error) {
      if (!(await this.#store.list({})).every(isOfHub)) throw error
      return this.#keys.keys({ make: true })
    }
  }
}

const refusedToken = (host: string, why: string) =>
  new ErrandError('invalid_argument', `The step cannot get a token for ${host}: ${why}.`, {
    hint: 'Give the step a token of your own: secrets: [GIT_TOKEN].',
  })

/** Reports whether people have set it and may look at it. Secrets of a run, a notification channel or the hub are excluded. */
export const isPeoples = (secret: StoredSecret): secret is PeoplesSecret =>
  (SecretScope.options as readonly string[]).includes(secret.scope)
type PeoplesSecret = StoredSecret & { scope: SecretScope }

/** Describes to people where a secret is set. */
export const originOf = ({ name, scope, scope_name, owner, updated_by }: PeoplesSecret) => ({
  name,
  scope,
  ...(scope === 'tenant' ? {} : { [scope]: scope_name }),
  ...(owner === undefined ? {} : { owner }),
  updated_by,
})

/**
 * Returns the narrowest secret: that of the workflow, else of the repository, else of the tenant. The run's own has
 * priority over them. Whoever starts a workflow chooses its name, so a secret that a user has set for a name goes
 * only to that user's runs. It has priority over one that an admin has set there for all.
 */
function narrowest(secrets: readonly StoredSecret[], of: Of): StoredSecret | undefined {
  const workflow = of.workflow_name.startsWith(ROLLBACK_OF)
    ? of.workflow_name.slice(ROLLBACK_OF.length)
    : of.workflow_name
  const names = { workflow, repository: of.repository, tenant: '' }
  const owners = of.owner === undefined ? [undefined] : [of.owner, undefined]
  return (['workflow', 'repository', 'tenant'] as const)
    .flatMap((scope) =>
      owners.map((owner) =>
        secrets.find((one) => one.scope === scope && one.scope_name === names[scope] && one.owner === owner),
      ),
    )
    .find((secret) => secret !== undefined)
}

function opened(secret: StoredSecret, { all, from }: Keys): string {
  const key = all.find(({ id }) => id === secret.key_id)
  if (key === undefined)
    throw new ErrandError(
      'store_failed',
      `The secret "${secret.name}" was sealed with the key ${secret.key_id}, but ${from} has ${all.map(({ id }) => id).join(', ')}.`,
      { hint: 'Give the hub its earlier key, or set the secret again.' },
    )
  try {
    return unseal(secret.sealed, key, secret)
  } catch (cause) {
    throw new ErrandError('store_failed', `The secret "${secret.name}" is damaged.`, {
      hint: `Set it again with: errand secrets set ${secret.name}`,
      cause,
    })
  }
}

function notFound(
  missing: readonly string[],
  { repository, workflow_name }: Of,
  code: ErrorCode,
): ErrandError {
  const names = missing.map((name) => `"${name}"`).join(', ')
  const what = missing.length === 1 ? `Secret ${names}` : `Secrets ${names}`
  const scopes = [
    `workflow "${workflow_name}"`,
    ...(repository === undefined ? [] : [`repository "${repository}"`]),
    'all runs',
  ]
  return new ErrandError(code, `${what} not found for ${scopes.join(' or ')}.`, {
    hint: `Set it with: errand secrets set ${missing[0]}`,
    details: { secrets: missing },
  })
}
