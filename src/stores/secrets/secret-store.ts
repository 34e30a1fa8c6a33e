import type { SecretScope } from '../../contract/secrets.ts'

/**
 * The scopes of stored secrets: those that people set, those of a single run, which go with it, those of a user's
 * place, and the hub's own.
 */
export type StoredScope = SecretScope | 'run' | 'place' | 'hub'

/** Identifies a secret: its name within a scope of a tenant. */
export interface SecretPlace {
  /** Empty for `hub`. */
  tenant: string
  scope: StoredScope
  /** Name of the repository or workflow, id of the run or place; empty for `tenant` and `hub`. */
  scope_name: string
  name: string
  /** Set when only this user's runs get it. */
  owner?: string
}

/** A stored secret. The store never sees a value: the caller seals it. */
export interface StoredSecret extends SecretPlace {
  sealed: Uint8Array
  /** Id of the key with which it was sealed. */
  key_id: string
  /** Servers (`host` or `host:port`) that it may be sent to as a token; absent: not specified. */
  hosts?: readonly string[]
  created_at: string
  created_by: string
  updated_at: string
  updated_by: string
}

/** Stores secrets. Each call is one commit, and resolves after it. All reject with `store_failed` or `disk_full`. */
export interface SecretStore {
  /**
   * Stores a secret. A replaced one passes on its `created_…` fields, and its hosts when none are given. Returns the
   * new state.
   */
  put(secret: StoredSecret): Promise<StoredSecret>
  /** Changes only the hosts. Returns undefined when there is no such secret. */
  setHosts(
    place: SecretPlace,
    change: Required<Pick<StoredSecret, 'hosts' | 'updated_at' | 'updated_by'>>,
  ): Promise<StoredSecret | undefined>
  get(place: SecretPlace): Promise<StoredSecret | undefined>
  /** Returns the secrets of one name that people set, of every scope. */
  named(tenant: string, name: string): Promise<StoredSecret[]>
  /** Returns secrets by name, then scope. Without an owner: those of all. */
  list(filter: Partial<SecretPlace>): Promise<StoredSecret[]>
  /** Returns false when the secret did not exist. */
  remove(place: SecretPlace): Promise<boolean>
  /** Replaces a secret by the same value, sealed again, unless it has changed since. */
  reseal(before: StoredSecret, sealed: Uint8Array, key_id: string): Promise<void>
}
