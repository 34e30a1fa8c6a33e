import { join, resolve } from 'node:path'
import { serviceEnvironment } from '../../../config/environment.ts'
import type { Log } from '../../../platform/log.ts'
import type { ArtifactSink } from '../../../runner/artifacts/artifact-keeper.ts'
import type { StoreOutbox } from '../../../runner/artifacts/store-outbox.ts'
import type { ForeignSlots } from '../../../runner/workspaces/foreign-slots.ts'

/** The folders of a runner that are nobody's slots. */
const OWN = ['attempts', 'runs', 'checkouts', 'sandbox', 'store-outbox']

/** The services elsewhere that a runner works with, as its environment says; each absent where it says nothing. */
export async function servicesElsewhere(
  env: NodeJS.ProcessEnv,
  {
    folder,
    allowedDirs,
    sink,
    log,
  }: { folder: string; allowedDirs: readonly string[]; sink: ArtifactSink; log: Log },
): Promise<{ slots?: ForeignSlots; outbox?: StoreOutbox }> {
  const { pool, store } = serviceEnvironment(env)
  const own = OWN.map((name) => join(resolve(folder), name))
  return {
    ...(pool !== undefined && { slots: await slotsOf(pool) }),
    ...(store !== undefined && { outbox: await outboxOf(store) }),
  }

  async function slotsOf(service: NonNullable<typeof pool>) {
    const [{ RepoPoolClient }, { ForeignSlots }] = await Promise.all([
      import('../../../compat/repo-pool.ts'),
      import('../../../runner/workspaces/foreign-slots.ts'),
    ])
    const allowed = [resolve(folder), ...allowedDirs.map((dir) => resolve(dir))]
    return new ForeignSlots({ service: new RepoPoolClient(service), dir: folder, allowed, own, log })
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
