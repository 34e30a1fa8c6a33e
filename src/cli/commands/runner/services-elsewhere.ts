import { join, resolve } from 'node:path'
import { serviceEnvironment } from '../../../config/environment.ts'
import type { Log } from '../../../platform/log.ts'
import type { ArtifactSink } from '../../../runner/artifacts/artifact-keeper.ts'
import type { StoreOutbox } from '../../../runner/artifacts/store-outbox.ts'
import type { ForeignSlots } from '../../../runner/workspaces/foreign-slots.ts'
import type { SlotFolders } from '../../../runner/workspaces/requested-slot.ts'

/** Folders of a runner in which no slot may be. */
const OWN = ['attempts', 'runs', 'checkouts', 'sandbox', 'store-outbox']

/** Returns where slots of an external pool may be, for a runner with that folder. */
export const slotFoldersOf = (folder: string, allowedDirs: readonly string[]): SlotFolders => ({
  allowed: [folder, ...allowedDirs].map((dir) => resolve(dir)),
  own: OWN.map((name) => join(resolve(folder), name)),
})

/** Opens the external services that the environment of a runner names; a service that it does not name is absent. */
export async function servicesElsewhere(
  env: NodeJS.ProcessEnv,
  {
    folder,
    slotFolders,
    sink,
    log,
  }: { folder: string; slotFolders: SlotFolders; sink: ArtifactSink; log: Log },
): Promise<{ slots?: ForeignSlots; outbox?: StoreOutbox }> {
  const { pool, store } = serviceEnvironment(env)
  return {
    ...(pool !== undefined && { slots: await slotsOf(pool) }),
    ...(store !== undefined && { outbox: await outboxOf(store) }),
  }

  async function slotsOf(service: NonNullable<typeof pool>) {
    const [{ RepoPoolClient }, { ForeignSlots }] = await Promise.all([
      import('../../../compat/repo-pool.ts'),
      import('../../../runner/workspaces/foreign-slots.ts'),
    ])
    return new ForeignSlots({ service: new RepoPoolClient(service), dir: folder, ...slotFolders, log })
  }

  async function outboxOf(service: NonNullable<typeof store>) {
    const [{ ArtifactStoreClient }, { StoreOutbox }] = await Promise.all([
      import('../../../compat/artifact-store.ts'),
      import('../../../runner/artifacts/store-outbox.ts'),
    ])
    const client = new ArtifactStoreClient(service)
    return new StoreOutbox({ sink, service: client, dir: join(folder, 'store-outbox'), log })
  }
}
