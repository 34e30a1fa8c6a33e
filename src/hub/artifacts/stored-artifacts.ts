import { hash } from 'node:crypto'
import { ErrandError } from '../../contract/errors.ts'
import type { Log } from '../../platform/log.ts'
import { KeyedMutex } from '../../platform/sync.ts'
import type { ArtifactPlace, ArtifactStore, Received } from '../../stores/artifacts/artifact-store.ts'
import type { StoredArtifactRecord, StoredArtifactStore } from '../../stores/sqlite/stored-artifacts.ts'

export interface StoredArtifactsOptions {
  store: StoredArtifactStore
  contents: Pick<ArtifactStore, 'open' | 'drop' | 'sweep'>
  log: Log
}

/** The user who asks. */
interface Requester {
  tenant: string
  owner: string
  /** True if the user sees what all of the tenant have stored. */
  isAdmin: boolean
}

/** A file to store, as its sender describes it. */
export interface ToBeStored {
  name: string
  type: string
  media_type: string
  metadata: Record<string, unknown>
}

const SWEEP_MS = 24 * 3_600_000
/** Number of records in one read. */
const AT_ONCE = 100

/**
 * Stores files of other systems for their tasks; this is the artifact store's service. Each has a row; its content is
 * stored before the row.
 */
export class StoredArtifacts {
  readonly #options: StoredArtifactsOptions
  /** Locks by what is stored together, so that nothing is removed while something arrives. */
  readonly #mutex = new KeyedMutex()
  #timer: NodeJS.Timeout | undefined

  constructor(options: StoredArtifactsOptions) {
    this.#options = options
  }

  /**
   * Adds a file. The same content with the same name for the same task is the same artifact. Throws as
   * `ArtifactStore.put` does.
   */
  async add(
    { tenant, owner }: Requester,
    received: Received,
    description: ToBeStored,
  ): Promise<{ id: string; isNew: boolean }> {
    const task = taskOf(description.metadata)
    const { bytes, sha256 } = received
    const gathered_by = named([tenant, owner, task])
    const id = `art_${named([tenant, owner, task, description.name, sha256])}`
    return await this.#mutex.run(gathered_by, async () => {
      await received.keep({ tenant, owner, stored: gathered_by })
      const created_at = new Date().toISOString()
      const { name, type, media_type, metadata } = description
      const isNew = await this.#options.store.add({
        ...{ id, tenant, owner, gathered_by, name, type, media_type, bytes, sha256, metadata, created_at },
      })
      return { id, isNew }
    })
  }

  /** Returns a record. Throws `not_found`, also for one that the user may not see. */
  async get({ tenant, owner, isAdmin }: Requester, id: string): Promise<StoredArtifactRecord> {
    const found = await this.#options.store.get(id)
    if (found !== undefined && found.tenant === tenant && (isAdmin || found.owner === owner)) return found
    throw new ErrandError('not_found', `Nothing is stored under "${id}".`, {
      hint: 'Its id is the last part of the URI that it was stored with.',
    })
  }

  /** Returns a file that a prompt of a run of that tenant names. Throws `not_found` if it no longer exists. */
  async attached(tenant: string, id: string): Promise<StoredArtifactRecord> {
    const found = await this.#options.store.get(id)
    if (found !== undefined && found.tenant === tenant) return found
    throw new ErrandError('not_found', `The attachment "${id}" is no longer stored.`, {
      hint: 'Attachments are kept as long as ended runs, counted from the day of their upload.',
    })
  }

  /** Same as `ArtifactStore.open`. */
  async open(record: StoredArtifactRecord, range?: { start: number; end: number }) {
    return await this.#options.contents.open(placeOf(record), record, range)
  }

  /** Removes a file. Throws as `get` does. */
  async remove(by: Requester, id: string): Promise<void> {
    await this.#remove(await this.get(by, id))
  }

  /** Removes the files that were stored before that time. */
  async removeOver(before: string): Promise<void> {
    for (;;) {
      const old = await this.#options.store.before(before, AT_ONCE)
      for (const record of old) await this.#remove(record)
      if (old.length < AT_ONCE) return
    }
  }

  /** Removes contents that no row mentions; now and then every day. */
  keepSwept(): void {
    const { log } = this.#options
    const sweep = () =>
      void this.sweep(Date.now()).catch((error: Error) =>
        log(`Stored artifacts that no record mentions could not be removed: ${error.message}`, {
          level: 'warn',
        }),
      )
    this.close()
    this.#timer = setInterval(sweep, SWEEP_MS).unref()
    sweep()
  }

  /** Returns how many were removed. */
  async sweep(nowMs: number): Promise<number> {
    const { contents, store } = this.#options
    const gathered = async (by: string) => new Set((await store.gathered(by)).map(({ sha256 }) => sha256))
    return await contents.sweep(gathered, nowMs, 'stored')
  }

  /** Stops the daily removal; may be called twice. */
  close(): void {
    clearInterval(this.#timer)
  }

  async #remove(record: StoredArtifactRecord): Promise<void> {
    const { store, contents } = this.#options
    const { id, gathered_by, sha256 } = record
    await this.#mutex.run(gathered_by, async () => {
      await store.remove(id)
      const others = await store.gathered(gathered_by)
      if (!others.some((other) => other.sha256 === sha256)) await contents.drop(placeOf(record), sha256)
    })
  }
}

const placeOf = ({ tenant, owner, gathered_by }: StoredArtifactRecord): ArtifactPlace => ({
  ...{ tenant, owner, stored: gathered_by },
})

/** Returns the task that a file is for, as its sender names it; empty if it is for none. */
function taskOf({ task_id }: Record<string, unknown>): string {
  return typeof task_id === 'string' || typeof task_id === 'number' ? String(task_id) : ''
}

const named = (parts: readonly string[]): string => hash('sha256', JSON.stringify(parts)).slice(0, 32)
