import type { SecretScope } from '../../contract/secrets.ts'

/** Those that people set, those that one run was given and that go with it, what a place of a user holds, and the hub's own. */
export type KeptScope = SecretScope | 'run' | 'place' | 'hub'

/** Which secret: its name within a scope of a tenant. */
export interface SecretPlace {
  /** Empty for `hub`. */
  tenant: string
  scope: KeptScope
  /** Name of the repository or workflow, id of the run or place; empty for `tenant` and `hub`. */
  scope_name: string
  name: string
  /** Set where only the runs of this user are given it. */
  owner?: string
}

/** A secret as it is kept. The store never sees a value: what is sealed is the caller's. */
export interface StoredSecret extends SecretPlace {
  sealed: Uint8Array
  /** Which key it was sealed with. */
  key_id: string
  /** Servers (`host` or `host:port`) that it may be sent to as a token; absent: nothing was said. */
  hosts?: readonly string[]
  created_at: string
  created_by: string
  updated_at: string
  updated_by: string
}

/** Each call is one commit, and resolves after it. All reject with `store_failed` or `disk_full`. */
export interface SecretStore {
  /** Keeps it in the place of the one that is there, whose `created_…` stay, and its hosts where none are given. Answers it as it is now. */
  put(secret: StoredSecret): Promise<StoredSecret>
  /** Changes the hosts alone. Undefined: there is no such secret. */
  setHosts(
    place: SecretPlace,
    change: Required<Pick<StoredSecret, 'hosts' | 'updated_at' | 'updated_by'>>,
  ): Promise<StoredSecret | undefined>
  get(place: SecretPlace): Promise<StoredSecret | undefined>
  /** Those of one name that people set, of every scope. */
  named(tenant: string, name: string): Promise<StoredSecret[]>
  /** By name, then scope. Without an owner: of all. */
  list(filter: Partial<SecretPlace>): Promise<StoredSecret[]>
  /** False: it was not there. */
  remove(place: SecretPlace): Promise<boolean>
  /** Puts the same value, sealed anew, in its place, unless it was changed since. */
  reseal(before: StoredSecret, sealed: Uint8Array, key_id: string): Promise<void>
}
